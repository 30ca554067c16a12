"""Where the units of a coded packet begin, in H.264 and H.265 (NAL units), and how their bits are read. Pure."""

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


_LONGEST_CODE = 32
"""Zeros before the number in an Exp-Golomb code."""


class TooShortError(Exception):
    """The data end before what should stand there."""


class Bits:
    """Reads the payload of a unit bit by bit, without what prevents start codes (ITU-T H.264, 7.2, 7.4.1, 9.1)."""

    def __init__(self, unit: bytes | memoryview) -> None:
        payload = bytes(unit).replace(b"\x00\x00\x03", b"\x00\x00")
        self._value = int.from_bytes(payload, "big")
        self._left = len(payload) * 8

    def take(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        if count > self._left:
            raise TooShortError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def unsigned(self) -> int:
        """Return an Exp-Golomb code, ue(v)."""
        rest = self._value & ((1 << self._left) - 1)
        zeros = self._left - rest.bit_length()
        if not rest or zeros > _LONGEST_CODE:
            raise TooShortError
        return self.take(2 * zeros + 1) - 1

    def signed(self) -> int:
        """Return a signed Exp-Golomb code, se(v)."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
