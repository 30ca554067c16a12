"""The way to a webhook: where its name leads is judged at each attempt, and no other address connected to."""

import asyncio
import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address

import httpx2

from tocsin.deliver.address import Address, Denial, Network, denial, literal
from tocsin.errors import AddressError

NEXT_ADDRESS = 2.0  # seconds after which the next address of a name is tried
MOST_ADDRESSES = 4  # of one name that are tried in one attempt
REMEMBER = 1.0  # seconds for which an answer of the name service holds, so that a long queue asks no oftener


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends requests through `inner`, to an address in place of the name.

    So nothing can change between the judgement and the connection, and a connection that is kept open leads to
    an address that was judged again. The certificate is checked against the name, which stands in SNI and Host
    as ever. Raises AddressError when a name has no address that a webhook may have.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, allowed: Sequence[Network] = ()) -> None:
        self._inner = inner
        self._allowed = tuple(allowed)
        # The address that took the last connection: where the first one of a name is dead, it costs its time once.
        self._last: Address | None = None
        self._answer: tuple[Address, ...] = ()  # of the name service, and when it came on the monotonic clock
        self._answered = 0.0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        addresses = await self._addresses(request.url)
        for address in addresses[:-1]:
            try:
                return await self._send(request, address, NEXT_ADDRESS)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._send(request, addresses[-1], None)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _addresses(self, url: httpx2.URL) -> list[Address]:
        """Return what the host may be connected at, the last good one first."""
        written = literal(url.host)
        denials: list[Denial] = []
        good: list[Address] = []
        for address in dict.fromkeys(await self._resolved(url.raw_host) if written is None else (written,)):
            denied = denial(address, url.host, self._allowed)
            if denied:
                denials.append(denied)
            else:
                good.append(address)
        if not good:
            raise AddressError(denials[0])
        return sorted(good[:MOST_ADDRESSES], key=lambda address: address != self._last)

    async def _resolved(self, host: bytes) -> tuple[Address, ...]:
        """Return where the name leads, as it was answered a moment ago or is now; raises OSError."""
        if not self._answer or time.monotonic() - self._answered >= REMEMBER:
            self._answer = await _resolve(host)
            self._answered = time.monotonic()
        return self._answer

    async def _send(
        self, request: httpx2.Request, address: Address, connect: float | None
    ) -> httpx2.Response:
        timeout = {**request.extensions.get("timeout", {}), "connect": connect}
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=str(address)),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "timeout": timeout, "sni_hostname": request.url.host},
        )
        response = await self._inner.handle_async_request(pinned)
        self._last = address
        return response


async def _resolve(host: bytes) -> tuple[Address, ...]:
    """Return the addresses of a name, in the order of preference; raises OSError."""
    # As bytes: a text would go through the codec for international names, which has errors of its own.
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(ip_address(where[0]) for *_, where in found)
