"""A threshold is proposed with what it is worth."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.evaluate.threshold import hours_to_prove, propose

SCORES = (0.2, 0.4, 0.6, 0.8)


def test_the_lowest_threshold_within_the_target_is_proposed() -> None:
    """Two days with at most one alarm a day: two alarms are within it, three are not."""
    proposal = propose(SCORES, (9, 3, 2, 0), hours=48, target=1)
    assert (proposal.threshold, proposal.alarms, proposal.per_day) == (0.6, 2, 1.0)
    assert not proposal.proven
    assert proposal.upper > 1


def test_a_threshold_below_a_worse_one_is_not_proposed() -> None:
    """A higher threshold that raises more (one alarm split in two) makes those below it no good either."""
    assert propose(SCORES, (0, 3, 1, 0), hours=24, target=1).threshold == 0.6


def test_none_is_proposed_where_none_keeps_the_target() -> None:
    """What the highest threshold raised is told instead."""
    proposal = propose(SCORES, (9, 9, 9, 2), hours=24, target=1)
    assert (proposal.threshold, proposal.alarms, proposal.proven) == (None, 2, False)


def test_too_little_footage_proves_nothing() -> None:
    """An hour without an alarm leaves up to 72 a day possible; three days are needed for one a day."""
    proposal = propose(SCORES, (0, 0, 0, 0), hours=1, target=1)
    assert proposal.threshold == 0.2
    assert proposal.upper == pytest.approx(71.9, abs=0.1)
    assert not proposal.proven
    assert proposal.proven_threshold is None
    assert proposal.hours_needed == pytest.approx(71.9, abs=0.1)


def test_enough_footage_proves_it() -> None:
    """After the hours that were said to be needed the same footage without an alarm is proof."""
    proposal = propose(SCORES, (5, 0, 0, 0), hours=hours_to_prove(1) + 0.01, target=1)
    assert (proposal.threshold, proposal.proven_threshold, proposal.proven) == (0.4, 0.4, True)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=30),
    st.floats(0.1, 1000),
    st.floats(0.01, 100),
)
def test_a_proposal_keeps_what_it_says(alarms: list[int], hours: float, target: float) -> None:
    """At the proposed threshold and all above, the rate lies within the target; what is proven lies above it."""
    scores = [round(0.01 * (index + 1), 2) for index in range(len(alarms))]
    proposal = propose(scores, alarms, hours, target)
    if proposal.threshold is None:
        assert alarms[-1] / hours * 24 > target
        return
    first = scores.index(proposal.threshold)
    assert all(count / (hours / 24) <= target for count in alarms[first:])
    assert first == 0 or alarms[first - 1] / (hours / 24) > target
    assert proposal.upper > proposal.per_day
    assert proposal.proven_threshold is None or proposal.proven_threshold >= proposal.threshold
    assert math.isfinite(proposal.hours_needed)
