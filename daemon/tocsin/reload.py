"""Reads the configuration again while the daemon runs, and has it go on with what it finds, or with nothing of it.

A thread reads, checks and warms beside what works; the main loop then takes over what is ready, in one go, so that
nothing is ever seen half done. Whatever is wrong comes to light before that: a reload is taken as a whole, or
refused as a whole.
"""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol
from weakref import ReferenceType, WeakKeyDictionary, ref

import structlog

from tocsin import assembly
from tocsin.check import Known, complete
from tocsin.config.load import load, place, resolve_secrets
from tocsin.detect.detector import Detector
from tocsin.detect.keeper import Kept
from tocsin.detect.stamp import digest, stamp
from tocsin.errors import ConfigError, ModelError, StartError, TocsinError
from tocsin.memory import trim
from tocsin.metrics import Reload
from tocsin.plan import Draft, Plan, restarts
from tocsin.thread import guarded
from tocsin.warming import warm_detector

log = structlog.get_logger(__name__)

REST = 1.2
"""Seconds from the beginning of one reload to that of the next at least: a storm of signals that lasts a second is
two of them."""

Adopt = Callable[[Draft, Detector, Plan], None]


class Holder(Protocol):
    """Who holds the detector that works."""

    @property
    def detector(self) -> Detector: ...

    @property
    def makeshift(self) -> bool:
        """Whether the detector runs on less than what was asked for."""

    def replace(self, kept: Kept, on_rollback: Callable[[str], None]) -> None:
        """Give the next batch to another detector; where it fails at once, take the old one back and say why."""


class Observer(Protocol):
    """Hears what became of a reload."""

    def reloaded(self, result: Reload, at: float) -> None: ...
    def model_reload_failed(self) -> None: ...


class Manager(Protocol):
    """Hears when a reload begins and ends."""

    def reloading(self, now: float) -> None: ...
    def ready(self, status: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Ready:
    """What can be taken over in place of the draft `before`, with a new detector where it needs one."""

    before: Draft
    draft: Draft
    kept: Kept | None


@dataclass(frozen=True, slots=True)
class _TakenBack:
    """A detector that failed at once, by the number of its exchange."""

    exchange: int
    why: str


class Reloader:
    """Does one reload after the other. All methods are for the main loop.

    `adopt` is called by `turn`, with what counts from then on: the draft, the detector, and what that changes. It
    must neither fail nor wait. `line` says in one line how the daemon is, `mask` has secrets masked in the log,
    and `refused` hears of what was refused.
    """

    def __init__(
        self,
        file: Path,
        draft: Draft,
        holder: Holder,
        adopt: Adopt,
        observe: Observer,
        manager: Manager,
        line: Callable[[], str],
        mask: Callable[[Iterable[str]], None] = lambda _: None,
        refused: Callable[[TocsinError], None] = lambda _: None,
    ) -> None:
        self._file = file
        self._refused = refused
        self._draft = draft
        self._detector = holder.detector  # what counts, though the holder may not have it in use yet
        # Of which draft each was: the one that is taken back is not always the one just before.
        self._made: WeakKeyDictionary[Detector, Draft] = WeakKeyDictionary({holder.detector: draft})
        self._exchanges = 0  # how many there were
        self._holder = holder
        self._adopt = adopt
        self._observe = observe
        self._manager = manager
        self._line = line
        self._mask = mask
        # Reads, loads and warms beside the detector that works. It waits for the disk and the device, and nobody
        # for it: nothing can interrupt a model that loads.
        self._thread: threading.Thread | None = None
        self._began = -REST
        # Filled by that thread, and by the engine's when a detector is taken back; emptied by `turn`. Both ends of
        # a deque are safe without a lock.
        self._news: deque[_Ready | TocsinError | _TakenBack] = deque()
        self._leaving: ReferenceType[Detector] | None = None  # the one that is replaced, until it is let go

    @property
    def busy(self) -> bool:
        """Whether `turn` should come soon again."""
        return self._thread is not None

    def begin(self, now: float) -> bool:
        """Begin a reload at the monotonic time `now`; False while one is under way, or has just begun."""
        if self.busy or now - self._began < REST:
            return False
        self._began = now
        self._manager.reloading(now)
        log.info("the configuration is read again", file=str(self._file))
        self._prepare()
        return True

    def turn(self) -> None:
        """Take over what is ready and take back what failed, and give back the memory of what was let go."""
        while self._news:
            match self._news.popleft():
                case _Ready() as ready if ready.before is not self._draft:  # which was just taken back
                    self._forget(ready)
                    self._prepare()
                case _Ready() as ready:
                    self._end(self._take_over(ready))
                case _TakenBack(exchange, why):
                    self._take_back(exchange, why)
                case error:
                    self._end(self._refuse(error))
        if self._leaving is not None and self._leaving() is None:
            self._leaving = None
            trim()

    def _end(self, status: str) -> None:
        self._thread = None
        trim()
        self._manager.ready(f"{status}; {self._line()}")

    def _refuse(self, error: TocsinError) -> str:
        faults = str(error).splitlines()
        for number, message in enumerate(faults, start=1):
            place, why = _split(message, self._file)
            which = f"{number} of {len(faults)}"
            log.error("the reload is refused and changes nothing", place=place, why=why, fault_number=which)
        self._observe.reloaded(Reload.REFUSED, time.time())
        self._refused(error)
        return f"the reload was refused and changed nothing: {faults[0]}"

    def _take_over(self, ready: _Ready) -> str:
        before, draft, kept = ready.before, ready.draft, ready.kept
        plan = Plan.between(before, draft)
        self._mask(draft.secrets.texts())
        result = Reload.UNCHANGED if kept is None and not plan else Reload.APPLIED
        if kept is None:
            self._go_on(draft, self._detector, plan)
        else:
            self._exchanges += 1
            self._leaving = ref(self._detector)
            self._go_on(draft, kept.detector, plan)
        self._observe.reloaded(result, time.time())
        if result is Reload.UNCHANGED:
            log.info("the reload changes nothing", config=draft.config.digest)
            return "the reload changed nothing"
        log.info("the reload is applied", **plan.words(), config=draft.config.digest)
        if kept is not None:
            log.info("the detector is exchanged", **_about(kept.detector), config=draft.config.digest)
            self._holder.replace(kept, partial(self._failed, self._exchanges))
        return "the reload was applied"

    def _go_on(self, draft: Draft, detector: Detector, plan: Plan) -> None:
        self._draft, self._detector = draft, detector
        self._made[detector] = draft
        self._adopt(draft, detector, plan)

    def _failed(self, exchange: int, why: str) -> None:
        """Hear that a new detector failed at once; called from the engine's thread."""
        self._news.append(_TakenBack(exchange, why))

    def _take_back(self, exchange: int, why: str) -> None:
        if exchange != self._exchanges:  # the next one was offered while this one was taken back
            log.warning("a detector that was replaced already is taken back", why=why)
            return
        works = self._holder.detector
        draft = self._made.get(works, self._draft)
        self._go_on(draft, works, Plan.between(self._draft, draft))
        self._observe.reloaded(Reload.ROLLED_BACK, time.time())
        log.error("the reload is taken back", why=why, **_about(works))

    def _prepare(self) -> None:
        self._thread = guarded("reload", partial(self._work, self._draft, self._detector), self._broke)
        self._thread.start()

    @staticmethod
    def _forget(ready: _Ready) -> None:
        if ready.kept is not None:
            ready.kept.detector.close()

    # From here on: the thread of a reload.

    def _work(self, before: Draft, detector: Detector) -> None:
        try:
            self._news.append(self._read(before, detector))
        except (ConfigError, ModelError, StartError) as error:
            self._news.append(error)

    def _broke(self, why: str) -> None:
        """Count a reload that ended by an error which nobody expected; all goes on as it was."""
        self._news.append(StartError(why))

    def _read(self, before: Draft, detector: Detector) -> _Ready:
        """Return what the file describes, all of it checked; raises ConfigError, ModelError or StartError."""
        draft = self._drafted(before, detector.labels)
        config = draft.config
        same = config.detector == before.config.detector and draft.model == before.model
        if same and not self._holder.makeshift:
            if faults := assembly.unknown_classes(config, detector.labels):
                raise ConfigError(*faults)
            return _Ready(before, draft, None)
        try:
            kept = warm_detector(config)
            if why := kept.canary.check(kept.detector):
                kept.detector.close()
                raise ModelError(place(config, ("detector", "model"), why))
        except (ConfigError, ModelError, StartError) as error:
            self._observe.model_reload_failed()
            raise self._whole(before, detector.labels, error) from error
        if same and kept.detector.degraded is not None:
            kept.detector.close()
            return _Ready(before, draft, None)
        return _Ready(before, draft, kept)

    def _drafted(self, before: Draft, labels: tuple[str, ...]) -> Draft:
        try:
            config = load(self._file)
        except ConfigError as error:
            raise self._whole(before, labels, error) from error
        refused = restarts(before.config, config)
        try:
            secrets = resolve_secrets(config, before.secrets.environment)
            draft = assembly.draft(config, secrets, stamp(config.detector.model))
            same = draft.model == before.model
            draft = replace(draft, sha256=before.sha256 if same else digest(config.detector.model))
        except ConfigError as error:
            whole = str(self._whole(before, labels, error)).splitlines()
            raise ConfigError(*dict.fromkeys([*whole, *error.faults, *refused])) from error
        if refused:
            whole = str(self._whole(before, labels, ConfigError(*refused))).splitlines()
            raise ConfigError(*dict.fromkeys([*whole, *refused]))
        return draft

    def _whole(self, before: Draft, labels: tuple[str, ...], first: TocsinError) -> TocsinError:
        """Return all that is wrong with the file, each with its place; `labels` are of the model that runs."""
        section = before.config.detector
        same = stamp(section.model) == before.model
        return complete(
            self._file, first, known=Known(before.secrets.environment, section, labels if same else None)
        )


def _split(message: str, file: Path) -> tuple[str | None, str]:
    """The place in the file and the rest: in a log line both together may be cut before their end."""
    if not (found := re.match(rf"({re.escape(str(file))}(?::\d+)?): (.*)", message, re.DOTALL)):
        return None, message
    return found[1], found[2]


def _about(detector: Detector) -> dict[str, str]:
    return {"model": detector.model_name, "device": detector.device, "provider": detector.provider}
