"""One picture is seen in every light and with every variant, and the detector runs on what differs."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.footage import seen
from support.lighting import picture, scene, veiled
from tocsin.augment.develop import Negative, Recipe
from tocsin.capture.mailbox import Mailbox, create
from tocsin.capture.order import ViewOrder
from tocsin.capture.regions import tiles
from tocsin.capture.views import Views
from tocsin.evaluate.look import Lane, Looker, Plain
from tocsin.evaluate.variants import parse
from tocsin.footage.pictures import Picture, from_rgb, pictures
from tocsin.footage.simulate import AS_RECORDED, conditions
from tocsin.frame import Detections, Frame, View
from tocsin.light.plan import Mode, Policy

SIZE = (640, 360)


class Eyes:
    """A detector that keeps what it was shown and always sees the same box."""

    input_width = input_height = 320
    keep_aspect = True

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []
        self.views: tuple[View, ...] = ()
        """Those of the last frame that was shown."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        for frame in frames:
            self.views = frame.views
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


def test_the_light_of_each_condition_is_its_own() -> None:
    """Also where it differs from another in noise alone, and from picture to picture."""
    views = looker(Eyes(), "off", "noise0.02")
    first, then = (views.look(frame(index, veil)).lights for index, veil in enumerate((0.0, 0.01)))
    assert list(first) == [AS_RECORDED, "noise0.02"]
    assert first["noise0.02"].noise > 2 * first[AS_RECORDED].noise
    assert first[AS_RECORDED] != then[AS_RECORDED]


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


@pytest.mark.parametrize("mode", list(Mode))
def test_every_view_is_that_of_a_capture_worker(mode: Mode) -> None:
    """Tiles and zones are cut, shrunk and corrected as the daemon does it, each for its own light."""
    whole = ViewOrder(Eyes.input_width, Eyes.input_height, Eyes.keep_aspect)
    zone = replace(whole, region=(0.1, 0.2, 0.3, 0.4), grow=True)
    orders = (whole, zone, *(replace(whole, region=region) for region in tiles(2, 2, 0.2)))
    eyes = Eyes()
    views = Looker(eyes, Plain(conditions(None), parse(mode.value), Policy(), 0, orders), still=False)
    worker = Views(orders, Policy(mode=mode))
    size = sum(order.capacity for order in orders)
    descriptor = create(size)
    mailbox = Mailbox(descriptor, size)
    os.close(descriptor)
    for index, veil in enumerate((0.75, 0.2, 0.75)):
        one = frame(index, veil)
        views.look(one)
        records = worker.fill(one.frame, one.at, mailbox, 0)
        assert len(records) == len(eyes.views) == 6
        for record, view in zip(records, eyes.views, strict=True):
            assert (record.region, record.correction) == (view.region, view.correction)
            assert np.array_equal(view.pixels, mailbox.view(0, record).pixels)


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


def test_a_glance_changes_nothing_for_the_pictures_after_it() -> None:
    """The daemon's chain goes on over the pictures that it would analyse, as a capture worker's does."""
    order = ViewOrder(320, 320, True)
    eyes, policy = Eyes(), Policy(mode=Mode.DACOT, brighter_than=0)
    views = Looker(eyes, Plain(conditions(None), parse("dacot"), policy, 0), still=False)
    worker, alone = Views((order,), policy), Views((order,), policy)
    descriptor = create(order.capacity)
    mailbox = Mailbox(descriptor, order.capacity)
    os.close(descriptor)
    for index in range(6):
        one = replace(frame(index, 0.15 * index), at=index / 25)
        due = index % 3 == 0  # a frame every 0.12 s
        views.look(one, glance=not due)
        if due:
            (record,) = worker.fill(one.frame, one.at, mailbox, 0)
        elif index == 1:  # as if it came next
            before = frame(0)
            alone.fill(before.frame, before.at, mailbox, 0)
            (record,) = alone.fill(one.frame, one.at, mailbox, 0)
        else:
            continue
        assert np.array_equal(eyes.shown[-1], mailbox.pixels(0, 0, record.width, record.height)), index


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_images_take_one_way(tmp_path: Path, size: tuple[int, int]) -> None:
    """A stored image and the same in a light that changes nothing are the same to the detector, pixel for pixel.

    It is what a data set shown in many lights trains with.
    """
    stored = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), stored)
    eyes = Eyes()
    (one,) = pictures(tmp_path)
    looker(eyes, "off", "ev+0", still=True).look(one)
    assert len(eyes.shown) == 1
    assert (one.frame.width, one.frame.height) == size
    recipe = Recipe(Policy(mode=Mode.OFF), 320, 320, keep_aspect=True, shrink=True, quality=95)
    trained = Negative(encoded(stored), ".png", None).develop(conditions(None)[0], 0, recipe)
    bgr = cv2.cvtColor(eyes.shown[0], cv2.COLOR_YUV2BGR_I420)
    assert np.array_equal(cv2.imdecode(np.frombuffer(trained.data, np.uint8), cv2.IMREAD_COLOR), bgr)


def encoded(bgr: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", bgr)
    assert done
    return data.tobytes()


def test_noise_differs_from_picture_to_picture() -> None:
    """As a camera's does: two frames of the same scene are not the same."""
    eyes = Eyes()
    views = looker(eyes, "off", "noise0.05")
    for index in (0, 1):
        views.look(replace(frame(0), index=index))
    assert len(eyes.shown) == 4
    assert np.array_equal(eyes.shown[0], eyes.shown[2])
    assert not np.array_equal(eyes.shown[1], eyes.shown[3])


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
