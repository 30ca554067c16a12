"""The views of a frame: shrunk, corrected for their light, and written straight into a slot of the mailbox."""

from av.video.frame import VideoFrame

from tocsin.capture.mailbox import Mailbox
from tocsin.capture.order import ViewOrder
from tocsin.capture.shrink import Shrinker
from tocsin.capture.wire import ViewRecord
from tocsin.frame import WHOLE, fit
from tocsin.light.plan import Policy
from tocsin.light.treat import Treatment


class Views:
    """Fills slots with the views of one stream's frames, each with a treatment of its own; for one thread."""

    def __init__(self, orders: tuple[ViewOrder, ...], policy: Policy) -> None:
        assert all(order.region == WHOLE for order in orders), (
            "views of a part of the frame are not built yet"
        )
        self._views = [(order, Treatment(policy)) for order in orders]
        self._shrinker = Shrinker()

    def fill(self, frame: VideoFrame, at: float, mailbox: Mailbox, slot: int) -> tuple[ViewRecord, ...]:
        """Write all views of a picture that arrived at `at` (seconds) and return where they lie in the slot."""
        records: list[ViewRecord] = []
        offset = 0
        for order, treatment in self._views:
            width, height = fit(
                frame.width, frame.height, order.max_width, order.max_height, order.keep_aspect
            )
            pixels = mailbox.pixels(slot, offset, width, height)
            self._shrinker.shrink(frame, pixels)
            treated = treatment.treat(pixels, at)
            done = treated.plan
            records.append(
                ViewRecord(order.region, width, height, offset, treated.light, done.correction, done.reason)
            )
            offset += order.capacity
        return tuple(records)
