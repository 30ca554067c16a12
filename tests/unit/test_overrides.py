"""Silences and walk tests: whose alarms they concern, how long they last, and what is told and kept of them."""

from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.deliver.act import Act, Via
from tocsin.deliver.event import EventType
from tocsin.deliver.override import Override, OverrideKind
from tocsin.deliver.store import Change
from tocsin.errors import ControlError, InputError, OutboxError
from tocsin.overrides import BOUNDS, MOST, PLAIN, Now, Overrides, Person, Target, Treatment, target_of

NOON = Now(1000.0, datetime(2026, 11, 21, 12, tzinfo=UTC))
RULES = {"yard": ("visit", "knife"), "gate": ("visit",), "attic": ()}
YARD, VISIT = Target("yard", None), Target(None, "visit")
SILENCE, TEST = OverrideKind.SILENCE, OverrideKind.TEST
SILENCED = Treatment(silenced=True)
ANNA = Person("anna")


def after(seconds: float, jumped: float = 0.0) -> Now:
    """So long after noon, with the clock on the wall set by that much since."""
    return Now(NOON.at + seconds, NOON.wall + timedelta(seconds=seconds + jumped))


class Desk:
    """Overrides with what they committed and told."""

    def __init__(self, *known: Override, now: Now = NOON, refusal: OutboxError | None = None) -> None:
        self.changes: list[Change] = []
        self.refusal = refusal
        self.muted: dict[tuple[str, str], bool] = {}
        self.tests: dict[str, bool] = {}
        self.heeded: list[Treatment] = []
        self.all = Overrides(self.commit, self)
        self.all.changed = lambda: self.heeded.append(self.all.of("yard", "visit"))
        self.all.resume(known, RULES, now)

    def commit(self, change: Change) -> "Future[None]":
        self.changes.append(change)
        answer: Future[None] = Future()
        if self.refusal is not None:
            answer.set_exception(self.refusal)
        return answer

    def silenced(self, stream: str, rule: str, is_silenced: bool) -> None:
        self.muted[stream, rule] = is_silenced

    def walk_test(self, stream: str, is_open: bool) -> None:
        self.tests[stream] = is_open

    def silence(self, target: Target = YARD, seconds: float = 600.0, now: Now = NOON) -> Override:
        return self.all.begin(SILENCE, target, seconds, ANNA, "cleaning", now)

    def kept(self) -> Override:
        """What a restart would find."""
        return self.changes[-1].overrides[0]


def test_what_is_begun_is_told_and_recorded_in_one_change() -> None:
    """With who, until when and why, and under one id."""
    desk = Desk()
    one = desk.silence()
    (change,) = desk.changes
    assert change.overrides == (one,)
    assert (one.since, one.until, one.over) == (NOON.wall, after(600).wall, None)
    assert change.events[0].type is EventType.SILENCE_BEGUN
    assert change.events[0].stream == "yard"
    assert change.events[0].data.payload() == {
        "id": one.id,
        "stream": "yard",
        "rule": None,
        "by": "anna",
        "why": "cleaning",
        "since": "2026-11-21T12:00:00.000Z",
        "until": "2026-11-21T12:10:00.000Z",
        "reason": None,
        "ended_by": None,
    }
    (entry,) = change.audited
    assert (entry.at, entry.act, entry.by) == (NOON.wall, Act.SILENCE_BEGUN, "anna")
    assert (entry.via, entry.subject) == (Via.COMMAND, "yard")
    assert entry.details == {"id": one.id, "until": "2026-11-21T12:10:00.000Z", "why": "cleaning"}


@pytest.mark.parametrize(
    ("target", "muted"),
    [
        (YARD, {("yard", "visit"), ("yard", "knife")}),
        (VISIT, {("yard", "visit"), ("gate", "visit")}),
        (Target("yard", "visit"), {("yard", "visit")}),
        (Target("attic", None), set()),
    ],
    ids=[
        "a stream",
        "a rule",
        "a rule on a stream",
        "a stream without rules",
    ],  # no set: workers order it each in its way
)
def test_whose_alarms_are_concerned(target: Target, muted: set[tuple[str, str]]) -> None:
    """Those of a stream, of a rule wherever it watches, or of one rule on one stream; the metric says whose."""
    desk = Desk()
    assert not any(desk.muted.values())
    desk.silence(target)
    assert {pair for pair, is_silenced in desk.muted.items() if is_silenced} == muted
    assert {pair for pair in desk.muted if desk.all.of(*pair) == SILENCED} == muted
    assert desk.all.of("gate", "knife") == PLAIN
    assert not any(desk.tests.values())


def test_a_walk_test_is_none_of_the_other_streams() -> None:
    """The alarms of its stream are tests until it is over; where they are silenced, too, they are both."""
    desk = Desk()
    desk.all.begin(TEST, YARD, 600.0, ANNA, "", NOON)
    assert desk.tests == {"yard": True, "gate": False, "attic": False}
    assert desk.all.of("yard", "visit") == Treatment(test=True)
    assert desk.all.of("gate", "visit") == PLAIN
    desk.silence(VISIT)
    assert desk.all.of("yard", "visit") == Treatment(silenced=True, test=True)
    desk.all.turn(after(600))
    assert [change.events[0].type for change in desk.changes[2:]] == ["test.ended", "silence.ended"]
    assert not any(desk.tests.values())


def test_it_ends_when_its_time_has_come() -> None:
    """Told, recorded as the daemon's own act, and heeded by the alarms when it is in force no more."""
    desk = Desk()
    one = desk.silence()
    desk.heeded.clear()
    desk.all.turn(after(599.9))
    assert (len(desk.changes), desk.heeded) == (1, [])
    desk.all.turn(after(600))
    desk.all.turn(after(601))
    assert desk.heeded == [PLAIN]
    assert len(desk.changes) == 2
    change = desk.changes[-1]
    assert change.overrides == (replace(one, over=after(600).wall),)
    assert change.events[0].type is EventType.SILENCE_ENDED
    told = change.events[0].data.payload()
    assert (told["id"], told["reason"], told["ended_by"]) == (one.id, "expired", None)
    (entry,) = change.audited
    assert (entry.act, entry.via) == (Act.SILENCE_ENDED, Via.DAEMON)
    assert entry.details == {"id": one.id, "reason": "expired"}
    assert not any(desk.muted.values())
    assert desk.all.standing() == ()


@pytest.mark.parametrize(
    ("jumped", "ends"),
    [
        pytest.param(0.0, 600.0, id="the clock is right"),
        pytest.param(-86400.0, 600.0, id="set back by a day: it lasts no longer"),
        pytest.param(300.0, 300.0, id="set forth, or the machine slept: it ends on the wall's minute"),
        pytest.param(86400.0, 0.0, id="set forth by a day: it is over"),
    ],
)
def test_it_lasts_for_no_longer_than_asked(jumped: float, ends: float) -> None:
    """Whatever happens to the clock on the wall a second after it began."""
    desk = Desk()
    desk.silence()
    lasted = next(t for t in range(1, 10_000) if not _turned(desk, after(t, jumped)))
    assert lasted == max(ends, 1.0)


def _turned(desk: Desk, now: Now) -> bool:
    desk.all.turn(now)
    return bool(desk.all.standing())


@pytest.mark.parametrize(
    ("away", "jumped", "left"),
    [
        pytest.param(0.0, 0.0, 360.0, id="what is left goes on"),
        pytest.param(300.0, 0.0, 60.0, id="the time away counts"),
        pytest.param(400.0, 0.0, 0.0, id="it is over where its end fell into that time"),
        pytest.param(
            10.0, -3600.0, 600.0, id="a clock that was set back meanwhile gives no more than was asked"
        ),
    ],
)
def test_a_restart_keeps_it(away: float, jumped: float, left: float) -> None:
    """After 240 of its 600 s the daemon dies, and comes back: nobody knows its monotonic clock any more."""
    before = Desk()
    before.silence()
    before.all.turn(after(240))
    back = Now(7.0, after(240 + away, jumped).wall)
    desk = Desk(before.kept(), now=back)
    assert desk.all.of("yard", "visit") == (SILENCED if left else PLAIN)
    lasted = next(t for t in range(2000) if not _turned(desk, Now(7.0 + t, back.wall + timedelta(seconds=t))))
    assert lasted == left
    assert [event.type for change in desk.changes for event in change.events] == [EventType.SILENCE_ENDED]


def test_a_restart_after_the_clock_was_set_back_keeps_what_was_left() -> None:
    """While it runs it sees the clock go back, and moves what a restart goes by; nobody else hears of it."""
    desk = Desk()
    desk.silence()
    desk.all.turn(after(400, -3600))
    moved = desk.changes[-1]
    assert (moved.events, moved.audited) == ((), ())
    assert desk.kept().until == after(600, -3600).wall
    desk.all.turn(after(401, -3600.5))
    assert len(desk.changes) == 2, "less than a second is no matter"
    again = Desk(desk.kept(), now=Now(0.0, after(400, -3600).wall))
    assert again.all.standing()[0].left(Now(0.0, after(400, -3600).wall)) == 200.0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0.5, 90.0), st.floats(-9e3, 9e3), st.booleans()), max_size=40))
def test_within_one_life_no_clock_makes_it_longer(steps: list[tuple[float, float, bool]]) -> None:
    """Whenever and however often the clock on the wall is set."""
    desk = Desk()
    desk.silence()
    elapsed = jumped = 0.0
    for seconds, jump, jumps in steps:
        elapsed, jumped = elapsed + seconds, jumped + jump * jumps
        assert not _turned(desk, after(elapsed, jumped)) or elapsed < 600.0
    assert not _turned(desk, after(600.0, jumped))


def test_somebody_ends_it_before_its_time() -> None:
    """By its id, its stream or its rule; all that have that name, and no test of it."""
    desk = Desk()
    first, second, other = desk.silence(), desk.silence(Target("yard", "knife")), desk.silence(VISIT)
    desk.all.begin(TEST, YARD, 600.0, ANNA, "", NOON)
    assert desk.all.end(SILENCE, "yard", Person("bob"), after(5)) == (first, second)
    told = desk.changes[-1].events[0].data.payload()
    assert (told["reason"], told["by"], told["ended_by"]) == ("lifted", "anna", "bob")
    assert desk.changes[-1].audited[0].by == "bob"
    assert desk.all.of("yard", "visit") == Treatment(silenced=True, test=True)
    assert desk.all.end(SILENCE, other.id[-6:], ANNA, after(6)) == (other,)
    with pytest.raises(InputError, match=r"^expected a silence that is in force, found none of 'yard'$"):
        desk.all.end(SILENCE, "yard", ANNA, after(7))


def test_it_ends_with_what_it_is_about() -> None:
    """A reload without its stream or rule ends it; what covers others goes on, for new ones, too."""
    desk = Desk()
    desk.silence()
    desk.silence(Target("gate", "visit"))
    desk.silence(VISIT)
    desk.all.adopt({"gate": ("knife",), "hall": ("visit",)}, after(5))
    ended = [change.events[0].data.payload() for change in desk.changes[3:]]
    assert [(one["stream"], one["rule"], one["reason"]) for one in ended] == [
        ("yard", None, "gone"),
        ("gate", "visit", "gone"),
    ]
    assert desk.all.of("hall", "visit") == SILENCED
    desk.all.adopt({"hall": ("knife",)}, after(6))
    assert desk.all.standing() == ()
    known = replace(desk.changes[0].overrides[0], over=None)
    assert Desk(replace(known, stream="cellar")).changes[0].events[0].data.payload()["reason"] == "gone"


@pytest.mark.parametrize("kind", list(BOUNDS))
def test_it_has_to_end(kind: OverrideKind) -> None:
    """Nothing is silenced or tested for ever, nor for a moment."""
    desk = Desk()
    least, most = BOUNDS[kind]
    for seconds in (least - 1, most + 1, float("nan"), float("inf")):
        with pytest.raises(InputError, match=rf"^--for: expected 1m to (7d|1h) for a {kind}, found "):
            desk.all.begin(kind, YARD, seconds, ANNA, "", NOON)
    assert desk.changes == []
    for seconds in (least, most):
        desk.all.begin(kind, YARD, seconds, ANNA, "", NOON)


def test_there_are_not_too_many() -> None:
    """The list stays one that a person can read."""
    desk = Desk()
    for _ in range(MOST):
        desk.silence()
    with pytest.raises(InputError, match=r"^expected at most 100 silences and tests at once, found as many$"):
        desk.silence()


def test_nothing_begins_that_cannot_be_recorded() -> None:
    """An outbox that refuses the change refuses the silence; an end needs nobody's leave."""
    desk = Desk(refusal=OutboxError("the backlog is full"))
    with pytest.raises(ControlError, match=r"^the backlog is full$"):
        desk.silence()
    assert desk.all.of("yard", "visit") == PLAIN
    desk.refusal = None
    desk.silence()
    desk.refusal = OutboxError("the backlog is full")
    desk.all.turn(after(600))
    assert desk.all.of("yard", "visit") == PLAIN


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("yard", None, None), YARD),
        (("visit", None, None), VISIT),
        ((None, "yard", "visit"), Target("yard", "visit")),
        (("yard", None, "visit"), Target("yard", "visit")),
        (("visit", "yard", None), Target("yard", "visit")),
        ((None, "both", None), Target("both", None)),
        ((None, None, "both"), Target(None, "both")),
        (("both", None, "visit"), "expected one of the rules on both (knife), found 'visit'"),
        (
            ("both", None, None),
            "expected --stream both or --rule both, found a stream and a rule of that name",
        ),
        (
            ("cat", None, None),
            "expected one of the streams or rules (both, knife, visit, yard), found 'cat'",
        ),
        ((None, "cat", None), "expected one of the streams (both, yard), found 'cat'"),
        ((None, None, "cat"), "expected one of the rules (both, knife, visit), found 'cat'"),
        ((None, None, None), "expected the name of a stream or a rule, found none"),
        (("yard", "yard", "visit"), "expected NAME or --stream and --rule, found all three"),
    ],
    ids=str,
)
def test_a_name_means_one_thing(
    asked: tuple[str | None, str | None, str | None], found: Target | str
) -> None:
    """A stream or a rule by itself; where both have it, the option says which."""
    rules = {"yard": ("visit", "both"), "both": ("knife",)}
    if isinstance(found, Target):
        assert target_of(*asked, rules) == found
    else:
        with pytest.raises(InputError) as refused:
            target_of(*asked, rules)
        assert str(refused.value) == found
