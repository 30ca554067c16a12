"""Which decoded pictures can be believed, and when there were too few of them. Pure."""


class Quarantine:
    """After damage nothing passes until a clean keyframe.

    Every picture between two keyframes builds on the ones before it: once one is damaged, decoders conceal it and
    mark next to none of those that follow.
    """

    def __init__(self) -> None:
        self._damaged = True  # a stream that is joined midway shows grey until its first keyframe

    def damage(self) -> None:
        """Note a decode error."""
        self._damaged = True

    def passes(self, *, keyframe: bool, corrupt: bool) -> bool:
        """Return whether the picture is clean."""
        if corrupt:
            self._damaged = True
        elif keyframe:
            self._damaged = False
        return not self._damaged


_DROUGHT = 10.0
"""Seconds; most cameras send a keyframe every one to four."""

_DROUGHT_PERIODS = 5
_LONGEST_DROUGHT = 60.0


class Drought:
    """Tells when a stream that sends data has shown no clean picture for too long.

    The limit doubles with every opening that brought none, up to a minute: there are cameras that send a keyframe
    every twenty seconds and none when a client joins.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._in_a_row = 0

    def opened(self) -> None:
        """Note that the stream was opened: its time begins with the first thing that it sends."""
        self._since = None

    def clean(self, at: float) -> None:
        """Note a clean picture."""
        self._since = at
        self._in_a_row = 0

    def exceeded(self, at: float, period: float) -> float | None:
        """Return the limit in seconds once it is exceeded; `period` is the stream's."""
        if self._since is None:
            self._since = at
        limit = max(min(_DROUGHT * 2.0**self._in_a_row, _LONGEST_DROUGHT), _DROUGHT_PERIODS * period)
        if at - self._since < limit:
            return None
        self._in_a_row = min(self._in_a_row + 1, 10)
        return limit
