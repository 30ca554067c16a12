"""Which pictures end a refresh that an H.264 stream announced in place of a keyframe. Pure.

Encoders for low latency send no keyframe but the first: they renew the picture strip by strip, each built on
renewed ones alone, and say with the picture that begins it how many reference pictures later all is right (the
recovery point of ITU-T H.264 (08/2021), D.1.8 and D.2.8). A count of 0 is what FFmpeg marks as a keyframe itself.
H.265 is left out: x265 announces no refresh, and after a missing picture FFmpeg complains of each until a keyframe.
"""

from bisect import insort

from tocsin.capture.nal import Bits, TooShortError, length_size, units

_MESSAGES, _SLICES = 6, range(1, 6)
_RECOVERY_POINT = 6
_TRAILER = 0x80
"""What ends a unit; no message is of this type."""

_SIZE = 512
"""Bytes of a unit of messages that are read; the recovery point stands among the first."""

_MOST = 64
"""Refreshes that may overlap: some encoders announce one with each picture. The ones that end last are left out."""


class Refreshes:
    """Follows the refreshes of a stream with these parameters, packet by packet in the order of decoding."""

    def __init__(self, extradata: bytes | None) -> None:
        self._length_size = length_size("h264", extradata)
        self._under_way: list[tuple[int, int]] = []

    def restart(self) -> None:
        """Note that what comes has nothing to do with what was before."""
        self._under_way.clear()

    def ended(self, number: int, packet: bytes | memoryview, place: int | None) -> int | None:
        """Return the number of the packet with which the refresh began that ends with this one's picture, if any.

        `place`: of the picture among the reference pictures, None where it is none. By the standard what is shown
        from this picture on is right when nothing was damaged from that packet on (see `Quarantine`). Whether the
        stream calls it exact makes no difference, nor whether it calls the link to what was before broken.
        """
        if place is None:
            return None
        if count := self._announced(packet):
            insort(self._under_way, (place + count, number))
            del self._under_way[_MOST:]
        if not self._under_way:
            return None
        while self._under_way and self._under_way[0][0] < place:
            del self._under_way[0]
        # It is not removed yet: the next packet may hold the second field of the picture.
        return max((began for end, began in self._under_way if end == place), default=None)

    def _announced(self, packet: bytes | memoryview) -> int:
        for at in units(packet, self._length_size):
            kind = packet[at] & 31
            if kind in _SLICES:
                return 0
            if kind == _MESSAGES and (count := _recovery_point(Bits(packet[at + 1 : at + 1 + _SIZE]))):
                return count
        return 0


def _recovery_point(bits: Bits) -> int:
    """Return recovery_frame_cnt of the recovery point among the messages of a unit (7.3.2.3.1), 0 without one."""
    try:
        while True:
            kind, size = _number(bits), _number(bits)
            if kind == _RECOVERY_POINT:
                return bits.unsigned()
            if kind == _TRAILER:
                return 0
            bits.take(8 * size)
    except TooShortError:
        return 0


def _number(bits: Bits) -> int:
    """Return the type or the size of a message (7.3.2.3.1)."""
    whole = 0
    while (byte := bits.take(8)) == 255:
        whole += byte
    return whole + byte
