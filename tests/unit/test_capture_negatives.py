"""The last pictures are at hand as they were decoded, within a bound."""

import numpy as np
from av.video.frame import VideoFrame

from tocsin.capture.negatives import Negatives


def picture(width: int = 64, height: int = 64) -> VideoFrame:
    return VideoFrame.from_ndarray(np.zeros((height * 3 // 2, width), np.uint8), format="yuv420p")


def test_the_last_pictures_are_found_by_their_time() -> None:
    """As many as there is room for, and the very ones."""
    pictures = [picture() for _ in range(5)]
    negatives = Negatives(3 * 64 * 64 * 3 // 2)
    for at, one in enumerate(pictures):
        negatives.keep(at / 4, one)
    found = [negatives.of(at / 4) for at in range(5)]
    assert found[:2] == [None, None]
    assert [one and one.frame for one in found[2:]] == pictures[2:]
    assert negatives.of(0.6) is None


def test_the_newest_picture_is_at_hand_whatever_its_size() -> None:
    """And none beside it where it takes all the room."""
    negatives = Negatives(64 * 64 * 3 // 2)
    negatives.keep(1.0, picture())
    negatives.keep(2.0, picture(128))
    assert negatives.of(1.0) is None
    assert negatives.of(2.0) is not None


def test_small_pictures_are_no_longer_at_hand_than_others() -> None:
    """A small camera's worker does not grow for a minute until its pictures take what a large one's do."""
    negatives = Negatives()
    for at in range(100):
        negatives.keep(at / 8, picture())
    assert negatives.of(83 / 8) is not None
    assert negatives.of(82 / 8) is None
