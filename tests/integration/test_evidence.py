"""Evidence of what a camera showed: the very frame that is asked for, and the clip around it."""

import os
import queue
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from support.camera import FakeCamera
from support.capturing import Tally, order
from support.scene import Scene, read_number
from support.wait import SCALE, until
from tocsin.capture.order import ReelOrder
from tocsin.capture.supervisor import Supervisor
from tocsin.capture.wire import Develop, Film, Made
from tocsin.frame import Frame

BOX = (0.4, 0.4, 0.6, 0.6)
REEL = ReelOrder(seconds=3.0, most_bytes=4_000_000)


class Filming:
    """A supervisor of one stream that keeps evidence, and what its worker says of it."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.made: queue.SimpleQueue[tuple[str, Made]] = queue.SimpleQueue()

    def frame(self) -> tuple[Frame, int]:
        """The next frame, and the number in its picture."""
        deadline = time.monotonic() + 15.0 * SCALE
        while time.monotonic() < deadline:
            for frame in self.supervisor.take(1, 0.5):
                number = read_number(frame.views[0].pixels[: frame.views[0].height])
                self.supervisor.release(frame)
                return frame, number
        raise AssertionError("no frame came")

    def ask(self, task: Develop | Film, *paths: Path) -> None:
        descriptors = [os.open(path, os.O_WRONLY | os.O_CREAT) for path in paths]
        assert self.supervisor.ask("yard", task, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def answer(self) -> Made:
        stream, made = self.made.get(timeout=20 * SCALE)
        assert stream == "yard"
        return made


@contextmanager
def filming(url: str, reel: ReelOrder | None = REEL) -> Iterator[Filming]:
    """Capture with evidence while the block lasts."""
    asked = replace(order(url), reel=reel)
    made: queue.SimpleQueue[tuple[str, Made]] = queue.SimpleQueue()
    supervisor = Supervisor([asked], Tally(), made=lambda stream, one: made.put((stream, one)))
    one = Filming(supervisor)
    one.made = made
    supervisor.start()
    try:
        yield one
    finally:
        supervisor.stop(time.monotonic() + 5.0)


def number_of(path: Path) -> int:
    """The number in a picture."""
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert grey is not None, path
    return read_number(np.asarray(grey, np.uint8))


def test_the_picture_is_of_the_frame_that_was_analysed(tmp_path: Path) -> None:
    """From its packets, and while it is new as it was decoded: neither the newest one nor the one before."""
    reel = ReelOrder(seconds=30.0, most_bytes=40_000_000)
    with FakeCamera(Scene(1280, 720, fps=10)) as camera, filming(camera.url, reel) as capture:
        seen = [capture.frame() for _ in range(14)]
        for place in (2, 4, 11, 13):
            frame, number = seen[place]
            path = tmp_path / f"{number}.jpg"
            capture.ask(Develop(place, frame.at, BOX, ("frame",)), path)
            assert capture.answer() == Made(place, "")
            assert number_of(path) == number


def test_a_clip_shows_each_picture_of_its_time_once(tmp_path: Path) -> None:
    """From before the alarm to after it, while the stream goes on."""
    with FakeCamera(Scene(fps=10)) as camera, filming(camera.url) as capture:
        for _ in range(15):
            frame, number = capture.frame()
        capture.ask(Film(1, frame.at - 1.0, frame.at + 2.0), tmp_path / "clip.mp4")
        assert capture.answer() == Made(1, "")
    with av.open(str(tmp_path / "clip.mp4")) as played:
        numbers = [read_number(one.to_ndarray(format="gray")) for one in played.decode(video=0)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[0] <= number - 10
    assert number + 19 <= numbers[-1] <= number + 21


def test_a_worker_that_dies_leaves_a_clip_that_can_be_played(tmp_path: Path) -> None:
    """What was written by then; the daemon hears nothing and has a time limit of its own."""
    with FakeCamera(Scene(fps=10)) as camera, filming(camera.url) as capture:
        for _ in range(25):
            frame, _ = capture.frame()
        clip = tmp_path / "clip.mp4"
        capture.ask(Film(1, frame.at - 2.0, frame.at + 60.0), clip)
        until(lambda: clip.stat().st_size > 2000, 10.0, "the clip to begin")
        pid = capture.supervisor._keepers[0]._worker.pid
        os.kill(pid, signal.SIGKILL)
        capture.frame()  # of the next worker
    with av.open(str(clip)) as played:
        assert sum(1 for _ in played.decode(video=0)) >= 10


def test_a_stream_that_gets_another_worker_leaves_a_whole_clip(tmp_path: Path) -> None:
    """A reload while it is filmed: the old worker ends its film before it ends itself."""
    with FakeCamera(Scene(fps=10)) as camera, filming(camera.url) as capture:
        for _ in range(15):
            frame, _ = capture.frame()
        clip = tmp_path / "clip.mp4"
        capture.ask(Film(1, frame.at - 1.0, frame.at + 60.0), clip)
        until(lambda: clip.stat().st_size > 0, 10.0, "the clip to begin")
        capture.supervisor.adopt([replace(order(camera.url), reel=replace(REEL, seconds=4.0))])
        until(lambda: _is_whole(clip), 10.0, "the clip to be whole")
        capture.frame()  # of the next worker
    with av.open(str(clip)) as played:
        assert sum(1 for _ in played.decode(video=0)) >= 10


def _is_whole(clip: Path) -> bool:
    """Whether a player knows how long it is before it plays it."""
    content, place, found = clip.read_bytes(), 0, b""
    while (size := int.from_bytes(content[place : place + 4], "big")) >= 8:
        found, place = content[place + 4 : place + 8], place + size
    return found == b"moov" and b"moof" not in content[:512]


@pytest.mark.parametrize("reel", [None, REEL])
def test_what_cannot_be_made_is_told(tmp_path: Path, reel: ReelOrder | None) -> None:
    """A stream that keeps no evidence says so, and one that keeps it does not know a frame that never was."""
    with FakeCamera(Scene(fps=10)) as camera, filming(camera.url, reel) as capture:
        capture.frame()
        capture.ask(Develop(5, 1.0, BOX, ("frame",)), tmp_path / "frame.jpg")
        found = "one that does not" if reel is None else "them gone"
        assert capture.answer().fault.endswith(f"found {found}")
        capture.frame()


def test_capture_goes_on_while_evidence_is_made(tmp_path: Path) -> None:
    """Twenty alarms at once delay no picture for a second."""
    with FakeCamera(Scene(fps=10)) as camera, filming(camera.url) as capture:
        for _ in range(10):
            frame, _ = capture.frame()
        for request in range(20):
            kinds = ("frame", "crop", "corrected", "first")
            paths = [tmp_path / f"{request}{kind}.jpg" for kind in kinds]
            capture.ask(Develop(request, frame.at, BOX, kinds), *paths)
        ages = []
        while len(ages) < 10:
            frame, _ = capture.frame()
            ages.append(time.monotonic() - frame.at)
        assert max(ages) < 1.0 * SCALE
        assert {capture.answer() for _ in range(20)} == {Made(request, "") for request in range(20)}
