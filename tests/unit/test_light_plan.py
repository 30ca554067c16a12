"""What is done about the light follows from the measured light, the policy and what was done before."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.lighting import dimmed, noisy, on_the_left, picture, scene, veiled
from tocsin.frame import Correction, Reason
from tocsin.light.measure import COLUMNS, ROWS, Reading, measure
from tocsin.light.plan import Mode, Plan, Policy, plan

NONE = Correction.NONE


def reading(luma: np.ndarray) -> Reading:
    return measure(picture(luma))


def between(low: int, high: int, noise: float = 0.0) -> Reading:
    """A reading of which each cell has all lumas from `low` to `high` alike."""
    cells = np.zeros((ROWS, COLUMNS, 256), np.float32)
    cells[:, :, low : high + 1] = 1.0
    return Reading(cells, noise, colour=1.0)


def anything(seed: int, noise: float) -> Reading:
    """A reading of which each cell has another range of lumas, or none."""
    chance = np.random.default_rng(seed)
    cells = np.zeros((ROWS, COLUMNS, 256), np.float32)
    middle, width = chance.integers(0, 256, 2)
    for row, column in np.ndindex(ROWS, COLUMNS):
        low, high = sorted(np.clip(middle + chance.integers(-width - 1, width + 1, 2), 0, 255))
        cells[row, column, low : high + 1] = chance.choice([0.0, 1.0, 9.0])
    cells[0, 0, middle] += 1.0
    return Reading(cells, noise, colour=1.0)


READINGS = st.builds(anything, st.integers(0, 2**32), st.floats(0, 30))
POLICIES = st.builds(Policy, mode=st.sampled_from(Mode), brighter_than=st.floats(0, 255))
CORRECTIONS = st.sampled_from(Correction)


def done_to(decided: Plan, luma: int) -> float:
    """Return what becomes of a luma value in the middle of a picture that is the same everywhere."""
    if decided.table is not None:
        return float(decided.table[luma])
    assert decided.local is not None
    return float(np.clip(luma * decided.local.gain[2, 3] + decided.local.offset[2, 3], 16, 235))


AS_RECORDED = scene()
OVEREXPOSED = np.clip(scene() * 2.5, 16, 235).astype(np.uint8)
VEILED = veiled(scene(), 0.75)
DARK = dimmed(scene(), 0.15)
DARK_AND_NOISY = noisy(DARK, 3.0)
GLARE_ON_THE_LEFT = veiled(scene(), on_the_left(0.8))
SHADOW_ON_THE_LEFT = dimmed(scene(), 1 - on_the_left(0.85))
LAWN = np.where(np.arange(416) < 200, np.clip(scene(), 55, 160), scene()).astype(np.uint8)


def level(luma: int) -> float:
    return (luma - 16) * 255 / 219


@pytest.mark.parametrize(
    ("mode", "luma", "correction", "reason"),
    [
        pytest.param("guided", AS_RECORDED, "none", Reason.GOOD, id="guided leaves good light alone"),
        pytest.param(
            "guided", OVEREXPOSED, "none", Reason.OVEREXPOSED, id="guided leaves clipped pixels alone"
        ),
        pytest.param("guided", VEILED, "stretch", Reason.WHOLE, id="guided lifts a veil"),
        pytest.param("guided", DARK, "stretch", Reason.WHOLE, id="guided lifts what is too dark"),
        pytest.param(
            "guided", DARK_AND_NOISY, "stretch+denoise", Reason.WHOLE, id="guided smooths the noise of night"
        ),
        pytest.param(
            "guided", GLARE_ON_THE_LEFT, "local-stretch", Reason.PARTS, id="guided lifts glare in a part"
        ),
        pytest.param(
            "guided", SHADOW_ON_THE_LEFT, "local-stretch", Reason.PARTS, id="guided lifts a shadow in a part"
        ),
        pytest.param("guided", LAWN, "none", Reason.GOOD, id="guided leaves a plain lawn alone"),
        pytest.param("dacot", DARK, "none", Reason.NOT_BRIGHT, id="dacot leaves a dark picture"),
        pytest.param("dacot", VEILED, "darken+clahe", Reason.BRIGHT, id="dacot darkens a bright picture"),
        pytest.param("off", VEILED, "none", Reason.OFF, id="off does nothing about a veil"),
        pytest.param("off", GLARE_ON_THE_LEFT, "none", Reason.OFF, id="off does nothing about glare"),
    ],
)
def test_what_is_done(mode: str, luma: np.ndarray, correction: str, reason: Reason) -> None:
    """Contrast guides the guided mode, in the whole and in parts; brightness the paper's."""
    decided = plan(reading(luma), Policy(Mode(mode)), NONE)
    assert (decided.correction.value, decided.reason) == (correction, reason)


def test_stretch_reaches_the_ends() -> None:
    """A stretch maps the first percentile to black and the last to white."""
    table = plan(between(180, 220), Policy(), NONE).table
    assert table is not None
    assert table[180] <= 18
    assert table[220] >= 233
    assert (table[0], table[255]) == (16, 235)


def test_gain_is_bounded() -> None:
    """A picture of nearly nothing but noise stays nearly black."""
    decided = plan(between(16, 24), Policy(max_gain=8.0), NONE)
    assert level(done_to(decided, 16)) == pytest.approx(0, abs=1)
    assert level(done_to(decided, 24)) == pytest.approx(8 * level(24), abs=8 * level(17) + 1)


def test_the_stretch_of_the_whole_begins_gently() -> None:
    """At its threshold the range grows by no more than a fifth, and where it ends by next to nothing."""
    alone = Policy(lifted=(300, 301), sunk=(-1, -2))  # no part has a cause
    begun, ended = (
        plan(between(17, high), alone, previous)
        for high, previous in ((145, NONE), (157, Correction.STRETCH))
    )
    assert begun.reason is ended.reason is Reason.WHOLE
    assert (done_to(begun, 145) - done_to(begun, 17)) / 128 < 1.2
    assert (done_to(ended, 157) - done_to(ended, 17)) / 140 < 1.03


def test_a_flat_part_is_left_alone() -> None:
    """A white wall in the shade, nothing but a little noise, is not blown up to fill the scale."""
    luma = veiled(scene(), on_the_left(0.8))
    luma[:120, :150] = 200
    local = plan(reading(noisy(luma, 1.5)), Policy(), NONE).local
    assert local is not None
    assert local.gain[0, 0] == 1.0
    assert local.gain[-1, 0] > 2.0


@pytest.mark.parametrize("luma", [0, 16, 17, 120, 234, 235, 255])
def test_uniform_is_left_alone(luma: int) -> None:
    """A picture without any contrast has nothing to bring out."""
    decided = plan(between(luma, luma), Policy(), NONE)
    assert (decided.correction, decided.reason) == (NONE, Reason.UNIFORM)


@given(st.integers(17, 230))
def test_next_to_nothing_keeps_its_level(luma: int) -> None:
    """A picture of three neighbouring lumas keeps its level, whatever it is."""
    decided = plan(between(luma, luma + 2), Policy(), NONE)
    assert abs(done_to(decided, luma + 1) - luma - 1) <= 9


def test_the_less_contrast_the_more_is_done() -> None:
    """The stretch grows as contrast falls, without a step where it begins."""
    gains = []
    for high in range(235, 40, -5):
        decided = plan(between(16, high), Policy(), Correction.STRETCH)
        gains.append(
            (done_to(decided, high) - done_to(decided, 16)) / (high - 16)
            if decided.table is not None or decided.local
            else 1.0
        )
    assert gains[0] == 1.0
    assert gains[-1] > 4.0
    assert all(a <= b + 0.02 for a, b in itertools.pairwise(gains))
    assert max(b / a for a, b in itertools.pairwise(gains)) < 1.25


def test_only_the_part_that_needs_it() -> None:
    """Glare in the left half raises the gain there, and nowhere on the far right."""
    local = plan(reading(GLARE_ON_THE_LEFT), Policy(), NONE).local
    assert local is not None
    assert local.gain[:, :2].min() > 2.0
    assert local.gain[:, -2:].max() == 1.0
    np.testing.assert_allclose(local.offset[:, -2:], 0.0, atol=1e-4)


def test_parts_are_weighed_after_the_whole() -> None:
    """Under a veil over everything with a thicker one on the left, the left gets more than the right."""
    luma = veiled(veiled(scene(), on_the_left(0.7)), 0.6)
    decided = plan(reading(luma), Policy(), NONE)
    assert decided.reason is Reason.WHOLE
    assert decided.local is not None
    assert decided.local.gain[:, :2].mean() > 1.5 * decided.local.gain[:, -2:].mean()


def test_a_blown_picture_is_not_treated_in_parts() -> None:
    """Where much is white, also white with some noise, what is left of a part is not spread."""
    luma = veiled(scene(), on_the_left(0.8))
    assert plan(reading(luma), Policy(), NONE).correction is Correction.LOCAL_STRETCH
    luma[:, :250] = 235
    luma[:60, :250] = veiled(scene(), 0.8)[:60, :250]
    assert plan(reading(luma), Policy(overexposed=(0.9, 1.0)), NONE).correction is Correction.LOCAL_STRETCH
    assert plan(reading(luma), Policy(), NONE).reason is Reason.OVEREXPOSED
    luma[60:, :250] = noisy(np.full((174, 250), 234, np.uint8), 1.0)
    assert plan(reading(luma), Policy(), NONE).reason is Reason.OVEREXPOSED


def test_noise_is_smoothed_where_it_is_amplified() -> None:
    """Only the part whose gain makes noise visible is smoothed."""
    smooth = plan(reading(noisy(SHADOW_ON_THE_LEFT, 2.5)), Policy(), NONE).smooth
    assert smooth is not None
    assert smooth[:, :2].all()
    assert not smooth[:, -2:].any()


def test_smoothing_is_kept_up() -> None:
    """Smoothing that was begun is kept up while the noise is a little below the threshold."""
    slightly = between(16, 50, noise=7.0 / (255 / (34 * 255 / 219)))
    assert plan(slightly, Policy(), NONE).correction is Correction.STRETCH
    assert plan(slightly, Policy(), Correction.STRETCH_DENOISE).correction is Correction.STRETCH_DENOISE


@pytest.mark.parametrize("mean", [110, 160, 196, 224])
def test_dacot_darkens_to_the_target(mean: int) -> None:
    """Dacot maps the mean to the target and keeps black and white where they are."""
    luma = round(16 + mean * 219 / 255)
    decided = plan(between(luma, luma), Policy(Mode.DACOT, brighter_than=0), NONE)
    assert decided.correction is Correction.DARKEN_CLAHE
    assert decided.clip_limit == 2.0
    assert decided.table is not None
    assert level(int(decided.table[luma])) == pytest.approx(100, abs=4)
    assert (decided.table[16], decided.table[235]) == (16, 235)


def test_dacot_never_brightens() -> None:
    """Where every picture is to be treated, a dark one gets CLAHE without darkening."""
    decided = plan(reading(DARK), Policy(Mode.DACOT, brighter_than=0), NONE)
    assert (decided.correction, decided.table, decided.clip_limit) == (Correction.CLAHE, None, 2.0)


@given(CORRECTIONS)
def test_zero_means_always(previous: Correction) -> None:
    """With `brighter_than` 0 even a black picture is treated."""
    always = Policy(Mode.DACOT, brighter_than=0)
    assert plan(between(0, 0), always, previous).correction is Correction.CLAHE


@given(READINGS, POLICIES, CORRECTIONS)
def test_sound(before: Reading, policy: Policy, previous: Correction) -> None:
    """Whatever was measured, the plan is one that can be carried out, and does what its word says.

    No table turns the order of two pixels round or leaves 16 to 235; no part loses contrast or gains more than
    the bound; every number is one.
    """
    decided = plan(before, policy, previous)
    if decided.table is not None:
        assert (decided.table.shape, decided.table.dtype) == ((256,), np.uint8)
        assert np.all(np.diff(decided.table.astype(int)) >= 0)
        assert 16 <= decided.table[0] <= decided.table[255] <= 235
    if decided.local is not None:
        assert decided.local.gain.shape == decided.local.offset.shape == (ROWS, COLUMNS)
        assert decided.local.gain.dtype == decided.local.offset.dtype == np.float32
        assert decided.local.gain.min() >= 1.0
        assert decided.local.gain.max() <= policy.max_gain * 1.0001
        assert np.isfinite(decided.local.offset).all()
    word = decided.correction
    assert (decided.smooth is not None) == word.endswith("+denoise")
    assert (decided.clip_limit is not None) == word.endswith("clahe")
    stretched = (decided.table is not None) + (decided.local is not None)
    assert stretched == ("stretch" in word or word == "darken+clahe")
    assert (word == "none") == (not stretched and decided.clip_limit is None)


@given(READINGS, POLICIES, CORRECTIONS)
def test_settles(before: Reading, policy: Policy, previous: Correction) -> None:
    """A picture that does not change is corrected in one way from its first frame on."""
    first = plan(before, policy, previous).correction
    assert plan(before, policy, first).correction is first


@given(st.lists(st.integers(143, 156), min_size=2, max_size=50), st.sampled_from([Mode.GUIDED, Mode.DACOT]))
def test_does_not_flap(levels: list[int], mode: Mode) -> None:
    """A picture that trembles about a threshold by less than the margin changes its treatment once at most."""
    done = [NONE]
    for at in levels:
        luma = round(16 + at * 219 / 255)
        before = between(16, luma) if mode is Mode.GUIDED else between(luma, luma)
        done.append(plan(before, Policy(mode), done[-1]).correction)
    assert sum(a is not b for a, b in itertools.pairwise(done[1:])) <= 1


def test_stops_beyond_the_margin() -> None:
    """A stretch of the whole that was begun stops when the contrast has clearly come back."""
    policy = Policy()
    begun = plan(between(16, 16 + 135), policy, Correction.STRETCH)
    over = plan(between(16, 16 + 150), policy, Correction.STRETCH)
    assert begun.reason is Reason.WHOLE
    assert over.reason is not Reason.WHOLE


def test_parts_that_were_treated_stay_so() -> None:
    """What is just too little to begin with is enough to go on with."""
    small = np.zeros((234, 416))
    small[:160, :200] = 0.8
    luma = veiled(scene(), small)
    need = Policy(parts=1.3 * _need(luma))
    assert plan(reading(luma), need, NONE).correction is NONE
    assert plan(reading(luma), need, Correction.LOCAL_STRETCH).correction is Correction.LOCAL_STRETCH


def _need(luma: np.ndarray) -> float:
    """The largest threshold at which the parts of a picture are treated, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        treated = plan(reading(luma), Policy(parts=middle), NONE).correction is not NONE
        low, high = (middle, high) if treated else (low, middle)
    assert low > 0.005, "the picture has parts that need something"
    return low


def test_off_plans_nothing() -> None:
    """Off plans no step at all."""
    decided = plan(reading(VEILED), Policy(Mode.OFF), Correction.STRETCH)
    assert isinstance(decided, Plan)
    assert (decided.table, decided.clip_limit, decided.local, decided.smooth) == (None,) * 4
