"""What pictures and clips of alarms cost: the alarm's way to its receiver, the age of frames, memory.

    python tests/bench/evidence.py [--streams 8] [--turns 30] [--bursts 8] [--rounds 2] [--fps 2]

The whole daemon but for its command line: 1080p25 streams of 4 Mbit/s at `--fps` analysed frames a second, the
bundled detector, and a receiver that follows each link at once, in processes of their own. What is seen is written
in a script. A daemon with `evidence` has something made of each alarm in one of two turns ("made") and nothing in
the other ("kept": the video alone), so that whatever else the machine does falls on both alike; in each round
another daemon without `evidence` has its turns before it or after it ("none"). A turn begins when all that came of
the one before is done. Alarms of one turn are no independent samples: the intervals come of drawing whole turns.
"""

import argparse
import json
import logging
import math
import multiprocessing
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
import structlog
from capture import make_clip
from delivery import receiver, told
from measure import spare_workers

from tocsin.app import App
from tocsin.assembly import LEAST_REEL, REEL_BYTES
from tocsin.config.load import loads, resolve_secrets
from tocsin.deliver.event import EventType
from tocsin.deliver.outbox import Outbox
from tocsin.evidence.reel import Leader, Reel
from tocsin.lookout import Lookout

CLASSES = ("person", "bicycle", "car")
HIT = 2
"""Frames in a row that raise an alarm."""

AFTER = 2.0
"""Seconds that a clip goes on after the alarm."""

REST = 3.0
"""Seconds after which the alarms of a turn have ended."""

DRAWS = 1000
"""Of turns, for the intervals."""

BOX = (0.4, 0.4, 0.5, 0.6)


@dataclass
class Script:
    """What is seen on which stream, and what came of it, for the engine's thread; `links` goes to who looks."""

    links: Connection
    shown: Mapping[str, Collection[str]] = field(default_factory=dict)
    ages: list[float] = field(default_factory=list)
    raised: dict[str, float] = field(default_factory=dict)
    entered: float = 0.0

    def looked(self) -> list[float]:
        """After how many seconds each picture could be had since this was asked last, infinite where never."""
        self.links.send(None)
        found: list[float] = self.links.recv()
        return found


def look(url: str, since: float) -> float:
    """Follow a link, again while the picture is being made, and return the seconds until it was there."""
    while True:
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                continue  # the endpoint waits for it
            return math.inf
        return time.monotonic() - since


def follow(links: Connection) -> None:
    """Look at every link that comes; tell what came of them when asked."""
    with ThreadPoolExecutor(32) as pool:
        looks = []
        while True:
            said = links.recv()
            if said is None:
                links.send([one.result() for one in looks])
                looks = []
            else:
                looks.append(pool.submit(look, *said))


@contextmanager
def onlooker() -> Iterator[Connection]:
    """Yield the pipe to a process that follows links."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=follow, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


@contextmanager
def directed(script: Script) -> Iterator[None]:
    """Let the daemon see what the script says, and the script hear of what it raises."""
    seen, commit = Lookout.seen, Outbox.commit

    def see(self, frame, detections):  # type: ignore[no-untyped-def]
        script.entered = time.monotonic()
        script.ages.append(script.entered - frame.at)
        names = script.shown.get(frame.stream, ())
        shown = replace(
            detections,
            boxes=np.array([BOX] * len(names), np.float32).reshape(-1, 4),
            scores=np.full(len(names), 0.9, np.float32),
            classes=np.array([detections.labels.index(name) for name in names], np.int64),
            pixels=np.full((len(names), 2), 40, np.float32),
            views=np.zeros(len(names), np.int64),
        )
        seen(self, frame, shown)

    def hear(self, change, *more):  # type: ignore[no-untyped-def]
        answer = commit(self, change, *more)
        for event in change.events:
            if event.type is EventType.ALARM_RAISED:
                script.raised[event.id] = script.entered
                if event.data.picture:
                    script.links.send((event.data.picture["url"], script.entered))
        return answer

    Lookout.seen, Outbox.commit = see, hear  # type: ignore[method-assign]
    try:
        yield
    finally:
        Lookout.seen, Outbox.commit = seen, commit  # type: ignore[method-assign]


def configuration(
    clip: Path, state: Path, port: int, given: argparse.Namespace, keeps: bool
) -> dict[str, Any]:
    """So many streams, a rule for each class, one receiver."""
    about = {"min_score": 0.5, "confirm": {"hits": HIT, "of": HIT, "within": "5s"}, "end_after": "300ms"}
    evidence: dict[str, Any] = {"before": "5s", "after": f"{AFTER:g}s"}
    if not keeps:
        evidence = {"pictures": False, "clip": False}
    stream = {"source": f"file:{clip}", "loop": True, "max_fps": given.fps, "rules": list(CLASSES)}
    return {
        "streams": [{"name": f"s{n}", **stream, "evidence": dict(evidence)} for n in range(given.streams)],
        "rules": [{"name": name, "classes": [name], **about} for name in CLASSES],
        "webhooks": [
            {
                "name": "hook",
                "url": f"http://127.0.0.1:{port}/",
                "secret": "whsec_" + "MDEy" * 8,
                "events": ["alarm.*"],
            }
        ],
        "http": {"listen": "127.0.0.1:0"},
        "state_dir": str(state),
    }


@dataclass(frozen=True, slots=True)
class Turn:
    """The seconds to each first POST and to each picture, and how old frames were meanwhile."""

    late: list[float]
    pictures: list[float]
    ages: list[float]


Shown = Mapping[str, Collection[str]]
Found = dict[tuple[int, str], list[Turn]]
"""Turns by the number of alarms, and by what was made of them."""


def turn(app: App, script: Script, shown: Shown, fps: float, pipe: Connection) -> Turn:
    """Show something for as many frames as raise an alarm, and wait until all of it is over."""
    script.raised, script.ages = {}, []
    wanted = sum(len(names) for names in shown.values())
    script.shown = shown
    deadline = time.monotonic() + 30.0
    while len(script.raised) < wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    script.shown = {}
    time.sleep(AFTER + REST + 2 / fps)
    assert len(script.raised) == wanted, f"{wanted} alarms, found {len(script.raised)}"
    archive = app._keeping.archive
    assert archive is not None, "the disk lets evidence be kept"
    while archive._requests:
        time.sleep(0.01)
    posts = told(pipe)
    return Turn(
        [posts[event] - since for event, since in script.raised.items()], script.looked(), script.ages
    )


def at(seconds: list[float], share: float) -> float:
    """The value in milliseconds below which that share lies."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1e3


def pooled(turns: list[list[float]]) -> list[float]:
    return [one for turn in turns for one in turn]


def line(name: str, turns: list[list[float]]) -> None:
    """Print median, p99 and the slowest; nothing of nothing."""
    found = pooled(turns)
    if found:
        told = (
            f"median {at(found, 0.5):7.1f} ms   p99 {at(found, 0.99):7.1f}   slowest {max(found) * 1e3:7.1f}"
        )
        print(f"  {name:<34} {told}   of {len(found)} in {len(turns)} turns", flush=True)


def ratio(above: list[list[float]], below: list[list[float]], share: float) -> str:
    """Return the ratio at that share, and the interval of 95 % of the ratios of turns that are drawn again."""
    chance = np.random.default_rng(0)

    def drawn(turns: list[list[float]]) -> float:
        return at(pooled([turns[n] for n in chance.integers(len(turns), size=len(turns))]), share)

    low, high = np.quantile([drawn(above) / drawn(below) for _ in range(DRAWS)], (0.025, 0.975))
    return f"{at(pooled(above), share) / at(pooled(below), share):5.2f} [{low:.2f} to {high:.2f}]"


def report(found: Found) -> None:
    """Print all of it, and what it comes to."""
    for count in sorted({count for count, _ in found}):
        ways = {way: turns for (number, way), turns in found.items() if number == count}
        print(f"{count} alarms at once:")
        for name, of in (("raised -> first POST", "late"), ("frame age", "ages")):
            values = {way: [getattr(one, of) for one in turns] for way, turns in ways.items()}
            for way in ("none", "kept", "made"):
                line(f"{name}, {way}", values[way])
            for below in ("none", "kept"):
                both = values["made"], values[below]
                print(
                    f"  {'made / ' + below:<34} median {ratio(*both, 0.5)}   p99 {ratio(*both, 0.99)}",
                    flush=True,
                )
        line("raised -> picture can be had", [one.pictures for one in ways["made"]])


def held(clip: Path) -> None:
    """The most bytes that the default ring holds of the clip."""
    reel, most, total, end = Reel(LEAST_REEL, round(LEAST_REEL * REEL_BYTES)), 0, 0, 0.0
    keys: list[float] = []
    with av.open(str(clip)) as source:
        video = source.streams.video[0]
        reel.opened(Leader(video))
        for number, packet in enumerate(one for one in source.demux(video) if one.size):
            end = number / 25
            reel.keep(packet, number, end)
            keys += [end] if packet.is_keyframe else []
            most, total = max(most, reel.bytes), total + packet.size
    every = statistics.median(np.diff(keys)) if len(keys) > 1 else end
    rate = total * 8 / end / 1e6
    print(
        f"packets of a stream: {most / 1e6:.1f} MB at most at {rate:.1f} Mbit/s, a keyframe every {every:.1f} s;"
        f" that is {most / 1e6 * 4 / rate:.1f} MB at 4 Mbit/s"
    )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--streams", type=int, default=8)
    options.add_argument("--turns", type=int, default=30)
    options.add_argument("--bursts", type=int, default=8)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--fps", type=float, default=2.0)
    given = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder, receiver() as (port, pipe), onlooker() as links:
        spare_workers()
        clip, _ = make_clip(Path(folder))
        held(clip)
        script, found = Script(links), Found()
        with directed(script):
            for number in range(2 * given.rounds):
                keeps = bool(number % 2) ^ bool(number // 2 % 2)  # neither is always the first of two
                state = Path(folder) / f"state{number}"
                config = json.dumps(configuration(clip, state, port, given, keeps))
                with daemon(config.encode(), Path(folder)) as app:
                    run(app, script, given, pipe, found, ("kept", "made") if keeps else ("none",))
        report(found)


@contextmanager
def daemon(content: bytes, folder: Path) -> Iterator[App]:
    """Run a daemon while the block lasts, for which its rings are full."""
    config = loads(content, name="bench", folder=folder)
    app = App(config, resolve_secrets(config))
    app.start()
    stop = threading.Event()
    running = threading.Thread(target=app.run, args=(stop,))
    running.start()
    try:
        time.sleep(10.0)
        yield app
    finally:
        stop.set()
        running.join()
        app.stop()


def run(
    app: App, script: Script, given: argparse.Namespace, pipe: Connection, found: Found, ways: tuple[str, ...]
) -> None:
    """Alarms of few streams, then many at once, with all ways turn by turn."""
    archive = app._keeping.archive
    assert archive is not None, "the disk lets evidence be kept"
    kept = archive.settings
    half = given.streams // 2
    few = {f"s{n}": CLASSES[:1] for n in range(half)}
    many = {f"s{n}": CLASSES[: 3 if n < half else 2] for n in range(given.streams)}
    for shown, turns in ((few, given.turns), (many, given.bursts)):
        count = sum(len(names) for names in shown.values())
        for number in range(-(-turns // given.rounds)):
            for way in ways if number % 2 else ways[::-1]:
                archive.settings = kept if way == "made" else replace(kept, wanted={})
                one = turn(app, script, shown, given.fps, pipe)
                found.setdefault((count, way), []).append(one)


if __name__ == "__main__":
    main()
