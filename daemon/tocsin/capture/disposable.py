"""Which coded pictures no other is built on, so that leaving one out harms none that follows. Pure.

They are the B-pictures of most encoders, and the upper layer of cameras that send temporal layers (SVC-T).
"""

from tocsin.capture.nal import length_size, units

_H264_SLICES = range(1, 6)
_H264_SETS = (7, 8, 15)
_HEVC_SLICES = range(32)
_HEVC_SETS = (32, 33, 34)
_HEVC_REFERENCED = 16
"""From this type on a picture begins anew or is reserved; of those below, the even ones are not referred to."""


class Disposables:
    """Tells which packets of one stream may be left out; for one opening.

    `extradata` are the decoder's parameters: they tell how the units of a packet are framed. Any other codec than
    "h264" and "hevc" has no packet that may.
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec = codec
        self._length = length_size(codec, extradata)
        self._top_layer = 0

    def holds(self, packet: memoryview) -> bool:
        """Return whether no later picture is built on the one in this packet, nor needs what stands before it."""
        match self._codec:
            case "h264":
                return self._h264(packet)
            case "hevc":
                return self._hevc(packet)
        return False

    def _h264(self, packet: memoryview) -> bool:
        """A picture whose nal_ref_idc is 0 (ITU-T H.264, 7.4.1)."""
        for start in units(packet, self._length):
            kind = packet[start] & 0x1F
            if kind in _H264_SLICES:
                return not packet[start] & 0x60
            if kind in _H264_SETS:
                return False
        return False

    def _hevc(self, packet: memoryview) -> bool:
        """A sub-layer non-reference picture of the highest sub-layer (ITU-T H.265, 7.4.2.2).

        Those of a lower one may still be referred to from above.
        """
        for start in units(packet, self._length):
            kind = packet[start] >> 1 & 0x3F
            if kind in _HEVC_SLICES:
                layer = packet[start + 1] & 0x07
                self._top_layer = max(self._top_layer, layer)
                return kind < _HEVC_REFERENCED and kind % 2 == 0 and layer == self._top_layer
            if kind in _HEVC_SETS:
                return False
        return False
