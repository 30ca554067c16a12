"""One attempt at a delivery: sign, send, and say how it went."""

import asyncio
import hashlib
import hmac
import math
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from tocsin import __version__
from tocsin.deliver.access import Access
from tocsin.deliver.attach import Attach, Attached, specimen
from tocsin.deliver.event import Event
from tocsin.deliver.formats import Committed, Render, Rendered, as_tocsin
from tocsin.deliver.resolve import ResolvingLoop
from tocsin.deliver.schedule import Outcome, judge, retry_after
from tocsin.deliver.settings import signing_key_fault
from tocsin.deliver.transport import GuardedTransport
from tocsin.deliver.why import Why, translate
from tocsin.errors import AddressError, SecretError

DEADLINE = 15.0  # seconds for a whole attempt, from the name's resolution to the answer
GRACE = 1.0  # seconds for the body of an answer whose status is known
ANSWER = 8 * 1024  # bytes of an answer that are read


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: the same `id` and `body` at each attempt. `attempt` counts from 1; `at` is wall time.

    What is not `durable` is in memory alone: a crash would lose it, or tell it anew by another id. `attached` is
    what goes along where the webhook gets anything along with such an event.
    """

    id: str
    body: bytes
    at: float
    attempt: int = 1
    durable: bool = True
    attached: Attached | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt went.

    `status` is None where there was no answer; `seconds` is its duration; `why` is the sentence for a person;
    `retry_after` what the receiver asked for, if it did; `answer` the beginning of the answer's body, which is
    the receiver's text and not to be trusted. `got_through` where there was a connection to send it by.
    """

    outcome: Outcome
    status: int | None
    seconds: float
    why: Why
    retry_after: float | None = None
    answer: bytes = b""
    got_through: bool = False


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver: where it is, the secret that signs what it gets, what else opens its door, the shape it reads.

    Without a secret nothing is signed. With a `previous_secret` each attempt carries a signature by either, the new
    one first, so that a receiver may change over at any moment. It is for alarms of the `severities`.
    """

    name: str
    url: str = field(repr=False)  # which of a chat's hook is all that keeps others out
    secret: str | None = field(repr=False)
    deadline: float = DEADLINE
    access: Access = field(default_factory=Access)
    render: Render = as_tocsin
    previous_secret: str | None = field(default=None, repr=False)
    severities: tuple[str, ...] = ("critical", "warning", "info")
    attach: Attach | None = None

    def __post_init__(self) -> None:
        for key, secret in (("secret", self.secret), ("previous_secret", self.previous_secret)):
            if secret is not None and (fault := signing_key_fault(secret)):
                raise SecretError(f"webhooks.{self.name}.{key}: {fault}")

    async def send(self, client: httpx2.AsyncClient, message: Message) -> Attempt:
        """Make one attempt; it ends within the deadline whatever the receiver does, and raises nothing."""
        now = datetime.now(UTC)
        late = max(0.0, now.timestamp() - message.at)
        rendered = self.render(Committed(message.id, message.body, now, late, message.attached))
        return await self.post(client, rendered, self._headers(message, rendered, now, late))

    async def post(
        self, client: httpx2.AsyncClient, rendered: Rendered, more: Mapping[str, str] | None = None
    ) -> Attempt:
        """Post what is no delivery; all else as in `send`, which adds headers of its own."""
        headers = {**self.access.headers, "content-type": rendered.content_type, **(more or {})}
        began = time.monotonic()
        exchange = _Exchange()
        outcome, why = Outcome.PROTOCOL, Why.NO_HTTP
        try:
            async with asyncio.timeout(self.deadline):
                await exchange.run(client, self.url, headers, rendered.body)
        except TimeoutError:
            outcome, why = Outcome.TIMEOUT, Why.LATE
        except (httpx2.HTTPError, httpx2.InvalidURL, AddressError, OSError) as error:
            outcome, why = translate(error)
        if exchange.status is not None:
            outcome, why = judge(exchange.status), Why.ANSWERED
        seconds = time.monotonic() - began
        known = exchange.retry_after, exchange.answer, exchange.got_through
        return Attempt(outcome, exchange.status, seconds, why, *known)

    def _headers(self, message: Message, rendered: Rendered, now: datetime, late: float) -> dict[str, str]:
        headers = {
            "webhook-id": message.id,
            "webhook-timestamp": str(math.floor(now.timestamp())),
            "tocsin-attempt": str(message.attempt),
            "tocsin-late-seconds": str(math.floor(late)),
        }
        keys = [key for key in (self.secret, self.previous_secret) if key]
        if keys:
            told = f"{message.id}.{headers['webhook-timestamp']}.".encode()
            headers["webhook-signature"] = " ".join(_signature(key, told, rendered.body) for key in keys)
        if not message.durable:
            headers["tocsin-durable"] = "false"
        return headers


def _signature(secret: str, told: bytes, body: bytes) -> str:
    """Return the signature of Standard Webhooks, version 1; its library for Python signs texts, and no JPEG."""
    made = hmac.new(b64decode(secret.removeprefix("whsec_")), told, hashlib.sha256)
    made.update(body)
    return f"v1,{b64encode(made.digest()).decode('ascii')}"


@dataclass(slots=True)
class _Exchange:
    """What is known of an answer so far; its status alone decides, whatever becomes of its body."""

    status: int | None = None
    retry_after: float | None = None
    answer: bytes = b""
    got_through: bool = False

    async def run(self, client: httpx2.AsyncClient, url: str, headers: dict[str, str], body: bytes) -> None:
        told = {"trace": self._hear}
        async with client.stream("POST", url, headers=headers, content=body, extensions=told) as response:
            self.status = response.status_code
            if asked := response.headers.get("retry-after"):
                self.retry_after = retry_after(asked, datetime.now(UTC))
            # Read so that the connection can serve the next delivery; as sent, since unpacking has no bound.
            async with asyncio.timeout(GRACE):
                async for piece in response.aiter_raw():
                    self.answer = (self.answer + piece)[:ANSWER]
                    if len(self.answer) == ANSWER:
                        break

    async def _hear(self, step: str, _: object) -> None:
        self.got_through |= step.endswith("send_request_headers.started")


@asynccontextmanager
async def open_client(webhook: Webhook) -> AsyncIterator[httpx2.AsyncClient]:
    """Open the HTTP client of one webhook, as `new_client` makes it."""
    async with new_client(webhook) as client:
        yield client


def new_client(webhook: Webhook) -> httpx2.AsyncClient:
    """Return an HTTP client for one webhook, to be closed: no other may share its connections.

    It follows no redirect, keeps no cookie, and takes nothing from the environment: neither a proxy nor a
    password file. It trusts the authorities that the webhook names, else those of the system. Its time limit is
    the one in `send`.
    """
    access = webhook.access
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=5)
    transport = httpx2.AsyncHTTPTransport(verify=access.tls or True, trust_env=False, limits=limits)
    return httpx2.AsyncClient(
        headers={"user-agent": f"tocsin/{__version__}"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
        timeout=None,  # these limits are for each read and write
        transport=GuardedTransport(transport, access.networks),
    )


def send_test(webhook: Webhook, event: Event, picture: bytes | None = None) -> Attempt:
    """Send an event now, past the outbox, with a JPEG where the webhook gets pictures; return how it went."""
    attach = webhook.attach
    attached = None if attach is None or picture is None else specimen(attach, picture)
    message = Message(event.id, event.render(seq=0), event.at.timestamp(), attached=attached)

    async def send() -> Attempt:
        async with open_client(webhook) as client:
            return await webhook.send(client, message)

    with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
        return runner.run(send())
