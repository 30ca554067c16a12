"""A scene-wide change of light is noticed, and nothing else is."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.alarm.settling import Settling
from tocsin.frame import Light

DAY = Light(mean=120.0, p1=12.0, p50=110.0, p99=250.0, clipped_low=0.0, clipped_high=0.0, colour=0.4)
NIGHT = replace(DAY, mean=30.0, p50=20.0)
INFRARED = replace(DAY, mean=100.0, p50=95.0, colour=0.001)
GLARE = replace(DAY, mean=160.0)
PASSING = replace(DAY, mean=100.0, p50=60.0)


def play(lights: list[Light], period: float = 0.1) -> str:
    """`!` for each frame in which the light has not settled."""
    settling = Settling()
    silences = [math.inf, *[period] * len(lights)]
    return "".join(
        "!" if settling.update(light, number * period, period, silences[number]) else "."
        for number, light in enumerate(lights)
    )


@pytest.mark.parametrize(
    ("lights", "told"),
    [
        pytest.param([DAY] * 30, "." * 30, id="steady light"),
        pytest.param([NIGHT] * 5 + [DAY] * 20, "." * 5 + "!" * 10 + "." * 10, id="a lamp: for a second"),
        pytest.param([DAY] * 5 + [NIGHT] * 20, "." * 5 + "!" * 10 + "." * 10, id="and when it goes out"),
        pytest.param([DAY] * 5 + [INFRARED] * 20, "." * 5 + "!" * 10 + "." * 10, id="over to infrared"),
        pytest.param([DAY] * 5 + [PASSING] * 20, "." * 25, id="a lorry that passes moves the median alone"),
        pytest.param(
            [NIGHT] * 5 + [DAY] * 40 + [NIGHT] * 15,
            "." * 5 + "!" * 10 + "." * 30 + "!" * 10 + "." * 5,
            id="a lamp that goes on, and out again later",
        ),
        pytest.param([DAY] * 5 + [GLARE] * 20, "." * 25, id="a headlight in a corner moves the mean alone"),
        pytest.param(
            [DAY] * 5 + [NIGHT] + [DAY] * 20, "." * 5 + "!" * 11 + "." * 10, id="a flash of darkness"
        ),
        pytest.param(
            [DAY, NIGHT] * 30, "." + "!" * 20 + "." * 39, id="a strobe is no reason for longer than 2 s"
        ),
        pytest.param(
            [replace(DAY, mean=50.0 + n, p50=50.0 + n) for n in range(60)], "." * 60, id="clouds that pass"
        ),
        pytest.param([replace(DAY, mean=math.nan)] * 3 + [DAY] * 3, "......", id="no numbers"),
    ],
)
def test_what_is_noticed(lights: list[Light], told: str) -> None:
    """Mean and median together, or colour that comes or goes, within a second."""
    assert play(lights) == told


def test_a_silence_hides_what_was_before() -> None:
    """A stream that comes back in another light has not just changed; neither has time that runs backwards."""
    settling = Settling()
    assert not settling.update(NIGHT, 0.0, 0.1, math.inf)
    assert not settling.update(DAY, 9.0, 0.1, 9.0)
    assert settling.update(NIGHT, 9.1, 0.1, 0.1)
    assert not settling.update(DAY, 1.0, 0.1, 0.1)
    assert not settling.update(NIGHT, 1.1, 0.1, math.inf), "the seam of a looped file"


@given(st.lists(st.tuples(st.sampled_from([DAY, NIGHT, INFRARED]), st.floats(0.01, 0.9)), max_size=200))
def test_no_hold_is_longer_than_two_seconds(steps: list[tuple[Light, float]]) -> None:
    """However the light changes, frames that are unsettled in a row span less than two seconds."""
    settling = Settling()
    at, began = 0.0, None
    for light, step in steps:
        at += step
        if not settling.update(light, at, 0.1, step):
            began = None
            continue
        began = at if began is None else began
        assert at - began < 2.0


def test_a_clock_that_stands_still_costs_no_memory() -> None:
    """A worker gone wrong may give every frame the same time; what is kept of them stays little."""
    settling = Settling()
    for _ in range(1000):
        settling.update(DAY, 1.0, 0.1, 0.0)
    assert len(settling._past) == 64
