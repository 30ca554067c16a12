"""Pictures and clips of an alarm are made beside capture, from the packets that the camera sent."""

import math
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame

from support.films import COUNT, GROUP, RATE, filled, film, packets
from support.wait import until
from tocsin.capture import darkroom as darkrooms
from tocsin.capture.darkroom import Darkroom
from tocsin.capture.order import ViewOrder
from tocsin.capture.wire import Develop, Film, Made
from tocsin.evidence.clip import Copied
from tocsin.evidence.note import Note, text_in
from tocsin.evidence.reel import Kept, Leader, Reel
from tocsin.light.plan import Mode, Policy

VIEW = ViewOrder(160, 160, keep_aspect=True)
BOX = (0.25, 0.25, 0.5, 0.5)


def darkroom(reel: Reel, post: Callable[[Made], None], masks: Sequence = (), began: float = 0.0) -> Darkroom:
    """A darkroom at work that knows a frame for each picture of a film that began then."""
    room = Darkroom(reel, VIEW, Policy(mode=Mode.OFF), masks, post)
    for number in range(COUNT):
        room.handed_over(began + number / RATE, number)
    room.start()
    return room


def file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT)


def made(answers: "queue.SimpleQueue[Made]") -> Made:
    return answers.get(timeout=20)


def shown(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture


def test_the_pictures_are_of_the_frame_that_is_asked_for(tmp_path: Path) -> None:
    """Whole with a box, cut out, and in the light that the detector saw; no other frame's."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put)
    kinds = ("frame", "crop", "corrected")
    for number in (COUNT - 1, COUNT - 60):
        paths = [tmp_path / f"{kind}{number}.jpg" for kind in kinds]
        room.ask(Develop(number, number / RATE, BOX, kinds), [file(path) for path in paths])
        assert made(answers) == Made(number, "")
        frame, crop, corrected = (shown(path) for path in paths)
        assert frame.shape == corrected.shape == (240, 320, 3)
        assert crop.shape[:2] == (160, 200)
        wanted = (number % 200) * 255 / 219
        for picture in (frame[180:, 220:], crop, corrected[180:, 220:]):
            assert abs(float(picture.mean()) - wanted) < 3
        assert np.ptp(frame[60:180, 70:160]) > 100, "the box stands out"


def test_a_plain_picture_is_the_frame_and_nothing_else_and_knows_what_it_shows(tmp_path: Path) -> None:
    """No box is drawn into what a detector shall learn from; a note says where it was."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put)
    path, note = tmp_path / "plain.jpg", Note("alarm_1", "person", 0.81, BOX)
    room.ask(Develop(1, (COUNT - 1) / RATE, BOX, ("plain",), note.text()), [file(path)])
    assert made(answers) == Made(1, "")
    assert np.ptp(shown(path)[60:180, 70:160]) < 10, "nothing stands out"
    assert Note.read(text_in(path.read_bytes())) == note


def test_a_mask_is_black_in_every_picture(tmp_path: Path) -> None:
    """Before anything of it is encoded."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    masks = [((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0))]
    room = darkroom(filled(film()), answers.put, masks)
    kinds = ("frame", "crop", "corrected", "first", "plain")
    paths = [tmp_path / f"{kind}.jpg" for kind in kinds]
    room.ask(Develop(1, (COUNT - 20) / RATE, (0.6, 0.6, 0.9, 0.9), kinds), [file(path) for path in paths])
    assert made(answers) == Made(1, "")
    for path in paths:
        picture = shown(path)
        assert picture[-20:, -20:].max() < 20, path
    assert shown(paths[0])[:100, :100].min() > 60


@pytest.mark.parametrize("at", [0.0, 1e9])
def test_a_frame_that_is_gone_is_told_and_nothing_else_shown(tmp_path: Path, at: float) -> None:
    """Neither one that the reel has dropped nor one that never was."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put)
    room.ask(Develop(7, at, BOX, ("frame",)), [file(tmp_path / "frame.jpg")])
    assert made(answers) == Made(7, "expected the packets of the picture, found them gone")
    assert (tmp_path / "frame.jpg").read_bytes() == b""


def test_a_frame_of_an_earlier_opening_is_gone(tmp_path: Path) -> None:
    """Another frame has its number now, and is not shown for it."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    reel = filled(film())
    room = darkroom(reel, answers.put)
    for number, (packet, video) in enumerate(packets(film())):
        if number == 0:
            reel.opened(Leader(video))
        reel.keep(packet, number, 100.0 + number / RATE)
    room.ask(Develop(1, (COUNT - 1) / RATE, BOX, ("frame",)), [file(tmp_path / "frame.jpg")])
    assert made(answers) == Made(1, "expected the packets of the picture, found them gone")


def test_a_clip_goes_on_while_the_stream_does_and_pictures_are_made_meanwhile(tmp_path: Path) -> None:
    """From a keyframe before its time to its end, as the packets come."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    content = film()
    reel = Reel(5.0, 1 << 30)
    began = time.monotonic()
    room = darkroom(reel, answers.put, began=began)
    for number, (packet, video) in enumerate(packets(content)):
        if number == 0:
            reel.opened(Leader(video))
        reel.keep(packet, number, began + number / RATE)
        room.handed_over(began + number / RATE, number)
        if number == 150:
            room.ask(Film(1, began + 4.5, began + 8.0), [file(tmp_path / "clip.mp4")])
            until(lambda: (tmp_path / "clip.mp4").stat().st_size > 0, 10, "the clip to begin")
            room.ask(Develop(2, began + 5.0, BOX, ("frame",)), [file(tmp_path / "frame.jpg")])
            assert made(answers) == Made(2, "")
    assert made(answers) == Made(1, "")
    with av.open(str(tmp_path / "clip.mp4")) as played:
        count = sum(1 for _ in played.decode(video=0))
    assert count == 201 - 2 * GROUP, "from the keyframe at 4 s to the picture at 8 s"


def test_a_stream_that_dies_leaves_a_shorter_clip(tmp_path: Path) -> None:
    """What there is of it can be played."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put)
    room.ask(Film(1, 10.0, time.monotonic() - 1.0), [file(tmp_path / "clip.mp4")])
    assert made(answers) == Made(1, "")
    with av.open(str(tmp_path / "clip.mp4")) as played:
        assert sum(1 for _ in played.decode(video=0)) == 2 * RATE


@pytest.mark.parametrize("masks", [(), [((0.0, 0.0), (0.1, 0.0), (0.1, 0.1))]], ids=["copied", "anew"])
def test_a_camera_that_floods_leaves_a_shorter_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, masks: Sequence
) -> None:
    """However much it sends there is room left for alarms, and what there is of it can be played."""
    lengths, most, path = list[int](), 1 << 30, tmp_path / "clip.mp4"
    for _ in range(2):
        monkeypatch.setattr(Reel, "room", lambda *_, most=most: most)
        answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
        room = darkroom(filled(film(), seconds=12.0), answers.put, masks)
        room.ask(Film(1, 0.0, 11.9), [file(path)])
        assert made(answers) == Made(1, "")
        with av.open(str(path)) as played:
            lengths.append(sum(1 for _ in played.decode(video=0)))
        most = path.stat().st_size // 3
        path.rename(tmp_path / "before.mp4")
    assert lengths[0] > 1.3 * lengths[1] > 0


def test_pictures_do_not_wait_for_a_clip_that_is_encoded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is alarmed next sees who it was before the film of the last alarm is done."""
    monkeypatch.setattr(darkrooms, "_TURN", 0.0)  # as where one picture takes that long
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put, [((0.0, 0.0), (0.5, 0.0), (0.5, 0.5))])
    room.ask(Film(1, 0.0, 11.9), [file(tmp_path / "clip.mp4")])
    for request in (2, 3):
        room.ask(Develop(request, (COUNT - 1) / RATE, BOX, ("frame",)), [file(tmp_path / "frame.jpg")])
    assert [made(answers) for _ in range(3)] == [Made(2, ""), Made(3, ""), Made(1, "")]


def test_alarms_of_one_frame_have_it_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty rules that see the same thing ask for twenty pictures of it."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = Darkroom(filled(film()), VIEW, Policy(mode=Mode.OFF), (), answers.put)
    room.handed_over(11.0, COUNT - 1)
    calls = []
    developed = darkrooms.developed
    monkeypatch.setattr(darkrooms, "developed", lambda *given: calls.append(given) or developed(*given))
    for request in range(20):
        room.ask(Develop(request, 11.0, BOX, ("frame",)), [file(tmp_path / "frame.jpg")])
    room.start()
    assert [made(answers) for _ in range(20)] == [Made(request, "") for request in range(20)]
    assert len(calls) == 1


def at_hand(at: float, luma: int) -> VideoFrame:
    """A picture of one brightness."""
    planes = np.full((360, 320), 128, np.uint8)
    planes[:240] = luma
    return VideoFrame.from_ndarray(planes, format="yuv420p")


def test_a_picture_that_is_at_hand_waits_for_none_that_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor for a machine that has better to do than to look back ten seconds."""
    held, decoding = threading.Event(), threading.Event()

    def slowly(*_: object) -> VideoFrame:
        decoding.set()
        assert held.wait(20)
        return at_hand(0.0, 16)

    monkeypatch.setattr(darkrooms, "developed", slowly)
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put)
    room.handed_over(12.0, COUNT, at_hand(12.0, 16 + 219))
    room.ask(Develop(1, (COUNT - 1) / RATE, BOX, ("first",)), [file(tmp_path / "first.jpg")])
    assert decoding.wait(20)
    room.ask(Develop(2, 12.0, BOX, ("frame", "crop")), [file(tmp_path / f"{name}.jpg") for name in "ab"])
    assert made(answers) == Made(2, "")
    assert min(shown(tmp_path / f"{name}.jpg")[100:, 100:].mean() for name in "ab") > 240
    held.set()
    assert made(answers) == Made(1, "")


def test_what_people_look_at_first_is_decoded_first(tmp_path: Path) -> None:
    """Where it is at hand no longer."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = Darkroom(filled(film()), VIEW, Policy(mode=Mode.OFF), (), answers.put)
    room.handed_over(11.0, COUNT - 1)
    for request, kind in enumerate(("corrected", "first", "frame", "plain", "frame")):
        room.ask(Develop(request, 11.0, BOX, (kind,)), [file(tmp_path / f"{request}.jpg")])
    room.start()
    assert [made(answers).request for _ in range(5)] == [2, 4, 0, 1, 3]


def test_pictures_that_wait_take_no_memory_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task for which there is no room has its picture decoded; those of one picture share it."""
    monkeypatch.setattr(darkrooms, "_MOST_PINNED", 1)
    decoded: list[object] = []
    developed = darkrooms.developed
    monkeypatch.setattr(darkrooms, "developed", lambda *given: decoded.append(given) or developed(*given))
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = Darkroom(filled(film()), VIEW, Policy(mode=Mode.OFF), (), answers.put)
    for number in (COUNT - 2, COUNT - 1):
        room.handed_over(number / RATE, number, at_hand(0.0, 16))
    for number in (COUNT - 2, COUNT - 2, COUNT - 1):
        room.ask(Develop(number, number / RATE, BOX, ("frame",)), [file(tmp_path / f"{number}.jpg")])
    room.start()
    assert {made(answers) for _ in range(3)} == {Made(COUNT - 2, ""), Made(COUNT - 1, "")}
    assert len(decoded) == 1


def test_a_clip_ends_with_what_no_film_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was before it is kept."""
    add = Copied.add

    def refuse(clip: Copied, kept: Kept) -> None:
        if kept.number == COUNT - 20:
            raise ValueError
        add(clip, kept)

    monkeypatch.setattr(Copied, "add", refuse)
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put)
    room.ask(Film(1, 10.0, time.monotonic() + 60.0), [file(tmp_path / "clip.mp4")])
    assert made(answers) == Made(1, "")
    with av.open(str(tmp_path / "clip.mp4")) as played:
        assert sum(1 for _ in played.decode(video=0)) == 2 * RATE - 20
    room.ask(Film(2, (COUNT - 20) / RATE, 0.0), [file(tmp_path / "clip.mp4")])
    monkeypatch.setattr(Copied, "add", lambda _clip, _kept: int("none"))
    room.ask(Film(3, 10.0, time.monotonic() + 60.0), [file(tmp_path / "none.mp4")])
    assert made(answers).request == 2
    assert made(answers) == Made(3, "expected a clip that can be made, found ValueError")


def test_a_worker_that_ends_leaves_a_whole_clip_of_what_there_is(tmp_path: Path) -> None:
    """A stream that gets another worker, and a daemon that stops, cut no film in two."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put)
    room.ask(Film(1, 10.0, time.monotonic() + 60.0), [file(tmp_path / "clip.mp4")])
    room.finish(10.0)
    assert made(answers) == Made(1, "")
    with av.open(str(tmp_path / "clip.mp4")) as played:
        assert played.duration == 2_000_000
        assert sum(1 for _ in played.decode(video=0)) == 2 * RATE


def test_files_that_did_not_come_are_told(tmp_path: Path) -> None:
    """A process that has too many open gets none of them; the next request finds it at work."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put)
    room.ask(Film(1, 10.0, 11.0), [])
    room.ask(Develop(2, (COUNT - 1) / RATE, BOX, ("frame", "crop")), [file(tmp_path / "frame.jpg")])
    room.ask(Develop(3, (COUNT - 1) / RATE, BOX, ("frame",)), [file(tmp_path / "frame.jpg")])
    assert made(answers) == Made(1, "expected 1 files to write into, found 0")
    assert made(answers) == Made(2, "expected 2 files to write into, found 1")
    assert made(answers) == Made(3, "")


def test_an_error_that_nobody_expected_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the darkroom hears of it, for there are no pictures from here on."""
    broken: queue.SimpleQueue[Exception] = queue.SimpleQueue()
    room = Darkroom(filled(film()), VIEW, Policy(mode=Mode.OFF), (), lambda _: None, broken.put)
    monkeypatch.setattr(Darkroom, "_frame", lambda _room, _at: {}[0])
    room.start()
    room.ask(Develop(1, 1.0, BOX, ("frame",)), [file(tmp_path / "frame.jpg")])
    assert isinstance(broken.get(timeout=20), KeyError)


def test_a_camera_that_is_opened_again_ends_the_clip(tmp_path: Path) -> None:
    """Two openings do not fit into one film."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    reel = filled(film())
    room = darkroom(reel, answers.put)
    room.ask(Film(1, 10.0, time.monotonic() + 60.0), [file(tmp_path / "clip.mp4")])
    until(lambda: (tmp_path / "clip.mp4").stat().st_size > 0, 10, "the clip to begin")
    for number, (packet, video) in enumerate(packets(film())):
        if number == 0:
            reel.opened(Leader(video))
        reel.keep(packet, number, number / RATE)
    assert made(answers) == Made(1, "")


def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path) -> None:
    """And the darkroom goes on."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put)
    room.ask(Develop(1, (COUNT - 1) / RATE, BOX, ("frame",)), [os.open("/dev/full", os.O_WRONLY)])
    assert made(answers) == Made(1, "expected to write a picture, found no space left on device")
    room.ask(Film(2, 9.0, 11.0), [os.open("/dev/full", os.O_WRONLY)])
    assert made(answers).fault == "expected to write the clip, found no space left on device"
    room.ask(Develop(3, (COUNT - 1) / RATE, BOX, ("frame",)), [file(tmp_path / "frame.jpg")])
    assert made(answers) == Made(3, "")


def test_a_box_that_is_none_is_told(tmp_path: Path) -> None:
    """One wrong alarm does not take the pictures of the next one with it."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    room = darkroom(filled(film()), answers.put)
    nowhere = (math.nan, 0.0, 0.1, 0.1)
    room.ask(Develop(1, (COUNT - 1) / RATE, nowhere, ("frame",)), [file(tmp_path / "frame.jpg")])
    assert made(answers) == Made(1, "expected a picture that can be made, found ValueError")
    room.ask(Develop(2, (COUNT - 1) / RATE, BOX, ("frame",)), [file(tmp_path / "frame.jpg")])
    assert made(answers) == Made(2, "")


def test_a_stream_of_which_nothing_can_be_kept_is_told_with_the_reason(tmp_path: Path) -> None:
    """Keyframes too far apart for the memory are a setting of the camera; a codec is another."""
    answers: queue.SimpleQueue[Made] = queue.SimpleQueue()
    unknown = Reel(5.0, 100_000)
    unknown.opened(None)
    for reel, found in (
        (filled(film(), most=1500, until=COUNT - 1), "more than 0.0015 MB since the last one"),
        (unknown, "a codec that no film can hold"),
    ):
        room = darkroom(reel, answers.put)
        room.ask(Film(1, 0.0, time.monotonic() - 10), [file(tmp_path / "clip.mp4")])
        room.ask(Develop(2, 1.0, BOX, ("frame",)), [file(tmp_path / "frame.jpg")])
        told = {made(answers) for _ in range(2)}
        assert told == {Made(n, f"expected the packets from a keyframe on, found {found}") for n in (1, 2)}
