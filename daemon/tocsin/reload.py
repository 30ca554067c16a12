"""Reads the configuration again while the daemon runs, and exchanges the detector where it is another.

What may change while the daemon runs is `detector` and the files of its model. Everything is checked before
anything is done: a reload is taken as a whole, or refused as a whole and then all goes on as it was.
"""

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from weakref import ReferenceType, WeakKeyDictionary, ref

import structlog

from tocsin.check import complete
from tocsin.config.load import Config, load, place
from tocsin.detect.detector import Detector
from tocsin.detect.keeper import Kept
from tocsin.detect.stamp import Stamp, stamp
from tocsin.errors import ConfigError, ModelError, StartError, TocsinError
from tocsin.memory import trim
from tocsin.metrics import Reload
from tocsin.thread import guarded
from tocsin.warming import warm_detector

log = structlog.get_logger(__name__)

CHANGEABLE = ("detector",)
"""The sections of the configuration that may change while the daemon runs."""


@dataclass(frozen=True, slots=True)
class Running:
    """What is configured now, and of which files the model was made."""

    config: Config
    files: Stamp


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


def differences(old: Config, new: Config) -> list[str]:
    """Return the places in which two configurations differ: `detector`, `streams.yard`, `http`.

    In the order of the sections, and of the entries in the old and then the new one.
    """
    places: list[str] = []
    for section in Config.model_fields:
        before, after = getattr(old, section), getattr(new, section)
        if before == after:
            continue
        if not isinstance(before, tuple):
            places.append(section)
            continue
        known, wanted = ({entry.name: entry for entry in entries} for entries in (before, after))
        changed = [name for name in {**known, **wanted} if known.get(name) != wanted.get(name)]
        places += [f"{section}.{name}" for name in changed] or [f"the order of {section}"]
    return places


def refuse_what_needs_a_restart(old: Config, new: Config) -> None:
    """Raise ConfigError, with one sentence that names them, where other sections differ than may."""
    others = [place for place in differences(old, new) if place not in CHANGEABLE]
    if others:
        only, found = _listed(CHANGEABLE), _listed(others)
        raise ConfigError(
            f"reload: expected changes of {only} only, found changes of {found}; restart for these"
        )


class Reloader:
    """Does one reload after the other, each in a thread of its own.

    `adopt` is called with the configuration that counts from then on and the detector, None for the same as before;
    and once more, from the engine's thread, where that is taken back. `line` says in one line how the daemon is.
    """

    def __init__(
        self,
        file: Path,
        running: Running,
        holder: Holder,
        adopt: Callable[[Config, Detector | None], None],
        observe: Observer,
        manager: Manager,
        line: Callable[[], str],
    ) -> None:
        self._file = file
        # Guards what counts now, and what `adopt` changes with it. The thread of a reload takes it, and the
        # engine's when a detector is taken back; both hold it for as long as it takes to say so.
        self._deciding = threading.Lock()
        self._running = running
        self._exchanges = 0  # how many there were
        # To which of them the detector belongs that is taken back: not always to the one just before.
        self._made: WeakKeyDictionary[Detector, Running] = WeakKeyDictionary({holder.detector: running})
        self._holder = holder
        self._adopt = adopt
        self._observe = observe
        self._manager = manager
        self._line = line
        # Reads, loads and warms beside the detector that works. It waits for the disk and the device, and nobody
        # for it: nothing can interrupt a model that loads.
        self._thread: threading.Thread | None = None
        self._leaving: ReferenceType[Detector] | None = None  # the one that is replaced, until it is let go
        self._stopping = False  # set once by `stop`; read by the thread before it changes anything

    def begin(self) -> bool:
        """Begin a reload; False while one is under way. Called by one thread."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = guarded("reload", self._turn, self._broke)
        self._thread.start()
        return True

    def tidy(self) -> None:
        """Give back the memory of a detector that was replaced, once it is let go. Called now and then."""
        if self._leaving is not None and self._leaving() is None:
            self._leaving = None
            trim()

    def stop(self) -> None:
        """Let a reload that is under way change nothing any more; its thread may go on while a model loads."""
        self._stopping = True

    def _turn(self) -> None:
        self._manager.reloading(time.monotonic())
        log.info("the configuration is read again", file=str(self._file))
        try:
            self._reload()
        except (ConfigError, ModelError, StartError) as error:
            for message in str(error).splitlines():
                place, sentence = _split(message, self._file)
                log.error("the reload is refused and changes nothing", place=place, why=sentence)
            self._observe.reloaded(Reload.REFUSED, time.time())
        finally:
            trim()
            if not self._stopping:
                self._manager.ready(self._line())

    def _broke(self, why: str) -> None:
        """Count a reload that ended by an error which nobody expected; all goes on as it was."""
        log.error("the reload is refused and changes nothing", why=why)
        self._observe.reloaded(Reload.REFUSED, time.time())

    def _reload(self) -> None:
        before = self._running
        try:
            config = load(self._file)
        except ConfigError as error:
            raise self._whole(error) from error
        refuse_what_needs_a_restart(before.config, config)
        running = Running(config, stamp(config.detector.model))
        same = config.detector == before.config.detector and running.files == before.files
        if same and not self._holder.makeshift:
            self._keep(before, running)
            return
        try:
            kept = warm_detector(config)
            if why := kept.canary.check(kept.detector):
                kept.detector.close()
                raise ModelError(place(config, ("detector", "model"), why))
        except (ConfigError, ModelError, StartError) as error:
            self._observe.model_reload_failed()
            raise self._whole(error) from error
        if same and kept.detector.degraded is not None:
            kept.detector.close()
            self._keep(before, running)
        elif not self._stopping:
            self._exchange(running, kept)

    def _whole(self, first: TocsinError) -> TocsinError:
        """All that is wrong with the file, each with its place; secrets are those of the start."""
        return complete(self._file, first, secrets_had=True)

    def _keep(self, before: Running, running: Running) -> None:
        """Leave the detector alone; the file may hold other comments than before."""
        with self._deciding:
            if still := self._running is before:
                self._running = running
                self._adopt(running.config, None)
        if not still:  # what this was compared with has just been taken back
            self._reload()
            return
        self._observe.reloaded(Reload.UNCHANGED, time.time())
        log.info("the reload changes nothing", config=running.config.digest)

    def _exchange(self, running: Running, kept: Kept) -> None:
        def roll_back(why: str) -> None:
            works = self._holder.detector
            with self._deciding:
                if self._exchanges != turn:  # the next one was offered while this one was taken back
                    log.warning("a detector that was replaced already is taken back", why=why)
                    return
                self._running = self._made.get(works, before)
                self._adopt(self._running.config, works)
            self._observe.reloaded(Reload.ROLLED_BACK, time.time())
            log.error("the reload is taken back", why=why, **_about(works))

        with self._deciding:
            turn = self._exchanges = self._exchanges + 1
            before, self._running = self._running, running
            self._made[kept.detector] = running
            self._adopt(running.config, kept.detector)
        self._observe.reloaded(Reload.APPLIED, time.time())
        log.info("the detector is exchanged", **_about(kept.detector), config=running.config.digest)
        self._leaving = ref(self._holder.detector)
        self._holder.replace(kept, roll_back)  # the last: it may be taken back at once


def _split(message: str, file: Path) -> tuple[str | None, str]:
    """The place in the file and the rest: in a log line both together may be cut before their end."""
    if not (found := re.match(rf"({re.escape(str(file))}(?::\d+)?): (.*)", message, re.DOTALL)):
        return None, message
    return found[1], found[2]


def _about(detector: Detector) -> dict[str, str]:
    return {"model": detector.model_name, "device": detector.device, "provider": detector.provider}


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
