"""RTP packets of H.264 (RFC 6184, packetization mode 1)."""

import struct
from collections.abc import Iterator

PAYLOAD_TYPE = 96
CLOCK_HZ = 90_000
HEADER_BYTES = 12
SENDER_REPORT = 200
NTP_OFFSET_S = 2_208_988_800
"""From the first second of 1900 to that of 1970."""
MAX_PAYLOAD = 1400

_FU_A = 28


class Packetizer:
    """Numbers and cuts the NAL units of one session into packets."""

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self.next_sequence = 1

    def packets(self, units: list[bytes], at: float) -> Iterator[bytes]:
        """The packets of one access unit; `at` is its time in seconds, the marker is on the last packet."""
        payloads = [payload for unit in units for payload in _cut(unit)]
        for position, payload in enumerate(payloads):
            marker = 0x80 if position == len(payloads) - 1 else 0
            yield self._header(marker, at) + payload

    def report(self, at: float, wall: float) -> bytes:
        """An RTCP sender report (RFC 3550, 6.4.1): the picture of the time `at` was taken at Unix time `wall`."""
        ntp = round((wall + NTP_OFFSET_S) * 2**32)
        timestamp = round(at * CLOCK_HZ) & 0xFFFF_FFFF
        return struct.pack("!BBHIQIII", 0x80, SENDER_REPORT, 6, self._ssrc, ntp, timestamp, 0, 0)

    def _header(self, marker: int, at: float) -> bytes:
        sequence, self.next_sequence = self.next_sequence, (self.next_sequence + 1) & 0xFFFF
        timestamp = round(at * CLOCK_HZ) & 0xFFFF_FFFF
        return struct.pack("!BBHII", 0x80, marker | PAYLOAD_TYPE, sequence, timestamp, self._ssrc)


def _cut(unit: bytes) -> Iterator[bytes]:
    if len(unit) <= MAX_PAYLOAD:
        yield unit
        return
    indicator, kind, rest = unit[0] & 0xE0 | _FU_A, unit[0] & 0x1F, unit[1:]
    step = MAX_PAYLOAD - 2
    for start in range(0, len(rest), step):
        first = 0x80 if start == 0 else 0
        last = 0x40 if start + step >= len(rest) else 0
        yield bytes([indicator, first | last | kind]) + rest[start : start + step]
