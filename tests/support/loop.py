"""An event loop in a thread of its own, for servers that live inside the test's process."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class LoopThread:
    """Runs coroutines for a test that is itself synchronous. Only the loop's thread touches what they hold."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        # Ends when `stop` asks the loop to; nothing else waits for it.
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._clients: set[asyncio.Task[None]] = set()  # touched in the loop's thread only

    def start(self) -> None:
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T], timeout: float = 10.0) -> T:
        """Run a coroutine in the loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    async def listen(self, serve: Connected, port: int = 0) -> tuple[asyncio.Server, int]:
        """Serve each connection to a port of 127.0.0.1 in a task of ours, whose cancellation is no error."""

        def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(serve(reader, writer))
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)

        server = await asyncio.start_server(start, "127.0.0.1", port)
        return server, int(server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Cancel what still runs, let it clean up, and end the thread."""
        self.call(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
