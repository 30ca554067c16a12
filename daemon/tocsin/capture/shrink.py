"""From a decoded picture to a small one in the colours and range that all that follows expects."""

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from tocsin.capture.colours import Recolourer
from tocsin.capture.regions import Cut
from tocsin.capture.resize import Plane, Resizer, planes_of

_HD_HEIGHT = 720
"""From this height on, a stream that does not say which colours it uses means BT.709, below it BT.601."""

_PLANAR = frozenset({"yuv420p", "yuvj420p"})
"""What nearly every camera's H.264 and H.265 decodes to; all else is rare and takes the slower way."""


class Shrinker:
    """Shrinks pictures one after another and keeps what can be used again; for one thread.

    `views` is the number of parts that each picture is shrunk in.
    """

    def __init__(self, views: int = 1) -> None:
        self._resizer = Resizer(views)
        self._recolourer = Recolourer()
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
        targets = planes_of(pixels, width, height)
        for source, target in zip(planes, targets, strict=True):
            self._resizer.resize(source, target)
        if (colours, levels) == (Colorspace.ITU709, ColorRange.MPEG):  # what nearly every camera sends
            self._recolourer.recolour(*targets)
        elif (colours, levels) != (Colorspace.ITU601, ColorRange.MPEG):
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
        for source, target in zip(_planes(small), planes_of(pixels, width, height), strict=True):
            target[:] = source


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
