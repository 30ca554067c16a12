"""The endpoint by which the daemon is watched: /metrics, /healthz (alive) and /readyz (fit to work).

Behind links that nobody can guess it also shows what was kept of alarms, and takes verdicts on them. It
believes only the names that it knows (a web page can point a name of its own at the loopback address), asks
whoever comes for a password where its file has users, and lets no client keep others out.
"""

import asyncio
import base64
import binascii
import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tocsin.endpoint import connections
from tocsin.endpoint.answers import Answers, Bench
from tocsin.endpoint.connections import Connections, Place
from tocsin.endpoint.exposition import OPENMETRICS, TEXT, Pages, Source, takes_gzip, wants_openmetrics
from tocsin.endpoint.gallery import Archive, Gallery, Read
from tocsin.endpoint.invitations import PATH, Invitations
from tocsin.endpoint.passwords import Login, Passwords
from tocsin.endpoint.terms import Terms, Web
from tocsin.errors import StartError

log = structlog.get_logger(__name__)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
HEADER_BYTES = 16 * 1024
START_SECONDS = 10.0
_BACKLOG = 128

Listen = tuple[str, int] | socket.socket
"""A host and a port (0 takes a free one), or a socket that is bound already."""


class Observer(connections.Observer, Protocol):
    """Hears of connections and answers."""

    def http_answered(self, status: int) -> None: ...


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
        source: Source,
        healthy: Callable[[], Health],
        ready: Callable[[], Health],
        observe: Observer,
        allowed_hosts: Collection[str] = (),
        web: Web | None = None,
    ) -> None:
        self._listen = listen
        self._socket: socket.socket | None = None
        self._port = 0
        self._web = web or Web(None, guarded=False)
        self._hosts: set[str] = set()  # one set with the application
        self.allow(allowed_hosts)
        self._gallery, self._answers = Gallery(), Answers()
        routes = [
            Route("/evidence/{piece}", self._gallery.show),
            Route(PATH + "{alarm_id}", self._answers.serve, methods=["GET", "POST"]),
        ]
        app = _Gate(_application(source, healthy, ready, routes), self._hosts, self._web.current, observe)
        self._server = _Server(_settings(app), self._web, observe)
        # Runs the event loop; woken by its sockets, and every 0.1 s to look whether it shall end.
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on, once it has started."""
        return self._port

    @property
    def scheme(self) -> str:
        """`https` where it serves by TLS now."""
        return "http" if self._web.terms.tls is None else "https"

    def start(self) -> None:
        """Bind and serve; return when requests are answered.

        Raises StartError when the address cannot be had, and ConfigError when the file of its terms is at fault.
        """
        self._web.load()
        self._socket = _bound(*self._listen) if isinstance(self._listen, tuple) else self._listen
        self._socket.listen(_BACKLOG)
        self._socket.setblocking(False)
        self._port = self._socket.getsockname()[1]
        self._thread.start()
        if not self._server.serving.wait(START_SECONDS):
            self._server.should_exit = True
            raise StartError(
                f"http.listen: expected the endpoint to serve within {START_SECONDS:g} s, found it not to"
            )

    def show(self, archive: Archive, seen: Callable[[Read], None] = lambda _: None) -> None:
        """Serve what is kept of alarms to whoever has a link to it, and tell `seen`, in the endpoint's thread."""
        self._gallery.seen = seen
        self._gallery.archive = archive

    def hear(self, invitations: Invitations, bench: Bench) -> None:
        """Take verdicts from whoever has a link to an alarm."""
        self._answers.begin(invitations, bench)

    def allow(self, hosts: Collection[str]) -> None:
        """Answer those who call this machine by these names; from one thread, while others may ask."""
        own = {self._listen[0]} if isinstance(self._listen, tuple) else set()
        wanted = {host.strip("[]").lower() for host in {*LOOPBACK_NAMES, *hosts} | own}
        self._hosts |= wanted
        self._hosts &= wanted

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
        with self._socket:
            self._server.listener = self._socket
            self._server.run(sockets=[])


class _Server(uvicorn.Server):
    """A server that takes its connections by itself, and tells when it serves."""

    listener: socket.socket

    def __init__(self, config: uvicorn.Config, web: Web, observe: Observer) -> None:
        super().__init__(config)
        self.serving = threading.Event()  # set once by the server's thread; start() waits for it
        self._observe = observe
        self._connections = Connections(self._protocol, lambda: web.current().tls, observe)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._accepting = asyncio.create_task(self._connections.run(self.listener))
        self.serving.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._accepting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._accepting
        self.listener.close()
        self._connections.end()
        await super().shutdown(sockets)

    def _protocol(self, place: Place) -> "_Connection":
        loop = asyncio.get_running_loop()
        made = _Connection(config=self.config, server_state=self.server_state, app_state={}, _loop=loop)
        made.place, made.observe = place, self._observe
        return made


class _Connection(H11Protocol):
    """uvicorn's connection, in its place among the others."""

    place: Place
    observe: Observer

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._mark()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._mark()

    def connection_lost(self, exc: Exception | None) -> None:
        self.place.left()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self.observe.http_answered(400)
        super().send_400_response(msg)

    def _mark(self) -> None:
        self.place.is_served = self.cycle is not None and not self.cycle.response_complete


class _Gate:
    """What every request passes: it is known by name and password or turned away, its answer counted and marked."""

    def __init__(
        self, app: ASGIApp, hosts: Collection[str], terms: Callable[[], Terms], observe: Observer
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._terms = terms
        self._observe = observe
        self._passwords = Passwords()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        terms = self._terms()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._observe.http_answered(message["status"])
                headers = MutableHeaders(scope=message)
                always = {"cache-control": "no-store", "x-content-type-options": "nosniff", **terms.headers}
                for name, value in always.items():
                    headers.setdefault(name, value)  # a page knows best what it needs
            await send(message)

        refusal = self._two_lengths(scope) or self._unknown_name(scope) or await self._stranger(scope, terms)
        await (refusal or self._app)(scope, receive, answer)

    @staticmethod
    def _two_lengths(scope: Scope) -> Response | None:
        """Refuse a body with two lengths: after one of them comes a request that a proxy took for the body."""
        names = Headers(scope=scope).keys()
        if "content-length" in names and "transfer-encoding" in names:
            return PlainTextResponse("expected one length of the body\n", 400, {"connection": "close"})
        return None

    def _unknown_name(self, scope: Scope) -> Response | None:
        named = Headers(scope=scope).getlist("host")
        if len(named) == 1 and host_name(named[0]) in self._hosts:
            return None
        return PlainTextResponse("this host is not known here\n", 421)

    async def _stranger(self, scope: Scope, terms: Terms) -> Response | None:
        if not terms.users:
            return None
        address = str(scope["client"][0]) if scope.get("client") else ""
        given = Headers(scope=scope).getlist("authorization")
        login = credentials(given[0]) if len(given) == 1 else None
        found = Login.REFUSED if login is None else await self._passwords.check(address, *login, terms.users)
        if found is Login.ACCEPTED and login is not None:
            scope.setdefault("state", {})["user"] = login[0]
            return None
        if login is not None:
            log.warning("a login at the endpoint is refused", client=address, reason=found.value)
        if found is Login.BUSY:
            return PlainTextResponse("too many logins\n", 429, {"retry-after": "5"})
        asked = {"www-authenticate": 'Basic realm="tocsin", charset="UTF-8"'}
        return PlainTextResponse("a user and a password are needed\n", 401, asked)


def credentials(header: str) -> tuple[str, bytes] | None:
    """Return the user and the password in an Authorization header (RFC 7617), or None."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeError):
        return None


def host_name(header: str) -> str:
    """Return the name in a Host header without its port and brackets, in lower case."""
    name, colon, port = header.rpartition(":")
    if not colon or not port.isdecimal():
        name = header
    return name.removeprefix("[").removesuffix("]").lower()


def _application(
    source: Source, healthy: Callable[[], Health], ready: Callable[[], Health], others: Sequence[Route]
) -> Starlette:
    pages = Pages(source)

    async def metrics(request: Request) -> Response:
        openmetrics = wants_openmetrics(request.headers.get("accept", ""))
        packed = takes_gzip(request.headers.get("accept-encoding", ""))
        headers = {"content-type": OPENMETRICS if openmetrics else TEXT, "vary": "accept, accept-encoding"}
        if packed:
            headers["content-encoding"] = "gzip"
        return Response(pages.page(openmetrics, packed), headers=headers)

    async def healthz(_request: Request) -> Response:
        return _answer(healthy())

    async def readyz(_request: Request) -> Response:
        return _answer(ready())

    routes = [
        Route("/metrics", metrics),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        *others,
    ]
    return Starlette(routes=routes)


def _answer(health: Health) -> Response:
    return JSONResponse(health.as_json(), 200 if health.ok else 503)


def _settings(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,  # its loggers hand on to the root logger
        log_level="error",  # a client's nonsense is worth no line
        access_log=False,
        server_header=False,
        proxy_headers=False,
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
