"""When a camera is taken for covered, blinded or out of focus, and when only the light has changed."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from support.lighting import Pixels, dimmed, noisy, scene, veiled
from support.lighting import picture as picture_of
from tocsin.eyesight.covered import CoverVigil, Limits, Notice, Tamper
from tocsin.frame import Scene
from tocsin.light.measure import measure
from tocsin.light.structure import measure_structure

LIMITS = Limits()
YARD = cv2.addWeighted(scene(seed=3), 0.5, cv2.resize(scene(48, 27, seed=4), scene().shape[::-1]), 0.5, 0)
"""Large things and small ones: blocks of eight pixels, and light and dark over a fifth of the picture."""


def steady(luma: Pixels) -> Callable[[float], Pixels]:
    """Show one picture, in noise that differs from time to time."""
    shown = [noisy(luma, 0.7, seed) for seed in range(4)]
    return lambda at: shown[int(at * 2) % 4]


def occluded(share: float, level: int = 100) -> Pixels:
    """Something smooth before so much of the lens, from the right."""
    luma = YARD.copy()
    start = round((1 - share) * luma.shape[1])
    luma[:, start:] = np.linspace(level - 15, level + 15, luma.shape[1] - start)
    return luma


def blurred(sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(YARD, (0, 0), sigma), np.uint8)


def glare(radius: float) -> Pixels:
    """A lamp that shines into the lens."""
    rows, columns = np.mgrid[: YARD.shape[0], : YARD.shape[1]]
    distance = np.hypot(columns - 200, rows - 117)
    return np.clip(YARD + 400 * np.exp(-(distance**2) / (2 * radius**2)), 16, 235).astype(np.uint8)


def lorry() -> Pixels:
    """A smooth side with some ribs, and a narrow strip of the scene above it."""
    luma = YARD.copy()
    luma[8:] = np.linspace(170, 120, luma.shape[1])
    luma[30::60] -= 10
    return luma


def infrared() -> Pixels:
    """Other light: from the camera, strong in the middle, and what was dark is bright."""
    rows, columns = np.mgrid[: YARD.shape[0], : YARD.shape[1]]
    lamp = np.exp(-((columns - 208) ** 2 + (rows - 117) ** 2) / (2 * 150**2))
    return np.asarray(16 + (235 - YARD * 0.6) * lamp * 0.8, np.uint8)


def measured(luma: Pixels) -> tuple[NDArray[np.float32], float]:
    """Return the cells of a picture and its noise, measured once for each picture."""
    key = hash(luma.tobytes())
    if key not in _MEASURED:
        cells = measure_structure(luma)
        assert cells is not None
        _MEASURED[key] = cells, measure(picture_of(luma)).noise
    return _MEASURED[key]


_MEASURED: dict[int, tuple[NDArray[np.float32], float]] = {}

GOOD = steady(YARD)
HAND, BLUR, FLASH = steady(occluded(1.0)), steady(blurred(6)), steady(glare(250))


@dataclass
class Camera:
    """Shows a vigil two scenes a second, and keeps what it says and when."""

    vigil: CoverVigil = field(default_factory=CoverVigil)
    at: float = 1000.0
    said: list[tuple[float, Notice]] = field(default_factory=list)

    def show(
        self, picture: Callable[[float], Pixels], seconds: float, silence: float = 0.5, impaired: bool = False
    ) -> None:
        """Show pictures for so long; `picture` is told the seconds since the first of them."""
        for number in range(round(seconds * 2)):
            gap = silence if number == 0 else 0.5
            self.at += gap
            cells, noise = measured(picture(number / 2))
            notice = self.vigil.update(Scene(self.at, 0, cells), noise, 0.5, gap, impaired)
            if notice is not None:
                self.said.append((self.at - 1000.0, notice))

    @property
    def words(self) -> list[str]:
        return [f"{'-' if notice.over else '+'}{notice.reason}" for _, notice in self.said]


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        pytest.param(occluded(1.0), "covered", id="a hand"),
        pytest.param(occluded(1.0, level=60), "covered", id="a hand with little light"),
        pytest.param(occluded(1.0, level=190), "covered", id="a white bag"),
        pytest.param(occluded(0.95), "covered", id="nearly all of the lens"),
        pytest.param(lorry(), "covered", id="a lorry right before it"),
        pytest.param(np.full_like(YARD, 128), "covered", id="paint"),
        pytest.param(glare(250), "blinded", id="a lamp in the lens"),
        pytest.param(np.full_like(YARD, 235), "blinded", id="white"),
        pytest.param(blurred(6), "defocused", id="out of focus"),
        pytest.param(blurred(12), "defocused", id="far out of focus"),
    ],
)
def test_what_was_done_to_a_camera_is_said_once(picture: Pixels, word: str) -> None:
    """After five seconds, by what is left of the picture, and once more when it is back."""
    camera = Camera()
    camera.show(GOOD, 60)
    camera.show(steady(picture), 120)
    assert camera.words == [f"+{word}"]
    assert camera.said[0][0] == pytest.approx(60 + LIMITS.enter_after, abs=1.0)
    camera.show(GOOD, 60)
    assert camera.words == [f"+{word}", f"-{word}"]
    ended, last = camera.said[1]
    assert ended == pytest.approx(180 + LIMITS.leave_after, abs=1.0)
    assert last.lasted == pytest.approx(120 + LIMITS.leave_after, abs=1.0)
    assert camera.vigil.tamper is None


def over(seconds: float, change: Callable[[float], Pixels]) -> Callable[[float], Pixels]:
    """Let a change grow from nothing, 0, to all of it, 1."""
    return lambda at: noisy(change(min(1.0, at / seconds)), 0.7, seed=int(at * 2))


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(GOOD, id="nothing"),
        pytest.param(steady(occluded(0.6)), id="something before six tenths of it"),
        pytest.param(steady(veiled(YARD, 0.75)), id="a veil of steam at once"),
        pytest.param(over(120, lambda share: veiled(YARD, 0.95 * share)), id="fog that comes in two minutes"),
        pytest.param(over(120, lambda share: dimmed(YARD, 1.0 - 0.98 * share)), id="dusk"),
        pytest.param(steady(dimmed(YARD, 0.4)), id="half of the lamps are switched off"),
        pytest.param(steady(dimmed(YARD, 0.1)), id="nearly all of them are"),
        pytest.param(steady(np.full_like(YARD, 16)), id="the light is switched off"),
        pytest.param(steady(occluded(1.0, level=33)), id="a dark bag, which looks the same"),
        pytest.param(steady(infrared()), id="infrared light"),
        pytest.param(steady(np.clip(YARD * 1.6, 16, 235).astype(np.uint8)), id="overexposed"),
        pytest.param(lambda at: noisy(YARD, 12.0, seed=int(at * 2)), id="noise"),
        pytest.param(
            lambda at: dimmed(YARD, 0.5 + 0.5 * math.sin(at)) if at % 8 < 4 else glare(250),
            id="an exposure that hunts",
        ),
    ],
)
def test_light_and_weather_are_no_tampering(picture: Callable[[float], Pixels]) -> None:
    """They leave the pattern of the scene, or are dark, or do not take all of it; nor is their end anything."""
    camera = Camera()
    camera.show(GOOD, 60)
    camera.show(picture, 180)
    camera.show(GOOD, 60)
    assert camera.said == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param([(HAND, 4.5), (GOOD, 60)], [], id="somebody walks by close to it"),
        pytest.param([(HAND, 4), (GOOD, 0.5)] * 20, [], id="one good picture in between"),
        pytest.param(
            [(HAND, 10), (GOOD, 2), (HAND, 0.5)] * 10, ["+covered"], id="a lens that is being cleaned"
        ),
        pytest.param([(FLASH, 3), (HAND, 60)], ["+covered"], id="one after the other"),
        pytest.param([(HAND, 20), (BLUR, 60)], ["+covered"], id="one within the other"),
        pytest.param([(BLUR, 20), (GOOD, 6)], ["+defocused", "-defocused"], id="it is over"),
    ],
)
def test_only_what_lasts_is_said(
    script: Iterable[tuple[Callable[[float], Pixels], float]], said: list[str]
) -> None:
    """A moment changes nothing."""
    camera = Camera()
    camera.show(GOOD, 60)
    for picture, seconds in script:
        camera.show(picture, seconds)
    assert camera.words == said


def test_night_does_not_uncover_a_camera() -> None:
    """What is dark has no structure either."""
    camera = Camera()
    camera.show(GOOD, 60)
    camera.show(HAND, 20)
    camera.show(steady(np.full_like(YARD, 16)), 600)
    assert camera.words == ["+covered"]
    camera.show(GOOD, 10)
    assert camera.words == ["+covered", "-covered"]


def test_a_camera_covered_before_the_daemon_started_is_not_found() -> None:
    """Nothing is known of what it usually shows; when it is uncovered, that is learned."""
    camera = Camera()
    camera.show(HAND, 120)
    camera.show(GOOD, 300)
    assert camera.said == []
    camera.show(HAND, 10)
    assert camera.words == ["+covered"]


def test_a_stream_that_is_impaired_is_not_told_of_twice() -> None:
    """What it shows then is neither judged nor learned."""
    camera = Camera()
    camera.show(GOOD, 60)
    camera.show(HAND, 120, impaired=True)
    assert camera.said == []
    camera.show(HAND, 10)
    assert camera.words == ["+covered"]


def test_another_scene_becomes_the_usual_one() -> None:
    """A camera that is turned is no covered one, and can be covered where it looks now."""
    camera = Camera()
    camera.show(GOOD, 60)
    other = cv2.addWeighted(
        scene(seed=9), 0.5, cv2.resize(scene(48, 27, seed=8), scene().shape[::-1]), 0.5, 0
    )
    camera.show(steady(other), 300)
    assert camera.said == []
    camera.show(HAND, 10)
    assert camera.words == ["+covered"]


def test_a_plain_scene_has_nothing_to_lose() -> None:
    """A white wall with a clock before it cannot be told from a covered lens."""
    wall = np.full_like(YARD, 150)
    wall[:20, :120] = YARD[:20, :120]
    camera = Camera()
    camera.show(steady(wall), 60)
    camera.show(HAND, 60)
    assert camera.said == []


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from([GOOD, HAND, BLUR, FLASH]), st.floats(0.5, 20), st.booleans()), max_size=8
    )
)
def test_beginning_and_end_alternate(script: list[tuple[Callable[[float], Pixels], float, bool]]) -> None:
    """Whatever is shown: an end follows its beginning, has its reason, and neither comes before its time."""
    camera = Camera()
    camera.show(GOOD, 20)
    for picture, seconds, impaired in script:
        camera.show(picture, seconds, impaired=impaired)
    overs = [notice.over for _, notice in camera.said]
    assert overs == [bool(number % 2) for number in range(len(overs))]
    for (began, first), (ended, last) in zip(camera.said[::2], camera.said[1::2], strict=False):
        assert first.reason is last.reason
        assert first.reason in Tamper
        assert ended - began >= LIMITS.leave_after
