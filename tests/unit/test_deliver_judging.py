"""What becomes of an alarm when a person says something about it, and how the next one is told."""

from dataclasses import replace
from datetime import timedelta

import pytest

from support.events import NOON, ended_alarm, judged, open_alarm, stated
from tocsin.deliver.act import Act, Via
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.event import EventType
from tocsin.deliver.judging import Said, case_of, take
from tocsin.deliver.verdict import MOST_BY, MOST_WHY, Verdict, ago, verdict_of, words_of
from tocsin.errors import InputError

LATER = NOON + timedelta(minutes=2)


@pytest.mark.parametrize("record", [open_alarm(), ended_alarm()], ids=["open", "ended"])
def test_a_verdict_is_one_change_of_event_record_and_audit(record: AlarmRecord) -> None:
    """All of it or nothing; the event has the whole alarm, and when it ended if it has."""
    taken = take(record, stated(Verdict.REJECTED), LATER)
    assert taken.before is None
    change = taken.change
    assert change is not None
    (event,), (entry,) = change.events, change.audited
    assert change.alarms == (taken.record,)
    assert (event.type, event.alarm_id, event.at) == (EventType.ALARM_VERDICT, "alarm_1", LATER)
    told = event.data.payload()
    assert told["verdict"] == "rejected"
    assert told["judged"] == {"by": "anna", "at": "2026-11-21T12:02:00.418Z", "why": "a mop"}
    assert told["ended"] == (None if record.ended is None else "2026-11-21T12:01:00.418Z")
    assert (taken.record.opened, taken.record.ended) == (record.opened, record.ended)
    assert (entry.act, entry.by, entry.via, entry.subject) == (Act.VERDICT, "anna", Via.COMMAND, "alarm_1")
    about = {"stream": "entrance", "rule": "intruder"}
    assert entry.details == {"verdict": "rejected", "why": "a mop", **about}


def test_the_last_verdict_stands_and_the_one_before_is_told() -> None:
    """Another person, another verdict or another reason is a new one, and so is the first one's once more."""
    record = open_alarm()
    before = None
    for said in (
        stated(Verdict.CONFIRMED, "anna", "a man"),
        stated(Verdict.REJECTED, "bob", "the postman"),
        stated(Verdict.CONFIRMED, "anna", "a man"),
        stated(Verdict.CONFIRMED, "anna", "a man with a bag"),
        stated(Verdict.CONFIRMED, "bob", "a man with a bag"),
    ):
        taken = take(record, said, LATER)
        assert taken.change is not None
        assert taken.before == before
        record = taken.record
        before = record.alarm.judged
        assert before is not None
        assert (before.verdict, before.by, before.why) == (said.verdict, said.by, said.why)


def test_who_says_the_same_again_says_nothing() -> None:
    """A double click and a request that was repeated make one event, and a reason that was given stays."""
    first = take(open_alarm(), stated(Verdict.REJECTED, why="a mop"), NOON)
    for why in ("a mop", ""):
        again = take(first.record, stated(Verdict.REJECTED, why=why), LATER)
        assert again.change is None
        assert again.record == first.record
        assert again.before == judged(Verdict.REJECTED)
    lost = take(first.record, stated(Verdict.REJECTED), LATER, anew=True)
    assert lost.change is not None, "what never reached anybody may be said again"


def test_a_silenced_alarm_s_verdict_is_kept_and_told_nobody() -> None:
    """Who never heard of the alarm has nothing to take back."""
    record = open_alarm()
    record = replace(record, alarm=replace(record.alarm, silenced=True))
    change = take(record, stated(Verdict.CONFIRMED), NOON).change
    assert change is not None
    assert (change.events, len(change.alarms), len(change.audited)) == ((), 1, 1)


def test_a_case_holds_the_verdict_that_stands_once() -> None:
    """The record of who said what may have swept its old end, or lag behind by a moment."""
    first = take(open_alarm(), stated(Verdict.CONFIRMED), NOON)
    second = take(first.record, stated(Verdict.REJECTED, "bob"), LATER)
    assert first.change is not None
    assert second.change is not None
    entries = [*second.change.audited, *first.change.audited]
    said = [(one.judgement.by, one.via) for one in case_of(second.record, entries).said]
    assert said == [("bob", Via.COMMAND), ("anna", Via.COMMAND)]
    behind = case_of(second.record, first.change.audited).said
    assert [(one.judgement.by, one.via) for one in behind] == [("bob", None), ("anna", Via.COMMAND)]
    assert case_of(first.record, ()).said == (Said(judged(Verdict.CONFIRMED)),)
    assert case_of(open_alarm(), ()).said == ()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  a mop\n\tand a bucket ", "a mop and a bucket"),
        ("\u202egod\u202c", "god"),
        ("a\x00b\x1b[31mc", "ab[31mc"),
        ("\ud800ü\u200b \u200b ß", "ü ß"),
        ("\u200b", ""),
        ("x" * MOST_WHY, "x" * MOST_WHY),
    ],
)
def test_words_are_one_line_of_what_can_be_seen(given: str, kept: str) -> None:
    """A telephone's keyboard sends strange things, which are no reason to refuse a guard."""
    assert words_of(given, "why", MOST_WHY) == kept


def test_words_that_are_too_many_and_verdicts_that_are_none_are_refused() -> None:
    """In a sentence that says what was expected."""
    with pytest.raises(InputError, match=r"^by: expected 64 characters at most, found 65$"):
        words_of("x" * 65, "by", MOST_BY)
    with pytest.raises(InputError, match=r"^why: expected a text, found something else$"):
        words_of(7, "why", MOST_WHY)
    for word in ("REJECTED", "", None, ["rejected"], 7):
        with pytest.raises(InputError, match=r"^verdict: expected one of acknowledged, confirmed, rejected"):
            verdict_of(word)
    assert verdict_of("rejected") is Verdict.REJECTED


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3600, "just now"),
        (4.9, "just now"),
        (40, "40 s ago"),
        (90, "2 min ago"),
        (5399, "90 min ago"),
        (5400, "2 h ago"),
        (172_799, "48 h ago"),
        (172_800, "2 days ago"),
    ],
)
def test_how_long_ago_it_was(seconds: float, said: str) -> None:
    """In words for a radio call; a clock that was set back makes nothing negative."""
    assert ago(seconds) == said


def test_a_verdict_is_told_in_a_sentence() -> None:
    """Who, what, when and why, if a reason was given."""
    assert judged(Verdict.REJECTED).sentence(LATER) == "anna rejected it 2 min ago: a mop"
    assert judged(Verdict.CONFIRMED, "", "").sentence(LATER) == "somebody confirmed it 2 min ago"
