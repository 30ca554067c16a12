"""Clients that mean no good to the endpoint: another one gets its page all the same."""

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from support.tls import Certificates
from support.wait import until
from tocsin.endpoint import connections
from tocsin.endpoint.terms import Web
from tocsin.http import Endpoint, Health, PartHealth
from tocsin.metrics import Metrics, Names

WELL = Health((PartHealth("detector", ok=True, state="warm"),))
FIFTY = Names(
    streams={f"camera-{number}": ["armed", "anyone"] for number in range(50)},
    rules={"armed": ["knife"], "anyone": ["person"]},
    webhooks=["desk"],
)
CLIENTS = 50
PROMPT = 2.0
"""Seconds in which a page must come from a machine under load: a client that had to wait would wait 30."""

Client = socket.socket


@contextmanager
def serving(web: Web | None = None) -> Iterator[tuple[Endpoint, CollectorRegistry]]:
    registry = CollectorRegistry()
    one = Endpoint(("127.0.0.1", 0), registry, lambda: WELL, lambda: WELL, Metrics(registry, FIFTY), (), web)
    one.start()
    try:
        yield one, registry
    finally:
        one.stop(time.monotonic() + 5)


def idle(_: Client) -> None:
    """Says nothing."""


def half_a_header(client: Client) -> None:
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: local")


def never_reads(client: Client) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)


def endless_body(client: Client) -> None:
    client.sendall(
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 9000
    )


def half_a_handshake(client: Client) -> None:
    client.sendall(b"\x16\x03\x01\x02\x00\x01\x00")


def page(port: int, context: ssl.SSLContext | None = None) -> tuple[int, float]:
    """The status of a page that is read whole, and how long it took."""
    began = time.monotonic()
    if context is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert b"tocsin_http_open_connections" in answer.read()
        return answer.status, time.monotonic() - began
    finally:
        connection.close()


def opened(registry: CollectorRegistry) -> float:
    return registry.get_sample_value("tocsin_http_open_connections") or 0.0


def crowd(stack: ExitStack, port: int, behave: Callable[[Client], None]) -> list[Client]:
    clients = []
    for _ in range(CLIENTS):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        with suppress(OSError):  # it had to make room already
            behave(client)
        clients.append(client)
    return clients


@pytest.mark.fault(62)
@pytest.mark.parametrize("behave", [idle, half_a_header, never_reads, endless_body])
def test_fifty_slow_clients_keep_nobody_out(behave: Callable[[Client], None]) -> None:
    """Each page comes at once, ten times over, while all places are taken by others; and the metric says so."""
    with serving() as (one, registry), ExitStack() as stack:
        crowd(stack, one.port, behave)
        until(lambda: opened(registry) == connections.PLACES, 10, "all places to be taken")
        for _ in range(10):
            status, seconds = page(one.port)
            assert (status, seconds < PROMPT) == (200, True), seconds
        stack.close()
        until(lambda: opened(registry) == 0, 10, "the places to be given back")


@pytest.mark.fault(62)
def test_half_a_handshake_keeps_nobody_out(tmp_path: Path) -> None:
    """Nor does it hold its place: who says nothing more is away after the time for a handshake."""
    certificates = Certificates(tmp_path)
    certificates.sign("endpoint", "IP:127.0.0.1")
    file = tmp_path / "web.yml"
    file.write_text("tls_server_config: {cert_file: endpoint.crt, key_file: endpoint.key}\n")
    trusting = ssl.create_default_context(cafile=str(certificates.authority))
    with serving(Web(file, guarded=True)) as (one, registry), ExitStack() as stack:
        crowd(stack, one.port, half_a_handshake)
        until(lambda: opened(registry) == connections.PLACES, 10, "all places to be taken")
        for _ in range(5):
            assert page(one.port, trusting)[0] == 200
        until(lambda: opened(registry) == 0, 20, "the handshakes to be given up")


def test_who_drips_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps no connection alive."""
    monkeypatch.setattr(connections, "SECONDS", 0.5)
    with (
        serving() as (one, registry),
        socket.create_connection(("127.0.0.1", one.port), timeout=10) as client,
    ):
        began = time.monotonic()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def is_ended() -> bool:
            try:
                client.sendall(b"G")
                client.settimeout(0.05)
                return client.recv(100) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        until(is_ended, 10, "the connection to be ended")
        assert time.monotonic() - began > 0.4
        until(lambda: opened(registry) == 0, 10, "the place to be given back")


def test_the_one_with_most_makes_room() -> None:
    """Who comes from another address keeps the place, also as the oldest, while one address takes all others."""
    with serving() as (one, registry), ExitStack() as stack:
        kept = stack.enter_context(
            socket.create_connection(("127.0.0.1", one.port), timeout=10, source_address=("127.0.0.9", 0))
        )
        until(lambda: opened(registry) == 1, 10, "the first to be there")
        crowd(stack, one.port, idle)
        until(lambda: opened(registry) == connections.PLACES, 10, "all places to be taken")
        assert page(one.port)[0] == 200
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert kept.recv(64).startswith(b"HTTP/1.1 200")


@pytest.mark.fault(63)
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nothing"])
def test_a_rebound_name_is_refused_and_counted(path: str) -> None:
    """A page of the web that points a name of its own here learns nothing, and `code` tells of it."""
    with serving() as (one, registry):
        connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=20)
        connection.request("GET", path, headers={"Host": "evil.example", "Origin": "http://evil.example"})
        answer = connection.getresponse()
        assert answer.status == 421
        assert answer.read() == b"this host is not known here\n"
        assert not [name for name, _ in answer.getheaders() if name.lower().startswith("access-control")]
        connection.close()
        assert registry.get_sample_value("tocsin_http_requests_total", {"code": "421"}) == 1


def test_each_answer_is_counted_by_its_code() -> None:
    """What was asked for and given, what is not there, what may not be done, and what is no request at all."""
    with serving() as (one, registry):
        for method, path in (
            ("GET", "/metrics"),
            ("HEAD", "/healthz"),
            ("GET", "/nothing"),
            ("POST", "/metrics"),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=20)
            connection.request(method, path)
            connection.getresponse().read()
            connection.close()
        with socket.create_connection(("127.0.0.1", one.port), timeout=10) as client:
            client.sendall(b"nonsense\r\n\r\n")
            assert client.recv(64).startswith(b"HTTP/1.1 400")
        counted = {
            code: registry.get_sample_value("tocsin_http_requests_total", {"code": code})
            for code in ("200", "400", "404", "405", "421")
        }
        assert counted == {"200": 2, "400": 1, "404": 1, "405": 1, "421": 0}
