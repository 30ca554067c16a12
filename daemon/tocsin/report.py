"""How the daemon is, for `tocsin status` and the service manager."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tocsin.capture.keeper import StreamState, StreamStatus
from tocsin.deliver.event import OpenAlarm, stamp
from tocsin.deliver.store import QueueCount
from tocsin.detect.detector import Detector


@dataclass(frozen=True, slots=True)
class Report:
    """A moment of a running daemon; `analysed` counts the frames of each stream since the start."""

    ready: bool
    streams: tuple[StreamStatus, ...]
    analysed: Mapping[str, int]
    detector: Detector
    alarms: tuple[OpenAlarm, ...]
    queues: tuple[QueueCount, ...]
    port: int

    def line(self) -> str:
        """Return one line."""
        live = sum(status.state is StreamState.LIVE for status in self.streams)
        queued = sum(queue.queued for queue in self.queues)
        alarms = len(self.alarms)
        return f"streams live: {live} of {len(self.streams)}, alarms active: {alarms}, deliveries waiting: {queued}"

    def as_json(self) -> dict[str, Any]:
        """Return everything, for the control socket; holds no secret and no address."""
        now = time.monotonic()
        return {
            "ready": self.ready,
            "port": self.port,
            "streams": [self._stream(status, now) for status in self.streams],
            "detector": {
                "model": self.detector.model_name,
                "device": self.detector.device,
                "provider": self.detector.provider,
                "degraded": self.detector.degraded,
            },
            "alarms": [
                {**alarm.alarm.payload(), "opened": stamp(alarm.opened), "reported": stamp(alarm.reported)}
                for alarm in self.alarms
            ],
            "queues": [_queue(queue) for queue in self.queues],
        }

    def _stream(self, status: StreamStatus, now: float) -> dict[str, Any]:
        age = None if status.last_frame_at is None else round(max(0.0, now - status.last_frame_at), 2)
        return {
            "stream": status.stream,
            "state": status.state.value,
            "for_seconds": round(now - status.since, 1),
            "fault": status.fault.value if status.fault else None,
            "why": status.message,
            "last_frame_age_seconds": age,
            "frames_analysed": self.analysed.get(status.stream, 0),
        }


def _queue(queue: QueueCount) -> dict[str, Any]:
    return {
        "webhook": queue.webhook,
        "queued": queue.queued,
        "dead": queue.dead,
        "oldest_age_seconds": round(queue.oldest_age, 1),
    }
