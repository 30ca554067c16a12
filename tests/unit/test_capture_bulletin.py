"""What is told of a stream, and that each thing is told once."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from support.capturing import Tally
from support.pictures import light
from tocsin.capture.bulletin import Bulletin
from tocsin.capture.decoder import Decode, Decoder
from tocsin.capture.order import SourceOrder
from tocsin.capture.status import StreamState
from tocsin.capture.wire import Broken, Connected, Counts, DropReason, FrameRecord
from tocsin.errors import SourceFault
from tocsin.frame import Correction

UP = Connected("h264", 320, 240, "tcp")


def _bulletin(decode: Decode = "cpu") -> tuple[Bulletin, Tally]:
    tally = Tally()
    return Bulletin("yard", SourceOrder("rtsp://camera/", decode=decode), tally, 0.0), tally


def _down(fault: SourceFault, *, live: bool = False) -> Broken:
    return Broken(fault, "why", live, 1.1)


def _frame(at: float, width: int = 320) -> Any:
    return FrameRecord(0, at, 0.1, 0.1, width, 240, (), 0.0, 0.0), light(), Correction.NONE


@pytest.mark.parametrize(
    ("decode", "found", "said"),
    [
        ("cuda", Decoder.CPU, 1),
        ("vaapi", Decoder.CPU, 1),
        ("cuda", Decoder.CUDA, 0),
        ("cpu", Decoder.CPU, 0),
    ],
)
def test_what_was_asked_for_and_not_had_is_said_once(decode: Decode, found: Decoder, said: int) -> None:
    """Not with every opening, and not where it was had."""
    bulletin, tally = _bulletin(decode)
    with capture_logs() as logs:
        for at in range(3):
            bulletin.connected(Connected("h264", 320, 240, decoder=found), float(at))
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert len(warnings) == said
    assert all((line["expected"], line["found"]) == (decode, "cpu") for line in warnings)
    assert tally["decodes", found] == 3
    assert bulletin.status.decoder is found


def test_the_first_fault_of_a_kind_is_logged_and_every_one_counted() -> None:
    """A fault that returns after the stream was up is a new one."""
    bulletin, tally = _bulletin()
    refused, dead = _down(SourceFault.REFUSED), _down(SourceFault.DNS)
    with capture_logs() as logs:
        for at, report in enumerate([refused, refused, dead, dead, refused]):
            bulletin.broken(report, float(at))
        assert bulletin.status.retry_at == 4.0 + refused.retry_in
        bulletin.connected(UP, 5.0)
        assert bulletin.status.retry_at is None
        bulletin.broken(_down(SourceFault.REFUSED, live=True), 6.0)
    said = [line["reason"] for line in logs if line["event"] == "the stream is down"]
    assert said == ["refused", "dns", "refused", "refused"]
    assert (tally["connect_failed", "refused"], tally["connect_failed", "dns"]) == (3, 2)
    assert tally["disconnected", "refused"] == 1


def test_the_time_of_a_state_is_that_of_its_beginning() -> None:
    """Another try that fails does not begin it anew."""
    bulletin, _ = _bulletin()
    bulletin.broken(_down(SourceFault.REFUSED), 2.0)
    bulletin.broken(_down(SourceFault.DNS), 3.0)
    status = bulletin.status
    assert (status.state, status.since, status.fault) == (StreamState.WAITING, 2.0, SourceFault.DNS)
    bulletin.connected(UP, 4.0)
    status = bulletin.status
    assert (status.state, status.since, status.fault) == (StreamState.LIVE, 4.0, None)


def test_a_lost_worker_is_a_disconnection_only_of_a_stream_that_was_up() -> None:
    """Whatever it showed of rate and clock is shown no more."""
    bulletin, tally = _bulletin()
    bulletin.lost("the worker died", 1.0)
    assert tally["disconnected", "worker"] == 0
    bulletin.connected(UP, 2.0)
    bulletin.counts(Counts(received=10, ahead=1.5), 3.0)
    bulletin.tick(3.0)
    assert (bulletin.status.fps, bulletin.status.clock_ahead) == (10.0, 1.5)
    bulletin.lost("the worker hung", 4.0)
    assert tally["disconnected", "worker"] == 1
    bulletin.counts(Counts(received=10, ahead=1.5), 4.1)  # sent before, read afterwards
    bulletin.tick(4.1)
    assert (bulletin.status.fps, bulletin.status.clock_ahead) == (0.0, None)


def test_a_name_server_that_fails_is_told_of_once() -> None:
    """And once more after it was there."""
    bulletin, _ = _bulletin()
    with capture_logs() as logs:
        for at, from_memory in enumerate([True, True, False, True]):
            report = Connected("h264", 320, 240, from_memory=from_memory)
            bulletin.connected(report, float(at))
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
        "the name server fails, and the stream is read at its last known address"
    ] * 2


def test_a_stream_that_is_mostly_damaged_is_told_of_once_and_so_is_its_end() -> None:
    """By what a worker counted, whatever else it counted is passed on."""
    bulletin, tally = _bulletin()
    with capture_logs() as logs:
        for second in range(301):
            quarantined = 8 if second < 200 else 0
            dropped = {DropReason.RATE: 1}
            bulletin.counts(Counts(received=10, quarantined=quarantined, dropped=dropped), float(second))
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert (tally["received"], tally["quarantined"], tally["dropped", "rate"]) == (3010, 1600, 301)


def test_a_change_of_size_is_told_and_the_first_size_is_none() -> None:
    """Whether a frame shows it first or a new opening."""
    bulletin, tally = _bulletin()
    bulletin.connected(UP, 0.0)
    bulletin.frame(*_frame(1.0))
    assert tally["resized"] == 0
    bulletin.frame(*_frame(2.0, width=640))
    bulletin.connected(UP, 3.0)
    assert tally["resized"] == 2
    status = bulletin.status
    assert (status.size, status.last_frame_at, status.period) == ((320, 240), 2.0, 0.1)
