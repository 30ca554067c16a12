"""How much of the bare decoding rate the capture path keeps.

    python tests/bench/capture.py [--turns 5]

The clip is scaled to 1080p, 25 frames a second, 4 Mbit/s (x264 veryfast). Bare: one thread demuxes and decodes
it. Ours: a capture worker demuxes, decodes, shrinks to 416, corrects and hands every frame over to this process,
as fast as it can; and the same with 10 of the 25 frames a second.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import structlog
from measure import ratio

from tocsin.capture.keeper import StreamState
from tocsin.capture.order import Order, SourceOrder, ViewOrder
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


def bare(path: Path) -> float:
    """Return the seconds that demuxing and decoding take on one thread."""
    begun = time.perf_counter()
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass
    return time.perf_counter() - begun


def ours(path: Path, max_fps: float) -> tuple[float, int]:
    """Return the seconds from the first frame to the last, and how many came."""
    source = SourceOrder(str(path), realtime=False)
    order = Order("bench", source, (ViewOrder(416, 416, keep_aspect=True),), Policy(), max_fps)
    supervisor = Supervisor([order], _Deaf())  # type: ignore[arg-type]
    supervisor.start()
    count, begun, last = 0, 0.0, 0.0
    while supervisor.statuses()[0].state is not StreamState.ENDED:
        for frame in supervisor.take(1, 0.05):
            last = time.perf_counter()
            begun = begun or last
            count += 1
            supervisor.release(frame)
    supervisor.stop(time.monotonic() + 2)
    return last - begun, count


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--turns", type=int, default=5)
    turns = options.parse_args().turns
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        path, count = make_clip(Path(folder))
        taken: dict[str, list[float]] = {"bare": [], "every frame": [], "10 of 25": []}
        bare(path)
        for _ in range(turns):
            taken["bare"].append(bare(path))
            taken["every frame"].append(ours(path, 60.0)[0])
            taken["10 of 25"].append(ours(path, 10.0)[0])
    print(f"capture path, {count} frames of 1080p25 H.264, {turns} turns")
    for name, seconds in taken.items():
        rate = count / statistics.median(seconds)
        print(f"  {name:<12} {rate:6.1f} frames/s   {ratio(taken['bare'], seconds):6.1%} of bare")


if __name__ == "__main__":
    main()
