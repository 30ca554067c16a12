"""What becomes of a picture on its way into the mailbox: size, colours, range, and a thin bright thing."""

import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from tocsin.capture import mailbox
from tocsin.capture.mailbox import Mailbox
from tocsin.capture.order import ViewOrder
from tocsin.capture.regions import tiles
from tocsin.capture.views import Views
from tocsin.capture.wire import ViewRecord
from tocsin.frame import WHOLE, Correction
from tocsin.light.plan import Mode, Policy
from tocsin.light.structure import measure_structure

COLOUR = (200, 90, 60)
"""Red, green, blue; far enough from grey that a wrong matrix or range shows."""


def _filled(
    frame: VideoFrame, order: ViewOrder, policy: Policy | None = None
) -> tuple[ViewRecord, NDArray[np.uint8]]:
    views = Views((order,), policy or Policy(mode=Mode.OFF))
    ((record, pixels),) = _all_filled(views, frame, _mailbox(order))
    return record, pixels


def _mailbox(*orders: ViewOrder) -> Mailbox:
    size = sum(order.capacity for order in orders)
    descriptor = mailbox.create(size)
    box = Mailbox(descriptor, size)
    os.close(descriptor)
    return box


def _all_filled(views: Views, frame: VideoFrame, box: Mailbox) -> list[tuple[ViewRecord, NDArray[np.uint8]]]:
    records = views.fill(frame, 0.0, box, 0)
    return [(record, box.pixels(0, record.offset, record.width, record.height)) for record in records]


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


SMALL_PART = ViewOrder(64, 64, keep_aspect=True, region=(0.5, 0.5, 0.51, 0.52), grow=True)


def _noise(width: int, height: int) -> VideoFrame:
    """A frame in which no two parts are alike, of the colours and the range that views have."""
    chance = np.random.default_rng(0)
    frame = VideoFrame(width, height, "yuv420p")
    for plane in frame.planes:
        plane.update(chance.integers(16, 235, plane.buffer_size, np.uint8).tobytes())
    frame.colorspace, frame.color_range = Colorspace.ITU601, ColorRange.MPEG
    return frame


def _planes_of(frame: VideoFrame) -> list[NDArray[np.uint8]]:
    return [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    ]


@pytest.mark.parametrize("size", [(1920, 1080), (1919, 1079), (3840, 2160), (130, 101)], ids=str)
def test_a_small_zone_is_shown_in_the_camera_s_own_pixels(size: tuple[int, int]) -> None:
    """Luma and chroma of its view are those of the frame, to the last bit."""
    frame = _noise(*size)
    record, pixels = _filled(frame, SMALL_PART)
    assert (record.width, record.height) == (64, 64)
    left, top = (round(edge * side) for edge, side in zip(record.region[:2], size, strict=True))
    luma, *chroma = _planes_of(frame)
    assert (pixels[:64] == luma[top : top + 64, left : left + 64]).all()
    half = np.concatenate([plane[top // 2 :, left // 2 :][:32, :32].reshape(16, 64) for plane in chroma])
    assert (pixels[64:] == half).all()


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "nv12", "yuvj422p", "yuv444p", "rgb24"])
@pytest.mark.parametrize("size", [(1920, 1080), (641, 359)], ids=str)
def test_parts_are_cut_from_any_format(pixel_format: str, size: tuple[int, int]) -> None:
    """A tile has the colours of its part of the frame, whatever the camera's format."""
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, width // 2 :] = COLOUR
    frame = VideoFrame.from_ndarray(picture, format="rgb24")
    if pixel_format != "rgb24":
        space = "ITU709" if height >= 720 else "ITU601"
        levels = "JPEG" if pixel_format.startswith("yuvj") else "MPEG"
        frame = frame.reformat(format=pixel_format, dst_colorspace=space, dst_color_range=levels)
    order = ViewOrder(416, 416, keep_aspect=True, region=(0.6, 0.1, 0.9, 0.9))
    _, pixels = _filled(frame, order)
    seen = cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_I420).reshape(-1, 3).astype(int)
    assert np.abs(seen - COLOUR).max() <= 5


def test_every_view_has_its_place_and_its_light() -> None:
    """Views lie one after another in the slot, each corrected for what is in it alone."""
    whole = ViewOrder(64, 64, keep_aspect=True)
    orders = (whole, *(replace(whole, region=region) for region in tiles(1, 2, 0.1)))
    frame = VideoFrame(640, 360, "yuv420p")
    luma = np.zeros((360, frame.planes[0].line_size), np.uint8)
    luma[:, :320] = 110 + np.arange(320) % 30  # a veil on the left
    luma[:, 320:640] = np.where(np.arange(320) // 20 % 2, 30, 220)
    frame.planes[0].update(luma.tobytes())
    for plane in frame.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    (all_of_it, _), (left, left_pixels), (right, right_pixels) = _all_filled(
        Views(orders, Policy(mode=Mode.GUIDED)), frame, _mailbox(*orders)
    )
    assert all_of_it.region == WHOLE
    assert [record.offset for record in (all_of_it, left, right)] == [0, 6144, 12288]
    assert left.correction is not Correction.NONE
    assert right.correction is Correction.NONE
    assert left.light.contrast < all_of_it.light.contrast <= right.light.contrast
    assert np.ptp(left_pixels[: left.height]) > 150
    assert np.ptp(right_pixels[: right.height]) > 150


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (17, 13), (33, 721)], ids=str)
def test_views_of_a_tiny_frame_are_fewer(size: tuple[int, int]) -> None:
    """Where tiles would show the same pixels, one of them does; the whole is there all the same, and first."""
    whole = ViewOrder(64, 64, keep_aspect=True)
    orders = (whole, *(replace(whole, region=region) for region in tiles(8, 8, 0.5)))
    found = _all_filled(Views(orders, Policy(mode=Mode.OFF)), _noise(*size), _mailbox(*orders))
    regions = [record.region for record, _ in found]
    assert regions[0] == WHOLE
    assert len(set(regions)) == len(regions) <= len(orders)
    assert len(regions) == 1 or size != (2, 2)
    assert all(0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 for x1, y1, x2, y2 in regions)


def test_a_camera_may_change_the_size_of_its_pictures() -> None:
    """The next frame is cut for its own size, and back."""
    orders = (ViewOrder(64, 64, keep_aspect=True), SMALL_PART)
    views, box = Views(orders, Policy(mode=Mode.OFF)), _mailbox(*orders)
    shown = []
    for size in ((640, 480), (48, 32), (1920, 1080), (640, 480)):
        found = views.fill(_noise(*size), 0.0, box, 0)
        shown.append([(record.region, record.offset) for record in found])
    assert [len(found) for found in shown] == [2, 1, 2, 2]
    assert shown[0] == shown[3] != shown[2]


def test_other_views_may_be_ordered_between_two_frames() -> None:
    """The next frame is shown in the new sizes, and the light of a part goes on from what it was."""
    part = (0.5, 0.0, 1.0, 1.0)
    small, large = (
        (ViewOrder(side, side, keep_aspect=True), ViewOrder(side, side, keep_aspect=True, region=part))
        for side in (64, 96)
    )
    policy, flat, wide = Policy(mode=Mode.GUIDED), _ramp(100, 120), _ramp(90, 130)
    views, box = Views(small, policy), _mailbox(*large)
    views.fill(flat, 0.0, box, 0)
    views.show(large)
    told = _all_filled(views, wide, box)
    assert [(one.width, one.height, one.offset) for one, _ in told] == [
        (96, 48, 0),
        (96, 96, 96 * 96 * 3 // 2),
    ]
    fresh = _all_filled(Views(large, policy), wide, _mailbox(*large))
    for (record, pixels), (other, others) in zip(told, fresh, strict=True):
        assert record.light == other.light, "what is measured is this picture's"
        assert record.correction is other.correction is Correction.STRETCH
        assert (pixels != others).any(), "what is planned for remembers the picture before"


def _ramp(low: int, high: int) -> VideoFrame:
    frame = VideoFrame(800, 400, "yuv420p")
    luma = np.tile(np.linspace(low, high, frame.planes[0].line_size), (400, 1)).astype(np.uint8)
    frame.planes[0].update(luma.tobytes())
    for plane in frame.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    return frame


def _picture(width: int, height: int) -> VideoFrame:
    """A frame with edges, slopes and colours, as a camera's."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    rgb = np.stack((across, down, 0.5 + 0.5 * np.sin(20 * across * down)), axis=2)
    rgb[height // 3 : height // 2, width // 4 : width // 3] = (0.9, 0.1, 0.1)
    return VideoFrame.from_ndarray((rgb * 255).astype(np.uint8), format="rgb24")


@pytest.mark.parametrize("pixel_format", ["nv12", "yuv422p", "yuvj422p"])
@pytest.mark.parametrize("size", [(1920, 1080), (640, 480), (644, 482), (1279, 719)], ids=str)
@pytest.mark.parametrize("region", [WHOLE, (0.25, 0.3, 0.75, 0.9)], ids=["whole", "part"])
def test_other_formats_come_straight_from_their_planes(
    pixel_format: str, size: tuple[int, int], region: tuple[float, float, float, float]
) -> None:
    """They show what swscale's conversion to the usual format shows, within two steps nearly everywhere."""
    frame = _picture(*size).reformat(format=pixel_format)
    usual = frame.reformat(
        format="yuvj420p" if pixel_format.startswith("yuvj") else "yuv420p",
        src_color_range="JPEG" if pixel_format.startswith("yuvj") else "MPEG",
        dst_color_range="JPEG" if pixel_format.startswith("yuvj") else "MPEG",
    )
    order = ViewOrder(416, 416, keep_aspect=True, region=region)
    record, pixels = _filled(frame, order)
    wanted, expected = _filled(usual, order)
    assert replace(record, light=wanted.light) == wanted
    off = np.abs(pixels.astype(int) - expected)
    assert off.mean() < 0.5
    assert (off > 2).mean() < 0.005
    assert off.max() <= 48  # beside a sharp edge of a colour, where each way of halving takes its own rows


def test_the_scene_is_that_of_the_first_view_before_its_correction() -> None:
    """A correction follows the light, and what is compared over minutes must not follow it."""
    luma = np.full((240, 320), 60, np.uint8)
    luma[::2, ::3] = 70  # little contrast: what a correction stretches
    frame = VideoFrame.from_ndarray(np.vstack([luma, np.full((120, 320), 128, np.uint8)]), format="yuv420p")
    order = ViewOrder(320, 240, keep_aspect=True)
    views = Views(
        (order, ViewOrder(160, 120, keep_aspect=True, region=(0.0, 0.0, 0.5, 0.5))), Policy(Mode.GUIDED)
    )
    assert views.scene is None
    (record, pixels), _ = _all_filled(views, frame, _mailbox(*views.orders))
    assert record.correction is not Correction.NONE, "nothing was corrected"
    expected = measure_structure(luma)
    assert expected is not None
    assert views.scene is not None
    assert (views.scene.scene().cells == expected).all()
    assert (measure_structure(pixels[:240]) != expected).any()
