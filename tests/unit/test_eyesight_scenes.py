"""What is committed, counted and logged about cameras that were frozen or tampered with."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from support.pictures import grey, view
from tocsin.deliver.event import EventType
from tocsin.deliver.store import Change
from tocsin.eyesight.scenes import Scenes
from tocsin.frame import SCENE_CELLS, Frame, Scene

Cells = NDArray[np.float32]

YARD = np.random.default_rng(0).uniform(20, 120, SCENE_CELLS).astype(np.float32)
HAND = np.stack([np.full(SCENE_CELLS[1:], 90.0), *np.zeros((2, *SCENE_CELLS[1:]))]).astype(np.float32)


class Ledger:
    """Hears what is observed, and keeps what is committed."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self.changes: list[Change] = []

    def frozen(self, stream: str, frozen: bool) -> None:
        self.heard.append(("frozen", stream, frozen))

    def covered(self, stream: str, covered: bool) -> None:
        self.heard.append(("covered", stream, covered))

    @property
    def told(self) -> list[tuple[str, dict[str, object]]]:
        return [
            (change.events[0].type.value, dict(change.events[0].data.payload())) for change in self.changes
        ]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def scenes(ledger: Ledger) -> Scenes:
    return Scenes(ledger.changes.append, ledger)


def show(
    scenes: Scenes,
    cells: Cells,
    begin: float,
    end: float,
    *,
    living: bool = True,
    stream: str = "yard",
    impaired: bool = False,
) -> bool:
    """Show ten frames a second, with a scene in every fifth; each is a keyframe. Return whether it stands
    covered."""
    covered = False
    for tenth in range(round(begin * 10), round(end * 10)):
        at = tenth // 5 / 2
        noise = np.random.default_rng(tenth // 5).uniform(0, 0.01) if living else 0.0
        scene = Scene(at, tenth, cells + np.float32(noise))
        frame = Frame(stream, tenth, tenth / 10, 0.1, 0.1, 640, 480, (view(grey(4, 4)),), scene)
        covered = scenes.analysed(frame, impaired)
    return covered


def test_a_frozen_picture_and_its_end_are_an_event_a_metric_and_a_line_each(
    scenes: Scenes, ledger: Ledger
) -> None:
    """With the reason and for how long; the status knows it in between."""
    with capture_logs() as lines:
        show(scenes, YARD, 0, 60)
        assert scenes.statuses() == {}
        show(scenes, YARD, 60, 90, living=False)
        assert scenes.statuses() == {"yard": "frozen"}
        show(scenes, YARD, 90, 110)
    assert scenes.statuses() == {}
    (frozen, began), (restored, ended) = ledger.told
    assert (frozen, restored) == (EventType.STREAM_FROZEN, EventType.STREAM_RESTORED)
    assert began["reason"] == ended["reason"] == "frozen"
    assert began["stream"] == "yard"
    assert ended["lasted_seconds"] == pytest.approx(34, abs=3)
    assert ledger.heard == [("frozen", "yard", True), ("frozen", "yard", False)]
    told = [(line["event"], line["reason"]) for line in lines if line.get("stream") == "yard"]
    assert told == [
        ("the picture of a stream stands still", "frozen"),
        ("a camera shows again what it should", "frozen"),
    ]


def test_a_covered_camera_and_its_end_are_an_event_a_metric_and_a_line_each(
    scenes: Scenes, ledger: Ledger
) -> None:
    """With what was done to it; while it stands the caller is told so."""
    with capture_logs() as lines:
        assert not show(scenes, YARD, 0, 60)
        assert show(scenes, HAND, 60, 80)
        assert scenes.statuses() == {"yard": "covered"}
        assert not show(scenes, YARD, 80, 90)
    assert ledger.told == [
        (
            "stream.covered",
            {"stream": "yard", "reason": "covered", "lasted_seconds": pytest.approx(5, abs=1)},
        ),
        (
            "stream.restored",
            {"stream": "yard", "reason": "covered", "lasted_seconds": pytest.approx(23, abs=1)},
        ),
    ]
    assert ledger.heard == [("covered", "yard", True), ("covered", "yard", False)]
    assert [line["reason"] for line in lines] == ["covered", "covered"]


def test_a_stream_that_was_said_to_be_impaired_is_not_covered(scenes: Scenes, ledger: Ledger) -> None:
    """The dark came first, and was said."""
    show(scenes, YARD, 0, 60)
    assert not show(scenes, HAND, 60, 120, impaired=True)
    assert ledger.told == []


def test_streams_are_watched_apart(scenes: Scenes, ledger: Ledger) -> None:
    """What one brings says nothing about another."""
    for second in range(80):
        show(scenes, YARD if second < 60 else HAND, second, second + 1, stream="yard")
        show(scenes, YARD, second, second + 1, stream="gate")
    assert ledger.heard == [("covered", "yard", True)]
    assert scenes.statuses() == {"yard": "covered"}


def test_a_scene_counts_once_however_many_frames_bring_it(scenes: Scenes, ledger: Ledger) -> None:
    """A worker that measures no more proves nothing with its last scene."""
    show(scenes, YARD, 0, 60)
    show(scenes, HAND, 60, 61)
    stale = Scene(60.5, 605, HAND)
    for tenth in range(610, 900):
        frame = Frame("yard", tenth, tenth / 10, 0.1, 0.1, 640, 480, (view(grey(4, 4)),), stale)
        scenes.analysed(frame, impaired=False)
    assert ledger.told == []


def test_a_frame_without_a_scene_says_nothing(scenes: Scenes, ledger: Ledger) -> None:
    """A picture may be too small to be divided into cells."""
    frame = Frame("yard", 0, 0.0, 0.1, 0.1, 640, 480, (view(grey(4, 4)),))
    for tenth in range(300):
        assert not scenes.analysed(replace(frame, at=tenth / 10), impaired=False)
    assert ledger.told == []


def test_an_outage_between_two_scenes_is_seen_though_frames_came_since(
    scenes: Scenes, ledger: Ledger
) -> None:
    """The silence is that of the frame after it, which may have brought no scene of its own."""
    show(scenes, YARD, 0, 60)
    show(scenes, HAND, 60, 63)
    last = Scene(62.5, 629, HAND)
    after = Frame("yard", 0, 3600.0, 0.1, 3537.0, 640, 480, (view(grey(4, 4)),), last)
    scenes.analysed(after, impaired=False)
    show(scenes, HAND, 3600.5, 3602)
    assert ledger.told == [], "three seconds and one and a half are no five"
    show(scenes, HAND, 3602, 3604)
    assert len(ledger.told) == 1


def test_a_stream_that_is_forgotten_is_seen_for_the_first_time(scenes: Scenes, ledger: Ledger) -> None:
    """Another camera may look elsewhere without being covered."""
    show(scenes, YARD, 0, 60, living=False)
    assert scenes.statuses() == {"yard": "frozen"}
    told = len(ledger.told)
    scenes.forget("yard")
    assert scenes.statuses() == {}
    assert ledger.heard[-2:] == [("frozen", "yard", False), ("covered", "yard", False)]
    assert len(ledger.told) == told
