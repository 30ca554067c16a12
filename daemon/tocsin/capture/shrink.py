"""From a decoded picture to a small one in the colours and range that all that follows expects."""

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from tocsin.capture.colours import Recolourer
from tocsin.capture.regions import Cut
from tocsin.capture.resize import Plane, Resizer, planes_of

_HD_HEIGHT = 720
"""From this height on, a stream that does not say which colours it uses means BT.709, below it BT.601."""

_HALVED = {"yuv420p": (2, 2), "yuvj420p": (2, 2), "nv12": (2, 2), "yuv422p": (1, 2), "yuvj422p": (1, 2)}
"""How many times less high and wide chroma is, in formats whose planes are shrunk as they are: the first two are
what nearly every camera's H.264 and H.265 decodes to, NV12 what graphics cards decode to and webcams send, and the
last two what is in the JPEGs of webcams. All else is rare and takes the slower way."""


class Shrinker:
    """Shrinks pictures one after another and keeps what can be used again; for one thread.

    `views` is the number of parts that each picture is shrunk in.
    """

    def __init__(self, views: int = 1) -> None:
        self._resizer = Resizer(views)
        self._recolourer = Recolourer()
        self._converter = VideoReformatter()
        self._chroma: list[Plane] = [np.empty((0, 0), np.uint8)]

    def shrink(self, frame: VideoFrame, pixels: Plane, part: Cut | None = None) -> None:
        """Fill `pixels`, I420 (BT.601, 16 to 235) as uint8 [height * 3 / 2, width], with a picture or a part of it.

        The picture may have any format; that of which a part is taken is one that `planar` returned. Shrinks first,
        then unifies range and colours on the few pixels that are left.
        """
        width, height = pixels.shape[1], pixels.shape[0] * 2 // 3
        colours, levels = _colours(frame), _range(frame)
        halved = _HALVED.get(frame.format.name)
        if halved is None:
            assert part is None, "parts are cut from planes"
            self._convert(frame, pixels, width, height, colours, levels)
            return
        luma, *chroma = _planes(frame)
        if part is not None:
            luma, chroma = _part(luma, part, (1, 1)), [_part(plane, part, halved) for plane in chroma]
        targets = planes_of(pixels, width, height)
        if len(chroma) == 1:
            chroma = self._apart(chroma[0])
        for source, target in zip([luma, *chroma], targets, strict=True):
            self._resizer.resize(source, target)
        if (colours, levels) == (Colorspace.ITU709, ColorRange.MPEG):  # what nearly every camera sends
            self._recolourer.recolour(*targets)
        elif (colours, levels) != (Colorspace.ITU601, ColorRange.MPEG):
            small = VideoFrame.from_ndarray(pixels, format="yuv420p")
            self._convert(small, pixels, width, height, colours, levels)

    def planar(self, frame: VideoFrame) -> VideoFrame:
        """Return the picture in planes that parts can be cut from: itself, or a copy where its format has none."""
        if frame.format.name in _HALVED:
            return frame
        copy = self._converter.reformat(
            frame,
            format="yuv420p",
            src_colorspace=_colours(frame),
            dst_colorspace=Colorspace.ITU601,
            src_color_range=_range(frame),
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        copy.colorspace, copy.color_range = Colorspace.ITU601, ColorRange.MPEG
        return copy

    def _apart(self, pairs: Plane) -> list[Plane]:
        """Return the two planes of chroma from one that holds them in turns, uint8 [h, w, 2]; valid until the next.

        Before they are shrunk: OpenCV halves two channels in four times the time of one.
        """
        if self._chroma[0].shape != pairs.shape[:2]:
            self._chroma = [np.empty(pairs.shape[:2], np.uint8) for _ in range(2)]
        cv2.split(pairs, self._chroma)
        return self._chroma

    def _convert(
        self,
        frame: VideoFrame,
        pixels: Plane,
        width: int,
        height: int,
        colours: Colorspace,
        levels: ColorRange,
    ) -> None:
        small = self._converter.reformat(
            frame,
            width,
            height,
            format="yuv420p",
            src_colorspace=colours,
            dst_colorspace=Colorspace.ITU601,
            src_color_range=levels,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        for source, target in zip(_planes(small), planes_of(pixels, width, height), strict=True):
            target[:] = source


def _planes(frame: VideoFrame) -> list[Plane]:
    """Return the planes of a frame without the padding of their lines; valid as long as the frame is.

    Each is uint8 [h, w], but for one that holds both colour differences in turns: that is [h, w, 2].
    """
    planes: list[Plane] = []
    for plane in frame.planes:
        each = (-1, 2) if planes and len(frame.planes) == 2 else (-1,)
        lines = np.asarray(memoryview(plane), np.uint8).reshape(plane.buffer_size // plane.line_size, *each)
        planes.append(lines[: plane.height, : plane.width])
    return planes


def _part(plane: Plane, part: Cut, halved: tuple[int, int]) -> Plane:
    """Return the part of a plane that is so many times less high and wide than the picture; no copy."""
    down, across = halved
    return plane[part.top // down : -(-part.bottom // down), part.left // across : -(-part.right // across)]


def _colours(frame: VideoFrame) -> Colorspace:
    told = int(frame.colorspace)  # FFmpeg's AVColorSpace
    if told == 1:
        return Colorspace.ITU709
    if told in (4, 5, 6):  # FCC, BT.470BG and SMPTE 170M differ from BT.601 by less than a step of 8 bits
        return Colorspace.ITU601
    return Colorspace.ITU709 if frame.height >= _HD_HEIGHT else Colorspace.ITU601


def _range(frame: VideoFrame) -> ColorRange:
    full = frame.format.name.startswith(("yuvj", "rgb", "bgr", "gbr")) or int(frame.color_range) == int(
        ColorRange.JPEG
    )
    return ColorRange.JPEG if full else ColorRange.MPEG
