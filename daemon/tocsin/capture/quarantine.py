"""Which decoded pictures can be believed, and when there were too few of them. Pure."""

import math


class Quarantine:
    """After damage nothing passes until a clean keyframe, or the end of the second of two clean refreshes.

    Every picture between two keyframes builds on the ones before it: once one is damaged, decoders conceal it and
    mark next to none of those that follow. All is judged by the numbers of packets, in the order of decoding: a
    picture comes out of the decoder some packets after the one that it was made of.

    One refresh is not enough, though x264 calls its own exact: where the camera pans quickly, it builds renewed
    strips on others that are not. In the means of eight by eight pixels what was shown after one was wrong by up
    to 69 of 255, after two by up to 1 and nearly always the same to the bit.
    """

    def __init__(self) -> None:
        # A stream that is joined midway shows grey until its first keyframe.
        self._hurt_from: float | None = -math.inf
        self._hurt_to: float = -math.inf
        self._key = 0
        self._renewed: int | None = None

    def damage(self, packet: int, reach: int = 0) -> None:
        """Note that the packet was damaged, and maybe as many more as `reach`.

        The picture of the packet before it is believed no more: the two may be the fields of one picture.
        """
        before = packet - 1
        self._hurt_from = before if self._hurt_from is None else min(self._hurt_from, before)
        self._hurt_to = max(self._hurt_to, packet + reach)
        self._renewed = None

    def passes(self, packet: int, *, since: int | None, corrupt: bool) -> bool:
        """Return whether the picture of that packet is clean; called in the order of showing.

        `since`: the packet from which on there must be no damage for this picture to be right, whatever was before:
        its own for a keyframe, the first of the refresh that ends with it (see `Refreshes`), None for any other.
        What is shown before the picture that ends a quarantine may build on what was before it, though it was
        sent afterwards (the leading pictures of an open group).
        """
        if corrupt:
            self.damage(packet)
            return False
        if self._hurt_from is None:
            return packet >= self._key
        if since is not None and since > self._hurt_to:
            if since == packet or (self._renewed is not None and since >= self._renewed):
                self._hurt_from, self._key, self._renewed = None, packet, None
                return True
            if self._renewed is None:
                self._renewed = packet
        return self._key <= packet < self._hurt_from  # decoded before the damage, shown after it


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


class Leniency:
    """Whether the next opening is to decode strictly.

    A strict decoder gives nothing of a packet that breaks the standard, also where it does no harm, and there are
    cameras all of whose keyframes do. One whose pictures were all lost in that way and in no other is decoded
    leniently from then on: what the decoder marks, or complains of in the pictures themselves, is damage as before,
    and so is what is missing.
    """

    def __init__(self) -> None:
        self.strict = True
        self.opened()

    def opened(self) -> None:
        """Note that the stream was opened."""
        self._keyframes = 0
        self._missing = False

    def damaged(self, *, keyframe: bool, missing: bool) -> None:
        """Note damage: the decoder did not like a keyframe, or something did not come."""
        self._keyframes += keyframe
        self._missing = self._missing or missing

    def dried_up(self) -> bool:
        """Note that nothing clean came for too long; return whether that ends the strictness."""
        ends = self.strict and self._keyframes > 0 and not self._missing
        self.strict = self.strict and not ends
        return ends


_MINUTE = 60.0


class Blindness:
    """Tells when most pictures of a minute were damaged, and when no longer."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._received = self._quarantined = 0
        self._blind = False

    def counted(self, now: float, received: int, quarantined: int) -> bool | None:
        """Note what came since the last call; return True when most were damaged, False when that is over.

        None otherwise. It begins with a minute in which more than half were damaged and ends with one in which
        fewer than a tenth were, so that a stream between the two is told of once.
        """
        if self._since is None:
            self._since = now
        self._received += received
        self._quarantined += quarantined
        if now - self._since < _MINUTE:
            return None
        share = self._quarantined / max(self._received, 1)
        self._since, self._received, self._quarantined = now, 0, 0
        if not self._blind and share > 0.5:
            self._blind = True
            return True
        if self._blind and share < 0.1:
            self._blind = False
            return False
        return None
