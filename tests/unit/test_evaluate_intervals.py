"""Intervals are as wide as what was seen allows."""

import math

import numpy as np
import pytest

from tocsin.evaluate.intervals import RESAMPLES, Unit, compare, rate
from tocsin.evaluate.scores import Sheet


def sheet(tp: list[int] | np.ndarray, fp: list[int] | np.ndarray, fn: list[int] | np.ndarray) -> Sheet:
    return Sheet(np.asarray(tp), np.asarray(fp), np.asarray(fn))


def random_pair(frames: int, seed: int, gain: float = 0.1) -> tuple[Sheet, Sheet]:
    """A variant that finds some objects more than its baseline does, in frames of four objects."""
    dice = np.random.default_rng(seed)
    tp = dice.binomial(4, 0.7, frames)
    better = np.minimum(tp + dice.binomial(4, gain, frames), 4)
    fp = dice.binomial(2, 0.1, frames)
    return sheet(better, fp, 4 - better), sheet(tp, fp, 4 - tp)


def test_the_same_has_no_difference() -> None:
    """A variant that counts what its baseline counts differs by nothing, and surely so."""
    variant, _ = random_pair(50, 0)
    found = compare(variant, variant)
    for one in (found.recall, found.precision, found.f1):
        assert (one.value, one.low, one.high) == (0.0, 0.0, 0.0)


def test_the_difference_lies_in_its_interval() -> None:
    """A clear gain has an interval around it that excludes zero, and says over what it was drawn."""
    found = compare(*random_pair(200, 1))
    assert found.recall.value == pytest.approx(0.08, abs=0.03)
    assert 0 < found.recall.low < found.recall.value < found.recall.high
    assert (found.unit, found.count) == (Unit.FRAMES, 200)


def test_what_was_seen_decides_the_width() -> None:
    """Four times the frames halve the interval."""
    narrow, wide = (compare(*random_pair(frames, 2)).recall for frames in (1600, 400))
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(2.0, rel=0.25)


def test_pairs_are_kept() -> None:
    """What both see alike in each frame does not widen the interval of their difference."""
    variant, baseline = random_pair(200, 3)
    shuffled = Sheet(*(part[::-1] for part in (baseline.tp, baseline.fp, baseline.fn)))
    paired, unpaired = compare(variant, baseline).recall, compare(variant, shuffled).recall
    assert paired.value == unpaired.value
    assert (paired.high - paired.low) < 0.7 * (unpaired.high - unpaired.low)


def test_it_agrees_with_drawing_frame_by_frame() -> None:
    """The interval is that of the plain bootstrap, which draws the frames one by one."""
    variant, baseline = random_pair(80, 4)
    dice = np.random.default_rng(5)
    drawn = dice.integers(80, size=(4 * RESAMPLES, 80))
    gains = (variant.tp - baseline.tp)[drawn].sum(1) / (4 * 80)
    found = compare(variant, baseline).recall
    assert (found.low, found.high) == pytest.approx(np.quantile(gains, [0.025, 0.975]), abs=0.004)


def test_it_covers_what_it_promises() -> None:
    """Of intervals from a known world about 95 in 100 hold its difference."""
    dice = np.random.default_rng(6)
    worlds = 200
    held = 0
    for _ in range(worlds):
        objects = np.full(60, 4)
        tp, tp0 = dice.binomial(objects, 0.8), dice.binomial(objects, 0.7)
        nothing = np.zeros(60, np.int64)
        found = compare(sheet(tp, nothing, 4 - tp), sheet(tp0, nothing, 4 - tp0)).recall
        held += found.low <= 0.1 <= found.high
    assert 0.89 <= held / worlds <= 0.99


def test_scenes_of_one_picture_are_pictures() -> None:
    """Where each picture is a scene of its own nothing differs from drawing pictures."""
    pair = random_pair(40, 8)
    assert compare(*pair, list(range(40))) == compare(*pair)


def test_scenes_are_drawn_whole() -> None:
    """Where frames of a scene resemble each other, drawing scenes tells that little was seen."""
    variant, baseline = random_pair(5, 7)
    repeated = [
        Sheet(*(np.repeat(part, 40) for part in (one.tp, one.fp, one.fn))) for one in (variant, baseline)
    ]
    scenes = [f"scene {k}" for k in range(5) for _ in range(40)]
    by_frame, by_scene = compare(*repeated).recall, compare(*repeated, scenes)
    assert (by_scene.unit, by_scene.count) == (Unit.SCENES, 5)
    assert by_scene.recall.value == by_frame.value
    assert by_scene.recall.high - by_scene.recall.low > 3 * (by_frame.high - by_frame.low)


def test_one_scene_is_no_scenes() -> None:
    """A recording that is one scene is resampled over its frames."""
    pair = random_pair(30, 8)
    assert compare(*pair, ["yard"] * 30) == compare(*pair)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        pytest.param((sheet([], [], []), sheet([], [], [])), None, id="no frame"),
        pytest.param((sheet([3], [0], [1]), sheet([2], [0], [2])), 0.25, id="one frame"),
        pytest.param(
            (sheet([0, 0], [1, 0], [0, 0]), sheet([0, 0], [0, 0], [0, 0])), None, id="nothing to find"
        ),
    ],
)
def test_no_interval(pair: tuple[Sheet, Sheet], value: float | None) -> None:
    """Where nothing can be drawn, or a share is of nothing, there is no interval instead of a sure one."""
    found = compare(*pair).recall
    assert (found.value, found.low, found.high) == (value, None, None)


def test_resamples_without_objects_are_left_out() -> None:
    """One frame in ten has objects: draws that miss it say nothing about recall, and spoil nothing."""
    none = [0] * 9
    found = compare(sheet([2, *none], [0] * 10, [0, *none]), sheet([1, *none], [0] * 10, [1, *none])).recall
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_a_seed_repeats() -> None:
    """The same seed gives the same interval, another a slightly different one."""
    pair = random_pair(40, 9)
    assert compare(*pair, seed=1) == compare(*pair, seed=1)
    assert compare(*pair, seed=1) != compare(*pair, seed=2)


def test_a_long_recording_takes_no_more_memory() -> None:
    """Half a million frames are drawn without holding a number for each in each resample."""
    variant, baseline = random_pair(500_000, 10)
    assert compare(variant, baseline).recall.low == pytest.approx(0.079, abs=0.01)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [  # Garwood's limits as tables of the Poisson distribution give them
        (1, 0.02532, 5.572),
        (2, 0.2422, 7.225),
        (3, 0.6187, 8.767),
        (10, 4.795, 18.390),
        (100, 81.36, 121.63),
    ],
)
def test_rates(count: int, low: float, high: float) -> None:
    """A rate has the exact Poisson interval, scaled by the duration."""
    found = rate(count, 4.0)
    assert found.value == count / 4
    assert (4 * found.low, 4 * found.high) == pytest.approx((low, high), rel=2e-4)


def test_many() -> None:
    """With many seen the interval is that of the normal distribution."""
    found = rate(10_000, 1.0)
    assert (found.low, found.high) == pytest.approx((10_000 - 196, 10_000 + 196), rel=5e-4)


def test_nothing_seen_is_not_never() -> None:
    """Nothing seen in ten hours still allows three in ten hours: the rule of three."""
    found = rate(0, 10.0)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(-math.log(0.05) / 10)
