"""Each alarm that was not raised is counted once, with the reason."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.alarm.candidates import Candidate
from tocsin.alarm.episode import Decision
from tocsin.alarm.hours import WEEK, Hours, Span
from tocsin.alarm.judge import Judge
from tocsin.alarm.moment import Moment
from tocsin.alarm.rule import Per, Rule
from tocsin.alarm.withheld import Withheld

PERIOD = 0.5
THERE = Candidate("person", 0.75, (0.1, 0.1, 0.2, 0.4), None, (40.0, 80.0), 0)
RULE = Rule("visit", ("person",), 0.75, hits=2, of=4, within=10.0, end_after=1.5, repeat_every=0.0)
NEVER = Hours("UTC", (Span(WEEK, 0, 1),))
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def play(judge: Judge, frames: str) -> list[tuple[int, str]]:
    """The numbers of the frames in which an alarm was withheld or raised: `x` shows somebody.

    `!` does so while the light changes, `o` while a graver alarm is open.
    """
    told = []
    for number, frame in enumerate(frames):
        moment = Moment(
            *(number * PERIOD, PERIOD, PERIOD, 1.0, NOON), outranked=frame == "o", unsettled=frame == "!"
        )
        judged = judge.update(moment, [] if frame == "." else [THERE])
        told += [(number, reason.value) for reason in judged.withheld]
        told += [(number, "raised")] if judged.decision is Decision.RAISED else []
    return told


@pytest.mark.parametrize(
    ("rule", "frames", "told"),
    [
        pytest.param({}, "xxxx....xxxx", [(1, "raised"), (9, "raised")], id="what is raised is not withheld"),
        pytest.param({}, "x...", [], id="nor is what is never confirmed"),
        pytest.param({"schedule": NEVER}, "x......", [], id="off duty neither"),
        pytest.param(
            {"schedule": NEVER},
            "x" * 60 + "." * 9 + "xxx",
            [(1, "schedule"), (70, "schedule")],
            id="off duty",
        ),
        pytest.param({"schedule": NEVER}, "xx.xx.xx", [(1, "schedule")], id="what flickers is one"),
        pytest.param(
            {"schedule": NEVER, "end_after": 0.5}, "xx.x", [(1, "schedule")], id="each is confirmed anew"
        ),
        pytest.param(
            {"cooldown": 60.0}, "xx...xxxxxxxxxx", [(1, "raised"), (6, "cooldown")], id="in a cooldown"
        ),
        pytest.param(
            {"cooldown": 3.0},
            "xx...xxxxxx",
            [(1, "raised"), (6, "cooldown"), (10, "raised")],
            id="until it is over",
        ),
        pytest.param({}, "oooooooo....oo", [(1, "outranked"), (13, "outranked")], id="beside a graver one"),
        pytest.param({}, "x!!!x", [(1, "light"), (4, "raised")], id="while the light changes"),
        pytest.param({}, "xxxx!!!!", [(1, "raised")], id="an alarm that is open is raised"),
        pytest.param(
            {"still_after": 4.0},
            "x" * 60 + "." * 9 + "xxx",
            [(1, "raised"), (11, "stationary"), (70, "stationary")],
            id="what stands still",
        ),
    ],
)
@pytest.mark.parametrize("per", list(Per))
def test_each_is_counted_once(
    rule: dict[str, object], frames: str, told: list[tuple[int, str]], per: Per
) -> None:
    """In the frame in which it would have been raised, or first was not; again after it would have ended."""
    assert play(Judge(replace(RULE, per=per, **rule)), frames) == told  # type: ignore[arg-type]


@given(st.text("x.!o", max_size=60))
def test_no_reason_without_as_many_hits(frames: str) -> None:
    """Whatever is shown, nothing is withheld that fewer than `hits` sightings speak for."""
    for number, word in play(Judge(replace(RULE, cooldown=2.0)), frames):
        assert word in (*Withheld, "raised")
        counted = frames[max(0, number - 6) : number + 1]  # raised after the light has settled, the latest
        assert sum(one != "." for one in counted) >= 2 or "!" in counted
