"""Brings the pictures for one webhook's deliveries from the disk, without letting the event loop wait for it."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress

from tocsin.deliver.attach import Attach, Attached, Read, choose, nothing

PATIENCE = 5.0  # seconds after which an event goes without the pictures that a disk does not give


class Porter:
    """Asks `read` in a thread, one at a time; belongs to the event loop's thread."""

    def __init__(self, read: Read | None) -> None:
        self._read = read
        # The last one that looked: on a disk that hangs it is left behind, and no other is sent after it.
        self._looking: threading.Thread | None = None

    async def bring(self, attach: Attach, alarm_id: str, kinds: Sequence[str]) -> Attached:
        """Return what goes along with an event; all is left out where the disk is away."""
        read = self._read
        if read is None or (self._looking is not None and self._looking.is_alive()):
            return nothing(attach, kinds)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Attached] = loop.create_future()

        def settle(found: Attached) -> None:
            if not answer.done():  # else whoever asked has given up
                answer.set_result(found)

        def look() -> None:
            found = choose(read, attach, alarm_id, kinds)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, found)

        # Not in the loop's own pool, for whose threads the end of the process would wait.
        self._looking = threading.Thread(target=look, name="porter", daemon=True)
        self._looking.start()
        try:
            async with asyncio.timeout(PATIENCE):
                return await answer
        except TimeoutError:
            return nothing(attach, kinds)
