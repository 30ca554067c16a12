"""When a picture that stands still is taken for frozen, and when not."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tocsin.eyesight.frozen import FreezeVigil, Notice
from tocsin.frame import SCENE_CELLS, Scene

Cells = NDArray[np.float32]

YARD = np.random.default_rng(0).uniform(5, 120, SCENE_CELLS).astype(np.float32)
PLAIN = np.stack([np.full(SCENE_CELLS[1:], 90.0), *np.zeros((2, *SCENE_CELLS[1:]))]).astype(np.float32)
CLOCK = (0, slice(0, 3))
"""The cells in which a clock runs."""


@dataclass
class Camera:
    """Shows a vigil two scenes a second, with a keyframe every `interval` seconds, and keeps what it says."""

    interval: float = 2.0
    vigil: FreezeVigil = field(default_factory=FreezeVigil)
    at: float = 100.0
    said: list[tuple[float, Notice]] = field(default_factory=list)
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    keyframes: int = 0
    picture: Cells = field(default_factory=YARD.copy)
    unsettled: NDArray[np.bool_] = field(default_factory=lambda: np.ones(SCENE_CELLS[1:], np.bool_))

    def show(self, seconds: float, change: Callable[["Camera", bool], None], silence: float = 0.5) -> None:
        """Show pictures for so long, each changed; a change is told whether the picture is a keyframe."""
        for number in range(round(seconds * 2)):
            gap = silence if number == 0 else 0.5
            self.at += gap
            before, self.keyframes = self.keyframes, int((self.at - 100.0 + 1e-6) / self.interval)
            change(self, self.keyframes != before)
            notice = self.vigil.update(Scene(self.at, self.keyframes, self.picture.copy()), 0.5, gap)
            if notice is not None:
                self.said.append((self.at - 100.0, notice))

    @property
    def words(self) -> str:
        return "".join("-" if notice.over else "+" for _, notice in self.said)


def noise(camera: Camera, keyframe: bool) -> None:
    """Every picture is another."""
    camera.picture = YARD + camera.chance.normal(0, 0.01, SCENE_CELLS).astype(np.float32)


def skipped(camera: Camera, keyframe: bool) -> None:
    """A quiet scene and a thrifty encoder: the picture changes with its keyframes alone."""
    if keyframe:
        noise(camera, keyframe)


def frozen(camera: Camera, keyframe: bool) -> None:
    """Nothing changes."""


def clocked(camera: Camera, keyframe: bool) -> None:
    """Nothing but a clock does, which is drawn over the picture."""
    camera.picture[:, *CLOCK] = camera.chance.uniform(50, 200)


def walk(camera: Camera, keyframe: bool) -> None:
    """Somebody walks through half the picture, and the other half is the same to the bit."""
    camera.picture[:, :, :4] = YARD[:, :, :4] + camera.chance.uniform(-20, 20, (3, 6, 4)).astype(np.float32)


def passing(camera: Camera, keyframe: bool) -> None:
    """Somebody walks through a noisy picture."""
    noise(camera, keyframe)
    camera.picture[:, :, :4] += camera.chance.uniform(0, 20, (3, 6, 4)).astype(np.float32)


def unsettled(camera: Camera, keyframe: bool) -> None:
    """A frozen picture that is coded anew, its quantiser wandering among six values."""
    if keyframe:
        camera.picture = YARD + np.float32(camera.chance.integers(6) / 50)


def windy(camera: Camera, keyframe: bool) -> None:
    """The mast sways, and with it the whole picture."""
    camera.picture = YARD + camera.chance.uniform(-9, 9, SCENE_CELLS).astype(np.float32)


def smooth(camera: Camera, keyframe: bool) -> None:
    """So little noise and so coarse a quantiser that a keyframe leaves half of the cells as they are."""
    if keyframe:
        changed = camera.chance.random(SCENE_CELLS[1:]) < 0.12
        camera.picture = YARD + changed.astype(np.float32) / 50


def smooth_and_dark(camera: Camera, keyframe: bool) -> None:
    """The same with the lights off."""
    if keyframe:
        smooth(camera, keyframe)
        camera.picture = camera.picture * np.float32(0.5)


def settling(camera: Camera, keyframe: bool) -> None:
    """A frozen picture of which each keyframe has more bits: the fewer of its cells come out otherwise."""
    if keyframe:
        camera.unsettled &= camera.chance.random(SCENE_CELLS[1:]) < 0.92
        coded = YARD + camera.chance.normal(0, 0.003, SCENE_CELLS).astype(np.float32)
        camera.picture = np.where(camera.unsettled, coded, YARD)


def alternating(camera: Camera, keyframe: bool) -> None:
    """A slow shutter: each picture comes twice."""
    if round(camera.at * 2) % 2:
        noise(camera, keyframe)


@pytest.mark.parametrize("interval", [0.04, 1.0, 2.0, 10.0, 50.0])
@pytest.mark.parametrize("living", [noise, skipped, walk, alternating])
def test_a_living_picture_is_never_frozen(living: Callable[[Camera, bool], None], interval: float) -> None:
    """However quiet the scene and however thrifty the encoder."""
    camera = Camera(interval)
    camera.show(600, living)
    assert camera.said == []


@pytest.mark.parametrize(
    ("before", "after", "interval"),
    [
        pytest.param(windy, smooth, 2.0, id="the wind drops"),
        pytest.param(noise, smooth_and_dark, 10.0, id="the lights go off"),
    ],
)
def test_what_was_usual_in_motion_or_in_another_light_proves_nothing(
    before: Callable[[Camera, bool], None], after: Callable[[Camera, bool], None], interval: float
) -> None:
    """Of a swaying picture nothing is ever known again; of the quiet one after it half is, and it lives."""
    camera = Camera(interval)
    camera.show(300, before)
    camera.show(300, after)
    assert camera.said == []


@pytest.mark.parametrize("standing", [frozen, clocked])
@pytest.mark.parametrize(
    ("interval", "after"),
    [
        pytest.param(0.04, 10.5, id="mjpeg"),
        pytest.param(1.0, 10.5, id="a keyframe a second"),
        pytest.param(4.0, 12.0, id="a keyframe in four seconds"),
        pytest.param(10.0, 20.0, id="a keyframe in ten seconds"),
    ],
)
def test_a_frozen_picture_is_said_once(
    standing: Callable[[Camera, bool], None], interval: float, after: float
) -> None:
    """Within fifteen seconds where keyframes come as usual, and once more when it moves again."""
    camera = Camera(interval)
    camera.show(80, noise)
    camera.show(10, passing)
    camera.show(60, standing)
    assert camera.words == "+"
    assert camera.said[0][0] <= 90 + after
    assert camera.said[0][1].lasted <= after
    camera.show(60, noise)
    assert camera.words == "+-"
    assert camera.said[1][0] <= 150 + max(6.0, interval + 5)
    assert camera.said[1][1].lasted == pytest.approx(camera.said[1][0] - 90, abs=2 * max(2.0, interval))
    assert not camera.vigil.frozen


def test_movement_ends_it_within_seconds() -> None:
    """Also between two keyframes far apart."""
    camera = Camera(10.0)
    camera.show(60, noise)
    camera.show(45, frozen)
    camera.show(10, walk)
    assert camera.words == "+-"
    assert camera.said[1][0] <= 105 + 4


def test_a_picture_whose_quantiser_settles_is_found_within_fifteen_seconds() -> None:
    """And what is told counts from when it froze, not from when it came out the same."""
    camera = Camera()
    camera.show(60, noise)
    camera.show(20, settling)
    assert camera.words == "+"
    at, notice = camera.said[0]
    assert at <= 60 + 15
    assert notice.lasted == pytest.approx(at - 60, abs=3.0)


def test_a_picture_coded_anew_is_found() -> None:
    """Though its quantiser never rests: the pictures come back."""
    camera = Camera()
    camera.show(60, skipped)
    camera.show(60, unsettled)
    assert camera.words == "+"
    assert camera.said[0][0] < 60 + 30


@pytest.mark.parametrize("standing", [frozen, clocked])
def test_a_camera_that_was_frozen_before_the_daemon_started_is_found(
    standing: Callable[[Camera, bool], None],
) -> None:
    """It takes longer, for nothing is known of how it looks when it lives."""
    camera = Camera(1.0)
    camera.show(20, standing)
    assert camera.said == []
    camera.show(10, standing)
    assert camera.words == "+"


def test_a_picture_that_is_often_known_again_needs_more_to_be_frozen() -> None:
    """Coarse quantisers leave half of a quiet picture as it was; then only all of it counts."""

    def coarse(camera: Camera, keyframe: bool) -> None:
        changed = camera.chance.random(SCENE_CELLS[1:]) < 0.1
        camera.picture = YARD + changed.astype(np.float32) / 50

    camera = Camera(0.04)
    camera.show(600, coarse)
    assert camera.said == []


def test_a_plain_picture_cannot_be_frozen() -> None:
    """What has no structure is the same in every picture: a covered lens, the dark."""
    camera = Camera()
    camera.picture = PLAIN.copy()
    camera.show(300, frozen)
    assert camera.said == []


def test_a_stream_that_hangs_for_some_seconds_is_not_frozen() -> None:
    """Nor is one that brings nothing at all."""
    camera = Camera(1.0)
    for _ in range(10):
        camera.show(30, noise)
        camera.show(8, frozen)
    camera.show(30, noise, silence=3600.0)
    assert camera.said == []


def test_a_reconnect_makes_nothing_forgotten() -> None:
    """A camera that is frozen stays so, though its stream is opened anew and keyframes are counted from one."""
    camera = Camera(1.0)
    camera.show(60, noise)
    camera.show(9, frozen)
    for _ in range(5):
        camera.vigil.update(Scene(camera.at + 4.0, 1, camera.picture.copy()), 0.5, 4.0)
        camera.show(6, frozen, silence=4.5)
    assert camera.words == "+"


@given(
    st.lists(
        st.tuples(st.sampled_from([noise, skipped, frozen, clocked, walk]), st.floats(1, 40)), max_size=12
    )
)
def test_beginning_and_end_alternate(script: list[tuple[Callable[[Camera, bool], None], float]]) -> None:
    """Whatever is shown, and an end comes no sooner than its time."""
    camera = Camera(1.0)
    for change, seconds in script:
        camera.show(seconds, change)
    assert camera.words == ("+-" * len(camera.said))[: len(camera.said)]
    for (began, _), (ended, last) in zip(camera.said[::2], camera.said[1::2], strict=False):
        assert ended - began >= 3.0
        assert last.lasted >= ended - began


@given(st.lists(st.tuples(st.floats(0, 1e4), st.integers(0, 5)), max_size=60))
def test_no_clock_breaks_it(times: list[tuple[float, int]]) -> None:
    """Times that go back, stand still or leap are taken, as the seam of a recording has them."""
    vigil = FreezeVigil()
    for at, keyframes in times:
        vigil.update(Scene(at, keyframes, YARD), 0.5, 0.5)
