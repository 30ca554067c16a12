"""A detector is mended, exchanged and looked at between two batches."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pytest

from support.pictures import frame, grey, view
from tocsin.detect.canary import Canary
from tocsin.detect.detector import Attempt, Detector, Ticket
from tocsin.detect.keeper import CANARY_EVERY, OPENING, PROBATION, Keeper, Kept
from tocsin.detect.recovery import LASTING, OVER_AFTER
from tocsin.detect.session import Device, Placement
from tocsin.errors import Degradation, InferenceError, InferenceFault, ModelError, StartError
from tocsin.frame import Detections, Frame

NOTHING = Detections(
    boxes=np.zeros((0, 4), np.float32),
    scores=np.zeros(0, np.float32),
    classes=np.zeros(0, np.int64),
    pixels=np.zeros((0, 2), np.float32),
    views=np.zeros(0, np.int64),
    labels=("person",),
)
RUNTIME, OOM, NAN = InferenceFault.RUNTIME, InferenceFault.OOM, InferenceFault.NONFINITE


class Scripted:
    """A detector that fails as the test says, by stream: `faults["yard"]`, or `faults[""]` for all."""

    degraded: str | None = None
    placement = Placement("CPU", "cpu", None)
    fixed_batch = False
    moved = 0.0

    def __init__(self, device: str = "cpu", max_batch: int = 1, **faults: InferenceFault) -> None:
        self.device, self.provider, self.model_name = device, device.upper(), "blades"
        self.overlaps = device != "cpu"
        self.max_batch = max_batch
        self.faults: dict[str, InferenceFault] = dict(faults)
        self.fits = 99  # views in one batch before memory runs out
        self.floor = 0.5
        self.closed = 0

    def begin(self, frames: Sequence[Frame], release: Callable[[Frame], None] | None = None) -> Ticket:
        assert release is not None
        for one in frames:
            release(one)
        return Ticket(cast("Detector", self), frames, release)

    def finish(self, ticket: Ticket) -> Attempt:
        assert cast("Any", ticket.detector) is self
        return Attempt(tuple(self._result(one, len(ticket.frames)) for one in ticket.frames), 0, 0, (1,))

    def _result(self, given: Frame, count: int) -> Detections | InferenceError:
        fault = RUNTIME if self.closed else self.faults.get("") or self.faults.get(given.stream)
        if min(count, self.max_batch) > self.fits:
            fault = OOM
        return InferenceError(fault, f"the detector has no answer: {fault}") if fault else NOTHING

    def close(self) -> None:
        self.closed += 1


class Crowded(Scripted):
    """A detector whose every call has as many views as it may."""

    def finish(self, ticket: Ticket) -> Attempt:
        results = super().finish(ticket).results
        return Attempt(results, 0, 0, (min(len(ticket.frames), self.max_batch),))


class Begun(Scripted):
    """A detector whose calls have as many views as it might have when they were begun."""

    def finish(self, ticket: Ticket) -> Attempt:
        return Attempt(super().finish(ticket).results, 0, 0, (len(ticket.frames),))


class Bird:
    """A canary that says what the test says."""

    def __init__(self) -> None:
        self.why: str | None = None
        self.shown: list[Scripted] = []
        self.fresh = 0

    def check(self, eye: Any) -> str | None:
        self.shown.append(eye)
        return self.why

    def afresh(self) -> "Bird":
        self.fresh += 1
        return self


class Site:
    """A keeper with its clock, what it opens, and what it told."""

    def __init__(self, detector: Scripted, asked: Device = "cpu") -> None:
        self.now = 1000.0
        self.bird = Bird()
        self.openings: list[str] = []
        self.next: list[Scripted | Exception] = []
        self.alive: list[float] = []
        self.counts: Counter[str] = Counter()
        self.said: list[tuple[str, str, str | None]] = []
        self.standing: set[tuple[Degradation, str | None]] = set()
        self.at: tuple[str, str, str] | None = None
        self.ratio = -1.0
        self.released = 0
        self.rolled_back: list[str] = []
        self.keeper = Keeper(self.kept(detector, asked), self, self, clock=lambda: self.now)
        self.keeper.introduce()

    def kept(self, detector: Scripted, asked: Device = "cpu") -> Kept:
        return Kept(cast("Detector", detector), asked, self._open, cast("Canary", self.bird))

    def _open(self, device: Device) -> Detector:
        self.openings.append(device)
        self.alive.append(self.keeper.alive_until - self.now)
        self.now += 2.0
        given = self.next.pop(0)
        if isinstance(given, Exception):
            raise given
        return cast("Detector", given)

    def run(self, batches: int, *streams: str, wait: float = 0.1) -> list[Attempt]:
        """Take batches of one frame of each stream through the keeper."""
        attempts = []
        for _ in range(batches):
            self.now += wait
            frames = [frame(view(grey(4, 4)), stream=stream) for stream in streams or ("yard",)]
            attempts.append(self.keeper.finish(self.keeper.begin(frames, self._release)))
        return attempts

    def replace(self, detector: Scripted) -> None:
        self.keeper.replace(self.kept(detector), self.rolled_back.append)

    @property
    def live(self) -> Scripted:
        return cast("Scripted", self.keeper.detector)

    def _release(self, _: Frame) -> None:
        self.released += 1

    def inference_failed(self, fault: InferenceFault) -> None:
        self.counts[fault] += 1

    def detector_accelerated(self, ratio: float) -> None:
        self.ratio = ratio

    def detector_reopened(self) -> None:
        self.counts["reopened"] += 1

    def provider_fell_back(self) -> None:
        self.counts["fell_back"] += 1

    def model_reload_failed(self) -> None:
        self.counts["reload_failed"] += 1

    def model_canary(self, ok: bool) -> None:
        self.counts["canary_ok" if ok else "canary_missed"] += 1

    def at_work(self, model: str, device: str, provider: str) -> None:
        self.at = model, device, provider

    def degraded(self, reason: Degradation, why: str, stream: str | None = None) -> None:
        if (reason, stream) not in self.standing:
            self.standing.add((reason, stream))
            self.said.append((f"{reason} {stream or '-'}", why, self.at[1] if self.at else None))

    def restored(self, reason: Degradation, stream: str | None = None) -> None:
        self.standing.discard((reason, stream))


def test_three_failed_batches_open_the_session_anew() -> None:
    """The third costs an opening, which is warm before the next batch, counted and said; the old one is closed."""
    old, new = Scripted(), Scripted()
    site = Site(old)
    site.next = [new]
    site.run(1)
    old.faults[""] = RUNTIME
    site.run(3)
    assert site.openings == [], "it is done before the next batch"
    assert site.run(1)[0].results == (NOTHING,)
    assert (site.openings, site.live is new, old.closed, new.closed) == (["cpu"], True, 1, 0)
    assert site.counts == {RUNTIME: 3, "reopened": 1, "canary_ok": 2}
    assert site.bird.shown == [old, new], "the canary is shown to the new session at once"
    assert [said for said, *_ in site.said] == ["failing -"]
    assert site.keeper.lost is None


def test_results_for_half_a_minute_end_the_failing() -> None:
    """It is said that batches fail until none has for a while."""
    old = Scripted()
    site = Site(old)
    site.next = [Scripted()]
    old.faults[""] = RUNTIME
    site.run(3)
    site.run(2, wait=OVER_AFTER - 5)
    assert site.standing == {(Degradation.FAILING, None)}
    site.run(1, wait=5)
    assert site.standing == set()


def test_a_session_that_fails_again_is_lost() -> None:
    """On a CPU nothing is left after one opening: the sentence says what the detector said last."""
    old = Scripted()
    site = Site(old)
    site.next = [Scripted()]
    old.faults[""] = RUNTIME
    site.run(4)
    site.live.faults[""] = InferenceFault.DEADLINE
    site.run(3)
    assert site.keeper.lost is not None
    assert "has no answer: deadline" in site.keeper.lost
    assert site.openings == ["cpu"]


def test_auto_falls_back_to_the_cpu() -> None:
    """What cannot be opened on the accelerator any more goes on without it, and everybody is told."""
    old, new = Scripted("cuda", max_batch=8), Scripted()
    old.placement = Placement("CUDA", "cuda", None, nodes=4, accelerated=3)
    site = Site(old, "auto")
    site.next = [StartError("no such device"), new]
    assert site.ratio == 0.75
    old.faults[""] = RUNTIME
    site.run(3)
    assert site.run(1)[0].results == (NOTHING,)
    assert site.openings == ["cuda", "cpu"]
    assert site.live is new
    assert old.closed, "its memory may be what is missing"
    assert (site.at, site.ratio) == (("blades", "cpu", "CPU"), 0)
    assert site.counts["fell_back"] == 1
    assert site.counts["reopened"] == 0
    assert site.bird.fresh == 1
    assert ("lost -", "cpu") in [(said, device) for said, _, device in site.said]
    assert {reason for reason, _ in site.standing} == {Degradation.LOST, Degradation.FAILING}
    site.run(2, wait=OVER_AFTER)
    assert {reason for reason, _ in site.standing} == {Degradation.LOST}, "that stays"


def test_a_cpu_that_cannot_be_had_either_is_the_end() -> None:
    """Where nothing can be opened the engine is told, and no batch is taken for ever."""
    old = Scripted("cuda")
    site = Site(old, "auto")
    site.next = [StartError("no such device"), ModelError("no such file")]
    old.faults[""] = RUNTIME
    site.run(4)
    assert site.openings == ["cuda", "cpu"]
    assert "no such file" in (site.keeper.lost or "")


def test_a_device_that_was_asked_for_is_not_left() -> None:
    """By name it is had or nothing is: the process ends, and another may have it."""
    old = Scripted("cuda")
    site = Site(old, "cuda")
    site.next = [StartError("no such device")]
    old.faults[""] = RUNTIME
    site.run(3)
    assert site.run(1)[0].results != (NOTHING,)
    assert "no such device" in (site.keeper.lost or "")
    assert site.openings == ["cuda"]


def test_nothing_is_under_way_while_a_session_is_opened() -> None:
    """An engine that overlaps is asked not to, and what was under way is not counted against the new session."""
    old, new = Scripted("cuda"), Scripted("cuda")
    site = Site(old, "auto")
    site.next = [new]
    old.faults[""] = RUNTIME
    site.run(2)
    third = site.keeper.begin([frame(view(grey(4, 4)))], site._release)
    fourth = site.keeper.begin([frame(view(grey(4, 4)))], site._release)
    assert site.keeper.overlaps
    site.keeper.finish(third)
    assert not site.keeper.overlaps
    fifth = site.keeper.begin([frame(view(grey(4, 4)))], site._release)
    assert site.openings == [], "two batches are under way"
    site.keeper.finish(fourth)
    site.keeper.finish(fifth)
    new.faults[""] = RUNTIME
    site.run(2)
    assert site.openings == ["cuda"]
    assert site.keeper.overlaps
    assert site.keeper._remedy == "none"


def test_an_opening_is_no_stuck_engine() -> None:
    """While a session is opened the engine may stand still, for a bounded time, and not a second after it."""
    old = Scripted()
    site = Site(old)
    site.next = [Scripted()]
    old.faults[""] = RUNTIME
    site.run(4)
    assert site.alive == [OPENING]
    assert site.keeper.alive_until <= site.now


def test_a_model_that_answers_call_after_call_is_no_stuck_engine() -> None:
    """A frame of many views may take longer than an engine may stand still."""
    old = Scripted()
    site = Site(old)
    old.moved = site.now + 60.0
    assert site.keeper.alive_until == old.moved


def test_memory_that_runs_out_halves_the_batch_and_it_stays_so() -> None:
    """Eight do not fit, nor do four; two do, also after the session was opened anew."""
    old = Crowded("cuda", max_batch=8)
    old.fits = 2
    site = Site(old, "auto")
    site.next = [Crowded("cuda", max_batch=8)]
    streams = [f"cam{number}" for number in range(8)]
    assert [one.results[0] is NOTHING for one in site.run(3, *streams)] == [False, False, True]
    assert (site.keeper.max_batch, site.counts[OOM], site.openings) == (2, 2, [])
    old.faults[""] = RUNTIME
    site.run(4)
    assert site.openings == ["cuda"]
    assert site.keeper.max_batch == 2


def test_a_small_batch_is_halved_from_its_own_size() -> None:
    """Three views that did not fit say that three are too many, whatever the most is."""
    old = Crowded(max_batch=8)
    old.fits = 1
    site = Site(old)
    assert site.run(2, "a", "b", "c")[1].results == (NOTHING,) * 3
    assert site.keeper.max_batch == 1


def test_batches_that_were_under_way_together_halve_once() -> None:
    """The second of two that overlap is as large as the first: what ran out is the same memory."""
    old = Begun("cuda", max_batch=8)
    site = Site(old)
    frames = [frame(view(grey(4, 4)), stream=f"cam{number}") for number in range(8)]
    tickets = [site.keeper.begin(frames, lambda _: None) for _ in range(2)]
    old.faults[""] = OOM
    for ticket in tickets:
        site.keeper.finish(ticket)
    assert site.keeper.max_batch == 4
    assert site.keeper.overlaps, "nothing else is due"


@pytest.mark.parametrize(("rows", "fixed"), [(1, False), (4, True)])
def test_a_batch_that_cannot_be_smaller_is_a_failure(rows: int, fixed: bool) -> None:
    """One view that does not fit, or a graph of fixed batch, goes the way of every failure."""
    old = Crowded(max_batch=rows)
    old.fixed_batch = fixed
    old.faults[""] = OOM
    site = Site(old)
    site.next = [Crowded()]
    site.run(4, *"abcd"[:rows])
    assert site.openings == ["cpu"]
    assert site.keeper.max_batch >= 1


def test_garbage_on_a_cpu_never_ends_it() -> None:
    """It is opened anew once, goes on, and is said once for each stream."""
    old, new = Scripted(), Scripted()
    old.faults[""] = new.faults[""] = NAN
    site = Site(old)
    site.next = [new]
    site.run(2000)
    assert (site.openings, site.keeper.lost) == (["cpu"], None)
    assert [said for said, *_ in site.said] == ["output yard"]
    assert site.counts[NAN] == 2000


def test_garbage_on_a_cpu_goes_on_where_the_model_cannot_be_opened() -> None:
    """A model file that is gone meanwhile costs nothing: the session that there is stays."""
    old = Scripted()
    old.faults[""] = NAN
    site = Site(old)
    site.next = [ModelError("no such file")]
    site.run(10)
    assert (site.live is old, old.closed, site.keeper.lost) == (True, 0, None)
    old.faults.clear()
    assert site.run(1)[0].results == (NOTHING,)


def test_garbage_of_one_stream_is_that_stream_s() -> None:
    """Others have results: nothing is opened, and the event names the stream; it ends after half a minute."""
    detector = Scripted(max_batch=2, dark=NAN)
    site = Site(detector)
    site.run(5, "yard", "dark")
    assert site.standing == {(Degradation.OUTPUT, "dark")}
    assert site.counts[NAN] == 5, "batches and not frames are counted"
    detector.faults.clear()
    site.run(2, "yard", "dark", wait=OVER_AFTER - 1)
    assert site.standing == {(Degradation.OUTPUT, "dark")}
    site.run(1, "dark", wait=1.0)
    assert site.standing == set()
    assert site.openings == []


def test_garbage_of_a_stream_that_left_and_came_back_is_said_again() -> None:
    """Whoever was told may have forgotten it with the stream."""
    site = Site(Scripted(max_batch=2, dark=NAN))
    site.run(5, "yard", "dark")
    assert site.standing == {(Degradation.OUTPUT, "dark")}
    site.standing.clear()
    site.run(1, "yard", "dark")
    assert site.standing == {(Degradation.OUTPUT, "dark")}


def test_the_canary_is_shown_every_five_minutes() -> None:
    """Between two batches, to the detector that is at work; a miss is said, and that it is over."""
    detector = Scripted()
    site = Site(detector)
    assert site.bird.shown == [detector], "once before the first batch"
    site.run(20, wait=10)
    assert len(site.bird.shown) == 1
    site.bird.why = "expected a person, found none"
    site.run(1, wait=CANARY_EVERY - 200)
    assert site.counts["canary_missed"] == 1
    assert site.said == [("canary -", "expected a person, found none", "cpu")]
    site.bird.why = None
    site.run(1, wait=CANARY_EVERY)
    assert site.standing == set()
    assert len(site.bird.shown) == 3


def test_another_detector_takes_the_next_batch() -> None:
    """What was begun is finished by the one that began it; the old one goes when the new one has proved itself."""
    old, new = Scripted("cuda"), Scripted("cuda")
    site = Site(old)
    before = site.keeper.begin([frame(view(grey(4, 4)))], site._release)
    site.replace(new)
    assert site.live is old, "it is exchanged between two batches"
    after = site.keeper.begin([frame(view(grey(4, 4)))], site._release)
    assert site.live is new
    assert site.keeper.finish(before).results == (NOTHING,)
    assert site.keeper.finish(after).results == (NOTHING,)
    assert site.bird.shown == [old, new]
    site.run(PROBATION - 2)
    assert old.closed == 0
    site.run(1)
    assert (old.closed, new.closed) == (1, 0)
    assert site.rolled_back == []


def test_a_ticket_of_a_dropped_detector_is_waited_for() -> None:
    """A detector is closed only when nothing of it is under way."""
    old, new = Scripted("cuda"), Scripted("cuda")
    site = Site(old)
    slow = site.keeper.begin([frame(view(grey(4, 4)))], site._release)
    site.replace(new)
    site.run(PROBATION)
    assert old.closed == 0
    assert site.keeper.finish(slow).results == (NOTHING,)
    assert old.closed == 1


@pytest.mark.parametrize("fault", [RUNTIME, NAN])
def test_a_new_detector_that_fails_gives_way(fault: InferenceFault) -> None:
    """Three failed batches bring the old one back, whatever they failed of; it was never closed."""
    old, new = Scripted(), Scripted()
    site = Site(old)
    site.replace(new)
    site.run(PROBATION - 1)
    new.faults[""] = fault
    site.run(3)
    assert site.run(1)[0].results == (NOTHING,)
    assert (site.live is old, old.closed, new.closed) == (True, 0, 1)
    assert site.counts["reload_failed"] == 1
    assert len(site.rolled_back) == 1
    assert "failed on 3 batches in a row" in site.rolled_back[0]
    assert (site.openings, site.keeper.lost) == ([], None)


def test_a_proven_detector_is_mended_like_any_other() -> None:
    """After its probation there is no way back."""
    old, new = Scripted(), Scripted()
    site = Site(old)
    site.next = [Scripted()]
    site.replace(new)
    site.run(PROBATION)
    new.faults[""] = RUNTIME
    site.run(4)
    assert site.openings == ["cpu"]
    assert site.rolled_back == []


def test_an_exchange_takes_the_place_of_a_remedy() -> None:
    """Nobody opens the session of a detector that is to be replaced anyway."""
    old, new = Scripted(), Scripted()
    site = Site(old)
    old.faults[""] = RUNTIME
    site.run(3)
    site.replace(new)
    assert site.run(2)[1].results == (NOTHING,)
    assert (site.openings, site.live is new) == ([], True)


def test_a_second_exchange_keeps_the_proven_one() -> None:
    """Of offers that nobody took the newest counts; one that never proved itself is no way back."""
    old, unseen, brief, new = (Scripted() for _ in range(4))
    site = Site(old)
    site.replace(unseen)
    site.replace(brief)
    site.run(2)
    assert (unseen.closed, site.live is brief) == (1, True)
    site.replace(new)
    site.run(1)
    assert (brief.closed, site.live is new) == (1, True)
    new.faults[""] = RUNTIME
    site.run(3)
    site.run(1)
    assert (site.live is old, new.closed) == (True, 1)


def test_an_exchange_ends_what_the_old_device_lacked() -> None:
    """An accelerator that is had again ends `lost`, and a new detector's own lack is said."""
    old = Scripted("cuda")
    site = Site(old, "auto")
    site.next = [StartError("gone"), Scripted()]
    old.faults[""] = RUNTIME
    site.run(4)
    site.keeper.replace(site.kept(Scripted(), "auto"), site.rolled_back.append)
    site.run(1)
    assert (Degradation.LOST, None) in site.standing, "another model on the CPU brings no device back"
    site.replace(Scripted("cuda"))
    site.run(1)
    assert (Degradation.LOST, None) not in site.standing
    lesser = Scripted()
    lesser.degraded = "a GPU is visible, but it did not load"
    site.replace(lesser)
    site.run(1)
    assert (Degradation.PROVIDER, None) in site.standing


def test_every_frame_is_released_and_has_a_result() -> None:
    """Whatever becomes of the detector, a frame that was taken comes back."""
    old = Scripted()
    old.faults[""] = RUNTIME
    site = Site(old)
    site.next = [Scripted()]
    attempts = site.run(10, wait=LASTING)
    assert site.released == 10
    assert all(len(attempt.results) == 1 for attempt in attempts)
