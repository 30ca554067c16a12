"""The way to an answer that an alarm tells, and what follows from a verdict."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from support.events import ALARM
from tocsin.answering import Answering
from tocsin.deliver.verdict import Verdict


class Heard:
    """What followed."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, Verdict]] = []
        self.settled: list[str] = []
        observe = SimpleNamespace(verdict_given=lambda *told: self.counted.append(told))
        self.answering = Answering("https://before", 60.0, observe, self.settled.append)


@pytest.mark.parametrize(
    ("verdict", "settled"), [(Verdict.ACKNOWLEDGED, 0), (Verdict.CONFIRMED, 1), (Verdict.REJECTED, 1)]
)
def test_what_was_right_or_wrong_is_kept_to_learn_from(verdict: Verdict, settled: int) -> None:
    """Each verdict counts; that somebody looks after an alarm says nothing about it."""
    heard = Heard()
    heard.answering.judged(ALARM, verdict)
    assert heard.counted == [(ALARM.rule, verdict)]
    assert heard.settled == [ALARM.alarm_id] * settled


def test_a_verdict_on_a_test_says_nothing_of_the_rule() -> None:
    """It is neither counted nor kept for longer."""
    heard = Heard()
    heard.answering.judged(replace(ALARM, test=True), Verdict.REJECTED)
    assert (heard.counted, heard.settled) == ([], [])


def test_nobody_is_invited_before_there_is_a_key() -> None:
    """From then on links lead to where the last reload said, and are good by the same key."""
    answering = Heard().answering
    assert answering.invite("alarm_1") is None
    answering.adopt("https://after", 60.0)
    invitations = answering.open(b"k" * 32)
    assert answering.open(b"k" * 32) is invitations
    told = answering.invite("alarm_1")
    assert told is not None
    assert told["url"].startswith("https://after/alarm/alarm_1?")
    answering.adopt("https://last", 60.0)
    told = answering.invite("alarm_1")
    assert told is not None
    assert told["url"].startswith("https://last/")
