"""What is collected of a recording's light."""

import numpy as np
import pytest
from av.video.frame import VideoFrame

from support.pictures import grey
from tocsin.capture.shrink import Shrinker
from tocsin.footage.camera import InputSize
from tocsin.frame import Correction
from tocsin.light.plan import Mode, Policy
from tocsin.light.treat import Treatment
from tocsin.lightcard.facts import EXHIBITS, Collector, light_of

SIZE = InputSize(128, 128)


def picture(low: int, high: int, width: int = 64, height: int = 48) -> VideoFrame:
    """A slope from one luma value on the left to another on the right."""
    pixels = grey(width, height)
    pixels[:height] = np.linspace(low, high, width).astype(np.uint8)
    return VideoFrame.from_ndarray(pixels, format="yuv420p")


FLAT, CLEAR, BRIGHT = (100, 120), (16, 235), (190, 235)


def test_one_picture_is_shown_as_the_detector_gets_it() -> None:
    """Before is the shrunk picture, after the same treated by the daemon's own code."""
    collector = Collector(Policy(), SIZE)
    frame = picture(*FLAT)
    collector.add(frame, 0.0)
    (exhibit,) = collector.facts().exhibits
    shrunk = np.empty((96 * 3 // 2, 128), np.uint8)
    Shrinker().shrink(frame, shrunk)
    np.testing.assert_array_equal(exhibit.before, shrunk)
    treated = Treatment(Policy()).treat(shrunk, 0.0)
    np.testing.assert_array_equal(exhibit.after, shrunk)
    assert exhibit.moment.correction is treated.plan.correction is not Correction.NONE
    assert exhibit.moment.light == treated.light
    assert exhibit.light_after == light_of(shrunk)
    assert (exhibit.width, exhibit.height) == (64, 48)


def test_light_is_measured_without_touching_the_picture() -> None:
    """Measuring what was corrected corrects nothing again."""
    pixels = grey(64, 48, 100)
    before = pixels.copy()
    assert light_of(pixels).mean == pytest.approx(97.8, abs=0.1)
    np.testing.assert_array_equal(pixels, before)


def test_a_steady_recording_shows_evenly_spread_moments() -> None:
    """Without a change of correction the exhibits lie evenly over the time, from the first picture to the last."""
    collector = Collector(Policy(mode=Mode.OFF), SIZE)
    for number in range(500):
        collector.add(picture(*CLEAR), number / 10)
    facts = collector.facts()
    times = [exhibit.moment.at for exhibit in facts.exhibits]
    assert len(times) == EXHIBITS
    assert (times[0], times[-1]) == (0.0, 49.9)
    even = (times[-1] - times[0]) / (EXHIBITS - 1)
    assert np.diff(times) == pytest.approx(even, rel=0.35)
    assert facts.change_count == 0
    assert facts.corrections == {Correction.NONE: 500}


def test_changes_of_correction_are_among_the_exhibits() -> None:
    """The picture with which the correction changes is shown, wherever it lies."""
    collector = Collector(Policy(mode=Mode.DACOT), SIZE)
    for number in range(200):
        collector.add(picture(*(BRIGHT if 63 <= number < 142 else CLEAR)), number / 10)
    facts = collector.facts()
    times = [exhibit.moment.at for exhibit in facts.exhibits]
    changes = [change.at for change in facts.changes]
    assert len(changes) == facts.change_count == 2
    assert set(changes) <= set(times)
    assert times == sorted(times)
    assert facts.treated == 200
    assert facts.corrections[Correction.DARKEN_CLAHE] >= 70


def test_exhibits_are_few_however_often_the_correction_changes() -> None:
    """A flickering recording keeps no more pictures than a steady one."""
    collector = Collector(Policy(mode=Mode.DACOT), SIZE)
    for number in range(0, 400, 10):  # far apart, so that nothing that steadies a decision keeps it
        collector.add(picture(*(BRIGHT if number % 20 else CLEAR)), float(number))
    facts = collector.facts()
    assert facts.change_count == 39
    assert len(facts.exhibits) <= EXHIBITS


def test_a_recording_may_change_its_size() -> None:
    """Each picture is shrunk from its own size."""
    collector = Collector(Policy(), SIZE)
    collector.add(picture(*CLEAR), 0.0)
    collector.add(picture(*CLEAR, width=48, height=64), 0.1)
    assert [exhibit.before.shape for exhibit in collector.facts().exhibits] == [(144, 128), (192, 96)]


def test_time_does_not_run_backwards() -> None:
    """A picture with an earlier time than the one before counts as of the same time."""
    collector = Collector(Policy(), SIZE)
    for at in (1.0, 0.2, 1.5):
        collector.add(picture(*CLEAR), at)
    assert [exhibit.moment.at for exhibit in collector.facts().exhibits] == [1.0, 1.0, 1.5]
