"""Whose looks at a picture go on record, and how little a crowd can add to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.custody.reads import AGAIN, ENTRIES, FURTHER, PERIOD, Lately


def told(looks: list[tuple[str, str, float]]) -> list[str | None]:
    """Who goes on record for each look of a client at a piece at a time."""
    lately = Lately()
    return [lately.admit(*look) for look in looks]


@pytest.mark.parametrize(
    ("looks", "on_record"),
    [
        pytest.param([("a", "p", 0), ("a", "p", 59)], ["a", None], id="again within a minute"),
        pytest.param([("a", "p", 0), ("a", "p", 60)], ["a", "a"], id="again after a minute"),
        pytest.param([("a", "p", 0), ("b", "p", 1)], ["a", "b"], id="another client"),
        pytest.param([("a", "p", 0), ("a", "q", 1)], ["a", "a"], id="another piece"),
        pytest.param(
            [("a", "p", 50.0 * n) for n in range(60)],
            ["a"] + [None] * 59,
            id="a film that is watched for long",
        ),
    ],
)
def test_a_look_goes_on_record_once(looks: list[tuple[str, str, float]], on_record: list[str | None]) -> None:
    """Each client and piece, until a minute has passed without one."""
    assert told(looks) == on_record


def test_a_client_that_never_rests_is_seen_again_every_hour() -> None:
    """What began yesterday and goes on is no news of yesterday alone."""
    found = told([("a", "p", 30.0 * n) for n in range(round(3 * PERIOD / 30))])
    assert len([one for one in found if one]) == 3


def test_of_a_crowd_the_first_are_named_and_then_it_is_called_one() -> None:
    """So that it pushes nothing else out of the record; other pieces and the next hour are told as ever."""
    lately = Lately()
    crowd = [lately.admit(f"10.0.{n}.1", "p", n / 10) for n in range(200)]
    assert crowd[: ENTRIES + 2] == [*(f"10.0.{n}.1" for n in range(ENTRIES)), FURTHER, None]
    assert set(crowd[ENTRIES + 1 :]) == {None}
    assert lately.admit("a", "q", 21.0) == "a"
    assert lately.admit("a", "p", PERIOD) == "a"


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("pq"), st.floats(0, 2 * AGAIN)), max_size=300
    )
)
def test_no_rhythm_of_requests_floods_the_record(steps: list[tuple[str, str, float]]) -> None:
    """Of each piece at most so many entries an hour and one for all others."""
    lately, now = Lately(), 0.0
    times: dict[str, list[float]] = {"p": [], "q": []}
    for client, piece, step in steps:
        now += step
        if lately.admit(client, piece, now):
            times[piece].append(now)
    for found in times.values():
        for first, last in zip(found, found[2 * (ENTRIES + 1) :], strict=False):
            assert last - first >= PERIOD
