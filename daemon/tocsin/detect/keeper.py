"""Looks after the detector while the engine runs it: mends it, exchanges it, and shows it the reference picture."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from tocsin.detect.canary import Canary
from tocsin.detect.detector import ACCELERATORS, Attempt, Detector, Ticket
from tocsin.detect.recovery import GARBAGE, IN_A_ROW, Recovery, Remedy, Seat, Spell
from tocsin.detect.session import Device
from tocsin.errors import Degradation, InferenceError, InferenceFault, TocsinError
from tocsin.frame import Frame

CANARY_EVERY = 300.0
"""Seconds between two looks at the reference picture."""

PROBATION = 10
"""Batches with results after which the detector that was exchanged is let go."""

OPENING = 120.0
"""Seconds in which a session that is opened anew is no stuck engine."""

COMPILING = 3600.0
"""The same under TensorRT, which compiles the graph for each size of batch."""

_log = structlog.get_logger(__name__)


class Observer(Protocol):
    """Hears what becomes of the detector."""

    def inference_failed(self, fault: InferenceFault) -> None: ...

    def detector_accelerated(self, ratio: float) -> None: ...

    def detector_reopened(self) -> None: ...

    def provider_fell_back(self) -> None: ...

    def model_reload_failed(self) -> None: ...

    def model_canary(self, ok: bool) -> None: ...


class Herald(Protocol):
    """Hears which detector is at work and what it lacks; may be told again what it knows."""

    def at_work(self, model: str, device: str, provider: str) -> None: ...

    def degraded(self, reason: Degradation, why: str, stream: str | None = None) -> None: ...

    def restored(self, reason: Degradation, stream: str | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A detector that is warm, and how to have another like it.

    `open` opens the same model on a device and warms it; it raises a TocsinError. `asked` is the device
    of the configuration.
    """

    detector: Detector
    asked: Device
    open: Callable[[Device], Detector]
    canary: Canary


@dataclass(slots=True)
class _Post:
    """A detector at work: what is known of how it fails, and how many of its tickets are not finished."""

    kept: Kept
    recovery: Recovery = field(default_factory=Recovery)
    out: int = 0
    fell: str | None = None  # how it left the accelerator that it was opened on
    dropped: bool = False

    @property
    def seat(self) -> Seat:
        if self.kept.detector.device not in ACCELERATORS:
            return Seat.CPU
        return Seat.LEAVABLE if self.kept.asked == "auto" else Seat.ACCELERATOR


@dataclass(frozen=True, slots=True)
class _Offer:
    kept: Kept
    on_rollback: Callable[[str], None]


@dataclass(slots=True)
class _Probation:
    """What a new detector replaced and may give way to again, and how many batches of it had results."""

    old: _Post
    on_rollback: Callable[[str], None]
    good: int = 0


class Keeper:
    """The engine's analyst. For the engine's thread, but for `replace`, `detector` and `alive_until`.

    What is to be done about a detector that fails says `recovery`; it is done before the next batch, in the
    engine's thread: frames that come meanwhile are superseded. When nothing helps, `lost` says so and stays.
    """

    def __init__(
        self, kept: Kept, observe: Observer, herald: Herald, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lost: str | None = None
        self._observe = observe
        self._herald = herald
        self._clock = clock
        self._live = _Post(kept)
        self._posts = [self._live]  # with those that are dropped once their tickets are finished
        self._probation: _Probation | None = None
        self._remedy = Remedy.NONE  # what is to be done before the next batch
        self._why = ""
        self._alive_until = clock()  # a float is replaced whole: read by any thread
        self._canary_due = clock()
        self._failing = Spell()
        self._outputs: dict[str, Spell] = defaultdict(Spell)  # by stream
        # Guards the offer. `replace` puts it from any thread, the engine's takes it; both hold it for no time.
        self._offering = threading.Lock()
        self._offer: _Offer | None = None

    @property
    def detector(self) -> Detector:
        """The detector that gets the next batch."""
        return self._live.kept.detector

    @property
    def makeshift(self) -> bool:
        """Whether the detector runs on less than what was asked for: one opened anew may be better off."""
        return self._live.fell is not None or self.detector.degraded is not None

    @property
    def alive_until(self) -> float:
        """Up to when the engine is not stuck, on the monotonic clock: while a session is opened, that is ahead.

        Else it is when a call of the model last ended: one turn of the engine may take many.
        """
        return max(self._alive_until, self.detector.moved)

    @property
    def max_batch(self) -> int:
        return self.detector.max_batch

    @property
    def overlaps(self) -> bool:
        # nothing is under way when a session is exchanged
        return self.detector.overlaps and self._remedy is Remedy.NONE

    def replace(self, kept: Kept, on_rollback: Callable[[str], None]) -> None:
        """Give the next batch to another detector, which is checked and warm.

        The one before is let go after `PROBATION` batches with results. Where three in a row have none before that,
        it comes back, and `on_rollback` is called with a sentence, from the engine's thread. An offer that nobody
        took before the next one comes is closed. The canary is shown to the new detector at once.
        """
        with self._offering:
            unseen, self._offer = self._offer, _Offer(kept, on_rollback)
        if unseen is not None:
            unseen.kept.detector.close()

    def introduce(self) -> None:
        """Tell which detector is at work, and show it the reference picture: once, before the first batch."""
        self._present()
        self._look()

    def begin(self, frames: Sequence[Frame], release: Callable[[Frame], None] | None = None) -> Ticket:
        """Do what is due to the detector, and begin a batch with it."""
        self.attend()
        self._live.out += 1
        return self.detector.begin(frames, release)

    def attend(self) -> None:
        """Do what is due to the detector, as `begin` does: for turns in which no frame comes."""
        self._adopt()
        if self._remedy is not Remedy.NONE and self._live.out == 0:
            self._mend()
        self._look()

    def finish(self, ticket: Ticket) -> Attempt:
        """Return what the detector that began a batch makes of it, and judge that."""
        (post,) = (post for post in self._posts if post.kept.detector is ticket.detector)
        attempt = post.kept.detector.finish(ticket)
        post.out -= 1
        now = self._clock()
        self._count(ticket.frames, attempt, now)
        if post.dropped:
            self._drop(post)
        elif post is self._live and self._remedy is Remedy.NONE:
            self._judge(post, attempt, now)
        return attempt

    def _look(self) -> None:
        """Show the detector the reference picture where that is due, and tell what it made of it."""
        if self._clock() < self._canary_due or self.lost is not None:
            return
        why = self._live.kept.canary.check(self.detector)
        self._canary_due = self._clock() + CANARY_EVERY
        self._observe.model_canary(why is None)
        if why is None:
            self._herald.restored(Degradation.CANARY)
        else:
            self._herald.degraded(Degradation.CANARY, why)

    def _count(self, frames: Sequence[Frame], attempt: Attempt, now: float) -> None:
        for fault in {one.fault for one in attempt.results if isinstance(one, InferenceError)}:
            self._observe.inference_failed(fault)
        for frame, result in zip(frames, attempt.results, strict=True):
            spell = self._outputs[frame.stream]
            if not isinstance(result, InferenceError):
                if spell.succeeded(now):
                    self._herald.restored(Degradation.OUTPUT, frame.stream)
            elif result.fault in GARBAGE and (spell.failed() or spell.lasts):
                # each time: the stream may have left the configuration meanwhile, and come back
                self._herald.degraded(Degradation.OUTPUT, str(result), frame.stream)

    def _judge(self, post: _Post, attempt: Attempt, now: float) -> None:
        errors = [one for one in attempt.results if isinstance(one, InferenceError)]
        results = len(errors) < len(attempt.results)
        faults = {error.fault for error in errors}
        detector = post.kept.detector
        rows = 1 if detector.fixed_batch else max(attempt.rows, default=1)
        remedy = post.recovery.finished(faults, results=results, now=now, seat=post.seat, rows=rows)
        if remedy is Remedy.HALVE:
            # a larger one was begun before the batch was halved for the one before it
            if rows <= detector.max_batch:
                detector.max_batch = rows // 2
                _log.warning("the memory ran out: the batch is halved", batch=rows // 2, error=str(errors[0]))
            return
        if results:
            if self._failing.succeeded(now):
                self._herald.restored(Degradation.FAILING)
            self._prove()
            return
        self._why = str(errors[-1])
        if not GARBAGE.issuperset(faults) and self._failing.failed():
            self._herald.degraded(Degradation.FAILING, self._why)
        self._remedy = remedy
        if remedy is Remedy.GIVE_UP:  # never on probation, for the first remedy is another
            self._give_up()

    def _mend(self) -> None:
        """Do what is due, stage after stage until one works."""
        if self._probation is not None:
            self._roll_back(self._probation)
        else:
            while self._remedy in (Remedy.REOPEN, Remedy.FALL_BACK):
                self._remedy = self._open(self._remedy)
            if self._remedy is Remedy.GIVE_UP:
                self._give_up()
        self._remedy = Remedy.NONE

    def _open(self, remedy: Remedy) -> Remedy:
        """Open the session anew, here or on the CPU, and return what is to be done then."""
        post, seat = self._live, self._live.seat
        before = post.kept.detector
        device: Device = "cpu" if remedy is Remedy.FALL_BACK else before.device
        _log.warning("the detector is opened anew", why=self._why, remedy=remedy.value, device=device)
        self._alive_until = self._clock() + (COMPILING if device == "tensorrt" else OPENING)
        if seat is not Seat.CPU:
            before.close()  # or its memory is missing
        try:
            detector = post.kept.open(device)
        except TocsinError as error:
            self._why = f"{self._why}; opened anew: {error}"
            _log.error("the detector cannot be opened", device=device, error=str(error))
            fell = remedy is Remedy.FALL_BACK
            return Remedy.GIVE_UP if fell else post.recovery.cannot_open(self._clock(), seat)
        finally:
            self._alive_until = self._clock()
        if seat is Seat.CPU:
            before.close()
        self._reseat(post, detector, remedy)
        return Remedy.NONE

    def _reseat(self, post: _Post, detector: Detector, remedy: Remedy) -> None:
        before, canary = post.kept.detector, post.kept.canary
        detector.floor = before.floor  # the rules may be others than when the model was opened first
        if not detector.fixed_batch:
            detector.max_batch = min(detector.max_batch, before.max_batch)  # it may have been halved
        if remedy is Remedy.FALL_BACK:
            post.fell = f"{before.provider} was left for {detector.provider}: {self._why}"
            canary = canary.afresh()  # another device's numbers differ more than a device drifts
            self._observe.provider_fell_back()
        else:
            self._observe.detector_reopened()
        post.kept = replace(post.kept, detector=detector, canary=canary)
        self._present()

    def _adopt(self) -> None:
        with self._offering:
            offer, self._offer = self._offer, None
        if offer is None:
            return
        proven = self._live
        if self._probation is not None:  # the one before never proved itself
            proven = self._probation.old
            self._drop(self._live)
        self._remedy = Remedy.NONE
        self._probation = _Probation(proven, offer.on_rollback)
        self._live = _Post(offer.kept)
        self._posts.append(self._live)
        self._present()

    def _prove(self) -> None:
        probation = self._probation
        if probation is None:
            return
        probation.good += 1
        if probation.good >= PROBATION:
            self._probation = None
            self._drop(probation.old)

    def _roll_back(self, probation: _Probation) -> None:
        new = self._live
        name = new.kept.detector.model_name
        why = f"the new detector {name} failed on {IN_A_ROW} batches in a row: {self._why}"
        self._live, self._probation = probation.old, None
        self._drop(new)
        self._observe.model_reload_failed()
        self._present()
        probation.on_rollback(why)

    def _drop(self, post: _Post) -> None:
        post.dropped = True
        if post.out == 0:
            self._posts.remove(post)
            post.kept.detector.close()

    def _present(self) -> None:
        """Tell which detector is at work now, and look at it soon."""
        kept = self._live.kept
        detector = kept.detector
        self._observe.detector_accelerated(detector.placement.ratio)
        self._herald.at_work(detector.model_name, detector.device, detector.provider)
        if detector.degraded is None:
            self._herald.restored(Degradation.PROVIDER)
        else:
            self._herald.degraded(Degradation.PROVIDER, detector.degraded)
        if self._live.fell is not None:
            self._herald.degraded(Degradation.LOST, self._live.fell)
        elif self._live.seat is not Seat.CPU or kept.asked != "auto":
            self._herald.restored(Degradation.LOST)
        self._canary_due = self._clock()

    def _give_up(self) -> None:
        self.lost = f"the detector failed on {IN_A_ROW} batches in a row and could not be mended: {self._why}"
