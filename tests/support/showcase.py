"""Five minutes of a small site in which things go wrong, for a picture of the dashboard."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from support.camera import FakeCamera
from support.daemon import Daemon
from support.prometheus import Prometheus
from support.receiver import Receiver
from support.rules import hurried
from support.scene import Scene
from support.site import webhook
from support.wait import until
from tocsin.control import CONTROL_SOCKET, request

SECONDS = 300.0
YARD = Scene(texture=90, background=120, grain=3, numbered=False)
GATE = [[0.90, 0.50], [1.00, 0.50], [1.00, 0.75], [0.90, 0.75]]
FENCE = [[0.0, 0.3], [0.12, 0.3], [0.12, 1.0], [0.0, 1.0]]


@contextlib.contextmanager
def five_minutes(clip: Path, folder: Path) -> Iterator[Prometheus]:
    """Run them; yield the Prometheus that watched, while an alarm is open and two things are wrong.

    The street scene in good light and as through a veil raises the alarms. One camera is off for a while, and again
    in the end; one is covered for a while; one of two receivers is away from the middle on. Guards say now and then
    what the alarms were.
    """
    with contextlib.ExitStack() as stack:
        dock, hall = (stack.enter_context(FakeCamera(YARD)) for _ in range(2))
        desk, phone = (stack.enter_context(Receiver()) for _ in range(2))
        veiled = _veiled(clip, folder / "veiled.mp4")
        daemon = stack.enter_context(Daemon(_site(clip, veiled, dock, hall, desk, phone), folder))
        daemon.wait_metric("tocsin_stream_up", at_least=4, timeout=60)
        prometheus = stack.enter_context(Prometheus(daemon.address, rules=hurried(folder / "rules.yml")))
        began = time.monotonic()
        _wait(began, 40)
        with dock.refusing():
            _wait(began, 85)
        _wait(began, 110)
        _judge(daemon)
        hall.show(replace(YARD, texture=0))
        _wait(began, 150)
        hall.show(YARD)
        _wait(began, 180)
        _judge(daemon)
        desk.down()
        _wait(began, 255)
        stack.enter_context(dock.refusing())
        _judge(daemon)
        _wait(began, SECONDS)
        prometheus.wait_query("sum(tocsin_alarms_active)", 1, 60)
        yield prometheus


def _wait(began: float, seconds: float) -> None:
    until(lambda: time.monotonic() - began > seconds, seconds + 10, f"{seconds:g} s to pass")


def _judge(daemon: Daemon) -> None:
    """Say of each alarm what a guard might: every other one from the yard in its haze is wrong."""
    socket = daemon.state_dir / CONTROL_SOCKET
    for number, alarm in enumerate(request(socket, "alarm.list", verdict="none")["alarms"]):
        is_wrong = alarm["rule"] == "climber" and number % 2
        request(
            socket, "alarm.verdict", alarm=alarm["alarm_id"], verdict="rejected" if is_wrong else "confirmed"
        )


def _site(
    clip: Path, veiled: Path, dock: FakeCamera, hall: FakeCamera, desk: Receiver, phone: Receiver
) -> dict[str, Any]:
    return {
        "detector": {"model": "nanodet-coco-416-int8"},
        "streams": [
            _stream("entrance", f"file:{clip}", "intruder", {"loop": True, "zones": [_zone("gate", GATE)]}),
            _stream("yard", f"file:{veiled}", "climber", {"loop": True, "zones": [_zone("fence", FENCE)]}),
            _stream("dock", dock.url, "anyone", {}),
            _stream("hall", hall.url, "anyone", {}),
        ],
        "rules": [
            _rule("intruder", zones=["gate"]),
            _rule("climber", zones=["fence"]),
            _rule("anyone"),
        ],
        "webhooks": [webhook("control-room", desk, events=("alarm.*", "stream.*")), webhook("phone", phone)],
    }


def _stream(name: str, source: str, rule: str, more: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "source": source, "max_fps": 5, "rules": [rule], **more}


def _rule(name: str, **more: Any) -> dict[str, Any]:
    confirm = {"hits": 3, "of": 6, "within": "3s"}
    return {
        "name": name,
        "classes": ["person"],
        "confirm": confirm,
        "end_after": "4s",
        "repeat_every": 0,
        **more,
    }


def _zone(name: str, polygon: list[list[float]]) -> dict[str, Any]:
    return {"name": name, "polygon": polygon}


def _veiled(clip: Path, to: Path) -> Path:
    """Write the clip as through haze: little of it is left, mixed with bright grey."""
    with av.open(str(clip)) as source, av.open(str(to), "w") as target:
        seen = source.streams.video[0]
        stream = target.add_stream("libx264", rate=seen.average_rate, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = seen.width, seen.height, "yuv420p"
        for frame in source.decode(seen):
            planes = frame.to_ndarray(format="yuv420p")
            luma = planes[: frame.height]
            luma[:] = np.rint(0.3 * luma + 0.7 * 215).astype(np.uint8)
            hazy = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            hazy.pts, hazy.time_base = frame.pts, frame.time_base
            target.mux(stream.encode(hazy))
        target.mux(stream.encode())
    return to
