"""The endpoint on a real socket: what it answers, whom it refuses, and how it starts and stops."""

import gzip
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

import tocsin.http
from tocsin.endpoint import connections
from tocsin.errors import StartError
from tocsin.http import Endpoint, Health, PartHealth
from tocsin.metrics import Metrics, Names

LOOPBACK = ("127.0.0.1", 0)
WELL = Health((PartHealth("detector", ok=True, state="warm", facts={"device": "cpu", "provider": "CPU"}),))
ILL = Health((*WELL.parts, PartHealth("outbox", ok=False, state="not open")))
NAMES = Names(streams={"yard": ["armed"]}, rules={"armed": ["knife"]}, webhooks=["desk"])
Answer = tuple[int, dict[str, str], bytes]


def endpoint(listen: tocsin.http.Listen = LOOPBACK, allowed: tuple[str, ...] = ()) -> Endpoint:
    registry = CollectorRegistry()
    metrics = Metrics(registry, NAMES)
    metrics.detector_info("nanodet", "cpu", "CPUExecutionProvider")
    metrics.clock_offset("yard", -3600.5)
    return Endpoint(listen, registry, lambda: WELL, lambda: ILL, metrics, allowed)


@contextmanager
def serving(one: Endpoint) -> Iterator[Endpoint]:
    one.start()
    try:
        yield one
    finally:
        one.stop(time.monotonic() + 5)


@pytest.fixture
def running() -> Iterator[Endpoint]:
    with serving(endpoint(allowed=("Cameras.example",))) as one:
        yield one


def get(one: Endpoint, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def raw(one: Endpoint, sent: bytes) -> bytes:
    """Send bytes and return everything that comes until the other side closes."""
    with socket.create_connection(("127.0.0.1", one.port), timeout=10) as client:
        client.sendall(sent)
        received = b""
        while more := client.recv(65536):
            received += more
        return received


def test_promtool_finds_nothing_to_complain(running: Endpoint) -> None:
    """`promtool check metrics` accepts the whole page without a word."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    status, headers, body = get(running, "/metrics")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    assert b'tocsin_stream_up{stream="yard"} 0.0' in body
    check = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, timeout=60)
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_openmetrics_for_whoever_asks(running: Endpoint) -> None:
    """A scraper that accepts OpenMetrics gets it."""
    _, headers, body = get(running, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


def test_health_and_readiness(running: Endpoint) -> None:
    """200 when every part is well and 503 when one is not, with each part's state in a small JSON."""
    status, headers, body = get(running, "/healthz")
    assert (status, headers["cache-control"]) == (200, "no-store")
    detector = {"ok": True, "state": "warm", "device": "cpu", "provider": "CPU"}
    assert json.loads(body) == {"ok": True, "parts": {"detector": detector}}
    status, _, body = get(running, "/readyz")
    assert status == 503
    assert json.loads(body)["parts"]["outbox"] == {"ok": False, "state": "not open"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:1234", 200),
        ("127.0.0.1:9464", 200),
        ("[::1]:9464", 200),
        ("cameras.example:9464", 200),
        ("CAMERAS.example", 200),
        ("evil.example", 421),
        ("evil.example:9464", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("localhost:80:80", 421),
        ("10.0.0.1", 421),
        ("", 421),
    ],
)
def test_only_known_names_are_answered(running: Endpoint, host: str, status: int) -> None:
    """A request by another name, such as a rebound one, is refused on every path and learns nothing."""
    for path in ("/metrics", "/healthz", "/nothing"):
        found, _, body = get(running, path, Host=host)
        assert found == (404 if status == 200 and path == "/nothing" else status)
        assert (b"tocsin_" in body) == (status == 200 and path == "/metrics")


def test_two_names_are_none(running: Endpoint) -> None:
    """A request with two Host headers, or without one, is refused."""
    for hosts in (b"Host: localhost\r\nHost: evil.example\r\n", b""):
        for version in (b"1.1", b"1.0"):
            answer = raw(
                running, b"GET /metrics HTTP/" + version + b"\r\n" + hosts + b"Connection: close\r\n\r\n"
            )
            assert answer.split(b" ")[1] in (b"400", b"421")


def test_a_body_with_two_lengths_is_refused(running: Endpoint) -> None:
    """What comes after one of them would be a request of its own, which a proxy took for the body of this one."""
    hidden = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    lengths = b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % (5 + len(hidden))
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        connection.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + lengths + b"\r\n0\r\n\r\n" + hidden
        )
        answer = b""
        while more := connection.recv(65536):
            answer += more
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


def test_the_listen_host_is_known() -> None:
    """The address it listens on is a name by which it may be asked."""
    with (
        serving(endpoint(("127.0.0.2", 0))) as one,
        socket.create_connection(("127.0.0.2", one.port)) as client,
    ):
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.2\r\nConnection: close\r\n\r\n")
        assert client.recv(64).startswith(b"HTTP/1.1 200")


def test_an_answer_gives_nothing_away(running: Endpoint) -> None:
    """No name of the server, and no permission for other origins."""
    _, headers, _ = get(running, "/metrics", Origin="https://evil.example")
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE"])
def test_there_is_nothing_to_change(running: Endpoint, method: str) -> None:
    """Other methods than GET and HEAD are refused; HEAD is answered without a body."""
    assert get(running, "/metrics", "HEAD")[::2] == (200, b"")
    assert get(running, "/metrics", method)[0] == 405


def test_a_large_header_is_refused(running: Endpoint) -> None:
    """A header beyond the limit is answered with an error and read no further."""
    answer = raw(running, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: local"], ids=["nothing", "half a header"]
)
def test_a_connection_has_an_end(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """A client that never finishes its request is disconnected."""
    monkeypatch.setattr(connections, "SECONDS", 0.3)
    with serving(endpoint()) as one:
        with suppress(ConnectionResetError):
            assert raw(one, sent) == b""
        assert get(one, "/healthz")[0] == 200


def test_a_page_is_packed_for_who_can_unpack_it(running: Endpoint) -> None:
    """The same page, at a quarter of its size at most; the answer says that it depends on what was accepted."""
    _, plain, body = get(running, "/metrics")
    status, headers, packed = get(running, "/metrics", **{"Accept-Encoding": "deflate, gzip;q=0.5"})
    assert (status, headers["content-encoding"], headers["vary"]) == (200, "gzip", "accept, accept-encoding")
    assert "content-encoding" not in plain
    assert series_of(gzip.decompress(packed)) == series_of(body)
    assert len(packed) * 4 < len(body)


def series_of(page: bytes) -> list[str]:
    return [line.rpartition(" ")[0] for line in page.decode().splitlines()]


def test_every_answer_is_marked(running: Endpoint) -> None:
    """Neither kept by anybody nor taken for something else, whatever it is."""
    for path, host in (("/metrics", "localhost"), ("/nothing", "localhost"), ("/metrics", "evil.example")):
        _, headers, _ = get(running, path, Host=host)
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_no_line_is_logged_for_requests(running: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a scrape, nor a refusal, nor nonsense is worth a line."""
    with capture_logs() as logs:
        get(running, "/metrics")
        get(running, "/metrics", Host="evil.example")
        raw(running, b"nonsense\r\n\r\n")
    assert logs == []
    assert caplog.records == []


def test_a_port_in_use_is_a_sentence() -> None:
    """Another program on the port keeps the endpoint from starting, and the sentence names the address."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartError) as caught:
            endpoint(("127.0.0.1", port)).start()
    assert str(caught.value) == (
        f"http.listen: expected a free address, found 127.0.0.1:{port} in use by another program"
    )


@pytest.mark.parametrize(
    ("listen", "sentence"),
    [
        (("192.0.2.1", 9464), "http.listen: expected an address of this machine, found 192.0.2.1:9464"),
        (
            ("host.invalid", 9464),
            "http.listen: expected a name or address of this machine, found host.invalid:9464",
        ),
    ],
)
def test_an_address_of_another_machine_is_a_sentence(listen: tuple[str, int], sentence: str) -> None:
    """An address that cannot be had is named."""
    with pytest.raises(StartError) as caught:
        endpoint(listen).start()
    assert str(caught.value) == sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_port_of_the_system_is_a_sentence() -> None:
    """Without the right to a low port the sentence says so."""
    os.seteuid(65534)
    try:
        with pytest.raises(
            StartError, match=r"expected a port that this user may open, found 127\.0\.0\.1:80$"
        ):
            endpoint(("127.0.0.1", 80)).start()
    finally:
        os.seteuid(0)


def test_a_bound_socket_is_taken_over() -> None:
    """A socket that somebody else has bound is served, and its port told."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with serving(endpoint(listener)) as one:
        assert one.port == port
        assert get(one, "/healthz")[0] == 200


def test_ipv6_has_brackets() -> None:
    """The IPv6 loopback can be listened on and asked by its name."""
    with serving(endpoint(("::1", 0))) as one, socket.create_connection(("::1", one.port)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: [::1]:9\r\nConnection: close\r\n\r\n")
        assert client.recv(64).startswith(b"HTTP/1.1 200")


def test_stopping_frees_the_port() -> None:
    """After the stop nobody listens, no thread is left, and the same port can be had again at once."""
    first = endpoint()
    first.start()
    port = first.port
    kept = socket.create_connection(("127.0.0.1", port))
    kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert kept.recv(64).startswith(b"HTTP/1.1 200")
    started = time.monotonic()
    first.stop(started + 5)
    first.stop(started + 5)
    kept.close()
    assert time.monotonic() - started < 3
    assert "http" not in [thread.name for thread in threading.enumerate()]
    with serving(endpoint(("127.0.0.1", port))) as second:
        assert second.port == port


def test_stopping_before_starting_does_nothing() -> None:
    """A part that was never started can be stopped."""
    endpoint().stop(time.monotonic())


def test_the_names_by_which_others_may_ask_can_change(running: Endpoint) -> None:
    """From the next request on; the loopback's own always count."""
    assert get(running, "/healthz", host="cameras.example")[0] == 200
    running.allow(["Other.example"])
    assert get(running, "/healthz", host="cameras.example")[0] == 421
    assert get(running, "/healthz", host="other.example")[0] == 200
    assert get(running, "/healthz", host="localhost")[0] == 200
