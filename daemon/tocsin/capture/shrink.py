"""From a decoded picture to a small one in the colours and range that all that follows expects."""

from functools import lru_cache

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from tocsin.capture.regions import Cut

Plane = NDArray[np.uint8]

_HD_HEIGHT = 720
"""From this height on, a stream that does not say which colours it uses means BT.709, below it BT.601."""

_PLANAR = frozenset({"yuv420p", "yuvj420p"})
"""What nearly every camera's H.264 and H.265 decodes to; all else is rare and takes the slower way."""


class Shrinker:
    """Shrinks pictures one after another and keeps what can be used again; for one thread.

    `views` is the number of parts that each picture is shrunk in.
    """

    def __init__(self, views: int = 1) -> None:
        self._resizer = _Resizer(views)
        self._converter = VideoReformatter()

    def shrink(self, frame: VideoFrame, pixels: Plane, part: Cut | None = None) -> None:
        """Fill `pixels`, I420 (BT.601, 16 to 235) as uint8 [height * 3 / 2, width], with a picture or a part of it.

        The picture may have any format; that of which a part is taken is one that `planar` returned. Shrinks first,
        then unifies range and colours on the few pixels that are left.
        """
        width, height = pixels.shape[1], pixels.shape[0] * 2 // 3
        colours, levels = _colours(frame), _range(frame)
        if frame.format.name not in _PLANAR:
            assert part is None, "parts are cut from planes"
            self._convert(frame, pixels, width, height, colours, levels)
            return
        planes = _planes(frame)
        if part is not None:
            planes = [_part(plane, part, plane is not planes[0]) for plane in planes]
        for source, target in zip(planes, _targets(pixels, width, height), strict=True):
            self._resizer.resize(source, target)
        if (colours, levels) != (Colorspace.ITU601, ColorRange.MPEG):
            small = VideoFrame.from_ndarray(pixels, format="yuv420p")
            self._convert(small, pixels, width, height, colours, levels)

    def planar(self, frame: VideoFrame) -> VideoFrame:
        """Return the picture in planes that parts can be cut from: itself, or a copy where its format has none."""
        if frame.format.name in _PLANAR:
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
        for source, target in zip(_planes(small), _targets(pixels, width, height), strict=True):
            target[:] = source


class _Resizer:
    """Shrinks planes by halving them as often as it goes, then by the rest; keeps the planes in between.

    Every pixel of the source counts, as in a reduction by area, so that a thin bright blade is not stepped over and
    noise is averaged; but halves are what OpenCV averages fastest: the three planes of a 1080p picture into 416x234
    take 0.20 ms, a reduction by area 0.51 (FFmpeg's swscale, one core of an AMD EPYC).
    """

    def __init__(self, views: int) -> None:
        self._kept: dict[tuple[Shape, Shape], list[tuple[Plane, int]]] = {}
        self._most = 2 * views  # luma and chroma of each

    def resize(self, source: Plane, target: Plane) -> None:
        """Fill `target` with the picture of `source`, both uint8 [h, w]."""
        key = source.shape, target.shape
        if key not in self._kept:
            between = [(np.empty(shape, np.uint8), way) for shape, way in _steps(*key)[:-1]]
            if len(self._kept) >= self._most:  # the camera's pictures have another size now
                self._kept.clear()
            self._kept[key] = between
        larger = source
        for plane, way in [*self._kept[key], (target, _steps(*key)[-1][1])]:
            cv2.resize(larger, plane.shape[::-1], dst=plane, interpolation=way)
            larger = plane


Shape = tuple[int, ...]

_LINEAR_UP_TO = 1.6
"""The rest by which a plane is shrunk linearly. A linear step looks at four pixels, whatever the factor: by 1.85 it
leaves 0.67 of the noise where a reduction by area leaves 0.45, by 1.5 0.63 and 0.56. Measured at 768x576 into 416,
-5 EV with noise: 71 of 100 persons are found after the one and 81 after the other."""


@lru_cache(maxsize=256)
def _steps(source: Shape, target: Shape) -> list[tuple[Shape, int]]:
    """Return the sizes on the way from a source to its target, the target's last, and how each is reached.

    Where much is left after the halves, linear to twice the target and half of that is as good as a reduction by
    area and takes a third of its time.
    """
    steps: list[tuple[Shape, int]] = []
    height, width = source
    while height // 2 >= target[0] and width // 2 >= target[1]:
        height, width = height // 2, width // 2
        steps.append(((height, width), cv2.INTER_AREA))
    if (height, width) == target:
        return steps or [(target, cv2.INTER_LINEAR)]
    if max(height / target[0], width / target[1]) > _LINEAR_UP_TO:
        steps.append(((2 * target[0], 2 * target[1]), cv2.INTER_LINEAR))
        return [*steps, (target, cv2.INTER_AREA)]
    return [*steps, (target, cv2.INTER_LINEAR)]


def _planes(frame: VideoFrame) -> list[Plane]:
    """Return the planes of a planar frame without the padding of their lines; valid as long as the frame is."""
    return [
        np.asarray(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    ]


def _part(plane: Plane, part: Cut, chroma: bool) -> Plane:
    """Return the part of a luma plane, or of a chroma plane of half the size; no copy."""
    by = 2 if chroma else 1
    return plane[part.top // by : -(-part.bottom // by), part.left // by : -(-part.right // by)]


def _targets(pixels: Plane, width: int, height: int) -> list[Plane]:
    """Return the planes of an I420 picture in one array."""
    flat = pixels.reshape(-1)
    luma, chroma = width * height, width * height // 4
    return [
        flat[:luma].reshape(height, width),
        flat[luma : luma + chroma].reshape(height // 2, width // 2),
        flat[luma + chroma :].reshape(height // 2, width // 2),
    ]


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
