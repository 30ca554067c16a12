"""An event loop whose name resolution holds up nothing but the one who asked."""

import asyncio
import contextlib
import socket
import threading
from typing import Any


class ResolvingLoop(asyncio.SelectorEventLoop):
    """Resolves each name in a thread of its own.

    The C library's resolver cannot be interrupted; with three dead name servers it takes half a minute. In the
    loop's own pool a few dead names would keep the living ones waiting, and the end of the process would wait
    for all of them. A daemon thread is simply left behind.
    """

    async def getaddrinfo(
        self,
        host: str | bytes | None,
        port: str | bytes | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the name is asyncio's
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        answer: asyncio.Future[list[Any]] = self.create_future()

        def resolve() -> None:
            try:
                found = socket.getaddrinfo(host, port, family, type, proto, flags)
            except OSError as error:
                self._answer(answer, error)
            else:
                self._answer(answer, found)

        threading.Thread(target=resolve, name="resolve", daemon=True).start()
        return await answer

    def _answer(self, future: "asyncio.Future[list[Any]]", found: list[Any] | Exception) -> None:
        def settle() -> None:
            if future.done():
                return  # whoever asked has given up
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(found)

        with contextlib.suppress(RuntimeError):  # the loop has ended in the meantime
            self.call_soon_threadsafe(settle)
