"""Makes the pictures of an augmented data set: in several processes, in one order, only what is not there yet."""

import contextlib
import hashlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from tocsin.augment.dataset import Loss, Source, label_target
from tocsin.augment.develop import Negative, Recipe, SizeError
from tocsin.augment.manifest import Line, Record
from tocsin.augment.output import write
from tocsin.augment.spread import dice, tag
from tocsin.errors import InputError, OutputError
from tocsin.footage.shown import shown
from tocsin.footage.simulate import Condition

_WINDOW = 4
"""Pictures handed out to each process before the first result is in: enough that none ever waits for work."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Job:
    """One source and the conditions that are to be made of it."""

    source: Source
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a job: the pictures that now lie on the disk, or why there are none."""

    job: Job
    lines: tuple[Line, ...]
    loss: tuple[Loss, str] | None = None


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every process is told once."""

    out: Path
    recipe: Recipe
    seed: int


def target(source: Source, condition: Condition) -> PurePosixPath:
    """Return where the picture of a source in a condition goes: `images/train/a__ev+2.jpg`."""
    return source.target.with_name(f"{source.target.stem}__{tag(condition)}{source.target.suffix}")


def make(job: Job, workshop: Workshop, stopped: Callable[[], bool] = lambda: False) -> Made:
    """Make the pictures of one job; once `stopped` it ends before the next picture.

    Raises OutputError where they cannot be written.
    """
    source = job.source
    try:
        data = source.path.read_bytes()
        negative = Negative(data, source.target.suffix.lower(), source.size)
    except FileNotFoundError:
        return Made(job, (), (Loss.MISSING, f"{_place(source)}: expected a picture, found no such file"))
    except OSError as error:
        found = error.strerror
        return Made(job, (), (Loss.UNREADABLE, f"{_place(source)}: expected a picture, found: {found}"))
    except SizeError as error:
        return Made(job, (), (Loss.SIZE, f"{_place(source)}: {error}"))
    except InputError as error:
        return Made(job, (), (Loss.UNREADABLE, f"{_place(source)}: {error}"))
    digest = hashlib.sha256(data).hexdigest()
    lines: list[Line] = []
    for condition in job.conditions:
        if stopped():
            break
        lines.append(_make_one(source, condition, negative, digest, len(data), workshop))
    return Made(job, tuple(lines))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, as its pictures' records have it. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_one(
    source: Source, condition: Condition, negative: Negative, digest: str, size: int, workshop: Workshop
) -> Line:
    seed = dice(workshop.seed, source.name, condition.name)
    developed = negative.develop(condition, seed, workshop.recipe)
    place = target(source, condition)
    write_label(workshop.out, source, place)  # first: no picture lies there without its objects
    write(workshop.out / place, developed.data)
    record = Record(
        picture=str(place),
        source=source.name,
        sha256=digest,
        source_bytes=size,
        source_size=negative.size,
        condition=condition.name,
        size=developed.size,
        correction=developed.correction.value,
        bytes=len(developed.data),
    )
    light = {key: _rounded(value) for key, value in developed.light.items()}
    return Line(record, seed, light, developed.reason)


def write_label(out: Path, source: Source, place: PurePosixPath) -> None:
    """Put the label file of a source beside one of its pictures, unless it lies there. Raises OutputError."""
    if source.label is None:
        return
    file = out / label_target(place)
    with contextlib.suppress(OSError):
        if file.read_bytes() == source.label:
            return
    write(file, source.label)


def make_all(jobs: Sequence[Job], workshop: Workshop, processes: int) -> Generator[Made, None, None]:
    """Make the pictures of all jobs; what came of them is yielded in the order of the jobs.

    Raises OutputError for the first that cannot be written, when all before it were yielded, and where a process
    dies.
    """
    if processes == 1:
        cv2.setNumThreads(1)
        yield from (make(job, workshop) for job in jobs)
        return
    for name in _THREADS:  # before the libraries load in the processes
        os.environ.setdefault(name, "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    stop = context.Event()
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_begin, initargs=(workshop, stop)
    ) as pool:
        try:
            yield from _in_order(pool, jobs, processes * _WINDOW)
        except BrokenProcessPool as error:
            raise OutputError(
                "expected every process to go on, found that one died, perhaps for want of memory: fewer --jobs "
                "need less; what is done stays valid, and the same command goes on from here"
            ) from error
        finally:
            stop.set()  # each ends its picture and no more
            pool.shutdown(wait=True, cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, jobs: Iterable[Job], window: int) -> Iterator[Made]:
    waiting: deque[Future[Made]] = deque()
    for job in jobs:
        waiting.append(pool.submit(_work, job))
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


_process: tuple[Workshop, Event]
"""What this process was told; only in the processes of a pool."""


def _begin(workshop: Workshop, stop: Event) -> None:
    """Get a process of the pool ready: one thread, deaf to Ctrl-C, which its parent hears, and mortal with it."""
    global _process  # noqa: PLW0603 - the pool offers no other way to tell a process something once
    _process = workshop, stop
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End with the process that started this one: a pool whose owner was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a process of a pool has a parent"
    parent.join()
    os._exit(1)


def _work(job: Job) -> Made:
    workshop, stop = _process
    return make(job, workshop, stop.is_set)


def _place(source: Source) -> str:
    return shown(source.path)


def _rounded(value: object) -> object:
    """Return a measurement as JSON shows it: four digits tell all that eight bits do."""
    if isinstance(value, float | np.floating):
        return round(float(value), 4)
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
