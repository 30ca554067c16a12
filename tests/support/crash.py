"""A daemon that is killed again and again while alarms are raised and its receiver comes and goes."""

import os
import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from support import witness
from support.daemon import Daemon
from support.h264 import record
from support.inbox import Message
from support.receiver import Answer, Receiver
from support.scene import Scene, visits
from support.wait import until
from tocsin.deliver.courier import CONCURRENCY

READY = 60.0  # seconds that a start may take on a busy machine
DRAIN = 90.0  # seconds in which what is left must arrive; the longest wait of a delivery is shorter here


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the events of a storm.

    `lost` were committed and never accepted, `two_bodies` came with different bytes, `disordered` are alarms whose
    end was accepted before their raise, and `unexplained` were accepted again though neither a kill nor the
    receiver's going lay in between. `duplicates` counts the acceptances beyond the first of each event, and
    `most_after_one` those that one kill or going explains at most.
    """

    committed: int
    accepted: int
    requests: int
    kills: int
    duplicates: int
    most_after_one: int
    lost: frozenset[str] = frozenset()
    two_bodies: frozenset[str] = frozenset()
    disordered: frozenset[str] = frozenset()
    unexplained: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return (
            f"{self.kills} kills: {self.committed} events committed, {len(self.lost)} lost,"
            f" {self.accepted} accepted in {self.requests} requests; {self.duplicates} accepted again"
            f" ({self.most_after_one} at most after one kill or going, {len(self.unexplained)} without either),"
            f" {len(self.two_bodies)} with two bodies, {len(self.disordered)} alarms out of order"
        )

    @property
    def is_sound(self) -> bool:
        wrong = self.lost or self.two_bodies or self.disordered or self.unexplained
        return not wrong and self.most_after_one <= CONCURRENCY


def judge(
    committed: Sequence[str], requests: Sequence[Message], breaks: Sequence[float], kills: int
) -> Verdict:
    """Compare what was promised with what came. `breaks` are when the daemon was killed or the receiver went."""
    times: dict[str, list[float]] = {}
    bodies: dict[str, set[bytes]] = {}
    first: dict[str, dict[str, float]] = {}
    for message in requests:
        bodies.setdefault(message.id, set()).add(message.raw)
        if message.is_accepted:
            times.setdefault(message.id, []).append(message.at)
            alarm = first.setdefault(message.data.get("alarm_id") or message.id, {})
            alarm.setdefault(message.type, message.at)
    again = [(id_, a, b) for id_, ats in times.items() for a, b in pairwise(sorted(ats))]
    causes = [next((at for at in sorted(breaks) if a <= at <= b), None) for _, a, b in again]
    return Verdict(
        committed=len(set(committed)),
        accepted=len(times),
        requests=len(requests),
        kills=kills,
        duplicates=len(again),
        most_after_one=max((causes.count(at) for at in set(causes) - {None}), default=0),
        lost=frozenset(set(committed) - times.keys()),
        two_bodies=frozenset(id_ for id_, raw in bodies.items() if len(raw) > 1),
        disordered=frozenset(
            alarm
            for alarm, at in first.items()
            if "alarm.ended" in at and at["alarm.ended"] < at.get("alarm.raised", float("inf"))
        ),
        unexplained=frozenset(id_ for (id_, _, _), cause in zip(again, causes, strict=True) if cause is None),
    )


@dataclass
class Storm:
    """Kills a real daemon at random moments. `rules` watch one stream: each visit raises so many alarms.

    A fifth of the kills meets the daemon while it starts, the others within a second of its first event.
    """

    folder: Path
    model: Path
    receiver: Receiver
    seed: int = 0
    rules: int = 10
    kills: int = 0
    breaks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._book = self.folder / "committed"
        self._over = threading.Event()  # set once, when the receiver shall stay
        self._weather = threading.Thread(target=self._come_and_go, name="weather")
        self._clip = record(Scene(blocks=visits((0.3, 0.6)), fps=20), self.folder / "visits.mp4", 0.9)

    def committed(self) -> list[str]:
        """The ids of all events that the daemon held for committed."""
        return self._book.read_text().split() if self._book.exists() else []

    def run(self, kills: int, events: int) -> Verdict:
        """Kill at least so often, and until so many events were committed; then let everything arrive."""
        tests, others = str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")
        environment = {witness.FILE: str(self._book), "PYTHONPATH": os.pathsep.join([tests, others])}
        with Daemon(
            self._config(self.rules), self.folder, environment=environment, module="support.witness"
        ) as daemon:
            self._weather.start()
            try:
                self._live_and_die(daemon)
                while self.kills < kills or len(self.committed()) < events:
                    daemon.start()
                    self._live_and_die(daemon)
            finally:
                self._over.set()
                self._weather.join(READY)
            promised = self.committed()
            waiting = set(promised)
            daemon.write_config(
                self._config(1)
            )  # whose first delivery lets go what waits for a receiver in trouble
            daemon.start()
            with suppress(AssertionError):  # what has not come by then is lost, and the verdict counts it
                until(lambda: waiting <= {m.id for m in self.receiver.accepted}, DRAIN, "what was committed")
            daemon.terminate(30)
        return judge(promised, self.receiver.requests, self.breaks, self.kills)

    def _live_and_die(self, daemon: Daemon) -> None:
        if self._chance.random() < 0.2:
            self._over.wait(self._chance.uniform(0.1, 2.0))
        else:
            before = len(self.committed())
            until(lambda: len(self.committed()) > before, READY, "an event of this life")
            self._over.wait(self._chance.uniform(0.0, 1.0))
        daemon.kill9()
        self.kills += 1
        self.breaks.append(time.monotonic())
        until(lambda: not daemon.leftovers(), 10, "the workers to follow the daemon")

    def _come_and_go(self) -> None:
        """The receiver's moods: it takes what comes, is in trouble, cuts connections, or is away."""
        chance = random.Random(self.seed + 1)
        while not self._over.wait(chance.uniform(0.2, 2.0)):
            mood = chance.choice((503, Answer(429, {"Retry-After": "1"}), Answer(None), None))
            if mood is None:
                self.receiver.down()
                self.breaks.append(time.monotonic())  # after it: what it answered last may be lost
                self._over.wait(chance.uniform(0.2, 1.0))
                self.receiver.up()
            else:
                self.receiver.answer(mood)
                self._over.wait(chance.uniform(0.2, 1.0))
                self.receiver.answer(204)
        self.receiver.answer(204)

    def _config(self, rules: int) -> dict[str, Any]:
        names = [f"rule-{n}" for n in range(rules)]

        def visit(name: str) -> dict[str, Any]:
            confirm = {"hits": 1, "of": 1}
            return {
                "name": name,
                "classes": ["block"],
                "confirm": confirm,
                "end_after": "100ms",
                "repeat_every": 0,
            }

        return {
            "detector": {"model": str(self.model), "device": "cpu"},
            "streams": [
                {
                    "name": "yard",
                    "source": f"file:{self._clip}",
                    "loop": True,
                    "max_fps": 20,
                    "light": {"mode": "off"},
                    "rules": names,
                }
            ],
            "rules": [visit(name) for name in names],
            "webhooks": [
                {
                    "name": "hook",
                    "url": self.receiver.url,
                    "secret": self.receiver.secret,
                    "events": ["alarm.*"],
                }
            ],
        }
