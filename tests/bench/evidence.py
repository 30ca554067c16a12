"""What pictures and clips of alarms cost: the alarm's way to its receiver, the age of frames, memory.

    python tests/bench/evidence.py [--streams 8] [--turns 30] [--bursts 8] [--fps 2]

The whole daemon but for its command line: 1080p25 streams of 4 Mbit/s at `--fps` analysed frames a second, the
bundled detector, a receiver in a process of its own. What is seen is written in a script, turn by turn with
evidence and without, so that whatever else the machine does falls on both alike; the video is kept in both.
"""

import argparse
import json
import logging
import math
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
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
"""Seconds after which the alarms of a turn have ended and its clips are whole."""

BOX = (0.4, 0.4, 0.5, 0.6)


@dataclass
class Script:
    """What is seen on which stream, and what came of it; filled by the engine's thread and by those that look."""

    shown: dict[str, Collection[str]] = field(default_factory=dict)
    ages: list[float] = field(default_factory=list)
    raised: dict[str, float] = field(default_factory=dict)
    pictures: list[float] = field(default_factory=list)
    missing: int = 0
    entered: float = 0.0
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(32))

    def look(self, url: str, since: float) -> None:
        """Follow a link at once, as a receiver does, and again while the picture is being made."""
        while True:
            try:
                with urllib.request.urlopen(url, timeout=20) as answer:
                    answer.read()
            except urllib.error.HTTPError as error:
                if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                    continue  # the endpoint waits for it
                self.missing += 1
            else:
                self.pictures.append(time.monotonic() - since)
            return


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
        for event in change.events:
            if event.type is EventType.ALARM_RAISED:
                script.raised[event.id] = script.entered
                if event.data.picture:
                    script.pool.submit(script.look, event.data.picture["url"], script.entered)
        return commit(self, change, *more)

    Lookout.seen, Outbox.commit = see, hear  # type: ignore[method-assign]
    try:
        yield
    finally:
        Lookout.seen, Outbox.commit = seen, commit  # type: ignore[method-assign]


def configuration(clip: Path, state: Path, port: int, streams: int, fps: float) -> dict[str, Any]:
    """So many streams, a rule for each class, one receiver."""
    about = {"min_score": 0.5, "confirm": {"hits": HIT, "of": HIT, "within": "5s"}, "end_after": "300ms"}
    evidence = {"before": "5s", "after": f"{AFTER:g}s"}
    stream = {"source": f"file:{clip}", "loop": True, "max_fps": fps, "rules": list(CLASSES)}
    return {
        "streams": [{"name": f"s{n}", **stream, "evidence": dict(evidence)} for n in range(streams)],
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
    """What alarms came of a turn, by their events, and how old frames were meanwhile."""

    raised: dict[str, float]
    ages: list[float]


def turn(script: Script, shown: dict[str, Collection[str]], fps: float) -> Turn:
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
    return Turn(script.raised, script.ages)


def at(ordered: list[float], share: float) -> float:
    """The value in milliseconds below which that share lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3


def line(name: str, seconds: list[float]) -> str:
    """Median, p99 and the most."""
    found = sorted(seconds) or [math.nan]
    return f"  {name:<34} median {at(found, 0.5):6.1f} ms   p99 {at(found, 0.99):6.1f}   of {len(seconds)}"


def compare(name: str, bare: list[float], kept: list[float]) -> None:
    """Print both, and the ratio of their p99."""
    print(line(f"{name}, without", bare))
    print(line(f"{name}, with", kept))
    print(f"  {'with / without':<34} median {at(sorted(kept), 0.5) / at(sorted(bare), 0.5):6.2f}", end="")
    print(f"      p99 {at(sorted(kept), 0.99) / at(sorted(bare), 0.99):6.2f}", flush=True)


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
    options.add_argument("--fps", type=float, default=2.0)
    given = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder, receiver() as (port, pipe):
        spare_workers()
        clip, _ = make_clip(Path(folder))
        held(clip)
        script = Script()
        content = json.dumps(configuration(clip, Path(folder) / "state", port, given.streams, given.fps))
        config = loads(content.encode(), name="bench", folder=Path(folder))
        with directed(script):
            app = App(config, resolve_secrets(config))
            app.start()
            stop = threading.Event()
            running = threading.Thread(target=app.run, args=(stop,))
            running.start()
            try:
                run(app, script, given, lambda: told(pipe))
            finally:
                stop.set()
                running.join()
                app.stop()


def run(app: App, script: Script, given: argparse.Namespace, came: Any) -> None:
    """Alarms of few streams, then many at once, turn by turn with evidence and without."""
    archive = app._keeping.archive
    assert archive is not None, "the disk lets evidence be kept"
    kept = archive.settings
    ways = {False: replace(kept, wanted={}), True: kept}
    time.sleep(10.0)  # until the rings are full
    half = given.streams // 2
    few = {f"s{n}": CLASSES[:1] for n in range(half)}
    many = {f"s{n}": CLASSES[: 3 if n < half else 2] for n in range(given.streams)}
    for shown, turns in ((few, given.turns), (many, given.bursts)):
        found: dict[bool, list[Turn]] = {False: [], True: []}
        script.pictures, script.missing = [], 0
        for number in range(2 * turns):
            wanted = bool(number % 2) ^ bool(number // 2 % 2)  # neither is always the first of two
            archive.settings = ways[wanted]
            found[wanted].append(turn(script, shown, given.fps))
        posts = came()
        late = {
            wanted: [posts[event] - since for one in found[wanted] for event, since in one.raised.items()]
            for wanted in found
        }
        count = sum(len(names) for names in shown.values())
        print(
            f"{count} alarms at once on {given.streams} streams, {turns} turns with evidence and {turns} without:"
        )
        compare("raised -> first POST", late[False], late[True])
        ages = {wanted: [age for one in found[wanted] for age in one.ages] for wanted in found}
        compare("frame age", ages[False], ages[True])
        print(
            line("raised -> picture can be had", script.pictures) + f", {script.missing} missing", flush=True
        )


if __name__ == "__main__":
    main()
