"""What is done about the light follows from the measured light, the policy and what was done before."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.frame import Correction, Light
from tocsin.light.plan import Mode, Plan, Policy, plan


def light(mean: float, p1: float, p99: float, clipped_high: float = 0.0) -> Light:
    return Light(mean=mean, p1=p1, p50=(p1 + p99) / 2, p99=p99, clipped_low=0.0, clipped_high=clipped_high)


# mean, 1st and 99th percentile of the bundled clip under simulated light
AS_RECORDED = light(120, 17, 240)
OVER_BY_2_EV = light(196, 40, 255, clipped_high=0.27)
VEIL_75 = light(206, 181, 236)
UNDER_BY_5_EV = light(19, 3, 46)


@st.composite
def lights(draw: st.DrawFn) -> Light:
    p1, p50, p99 = sorted(draw(st.tuples(*[st.floats(0, 255)] * 3)))
    return Light(draw(st.floats(0, 255)), p1, p50, p99, draw(st.floats(0, 0.5)), draw(st.floats(0, 0.5)))


POLICIES = st.builds(Policy, mode=st.sampled_from(Mode), brighter_than=st.floats(0, 255))
CORRECTIONS = st.sampled_from(Correction)


def level(luma: int) -> float:
    return (luma - 16) * 255 / 219


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [
        pytest.param(Mode.GUIDED, AS_RECORDED, Correction.NONE, id="guided leaves good light alone"),
        pytest.param(Mode.GUIDED, OVER_BY_2_EV, Correction.NONE, id="guided leaves clipped pixels alone"),
        pytest.param(Mode.GUIDED, VEIL_75, Correction.STRETCH, id="guided lifts a veil of nearly that mean"),
        pytest.param(Mode.GUIDED, UNDER_BY_5_EV, Correction.STRETCH, id="guided lifts what is too dark"),
        pytest.param(
            Mode.DACOT, AS_RECORDED, Correction.NONE, id="dacot leaves a picture that is not bright"
        ),
        pytest.param(Mode.DACOT, OVER_BY_2_EV, Correction.DARKEN_CLAHE, id="dacot darkens a bright picture"),
        pytest.param(Mode.DACOT, UNDER_BY_5_EV, Correction.NONE, id="dacot leaves a dark picture"),
        pytest.param(Mode.OFF, VEIL_75, Correction.NONE, id="off does nothing about a veil"),
        pytest.param(Mode.OFF, OVER_BY_2_EV, Correction.NONE, id="off does nothing about brightness"),
    ],
)
def test_what_is_done(mode: Mode, before: Light, after: Correction) -> None:
    """Contrast guides the guided mode, brightness the paper's."""
    assert plan(before, Policy(mode), Correction.NONE).correction is after


def test_stretch_reaches_the_ends() -> None:
    """A stretch maps the first percentile to black and the last to white."""
    table = plan(VEIL_75, Policy(), Correction.NONE).table
    assert table is not None
    p1, p99 = (round(16 + level * 219 / 255) for level in (181, 236))
    assert table[p1] <= 18
    assert table[p99] >= 233
    assert (table[0], table[255]) == (16, 235)


def test_gain_is_bounded() -> None:
    """A picture of nearly nothing but noise stays nearly black."""
    table = plan(light(4, 0, 9), Policy(max_gain=8.0), Correction.NONE).table
    assert table is not None
    assert level(int(table[16])) == pytest.approx(0, abs=1)
    assert level(int(table[24])) == pytest.approx(72, abs=6)


@given(st.integers(0, 255))
def test_uniform_keeps_its_level(at: int) -> None:
    """A picture without any contrast keeps its level, whatever it is."""
    table = plan(light(at, at, at), Policy(), Correction.NONE).table
    assert table is not None
    luma = round(16 + at * 219 / 255)
    assert abs(int(table[luma]) - luma) <= 8  # a rounding of half a level, times the gain


@pytest.mark.parametrize("mean", [110.0, 160.0, 196.0, 224.0])
def test_dacot_darkens_to_the_target(mean: float) -> None:
    """Dacot maps the mean to the target and keeps black and white where they are."""
    decided = plan(light(mean, 0, 255), Policy(Mode.DACOT, brighter_than=0), Correction.NONE)
    assert decided.correction is Correction.DARKEN_CLAHE
    assert decided.clip_limit == 2.0
    assert decided.table is not None
    assert level(int(decided.table[round(16 + mean * 219 / 255)])) == pytest.approx(100, abs=4)
    assert (decided.table[16], decided.table[235]) == (16, 235)


def test_dacot_never_brightens() -> None:
    """Where every picture is to be treated, a dark one gets CLAHE without darkening."""
    decided = plan(UNDER_BY_5_EV, Policy(Mode.DACOT, brighter_than=0), Correction.NONE)
    assert (decided.correction, decided.table, decided.clip_limit) == (Correction.CLAHE, None, 2.0)


@given(CORRECTIONS)
def test_zero_means_always(previous: Correction) -> None:
    """With `brighter_than` 0 even a black picture is treated."""
    always = Policy(Mode.DACOT, brighter_than=0)
    assert plan(light(0, 0, 0), always, previous).correction is Correction.CLAHE


@given(lights(), POLICIES, CORRECTIONS)
def test_table_is_monotone(before: Light, policy: Policy, previous: Correction) -> None:
    """No table turns the order of two pixels round, and none leaves 16 to 235."""
    table = plan(before, policy, previous).table
    if table is not None:
        assert (table.shape, table.dtype) == ((256,), np.uint8)
        assert np.all(np.diff(table.astype(int)) >= 0)
        assert 16 <= table[0] <= table[255] <= 235


@given(lights(), POLICIES, CORRECTIONS)
def test_deterministic(before: Light, policy: Policy, previous: Correction) -> None:
    """The same light is planned for in the same way."""
    first, second = (plan(before, policy, previous) for _ in range(2))
    assert (first.correction, first.clip_limit) == (second.correction, second.clip_limit)
    np.testing.assert_array_equal(first.table, second.table)


@given(lights(), POLICIES, CORRECTIONS)
def test_settles(before: Light, policy: Policy, previous: Correction) -> None:
    """A picture that does not change is corrected in one way from its first frame on."""
    first = plan(before, policy, previous).correction
    assert plan(before, policy, first).correction is first


@given(st.lists(st.floats(141, 159), min_size=2, max_size=50), st.sampled_from([Mode.GUIDED, Mode.DACOT]))
def test_does_not_flap(levels: list[float], mode: Mode) -> None:
    """A picture that trembles about a threshold by less than the margin changes its treatment once at most."""
    done = [Correction.NONE]
    for at in levels:
        before = light(mean=at, p1=0, p99=at)
        done.append(plan(before, Policy(mode), done[-1]).correction)
    assert sum(a is not b for a, b in itertools.pairwise(done)) <= 1


def test_stops_beyond_the_margin() -> None:
    """A stretch that was begun stops when the contrast has clearly come back."""
    policy = Policy()
    assert plan(light(120, 0, 155), policy, Correction.STRETCH).correction is Correction.STRETCH
    assert plan(light(120, 0, 161), policy, Correction.STRETCH).correction is Correction.NONE


def test_off_plans_nothing() -> None:
    """Off plans neither a table nor CLAHE."""
    decided = plan(VEIL_75, Policy(Mode.OFF), Correction.STRETCH)
    assert isinstance(decided, Plan)
    assert (decided.table, decided.clip_limit) == (None, None)
