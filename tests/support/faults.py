"""The knobs of the fake cameras. Every knob counts how often it did its harm."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Literal


@dataclass(slots=True)
class Faults:
    """What goes wrong. Tests set the fields, the camera's thread reads them at each picture or request.

    `fired` counts by the name of the field: pictures for stall, freeze, missing, hollow and flawed, packets for
    loss and corruption, otherwise connections or requests.
    """

    silent: bool = False
    """Connections are accepted and then nothing is ever said."""
    hang_on: str | None = None
    """A request of this method is never answered."""
    status: dict[str, int] = field(default_factory=dict)
    """Requests of these methods get this status."""
    cut_after_play: Literal["fin", "reset"] | None = None
    """The connection ends as soon as playing was agreed."""
    stall: bool = False
    """No picture and no answer, while connections stay open."""
    freeze: bool = False
    """The same picture again and again."""
    loss: float = 0.0
    """Share of RTP packets that are not sent."""
    udp_blocked: bool = False
    """No RTP packet arrives by UDP, as behind a firewall; TCP is not affected."""
    corruption: float = 0.0
    """Share of RTP packets in which some bytes are changed."""
    missing: float = 0.0
    """Share of pictures of which no packet is sent, but for keyframes; the numbers of packets show no gap."""
    hollow: bool = False
    """The packets hold an access unit delimiter instead of a picture."""
    flawed: bool = False
    """Each picture has a message beside it (SEI) that is shorter than it says, which is no harm to the picture."""
    bloated: bool = False
    """A picture that claims two gigabytes, of which zeros come without an end (MJPEG only)."""
    timestamp_shift_s: float = 0.0
    """Added to the timestamp of each picture."""

    fired: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    @contextmanager
    def __call__(self, **knobs: Any) -> Iterator[None]:
        """Set knobs for the length of a block, which fails when one of them never did anything.

        >>> with camera.faults(stall=True):
        ...     wait_for_the_daemon_to_notice()
        """
        known = {knob.name for knob in fields(self)} - {"fired", "chance"}
        assert knobs.keys() <= known, f"no such knob: {knobs.keys() - known}"
        before = {name: getattr(self, name) for name in knobs}
        count = Counter(self.fired)
        for name, value in knobs.items():
            setattr(self, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)
        idle = [name for name in knobs if self.fired[name] == count[name]]
        assert not idle, f"these faults never fired: {', '.join(idle)}"

    def hits(self, knob: Literal["loss", "corruption", "missing"]) -> bool:
        """Whether the next packet, or picture, suffers."""
        share: float = getattr(self, knob)
        return share > 0 and self.chance.random() < share and self.strikes(knob)

    def strikes(self, knob: str) -> bool:
        """Whether a knob is on; counts it if so."""
        if not getattr(self, knob):
            return False
        self.fired[knob] += 1
        return True

    def damage(self, packet: bytes, header: int) -> bytes:
        """A packet with three bytes behind its header changed."""
        spoilt = bytearray(packet)
        for _ in range(3):
            spoilt[self.chance.randrange(header, len(packet))] ^= self.chance.randrange(1, 256)
        return bytes(spoilt)
