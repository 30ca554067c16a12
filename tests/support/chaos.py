"""A bad night of one daemon: visitors come and go while it is reloaded, killed, starved and told a wrong time."""

import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from support import canary, witness
from support.camera import FakeCamera
from support.changing import CHANGES, STREAMS, Key, Site, initial
from support.counterpart import free_port
from support.crash import judge
from support.daemon import Daemon
from support.disk import SmallDisk, small_disk
from support.fakeclock import FakeClock
from support.footprint import established
from support.process import kill
from support.receiver import SECRET, Answer, Receiver
from support.scene import Scene, visits
from support.sequence import check_order
from support.site import stream
from support.wait import SCALE, until
from tocsin.config.load import load
from tocsin.control import CONTROL_SOCKET, request
from tocsin.deliver.database import OUTBOX_FILE
from tocsin.errors import ControlError

LOOK_S = 0.2
RAISED_WITHIN_S = 4.0
"""From the moment on at which somebody is there, and a live stream watched by a rule."""
ENDED_WITHIN_S = 6.0
SAME_AFTER_S = 5.0
"""From the coming of a visitor; before it, the alarm of the one before may still be open."""
READY_S, TAKEN_S, DRAIN_S = 60.0, 20.0, 90.0
OTHER = "whsec_" + "b3RoZXItc2VjcmV0LW9mLXRlc3RzLTAxMjM0NTY3ODk="


@dataclass
class Spot:
    """A camera and when somebody is in its picture, on the monotonic clock."""

    camera: FakeCamera
    times: list[tuple[float, float]]

    def at(self, now: float) -> tuple[int | None, float]:
        """The visitor that is there and since when; None, and since when nobody is."""
        for number, (begin, end) in enumerate(self.times):
            if now < begin:
                return None, self.times[number - 1][1] if number else 0.0
            if now < end:
                return number, begin
        return None, self.times[-1][1]


class Chaos:
    """The night; `say` is told how it goes. Everything that is random comes from the seed.

    The daemon's own word for what is open is asked for all the time, and compared with who is in the picture. What
    came of it is judged in the end, by what the outbox holds and the receivers got.
    """

    def __init__(self, seconds: float, seed: int, say: Callable[[str], None]) -> None:
        self.seconds, self.say = seconds, say
        self.chance = random.Random(seed)
        self.site = initial()
        self.coming: Site | None = None  # what the file says already, and the daemon may not know
        self.calm: dict[Key, tuple[str, float]] = {}  # since when each is watched without a break
        self.told: dict[tuple[str, str, int], str] = {}  # the alarm of each rule for each visitor
        self.looks = self.kills = self.judged = 0
        self.breaks: list[float] = []
        self._looked = 0.0
        self._moods: dict[str, float] = {}  # until when each receiver stays as it is

    def run(self, model: Path, folder: Path) -> None:
        """Run and check; AssertionError says what did not hold."""
        self.model, self.folder, self.book = model, folder, folder / "committed"
        with ExitStack() as stack:
            self.disk: SmallDisk = stack.enter_context(small_disk(folder / "state", megabytes=16))
            self.clock = FakeClock(folder)
            self.receivers = {name: stack.enter_context(Receiver()) for name in ("book", "near", "far")}
            self.spots = [self._spot(stack) for _ in range(STREAMS)]
            self.listen = f"127.0.0.1:{free_port()}"
            self._sign(SECRET, OTHER)
            environment = {witness.FILE: str(self.book), **self.clock.environment}
            self.daemon = stack.enter_context(
                Daemon(self._config(), folder, environment=environment, module="support.witness")
            )
            self._wait_ready()
            self._go()
            self._come_to_rest()
            self._check()

    def _spot(self, stack: ExitStack) -> Spot:
        at, times = 4.0, []
        while at < self.seconds * 2 + 300:
            length = self.chance.uniform(7.0, 18.0) * SCALE
            times.append((at, at + length))
            at += length + self.chance.uniform(3.0, 16.0) * SCALE
        camera = stack.enter_context(FakeCamera(Scene(160, 120, fps=8.0, blocks=visits(*times))))
        return Spot(camera, [(camera.zero + begin, camera.zero + end) for begin, end in times])

    def _go(self) -> None:
        end, said = time.monotonic() + self.seconds, time.monotonic()
        deck: list[Callable[[Chaos], None]] = []
        while (now := time.monotonic()) < end:
            if now > said + 60:
                said = now
                self.say(
                    f"{end - now:6.0f} s left, {self.looks} looks, {self.judged} judged, {self.kills} kills"
                )
            deck = deck or self.chance.sample(TROUBLES, len(TROUBLES))
            trouble = deck.pop()
            self._trace(trouble.__name__)
            trouble(self)
            self._rest(
                self.chance.choice((0.0, self.chance.uniform(0, 3), self.chance.uniform(4, 14) * SCALE))
            )

    def _trace(self, what: str) -> None:
        self.daemon.lines.append(f"=== {time.monotonic():.2f} {what}\n")

    # what goes wrong

    def reload(self) -> None:
        """Change something, and wait until the daemon goes on with it."""
        self._prepare()
        with self._heard(("applied", "unchanged")):
            os.kill(self.daemon.pid, signal.SIGHUP)
        self._settle()

    def refuse(self) -> None:
        """Break the file: all goes on as it was, and is judged as if nothing had happened."""
        good = self.daemon.config_file.read_text()
        self.daemon.config_file.write_text(good.replace("classes:", "clases:"))
        with self._heard(("refused",)):
            os.kill(self.daemon.pid, signal.SIGHUP)
        self.daemon.config_file.write_text(good)

    def kill9(self) -> None:
        """Kill it, and change the file meanwhile, or not."""
        self._kill()
        if self.chance.random() < 0.5:
            self._prepare()
        self._start()

    def kill_in_reload(self) -> None:
        """Kill it at some moment of a reload."""
        self._prepare()
        os.kill(self.daemon.pid, signal.SIGHUP)
        self._rest(self.chance.uniform(0.0, 1.0))
        self._kill()
        self._start()

    def kill_in_start(self) -> None:
        """Kill it, and again while it starts."""
        self._kill()
        self.daemon.start()
        time.sleep(self.chance.uniform(0.1, 2.5))
        self._kill()
        self._start()

    def restart(self) -> None:
        """Stop it as a service manager does, and start it again."""
        if self.chance.random() < 0.3:
            self._prepare()
        self.calm.clear()
        assert self.daemon.terminate(12) == 0, "it did not end well"
        self._start()

    def fill(self) -> None:
        """Leave no byte on its disk for a while; half of the time a reload meets that."""
        end = time.monotonic() + self.chance.uniform(4.0, 15.0)
        while time.monotonic() < end:
            self.disk.fill()  # again and again: the ballast, too
            self._rest(0.5)
        if self.chance.random() < 0.5:
            self.reload()
        self.disk.clear()
        self._until(
            lambda: self.daemon.metric("tocsin_outbox_degraded") == 0, 40, "the disk to be used again"
        )

    def set_clock(self) -> None:
        """Set its clock, by no more than receivers bear."""
        self.clock.set(self.chance.choice((-120.0, -60.0, 0.0, 60.0, 120.0)))

    def hurt_worker(self) -> None:
        """Stop or break the process that reads one of the cameras."""
        name, one = self.chance.choice(list(self.site.streams.items()))
        port = self.spots[one["camera"]].camera.port
        for pid in established(self.daemon.leftovers(), port):
            kill(pid, self.chance.choice((signal.SIGSTOP, signal.SIGSEGV, signal.SIGKILL)))
            self._trace(f"worker {pid} of {name}")

    def cut_camera(self) -> None:
        """Have a camera hang up on everybody."""
        spot = self.chance.choice(self.spots)
        if spot.camera.playing:
            spot.camera.reset()

    def _kill(self) -> None:
        self.calm.clear()
        self.daemon.kill9()
        self.kills += 1
        self.breaks.append(time.monotonic())

    def _start(self) -> None:
        self.daemon.start()
        self._wait_ready()
        self._settle()

    def _wait_ready(self) -> None:
        self.calm.clear()
        self._until(lambda: self.daemon.get("/readyz")[0] == 200, READY_S, "the daemon to be ready")

    # what the file says

    def _prepare(self) -> None:
        """Write a file with up to three changes; what it concerns is not judged before it is known to be taken."""
        self.coming = deepcopy(self.site)
        for change in self.chance.choices(CHANGES, k=self.chance.randint(1, 3)):
            change(self.chance, self.coming)
        if self.chance.random() < 0.3:
            self._sign(*self.chance.choice(((SECRET, OTHER), (OTHER, SECRET))))
        before, after = self.site.watched(), self.coming.watched()
        gone = {key for key in before if key not in after or self._moved(key)}
        self.told = {place: one for place, one in self.told.items() if place[:2] not in gone}
        changed = sorted({"/".join(key) for key, _ in before.items() ^ after.items()})
        self._trace(f"changes {changed}, webhooks {list(self.coming.hooks)}")
        self.daemon.write_config(self._config())

    def _moved(self, key: Key) -> bool:
        assert self.coming is not None, "it is about to change"
        return self.site.streams[key[0]]["camera"] != self.coming.streams[key[0]]["camera"]

    def _settle(self) -> None:
        self.site, self.coming = self.coming or self.site, None

    @contextmanager
    def _heard(self, results: Collection[str]) -> Iterator[None]:
        """Wait until one more reload came out so, and what runs is what the file says, where that is right."""

        def heard() -> float:
            return sum(self.daemon.metric("tocsin_config_reloads_total", result=one) for one in results)

        before = heard()
        yield
        self._until(lambda: heard() > before, TAKEN_S, f"a reload to be {results}")
        if "applied" in results:
            runs = json.loads(self.daemon.get("/readyz")[1])["parts"]["configuration"]["digest"]
            assert runs == load(self.daemon.config_file).digest, "what runs is not what the file says"

    def _sign(self, secret: str, previous: str) -> None:
        canary.watch(secret, previous)
        for name, text in (("secret", secret), ("previous", previous)):
            (self.folder / name).touch(0o600)
            (self.folder / name).write_text(text)

    def _config(self) -> dict[str, Any]:
        site = self.coming or self.site
        wanted = {"book": ["alarm.*", "stream.*", "detector.*", "delivery.*", "outbox.*"], **site.hooks}
        secrets = {
            "secret": {"file": str(self.folder / "secret")},
            "previous_secret": {"file": str(self.folder / "previous")},
        }
        config = {
            "http": {"listen": self.listen},
            "state_dir": str(self.disk.path),
            "detector": {"model": str(self.model), "device": "cpu"},
            "streams": [
                stream(
                    name,
                    self.spots[one["camera"]].camera.url,
                    max_fps=one["max_fps"],
                    rules=one["rules"],
                    transport="tcp",
                )
                for name, one in site.streams.items()
            ],
            "rules": [{"name": name, **one} for name, one in site.rules.items()],
            "webhooks": [
                {"name": name, "url": self.receivers[name].url, "events": events, **secrets}
                for name, events in wanted.items()
            ],
        }
        return dict(json.loads(json.dumps(config)))  # nothing twice in it, lest YAML refers to it

    # what is seen

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._look()
            time.sleep(0.02)  # the tick of the script, not a wait for something

    def _until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        until(lambda: self._look() or condition(), timeout, what)

    def _look(self) -> None:
        """Compare what is open with who is there, five times a second."""
        if (began := time.monotonic()) < self._looked + LOOK_S:
            return
        self._looked = began
        self._weather(began)
        assert self.daemon.is_running, f"the daemon ended with exit code {self.daemon.exit_code}"
        try:
            seen = self._ask("status")
        except ControlError:
            self.calm.clear()
            return
        if (now := time.monotonic()) > began + 1.0:  # nobody knows of which moment the answer tells
            return
        self.looks += 1
        alarms = {(one["stream"], one["rule"]): one["alarm_id"] for one in seen["alarms"]}
        for key in self._calm(seen, now):
            self._compare(key, alarms.get(key), now)

    def _calm(self, seen: dict[str, Any], now: float) -> list[Key]:
        """Return what is watched without a doubt: a stream that is live, by a rule that is not about to change."""
        live = {
            one["stream"]
            for one in seen["streams"]
            if one["state"] == "live" and (one["last_frame_age_seconds"] or 0.0) < 1.0
        }
        coming = (self.coming or self.site).watched()
        watched = {
            key: words
            for key, words in self.site.watched().items()
            if key[0] in live and coming.get(key) == words
        }
        self.calm = {
            key: known if (known := self.calm.get(key)) is not None and known[0] == words else (words, now)
            for key, words in watched.items()
        }
        return list(watched)

    def _ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return request(self.disk.path / CONTROL_SOCKET, command, timeout=2.0, **arguments)

    def _compare(self, key: Key, alarm: str | None, now: float) -> None:
        visitor, since = self.spots[self.site.streams[key[0]]["camera"]].at(now)
        for_seconds = now - max(since, self.calm[key][1])
        self.judged += 1
        if visitor is None:
            assert alarm is None or for_seconds < ENDED_WITHIN_S * SCALE, (
                f"{key} holds {alarm} open, {for_seconds:.1f} s after the last visitor, at {now:.2f}"
            )
            return
        assert alarm is not None or for_seconds < RAISED_WITHIN_S * SCALE, (
            f"{key} has raised nothing {for_seconds:.1f} s after a visitor came, at {now:.2f}"
        )
        if alarm is not None and now - since > SAME_AFTER_S * SCALE:
            before = self.told.setdefault((*key, visitor), alarm)
            assert alarm == before, f"{key} raised {before} and {alarm} for one visitor, at {now:.2f}"

    def _weather(self, now: float) -> None:
        """The moods of two receivers: each takes what comes, is in trouble, hangs or is away."""
        for name in ("near", "far"):
            if now < self._moods.get(name, 0.0):
                continue
            receiver = self.receivers[name]
            if not receiver.is_up:
                receiver.up()
            mood = self.chance.choice((*[204] * 4, 500, 410, Answer(429, {"Retry-After": "2"}), *HANGS, None))
            self._moods[name] = now + self.chance.uniform(1.0, 8.0)
            if mood is None:
                receiver.down()
                self.breaks.append(time.monotonic())
            else:
                receiver.answer(mood)

    # what must hold in the end

    def _come_to_rest(self) -> None:
        """All that there is watches and listens again, and what waits for a receiver is let go."""
        self._trace("come to rest")
        self.clock.set(0.0)
        for name, receiver in self.receivers.items():
            self._moods[name] = float("inf")
            if not receiver.is_up:
                receiver.up()
            receiver.answer(204)
        self.coming = initial()
        self.daemon.write_config(self._config())
        with self._heard(("applied", "unchanged")):
            os.kill(self.daemon.pid, signal.SIGHUP)
        self._settle()
        for name in self.receivers:
            self._ask("outbox.retry", webhook=name)

        def waiting() -> int:
            return sum(one["queued"] for one in self._ask("status")["queues"])

        self._until(lambda: waiting() == 0, DRAIN_S, "what waits to arrive")
        assert self.daemon.terminate(12) == 0, "it did not end well"

    def _check(self) -> None:
        with closing(sqlite3.connect(self.disk.path / OUTBOX_FILE)) as outbox:
            rows = outbox.execute(
                "SELECT number, webhook, state, id, type, alarm_id, body FROM deliveries JOIN events ON id = event"
                " ORDER BY number"
            ).fetchall()
            left = {alarm for (alarm,) in outbox.execute("SELECT alarm_id FROM alarms WHERE ended IS NULL")}
        queued = {id_ for _, _, state, id_, *_ in rows if state == "queued"}
        assert queued <= {row[3] for row in rows[-20:]}, "only what came with the end waits"
        all_ = [row for row in rows if row[1] == "book"]
        check_order([(kind, alarm, json.loads(body)["data"]) for *_, kind, alarm, body in all_], left)
        promised = set(self.book.read_text().split())
        for name, receiver in self.receivers.items():
            mine = [row for row in rows if row[1] == name and row[2] != "queued"]
            raised = {row[5] for row in mine if row[4] == "alarm.raised"}
            committed = promised - queued if name == "book" else {row[3] for row in mine}
            verdict = judge(sorted(committed), receiver.requests, self.breaks, self.kills)
            # a webhook that came while an alarm was open hears of its end alone
            verdict = replace(verdict, disordered=verdict.disordered & raised)
            self.say(f"{name}: {verdict}")
            assert verdict.is_sound, f"{name}: {verdict.lost or verdict}"
            whole = [one for one in receiver.refused if not any(abs(one.at - at) < 1.0 for at in self.breaks)]
            assert not whole, f"{name}, and no kill cut it off: {whole[0].why}, {whole[0].headers}"
        wrong = [line for line in self.daemon.lines if "Traceback" in line]
        assert not wrong, wrong[0]
        alarms = sum("alarm raised" in line for line in self.daemon.lines)
        starved = sum("outbox refuses changes" in line for line in self.daemon.lines)
        self.say(
            f"{self.looks} looks, {self.judged} judged, {self.kills} kills, {alarms} alarms, {starved} full disks"
        )


HANGS = (Answer(None, delay=3.0), Answer(None, delay=20.0), Answer(None))

TROUBLES: tuple[Callable[[Chaos], None], ...] = (
    *[Chaos.reload] * 5,
    Chaos.refuse,
    *[Chaos.kill9] * 2,
    Chaos.kill_in_reload,
    Chaos.kill_in_start,
    Chaos.restart,
    Chaos.fill,
    Chaos.set_clock,
    Chaos.hurt_worker,
    Chaos.cut_camera,
)
