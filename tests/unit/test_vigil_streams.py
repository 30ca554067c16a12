"""What the daemon notices about itself."""

from dataclasses import replace
from typing import Any

import pytest

from tocsin.alarm.watch import Rule
from tocsin.capture.status import StreamState, StreamStatus
from tocsin.deliver.event import EventType
from tocsin.errors import SourceFault
from tocsin.vigil.streams import DOWN_AFTER, RATE_WINDOW, UP_AFTER, Deafness, RateVigil, StreamVigil, bringing


def _status(state: StreamState, since: float, fault: SourceFault | None = None) -> StreamStatus:
    return StreamStatus("yard", state, since, fault)


def test_a_short_outage_is_not_reported() -> None:
    """A stream that is back before the time is up was never down for anybody."""
    vigil = StreamVigil()
    assert vigil.turn(DOWN_AFTER - 0.1, [_status(StreamState.WAITING, 0.0, SourceFault.EOF)]) == []
    assert vigil.turn(DOWN_AFTER, [_status(StreamState.LIVE, DOWN_AFTER)]) == []


def test_a_long_outage_is_reported_once_and_so_is_its_end() -> None:
    """The report names the reason, and so does the return, which says how long it lasted."""
    vigil = StreamVigil()
    down = _status(StreamState.WAITING, 5.0, SourceFault.REFUSED)
    ((kind, data),) = vigil.turn(5.0 + DOWN_AFTER, [down])
    assert (kind, data.stream, data.reason) == (EventType.STREAM_DOWN, "yard", "refused")
    assert vigil.turn(60.0, [down]) == []
    live = _status(StreamState.LIVE, 62.0)
    assert vigil.turn(62.0 + UP_AFTER - 0.1, [live]) == []
    ((kind, data),) = vigil.turn(62.0 + UP_AFTER, [live])
    assert (kind, data.reason, data.lasted) == (EventType.STREAM_UP, "refused", 57.0 + UP_AFTER)
    assert vigil.turn(70.0, [live]) == []


def test_a_camera_that_drops_out_again_at_once_is_not_back() -> None:
    """Pictures for a second in every half minute are one outage, and one report."""
    vigil = StreamVigil()
    notices = []
    for second in range(120):
        live = second % 30 == 29
        status = _status(
            StreamState.LIVE if live else StreamState.WAITING, second if live else second // 30 * 30
        )
        notices += vigil.turn(float(second), [status])
    assert [kind for kind, _ in notices] == [EventType.STREAM_DOWN]


def _outages(pictures: int, outage: int, cycles: int) -> list[EventType]:
    """Let a camera bring pictures and nothing in turn, for so many seconds each; return what was said."""
    vigil, began, kinds = StreamVigil(), 0, []
    for _ in range(cycles):
        for state, seconds in ((StreamState.WAITING, outage), (StreamState.LIVE, pictures)):
            for now in range(began, began + seconds + 1):
                kinds += [kind for kind, _ in vigil.turn(float(now), [_status(state, float(began))])]
            began += seconds
    return kinds


def test_a_camera_that_comes_and_goes_is_told_less_and_less() -> None:
    """Each return that did not last a minute makes the next one harder to believe."""
    down, up = EventType.STREAM_DOWN, EventType.STREAM_UP
    assert _outages(pictures=5, outage=20, cycles=100) == [down, up, down]
    assert _outages(pictures=50, outage=20, cycles=100) == [down, up] * 5 + [down]
    assert _outages(pictures=65, outage=20, cycles=3) == [down, up] * 3, "one that lasts is believed at once"


def test_a_camera_that_was_never_there_is_reported_too() -> None:
    """Down since the start is down."""
    ((kind, data),) = StreamVigil().turn(DOWN_AFTER, [_status(StreamState.CONNECTING, 0.0)])
    assert (kind, data.reason) == (EventType.STREAM_DOWN, "connecting")


def test_a_file_that_is_over_is_not_down() -> None:
    """It ended as it should."""
    assert StreamVigil().turn(100.0, [_status(StreamState.ENDED, 0.0, SourceFault.ENDED)]) == []


RULE = Rule("visit", ("person",), 0.5, hits=5, of=10, within=3.0, end_after=10.0, repeat_every=0.0)
"""Five hits within three seconds: deaf below 4/3 frames a second."""


def _rate(vigil: RateVigil, rate: float, windows: int = 1) -> list[bool]:
    """Analyse frames at a steady rate and return what was judged."""
    judged = []
    for second in range(int(windows * RATE_WINDOW) + 1):
        judged += vigil.turn(float(second), {"yard": int(second * rate)}, {"yard"})
    return [one.deaf for one in judged]


@pytest.mark.parametrize(
    ("rate", "deaf"),
    [
        pytest.param(10.0, False, id="the configured rate"),
        pytest.param(1.4, False, id="just enough"),
        pytest.param(1.0, True, id="too slow"),
        pytest.param(0.0, True, id="nothing at all"),
    ],
)
def test_a_rule_is_deaf_where_its_hits_cannot_fit_into_its_time(rate: float, deaf: bool) -> None:
    """Judged by the frames that were really analysed."""
    assert _rate(RateVigil({"yard": [RULE]}), rate) == [deaf]


def test_each_window_is_judged_by_itself() -> None:
    """A rule becomes deaf, stays so, and hears again."""
    vigil = RateVigil({"yard": [RULE]})
    judged = []
    for second, count in enumerate([*range(21), *range(30, 240, 10)]):
        judged += [one.deaf for one in vigil.turn(float(second), {"yard": count}, {"yard"})]
    assert judged == [True, True, False, False]


def test_a_stream_that_is_down_is_not_too_slow() -> None:
    """Its window begins anew when it is back."""
    vigil = RateVigil({"yard": [RULE]})
    assert vigil.turn(0.0, {"yard": 0}, {"yard"}) == []
    assert vigil.turn(20.0, {"yard": 0}, set()) == []
    assert vigil.turn(21.0, {"yard": 0}, {"yard"}) == []
    assert vigil.turn(30.0, {"yard": 90}, {"yard"}) == []


@pytest.mark.parametrize(
    ("status", "found"),
    [
        pytest.param({"since": 0.0, "last_frame_at": 99.1, "period": 0.1}, True, id="a frame a moment ago"),
        pytest.param({"since": 0.0, "last_frame_at": 98.9, "period": 0.1}, False, id="none for a second"),
        pytest.param({"since": 0.0, "last_frame_at": 91.0, "period": 2.0}, True, id="one every two seconds"),
        pytest.param({"since": 0.0, "last_frame_at": 89.0, "period": 2.0}, False, id="none for five periods"),
        pytest.param({"since": 99.5, "last_frame_at": 40.0, "period": 0.1}, True, id="up a moment ago"),
        pytest.param({"since": 98.5, "last_frame_at": None}, False, id="up, and nothing came"),
        pytest.param(
            {"since": 0.0, "last_frame_at": 4000.0, "period": 0.1}, True, id="a file that runs ahead"
        ),
    ],
)
def test_a_stream_that_is_silent_for_longer_than_its_patience_brings_nothing(
    status: dict[str, Any], found: bool
) -> None:
    """Also while it counts as live."""
    live = StreamStatus("yard", StreamState.LIVE, **status)
    assert bringing(100.0, [live]) == ({"yard"} if found else set())
    assert bringing(100.0, [replace(live, state=StreamState.WAITING)]) == set()


def test_a_camera_that_hangs_within_a_window_does_not_make_the_detector_too_slow() -> None:
    """What it brought is analysed, and nothing is judged until it has brought frames for a whole window again."""
    vigil, judged = RateVigil({"yard": [RULE]}), []
    analysed, last = 0, 0.0
    for turn in range(120):
        now = turn / 2
        if not 3.0 <= now < 11.0 and not 16.0 <= now < 24.0:
            analysed, last = analysed + 5, now
        status = StreamStatus("yard", StreamState.LIVE, 0.0, last_frame_at=last, period=0.1)
        judged += [(now, one.deaf) for one in vigil.turn(now, {"yard": analysed}, bringing(now, [status]))]
    assert judged == [(34.0, False), (44.0, False), (54.0, False)]


def test_a_stream_that_went_and_comes_again_is_a_new_one() -> None:
    """Neither its outage nor its rate goes on, and those of the others do."""
    vigil = StreamVigil()
    down = [_status(StreamState.WAITING, 0.0, SourceFault.STALL)]
    assert [kind for kind, _ in vigil.turn(20.0, down)] == [EventType.STREAM_DOWN]
    vigil.forget(["gate"])
    assert vigil.turn(21.0, down) == []
    vigil.forget(["yard"])
    assert [kind for kind, _ in vigil.turn(22.0, down)] == [EventType.STREAM_DOWN]


def test_rules_that_come_are_judged_and_those_that_go_are_not() -> None:
    """The window of a stream that stays goes on, though its rules are exchanged in the middle of it."""
    other = replace(RULE, name="other")
    vigil = RateVigil({"yard": [RULE], "gate": [RULE]})
    both = {"yard", "gate"}
    assert (
        len([one for second in range(11) for one in vigil.turn(float(second), dict.fromkeys(both, 0), both)])
        == 2
    )
    vigil.adopt({"yard": [RULE, other]})
    judged = [one for second in range(11, 21) for one in vigil.turn(float(second), {"yard": 0}, {"yard"})]
    assert judged == [Deafness("yard", "visit", True), Deafness("yard", "other", True)]
