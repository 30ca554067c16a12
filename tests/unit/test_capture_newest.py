"""Newest frame wins, and the stream served longest ago goes first."""

import numpy as np

from tocsin.capture.newest import Newest
from tocsin.frame import WHOLE, Correction, Frame, Light, Reason, View


def _frame(stream: str, number: int, silence: float = 0.1) -> Frame:
    view = View(
        WHOLE, 2, 2, Light(0, 0, 0, 0, 0, 0), Correction.NONE, Reason.GOOD, np.zeros((3, 2), np.uint8)
    )
    return Frame(stream, number, float(number), 0.1, silence, 2, 2, (view,))


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


def test_nothing_to_take_is_an_empty_list() -> None:
    """The engine comes around though no camera brings anything."""
    assert Newest().take(8, 0.0) == []
