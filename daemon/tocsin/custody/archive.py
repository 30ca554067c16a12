"""The evidence of alarms: asked for at the raise, made by the stream's worker, kept for a time, found by link."""

import contextlib
import itertools
import math
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import structlog

from tocsin.capture.wire import Develop, Film, Made
from tocsin.deliver.notation import stamp
from tocsin.errors import EvidenceError
from tocsin.evidence.link import Link, opened, path_of, piece_of
from tocsin.evidence.note import Note
from tocsin.evidence.shelf import Came, Kind, Limits, Removal, Shelf
from tocsin.frame import Box
from tocsin.thread import guarded

log = structlog.get_logger(__name__)

Task = Develop | Film

AT_ONCE = (Kind.FRAME, Kind.CROP)
"""What people look at first. It is a task of its own, so that it is there before the rest is."""

IN_TIME = (Kind.CORRECTED, Kind.PLAIN)

_HEAD_START = 0.03
"""Seconds by which an alarm goes before its pictures: it is on its way when they take the processor."""

_ANSWER = 10.0
"""Seconds in which a worker answers what it can do at once."""

_TURN = 0.5
_SWEEP_EVERY = 60.0
_SWEEP_AGAIN = 5.0
"""Seconds between two sweeps for a new picture: it is worth more than the oldest, but a sweep takes its time."""

_LONGEST_WHY = 200
"""Characters that are believed of a worker's reason, which becomes part of an event."""

_REMEMBERED = 6_000
"""Pieces of which it is known whose they are: those of the latest 1,000 alarms at least."""

_MOST_WAITING = 200
"""Alarms whose evidence is made at the same time: each holds open files, and what is over waits for none."""


class Observer(Protocol):
    """Hears what the archive counts."""

    def evidence_made(self, stream: str, kind: Kind, outcome: Came) -> None: ...
    def evidence_ready(self, seconds: float) -> None: ...
    def evidence_removed(self, reason: Removal, n: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Span:
    """The seconds that a clip shows before and after the raise."""

    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is made of an alarm of a stream; no clip without a span."""

    pictures: bool = True
    clip: Span | None = None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The pieces that there will be."""
        pictures = (*AT_ONCE, *IN_TIME, Kind.FIRST) if self.pictures else ()
        return (*pictures, *((Kind.CLIP,) if self.clip else ()))


@dataclass(frozen=True, slots=True)
class Raised:
    """What an alarm was raised from: the times of the frames that were sighted first and last, and the object.

    `shown` says that the object is in the last frame: an alarm that waited for the light may be of one before it.
    """

    stream: str
    alarm_id: str
    at: float
    first: float
    box: Box
    class_name: str
    score: float
    shown: bool = True

    @property
    def note(self) -> str:
        """What its plain picture says of itself: nothing where the object is not in it."""
        return Note(self.alarm_id, self.class_name, self.score, self.box).text() if self.shown else ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Evidence that there is none of, and why."""

    raised: Raised
    kinds: tuple[Kind, ...]
    why: str


@dataclass(frozen=True, slots=True)
class _Request:
    """What a worker is making, until when it may take, and the pieces that come of it."""

    raised: Raised
    pieces: Mapping[Kind, str]
    asked: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Settings:
    """How evidence is kept: what is `wanted` of each stream of which there is any, and where links lead."""

    wanted: Mapping[str, Wanted]
    limits: Limits
    base_url: str


class Archive:
    """Has evidence made and keeps it. `ask` hands a task and open files to a stream's worker, as `Supervisor.ask`.

    `expect` is called by the engine's thread, `made` by the supervisor's, `find`, `link` and `alarm_of` by any;
    none of them waits for the disk or a worker. What was kept is told to `kept` and what fails to `failed`, each
    task once, from the archive's own thread.
    """

    def __init__(
        self,
        shelf: Shelf,
        key: bytes,
        settings: Settings,
        ask: Callable[[str, Task, Sequence[int]], bool],
        failed: Callable[[Failure], None],
        observe: Observer,
        on_failure: Callable[[str], None] = lambda _: None,
        kept: Callable[[Raised, tuple[Kind, ...]], None] = lambda *_: None,
    ) -> None:
        self._shelf = shelf
        self._key = key
        self.settings = settings  # replaced whole by a reload
        self._ask = ask
        self._failed = failed
        self._kept = kept
        self._observe = observe
        self._numbers = itertools.count(1)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # Of the archive's thread alone.
        self._requests: dict[int, _Request] = {}
        self._swept = -math.inf
        self._trouble = ""  # with the last sweep
        # The pieces that are being made; replaced whole, read from any thread.
        self._expected: frozenset[str] = frozenset()
        # Guards `_expected` against two that replace it: the engine's thread adds, the archive's takes away.
        self._expecting = threading.Lock()
        # The alarms of the latest pieces, the oldest first: filled by the engine's thread alone, each step whole.
        self._alarms: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread = guarded("archive", self._run, on_failure)
        self._pulse = time.monotonic()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Stop by that monotonic time; of what is being made a clip is kept as far as it goes."""
        self._stopping.set()
        self._inbox.put(lambda: None)  # wakes it
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def pulse(self) -> float:
        """Return the monotonic time of the thread's last turn."""
        return self._pulse

    def expect(self, raised: Raised) -> tuple[Kind, ...]:
        """Have evidence made of an alarm that is about to be raised; return what there will be.

        From here on its links are good: who follows one at once waits for the picture.
        """
        wanted = self.settings.wanted.get(raised.stream, Wanted(pictures=False))
        if wanted.kinds:
            pieces = [self.piece(raised.alarm_id, kind) for kind in wanted.kinds]
            with self._expecting:
                self._expected |= set(pieces)
            self._alarms |= dict.fromkeys(pieces, raised.alarm_id)
            while len(self._alarms) > _REMEMBERED:
                del self._alarms[next(iter(self._alarms))]
            # with what is wanted now: a reload does not change what its event tells
            self._inbox.put(partial(self._begin, raised, wanted, time.monotonic() + _HEAD_START))
        return wanted.kinds

    def links(self, raised: Raised) -> Mapping[str, str] | None:
        """Have evidence made of an alarm; return what its event tells of it: addresses, and how long they hold."""
        kinds = self.expect(raised)
        if not kinds:
            return None
        expires = int(time.time() + self.settings.limits.seconds)
        found = {kind.value: self.link(raised.alarm_id, kind, expires) for kind in kinds}
        first = found.pop(kinds[0].value)
        return {"url": first, **found, "expires": stamp(datetime.fromtimestamp(expires, UTC))}

    def judged(self, alarm_id: str) -> None:
        """Keep for longer what can be learned from an alarm: people said whether it was right. From any thread."""
        self._inbox.put(partial(self._shelf.hold, self.piece(alarm_id, Kind.PLAIN), Kind.PLAIN))

    def has(self, alarm_id: str, kind: Kind) -> bool:
        """Return whether there is a whole piece. Waits for the disk, as `find` does."""
        return self._shelf.has(self.piece(alarm_id, kind), kind)

    def resume(self, alarm_id: str, kinds: Collection[Kind], tell: Callable[[set[Kind]], None]) -> None:
        """Tell from the archive's thread which of the pieces are there that an earlier life was to make."""

        def look() -> None:
            tell({kind for kind in kinds if self._shelf.save(self.piece(alarm_id, kind), kind)})

        self._inbox.put(look)

    def made(self, stream: str, made: Made) -> None:
        """Hear from a stream's worker what came of a task."""
        self._inbox.put(partial(self._finish, stream, made))

    def piece(self, alarm_id: str, kind: Kind) -> str:
        """Return the identity of a piece."""
        return piece_of(alarm_id, kind, self._key)

    def alarm_of(self, piece: str) -> str | None:
        """Return the alarm that a piece is of, None for one that was raised before the latest, or the start."""
        return self._alarms.get(piece)

    def link(self, alarm_id: str, kind: Kind, expires: int) -> str:
        """Return the address of a piece, good until `expires` (Unix time, seconds)."""
        return self.settings.base_url + path_of(Link(self.piece(alarm_id, kind), expires), self._key)

    def opened(self, piece: str, expires: str, signature: str, now: float) -> Link | None:
        """Return what a request for a link names, None for one that is not ours or is over."""
        return opened(piece, expires, signature, self._key, now)

    def is_expected(self, piece: str) -> bool:
        """Return whether a piece is being made."""
        return piece in self._expected

    def find(self, piece: str) -> tuple[int, Kind] | None:
        """Return a descriptor of a whole piece, which the caller closes, and what it is; None: there is none."""
        for kind in Kind:
            descriptor = self._shelf.open(piece, kind)
            if descriptor is not None:
                return descriptor, kind
        return None

    def _run(self) -> None:
        while not self._stopping.is_set():
            now = self._pulse = time.monotonic()
            with contextlib.suppress(queue.Empty):
                self._inbox.get(timeout=_TURN)()
            self._give_up(now, "expected the stream's worker to answer, found it silent")
            self._sweep(_SWEEP_EVERY)
        self._give_up(math.inf, "expected the time to make it, found the daemon stopping")

    def _begin(self, raised: Raised, wanted: Wanted, at: float) -> None:
        self._stopping.wait(max(0.0, at - time.monotonic()))
        if wanted.pictures:
            self._develop(raised, raised.at, AT_ONCE)
        self._inbox.put(partial(self._go_on, raised, wanted))  # behind what others look at first

    def _go_on(self, raised: Raised, wanted: Wanted) -> None:
        if wanted.pictures:
            self._develop(raised, raised.at, IN_TIME)
            self._develop(raised, raised.first, (Kind.FIRST,))
        if wanted.clip is not None:
            since, until = raised.at - wanted.clip.before, raised.at + wanted.clip.after
            film = Film(next(self._numbers), since, until)
            self._request(film, raised, (Kind.CLIP,), until + _ANSWER)

    def _develop(self, raised: Raised, at: float, kinds: tuple[Kind, ...]) -> None:
        task = Develop(next(self._numbers), at, raised.box, kinds, raised.note)
        self._request(task, raised, kinds, time.monotonic() + _ANSWER)

    def _request(self, task: Task, raised: Raised, kinds: tuple[Kind, ...], deadline: float) -> None:
        pieces = {kind: self.piece(raised.alarm_id, kind) for kind in kinds}
        request = _Request(raised, pieces, time.monotonic(), deadline)
        descriptors: list[int] = []
        try:
            self._make_room()
            if len(self._requests) >= _MOST_WAITING:
                raise EvidenceError(f"expected fewer than {_MOST_WAITING} tasks at a time, found more")
            for kind, piece in pieces.items():  # one by one: those before one that fails are closed, too
                descriptors.append(self._shelf.begin(piece, kind))
            if not self._ask(raised.stream, task, descriptors):
                raise EvidenceError("expected the stream's worker, found none at work")
        except EvidenceError as error:
            self._fail(request, str(error))
        else:
            self._requests[task.request] = request
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _finish(self, stream: str, made: Made) -> None:
        request = self._requests.get(made.request)
        if request is None or request.raised.stream != stream:
            return  # given up, or another stream's worker: one that was taken over could say anything
        del self._requests[made.request]
        if made.fault:
            self._fail(request, made.fault[:_LONGEST_WHY])
            return
        try:
            for kind, piece in request.pieces.items():
                self._shelf.finish(piece, kind)
        except EvidenceError as error:
            self._fail(request, str(error))
            return
        for kind in request.pieces:
            self._observe.evidence_made(stream, kind, Came.KEPT)
        if Kind.FRAME in request.pieces:
            self._observe.evidence_ready(time.monotonic() - request.asked)
        self._settle(request.pieces.values())
        self._kept(request.raised, tuple(request.pieces))

    def _give_up(self, now: float, why: str) -> None:
        """Wait no longer for what should be there; a clip that its worker left can be played."""
        for number, request in list(self._requests.items()):
            if now <= request.deadline:
                continue
            if Kind.CLIP in request.pieces and self._shelf.playable(request.pieces[Kind.CLIP], Kind.CLIP):
                self._finish(request.raised.stream, Made(number, ""))
            else:
                del self._requests[number]
                self._fail(request, why)

    def _fail(self, request: _Request, why: str) -> None:
        for kind, piece in request.pieces.items():
            self._shelf.discard(piece, kind)
            self._observe.evidence_made(request.raised.stream, kind, Came.FAILED)
        self._settle(request.pieces.values())
        about = {"stream": request.raised.stream, "alarm_id": request.raised.alarm_id}
        log.warning("there is no evidence", **about, kinds=",".join(request.pieces), why=why)
        self._failed(Failure(request.raised, tuple(request.pieces), why))

    def _settle(self, pieces: Iterable[str]) -> None:
        """Expect these no longer: they are there, or never will be."""
        with self._expecting:
            self._expected -= set(pieces)

    def _make_room(self) -> None:
        """Remove the oldest where there is no room for more. Raises EvidenceError where that is not enough."""
        least = self.settings.limits.least_free
        if self._shelf.free() < least:
            self._sweep(_SWEEP_AGAIN)
            if self._shelf.free() < least:
                raise EvidenceError("expected room on the disk, found it nearly full")

    def _sweep(self, every: float) -> None:
        """Remove what may not stay, unless that was done lately."""
        if time.monotonic() - self._swept < every:
            return
        self._swept = time.monotonic()
        limits, trouble = self.settings.limits, ""
        try:
            removed = self._shelf.sweep(time.time(), limits, self._expected, self._beat)
        except EvidenceError as error:
            trouble, removed = str(error), Counter()
        if trouble and trouble != self._trouble:
            log.warning("evidence cannot be removed", why=trouble)
        self._trouble = trouble
        for reason, count in removed.items():
            self._observe.evidence_removed(reason, count)
        if removed.total():
            log.info("evidence was removed", **{reason.value: count for reason, count in removed.items()})

    def _beat(self) -> None:
        self._pulse = time.monotonic()
