"""One configuration after the other judges frames, and none of them is judged by neither or by both."""

import threading
from collections.abc import Collection
from typing import Any

import numpy as np

from support.pictures import grey, view
from tocsin.alarms import Origin
from tocsin.frame import Detections, Frame
from tocsin.lookout import Lookout

NOTHING = Detections(
    np.zeros((0, 4), np.float32),
    np.zeros(0, np.float32),
    np.zeros(0, np.int64),
    np.zeros((0, 2), np.float32),
    np.zeros(0, np.int64),
    ("person",),
)


class Parts:
    """Lights, scenes and alarms at once: hears what they are told."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.judged: list[tuple[str, str]] = []
        self.origin = Origin("m", "first", False)
        self.entered, self.free = threading.Event(), threading.Event()
        self.free.set()

    def analysed(self, frame: Frame, other: Any) -> bool:
        if isinstance(other, Detections):
            self.judged.append((frame.stream, self.origin.config))
            self.entered.set()
            assert self.free.wait(10)
        return False

    def impaired(self, stream: str) -> bool:
        return False

    def forget(self, stream: str) -> None:
        self.forgotten.append(stream)

    def adopt(self, watched: object, anew: Collection[str]) -> None:
        self.judged.append(("", self.origin.config))
        self.anew = list(anew)


def _frame(stream: str) -> Frame:
    return Frame(stream, 1, 1.0, 0.1, 0.1, 640, 480, (view(grey(4, 4)),))


def _lookout() -> tuple[Lookout, Parts]:
    parts: Any = Parts()
    return Lookout(parts, parts, parts, ["yard", "gate"]), parts


def test_frames_count_for_the_streams_of_the_configuration_alone() -> None:
    """One of a stream that is gone was still on its way; one that stays counts on, one that comes from 0."""
    lookout, parts = _lookout()
    for name in ("yard", "gate", "yard"):
        lookout.seen(_frame(name), NOTHING)
    assert lookout.analysed == {"yard": 2, "gate": 1}
    lookout.adopt(["yard", "barn"], (), {}, Origin("m", "second", False))
    lookout.seen(_frame("gate"), NOTHING)
    lookout.seen(_frame("yard"), NOTHING)
    assert lookout.analysed == {"yard": 3, "barn": 0}
    assert parts.forgotten == ["gate", "gate"], "by its light and by its scene"
    assert parts.judged[-2:] == [("", "second"), ("yard", "second")]


def test_what_was_learned_of_another_camera_is_forgotten() -> None:
    """Its frames count on, for it is the same stream."""
    lookout, parts = _lookout()
    lookout.seen(_frame("yard"), NOTHING)
    lookout.adopt(["yard", "gate"], ["yard"], {}, Origin("m", "second", False))
    assert (parts.forgotten, lookout.analysed["yard"]) == (["yard", "yard"], 1)
    assert parts.anew == ["yard"], "what its rules learned, too"


def test_a_configuration_comes_between_two_frames() -> None:
    """It waits for the frame that is being judged, which is judged by the one before as a whole."""
    lookout, parts = _lookout()
    parts.free.clear()
    engine = threading.Thread(target=lookout.seen, args=(_frame("yard"), NOTHING))
    engine.start()
    assert parts.entered.wait(10)
    change = threading.Thread(target=lookout.adopt, args=(["yard"], (), {}, Origin("m", "second", False)))
    change.start()
    change.join(0.1)
    assert (change.is_alive(), parts.origin.config) == (True, "first")
    parts.free.set()
    for thread in (engine, change):
        thread.join(10)
    assert parts.judged == [("yard", "first"), ("", "second")]
