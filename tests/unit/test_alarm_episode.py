"""An alarm is raised once, lasts while something is seen, and ends when it is no longer."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tocsin.alarm.candidates import Candidate
from tocsin.alarm.confirm import interrupted
from tocsin.alarm.episode import TRANSITIONS, Decision, Resumed, Signal, State
from tocsin.alarm.hours import WEEK, Hours, Span
from tocsin.alarm.judge import Judge, Judgement
from tocsin.alarm.memory import Memory
from tocsin.alarm.moment import Moment
from tocsin.alarm.rule import Rule

PERIOD = 0.5
LETTERS = {
    Decision.QUIET: ".",
    Decision.WITHHELD: "w",
    Decision.RAISED: "R",
    Decision.HELD: "h",
    Decision.REPEATED: "r",
    Decision.ENDED: "E",
}


ENOUGH = Candidate("person", 0.75, (0.1, 0.1, 0.2, 0.4), None, (40.0, 80.0), 0)
LESS = replace(ENOUGH, score=0.5)
RULE = Rule(
    "visit", ("person",), 0.75, hits=2, of=4, within=10.0, end_after=1.5, repeat_every=0.0, keep_score=0.5
)
FRAMES = {"x": [ENOUGH], "-": [LESS], ".": []}


def show(
    judge: Judge,
    frame: str,
    at: float,
    period: float,
    silence: float,
    *,
    unsettled: bool = False,
    muted: bool = False,
) -> Judgement:
    """Show one frame: `x` is a sighting, `-` scores enough to keep an alarm."""
    return judge.update(Moment(at, period, silence, unsettled=unsettled, muted=muted), FRAMES[frame])


class Stream:
    """Feeds a judge: one frame for each character, every half second."""

    def __init__(self, judge: Judge, at: float = 0.0) -> None:
        self.judge = judge
        self.at = at
        self.silence = math.inf

    def play(self, frames: str, *, muted: bool = False) -> str:
        told = ""
        for frame in frames:
            told += LETTERS[show(self.judge, frame, self.at, PERIOD, self.silence, muted=muted).decision]
            self.at += PERIOD
            self.silence = PERIOD
        return told

    def fall_silent(self, seconds: float) -> None:
        self.at += seconds
        self.silence = seconds + PERIOD


def judge(end_after: float = 1.5, repeat_every: float = 0.0, resumed: Resumed | None = None) -> Judge:
    return Judge(replace(RULE, end_after=end_after, repeat_every=repeat_every), resumed)


def test_table_is_total() -> None:
    """Every signal means something in every state."""
    assert set(TRANSITIONS) == {(state, signal) for state in State for signal in Signal}


@pytest.mark.parametrize(
    ("end_after", "repeat_every", "frames", "told"),
    [
        pytest.param(1.5, 0, "xx", ".R", id="the second of two sightings raises"),
        pytest.param(1.5, 0, "x..x", "...R", id="also the last that fits the window"),
        pytest.param(1.5, 0, "x...x", ".....", id="one that comes too late does not"),
        pytest.param(1.5, 0, "xxxxx", ".Rhhh", id="raised once, then held"),
        pytest.param(1.5, 0, "xx...", ".RhhE", id="it ends after so long without a sighting"),
        pytest.param(1.5, 0, "xx..x..x..", ".Rhhhhhhhh", id="each sighting keeps it"),
        pytest.param(1.5, 0, "xx...x", ".RhhE.", id="a sighting after the end is the first of a new alarm"),
        pytest.param(1.5, 0, "xx...xx", ".RhhE.R", id="and the second raises again"),
        pytest.param(1.0, 0, "xx..xx", ".RhE.R", id="sightings of the last alarm do not raise the next"),
        pytest.param(0.0, 0, "xx.", ".RE", id="with end_after 0 the first frame without it ends it"),
        pytest.param(1.5, 1.0, "xxxxxxx", ".Rhrhrh", id="it is repeated as often as asked"),
        pytest.param(1.5, 1.0, "xx...", ".RhrE", id="it is repeated while it lasts, seen or not"),
        pytest.param(1.0, 1.0, "xx..", ".RhE", id="an end that is due comes before a repeat"),
        pytest.param(1.5, 0, "xx------...", ".RhhhhhhhhE", id="a score that keeps it keeps it"),
        pytest.param(1.5, 0, "----", "....", id="but raises nothing"),
        pytest.param(1.5, 0, "x-x", "..R", id="nor counts as one of the hits"),
        pytest.param(1.5, 0, "xx...--", ".RhhE..", id="nor brings it back once it has ended"),
    ],
)
def test_life(end_after: float, repeat_every: float, frames: str, told: str) -> None:
    """What happens is told once, in the frame in which it happens."""
    assert Stream(judge(end_after, repeat_every)).play(frames) == told


def test_never_repeats() -> None:
    """With `repeat_every` 0 an alarm that lasts for an hour is told once."""
    assert Stream(judge(repeat_every=0.0)).play("x" * 7200).count("r") == 0


def test_end_counts_only_observed_time() -> None:
    """An hour without frames brings an alarm no nearer to its end."""
    stream = Stream(judge(end_after=1.5))
    assert stream.play("xx..") == ".Rhh"
    stream.fall_silent(3600)
    assert stream.play("...") == "hE.", "the frame after the silence adds nothing"


def test_short_silence_is_observed() -> None:
    """A silence that is shorter than five periods counts as looking."""
    stream = Stream(judge(end_after=2.0))
    stream.play("xx")
    stream.fall_silent(1.5)
    assert stream.play(".") == "E"


def test_overload_is_not_looking() -> None:
    """Where frames come but are not analysed for a minute, no more than five periods of it are observed."""
    stream = Stream(judge(end_after=3.0))
    stream.play("xx")
    stream.at += 60
    assert stream.play("..") == "hE"


def test_no_raise_across_a_gap() -> None:
    """Two sightings with silence between them raise nothing."""
    stream = Stream(judge())
    stream.play("x")
    stream.fall_silent(9)
    assert stream.play("x") == "."
    assert stream.play("x") == "R"


def test_gap_keeps_an_alarm() -> None:
    """After a silence an open alarm goes on and is not raised again."""
    stream = Stream(judge())
    stream.play("xx")
    stream.fall_silent(60)
    assert stream.play("xxx") == "hhh"


def test_one_repeat_after_a_gap() -> None:
    """However many repeats a silence swallowed, one is sent after it."""
    stream = Stream(judge(repeat_every=5.0))
    stream.play("xx")
    stream.fall_silent(3600)
    assert stream.play("xxxx") == "rhhh"


def test_first_seen() -> None:
    """The first sighting is known from the raise to the end, and forgotten after it."""
    watched = judge()
    stream = Stream(watched, at=100.0)
    stream.play(".")
    told = [show(watched, frame, 100.5 + n / 2, 0.5, 0.5).first_seen for n, frame in enumerate("xxxx....")]
    assert told == [None, *[100.5] * 6, None]
    assert watched.state is State.QUIET


def test_resumed_alarm_is_not_raised_twice() -> None:
    """An alarm that was open before a restart goes on without being raised, and ends as any other."""
    resumed = judge(resumed=Resumed(first_seen=-50.0, told=-50.0))
    assert resumed.state is State.ACTIVE
    assert Stream(resumed).play("xxxx...xx") == "hhhhhhE.R"


def test_resumed_alarm_keeps_its_first_sighting() -> None:
    """It was first seen before the restart."""
    resumed = judge(resumed=Resumed(first_seen=-50.0, told=-50.0))
    assert show(resumed, "x", 0.0, PERIOD, math.inf).first_seen == -50.0


@pytest.mark.parametrize(
    ("told_before", "frames", "told"),
    [
        pytest.param(9.0, "xxx", "hhr", id="the time before the restart counts towards the next repeat"),
        pytest.param(500.0, "xxx", "rhh", id="an overdue repeat is sent once"),
        pytest.param(-500.0, "xxx", "hhh", id="told in the future: the time starts afresh"),
        pytest.param(math.nan, "xxx", "hhh", id="told at no time: the time starts afresh"),
    ],
)
def test_resumed_repeat(told_before: float, frames: str, told: str) -> None:
    """The repeat of a resumed alarm is due when it would have been."""
    resumed = Resumed(first_seen=-20.0, told=1000.0 - told_before)
    assert Stream(judge(repeat_every=10.0, resumed=resumed), at=1000.0).play(frames) == told


def test_time_that_starts_afresh_still_repeats() -> None:
    """A resumed alarm without a usable time is repeated after one whole interval."""
    resumed = Resumed(first_seen=0.0, told=math.nan)
    assert Stream(judge(repeat_every=2.0, resumed=resumed), at=1000.0).play("xxxxx") == "hhhhr"


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf])
def test_frame_without_time(at: float) -> None:
    """A frame without a finite time neither raises, repeats nor ends."""
    stream = Stream(judge(end_after=1.0, repeat_every=1.0))
    stream.play("xx.")
    assert show(stream.judge, ".", at, PERIOD, PERIOD).decision is Decision.HELD
    assert stream.play(".") == "E"
    assert show(stream.judge, "x", at, PERIOD, PERIOD).decision is Decision.QUIET


def test_jump_back_keeps_the_age() -> None:
    """When time jumps back a day, the next repeat is one frame late, and neither a day late nor early."""
    stream = Stream(judge(repeat_every=2.0))
    assert stream.play("xxx") == ".Rh"
    stream.at -= 86400
    assert stream.play("xxxx") == "hhhr"


def test_jump_forward_ends_nothing() -> None:
    """When time jumps forward a day, it counts as no more than five periods of looking."""
    stream = Stream(judge(end_after=10.0))
    stream.play("xx")
    stream.at += 86400
    assert stream.play("..") == "hh"


SEEN = st.sampled_from(".-x")


def test_latch() -> None:
    """A latched alarm is repeated and does not end before a verdict, and then when it is not seen."""
    latched = Judge(replace(RULE, latch=True, repeat_every=2.0))
    stream = Stream(latched)
    assert stream.play("xx.........") == ".Rhhhrhhhrh"
    latched.judged()
    assert stream.play("...") == "E.."
    assert stream.play("xx") == ".R"
    latched.judged()
    assert stream.play("xxxxxx...") == "hhhhhhhhE", "with a verdict on it, it lasts for as long as it is seen"
    assert stream.play("xx.....") == ".Rhhhrh", "the next is latched again"


def test_a_verdict_stops_the_repeats() -> None:
    """Whoever gave it knows; the next alarm is repeated again."""
    heard = Judge(replace(RULE, repeat_every=1.0))
    stream = Stream(heard)
    assert stream.play("xxxx") == ".Rhr"
    heard.judged()
    assert stream.play("xxxx...") == "hhhhhhE"
    assert stream.play("xxxx") == ".Rhr"


@pytest.mark.parametrize(("judged", "told"), [(False, "hhhhh"), (True, "hhhE.")])
def test_latch_over_a_restart(judged: bool, told: str) -> None:
    """A latched alarm is so after a restart, unless somebody had given a verdict."""
    resumed = Resumed(first_seen=-9.0, told=-9.0, judged=judged)
    assert Stream(Judge(replace(RULE, latch=True), resumed)).play(".....") == told


@pytest.mark.parametrize(
    ("cooldown", "frames", "told"),
    [
        pytest.param(
            2.0, "xx...xxxxx", ".RhhE.wwRh", id="an alarm too soon after the last is withheld, not lost"
        ),
        pytest.param(2.0, "xx...xx...", ".RhhE.w...", id="what is gone when it is over raises nothing"),
        pytest.param(2.0, "xx...x.x.x", ".RhhE..w.R", id="and what comes in time is counted from before"),
        pytest.param(0.5, "xx...xx", ".RhhE.R", id="a short one withholds nothing"),
    ],
)
def test_cooldown(cooldown: float, frames: str, told: str) -> None:
    """After an end no alarm is raised for so long, and then without one frame of delay."""
    assert Stream(Judge(replace(RULE, cooldown=cooldown))).play(frames) == told


def test_jump_back_makes_no_cooldown_longer() -> None:
    """When time jumps back a day, the cooldown is one frame longer, and not a day."""
    stream = Stream(Judge(replace(RULE, cooldown=3.0)))
    assert stream.play("xx...") == ".RhhE"
    stream.at -= 86400
    assert stream.play("xxxxxxxx") == ".wwwwwRh"


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        pytest.param(999.0, ".wwwRh", id="what is left of it holds"),
        pytest.param(990.0, ".Rhhhh", id="one that is over withholds nothing"),
        pytest.param(5000.0, ".wwwwwR", id="an end in the future counts as now"),
    ],
)
def test_a_restart_keeps_the_cooldown(ended: float, told: str) -> None:
    """What ended in an earlier life withholds the next alarm."""
    cooled = Judge(replace(RULE, cooldown=3.0), memory=Memory(ended=ended))
    assert cooled.memory.ended == ended
    assert Stream(cooled, at=1000.0).play("x" * len(told)) == told


def test_jump_back_undoes_no_looking() -> None:
    """What was looked at before the clock jumped back counts as before."""
    stream = Stream(judge(end_after=2.0))
    assert stream.play("xx...") == ".Rhhh"
    stream.at -= 86400
    assert stream.play("..") == "hE"


def test_schedule() -> None:
    """Off duty nothing is counted and nothing raised; an open alarm lives on; what is seen later counts anew."""
    minute = Hours("UTC", (Span(WEEK, 60, 61),))
    judge = Judge(replace(RULE, schedule=minute))
    began = datetime(2026, 11, 21, 0, 59, 57, tzinfo=UTC)
    told = ""
    for number, frame in enumerate("xxxxxxx" + "x" * 130 + "....xxx"):
        wall = began + timedelta(seconds=number / 2)
        told += LETTERS[judge.update(Moment(number / 2, 0.5, 0.5, 1.0, wall), FRAMES[frame]).decision]
    assert told == "......" + ".R" + "h" * 129 + "hhE." + "...", "1:00 is the seventh frame"
    assert LETTERS[judge.update(Moment(999.0, 0.5, 0.5), FRAMES["x"]).decision] == "."
    assert LETTERS[judge.update(Moment(999.5, 0.5, 0.5), FRAMES["x"]).decision] == "R", (
        "no wall clock: on duty"
    )


def hold(judge: Judge, frames: str, unsettled: str) -> str:
    """Play frames, of which those marked `!` come while the light changes."""
    told = ""
    for number, (frame, mark) in enumerate(zip(frames, unsettled, strict=True)):
        moment = Moment(number / 2, 0.5, 0.5 if number else math.inf, unsettled=mark == "!")
        told += LETTERS[judge.update(moment, FRAMES[frame]).decision]
    return told


@pytest.mark.parametrize(
    ("frames", "unsettled", "told"),
    [
        pytest.param(
            "xxxx", ".!!.", ".wwR", id="what is confirmed while the light changes is raised when it is over"
        ),
        pytest.param("xx..", ".!!.", ".wwR", id="also when it is gone by then"),
        pytest.param("xx.....", ".!!....", ".wwRE..", id="and then it ends when it would have"),
        pytest.param("x.x.", ".!..", "..Rh", id="the light alone withholds nothing"),
        pytest.param("xxxx", "...!", ".Rhh", id="an open alarm stays open"),
    ],
)
def test_light_hold(frames: str, unsettled: str, told: str) -> None:
    """While the light of the scene changes an alarm is withheld, and never discarded."""
    assert hold(Judge(RULE), frames, unsettled) == told


def test_a_withheld_alarm_tells_of_its_sightings() -> None:
    """Raised in a frame without one, it has the last sighting that confirmed it and the first that led to it."""
    judge = Judge(RULE)
    told = [
        judge.update(Moment(at, 0.5, 0.5, unsettled=at < 1.5), FRAMES[frame])
        for at, frame in ((0.0, "x"), (0.5, "x"), (1.0, "."), (1.5, "."))
    ]
    assert [one.first_seen for one in told] == [None, None, None, 0.0]
    assert (told[3].decision, told[3].best, told[3].sighting) == (Decision.RAISED, ENOUGH, False)


def test_a_silence_or_a_frame_without_time_discards_nothing() -> None:
    """What is pending is raised with the first frame after it that has a time."""
    judge = Judge(RULE)
    assert hold(judge, "xx", ".!") == ".w"
    assert judge.update(Moment(math.nan, 0.5, 0.5), []).decision is Decision.WITHHELD
    assert judge.update(Moment(60.0, 0.5, 59.0), []).decision is Decision.RAISED


def test_what_is_outranked_meanwhile_is_not_raised() -> None:
    """A graver alarm that tells of the same has told it."""
    judge = Judge(RULE)
    assert hold(judge, "xx", ".!") == ".w"
    assert judge.update(Moment(1.0, 0.5, 0.5, outranked=True), []).decision is Decision.WITHHELD
    assert judge.update(Moment(1.5, 0.5, 0.5), []).decision is Decision.QUIET


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        pytest.param(RULE, "xx", "xx", id="what is still there is raised anew by as many sightings"),
        pytest.param(replace(RULE, cooldown=60.0), "xx", "xx", id="without a cooldown"),
        pytest.param(replace(RULE, latch=True), "xx", "xx", id="though it is latched"),
        pytest.param(RULE, "xx", "--x...", id="what keeps an alarm alive raises none"),
        pytest.param(RULE, "x", "x", id="a confirmation that is under way goes on"),
    ],
)
def test_an_alarm_that_is_abandoned(rule: Rule, before: str, after: str) -> None:
    """It ends at once and counts for nothing: neither its sightings nor its end."""
    judge = Judge(rule)
    stream = Stream(judge)
    stream.play(before)
    judge.abandon()
    assert judge.state is State.QUIET
    assert judge.memory.ended == -math.inf
    assert stream.play(after) == ("R" if before == "x" else ".R" if after == "xx" else "......")


def test_what_was_resumed_can_be_abandoned() -> None:
    """An alarm of an earlier life, too; a cooldown from before it still counts."""
    resumed = Judge(replace(RULE, cooldown=5.0), Resumed(-9.0, -9.0), Memory(ended=-2.0))
    resumed.abandon()
    assert Stream(resumed).play("xxxxxxxx") == ".wwwwwRh", "three seconds of the cooldown are left"


def test_what_is_pending_is_not_abandoned() -> None:
    """Nobody was told of it: it is raised when the light has settled."""
    judge = Judge(RULE)
    assert hold(judge, "xx", ".!") == ".w"
    judge.abandon()
    assert judge.state is State.PENDING
    assert judge.update(Moment(1.0, 0.5, 0.5), []).decision is Decision.RAISED


def test_no_cooldown_follows_what_was_muted() -> None:
    """Whoever comes back is raised at once; the next end counts again, and so does one from before."""
    judge = Judge(replace(RULE, cooldown=4.0))
    stream = Stream(judge)
    assert stream.play("xx...", muted=True) == ".RhhE"
    assert stream.play("xx...xx") == ".RhhE.w"
    kept = judge.memory.ended
    stream.at += 10
    assert stream.play("xx...", muted=True) == ".RhhE"
    assert judge.memory.ended == kept


class Life(RuleBasedStateMachine):
    """Any stream of frames, silences, broken times and restarts, beside a plain account of what was shown."""

    @initialize(
        hits=st.integers(1, 4),
        more=st.integers(0, 4),
        within=st.floats(0.1, 5),
        end_after=st.floats(0, 5),
        repeat_every=st.sampled_from([0.0, 0.5, 3.0]),
        cooldown=st.sampled_from([0.0, 0.0, 2.0]),
        latch=st.booleans(),
    )
    def begin(
        self,
        hits: int,
        more: int,
        within: float,
        end_after: float,
        repeat_every: float,
        cooldown: float,
        latch: bool,
    ) -> None:
        self.latch, self.judged = latch, False
        self.pending = False
        self.sightings: set[float] = set()  # the times of all
        self.cooldown, self.ended = cooldown, -math.inf
        self.withheld = False  # since the last end: then more than `hits` may have been counted
        self.hits, self.of, self.within = hits, hits + more, within
        self.end_after, self.repeat_every = end_after, repeat_every
        self.at = 1000.0
        self.open = False
        self.fresh = True  # no frame yet: nothing is known of the time before the next one
        self.told = math.nan
        self.looked = 0.0  # without a sighting, as far as the longest reading of "observed" goes
        self.shown: list[tuple[bool, float]] = []  # since the last gap, restart or end
        self.judge = Judge(self.asked())

    def asked(self) -> Rule:
        return Rule(
            *("visit", ("person",), 0.75, self.hits, self.of, self.within, self.end_after, self.repeat_every),
            keep_score=0.5,
            cooldown=self.cooldown,
            latch=self.latch,
        )

    @rule(frame=SEEN, step=st.floats(0.01, 0.9))
    def frame(self, frame: str, step: float) -> None:
        self.at += step
        self.feed(frame, self.at, step, step)

    @rule(frame=SEEN, step=st.floats(0.01, 0.9))
    def frame_in_changing_light(self, frame: str, step: float) -> None:
        self.at += step
        self.feed(frame, self.at, step, step, unsettled=True)

    @rule(frame=SEEN, silence=st.floats(1.01, 1e6) | st.just(math.inf))
    def frame_after_a_gap(self, frame: str, silence: float) -> None:
        self.at += min(silence, 1e6)
        self.feed(frame, self.at, silence, 0.0)

    @rule(frame=SEEN, jump=st.sampled_from([-86400.0, -0.5, 86400.0]))
    def clock_jumps(self, frame: str, jump: float) -> None:
        self.at += jump
        if not self.fresh:
            self.told += min(jump, 0.0)
            self.ended += min(jump, 0.0)
        if jump < 0:
            self.shown.clear()
        self.feed(frame, self.at, 0.1, min(max(jump, 0.0), 1.0))

    @rule(frame=SEEN, at=st.sampled_from([math.nan, math.inf]))
    def frame_without_time(self, frame: str, at: float) -> None:
        before = self.judge.state
        assert show(self.judge, frame, at, 0.1, 0.1).decision in (
            Decision.QUIET,
            Decision.HELD,
            Decision.WITHHELD,
        )
        assert self.judge.state is before

    @rule()
    def verdict(self) -> None:
        self.judge.judged()
        self.judged = True

    @rule()
    def abandon(self) -> None:
        self.judge.abandon()
        if self.open:
            self.open, self.withheld = False, False
            self.shown.clear()

    @rule()
    def restart(self) -> None:
        resumed = Resumed(first_seen=self.at, told=self.told, judged=self.judged) if self.open else None
        self.judge = Judge(self.asked(), resumed)
        self.shown.clear()
        self.ended = -math.inf
        self.withheld = self.pending = False
        self.looked = 0.0
        self.fresh = True

    def feed(self, frame: str, at: float, silence: float, looked: float, *, unsettled: bool = False) -> None:
        judged = show(self.judge, frame, at, 0.1, silence, unsettled=unsettled)
        seen, kept = frame == "x", frame != "."
        self.sightings |= {at} if seen else set()
        if interrupted(silence, 0.1):
            self.shown.clear()
        self.shown.append((seen, at))
        self.looked = 0.0 if kept or self.fresh else self.looked + looked
        self.told = min(self.told, at) if self.fresh and self.open else self.told
        self.fresh = False
        match judged.decision:
            case Decision.RAISED:
                assert not unsettled, "raised while the light changes"
                if not self.pending:
                    self.check_raised(seen, at)
                assert judged.first_seen in self.sightings
                self.open, self.told, self.judged, self.pending = True, at, False, False
            case Decision.QUIET:
                assert not self.open, "an alarm vanished without an end"
                assert not self.pending, "what was withheld is lost"
                assert not seen or self.count(at) < self.hits, "the k-th sighting raised nothing"
            case Decision.WITHHELD:
                self.check_withheld(seen, at, unsettled)
            case Decision.HELD:
                assert self.open, "held an alarm that was never raised"
                assert kept or (self.latch and not self.judged) or self.looked < self.end_after + 1e-6, (
                    "looked long enough and did not end"
                )
            case Decision.REPEATED:
                assert self.open, "repeated an alarm that was never raised"
                assert at - self.told >= self.repeat_every > 0, "repeated too early"
                assert not self.judged, "repeated after a verdict"
                self.told = at
            case Decision.ENDED:
                self.check_ended(kept)
                self.ended = at
        if self.open and self.repeat_every > 0 and not self.judged:
            assert at - self.told < self.repeat_every, "a repeat that was due was not sent"

    def count(self, at: float) -> int:
        return sum(seen and at - then <= self.within + 1e-6 for seen, then in self.shown[-self.of :])

    def check_withheld(self, seen: bool, at: float, unsettled: bool) -> None:
        assert not self.open, "withheld an alarm that is open"
        if self.pending:
            assert unsettled, "withheld although the light has settled"
            return
        assert seen
        assert self.count(at) >= self.hits, "withheld what was never confirmed"
        cooling = at - self.ended < self.cooldown
        assert cooling or unsettled, "withheld without a reason"
        self.withheld, self.pending = True, not cooling

    def check_raised(self, seen: bool, at: float) -> None:
        assert not self.open, "raised twice without an end between"
        assert seen
        assert at - self.ended >= self.cooldown, "raised too soon after an end"
        assert self.count(at) == self.hits or (self.withheld and self.count(at) > self.hits), (
            "raised by another than the k-th sighting"
        )
        self.withheld = False

    def check_ended(self, kept: bool) -> None:
        assert self.open, "ended an alarm that was never raised"
        assert not kept, "ended in a sighting"
        assert self.judged or not self.latch, "ended without a verdict"
        assert self.looked >= self.end_after - 1e-6, "ended although it was not looked for long enough"
        self.open = False
        self.shown.clear()

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "judge"):
            assert (self.judge.state is State.ACTIVE) is self.open
            assert (self.judge.state is State.PENDING) is self.pending


Life.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
