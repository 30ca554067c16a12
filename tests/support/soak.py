"""Eight fake cameras with a random fault every few seconds, watched by the real daemon."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from support.access import Login
from support.camera import FakeCamera
from support.daemon import Daemon, Metrics, select
from support.footprint import Footprint, established, footprint, fork_server, workers
from support.process import is_alive, kill
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import SCALE, until

CAMERAS = 8
EVERY_S = 2.5
"""From one fault to the next, on average."""
SAMPLE_S = 2.0
WARM_UP_S = 15.0

BACK_WITHIN_S = 35.0
LOCKED_S = 330.0
"""A refused password is tried again after five minutes and a tenth."""
MUST_FIRE_S = 50.0
KILLED_WITHIN_S = 11.0
"""Ten seconds and a turn of the supervisor."""

VISIT_EVERY_S, VISIT_S = 15.0, 4.0
LATE_S = 3.0
"""From the end of a visit to the latest moment at which its alarm may come."""

USER = "soak"
PASSWORD = "soak-canary p4ss/w@rd"  # what must be nowhere
METHODS = ("OPTIONS", "DESCRIBE", "SETUP", "PLAY")

MAY_GROW = {"daemon_mb": 15.0, "worker_mb": 6.0, "descriptors": 8.0, "threads": 1.0, "processes": 2.0}
"""By so much the line through the samples may rise from the end of the warm-up to the end of the run. Within a
minute, a worker that is being replaced tilts it by its four descriptors; start and end are compared exactly."""


@dataclass(slots=True)
class Spot:
    """One camera with its stream; `fault` is what is wrong with it now."""

    name: str
    camera: FakeCamera
    scene: Scene
    has_visitors: bool
    fault: str = ""
    back_by: float = 0.0
    locked_at: float | None = None
    frozen_until: float = 0.0


@dataclass(slots=True)
class Active:
    """A fault that is going on, until `over` and at least until it has `fired`."""

    kind: str
    spot: Spot
    stack: ExitStack
    over: float
    fired: Callable[[], bool]
    began: float = field(default_factory=time.monotonic)


def scene(width: int, height: int, zero: float, visited: bool, seconds: float) -> Scene:
    """What a camera shows from now on, when its visitors come at fixed times after the monotonic time `zero`."""
    passed = time.monotonic() - zero
    times = np.arange(0.0, seconds, VISIT_EVERY_S) + VISIT_EVERY_S / 2 - passed
    blocks = visits(*((at, at + VISIT_S) for at in times if at + VISIT_S > 0)) if visited else ()
    return Scene(width, height, fps=8.0, blocks=blocks)


class Soak:
    """The run; `say` is told how it goes. Everything that is random comes from the seed."""

    def __init__(self, seconds: float, seed: int, say: Callable[[str], None]) -> None:
        self.seconds, self.say = seconds, say
        self.chance = random.Random(seed)
        self.fired: Counter[str] = Counter()
        self.samples: list[tuple[float, Footprint]] = []
        self.hung_s: list[float] = []
        self._deck: list[str] = []
        self._active: list[Active] = []
        self._must_restart = 0

    def run(self, model: Path, folder: Path) -> None:
        """Run and check; AssertionError says what did not hold."""
        with ExitStack() as stack:
            self.receiver = stack.enter_context(Receiver())
            self.zero = time.monotonic()
            self.spots = [self._spot(stack, number) for number in range(CAMERAS)]
            self.daemon = stack.enter_context(self._start(model, folder))
            self._wait_all_live(60.0)
            before = self._look()
            self._go()
            self._come_back()
            self._see_visitors()
            after = self._look()
            self._check_footprint(before, after)
            self._check_workers()
            self._check_alarms()
            self._check_log()
            assert self.daemon.terminate() == 0, "the daemon did not end well"

    def _spot(self, stack: ExitStack, number: int) -> Spot:
        has_visitors = number % 2 == 1
        login = Login(USER, PASSWORD) if number in (0, 5) else None
        shown = scene(160, 120, self.zero, has_visitors, self.seconds + 300)
        camera = stack.enter_context(FakeCamera(shown, login=login))
        return Spot(f"s{number}", camera, shown, has_visitors)

    def _start(self, model: Path, folder: Path) -> Daemon:
        streams = []
        for number, spot in enumerate(self.spots):
            login = {"username": USER, "password": {"env": "SOAK_PASSWORD"}} if number in (0, 5) else {}
            transport = "udp" if number in (6, 7) else "tcp"
            streams.append(stream(spot.name, spot.camera.url, transport=transport, **login))
        config = site(model, self.receiver, *streams, events=("alarm.*", "stream.*"))
        config["webhooks"][0]["secret"] = {"env": "SOAK_SECRET"}
        environment = {"SOAK_PASSWORD": PASSWORD, "SOAK_SECRET": self.receiver.secret}
        return Daemon(config, folder, environment=environment)

    def _go(self) -> None:
        began = time.monotonic()
        end, next_fault, next_sample, next_word = began + self.seconds, began, began, began + 60.0
        while (now := time.monotonic()) < end or self._active:
            if now >= next_sample:
                self.samples.append((now - began, self._look()))
                next_sample = now + SAMPLE_S
            if now >= next_fault and now < end:
                self._strike(end - now)
                next_fault = now + self.chance.uniform(0.5, 1.5) * EVERY_S
            if now >= next_word:
                self.say(self._word(now - began))
                next_word += 60.0
            self._mend(now)
            time.sleep(0.05)  # the tick of the script, not a wait for something

    def _word(self, elapsed: float) -> str:
        seen = self.samples[-1][1]
        return f"{elapsed:6.0f} s  {sum(self.fired.values()):4d} faults  {seen}"

    # faults

    def _strike(self, left: float) -> None:
        """Begin the next fault of the deck at a camera that plays undisturbed; none when there is none."""
        live = self._live(self.daemon.metrics())
        free = [
            spot for spot in self.spots if not spot.fault and spot.name in live and spot.camera.playing == 1
        ]
        if not free:
            return
        if not self._deck:
            self._deck = sorted(FAULTS)
            self.chance.shuffle(self._deck)
        kind = self._deck.pop()
        spot = self.chance.choice(free)
        if (
            kind == "401"
        ):  # for five minutes that camera is out of the game: one at a time, beyond the end the first
            if any(one.fault == "401" or self._is_locked(one) for one in self.spots):
                return
            if left < LOCKED_S + BACK_WITHIN_S:
                spot = self.spots[0]
            if spot not in free:
                self._deck.insert(0, kind)
                return
        stack = ExitStack()
        over = time.monotonic() + self.chance.uniform(1.0, 6.0)
        fired = stack.enter_context(FAULTS[kind](self, spot))
        spot.fault = kind
        self._active.append(Active(kind, spot, stack, over, fired))

    def _mend(self, now: float) -> None:
        for active in list(self._active):
            assert now - active.began < MUST_FIRE_S * SCALE, (
                f"the fault {active.kind} of {active.spot.name} never fired"
            )
            if now < active.over or not active.fired():
                continue
            active.stack.close()
            self._active.remove(active)
            self.fired[active.kind] += 1
            spot, spot.fault = active.spot, ""
            spot.back_by = time.monotonic() + BACK_WITHIN_S
            if active.kind == "401":
                spot.locked_at = time.monotonic()
            if active.kind == "freeze":
                spot.frozen_until = time.monotonic() + LATE_S

    @contextmanager
    def knobs(self, spot: Spot, cut: bool, **knobs: object) -> Iterator[Callable[[], bool]]:
        """Turn knobs of a camera; with `cut` its client is made to come again and meet them."""
        name = next(iter(knobs))
        count = spot.camera.faults.fired[name]
        with spot.camera.faults(**knobs):
            if cut:
                spot.camera.hang_up()
            yield lambda: spot.camera.faults.fired[name] > count

    @contextmanager
    def refuse(self, spot: Spot) -> Iterator[Callable[[], bool]]:
        def refused() -> float:
            failures = "tocsin_stream_connect_failures_total"
            return self.daemon.metric(failures, stream=spot.name, reason="refused")

        before = refused()
        with spot.camera.refusing():
            yield lambda: refused() > before

    @contextmanager
    def once(self, spot: Spot, harm: Callable[[FakeCamera], object]) -> Iterator[Callable[[], bool]]:
        """Do something to a camera that is over at once."""
        harm(spot.camera)
        yield lambda: True

    @contextmanager
    def resolution(self, spot: Spot) -> Iterator[Callable[[], bool]]:
        width, height = (240, 180) if spot.scene.width == 160 else (160, 120)
        spot.scene = scene(width, height, self.zero, spot.has_visitors, self.seconds + 300)
        spot.camera.show(spot.scene)
        yield lambda: True

    @contextmanager
    def worker(self, spot: Spot, number: int) -> Iterator[Callable[[], bool]]:
        """Send a signal to the process that reads this camera; over when it is gone."""
        pid = self._worker_of(spot)
        self._must_restart += 1
        began = time.monotonic()
        kill(pid, number)

        def is_gone() -> bool:
            return not is_alive(pid)

        yield is_gone
        if number == signal.SIGSTOP:
            self.hung_s.append(time.monotonic() - began)

    @contextmanager
    def fork_server(self, spot: Spot) -> Iterator[Callable[[], bool]]:
        """Kill the fork server, and a worker whose successor needs another one."""
        server = fork_server(self.daemon.pid)
        pid = self._worker_of(spot)
        self._must_restart += 1
        kill(server, signal.SIGKILL)
        kill(pid, signal.SIGKILL)
        yield lambda: not is_alive(pid) and fork_server(self.daemon.pid) not in (0, server)

    def _worker_of(self, spot: Spot) -> int:
        found = established(self.daemon.leftovers(), spot.camera.port)
        assert len(found) == 1, f"expected one process that reads {spot.name}, found {found}"
        return found[0]

    # what is seen

    def _look(self) -> Footprint:
        return footprint(self.daemon.pid, workers(self.daemon.pid, self.daemon.leftovers()))

    def _live(self, metrics: Metrics) -> set[str]:
        def value(name: str, spot: Spot) -> float:
            return sum(select(metrics, f"tocsin_{name}", {"stream": spot.name}))

        return {
            spot.name
            for spot in self.spots
            if value("stream_up", spot) and value("stream_last_frame_age_seconds", spot) < 2.0
        }

    def _wait_all_live(self, timeout: float) -> None:
        self.daemon.wait_ready(timeout)
        until(
            lambda: len(self._live(self.daemon.metrics())) == CAMERAS, timeout, "every camera to be watched"
        )

    def _come_back(self) -> None:
        """Every stream is live again in time; one whose password was refused is left alone meanwhile."""
        pending = [spot for spot in self.spots if not self._is_locked(spot)]
        while pending:
            live = self._live(self.daemon.metrics())
            pending = [spot for spot in pending if spot.name not in live]
            late = [
                spot.name for spot in pending if time.monotonic() > spot.back_by + (SCALE - 1) * BACK_WITHIN_S
            ]
            assert not late, f"not live {BACK_WITHIN_S:g} s after their last fault: {late}"
            time.sleep(0.2)
        for spot in filter(self._is_locked, self.spots):
            assert spot.locked_at is not None, "a locked one was locked"
            again = [at for at in spot.camera.accepted if at > spot.locked_at]
            assert not again, f"{spot.name} was tried {len(again)} times after its password was refused"

    def _see_visitors(self) -> None:
        """Each camera that has visitors raised an alarm; one where a fault hid each of them does so at the next."""
        visited = {spot.name for spot in self.spots if spot.has_visitors and not self._is_locked(spot)}

        def unseen() -> set[str]:
            messages = self.receiver.accepted
            return visited - {one.data["stream"] for one in messages if one.type == "alarm.raised"}

        deadline = time.monotonic() + (VISIT_EVERY_S + VISIT_S + LATE_S) * SCALE
        while missing := unseen():
            assert time.monotonic() < deadline, f"visitors of {sorted(missing)} were never seen"
            time.sleep(0.2)

    def _is_locked(self, spot: Spot) -> bool:
        return spot.locked_at is not None and time.monotonic() - spot.locked_at < 300.0

    def slopes(self) -> dict[str, float]:
        """Return how much each quantity rises a second, by least squares over the samples after the warm-up."""
        kept = [(at, seen) for at, seen in self.samples if at >= WARM_UP_S]
        times = [at for at, _ in kept]
        return {
            name: float(np.polyfit(times, [getattr(seen, name) for _, seen in kept], 1)[0])
            for name in MAY_GROW
        }

    # what must hold

    def _check_footprint(self, before: Footprint, after: Footprint) -> None:
        span = self.samples[-1][0] - WARM_UP_S
        self.say(f"before: {before}\nafter:  {after}")
        for name, slope in self.slopes().items():
            self.say(f"slope of {name}: {slope * 3600:+.2f} an hour, {slope * span:+.2f} over {span:.0f} s")
        grown = {
            name: round(slope * span, 2)
            for name, slope in self.slopes().items()
            if slope * span > MAY_GROW[name]
        }
        assert not grown, f"these grew over the run: {grown}"
        # up to four connections to the receiver are kept, and come and go with the alarms
        assert after.descriptors <= before.descriptors + 3 + 4, f"descriptors: {before} became {after}"
        assert after.processes <= before.processes, f"processes: {before} became {after}"
        assert after.threads <= before.threads + 1, f"threads: {before} became {after}"

    def _check_workers(self) -> None:
        restarts = self.daemon.metric("tocsin_stream_worker_restarts_total")
        assert restarts == self._must_restart, f"expected {self._must_restart} restarts, found {restarts:g}"
        self.say(f"hung workers were killed after {[round(one, 1) for one in self.hung_s]} s")
        assert all(one < KILLED_WITHIN_S * SCALE for one in self.hung_s)
        missing = FAULTS.keys() - self.fired.keys()
        self.say(f"faults: {dict(sorted(self.fired.items()))}")
        if self.seconds >= EVERY_S * 1.5 * (len(FAULTS) + 2):
            assert not missing, f"these faults never happened: {missing}"

    def _check_alarms(self) -> None:
        """An alarm belongs to a visitor that was there, on a camera that has any."""
        raised = [message for message in self.receiver.accepted if message.type == "alarm.raised"]
        visited = {spot.name: spot for spot in self.spots if spot.has_visitors}
        for message in raised:
            spot = visited.get(message.data["stream"])
            assert spot, f"an alarm for nobody on {message.data['stream']}"
            phase = (message.at - self.zero - VISIT_EVERY_S / 2) % VISIT_EVERY_S
            assert phase < VISIT_S + LATE_S * SCALE or message.at < spot.frozen_until + 10, (
                f"an alarm for nobody on {spot.name}, {phase:.1f} s after a visitor came"
            )
        kinds = Counter(message.type for message in self.receiver.accepted)
        self.say(f"events: {dict(sorted(kinds.items()))}")

    def _check_log(self) -> None:
        log = self.daemon.log
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
        for secret in (PASSWORD, self.receiver.secret, self.receiver.secret.removeprefix("whsec_")):
            assert secret not in log, "a secret is in the log"
        lines, faults = len(self.daemon.lines), sum(self.fired.values())
        self.say(f"log: {lines} lines, {lines / max(1, faults):.1f} for each fault")
        assert lines < 8 * faults + 60, f"the log is flooded: {lines} lines for {faults} faults"


FAULTS: dict[str, Callable[[Soak, Spot], AbstractContextManager[Callable[[], bool]]]] = {
    "refuse": Soak.refuse,
    "silent": lambda soak, spot: soak.knobs(spot, True, silent=True),
    "hang": lambda soak, spot: soak.knobs(spot, True, hang_on=soak.chance.choice(METHODS)),
    "404": lambda soak, spot: soak.knobs(spot, True, status={"DESCRIBE": 404}),
    "401": lambda soak, spot: soak.knobs(spot, True, status={"DESCRIBE": 401}),
    "PLAY and reset": lambda soak, spot: soak.knobs(spot, True, cut_after_play="reset"),
    "stall": lambda soak, spot: soak.knobs(spot, False, stall=True),
    "freeze": lambda soak, spot: soak.knobs(spot, False, freeze=True),
    "loss": lambda soak, spot: soak.knobs(spot, False, loss=0.2),
    "corruption": lambda soak, spot: soak.knobs(spot, False, corruption=0.2),
    "timestamps": lambda soak, spot: soak.knobs(
        spot, False, timestamp_shift_s=soak.chance.choice((-3600.0, 3600.0))
    ),
    "FIN": lambda soak, spot: soak.once(spot, FakeCamera.hang_up),
    "RST": lambda soak, spot: soak.once(spot, FakeCamera.reset),
    "resolution": Soak.resolution,
    "SIGSTOP": lambda soak, spot: soak.worker(spot, signal.SIGSTOP),
    "SIGKILL": lambda soak, spot: soak.worker(spot, signal.SIGKILL),
    "SIGSEGV": lambda soak, spot: soak.worker(spot, signal.SIGSEGV),
    "fork server": Soak.fork_server,
}
