"""Puts on record that somebody takes pictures of alarms with them: `tocsin evidence export` announces it."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from tocsin.control import Caller, Handler
from tocsin.deliver.act import Act, Via
from tocsin.deliver.audit import Entry
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change
from tocsin.deliver.verdict import Verdict
from tocsin.desk import wait
from tocsin.errors import ControlError, OutboxError

_LONGEST = 64
_KEYS = ("stream", "rule", "since", "until")


def handlers(outbox: Outbox) -> dict[str, Handler]:
    """Return the handlers of the control socket."""

    def exported(asked: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        entry = entry_of(asked, caller.user, datetime.now(UTC))
        with suppress(OutboxError, ControlError):  # on a full disk it is in memory, and later on the disk
            wait(outbox.commit(Change(audited=(entry,))))
        return {}

    return {"audit.exported": exported}


def entry_of(asked: Mapping[str, Any], by: str, at: datetime) -> Entry:
    """Return the entry of an export: what was chosen, and how many alarms that were."""
    words = asked.get("verdicts")
    told = {"verdicts": ",".join(word for word in Verdict if isinstance(words, list) and word in words)}
    told |= {key: str(asked[key])[:_LONGEST] for key in _KEYS if asked.get(key) is not None}
    told["alarms"] = str(asked.get("alarms", ""))[:_LONGEST]
    subject = told.get("stream") or told.get("rule") or "all"
    return Entry(at, Act.EVIDENCE_EXPORTED, by, Via.COMMAND, subject, told)
