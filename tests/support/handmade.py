"""H.264 written bit by bit (ITU-T H.264, 7.3), for what x264 does not make: pictures of one grey, uncompressed.

Such as cameras and recorders for television send: each picture in two fields, each with a slice of its own.
"""

from collections.abc import Iterator

SIDE = 64
"""Pixels, of width and height."""
_BLOCKS = SIDE // 16
_PCM = 25
GROUP = 25
"""Pictures from one keyframe to the next."""

DELIMITER = b"\x00\x00\x00\x01\x09\xf0"
PRIVATE = b"\x00\x00\x00\x01\x1eunspecified\x80"
"""A unit of a type that is free for whatever a maker wants (24 to 31)."""


def grey(number: int) -> int:
    """The luma of a picture."""
    return 20 + number * 7 % 200


def sets(*, fields: bool = False, bits: int = 4, number: int = 0) -> bytes:
    """The parameter sets: the numbers of pictures have so many bits."""
    sequence = _Bits().put(8, 77).put(8, 0).put(8, 30).code(number, bits - 4, 0, 4, 2).put(1, 0)
    sequence.code(_BLOCKS - 1, _BLOCKS // (2 if fields else 1) - 1).put(1, not fields)
    if fields:
        sequence.put(1, 0)
    picture = _Bits().code(number, number).put(2, 0).code(0, 0, 0).put(3, 0).code(0, 0, 0).put(3, 0)
    return _unit(0x67, sequence.put(3, 0b100)) + _unit(0x68, picture)


def picture(
    number: int, counted: int, *, field: int | None = None, bits: int = 4, by: int = 0, needed: bool = True
) -> bytes:
    """The slice of a picture, or of its upper (0) or lower field (1), `counted` being its frame_num.

    `by`: the number of its parameter sets. `needed`: others may be built on it.
    """
    place = number % GROUP
    first = place == 0 and not field
    head = _Bits().code(0, 7, by).put(bits, counted % (1 << bits))
    if field is not None:
        head.put(1, 1).put(1, field)
    if first:
        head.code(number // GROUP % 2)
    head.put(8, 2 * place + (field or 0))
    if needed:
        head.put(2 if first else 1, 0)
    head.code(0)
    for _ in range(_BLOCKS * _BLOCKS // (1 if field is None else 2)):
        head.code(_PCM).align().data(bytes([grey(number)]) * 256 + bytes([128]) * 128)
    return _unit((0x60 if needed else 0) | (5 if first else 1), head)


def stream(pictures: int) -> Iterator[tuple[int, int, bool]]:
    """Yield each picture's number and its place in its group, and whether a group begins with it."""
    for number in range(pictures):
        yield number, number % GROUP, number % GROUP == 0


def _unit(header: int, bits: "_Bits") -> bytes:
    """A NAL unit with its start code, and with what keeps others from standing in it (7.4.1)."""
    unit, zeros = bytearray((0, 0, 0, 1, header)), 0
    for byte in bits.put(1, 1).align().whole():
        if zeros >= 2 and byte <= 3:
            unit.append(3)
            zeros = 0
        unit.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(unit)


class _Bits:
    def __init__(self) -> None:
        self._text: list[str] = []
        self._size = 0

    def put(self, count: int, value: int) -> "_Bits":
        self._text.append(f"{int(value):0{count}b}")
        self._size += count
        return self

    def code(self, *values: int) -> "_Bits":
        """Exp-Golomb codes, ue(v)."""
        for value in values:
            self.put(2 * (value + 1).bit_length() - 1, value + 1)
        return self

    def align(self) -> "_Bits":
        return self.put(-self._size % 8, 0) if self._size % 8 else self

    def data(self, content: bytes) -> "_Bits":
        return self.put(8 * len(content), int.from_bytes(content, "big"))

    def whole(self) -> bytes:
        text = "".join(self._text)
        return int(text, 2).to_bytes(len(text) // 8, "big")
