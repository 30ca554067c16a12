"""How the daemon is, for `tocsin status`, the service manager and the endpoint."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tocsin.alarm.withheld import Withheld
from tocsin.capture.status import StreamState, StreamStatus
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.notation import stamp
from tocsin.deliver.queues import QueueCount
from tocsin.detect.detector import Detector
from tocsin.eyesight.lights import LightStatus
from tocsin.http import Health, PartHealth
from tocsin.lifecycle import Pulses
from tocsin.overrides import InForce, Now
from tocsin.vigil.degradations import Standing


@dataclass(frozen=True, slots=True)
class Report:
    """A moment of a running daemon.

    `analysed` counts the frames of each stream since it came; `lights` are of the streams that have had any;
    `scenes` says why a stream does not show what it should, of those that do not. `withheld` counts the alarms that
    were not raised since their rule came, by stream, rule and reason; `sighted` the sightings, by stream and rule.
    `overrides` are the silences and walk tests that are in force.
    """

    ready: bool
    streams: tuple[StreamStatus, ...]
    analysed: Mapping[str, int]
    lights: Mapping[str, LightStatus]
    scenes: Mapping[str, str]
    detector: Detector
    degradations: tuple[Standing, ...]
    alarms: tuple[AlarmRecord, ...]
    queues: tuple[QueueCount, ...]
    port: int
    withheld: Mapping[tuple[str, str, Withheld], int] = field(default_factory=dict)
    sighted: Mapping[tuple[str, str], int] = field(default_factory=dict)
    overrides: tuple[InForce, ...] = ()

    def line(self) -> str:
        """Return one line."""
        live = sum(status.state is StreamState.LIVE for status in self.streams)
        queued = sum(queue.queued for queue in self.queues)
        unseen = {stream for stream, light in self.lights.items() if light.impaired is not None}
        impaired = len(unseen | self.scenes.keys())
        streams = (
            f"streams live: {live} of {len(self.streams)}{f', impaired: {impaired}' if impaired else ''}"
        )
        told = sum(not alarm.alarm.silenced for alarm in self.alarms)
        muted = f", silences and tests: {len(self.overrides)}" if self.overrides else ""
        return f"{streams}, alarms active: {told}{muted}, deliveries waiting: {queued}"

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
                "degraded": [
                    {"reason": one.reason, "why": one.why, "stream": one.stream, "rule": one.rule}
                    for one in self.degradations
                ],
                "nodes": self.detector.placement.nodes,
                "accelerated": self.detector.placement.accelerated,
            },
            "alarms": [
                {**alarm.alarm.facts(), "opened": stamp(alarm.opened), "reported": stamp(alarm.reported)}
                for alarm in self.alarms
            ],
            "withheld": [
                {"stream": stream, "rule": rule, "reason": reason.value, "count": count}
                for (stream, rule, reason), count in sorted(self.withheld.items())
            ],
            "overrides": [one.as_json(Now.read()) for one in self.overrides],
            "queues": [_queue(queue) for queue in self.queues],
        }

    def _stream(self, status: StreamStatus, now: float) -> dict[str, Any]:
        age = None if status.last_frame_at is None else round(max(0.0, now - status.last_frame_at), 2)
        light = self.lights.get(status.stream)
        impaired = light.impaired if light else None
        scene = self.scenes.get(status.stream)
        retry_at = status.retry_at
        return {
            "stream": status.stream,
            "state": status.state.value,
            "for_seconds": round(now - status.since, 1),
            "fault": status.fault.value if status.fault else None,
            "why": status.message or scene or (impaired.value if impaired else ""),
            "retry_in_seconds": None if retry_at is None else round(max(0.0, retry_at - now), 1),
            "scene": scene,
            "impaired": impaired.value if impaired else None,
            "light": _light(light) if light else None,
            "decoder": status.decoder.value if status.decoder else None,
            "last_frame_age_seconds": age,
            "codec": status.codec or None,
            "transport": status.transport or None,
            "size": "{}x{}".format(*status.size) if status.codec else None,
            "fps": round(status.fps, 1),
            "clock_offset_seconds": _rounded(status.clock_ahead),
            "frames_analysed": self.analysed.get(status.stream, 0),
        }


def liveness(pulses: Pulses) -> Health:
    """Return that the daemon is alive: no part is stuck."""
    now = time.monotonic()
    stuck = {part.name: str(part) for part in pulses.overdue(now)}
    return Health(
        tuple(PartHealth(name, name not in stuck, stuck.get(name, "moving")) for name in pulses.ages(now))
    )


def readiness(detector: Detector, digest: str) -> Health:
    """Return that everything was started, by which configuration, and what the detector really runs on."""
    facts = {
        "model": detector.model_name,
        "device": detector.device,
        "provider": detector.provider,
        "nodes": str(detector.placement.nodes),
        "accelerated": str(detector.placement.accelerated),
    }
    return Health(
        (
            PartHealth("configuration", True, "valid", {"digest": digest}),
            PartHealth("outbox", True, "open"),
            PartHealth("detector", True, "warm", facts),
        )
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _light(light: LightStatus) -> dict[str, Any]:
    return {
        "mean": round(light.mean, 1),
        "contrast": round(light.contrast, 1),
        "correction": light.correction.value,
    }


def _queue(queue: QueueCount) -> dict[str, Any]:
    return {
        "webhook": queue.webhook,
        "configured": queue.configured,
        "queued": queue.queued,
        "dead": queue.dead,
        "oldest_age_seconds": round(queue.oldest_age, 1),
    }
