"""Puts on record that somebody takes what is kept of alarms: `tocsin evidence get` and `export` announce it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tocsin.control import Caller, Handler
from tocsin.deliver.act import Act, Via
from tocsin.deliver.audit import Entry
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change
from tocsin.deliver.verdict import Verdict
from tocsin.desk.patience import wait
from tocsin.errors import ControlError, InputError, OutboxError

_LONGEST_WORD = 200
"""Characters of a word without which there is no entry; more is refused."""

_LONGEST = 64
"""Characters of what an export was chosen by; more is cut."""

_KEYS = ("stream", "rule", "since", "until")


def handlers(outbox: Outbox) -> dict[str, Handler]:
    """Return the handlers of the control socket."""
    acts = {"audit.read": read_of, "audit.exported": export_of}
    return {command: partial(_record, outbox, entry_of) for command, entry_of in acts.items()}


def _record(
    outbox: Outbox,
    entry_of: Callable[[Mapping[str, Any], str, datetime], Entry],
    asked: Mapping[str, Any],
    caller: Caller,
) -> Mapping[str, Any]:
    entry = entry_of(asked, caller.user, datetime.now(UTC))
    with suppress(OutboxError, ControlError):  # on a full disk it is in memory, and later on the disk
        wait(outbox.commit(Change(audited=(entry,))))
    return {}


def read_of(asked: Mapping[str, Any], by: str, at: datetime) -> Entry:
    """Return the entry of a copy: of which alarm, and which kinds. Raises InputError."""
    alarm_id, kinds = _word(asked, "alarm_id"), _word(asked, "kinds")
    return Entry(at, Act.EVIDENCE_READ, by, Via.COMMAND, alarm_id, {"kinds": kinds})


def export_of(asked: Mapping[str, Any], by: str, at: datetime) -> Entry:
    """Return the entry of an export: what was chosen, and how many alarms that were."""
    words = asked.get("verdicts")
    told = {"verdicts": ",".join(word for word in Verdict if isinstance(words, list) and word in words)}
    told |= {key: str(asked[key])[:_LONGEST] for key in _KEYS if asked.get(key) is not None}
    told["alarms"] = str(asked.get("alarms", ""))[:_LONGEST]
    subject = told.get("stream") or told.get("rule") or "all"
    return Entry(at, Act.EVIDENCE_EXPORTED, by, Via.COMMAND, subject, told)


def _word(asked: Mapping[str, Any], key: str) -> str:
    word = asked.get(key)
    if not isinstance(word, str) or not word or len(word) > _LONGEST_WORD:
        raise InputError(f"{key}: expected a text of at most {_LONGEST_WORD} characters, found another")
    return word
