"""A TCP proxy between a client and a counterpart, which lets so many bytes a second through."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from support.loop import LoopThread

_SLICE_S = 0.05
_SMALL_BUFFER = 4096


class Proxy:
    """Forwards connections to `port` of 127.0.0.1; `passed` counts the bytes that came from there.

    `bytes_per_s` may be changed at any time; None is no limit. What waits lies in the buffers of the sender.
    """

    def __init__(self, port: int, bytes_per_s: float | None = None) -> None:
        self.bytes_per_s = bytes_per_s
        self.passed = 0
        self.port = 0
        self._target = port
        self._loop = LoopThread("proxy")

    def __enter__(self) -> Self:
        self._loop.start()
        self._loop.call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call(self._close())
        self._loop.stop()

    async def _listen(self) -> None:
        self._server, self.port = await self._loop.listen(self._serve)

    async def _close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            back, forth = await asyncio.open_connection("127.0.0.1", self._target, limit=_SMALL_BUFFER)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._forward(reader, forth))
                    both.create_task(self._trickle(back, writer))
            except* ConnectionError:
                pass  # one side went away, and the other is told so
            finally:
                forth.close()
                writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("the client closed")

    async def _trickle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            limit = self.bytes_per_s
            data = await reader.read(65536 if limit is None else max(1, round(limit * _SLICE_S)))
            if not data:
                raise ConnectionResetError("the counterpart closed")
            self.passed += len(data)
            writer.write(data)
            await writer.drain()
            if limit is not None:
                await asyncio.sleep(len(data) / limit)
