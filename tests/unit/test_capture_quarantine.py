"""Which decoded pictures can be believed, and when there were too few of them."""

from tocsin.capture.quarantine import Drought, Quarantine


def test_nothing_passes_before_the_first_keyframe() -> None:
    """A stream that is joined midway begins with its first keyframe."""
    quarantine = Quarantine()
    assert not quarantine.passes(keyframe=False, corrupt=False)
    assert quarantine.passes(keyframe=True, corrupt=False)
    assert quarantine.passes(keyframe=False, corrupt=False)


def test_after_a_decode_error_nothing_passes_until_a_clean_keyframe() -> None:
    """Pictures that build on a damaged one are damaged too, though nothing marks them."""
    quarantine = Quarantine()
    assert quarantine.passes(keyframe=True, corrupt=False)
    quarantine.damage()
    assert not quarantine.passes(keyframe=False, corrupt=False)
    assert not quarantine.passes(keyframe=True, corrupt=True)
    assert not quarantine.passes(keyframe=False, corrupt=False)
    assert quarantine.passes(keyframe=True, corrupt=False)


def test_a_picture_marked_corrupt_begins_a_quarantine() -> None:
    """The mark of the decoder is believed at once."""
    quarantine = Quarantine()
    assert quarantine.passes(keyframe=True, corrupt=False)
    assert not quarantine.passes(keyframe=False, corrupt=True)
    assert not quarantine.passes(keyframe=False, corrupt=False)


def test_ten_seconds_without_a_clean_picture_are_too_many() -> None:
    """The time runs from the first thing that came, and from each clean picture anew."""
    drought = Drought()
    drought.opened()
    assert drought.exceeded(100.0, 0.04) is None
    assert drought.exceeded(109.9, 0.04) is None
    drought.clean(109.9)
    assert drought.exceeded(119.8, 0.04) is None
    assert drought.exceeded(119.9, 0.04) == 10.0


def test_a_slow_camera_has_five_periods_to_show_a_clean_picture() -> None:
    """Ten seconds are two pictures of some cameras."""
    drought = Drought()
    assert drought.exceeded(0.0, 4.0) is None
    assert drought.exceeded(19.9, 4.0) is None
    assert drought.exceeded(20.0, 4.0) == 20.0


def test_openings_that_bring_no_clean_picture_make_the_next_one_longer() -> None:
    """A camera with a keyframe every twenty seconds is seen in the end; a clean picture restores the limit."""
    drought, limits = Drought(), []
    for _ in range(5):
        drought.opened()
        drought.exceeded(0.0, 0.04)
        limits.append(drought.exceeded(1000.0, 0.04))
    assert limits == [10.0, 20.0, 40.0, 60.0, 60.0]
    drought.clean(2000.0)
    assert drought.exceeded(2010.0, 0.04) == 10.0
