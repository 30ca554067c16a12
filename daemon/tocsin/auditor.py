"""What the daemon itself puts on record: its starts and stops, by which file and model it works."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tocsin import __version__
from tocsin.deliver.act import Act, Via
from tocsin.deliver.audit import Entry, Period
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change
from tocsin.errors import OutboxError, TocsinError

ITSELF = "tocsin"
"""Who acts where nobody asked for it."""

REFUSED = "refused"

_LOOKED_BACK = 1_000
"""Entries among which the last that was not refused is looked for."""


@dataclass(frozen=True, slots=True)
class Basis:
    """By what a daemon works: the digest of its configuration, and the name and digest of its model."""

    config: str
    model: str
    sha256: str


class Auditor:
    """Puts on record what changes. For the main thread.

    None of it fails: what cannot be put on record stands in the log.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._basis: Basis | None = None  # what is on record

    def started(self, basis: Basis) -> None:
        """Put on record a start, and how it differs from what worked last."""
        known = self._known()
        entries = [_own(Act.DAEMON_STARTED, basis.config, **_told(basis), version=__version__)]
        self._commit(entries + ([] if known is None else _changes(known, basis, {"result": "start"})))
        self._basis = basis

    def adopted(self, basis: Basis, plan: Mapping[str, str]) -> None:
        """Put on record what a reload changed; `plan` names the parts that did, be the file the same or not."""
        assert self._basis is not None, "a reload comes after the start"
        self._commit(_changes(self._basis, basis, {"result": "applied", **plan}))
        self._basis = basis

    def refused(self, error: TocsinError) -> None:
        """Put on record a reload that changed nothing; the log has its faults."""
        assert self._basis is not None, "a reload comes after the start"
        faults = len(str(error).splitlines())
        old = self._basis.config
        self._commit([_own(Act.CONFIG_CHANGED, old, old=old, result=REFUSED, faults=str(faults))])

    def stopped(self, failure: str | None) -> None:
        """Put on record an end: that a part failed, or that somebody wanted it."""
        if self._basis is not None:
            reason = "asked" if failure is None else "failed"
            self._commit([_own(Act.DAEMON_STOPPED, self._basis.config, reason=reason)])

    def _known(self) -> Basis | None:
        """Return by what the daemon worked last, as far as it is on record and can be read."""
        acts = (Act.DAEMON_STARTED, Act.CONFIG_CHANGED, Act.MODEL_CHANGED)
        try:
            entries = self._outbox.audit(Period(acts=acts, limit=_LOOKED_BACK)).result()
        except OutboxError:
            return None
        told: dict[str, str] = {}
        for entry in reversed(entries):
            if entry.details.get("result") != REFUSED:
                told |= _learned(entry)
        return Basis(**told) if told.keys() == set(Basis.__slots__) else None

    def _commit(self, entries: Sequence[Entry]) -> None:
        if entries:
            self._outbox.commit(Change(audited=tuple(entries)))


def _own(act: Act, subject: str, **details: str) -> Entry:
    return Entry(datetime.now(UTC), act, ITSELF, Via.DAEMON, subject, details)


def _told(basis: Basis) -> dict[str, str]:
    return {"config": basis.config, "model": basis.model, "sha256": basis.sha256}


def _learned(entry: Entry) -> dict[str, str]:
    """Return what an entry tells of a basis."""
    details = entry.details
    match entry.act:
        case Act.CONFIG_CHANGED:
            return {"config": details.get("new", "")}
        case Act.MODEL_CHANGED:
            return {"model": entry.subject, "sha256": details.get("new", "")}
        case _:
            return {key: details.get(key, "") for key in Basis.__slots__}


def _changes(old: Basis, new: Basis, details: Mapping[str, str]) -> list[Entry]:
    """Return the entries of what differs; where more than the result is told, also where the file is the same."""
    entries = []
    if old.config != new.config or len(details) > 1:
        told = {"old": old.config, "new": new.config, **details}
        entries.append(_own(Act.CONFIG_CHANGED, new.config, **told))
    if (old.model, old.sha256) != (new.model, new.sha256):
        entries.append(_own(Act.MODEL_CHANGED, new.model, old=old.sha256, new=new.sha256))
    return entries
