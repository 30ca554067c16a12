"""Tests side by side: most of their time they wait.

A run of everything takes a worker process more than there are cores, by pytest-xdist; whoever names a file or a
test gets it in this process, as `-n 0` does for everything. A file is one worker's, in its order, so that what its
tests share is made once. What `alone` marks runs when no other test does, after all others: it measures time or
memory, or has the machine to itself.
"""

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""The name of this worker, such as gw1; empty where tests run one after another."""

MOST = 8
"""Workers that have something to do until the end."""

# Folders, since a lock needs a file that is there: the room is shared by tests, and had by one that is alone.
# Whoever wants in waits at the door, so that the one that is alone is not passed by others for ever.
_ROOM = Path(__file__).parents[1]
_DOOR = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Say how many workers there are, where nobody did; pytest-xdist reads it."""
    if WORKER or not config.pluginmanager.hasplugin("xdist"):
        return
    options = config.option
    is_everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if options.numprocesses is None and is_everything and not (options.usepdb or options.collectonly):
        options.numprocesses = min(len(os.sched_getaffinity(0)) + 1, MOST)
    if options.numprocesses and options.dist == "no":
        options.dist, options.loadscopereorder = "loadfile", False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what runs alone last, file by file."""
    alone = {item.path for item in items if item.get_closest_marker("alone")}
    items.sort(key=lambda item: item.path in alone)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before a test's time limit begins
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test begin when it may."""
    if not WORKER:
        return (yield)
    with _room(fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH):
        return (yield)


@contextmanager
def _room(how: int) -> Iterator[None]:
    with _opened(_ROOM) as room:
        with _opened(_DOOR) as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, how)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)  # closing frees it only when no forked process has it


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
