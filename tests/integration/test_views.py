"""From a box in the camera's picture to the same box in what was detected, through every kind of view."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from support import blockmodel
from support.capturing import capturing, order
from support.h264 import record
from support.scene import Block, Scene
from tocsin import assembly
from tocsin.capture import mailbox
from tocsin.capture.mailbox import Mailbox
from tocsin.capture.order import ViewOrder
from tocsin.capture.views import Views
from tocsin.config.load import loads
from tocsin.detect.detector import Detector, open_detector
from tocsin.detect.families import FAMILIES, Decoder, Hints
from tocsin.detect.manifest import Fit, InputFormat
from tocsin.detect.model import Model
from tocsin.detect.session import Outputs, Placement, Signature, Tensor
from tocsin.frame import Box, Detections, Frame, View
from tocsin.light.plan import Mode, Policy

CONFIG = """\
streams:
  - name: yard
    source: /dev/video0
    views: {views}
    zones:
      - {{name: door, polygon: [[0.30, 0.35], [0.42, 0.35], [0.42, 0.6]]}}
      - {{name: gate, polygon: [[0.5, 0.2], [1, 0.2], [1, 1], [0.5, 1]]}}
      - {{name: nowhere, polygon: [[0, 0], [0.1, 0], [0.1, 0.1]]}}
    rules: [visitor, other]
rules:
  - {{name: visitor, classes: [block], zones: [door]}}
  - {{name: other, classes: [block], zones: [gate, door]}}
  - {{name: unused, classes: [block], zones: []}}
"""
DARK, BRIGHT = 40, 220
DARK_VALUE = (DARK - 16) / 219


class Spotter:
    """A session that gives the box around all that is bright in each row."""

    signature = Signature(
        (),
        (Tensor("boxes", (None, 1, 4), "tensor(float)"), Tensor("scores", (None, 1, 2), "tensor(float)")),
        {},
    )

    def infer(self, batch: NDArray[np.float32]) -> Outputs:
        boxes = np.zeros((len(batch), 1, 4), np.float32)
        scores = np.zeros((len(batch), 1, 2), np.float32)
        for row, picture in enumerate(batch):
            green = picture[1]
            if green.max() < 0.9:
                continue
            boxes[row, 0, ::2] = _extent(green.max(axis=0))
            boxes[row, 0, 1::2] = _extent(green.max(axis=1))
            scores[row, 0, 0] = 0.9
        return {"boxes": boxes, "scores": scores}


def _extent(profile: NDArray[np.float64]) -> tuple[float, float]:
    """Where something bright begins and ends, to a fraction of a pixel, by the light of its ends."""
    share = np.clip((profile - DARK_VALUE) / (profile.max() - DARK_VALUE), 0.0, 1.0)
    share[share < 0.02] = 0.0  # rounding
    middle, length = float((share * (np.arange(len(share)) + 0.5)).sum() / share.sum()), float(share.sum())
    return middle - length / 2, middle + length / 2


def spotter(side: tuple[int, int], fit: Fit, max_batch: int = 4) -> Detector:
    takes = InputFormat(width=side[0], height=side[1], fit=fit, pad=0)
    reading = FAMILIES["boxes+scores"].read(Spotter.signature, Hints(*side))
    assert reading is not None, "the family reads its own outputs"
    family = Decoder("boxes+scores", reading, *side, len(blockmodel.LABELS))
    model = Model("spotter", Path("spotter.onnx"), takes, family, blockmodel.LABELS, None)
    return Detector(model, Spotter(), Placement("CPUExecutionProvider", "cpu", None), max_batch, 0.5)


def orders_for(views: str, detector: Detector) -> tuple[ViewOrder, ...]:
    config = loads(CONFIG.format(views=views).encode(), name="f", folder=Path("/"))
    return assembly.views(config, config.streams[0], detector)


def picture(width: int, height: int, corners: tuple[int, int, int, int]) -> VideoFrame:
    """A dark picture with one bright box, in pixels."""
    frame = VideoFrame(width, height, "yuv420p")
    luma = np.full((height, frame.planes[0].line_size), DARK, np.uint8)
    x1, y1, x2, y2 = corners
    luma[y1:y2, x1:x2] = BRIGHT
    frame.planes[0].update(luma.tobytes())
    for plane in frame.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    frame.colorspace, frame.color_range = Colorspace.ITU601, ColorRange.MPEG
    return frame


@contextmanager
def shown(orders: tuple[ViewOrder, ...], frame: VideoFrame) -> Iterator[Frame]:
    """A frame as it lies in the mailbox."""
    size = sum(one.capacity for one in orders)
    descriptor = mailbox.create(size)
    box = Mailbox(descriptor, size)
    os.close(descriptor)
    views = tuple(box.view(1, one) for one in Views(orders, Policy(mode=Mode.OFF)).fill(frame, 0.0, box, 1))
    yield Frame("yard", 1, 0.0, 0.1, 0.0, frame.width, frame.height, views)


def scale_of(view: View, frame: Frame) -> NDArray[np.float64]:
    """Frame pixels in one pixel of a view, across and down, for each edge of a box."""
    x1, y1, x2, y2 = view.region
    return np.array([(x2 - x1) * frame.width / view.width, (y2 - y1) * frame.height / view.height] * 2)


@pytest.mark.parametrize("views", ["full", "zones", "tiles", "{tiles: {rows: 3, columns: 2, overlap: 0.4}}"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_box_in_the_picture_is_the_box_that_is_detected(views: str, data: st.DataObject) -> None:
    """To half a pixel of each view in which it lies whole, and once: odd sizes, tiny frames, 4K, any input."""
    width, height = data.draw(
        st.sampled_from([(1920, 1080), (3840, 2160), (1919, 1079), (768, 576), (101, 75), (577, 1023)])
    )
    side = data.draw(st.sampled_from([(64, 64), (416, 416), (320, 192), (191, 333)]))
    detector = spotter(side, data.draw(st.sampled_from(list(Fit))), data.draw(st.sampled_from([1, 4])))
    orders = orders_for(views, detector)
    x1, x2 = _edges(data, width)
    y1, y2 = _edges(data, height)
    drawn = np.array([x1, y1, x2, y2], np.float64)
    with shown(orders, picture(width, height, (x1, y1, x2, y2))) as frame:
        alone = [detector.detect([replace(frame, views=(view,))])[0] for view in frame.views]
        together = detector.detect([frame])[0]
        assert frame.views[0].region == (0.0, 0.0, 1.0, 1.0)
        for view, found in zip(frame.views, alone, strict=True):
            scale = scale_of(view, frame)
            a, b, c, d = np.array(view.region) * np.array([width, height] * 2)
            inside = a <= x1 and b <= y1 and c >= x2 and d >= y2
            if inside and (x2 - x1) >= 3 * scale[0] and (y2 - y1) >= 3 * scale[1]:
                assert len(found) == 1
                off = np.abs(found.boxes[0] * np.array([width, height] * 2) - drawn) / scale
                assert off.max() <= 0.5, (view.region, off)
                assert found.pixels[0] == pytest.approx([(x2 - x1) / scale[0], (y2 - y1) / scale[1]], abs=1.1)
        assert len(together) <= 1 + _lost(alone)
        if len(alone[0]):
            best = frame.views[int(together.views[0])]
            assert together.pixels[0] == pytest.approx(
                [(x2 - x1) / scale_of(best, frame)[0], (y2 - y1) / scale_of(best, frame)[1]], abs=1.6
            )


def _lost(alone: list[Detections]) -> int:
    """Slivers at the edge of a view, which may not be told from others, where the whole frame saw nothing."""
    return 0 if len(alone[0]) else sum(len(found) for found in alone)


def _edges(data: st.DataObject, length: int) -> tuple[int, int]:
    first = data.draw(st.integers(0, length - 10))
    return first, data.draw(st.integers(first + 10, min(length, first + length // 2 + 10)))


@pytest.mark.parametrize(
    ("views", "count"), [pytest.param("full", 1, id="full"), ("zones", 3), ("tiles", 7)], ids=str
)
def test_a_stream_has_the_views_that_its_configuration_tells(views: str, count: int) -> None:
    """The whole frame comes first in each, and zones that none of the stream's rules names are none."""
    orders = orders_for(views, spotter((416, 416), Fit.LETTERBOX))
    assert len(orders) == count
    assert orders[0].region == (0.0, 0.0, 1.0, 1.0)
    assert not orders[0].grow
    assert [one.grow for one in orders[1:]] == [views == "zones"] * (count - 1)
    assert all(one.region[0] >= 0.28 for one in orders[1:] if one.grow), "nowhere is at the left"


SMALL: Box = (0.40, 0.55, 0.44, 0.604)
"""A block of 26 pixels of a 640x480 picture: under 3 in the block model's whole frame, where a cell has 8."""


@pytest.mark.parametrize(
    ("views", "sees"), [("full", False), ("zones", True), ("{tiles: {rows: 8, columns: 8}}", True)]
)
def test_what_is_small_is_seen_in_its_own_pixels(views: str, sees: bool, tmp_path: Path) -> None:
    """Through a real worker, its mailbox and a real model: a block too small for the whole frame is found."""
    clip = record(Scene(640, 480, blocks=(Block(SMALL),), numbered=False), tmp_path / "clip.mp4", 1.0)
    detector = open_detector(str(blockmodel.build(tmp_path / "m.onnx")), "cpu", 2, 0.5)
    text = CONFIG.replace(
        "[0.30, 0.35], [0.42, 0.35], [0.42, 0.6]", "[0.40, 0.55], [0.44, 0.55], [0.44, 0.6]"
    )
    config = loads(text.format(views=views).encode(), name="f", folder=tmp_path)
    parts = assembly.views(config, config.streams[0], detector)
    with capturing(replace(order(str(clip), loop=True), views=parts)) as capture:
        frame = capture.supervisor.take(1, 10.0)[0]
        try:
            found = detector.detect([frame])[0]
        finally:
            capture.supervisor.release(frame)
    assert len(frame.views) == len(parts)
    assert (len(found) > 0) is sees
    if sees:
        middle = (found.boxes[0, :2] + found.boxes[0, 2:]) / 2
        assert middle == pytest.approx([0.42, 0.577], abs=0.02)
        assert found.views[0] > 0
