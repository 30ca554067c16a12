"""What becomes of a picture on its way into the mailbox: size, colours, range, and a thin bright thing."""

import os

import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from tocsin.capture import mailbox
from tocsin.capture.mailbox import Mailbox
from tocsin.capture.order import ViewOrder
from tocsin.capture.views import Views
from tocsin.capture.wire import ViewRecord
from tocsin.frame import Correction
from tocsin.light.plan import Mode, Policy

COLOUR = (200, 90, 60)
"""Red, green, blue; far enough from grey that a wrong matrix or range shows."""


def _filled(
    frame: VideoFrame, order: ViewOrder, policy: Policy | None = None
) -> tuple[ViewRecord, NDArray[np.uint8]]:
    descriptor = mailbox.create(order.capacity)
    box = Mailbox(descriptor, order.capacity)
    os.close(descriptor)
    (record,) = Views((order,), policy or Policy(mode=Mode.OFF)).fill(frame, 0.0, box, 0)
    return record, box.pixels(0, record.offset, record.width, record.height)


def _flat(width: int, height: int, pixel_format: str, *, space: str | None = None) -> VideoFrame:
    """A frame of one colour; HD frames are BT.709 as cameras' are, small ones BT.601."""
    picture = np.full((height, width, 3), COLOUR, np.uint8)
    space = space or ("ITU709" if height >= 720 else "ITU601")
    levels = "JPEG" if pixel_format.startswith("yuvj") else "MPEG"
    return VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        format=pixel_format, dst_colorspace=space, dst_color_range=levels
    )


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "nv12", "yuv422p", "yuvj422p", "yuv444p"])
@pytest.mark.parametrize("size", [(1920, 1080), (640, 480), (416, 312), (320, 200)], ids=str)
def test_colours_survive_whatever_the_camera_s_format(pixel_format: str, size: tuple[int, int]) -> None:
    """Any format, size and range arrives as I420 of BT.601 in limited range."""
    record, pixels = _filled(_flat(*size, pixel_format), ViewOrder(416, 416, keep_aspect=True))
    seen = cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_I420).reshape(-1, 3).astype(int)
    assert np.abs(seen - COLOUR).max() <= 4
    assert record.width == 416
    assert record.height == pytest.approx(416 * size[1] / size[0], abs=1)


@pytest.mark.parametrize("size", [(17, 13), (33, 721), (1919, 1079), (4096, 2160), (2, 2)], ids=str)
def test_odd_sizes_are_taken(size: tuple[int, int]) -> None:
    """Whatever a camera sends becomes a picture of even size that fits the detector's input."""
    frame = VideoFrame(*size, "yuv420p")
    for plane, value in zip(frame.planes, (120, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    record, pixels = _filled(frame, ViewOrder(416, 416, keep_aspect=True))
    assert record.width % 2 == record.height % 2 == 0
    assert max(record.width, record.height) <= 416
    assert np.abs(pixels[: record.height].astype(int) - 120).max() <= 2


def test_a_thin_bright_thing_is_not_stepped_over() -> None:
    """A bright line two pixels wide leaves its share of light wherever it lies in a 1080p picture."""
    for column in range(900, 920, 3):
        frame = VideoFrame(1920, 1080, "yuv420p")
        luma = np.full((1080, frame.planes[0].line_size), 60, np.uint8)
        luma[:, column : column + 2] = 220
        frame.planes[0].update(luma.tobytes())
        for plane in frame.planes[1:]:
            plane.update(bytes([128]) * plane.buffer_size)
        record, pixels = _filled(frame, ViewOrder(416, 416, keep_aspect=True))
        columns = pixels[: record.height].astype(float).mean(axis=0)
        light = columns - np.median(columns)
        assert light.sum() == pytest.approx(160 * 2 * record.width / 1920, rel=0.35)
        assert light.max() >= 25


def test_a_view_is_measured_before_it_is_corrected() -> None:
    """The record tells the light that was found, the pixels show what was done about it."""
    frame = VideoFrame(416, 416, "yuv420p")
    ramp = np.tile(np.linspace(100, 140, 416).astype(np.uint8), (416, 1))
    luma = np.zeros((416, frame.planes[0].line_size), np.uint8)
    luma[:, :416] = ramp
    frame.planes[0].update(luma.tobytes())
    for plane in frame.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    record, pixels = _filled(frame, ViewOrder(416, 416, keep_aspect=True), Policy(mode=Mode.GUIDED))
    assert record.correction is Correction.STRETCH
    assert record.light.contrast == pytest.approx(40 * 255 / 219, abs=3)
    assert int(pixels[:416].max()) - int(pixels[:416].min()) > 200
