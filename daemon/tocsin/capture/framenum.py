"""Whether a reference picture of an H.264 stream never came: nobody else tells when a camera left one out. Pure.

Over TCP FFmpeg conceals it without a word, and all that builds on it is wrong until the next keyframe. The numbers
of the pictures tell (ITU-T H.264 (08/2021), 7.3.2.1, 7.3.2.2, 7.3.3 and 7.4.3, frame_num and PrevRefFrameNum).
"""

from dataclasses import dataclass

from tocsin.capture.nal import Bits, TooShortError, length_size, units

_SLICE, _PARTITION, _IDR, _SPS, _PPS = 1, 2, 5, 7, 8

_HEADER = 24
"""Bytes that hold the beginning of a slice's header, with room for what prevents start codes."""

_SET = 512
"""Bytes that hold what is read of a parameter set, though it has scaling lists."""

_WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Values of profile_idc whose parameter sets tell the chroma format (7.3.2.1.1)."""


@dataclass(frozen=True, slots=True)
class _Sequence:
    """What a sequence parameter set says about the numbers of pictures."""

    bits: int
    colour_planes: bool
    gaps_allowed: bool


class FrameNumbers:
    """Follows the numbers of a stream's pictures, packet by packet in the order in which they are decoded.

    `extradata` is that of the stream, which also tells how packets are cut: with start codes (Annex B) or by
    lengths (AVCC, as in MP4). A stream whose parameter sets never came, or that allows gaps, shows none.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._sequences: dict[int, _Sequence] = {}
        self._sequence_of: dict[int, int] = {}
        self._last: int | None = None
        self._count = 0
        self.place: int | None = None
        """Of the picture last read among the reference pictures, lost ones counted too; None where it is none."""
        self._length_size = 0  # those of a record are read one by one
        if extradata and extradata[0] == 1:
            self._read_record(extradata)
        elif extradata:
            self.gap(extradata)
        self._length_size = length_size("h264", extradata)

    def restart(self) -> None:
        """Note that what comes has nothing to do with what was before."""
        self._last = None

    def gap(self, packet: bytes | memoryview) -> bool:
        """Return whether a reference picture is missing before this one.

        What forgets all numbers without being an IDR picture (memory_management_control_operation 5) is taken for
        a gap: it stands behind what costs much to read, and no camera was seen to use it.
        """
        self.place = None
        try:
            for at in units(packet, self._length_size):
                kind = packet[at] & 31
                if kind in (_SLICE, _PARTITION, _IDR):  # the first of a picture speaks for all of it
                    return self._is_gap(kind, packet[at] >> 5 & 3, Bits(packet[at + 1 : at + 1 + _HEADER]))
                if kind in (_SPS, _PPS):
                    self._read_set(kind, Bits(packet[at + 1 : at + 1 + _SET]))
        except TooShortError:
            return False  # the decoder complains of it
        return False

    def _read_set(self, kind: int, bits: Bits) -> None:
        if kind == _SPS:
            number, sequence = _sequence(bits)
            self._sequences[number] = sequence
        else:
            number = bits.unsigned()
            self._sequence_of[number] = bits.unsigned()

    def _is_gap(self, kind: int, ref_idc: int, bits: Bits) -> bool:
        bits.unsigned()  # first_mb_in_slice
        bits.unsigned()  # slice_type
        sequence = self._sequences.get(self._sequence_of.get(bits.unsigned(), -1))
        if sequence is None:
            return False
        if sequence.colour_planes:
            bits.take(2)
        number = bits.take(sequence.bits)
        last = self._last
        if ref_idc:
            self._count += 1 if kind == _IDR or last is None else (number - last) % (1 << sequence.bits)
            self._last, self.place = number, self._count
        if kind == _IDR or last is None or sequence.gaps_allowed:
            return False
        # Equal is the second field of a picture, or what follows when only the numbers' whole circle was lost.
        return number not in (last, (last + 1) % (1 << sequence.bits))

    def _read_record(self, record: bytes) -> None:
        """Read the decoder configuration record (ISO/IEC 14496-15, 5.3.3.1)."""
        at = 5
        for mask in (31, 255):
            if at >= len(record):
                return
            count, at = record[at] & mask, at + 1
            for _ in range(count):
                size = int.from_bytes(record[at : at + 2], "big")
                self.gap(b"\x00\x00\x01" + record[at + 2 : at + 2 + size])
                at += 2 + size


def _sequence(bits: Bits) -> tuple[int, _Sequence]:
    """Return the number of a sequence parameter set, and what it says."""
    profile = bits.take(8)
    bits.take(16)
    number = bits.unsigned()
    planes = False
    if profile in _WITH_CHROMA:
        chroma = bits.unsigned()
        planes = chroma == 3 and bool(bits.take(1))
        bits.unsigned()  # bit_depth_luma_minus8
        bits.unsigned()  # bit_depth_chroma_minus8
        bits.take(1)  # qpprime_y_zero_transform_bypass_flag
        if bits.take(1):
            _skip_scaling(bits, 8 if chroma != 3 else 12)
    length = bits.unsigned() + 4
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()
    bits.unsigned()  # max_num_ref_frames
    return number, _Sequence(length, planes, bool(bits.take(1)))


def _skip_scaling(bits: Bits, lists: int) -> None:
    for index in range(lists):
        if not bits.take(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last
