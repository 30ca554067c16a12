"""The alarms that an earlier life of the daemon left open: which of them go on, and which are over."""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from tocsin import assembly
from tocsin.alarms import Watched
from tocsin.config.load import Config
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.event import Event, EventType
from tocsin.deliver.notation import new_id
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change

log = structlog.get_logger(__name__)


def open_alarms(
    config: Config, labels: tuple[str, ...], outbox: Outbox
) -> tuple[dict[str, list[Watched]], list[AlarmRecord]]:
    """Return the watches of each stream, and the open alarms that they carry on; end and tell those of no rule."""
    known: Sequence[AlarmRecord] = outbox.open_alarms().result()
    watched, orphans = assembly.watched(config, labels, known, outbox.recalls().result())
    now = datetime.now(UTC)
    for record in known:
        about = {"stream": record.alarm.stream, "rule": record.alarm.rule, "alarm_id": record.alarm.alarm_id}
        if record in orphans:
            log.warning("an alarm ends, for no rule carries it on", **about)
            over = record.over(now)
            event = Event(new_id(now), EventType.ALARM_ENDED, now, over.alarm)
            outbox.commit(Change(events=(event,), alarms=(over,)))
        else:
            log.info("an alarm goes on", **about)
    return watched, [record for record in known if record not in orphans]
