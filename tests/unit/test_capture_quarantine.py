"""Which decoded pictures can be believed, and when there were too few of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.capture.quarantine import Blindness, Drought, Leniency, Quarantine


def _shown(quarantine: Quarantine, *pictures: int | str) -> list[bool]:
    """Show pictures by the number of their packet in the order of showing.

    "K3" is a keyframe, "3-9" the ninth, with which a refresh ends that began with the third.
    """
    return [_passes(quarantine, str(one)) for one in pictures]


def _passes(quarantine: Quarantine, picture: str) -> bool:
    began, _, packet = picture.removeprefix("K").rpartition("-")
    since = int(began or packet) if began or picture[0] == "K" else None
    return quarantine.passes(int(packet), since=since, corrupt=False)


def _begun() -> Quarantine:
    quarantine = Quarantine()
    assert _shown(quarantine, "K1", 2, 3) == [True] * 3
    return quarantine


def test_nothing_passes_before_the_first_keyframe() -> None:
    """A stream that is joined midway begins with its first keyframe."""
    assert _shown(Quarantine(), 1, 2, "K3", 4) == [False, False, True, True]


def test_after_damage_nothing_passes_until_a_clean_keyframe() -> None:
    """Pictures that build on a damaged one are damaged too, though nothing marks them."""
    quarantine = _begun()
    quarantine.damage(4)
    assert _shown(quarantine, 5, 6, "K7", 8) == [False, False, True, True]


def test_a_keyframe_that_is_itself_damaged_ends_nothing() -> None:
    """Nor does one that the lost packets may have been of."""
    quarantine = _begun()
    quarantine.damage(4)
    assert _shown(quarantine, "K4", 5) == [False, False]
    quarantine.damage(6, reach=1)
    assert _shown(quarantine, "K7", 8, "K9") == [False, False, True]


def test_a_picture_marked_corrupt_begins_a_quarantine() -> None:
    """The mark of the decoder is believed at once, on a keyframe too."""
    quarantine = _begun()
    assert not quarantine.passes(4, since=4, corrupt=True)
    assert _shown(quarantine, 5, "K6") == [False, True]


def test_what_was_decoded_before_the_damage_and_comes_out_after_it_passes() -> None:
    """But for the picture before it, of which it may be the second field."""
    quarantine = _begun()
    quarantine.damage(6)
    assert _shown(quarantine, 4, 5, 6, 7) == [True, False, False, False]


def test_what_was_damaged_comes_out_late_and_does_not_slip_through() -> None:
    """A picture that is shown after a later one is judged by the packet that it was made of."""
    quarantine = _begun()
    quarantine.damage(4)
    assert _shown(quarantine, 5, "K7", 6, 8) == [False, True, False, True]


def test_what_is_shown_before_the_keyframe_of_an_open_group_is_not_believed() -> None:
    """Its leading pictures are sent after it and build on what was before."""
    quarantine = _begun()
    quarantine.damage(4)
    assert _shown(quarantine, 8, 9, "K7", 10) == [False, False, True, True]


def test_damage_that_is_told_while_the_keyframe_still_waits_keeps_it_in() -> None:
    """The keyframe of packet 5 comes out after packet 6, which was damaged, was decoded: both may be its fields."""
    quarantine = _begun()
    quarantine.damage(4)
    quarantine.damage(6)
    assert _shown(quarantine, "K5", "K6", "K7") == [False, False, True]


def test_the_second_of_two_refreshes_is_as_good_as_a_keyframe() -> None:
    """What was sent before and is shown after is not: it may build on what was before."""
    assert _shown(Quarantine(), 1, "2-5", 6, "7-9", 8, 10) == [False, False, False, True, False, True]
    quarantine = _begun()
    quarantine.damage(4)
    assert _shown(quarantine, 5, "5-7", 8, "7-9", 10) == [False, False, False, True, True]


def test_refreshes_that_overlap_are_one() -> None:
    """The second begins where the first has ended."""
    assert _shown(Quarantine(), 1, "2-5", "3-6", "4-7", "5-8", 9) == [False, False, False, False, True, True]


@pytest.mark.parametrize(
    ("damaged", "ends"),
    [
        pytest.param(5, "21-24", id="the first picture of the first"),
        pytest.param(7, "21-24", id="within the first"),
        pytest.param(10, "21-24", id="between the two"),
        pytest.param(14, "29-32", id="within the second"),
    ],
)
def test_damage_before_the_end_of_the_second_refresh_begins_anew(damaged: int, ends: str) -> None:
    """Whichever picture it is, the two that follow it have to be whole."""
    quarantine, first = _begun(), ""
    refreshes = {end: f"{end - 3}-{end}" for end in (8, 16, 24, 32, 40)}
    quarantine.damage(4)
    for packet in range(5, 45):
        if packet == damaged:
            quarantine.damage(packet)
        picture = refreshes.get(packet, str(packet))
        if _passes(quarantine, picture):
            first = picture
            break
    assert first == ends


def test_damage_that_is_told_while_the_end_of_a_refresh_still_waits_keeps_it_in() -> None:
    """It is shown after a later picture was decoded, and that one may be its second field."""
    quarantine = _begun()
    quarantine.damage(4)
    assert _shown(quarantine, "5-7") == [False]
    quarantine.damage(10)
    assert _shown(quarantine, "7-9", "11-13", "13-15", 16) == [False, False, True, True]


@given(st.lists(st.sampled_from(["damage", "loss", "picture", "keyframe"]), max_size=60))
def test_no_picture_between_damage_and_the_next_clean_keyframe_ever_passes(story: list[str]) -> None:
    """Whatever happens in whatever order, with pictures that come out as they are decoded."""
    quarantine, clean, spared = Quarantine(), False, 0
    for packet, event in enumerate(story, start=1):
        if event in ("damage", "loss"):
            quarantine.damage(packet, reach=event == "loss")
            clean, spared = False, packet + (event == "loss")
            continue
        clean = clean or (event == "keyframe" and packet > spared)
        since = packet if event == "keyframe" else None
        assert quarantine.passes(packet, since=since, corrupt=False) is clean


def test_only_keyframes_that_a_strict_decoder_refused_make_it_lenient() -> None:
    """A stream in which something is missing, or without a keyframe, is no stricter than its damage."""
    leniency = Leniency()
    leniency.damaged(keyframe=False, missing=False)
    assert not leniency.dried_up()
    leniency.damaged(keyframe=True, missing=True)
    assert not leniency.dried_up()
    assert leniency.strict
    leniency.opened()
    leniency.damaged(keyframe=True, missing=False)
    assert leniency.dried_up()
    assert not leniency.strict
    assert not leniency.dried_up()  # said once


def _minutes(blindness: Blindness, *shares: float) -> list[bool]:
    told = []
    for minute, share in enumerate(shares):
        for second in range(60):
            news = blindness.counted(minute * 60.0 + second, 20, round(20 * share))
            told += [] if news is None else [news]
    return told


def test_a_stream_that_is_mostly_damaged_for_a_minute_is_told_of_once() -> None:
    """And once when it is over; a share between the two says nothing."""
    assert _minutes(Blindness(), 0.0, 0.9, 0.9, 0.3, 0.6, 0.3, 0.0, 0.0, 0.9, 0.9) == [True, False, True]


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
