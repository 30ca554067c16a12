"""The README's table of delays is what the confirmation does to frames that are independent of each other."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.alarm.confirm import Confirmation

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
FPS = 10
RECALLS = (0.3, 0.5, 0.7, 0.9)
CONFIRMATIONS = ((5, 10), (4, 6), (5, 5))


def chances(hits: int, of: int, recall: float) -> Iterator[float]:
    """Yield how likely it is that each frame raises the alarm, from the first that shows the object.

    Exactly: how likely each pattern of sightings in the last `of` - 1 frames is.
    """
    window = (1 << (of - 1)) - 1
    patterns = {0: 1.0}
    while True:
        raised = 0.0
        after: dict[int, float] = defaultdict(float)
        for pattern, likely in patterns.items():
            after[pattern << 1 & window] += likely * (1 - recall)
            if pattern.bit_count() + 1 >= hits:
                raised += likely * recall
            else:
                after[(pattern << 1 | 1) & window] += likely * recall
        yield raised
        patterns = after


def delay(hits: int, of: int, recall: float, share: float) -> float:
    """Return within how many seconds of the first frame that shows it that share of objects raises the alarm."""
    for frame, sure in enumerate(accumulate(chances(hits, of, recall))):
        if sure >= share:
            return frame / FPS
    raise AssertionError("the chances of all frames add up to one")


def table() -> list[str]:
    """The rows as they stand in the README: half of all objects, and 95 of 100."""
    return [
        f"| {hits} of {of} | "
        + " | ".join(f"{delay(hits, of, r, 0.5):.1f}; {delay(hits, of, r, 0.95):.1f}" for r in RECALLS)
        + " |"
        for hits, of in CONFIRMATIONS
    ]


def test_the_readme_s_delays_are_computed() -> None:
    """The table holds these numbers and no others."""
    head = "| seconds to the alarm, half; 95 % | recall 0.3 | 0.5 | 0.7 | 0.9 |"
    assert head in README
    rows = README.partition(head)[2].splitlines()[2 : 2 + len(CONFIRMATIONS)]
    assert rows == table()


@pytest.mark.parametrize("recall", RECALLS)
def test_the_delay_of_five_in_a_row_is_the_known_one(recall: float) -> None:
    """Its mean is (1 - p^5) / (p^5 (1 - p)) frames; the distribution here has that mean."""
    likely = list(islice(chances(5, 5, recall), 6000))
    assert sum(likely) == pytest.approx(1, abs=1e-4)
    mean = sum(number * chance for number, chance in enumerate(likely, 1))
    assert mean == pytest.approx((1 - recall**5) / (recall**5 * (1 - recall)), rel=1e-2)


@given(st.sampled_from(CONFIRMATIONS), st.lists(st.booleans(), max_size=60))
def test_the_table_s_rule_is_the_daemon_s(rule: tuple[int, int], frames: list[bool]) -> None:
    """The first frame that the count of the last ones confirms is the one that the daemon's window confirms."""
    hits, of = rule
    window = Confirmation(hits, of, within=3.0)
    for number, seen in enumerate(frames):
        counted = seen and sum(frames[max(0, number - of + 1) : number + 1]) >= hits
        assert window.update(seen, number / FPS, 1 / FPS, 1 / FPS) is counted
