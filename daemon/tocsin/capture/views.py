"""The views of a frame: shrunk, corrected for their light, and written straight into a slot of the mailbox."""

from dataclasses import dataclass

from av.video.frame import VideoFrame

from tocsin.capture.mailbox import Mailbox
from tocsin.capture.order import ViewOrder
from tocsin.capture.regions import Cut, cut
from tocsin.capture.sampling import Sampler
from tocsin.capture.shrink import Shrinker
from tocsin.capture.wire import SceneRecord, ViewRecord
from tocsin.frame import fit
from tocsin.light.plan import Policy
from tocsin.light.treat import Treatment


@dataclass(frozen=True, slots=True)
class _Lane:
    """One view from frame to frame: what is ordered, where it lies in a slot, and its light."""

    order: ViewOrder
    offset: int
    treatment: Treatment


class Views:
    """Fills slots with the views of one stream's frames, each with a treatment of its own; for one thread."""

    def __init__(self, orders: tuple[ViewOrder, ...], policy: Policy) -> None:
        self._policy = policy
        self._lanes: list[_Lane] = []
        self._sampler = Sampler()
        self.show(orders)

    @property
    def scene(self) -> SceneRecord | None:
        """The last scene that was measured in the first view."""
        return self._sampler.scene

    def arrived(self, frame: VideoFrame) -> None:
        """Take note of a picture, whether views of it are wanted or not."""
        self._sampler.arrived(frame)

    def show(self, orders: tuple[ViewOrder, ...]) -> None:
        """Fill slots with other views from now on; one of the same part of the frame keeps its treatment."""
        known = {lane.order.region: lane.treatment for lane in self._lanes}
        self.orders = orders
        self._lanes = []
        offset = 0
        for order in orders:
            treatment = known.pop(order.region, None) or Treatment(self._policy)
            self._lanes.append(_Lane(order, offset, treatment))
            offset += order.capacity
        self._shrinker = Shrinker(len(orders))
        self._size = (0, 0)
        self._cuts: list[tuple[_Lane, Cut]] = []

    def fill(self, frame: VideoFrame, at: float, mailbox: Mailbox, slot: int) -> tuple[ViewRecord, ...]:
        """Write all views of a picture that arrived at `at` (seconds) and return where they lie in the slot.

        In a small picture views may come to show the same: then the first of them stands for all.
        """
        if (frame.width, frame.height) != self._size:
            self._size = frame.width, frame.height
            self._cuts = self._cut()
        whole = Cut(0, 0, *self._size)
        if any(part != whole for _, part in self._cuts):
            frame = self._shrinker.planar(frame)
        return tuple(
            self._view(lane, frame, None if part == whole else part, at, mailbox, slot)
            for lane, part in self._cuts
        )

    def _cut(self) -> list[tuple[_Lane, Cut]]:
        """Return the views that differ in a frame of this size, each with its pixels in the frame."""
        first: dict[Cut, _Lane] = {}
        for lane in self._lanes:
            first.setdefault(cut(lane.order, *self._size), lane)
        return [(lane, part) for part, lane in first.items()]

    def _view(
        self, lane: _Lane, frame: VideoFrame, part: Cut | None, at: float, mailbox: Mailbox, slot: int
    ) -> ViewRecord:
        order, shown = lane.order, part or Cut(0, 0, *self._size)
        width, height = fit(shown.width, shown.height, order.max_width, order.max_height, order.keep_aspect)
        pixels = mailbox.pixels(slot, lane.offset, width, height)
        self._shrinker.shrink(frame, pixels, part)
        if lane is self._lanes[0]:
            self._sampler.sample(pixels[:height], at)
        treated = lane.treatment.treat(pixels, at)
        region, done = shown.region(*self._size), treated.plan
        return ViewRecord(region, width, height, lane.offset, treated.light, done.correction, done.reason)
