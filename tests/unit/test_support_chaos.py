"""What a bad night is judged by: the order of what was told, and files that are right however they change."""

import random
from copy import deepcopy

import pytest

from support.changing import CHANGES, initial
from support.sequence import Told, check_order

YARD = {"stream": "yard", "rule": "visit"}
RAISED, ENDED = ("alarm.raised", "a", YARD), ("alarm.ended", "a", YARD)
AGAIN: Told = ("alarm.raised", "b", YARD)
DOWN, UP = ("stream.down", None, {"stream": "yard"}), ("stream.up", None, {"stream": "yard"})


@pytest.mark.parametrize("told", [[], [RAISED, DOWN, ENDED, UP], [RAISED, ENDED, AGAIN], [DOWN]])
def test_what_ends_before_it_begins_again_is_in_order(told: list[Told]) -> None:
    """Whatever is told of others in between."""
    check_order(told, {"b"} if AGAIN in told else ())


@pytest.mark.parametrize(
    ("told", "left"),
    [
        pytest.param([RAISED, AGAIN], {"b"}, id="two raises"),
        pytest.param([ENDED], (), id="an end of nothing"),
        pytest.param([RAISED, ("alarm.ended", "b", YARD)], (), id="the end of another"),
        pytest.param([RAISED, ENDED, ENDED], (), id="two ends"),
        pytest.param([RAISED], (), id="open for the receivers alone"),
        pytest.param([RAISED, ENDED], {"a"}, id="open for the daemon alone"),
        pytest.param([DOWN, DOWN], (), id="down twice"),
    ],
)
def test_what_is_told_twice_or_never_is_not(told: list[Told], left: set[str]) -> None:
    """Of one rule on one stream, and of a stream."""
    with pytest.raises(AssertionError):
        check_order(told, left)


def test_a_site_that_changes_stays_one_that_can_be_run() -> None:
    """After any changes there is a stream, and each rule that watches one exists; everything happens."""
    chance, site, seen = random.Random(0), initial(), set()
    for _ in range(300):
        chance.choice(CHANGES)(chance, site)
        assert site.streams
        assert all(set(one["rules"]) <= site.rules.keys() for one in site.streams.values())
        seen.add((len(site.streams), len(site.hooks), len(deepcopy(site).watched())))
    assert {streams for streams, _, _ in seen} == {1, 2, 3}
    assert {hooks for _, hooks, _ in seen} == {0, 1, 2}
