"""Where units begin, whatever stands between them."""

import pytest

from tocsin.capture.nal import length_size, units


@pytest.mark.parametrize(
    ("codec", "extradata", "size"),
    [
        pytest.param("h264", None, 0, id="nothing is known"),
        pytest.param("h264", b"\0\0\0\1\x67\x88", 0, id="start codes"),
        pytest.param("h264", b"\1\x64\0\x1f\xff", 4, id="a record with four bytes"),
        pytest.param("h264", b"\1\x64\0\x1f\xfc", 1, id="a record with one"),
        pytest.param("h264", b"\1\x64\0\x1f", 0, id="a record that is cut off"),
        pytest.param("hevc", b"\1" + bytes(20) + b"\xfd", 2, id="a record of H.265"),
    ],
)
def test_the_record_tells_the_size_of_lengths(codec: str, extradata: bytes | None, size: int) -> None:
    """It is told in another place for each codec."""
    assert length_size(codec, extradata) == size


@pytest.mark.parametrize(
    ("packet", "size", "starts"),
    [
        pytest.param(b"\0\0\0\1\x67\x88\0\0\1\x65\x88", 0, [4, 9], id="start codes of both lengths"),
        pytest.param(b"\0\0\0\2\x67\x88\0\0\0\2\x65\x88", 4, [4, 10], id="lengths"),
        pytest.param(b"\0\0\2\x65\x88", 1, [3], id="units of nothing"),
        pytest.param(b"\1\x09\2\x65\x88", 1, [3], id="a unit of one byte"),
        pytest.param(b"\xff\x65\x88", 1, [1], id="a length beyond the end"),
        pytest.param(b"\2\x65", 1, [], id="cut off"),
        pytest.param(b"\0\0\1\x65", 0, [], id="cut off after a start code"),
        pytest.param(b"", 0, [], id="nothing"),
    ],
)
def test_units_begin_where_lengths_or_start_codes_end(packet: bytes, size: int, starts: list[int]) -> None:
    """One that is too short to say anything is passed over."""
    assert list(units(packet, size)) == list(units(memoryview(packet), size)) == starts
