"""The endpoint by which the daemon is watched: /metrics, /healthz (alive) and /readyz (fit to work).

It serves whoever reaches it, so it says nothing that is secret, believes only the names that it knows (a web
page can point a name of its own at the loopback address), and gives no client more than CONNECTION_SECONDS.
"""

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import structlog
import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tocsin.errors import StartError

log = structlog.get_logger(__name__)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
CONNECTIONS = 32
CONNECTION_SECONDS = 30.0
"""The longest life of a connection: a scrape takes a small part of it."""
HEADER_BYTES = 16 * 1024
START_SECONDS = 10.0

Listen = tuple[str, int] | socket.socket
"""A host and a port (0 takes a free one), or a socket that is bound already."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    """One part of the daemon as the endpoint shows it: `state` is a word or a sentence."""

    name: str
    ok: bool
    state: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the daemon is well, and who says so."""

    parts: tuple[PartHealth, ...]

    @property
    def ok(self) -> bool:
        """True when every part is."""
        return all(part.ok for part in self.parts)

    def as_json(self) -> dict[str, object]:
        """Return the answer's body."""
        parts = {part.name: {"ok": part.ok, "state": part.state, **part.facts} for part in self.parts}
        return {"ok": self.ok, "parts": parts}


class Endpoint:
    """Serves metrics and health in a thread of its own.

    `healthy` and `ready` are called in that thread and must answer from memory at once. `allowed_hosts` are
    names, without a port, by which requests may call this machine besides the loopback's and the listen host.
    """

    def __init__(
        self,
        listen: Listen,
        registry: CollectorRegistry,
        healthy: Callable[[], Health],
        ready: Callable[[], Health],
        allowed_hosts: Collection[str] = (),
    ) -> None:
        self._listen = listen
        self._socket: socket.socket | None = None
        self._port = 0
        hosts = {*LOOPBACK_NAMES, *allowed_hosts} | ({listen[0]} if isinstance(listen, tuple) else set())
        app = _application(registry, healthy, ready, frozenset(host.strip("[]").lower() for host in hosts))
        self._server = _Server(_settings(app))
        # Runs the event loop; woken by its sockets, and every 0.1 s to look whether it shall end.
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on, once it has started."""
        return self._port

    def start(self) -> None:
        """Bind and serve; return when requests are answered.

        Raises StartError when the address cannot be had.
        """
        self._socket = _bound(*self._listen) if isinstance(self._listen, tuple) else self._listen
        self._port = self._socket.getsockname()[1]
        self._thread.start()
        if not self._server.serving.wait(START_SECONDS):
            self._server.should_exit = True
            raise StartError(
                f"http.listen: expected the endpoint to serve within {START_SECONDS:g} s, found it not to"
            )

    def stop(self, deadline: float) -> None:
        """End every connection and free the port before that monotonic time, in seconds."""
        if self._socket is None:
            return
        self._server.should_exit = True
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._server.force_exit = True
            raise TimeoutError("the endpoint's thread did not end in time")
        self._socket = None

    def _serve(self) -> None:
        assert self._socket is not None, "the thread is started after the socket is bound"
        self._server.run(sockets=[self._socket])


class _Server(uvicorn.Server):
    """A server that tells when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = threading.Event()  # set once by the server's thread; start() waits for it

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()


class _BriefConnection(H11Protocol):
    """A connection with an end: uvicorn alone would wait for ever for a request that drips or never comes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end = self.loop.call_later(CONNECTION_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        super().connection_lost(exc)


class _KnownHosts:
    """Lets only those requests through that call this machine by a known name."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = Headers(scope=scope).getlist("host")
        if len(named) == 1 and host_name(named[0]) in self._hosts:
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("this host is not known here\n", status_code=421)(scope, receive, send)


def host_name(header: str) -> str:
    """Return the name in a Host header without its port and brackets, in lower case."""
    name, colon, port = header.rpartition(":")
    if not colon or not port.isdecimal():
        name = header
    return name.removeprefix("[").removesuffix("]").lower()


def _application(
    registry: CollectorRegistry,
    healthy: Callable[[], Health],
    ready: Callable[[], Health],
    hosts: frozenset[str],
) -> Starlette:
    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    async def healthz(_request: Request) -> Response:
        return _answer(healthy())

    async def readyz(_request: Request) -> Response:
        return _answer(ready())

    return Starlette(
        routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)],
        middleware=[Middleware(_KnownHosts, hosts=hosts)],
    )


def _answer(health: Health) -> Response:
    return JSONResponse(health.as_json(), 200 if health.ok else 503, headers={"cache-control": "no-store"})


def _settings(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_BriefConnection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,  # its loggers hand on to the root logger
        log_level="error",  # a client's nonsense is worth no line
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
    )


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address; raises StartError with the reason."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise StartError(f"http.listen: expected a name or address of this machine, found {place}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise StartError(f"http.listen: {_why(error, place)}") from error
    return listener


def _why(error: OSError, place: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"expected a free address, found {place} in use by another program"
        case errno.EACCES | errno.EPERM:
            return f"expected a port that this user may open, found {place}"
        case errno.EADDRNOTAVAIL:
            return f"expected an address of this machine, found {place}"
        case _:
            return (
                f"expected an address to listen on, found {place} refused ({(error.strerror or '').lower()})"
            )
