"""How much of the bare decoding rate the capture path keeps, with one stream and with several.

    python tests/bench/capture.py [--turns 5] [--streams 1 2 4 8]

The clip is scaled to 1080p, 25 frames a second, 4 Mbit/s (x264 veryfast). Bare: as many processes as there are
streams each demux and decode it on one thread. Ours: as many capture workers demux, decode, shrink to 416, correct
and hand every frame over to this process, as fast as they can; and the same with 10 of the 25 frames a second.

With no more streams than cores the ratio says what capture adds to decoding; with more of them the cores are
shared, also with this process, and it says what is left of the machine's whole decoding rate. The second ratio is
that of the processor time that the decoders and the workers took: on a machine that does other things it holds,
and the first does not.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import structlog
from measure import processor_seconds, ratio, spare_workers

from tocsin.capture.order import Order, SourceOrder, ViewOrder
from tocsin.capture.status import StreamState
from tocsin.capture.supervisor import Supervisor
from tocsin.light.plan import Policy
from tocsin.resources import find


class _Deaf:
    """An observer that hears nothing."""

    def __getattr__(self, verb: str) -> Callable[..., None]:
        return lambda *_: None


def make_clip(folder: Path) -> tuple[Path, int]:
    """Return the clip at 1080p25, shown three times, and its number of frames."""
    path = folder / "1080p25.mp4"
    count = 0
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 1920, 1080, "yuv420p", 4_000_000
        for _ in range(3):
            with av.open(str(find("assets/pedestrians.mp4"))) as source:
                for frame in source.decode(video=0):
                    picture = frame.reformat(1920, 1080, format="yuv420p")
                    picture.pts, picture.time_base = count, Fraction(1, 25)
                    target.mux(stream.encode(picture))
                    count += 1
        target.mux(stream.encode())
    return path, count


Taken = tuple[float, float]
"""Seconds, by the clock and of a processor."""


def bare(path: Path, streams: int) -> Taken:
    """Return what it takes so many processes to demux and decode the file, on one thread each."""
    command = [sys.executable, "-c", _BARE, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    decoders = [subprocess.Popen(command, **pipes) for _ in range(streams)]  # type: ignore[call-overload]
    for decoder in decoders:
        assert decoder.stdout.readline(), "a decoder is ready"
    begun = time.perf_counter()
    for decoder in decoders:
        decoder.stdin.close()
    worked = sum(float(decoder.stdout.readline()) for decoder in decoders)
    taken = time.perf_counter() - begun
    for decoder in decoders:
        decoder.stdout.close()
        decoder.wait()
    return taken, worked


_BARE = """
import sys, time, av
print("ready", flush=True)
sys.stdin.read()
begun = time.process_time()
with av.open(sys.argv[1]) as container:
    container.streams.video[0].codec_context.thread_count = 1
    for _ in container.decode(video=0):
        pass
print(time.process_time() - begun, flush=True)
"""


def ours(path: Path, max_fps: float, streams: int) -> Taken:
    """Return what it takes so many workers from the first frame to the last."""
    source = SourceOrder(str(path), realtime=False)
    views = (ViewOrder(416, 416, keep_aspect=True),)
    orders = [Order(f"bench{number}", source, views, Policy(), max_fps) for number in range(streams)]
    supervisor = Supervisor(orders, _Deaf())  # type: ignore[arg-type]
    supervisor.start()
    begun = last = worked = 0.0
    while any(status.state is not StreamState.ENDED for status in supervisor.statuses()):
        for frame in supervisor.take(streams, 0.05):
            last = time.perf_counter()
            if not begun:
                begun, worked = last, _worked(supervisor)
            supervisor.release(frame)
    worked = _worked(supervisor) - worked
    supervisor.stop(time.monotonic() + 2)
    return last - begun, worked


def _worked(supervisor: Supervisor) -> float:
    """Return the processor time that the workers took until now."""
    workers = [keeper._worker for keeper in supervisor._keepers]
    return sum(processor_seconds(worker.pid) for worker in workers if worker is not None)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8])
    asked = options.parse_args()
    spare_workers()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        path, count = make_clip(Path(folder))
        print(f"capture path, {count} frames of 1080p25 H.264 a stream, {asked.turns} turns, {cores} cores")
        bare(path, 1)
        for streams in asked.streams:
            taken: dict[str, list[Taken]] = {"bare": [], "every frame": [], "10 of 25": []}
            for _ in range(asked.turns):
                taken["bare"].append(bare(path, streams))
                taken["every frame"].append(ours(path, 60.0, streams))
                taken["10 of 25"].append(ours(path, 10.0, streams))
            _print(taken, count, streams, cores)


def _print(taken: dict[str, list[Taken]], count: int, streams: int, cores: int) -> None:
    print(f" {streams} stream{'s' if streams > 1 else ''}, {min(streams, cores)} cores for them")
    clock, worked = ([one[which] for one in taken["bare"]] for which in (0, 1))
    for name, both in taken.items():
        seconds, processor = ([one[which] for one in both] for which in (0, 1))
        rate = count * streams / statistics.median(seconds) / min(streams, cores)
        print(
            f"  {name:<12} {rate:6.1f} frames/s a core   {ratio(clock, seconds):6.1%} of bare"
            f"   {ratio(worked, processor):6.1%} of its processor time",
            flush=True,
        )


if __name__ == "__main__":
    main()
