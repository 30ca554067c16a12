"""The picture that ends a refresh is found where the stream says that it is."""

import pytest

from tocsin.capture.refresh import Refreshes

_SLICE = b"\0\0\1\x41\x9a"


def _message(kind: int, content: bytes) -> bytes:
    assert len(content) < 255
    return bytes((kind, len(content))) + content


def _after(count: int, *, flags: int = 0b1000) -> bytes:
    """A recovery point: an Exp-Golomb code, four bits of flags, and a stop bit."""
    text = f"{count + 1:0{2 * (count + 1).bit_length() - 1}b}{flags:04b}1"
    text += "0" * (-len(text) % 8)
    return _message(6, int(text, 2).to_bytes(len(text) // 8))


def _packet(*messages: bytes, behind: bytes = _SLICE) -> bytes:
    return b"\0\0\1\x06" + b"".join(messages) + b"\x80" + behind


def _ends(refreshes: Refreshes, *packets: bytes) -> dict[int, int]:
    """Return with which packet each refresh began, by that with which it ends; all are reference pictures."""
    ends = ((number, refreshes.ended(number, packet, number)) for number, packet in enumerate(packets))
    return {number: began for number, began in ends if began is not None}


def test_a_refresh_ends_so_many_reference_pictures_later() -> None:
    """And with no other."""
    assert _ends(Refreshes(None), _SLICE, _packet(_after(3)), *[_SLICE] * 9) == {4: 1}


def test_pictures_that_are_no_references_do_not_count() -> None:
    """Both fields of one that is do, and a lost one, whose place is passed over, ends nothing."""
    refreshes = Refreshes(None)
    refreshes.ended(1, _packet(_after(2)), 7)
    told = [
        refreshes.ended(2 + step, _SLICE, place) for step, place in enumerate([None, 8, None, 9, 9, None, 10])
    ]
    assert told == [None, None, None, 1, 1, None, None]
    refreshes.ended(9, _packet(_after(2)), 11)
    assert refreshes.ended(10, _SLICE, 14) is None


def test_the_latest_of_those_that_end_together_is_told() -> None:
    """It was exposed to damage for the shortest time."""
    packets = _packet(_after(5)), _SLICE, _packet(_after(3)), _packet(_after(4)), *[_SLICE] * 6
    assert _ends(Refreshes(None), *packets) == {5: 2, 7: 3}


def test_announced_with_each_picture_each_ends_one() -> None:
    """As encoders do that renew without a beginning; more than may overlap wait until there is room."""
    assert _ends(Refreshes(None), *[_packet(_after(3))] * 20) == {
        number: number - 3 for number in range(3, 20)
    }
    many = _ends(Refreshes(None), *[_packet(_after(100))] * 400)
    assert 100 < len(many) < 300
    assert all(end - began == 100 for end, began in many.items())


def test_a_restart_forgets_what_was_announced() -> None:
    """A file that is played again begins where it began."""
    refreshes = Refreshes(None)
    assert _ends(refreshes, _packet(_after(3)), _SLICE) == {}
    refreshes.restart()
    assert refreshes.ended(2, _SLICE, 3) is None


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(_packet(_after(3)), id="alone"),
        pytest.param(_packet(_message(5, bytes(16) + b"by a maker"), _after(3)), id="behind another message"),
        pytest.param(_packet(b"\xff\x10\x02\x01\x01", _after(3)), id="behind one of a high type"),
        pytest.param(_packet(b"\x05\xff\x01" + b"x" * 256, _after(3)), id="behind a long one"),
        pytest.param(_packet(b"\x04\x04\0\0\3\1\0", _after(3)), id="behind one with protected zeros"),
        pytest.param(_packet(_message(0, b"x"), behind=_packet(_after(3))), id="in the second unit"),
        pytest.param(_packet(_after(3, flags=0)), id="approximate"),
    ],
)
def test_a_recovery_point_is_found_among_messages(packet: bytes) -> None:
    """Wherever it stands before the picture."""
    assert _ends(Refreshes(None), packet, *[_SLICE] * 5) == {3: 0}


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(_packet(_after(0)), id="at once, which is a keyframe"),
        pytest.param(_SLICE + _packet(_after(3)), id="behind the picture"),
        pytest.param(_packet(_message(5, b"\x06\x01\x28")), id="within another message"),
        pytest.param(_packet()[:-5] + _after(3), id="behind the last message"),
        pytest.param(b"\0\0\1\x06\x06", id="cut off in its size"),
        pytest.param(b"\0\0\1\x06\x06\x01\x00", id="cut off in its number"),
        pytest.param(b"\0\0\1\x06\xff\xff", id="cut off in its type"),
        pytest.param(b"\0\0\1\x06\x05\xff\xff\xff\x06\x01\x28\x80", id="longer than its unit"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_anything_else_announces_nothing(packet: bytes) -> None:
    """Whatever the bytes."""
    assert _ends(Refreshes(None), packet, *[_SLICE] * 70) == {}


def test_packets_that_are_cut_by_lengths_are_read_as_well() -> None:
    """As in MP4 and FLV."""
    unit = b"\x06" + _after(3) + b"\x80"
    slices = b"\0\0\0\2\x41\x9a"
    packet = len(unit).to_bytes(4) + unit + slices
    assert _ends(Refreshes(b"\1\x64\0\x1f\xff"), packet, *[slices] * 5) == {3: 0}
