"""What is committed, counted and logged about the light of a stream."""

from dataclasses import replace

import pytest
import structlog
from structlog.testing import capture_logs

from support.pictures import grey, light, view
from tocsin.deliver.event import EventType
from tocsin.deliver.store import Change
from tocsin.eyesight.impairment import Impairment
from tocsin.eyesight.lights import Lights, LightStatus
from tocsin.frame import Correction, Frame, Light, Reason

DARK = light(mean=2.4, p1=0.0, p99=8.0)
VEILED = light(mean=190.0, p1=150.0, p99=220.0)
GOOD = light(mean=120.0, p1=20.0, p99=230.0)
Lines = list[structlog.typing.EventDict]


class Ledger:
    """Hears which streams are impaired, and keeps what is committed."""

    def __init__(self) -> None:
        self.impairments: list[tuple[str, bool]] = []
        self.changes: list[Change] = []

    def impaired(self, stream: str, impaired: bool) -> None:
        self.impairments.append((stream, impaired))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def lights(ledger: Ledger) -> Lights:
    return Lights(ledger.changes.append, ledger)


def show(
    lights: Lights,
    seen: Light,
    begin: float,
    end: float,
    correction: Correction = Correction.NONE,
    stream: str = "yard",
) -> Lines:
    """Show ten frames a second of this light and correction; return what is logged."""
    with capture_logs() as lines:
        for tenth in range(round(begin * 10), round(end * 10)):
            reason = Reason.GOOD if correction is Correction.NONE else Reason.WHOLE
            seen_so = replace(view(grey(4, 4)), light=seen, correction=correction, reason=reason)
            lights.analysed(Frame(stream, tenth, tenth / 10, 0.1, 0.1, 640, 480, (seen_so,)))
    return lines


def test_darkness_and_its_end_are_an_event_a_metric_and_a_line_each(lights: Lights, ledger: Ledger) -> None:
    """The event holds the reason, the light and how long it lasted; the metric is set and cleared."""
    lines = [*show(lights, GOOD, 0, 2), *show(lights, DARK, 2, 30), *show(lights, GOOD, 30, 40)]
    impaired, restored = (change.events[0] for change in ledger.changes)
    assert (impaired.type, restored.type) == (EventType.STREAM_IMPAIRED, EventType.STREAM_RESTORED)
    assert impaired.data.payload() == {
        "stream": "yard",
        "reason": "too_dark",
        "light": {"mean": 2, "contrast": 8},
        "lasted_seconds": pytest.approx(10.0),
    }
    assert restored.data.payload() == {
        "stream": "yard",
        "reason": "too_dark",
        "light": {"mean": 120, "contrast": 210},
        "lasted_seconds": pytest.approx(33.0),
    }
    assert ledger.impairments == [("yard", True), ("yard", False)]
    assert [line["event"] for line in lines] == [
        "the stream cannot be seen reliably",
        "the stream can be seen again",
    ]
    assert lines[0] == {
        "event": "the stream cannot be seen reliably",
        "log_level": "warning",
        "stream": "yard",
        "reason": "too_dark",
        "mean": 2.4,
        "contrast": 8.0,
        "lasted": 10.0,
    }


def test_a_covered_stream_does_not_become_impaired(lights: Lights, ledger: Ledger) -> None:
    """What was said once about one act is not said again; what stood before comes to its end all the same."""
    frame = Frame("yard", 0, 0.0, 0.1, 0.1, 640, 480, (replace(view(grey(4, 4)), light=DARK),))
    for tenth in range(300):
        lights.analysed(replace(frame, at=tenth / 10), covered=True)
    assert not lights.impaired("yard")
    assert ledger.changes == []
    show(lights, DARK, 30, 41)
    assert lights.impaired("yard")
    for tenth in range(410, 470):
        lights.analysed(
            replace(frame, at=tenth / 10, views=(replace(frame.views[0], light=GOOD),)), covered=True
        )
    assert ledger.impairments == [("yard", True), ("yard", False)]


def test_streams_are_watched_apart(lights: Lights, ledger: Ledger) -> None:
    """What one brings says nothing about another."""
    for second in range(12):
        show(lights, DARK, second, second + 1, stream="yard")
        show(lights, GOOD, second, second + 1, stream="gate")
    assert ledger.impairments == [("yard", True)]
    assert lights.statuses() == {
        "yard": LightStatus(2.4, 8.0, Correction.NONE, Impairment.TOO_DARK),
        "gate": LightStatus(120.0, 210.0, Correction.NONE, None),
    }


def test_a_stream_without_frames_has_no_status(lights: Lights) -> None:
    """Nothing is known of its light."""
    assert lights.statuses() == {}


def test_a_change_of_correction_is_one_line(lights: Lights, ledger: Ledger) -> None:
    """It names what was done before, what is done now, and why; no event is sent."""
    lines = [*show(lights, GOOD, 0, 5), *show(lights, VEILED, 5, 90, Correction.STRETCH)]
    assert lines == [
        {
            "event": "the correction of a stream's light changed",
            "log_level": "info",
            "stream": "yard",
            "before": "none",
            "now": "stretch",
            "why": "contrast is lost in the whole picture",
            "mean": 190.0,
            "contrast": 70.0,
        }
    ]
    assert ledger.changes == []


def test_a_blackout_logs_the_darkness_and_no_correction_on_the_way(lights: Lights) -> None:
    """What is done for a moment while the light goes and comes back is no news; that nothing is seen is."""
    lines = [
        *show(lights, GOOD, 0, 20),
        *show(lights, DARK, 20, 20.3, Correction.LOCAL_STRETCH),
        *show(lights, DARK, 20.3, 21, Correction.STRETCH),
        *show(lights, DARK, 21, 45),
        *show(lights, GOOD, 45, 100),
    ]
    assert [line["event"] for line in lines] == [
        "the stream cannot be seen reliably",
        "the stream can be seen again",
    ]


def test_a_correction_is_told_with_the_light_for_which_it_has_held(lights: Lights) -> None:
    """Not with that of the picture in which the light changed."""
    lines = [*show(lights, GOOD, 0, 5, Correction.STRETCH), *show(lights, GOOD, 5, 10)]
    lines += [*show(lights, GOOD, 10, 10.2, Correction.STRETCH)]
    lines += show(lights, VEILED, 10.2, 90, Correction.STRETCH)
    lines += [*show(lights, DARK, 100, 100.5, Correction.STRETCH), *show(lights, GOOD, 160, 170)]
    changes = [line for line in lines if line["event"] == "the correction of a stream's light changed"]
    assert [(line["now"], line["mean"]) for line in changes] == [
        ("stretch", 120.0),
        ("none", 120.0),
        ("stretch", 190.0),
        ("none", 120.0),
    ]


def test_corrections_that_flap_are_summed_up(lights: Lights) -> None:
    """A minute of it is one line with the number of changes, and one when it is over."""
    lines: Lines = []
    for second in range(62):
        correction = Correction.STRETCH if second % 2 else Correction.NONE
        lines += show(lights, VEILED, second, second + 1, correction)
    assert lines == [
        {
            "event": "the correction of a stream's light keeps changing",
            "log_level": "info",
            "stream": "yard",
            "changes": 61,
            "within": 60,
            "between": "none, stretch",
        }
    ]
    (over,) = show(lights, GOOD, 62, 90)
    assert over == {
        "event": "the correction of a stream's light is steady again",
        "log_level": "info",
        "stream": "yard",
        "now": "none",
        "why": "contrast is good",
        "mean": 120.0,
        "contrast": 210.0,
    }


def test_a_stream_that_is_forgotten_is_seen_for_the_first_time(lights: Lights, ledger: Ledger) -> None:
    """Its darkness counts from then on, and nothing is said of its end."""
    show(lights, DARK, 0, 30)
    assert ledger.impairments == [("yard", True)]
    lights.forget("yard")
    lights.forget("gate")
    assert (lights.statuses(), lights.impaired("yard")) == ({}, False)
    assert ledger.impairments == [("yard", True), ("yard", False)]
    assert len(ledger.changes) == 1
    show(lights, DARK, 30, 60)
    assert ledger.impairments[2:] == [("yard", True)]
