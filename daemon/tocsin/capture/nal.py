"""Where the units of a coded packet begin, in H.264 and H.265 (NAL units). Pure."""

import re
from collections.abc import Iterator

_START_CODE = re.compile(rb"\x00\x00\x01")

_LENGTH_AT = {"h264": 4, "hevc": 21}
"""The byte that tells it in the records of H.264 and H.265 (ISO/IEC 14496-15, 5.3.3 and 8.3.3)."""


def length_size(codec: str, extradata: bytes | None) -> int:
    """Return of how many bytes the length before each unit is; 0 where start codes stand between them (Annex B).

    `extradata` are the decoder's parameters: a record, as in MP4, begins with 1, and start codes begin with 0.
    """
    place = _LENGTH_AT.get(codec, 0)
    if not extradata or len(extradata) <= place or extradata[0] != 1:
        return 0
    return (extradata[place] & 3) + 1


def units(packet: bytes | memoryview, size: int) -> Iterator[int]:
    """Yield where each unit of two bytes or more begins; `size` is that of the lengths before them."""
    at, end = 0, len(packet) - 1
    if not size:
        yield from (code.end() for code in _START_CODE.finditer(packet) if code.end() < end)
        return
    while (start := at + size) < end:
        length = int.from_bytes(packet[at:start])
        if length > 1:
            yield start
        at = start + length
