"""What a worker makes of the pictures that a source yields; the source is a script here."""

import math
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from av.video.frame import PictureType, VideoFrame

from support.capturing import order
from support.h264 import record
from support.scene import Scene
from tocsin.capture import mailbox, worker
from tocsin.capture.decoder import Decoder
from tocsin.capture.mailbox import SLOTS, Mailbox
from tocsin.capture.names import Resolver
from tocsin.capture.order import SourceOrder
from tocsin.capture.source import Picture, Source
from tocsin.capture.wire import (
    PACKET,
    Broken,
    Connected,
    Counts,
    DropReason,
    FrameRecord,
    Report,
    decode_report,
)
from tocsin.capture.worker import Worker
from tocsin.errors import SourceError, SourceFault

_ORDER = order("rtsp://camera/a", max_fps=10.0)


class _Script:
    """Stands for `Source`: each opening yields the next list of pictures and then breaks."""

    codec, transport = "h264", "tcp"
    decoder = Decoder.CPU

    def __init__(
        self, *openings: list[Picture], fault: SourceFault = SourceFault.EOF, rate: float = 25.0
    ) -> None:
        self.openings = list(openings)
        self.fault, self.rate = fault, rate
        self.asked: list[dict[str, Any]] = []

    def __call__(self, *_: object, **options: Any) -> "_Script":
        self.asked.append(options)
        return self

    def pictures(self) -> Iterator[Picture]:
        yield from self.openings.pop(0)
        raise SourceError(self.fault, "over")

    def close(self) -> None:
        pass


class _Rig:
    """A worker and the daemon's end of its channel; `run` serves every opening of a script without waiting."""

    def __init__(self, script: _Script, monkeypatch: pytest.MonkeyPatch) -> None:
        self.daemon, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.daemon.setblocking(False)
        self._theirs, self._script = theirs, script
        descriptor = mailbox.create(_ORDER.slot_bytes)
        monkeypatch.setattr(worker, "Source", script)
        monkeypatch.setattr(worker, "random", lambda: 0.0)
        self.worker = Worker(_ORDER, theirs, Mailbox(descriptor, _ORDER.slot_bytes))
        os.close(descriptor)
        monkeypatch.setattr(self.worker._stop, "wait", lambda _: None)

    def run(self) -> list[Report]:
        while self._script.openings:
            with pytest.raises(SourceError) as caught:
                self.worker._serve()
            self.worker._wait(caught.value)
        self.worker._report_counts()
        return self.heard()

    def heard(self) -> list[Report]:
        reports = []
        try:
            while True:
                reports.append(decode_report(self.daemon.recv(PACKET)))
        except BlockingIOError:
            return reports

    def close(self) -> None:
        self.daemon.close()
        self._theirs.close()


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    rigs: list[_Rig] = []

    def build(script: _Script) -> _Rig:
        rigs.append(_Rig(script, monkeypatch))
        return rigs[-1]

    yield build
    for one in rigs:
        one.close()


def _clean(*times: float, width: int = 320) -> list[Picture]:
    return [Picture(_frame(width), at, 0.001, packet=number + 1) for number, at in enumerate(times)]


def _frame(width: int = 320) -> VideoFrame:
    frame = VideoFrame.from_ndarray(np.full((360, width), 90, np.uint8), format="yuv420p")
    frame.pict_type = PictureType.I
    frame.key_frame = True
    return frame


def _of(kind: type, reports: list[Report]) -> list[Any]:
    return [report for report in reports if isinstance(report, kind)]


def test_a_stream_is_connected_with_its_first_clean_picture_once_per_opening(rig: Any) -> None:
    """Before it nothing says so, and the size is the picture's."""
    damaged = Picture(None, 0.0, 0.001, damaged=True)
    script = _Script([damaged], [damaged, *_clean(1.0, 1.1)], _clean(2.0, 2.1))
    reports = [report for report in rig(script).run() if isinstance(report, Connected | Broken)]
    assert [type(report) for report in reports] == [Broken, Connected, Broken, Connected, Broken]
    assert reports[1] == Connected("h264", 320, 240, "tcp")
    assert [report.live for report in _of(Broken, reports)] == [False, True, True]


def test_ten_seconds_of_damage_break_a_stream(rig: Any) -> None:
    """Packets that give nothing count as time, whether they are damaged or empty."""
    nothing = [Picture(None, at, 0.001, damaged=at % 2 == 0) for at in range(1, 30)]
    reports = rig(_Script([*_clean(0.0), *nothing])).run()
    (broken,) = _of(Broken, reports)
    assert (broken.fault, broken.message) == (SourceFault.DECODE, "no clean picture for 10 s")
    assert _of(Counts, reports)[-1].decode_errors == 5


def test_the_time_between_two_openings_is_no_time_without_a_picture(rig: Any) -> None:
    """A camera that was away for a minute gets its ten seconds again."""
    nothing = [[Picture(None, at, 0.001)] for at in (0.0, 60.0)]
    faults = [broken.fault for broken in _of(Broken, rig(_Script(*nothing)).run())]
    assert faults == [SourceFault.EOF, SourceFault.EOF]


def test_a_frame_that_finds_no_slot_keeps_its_silence_for_the_next(rig: Any) -> None:
    """A gap before a picture that was not handed over is told with the one that is."""
    one = rig(_Script(_clean(*[number / 10 for number in range(SLOTS)], 5.0)))
    reports = one.run()
    assert len(_of(FrameRecord, reports)) == SLOTS
    assert _of(Counts, reports)[-1].dropped[DropReason.BUSY] == 1
    one.worker._free.append(0)
    one._script.openings.append(_clean(5.1))
    (record_,) = _of(FrameRecord, one.run())
    assert record_.silence == pytest.approx(4.8)


def test_a_seam_is_an_endless_silence_and_no_gap(rig: Any) -> None:
    """Neither the window nor the measured rate spans it."""
    seam = [Picture(_frame(), 9.0, 0.001, seam=True, packet=2)]
    one = rig(_Script([*_clean(0.0), *seam]))
    assert [frame.silence for frame in _of(FrameRecord, one.run())] == [math.inf, math.inf]
    assert not one.worker._intake._rate._gaps


def test_pictures_that_are_left_out_are_counted_and_bend_no_rate(rig: Any) -> None:
    """They were received and dropped for the rate, and the period that is told is the camera's."""
    pictures = []
    for number in range(5):
        pictures += _clean(number * 0.8)
        pictures += [Picture(None, number * 0.8, 0.0, left_out=True)] * 3
    one = rig(_Script(pictures))
    counts = _of(Counts, one.run())[-1]
    assert (counts.received, counts.dropped[DropReason.RATE]) == (20, 15)
    assert one.worker._intake._rate.period == pytest.approx(0.2)


def test_nothing_is_left_out_before_a_clean_picture_nor_in_quarantine(rig: Any) -> None:
    """Each picture may be the one that ends it; between two picks of a clean stream most are not wanted."""
    script = _Script([])
    wanted: list[bool] = []

    def pictures() -> Iterator[Picture]:
        ask = script.asked[-1]["wanted"]
        for picture in [*_clean(0.0), Picture(None, 0.01, 0.0, damaged=True), *_clean(0.03)]:
            wanted.append(ask(picture.at, math.inf))
            yield picture
        wanted.append(ask(0.035, math.inf))
        wanted.append(ask(0.05, math.inf))

    script.openings[0] = pictures()  # type: ignore[call-overload]  # a list is what others need
    rig(script).run()
    assert wanted == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("fault", "software"),
    [
        (SourceFault.DECODE, True),
        (SourceFault.OTHER, False),
        (SourceFault.UNSUPPORTED, False),
        (SourceFault.EOF, False),
        (SourceFault.STALL, False),
    ],
)
def test_what_a_device_may_have_spoilt_is_decoded_on_the_cpu_from_then_on(
    fault: SourceFault, software: bool, rig: Any
) -> None:
    """After an opening without clean pictures; what a camera refuses says nothing about the device."""
    script = _Script(_clean(0.0), _clean(1.0), _clean(2.0), fault=fault)
    rig(script).run()
    assert [asked["software"] for asked in script.asked] == [False, software, software]


def test_the_period_of_a_frame_is_measured(rig: Any) -> None:
    """A camera that declares 25 and sends less than one a second is told as that."""
    one = rig(_Script(_clean(0.0, 1.25, 2.5), _clean(3.75, 5.0)))
    one.worker._free.extend([0, 1])
    assert [frame.period for frame in _of(FrameRecord, one.run())] == pytest.approx(
        [0.1, 0.1, 0.1, 0.1, 1.25]
    )


def test_the_next_opening_waits_as_long_as_the_camera_is_slow(rig: Any) -> None:
    """So many measured periods, and twice as long after a stall that brought nothing."""
    slow, stalling = _Script(_clean(0.0, 2.0, 4.0, 6.0), []), _Script([], [], fault=SourceFault.STALL)
    rig(slow).run()
    rig(stalling).run()
    assert [asked["read_timeout"] for asked in slow.asked] == [1.4, 4.8]
    assert [asked["read_timeout"] for asked in stalling.asked] == [1.4, 2.8]


def test_an_address_is_changed_only_while_none_works(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that was seen there is looked for there again; all openings share what is known of its name."""
    failed: list[int] = []
    script = _Script([], [], _clean(0.0), _clean(1.0))
    monkeypatch.setattr(Resolver, "failed", lambda _: failed.append(len(script.asked)))
    rig(script).run()
    assert failed == [1, 2]
    assert len({id(asked["names"]) for asked in script.asked}) == 1


def test_a_stream_that_is_read_at_a_remembered_address_says_so(rig: Any) -> None:
    """The daemon learns of the dead name server with the picture."""
    one = rig(_Script(_clean(0.0)))
    one.worker._names.from_memory = True
    assert [report.from_memory for report in _of(Connected, one.run())] == [True]


def test_ten_good_seconds_end_an_outage(rig: Any) -> None:
    """The stream is then tried again at once, and otherwise with growing gaps."""
    script = _Script([], [], _clean(*[number / 10 for number in range(102)]))
    gaps = [broken.retry_in for broken in _of(Broken, rig(script).run())]
    assert gaps == pytest.approx([0.5, 1.1, 0.5], abs=0.3)  # what the script took is taken off


def test_what_a_try_took_is_taken_off_the_wait_for_the_next(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera that lets each try hang for 0.4 seconds is asked again 1.1 seconds after it was asked."""

    class Slow(_Script):
        now = 100.0

        def pictures(self) -> Iterator[Picture]:
            self.now += 0.4
            return super().pictures()

    script = Slow([], [], fault=SourceFault.HANDSHAKE_TIMEOUT)
    one = rig(script)
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: script.now))
    assert [broken.retry_in for broken in _of(Broken, one.run())] == pytest.approx([0.5, 0.7])


def test_the_process_forgets_its_environment_before_it_reads_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Secrets that the configuration takes from the environment are none of a worker's business."""
    left: dict[str, str] = {}

    class Idle:
        def __init__(self, *_: object) -> None:
            left.update(os.environ)

        def run(self) -> None:
            pass

    monkeypatch.setattr(worker, "Worker", Idle)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker.allowance, "bound", lambda _: None)  # it would hold for all tests that follow
    before = dict(os.environ)
    daemon, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    descriptor = mailbox.create(_ORDER.slot_bytes)
    try:
        os.environ.update({"CAMERA_PASSWORD": "s3cret", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"})
        socket.send_fds(daemon, [b"mailbox"], [descriptor])
        worker.main(_ORDER, theirs)
    finally:
        os.environ.clear()
        os.environ.update(before)
        os.close(descriptor)
        daemon.close()
        theirs.close()
    assert "CAMERA_PASSWORD" not in left
    assert (left["LC_ALL"], left["OMP_NUM_THREADS"], left["PATH"]) == ("C.UTF-8", "1", before["PATH"])


def _pictures(file: Path, promises: list[float], **options: Any) -> list[Picture]:

    def promise(seconds: float) -> None:
        promises.append(seconds)
        assert len(promises) < 1000, "the file is played for ever"

    source = Source(SourceOrder(str(file), **options), Event(), promise, read_timeout=1.5)
    try:
        return list(source.pictures())
    finally:
        source.close()


@pytest.mark.parametrize("loop", [True, False])
def test_a_file_without_a_picture_is_an_error_and_no_end(loop: bool, tmp_path: Path) -> None:
    """It would be played in vain for ever, or be taken for one that was seen."""
    file = record(Scene(), tmp_path / "clip.mp4", 0.5)
    content = file.read_bytes()
    start = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    file.write_bytes(content[:start] + bytes(end - start) + content[end:])
    with pytest.raises(SourceError, match="expected pictures in the file, found none") as caught:
        _pictures(file, [], loop=loop)
    assert caught.value.fault is SourceFault.DECODE


def test_waiting_for_a_picture_of_a_file_is_promised_again_and_again(tmp_path: Path) -> None:
    """No promise of a wait is longer than a few seconds, and every second there is a new one."""
    promises: list[float] = []
    with pytest.raises(SourceError, match="the file is over"):
        _pictures(record(Scene(fps=0.8), tmp_path / "slow.mp4", 2.5), promises)
    assert promises.count(2.0) >= 2
    assert max(promises) <= 13.0


def test_a_folder_is_no_video_file(tmp_path: Path) -> None:
    """The message says what is there."""
    with pytest.raises(SourceError, match=f"expected a video file at {tmp_path}, found a directory"):
        _pictures(tmp_path, [])
