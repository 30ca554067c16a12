"""The evidence of a running daemon: its archive, from the moment on in which the disk lets there be one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from tocsin.capture.wire import Made
from tocsin.custody.announcements import Announcements, reading
from tocsin.custody.archive import Archive, Observer, Raised, Settings, Task
from tocsin.deliver.attach import Read
from tocsin.errors import EvidenceError
from tocsin.evidence.link import evidence_key
from tocsin.evidence.shelf import Shelf

log = structlog.get_logger(__name__)

_AGAIN = 5.0
"""Seconds until it is tried again to keep evidence, where the disk did not let it."""


class Keeping:
    """Has evidence of alarms kept as soon as it can be. May be used from any thread, but for `turn` and `adopt`.

    `ask` hands a task and open files to a stream's worker, as `Supervisor.ask`. `keyed` is told the installation's
    key, and `begin` starts the archive and shows it to whoever has a link; `fail` hears that its thread has died.
    """

    def __init__(
        self,
        state: Path,
        settings: Settings,
        announcements: Announcements,
        observe: Observer,
        *,
        ask: Callable[[str, Task, Sequence[int]], bool],
        keyed: Callable[[bytes], None],
        begin: Callable[[Archive], None],
        fail: Callable[[str], None],
    ) -> None:
        self._state = state
        self._settings = settings
        self._announcements = announcements
        self._observe = observe
        self._ask = ask
        self._keyed = keyed
        self._begin = begin
        self._fail = fail
        self.archive: Archive | None = None  # set once
        self._due = 0.0  # when it is tried again, where it was in vain
        self.read: Read = reading(lambda: self.archive)

    def adopt(self, settings: Settings) -> None:
        """Keep evidence like this from now on."""
        self._settings = settings
        if self.archive is not None:
            self.archive.settings = settings

    def turn(self, now: float) -> None:
        """Open the archive where there is none, unless that was tried just before the monotonic time `now`."""
        if self.archive is not None or now < self._due:
            return
        try:
            key = evidence_key(self._state)
            self._keyed(key)
            shelf = Shelf(self._state)
        except EvidenceError as error:  # a full disk, say: alarms come first
            if not self._due:
                log.error("nothing is kept of alarms until the disk lets it be", why=str(error))
            self._due = now + _AGAIN
            return
        told = self._announcements.failed, self._observe, self._fail, self._announcements.kept
        archive = Archive(shelf, key, self._settings, self._ask, *told)
        self._begin(archive)
        self.archive = archive
        if self._due:
            log.info("pictures and clips of alarms are kept from now on")

    def links(self, raised: Raised) -> Mapping[str, str] | None:
        """Have evidence made of an alarm; return what its event tells of it, None where nothing is kept."""
        return None if self.archive is None else self.archive.links(raised)

    def made(self, stream: str, made: Made) -> None:
        """Hear from a stream's worker what came of a task."""
        if self.archive is not None:
            self.archive.made(stream, made)

    def judged(self, alarm_id: str) -> None:
        """Keep for longer what can be learned from an alarm."""
        if self.archive is not None:
            self.archive.judged(alarm_id)
