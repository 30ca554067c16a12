"""H.264 made of pictures: access units for the fake camera, and whole files."""

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from support.scene import Scene

_START_CODE = re.compile(rb"\x00\x00\x00?\x01")
_OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}

SPS, PPS = 7, 8


class Encoder:
    """One access unit for each picture, without delay; a keyframe with parameter sets every second.

    A picture of another size starts a new sequence, as a camera does when its resolution is changed.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._context: av.VideoCodecContext | None = None
        self._count = 0

    def encode(self, picture: NDArray[np.uint8], *, key: bool = False) -> list[bytes]:
        """The NAL units (without start codes) of a picture in I420."""
        height, width = picture.shape[0] * 2 // 3, picture.shape[1]
        context = self._context
        if context is None or (context.width, context.height) != (width, height):
            context = self._context = self._open(width, height)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, self._count = self._count, self._count + 1
        if key:
            frame.pict_type = av.video.frame.PictureType.I
        packets = context.encode(frame)
        assert len(packets) == 1, "zero latency means one packet for each picture"
        return [unit for unit in _START_CODE.split(bytes(packets[0])) if unit]

    def _open(self, width: int, height: int) -> av.VideoCodecContext:
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.framerate = Fraction(self._fps).limit_denominator(1000)
        context.time_base = 1 / context.framerate
        context.thread_count = 1
        keyint = max(1, round(self._fps))
        params = f"keyint={keyint}:min-keyint=1:scenecut=0:repeat-headers=1"
        context.options = {**_OPTIONS, "forced-idr": "1", "x264-params": params}
        return context


def parameter_sets(scene: Scene) -> tuple[bytes, bytes]:
    """The SPS and PPS with which a scene's stream begins."""
    units = Encoder(scene.fps).encode(scene.draw(0.0, 0))
    by_type = {unit[0] & 31: unit for unit in units}
    return by_type[SPS], by_type[PPS]


def luma_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The luma plane of a decoded frame as it is; PyAV's own conversion to grey would stretch its range."""
    plane = frame.planes[0]
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def record(scene: Scene, path: Path, seconds: float) -> Path:
    """Write the first seconds of a scene as an MP4 file with a keyframe every second; returns the path."""
    rate = Fraction(scene.fps).limit_denominator(1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=rate, options={**_OPTIONS, "g": str(max(1, round(rate)))}
        )
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
        for number in range(round(seconds * scene.fps)):
            picture = scene.draw(number / scene.fps, number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))
    return path
