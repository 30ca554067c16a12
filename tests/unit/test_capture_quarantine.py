"""Which decoded pictures can be believed."""

from tocsin.capture.quarantine import Quarantine


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
