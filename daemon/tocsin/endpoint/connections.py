"""Who is connected to the endpoint: few at a time and none for long, so that nobody can keep others out.

A client that is slow on purpose costs a place and a little memory. So there are few places, each has an end, and
when all are taken the newest client gets the place of one that has had its time: a scrape takes milliseconds.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Protocol

PLACES = 32
SECONDS = 30.0
"""The longest life of a connection: a scrape takes a small part of it."""
HANDSHAKE_SECONDS = 5.0
_PAUSE = 0.2
"""Seconds after which an accept that failed, mostly for want of descriptors, is tried again."""


class Observer(Protocol):
    """Hears how many connections there are."""

    def http_connections(self, n: int) -> None: ...


class Place:
    """One connection from its first moment, before any handshake, to its end. Used by the loop's thread."""

    def __init__(self, client: socket.socket, address: str, leave: Callable[["Place"], None]) -> None:
        self.address = address
        self.is_served = False
        """Whether a request of it is being answered; set by the protocol."""
        self._client = client
        self._leave = leave
        self._end = asyncio.get_running_loop().call_later(SECONDS, self.cut)

    def cut(self) -> None:
        """End the connection below whatever it is at; its protocol hears of it, and `left` is called."""
        try:
            self._client.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the client was faster

    def left(self) -> None:
        """Give the place back; called when the connection is over, more than once perhaps."""
        self._end.cancel()
        self._leave(self)


class Connections:
    """Takes the connections of one listener. Used by one event loop.

    `serve` returns the protocol of a new connection, `tls` what it is encrypted by, None for not at all; that is
    asked for each connection, so that a new certificate needs no restart.
    """

    def __init__(
        self,
        serve: Callable[[Place], asyncio.BaseProtocol],
        tls: Callable[[], ssl.SSLContext | None],
        observe: Observer,
    ) -> None:
        self._serve = serve
        self._tls = tls
        self._observe = observe
        self._places: dict[Place, None] = {}  # the oldest first
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listener: socket.socket) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError:  # no descriptors are left, or the client was gone already
                await asyncio.sleep(_PAUSE)
                continue
            if len(self._places) >= PLACES:
                self._make_room()
            place = Place(client, str(address[0]), self._left)
            self._places[place] = None
            self._tell()
            task = loop.create_task(self._begin(client, place))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        """End those that are not being served; the server gives the others a moment."""
        for place in list(self._places):
            if not place.is_served:
                place.cut()

    async def _begin(self, client: socket.socket, place: Place) -> None:
        """Hand a connection to its protocol, after the handshake of TLS where there is one."""
        loop = asyncio.get_running_loop()
        try:
            tls = self._tls()
            limit = None if tls is None else HANDSHAKE_SECONDS
            await loop.connect_accepted_socket(
                lambda: self._serve(place), client, ssl=tls, ssl_handshake_timeout=limit
            )
        except OSError:  # ssl.SSLError is an OSError: no handshake, the wrong one, or too slow
            client.close()
            place.left()

    def _make_room(self) -> None:
        """End the oldest connection of the address that has most, and one that is being served only last."""
        held = Counter(place.address for place in self._places)
        victim = min(self._places, key=lambda place: (-held[place.address], place.is_served))
        victim.cut()
        self._left(victim)

    def _left(self, place: Place) -> None:
        if place in self._places:
            del self._places[place]
            self._tell()

    def _tell(self) -> None:
        self._observe.http_connections(len(self._places))
