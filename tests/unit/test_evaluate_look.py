"""One picture is seen in every light and with every variant, and the detector runs on what differs."""

import os
from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from support.footage import seen
from support.lighting import picture, scene, veiled
from tocsin.capture.mailbox import Mailbox, create
from tocsin.capture.order import ViewOrder
from tocsin.capture.views import Views
from tocsin.evaluate.look import Lane, Looker, Plain
from tocsin.evaluate.pictures import Picture, from_rgb
from tocsin.evaluate.simulate import AS_RECORDED, conditions
from tocsin.evaluate.variants import parse
from tocsin.frame import Detections, Frame
from tocsin.light.plan import Mode, Policy

SIZE = (640, 360)


class Eyes:
    """A detector that keeps what it was shown and always sees the same box."""

    input_width = input_height = 320
    keep_aspect = True

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        for frame in frames:
            self.shown.append(frame.views[0].pixels.copy())
        return [seen((0.5, 0.5, 0.6, 0.7)) for _ in frames]


def frame(index: int = 0, veil: float = 0.0) -> Picture:
    pixels = picture(veiled(scene(*SIZE, seed=index), veil))
    rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_I420), np.uint8)
    return Picture(index, "scene", index / 10, from_rgb(rgb))


def looker(eyes: Eyes, variants: str, simulate: str | None = None, *, still: bool = False) -> Looker:
    return Looker(eyes, Plain(conditions(simulate), parse(variants), Policy(), 0), still)


def test_what_is_the_same_is_looked_at_once() -> None:
    """In good light the guided variant does nothing: it shares the detector's answer with off."""
    eyes = Eyes()
    look = looker(eyes, "off,guided,stretch,placebo").look(frame())
    assert len(look.sights) == 4
    assert len(eyes.shown) == 3


def test_every_light_is_looked_at() -> None:
    """Each lane has its sight, each condition its light, measured before any correction."""
    eyes = Eyes()
    look = looker(eyes, "off,guided", "veil0.75").look(frame())
    assert set(look.sights) == {
        Lane(condition, variant) for condition in (AS_RECORDED, "veil0.75") for variant in ("off", "guided")
    }
    assert look.lights["veil0.75"].contrast < look.lights[AS_RECORDED].contrast / 2
    assert look.sights[Lane("veil0.75", "guided")].correction.value.startswith("stretch")
    assert len(eyes.shown) == 3


@pytest.mark.parametrize("mode", list(Mode))
def test_pixels_are_those_of_a_capture_worker(mode: Mode) -> None:
    """Shrunk and corrected as recorded, the detector sees what the daemon's would, picture after picture."""
    eyes = Eyes()
    order = ViewOrder(eyes.input_width, eyes.input_height, eyes.keep_aspect)
    views, worker = looker(eyes, mode.value), Views((order,), Policy(mode=mode))
    descriptor = create(order.capacity)
    mailbox = Mailbox(descriptor, order.capacity)
    os.close(descriptor)
    for index, veil in enumerate((0.75, 0.2, 0.75)):
        one = frame(index, veil)
        views.look(one)
        (record,) = worker.fill(one.frame, one.at, mailbox, 0)
        # of those that were shown the last is the mode's own; off is the same where it does nothing
        assert np.array_equal(eyes.shown[-1], mailbox.pixels(0, 0, record.width, record.height))


def test_the_placebo_moves_the_picture_and_moves_boxes_back() -> None:
    """The detector sees the picture moved by (3, 2) pixels; what it finds is told where it was before."""
    eyes = Eyes()
    look = looker(eyes, "off,placebo").look(frame())
    off, placebo = eyes.shown
    assert not np.array_equal(off, placebo)
    # a shift of (3, 2) in 640x360 is one of (1.5, 1) in 320x180: the mean of two columns' shifts
    height = 180
    moved = (placebo[2:height, 4:320].astype(int), off[1 : height - 1, 2:318].astype(int))
    still = (placebo[2:height, 4:320].astype(int), off[2:height, 4:320].astype(int))
    assert np.abs(moved[0] - moved[1]).mean() < np.abs(still[0] - still[1]).mean() / 2
    found = [look.sights[Lane(AS_RECORDED, name)].detections.boxes[0] for name in ("off", "placebo")]
    assert found[0] - found[1] == pytest.approx([3 / 640, 2 / 360] * 2, abs=1e-6)


def test_still_pictures_have_no_past() -> None:
    """In a folder the picture before, behind glare, changes nothing about the next."""
    apart, after = Eyes(), Eyes()
    looker(apart, "guided", still=True).look(frame(1, 0.3))
    lookers = looker(after, "guided", still=True)
    lookers.look(frame(0, 0.75))
    lookers.look(frame(1, 0.3))
    assert np.array_equal(after.shown[-1], apart.shown[-1])


def test_noise_depends_on_the_picture_and_the_seed() -> None:
    """Two conditions see the same noise in one picture; two seeds do not."""
    shown = []
    for seed in (0, 0, 1):
        eyes = Eyes()
        plain = Plain(conditions("noise0.05"), parse("off"), Policy(), seed)
        Looker(eyes, plain, still=False).look(frame())
        shown.append(eyes.shown[-1])
    assert np.array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[0], shown[2])
