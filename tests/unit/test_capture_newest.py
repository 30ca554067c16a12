"""Newest frame wins, and the stream served longest ago goes first."""

import threading
import time
from collections import Counter

import numpy as np
import pytest

from tocsin.capture.newest import Newest
from tocsin.frame import WHOLE, Correction, Frame, Light, Reason, View


def _frame(stream: str, number: int, silence: float = 0.1, views: int = 1) -> Frame:
    view = View(
        WHOLE, 2, 2, Light(0, 0, 0, 0, 0, 0), Correction.NONE, Reason.GOOD, np.zeros((3, 2), np.uint8)
    )
    return Frame(stream, number, float(number), 0.1, silence, 2, 2, (view,) * views)


def test_a_newer_frame_takes_the_place_of_one_that_nobody_took() -> None:
    """The older one is given back at once and counts as superseded."""
    newest, given_back = Newest(), []
    assert not newest.put(_frame("a", 1), lambda: given_back.append(1))
    assert newest.put(_frame("a", 2), lambda: given_back.append(2))
    assert given_back == [1]
    (taken,) = newest.take(8, 0.0)
    assert taken.number == 2
    newest.release(taken)
    assert given_back == [1, 2]


def test_the_silence_before_a_lost_frame_counts_for_the_next() -> None:
    """A gap in what was seen is not forgotten because its first frame was not analysed."""
    newest = Newest()
    newest.put(_frame("a", 1, silence=9.0), lambda: None)
    newest.put(_frame("a", 2, silence=0.1), lambda: None)
    assert newest.take(1, 0.0)[0].silence == 9.0


def test_under_overload_every_stream_gets_its_turn() -> None:
    """With room for one frame at a time, three busy streams are served in turn."""
    newest = Newest()
    served = []
    for number in range(1, 10):
        for stream in "abc":
            newest.put(_frame(stream, number), lambda: None)
        (frame,) = newest.take(1, 0.0)
        served.append(frame.stream)
        newest.release(frame)
    assert sorted(served[:3]) == sorted(served[3:6]) == sorted(served[6:]) == ["a", "b", "c"]


def _take(newest: Newest, limit: int) -> list[str]:
    taken = newest.take(limit, 0.0)
    for frame in taken:
        newest.release(frame)
    return [frame.stream for frame in taken]


def test_a_limit_is_one_of_views() -> None:
    """Frames are taken as long as all their views fit; one that does not fit waits for the next turn."""
    newest = Newest()
    for stream, views in (("a", 3), ("b", 7), ("c", 4), ("d", 2)):
        newest.put(_frame(stream, 1, views=views), lambda: None)
    assert _take(newest, 8) == ["a", "c"]
    assert _take(newest, 8) == ["b"]
    assert _take(newest, 8) == ["d"]


def test_a_frame_of_more_views_than_the_limit_comes_alone() -> None:
    """No number of views keeps a stream from being seen."""
    newest = Newest()
    newest.put(_frame("a", 1, views=7), lambda: None)
    newest.put(_frame("b", 1), lambda: None)
    assert [_take(newest, 1), _take(newest, 1)] == [["a"], ["b"]]


def test_under_overload_many_views_do_not_starve_few_nor_few_the_many() -> None:
    """Busy streams of one view and of seven are served equally often."""
    newest, served = Newest(), Counter[str]()
    for number in range(1, 31):
        for stream, views in (("a", 1), ("b", 7), ("c", 1)):
            newest.put(_frame(stream, number, views=views), lambda: None)
        served.update(_take(newest, 4))
    assert max(served.values()) - min(served.values()) <= 1, served


def test_a_frame_does_not_wait_for_others_to_fill_the_batch() -> None:
    """What is there goes at once, however many more would fit and however long one might wait for them."""
    newest = Newest()
    newest.put(_frame("a", 1), lambda: None)
    begun = time.monotonic()
    assert [frame.stream for frame in newest.take(8, timeout=60.0)] == ["a"]
    assert time.monotonic() - begun < 5


def test_a_frame_that_comes_ends_the_wait() -> None:
    """An engine that waits takes the first frame when it comes, not when its patience ends."""
    newest = Newest()
    camera = threading.Timer(0.05, lambda: newest.put(_frame("a", 1), lambda: None))
    begun = time.monotonic()
    camera.start()
    assert [frame.stream for frame in newest.take(8, timeout=60.0)] == ["a"]
    assert 0.05 <= time.monotonic() - begun < 5
    camera.join()


@pytest.mark.parametrize(("streams", "room"), [(5, 3), (8, 3), (9, 8), (3, 8)])
def test_under_overload_batches_go_round_and_hold_the_newest(streams: int, room: int) -> None:
    """Whatever the room: no stream is ever more than one turn behind another, and none gets an old picture."""
    newest, served = Newest(), Counter[str]({str(name): 0 for name in range(streams)})
    for number in range(40):
        for name in range(streams):
            newest.put(_frame(str(name), 2 * number), lambda: None)
            newest.put(_frame(str(name), 2 * number + 1), lambda: None)
        taken = newest.take(room, 0.0)
        assert len(taken) == min(room, streams)
        assert {frame.number for frame in taken} == {2 * number + 1}
        served.update(frame.stream for frame in taken)
        assert max(served.values()) - min(served.values()) <= 1, served


def test_nothing_to_take_is_an_empty_list() -> None:
    """The engine comes around though no camera brings anything."""
    assert Newest().take(8, 0.0) == []
