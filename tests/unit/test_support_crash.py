"""The judge over storms: what counts as lost, as a duplicate, and as one that nothing explains."""

from support.crash import judge
from support.inbox import Message


def message(
    id_: str,
    at: float,
    *,
    raw: bytes = b"{}",
    kind: str = "alarm.raised",
    alarm: str = "a",
    answer: int | None = 204,
) -> Message:
    return Message(id_, kind, {"data": {"alarm_id": alarm}}, raw, {}, at, at, answer)


def test_what_came_once_is_sound() -> None:
    """Every committed event accepted once, a failed attempt in between: nothing to say."""
    requests = [message("m1", 1.0, answer=503), message("m1", 2.0), message("m2", 3.0, kind="alarm.ended")]
    verdict = judge(["m1", "m2"], requests, breaks=[], kills=0)
    assert verdict.is_sound
    assert (verdict.committed, verdict.accepted, verdict.requests, verdict.duplicates) == (2, 2, 3, 0)


def test_what_never_was_accepted_is_lost() -> None:
    """An event that was only refused, and one that never came, are lost."""
    verdict = judge(["m1", "m2"], [message("m1", 1.0, answer=503)], breaks=[0.5], kills=1)
    assert verdict.lost == {"m1", "m2"}
    assert not verdict.is_sound


def test_a_duplicate_needs_a_break_between() -> None:
    """Accepted twice around a kill is explained, twice without one is not; each break counts its own."""
    requests = [message("m1", 1.0), message("m2", 1.1), message("m1", 3.0), message("m2", 3.1)]
    explained = judge(["m1", "m2"], requests, breaks=[2.0], kills=1)
    assert explained.is_sound
    assert (explained.duplicates, explained.most_after_one) == (2, 2)
    assert judge(["m1", "m2"], requests, breaks=[3.05], kills=1).unexplained == {"m1"}


def test_another_body_and_another_order_are_found() -> None:
    """One id with two bodies, even in a refused attempt, and an end before its raise are faults."""
    two = judge(["m1"], [message("m1", 1.0, raw=b"{ }", answer=503), message("m1", 2.0)], breaks=[], kills=0)
    assert two.two_bodies == {"m1"}
    ended_first = [message("m2", 1.0, kind="alarm.ended"), message("m1", 2.0)]
    assert judge(["m1", "m2"], ended_first, breaks=[], kills=0).disordered == {"a"}
