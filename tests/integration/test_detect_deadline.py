"""A run that does not end, and one that wants more memory than there is, in the real ONNX Runtime."""

import gc
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from support import graphs
from support.pictures import frame, grey, view
from tocsin.detect.deadline import POLL, Deadline
from tocsin.detect.detector import open_detector
from tocsin.detect.session import DEADLINE, LocalSession, open_session
from tocsin.errors import InferenceError, InferenceFault, ModelError
from tocsin.frame import Detections

WHITE, GREY = 235, 128


def _picture(brightness: float, count: int = 1) -> np.ndarray:
    return np.full((count, 3, 32, 32), brightness, np.float32)


def _watchers() -> int:
    return sum(thread.name == "deadline" for thread in threading.enumerate())


def test_an_endless_run_ends_within_five_seconds_and_the_next_works(tmp_path: Path) -> None:
    """A model that hangs on one picture costs its frame: the detector answers the next one."""
    detector = open_detector(str(graphs.save_endless(tmp_path / "own.onnx")), "cpu", "auto", floor=0.4)
    detector.warm()
    begun = time.monotonic()
    (failed,) = detector.attempt([frame(view(grey(32, 32, WHITE)))]).results
    took = time.monotonic() - begun
    assert isinstance(failed, InferenceError), "the picture makes the model loop"
    assert failed.fault is InferenceFault.DEADLINE
    assert str(failed) == (
        "the detector took more than 4 s for a batch of 1 and was ended: its graph loops, or this machine is too "
        "slow for it"
    )
    assert DEADLINE <= took <= DEADLINE + POLL + 0.5
    (found,) = detector.attempt([frame(view(grey(32, 32, GREY)))]).results
    assert isinstance(found, Detections)
    assert len(found) == 1


def test_a_model_that_is_endless_at_once_is_refused(tmp_path: Path) -> None:
    """Warm-up ends with the sentence, not never."""
    path = graphs.save_endless(tmp_path / "own.onnx", limit=0.1)
    with pytest.raises(ModelError, match=r"own\.onnx: its first run failed: the detector took more than 4 s"):
        open_detector(str(path), "cpu", "auto", floor=0.5).warm()


def test_the_first_run_of_each_shape_may_take_longer(tmp_path: Path) -> None:
    """A limit of its own ends the first run of a shape; what ran once has the usual one."""
    opened, _ = open_session(graphs.save_endless(tmp_path / "own.onnx"), "cpu")
    assert isinstance(opened, LocalSession)
    session = LocalSession(opened._session, first_run=0.0)
    with pytest.raises(InferenceError, match="took more than 0 s for a batch of 2"):
        session.infer(_picture(1.0, 2))
    session.infer(_picture(0.5))
    begun = time.monotonic()
    with pytest.raises(InferenceError, match="took more than 4 s for a batch of 1"):
        session.infer(_picture(1.0))
    assert time.monotonic() - begun >= DEADLINE


def test_too_much_memory_is_told_apart(tmp_path: Path) -> None:
    """A batch for which there is no memory fails as such, and a smaller one runs."""
    session, _ = open_session(graphs.save_greedy(tmp_path / "own.onnx"), "cpu")
    with pytest.raises(
        InferenceError, match=r"the detector failed on a batch: .*Failed to allocate memory"
    ) as caught:
        session.infer(_picture(0.5, 4))
    assert caught.value.fault is InferenceFault.OOM
    assert session.infer(_picture(0.5))["scores"].shape == (1, 2, 2)


def test_a_session_has_one_watcher_that_goes_with_it(tmp_path: Path) -> None:
    """Runs start no thread of their own, and what is closed is not watched."""
    gc.collect()
    session, _ = open_session(graphs.save(tmp_path / "own.onnx"), "cpu")
    before = _watchers()
    for _ in range(20):
        session.infer(_picture(0.5))
    assert _watchers() == before + 1
    del session
    gc.collect()
    ends = time.monotonic() + 5 * POLL
    while _watchers() > before and time.monotonic() < ends:
        threading.Event().wait(0.05)
    assert _watchers() <= before


def test_a_run_that_ends_in_time_leaves_the_next_alone() -> None:
    """The flag is raised for the run whose time is over, and for no later one."""
    deadline = Deadline()
    with deadline.within(10.0) as options:
        deadline.look(time.monotonic() + 9.0)
        assert not options.terminate
        deadline.look(time.monotonic() + 11.0)
        assert options.terminate
    assert deadline.passed
    deadline.look(time.monotonic() + 99.0)
    assert not options.terminate, "nothing runs"
    with deadline.within(10.0) as options:
        assert not deadline.passed
        assert not options.terminate
