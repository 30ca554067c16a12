"""A real HTTP receiver of webhooks that verifies every signature and answers by a script."""

import contextlib
import json
import socket
import socketserver
import sys
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError, hmac_data

from support import canary
from support.forms import fields
from support.inbox import Inbox, Message
from support.timeline import Timeline
from support.wait import until

SECRET = "whsec_" + "dG9jc2luLXRlc3RzLTAxMjM0NTY3ODktYWJjZGVm"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets. A status of None cuts the connection after the request was read: the lost answer."""

    status: int | None = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0


Script = int | Answer | Iterable[int | Answer] | Callable[[Message], int | Answer]


class Receiver:
    """A receiver on a free port of 127.0.0.1. Requests with a bad signature get 401 and are kept in `refused`.

    `inbox` holds every request with a good signature, whatever it was answered. `down` closes the port, `up`
    opens the same one again.

    >>> with Receiver() as receiver:
    ...     receiver.answer([503, Answer(429, {"Retry-After": "2"})])  # and 204 from the third request on
    """

    def __init__(self, secret: str = SECRET, path: str = "/hook") -> None:
        self.secret = secret
        canary.watch(secret)
        self.inbox = Inbox()
        self.refused: list[Refused] = []
        self.errors: list[BaseException] = []
        self.port = 0
        self._path = path
        self._webhook = Webhook(secret)
        self._script: Callable[[Message], int | Answer] = lambda _: 204
        self._server: _Server | None = None
        # Serves the port until `down`; started by `up`.
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()
        if error is None and self.errors:
            raise AssertionError("the receiver itself failed") from self.errors[0]

    @property
    def is_up(self) -> bool:
        return self._server is not None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._path}"

    @property
    def requests(self) -> list[Message]:
        """Every request with a good signature so far, retries included."""
        return self.inbox.all()

    @property
    def accepted(self) -> list[Message]:
        """The requests that were answered with 2xx."""
        return [message for message in self.inbox.all() if message.is_accepted]

    def timeline(self, zero: float, *, ignore: tuple[str, ...] = (), duplicates: bool = False) -> Timeline:
        """A strict script of what must come here, in seconds after `zero` on the monotonic clock."""
        return Timeline(self.inbox, zero, ignore=ignore, duplicates=duplicates)

    def answer(self, script: Script) -> None:
        """Answer so from now on: always the same, one after another and then 204, or as a function says."""
        if isinstance(script, int | Answer):
            self._script = lambda _: script
        elif callable(script):
            self._script = script
        else:
            steps = iter(script)
            self._script = lambda _: next(steps, 204)

    def wait_for(self, type: str, count: int = 1, timeout: float = 10.0) -> Message:  # noqa: A002 - the event's word
        """Wait until `count` accepted messages of a type are there; return the last of them."""

        def those() -> list[Message]:
            return [message for message in self.accepted if message.type == type]

        until(lambda: len(those()) >= count, timeout, f"{count} times {type} at the receiver")
        return those()[count - 1]

    def down(self) -> None:
        """Close the port and every connection; does nothing when it is down."""
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join(10)
            self._server.cut_all()
            self._server.server_close()
            self._server = self._thread = None

    def up(self) -> None:
        """Open the port, the same as before if there was one."""
        assert self._server is None, "the receiver is up"
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="receiver", daemon=True
        )
        self._thread.start()

    def take(self, raw: bytes, headers: dict[str, str]) -> Answer:
        """Judge one request, keep it, and say what it gets. Called by the server's threads."""
        at, wall = time.monotonic(), time.time()
        canary.inspect("the body of a webhook", raw)
        try:
            body = self._verified(raw, headers)
        except (WebhookVerificationError, ValueError) as error:  # ValueError: base64 or JSON that is none
            self.refused.append(Refused(raw, headers, at, str(error)))
            return Answer(401, body=str(error).encode())
        message = Message(headers["webhook-id"], body.get("type", ""), body, raw, headers, at, wall, None)
        chosen = self._script(message)
        answer = Answer(chosen) if isinstance(chosen, int) else chosen
        self.inbox.put(Message(message.id, message.type, body, raw, headers, at, wall, answer.status))
        return answer

    def _verified(self, raw: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """The body; of a form its field `event`, nothing where it has none.

        The library verifies texts alone, and a picture is none: its own hash is taken of the very bytes then.
        """
        if not headers.get("content-type", "").startswith("multipart/form-data"):
            return dict(self._webhook.verify(raw, headers))
        told = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode()
        good = b64encode(hmac_data(b64decode(self.secret.removeprefix("whsec_")), told + raw)).decode()
        if f"v1,{good}" not in headers["webhook-signature"].split():
            raise WebhookVerificationError("No matching signature found")
        event = fields(raw, headers["content-type"]).get("event")
        return {} if event is None else dict(json.loads(event.content))


@dataclass(frozen=True, slots=True)
class Refused:
    """A request whose signature, timestamp or headers did not satisfy the library; `why` is its word."""

    raw: bytes
    headers: dict[str, str]
    at: float
    why: str


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for them, so that no socket outlives the receiver
    allow_reuse_address = True

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.closing = threading.Event()  # set once by `cut_all`; wakes answers that are being delayed
        self._guard = threading.Lock()  # guards the set; held for moments only
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", receiver.port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the name service who 127.0.0.1 is, as the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        """Keep what went wrong in here for the end of the test; clients that vanish are no error."""
        error = sys.exception()
        if error and not isinstance(error, OSError):
            self.receiver.errors.append(error)

    def cut_all(self) -> None:
        self.closing.set()
        with self._guard:
            for connection in self._open:
                cut(connection)


def cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was faster
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.receiver.take(raw, headers)
        self.server.closing.wait(answer.delay)
        if answer.status is None or self.server.closing.is_set():
            self.close_connection = True
            cut(self.connection)
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""
