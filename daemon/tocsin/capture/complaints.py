"""What FFmpeg says to its log about a stream: only there it tells of lost packets and of other ways that it took.

The log's texts may hold a URL with its password: they are judged here and forgotten.
"""

import re
from dataclasses import dataclass
from typing import Self

import av.logging

_LOST = re.compile(r"RTP: missed (\d+) packets")
_CONCEALED = re.compile(r"concealing \d+")
_EMPTY = re.compile(r"^(no frame!|missing picture in access unit)")
_ASIDE = re.compile(
    r"^(SEI type \d+|[sp]ps_id \d+ out of range|non-existing SPS \d+ referenced in buffering)"
)
_CUT_OFF = re.compile(r"EOI missing")
_BY_TCP = re.compile(r"UDP timeout, retrying with TCP|method SETUP failed: 461")
_CONNECTED = re.compile(r"^Successfully connected to")
_DECODERS = frozenset({"h264", "hevc", "mjpeg", "mpeg4", "av1", "libdav1d", "vp8", "vp9"})


@dataclass(frozen=True, slots=True)
class Said:
    """What was said since the last time: packets that never came, errors of the decoder, and a change to TCP.

    `empty` are those of the errors that say that there is no picture in a packet, and `aside` those about what
    stands beside the pictures. `cut_off`: JPEGs without their end, which mostly lack their last rows; there are
    cameras that never send one. `connected`: somebody took a connection; told only while a stream is opened.
    """

    lost: int = 0
    errors: int = 0
    by_tcp: bool = False
    cut_off: int = 0
    empty: int = 0
    aside: int = 0
    connected: bool = False


NOTHING = Said()


class Complaints:
    """Hears what FFmpeg logs in the thread that entered it; one at a time in a process, and nothing is printed.

    `opening`: hear of connections, too, among much that is said of what is opened.
    """

    def __init__(self, *, opening: bool = False) -> None:
        self._level = av.logging.VERBOSE if opening else av.logging.INFO

    def __enter__(self) -> Self:
        # What it conceals it calls information, and of a line that is like the last one, of another opening too, it
        # says nothing unless told to.
        av.logging.set_level(self._level)
        av.logging.set_skip_repeated(False)
        self._capture = av.logging.Capture(local=True)
        self._lines = self._capture.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.__exit__(None, None, None)
        av.logging.set_skip_repeated(True)
        av.logging.set_level(None)

    def take(self) -> Said:
        """Return what was said since the last call."""
        if not self._lines:
            return NOTHING
        lines = list(self._lines)
        self._lines.clear()
        return judge(lines)


def judge(lines: list[tuple[int, str, str]]) -> Said:
    """Return what lines of FFmpeg's log mean, each as level, name of the part that speaks, and text."""
    lost, errors, by_tcp, cut_off, empty, aside, connected = 0, 0, False, 0, 0, 0, False
    for level, part, text in lines:
        if found := _LOST.search(text):
            lost += int(found[1])
        elif _BY_TCP.search(text):
            by_tcp = True
        elif part in _DECODERS and (level <= av.logging.ERROR or _CONCEALED.search(text)):
            errors += 1
            empty += bool(_EMPTY.search(text))
            aside += bool(_ASIDE.search(text))
        elif _CUT_OFF.search(text):
            cut_off += 1
        elif part == "tcp" and _CONNECTED.search(text):
            connected = True
    return Said(lost, errors, by_tcp, cut_off, empty, aside, connected)
