"""Attempts at webhooks whose names lead where they should not, and receivers that want to know who knocks."""

import asyncio
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from support.events import NOON
from support.receiver import SECRET, Answer, Receiver
from support.tls import Certificates
from support.wait import SCALE
from tocsin import assembly
from tocsin.config.load import loads, warnings, webhook_secrets
from tocsin.deliver import transport
from tocsin.deliver.access import Access, tls_context
from tocsin.deliver.event import Event, EventType, TrialData
from tocsin.deliver.resolve import ResolvingLoop
from tocsin.deliver.schedule import Outcome
from tocsin.deliver.webhook import Attempt, Message, Webhook, open_client, send_test
from tocsin.deliver.why import Why
from tocsin.errors import ConfigError

EVENT = Event("msg_1", EventType.TOCSIN_TEST, NOON, TrialData())
LONG = 10.0


def attempt(url: str, access: Access | None = None) -> Attempt:
    return send_test(Webhook("hook", url, SECRET, LONG, access or Access()), EVENT)


class Names:
    """The resolver of a test: each name leads to the addresses of the day, and each question is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.asked: list[str] = []

        async def getaddrinfo(_: object, host: bytes, __: object, **___: object) -> list[Any]:
            self.asked.append(host.decode())
            return [
                (socket.AF_INET6 if ":" in a else socket.AF_INET, 0, 0, "", (a, 0))
                for a in self.addresses[host.decode()]
            ]

        monkeypatch.setattr(ResolvingLoop, "getaddrinfo", getaddrinfo)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.1", Why.TO_ITSELF),
        ("0x7f.1", Why.TO_ITSELF),
        ("2130706433", Why.TO_ITSELF),
        ("0", Why.FORBIDDEN),
        ("2852039166", Why.FORBIDDEN),
        ("0xa9fea9fe", Why.FORBIDDEN),
        ("[64:ff9b::a9fe:a9fe]", Why.FORBIDDEN),
        ("[::ffff:169.254.169.254]", Why.FORBIDDEN),
    ],
)
def test_another_spelling_leads_nowhere(receiver: Receiver, host: str, why: Why) -> None:
    """The real resolver reads 127.1 and 2852039166 as addresses; what it makes of them is refused unasked."""
    got = attempt(f"http://{host}:{receiver.port}/hook")
    assert (got.outcome, got.why) == (Outcome.FORBIDDEN, why)
    assert receiver.requests == []


def test_each_attempt_is_judged_anew(
    receiver: Receiver, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that comes to lead to a metadata service gets nothing more, over no kept connection either."""
    monkeypatch.setattr(transport, "REMEMBER", 0.0)
    webhook = Webhook(
        "hook",
        f"http://r.example:{receiver.port}/hook",
        SECRET,
        LONG,
        Access(networks=(ip_network("127.0.0.0/8"),)),
    )
    outcomes = []

    async def send() -> None:
        async with open_client(webhook) as client:
            for place in ("127.0.0.1", "169.254.169.254", "10.0.0.1", "127.0.0.1"):
                names.addresses["r.example"] = [place]
                outcomes.append((await webhook.send(client, Message("msg_1", EVENT.render(1), 0.0))).why)

    with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
        runner.run(send())
    assert outcomes == [Why.ANSWERED, Why.FORBIDDEN, Why.OUTSIDE, Why.ANSWERED]
    assert names.asked == ["r.example"] * 4
    assert len(receiver.requests) == 2


def test_a_long_queue_asks_the_name_service_once_a_second(receiver: Receiver, names: Names) -> None:
    """Fifty deliveries one after another cost as many questions as seconds, and a first one."""
    names.addresses["r.example"] = ["127.0.0.1"]
    webhook = Webhook(
        "hook",
        f"http://r.example:{receiver.port}/hook",
        SECRET,
        LONG,
        Access(networks=(ip_network("127.0.0.0/8"),)),
    )

    async def send() -> float:
        began = time.monotonic()
        async with open_client(webhook) as client:
            for _ in range(50):
                await webhook.send(client, Message("msg_1", EVENT.render(1), 0.0))
        return time.monotonic() - began

    with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
        seconds = runner.run(send())
    assert len(receiver.requests) == 50
    assert len(names.asked) <= 1 + seconds


def test_the_judged_address_is_the_one_connected_to(receiver: Receiver, names: Names) -> None:
    """A name is asked about once an attempt, so that no second answer can differ, and Host still holds it."""
    names.addresses["r.example"] = ["127.0.0.1"]
    networks = (ip_network("127.0.0.1"),)
    got = attempt(f"http://r.example:{receiver.port}/hook", Access(networks=networks))
    assert got.outcome is Outcome.DELIVERED
    assert names.asked == ["r.example"]
    assert receiver.requests[0].headers["host"] == f"r.example:{receiver.port}"


def test_a_name_with_good_and_bad_addresses_has_the_good_ones(receiver: Receiver, names: Names) -> None:
    """A receiver's own address is used though the name service wraps it for NAT64 beside."""
    names.addresses["r.example"] = ["64:ff9b::7f00:1", "127.0.0.1"]
    networks = (ip_network("127.0.0.0/8"),)
    assert (
        attempt(f"http://r.example:{receiver.port}/", Access(networks=networks)).outcome is Outcome.DELIVERED
    )


def test_the_next_address_of_a_name_is_tried(receiver: Receiver, names: Names) -> None:
    """A receiver of which one address is dead is reached by the other, and then by that one first."""
    names.addresses["r.example"] = ["127.0.0.9", "127.0.0.1"]  # nothing listens at the first
    networks = (ip_network("127.0.0.0/8"),)
    got = attempt(f"http://r.example:{receiver.port}/", Access(networks=networks))
    assert got.outcome is Outcome.DELIVERED
    assert got.seconds < 2 * SCALE


def test_an_address_of_ipv6_is_connected_to() -> None:
    """Brackets around an address lead there, and Host has them still."""
    got: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while not b"".join(got).endswith(b"}"):
                got.append(connection.recv(65536) or b"}")
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        assert attempt(f"http://[::1]:{port}/").outcome is Outcome.DELIVERED
        thread.join(LONG)
    assert f"host: [::1]:{port}\r\n" in b"".join(got).decode().lower()


@pytest.mark.fault(40)
def test_a_redirect_to_a_metadata_service_is_not_followed(receiver: Receiver) -> None:
    """302 to 169.254.169.254 is a failure by its own word."""
    receiver.answer(Answer(302, {"Location": "http://169.254.169.254/latest/meta-data/"}))
    got = attempt(receiver.url)
    assert len(receiver.requests) == 1, "the receiver has sent its redirect"
    assert (got.outcome, got.status) == (Outcome.REDIRECT, 302)


# Who knocks


def configured(text: str, folder: Path) -> Webhook:
    """The webhook `w` of a configuration, made as the daemon makes it."""
    source = f"streams: [{{name: a, source: /dev/video0}}]\nwebhooks:\n  - name: w\n    {text}"
    config = loads(source.encode(), name="f", folder=folder)
    (webhook,) = assembly.webhooks(config, webhook_secrets(config, "w"))
    return webhook


def test_headers_and_basic_come_from_secrets(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user with a password becomes Authorization, further headers come as they were given."""
    monkeypatch.setenv("KEY", "hunter2")
    (tmp_path / "word").write_text("p\u00e4ss:word\n")
    (tmp_path / "word").chmod(0o600)
    webhook = configured(
        f"url: {receiver.url}\n    secret: {SECRET}\n    username: tocsin\n    password: {{file: word}}\n"
        "    headers: {X-Site: north, X-Key: {env: KEY}}\n",
        tmp_path,
    )
    assert send_test(webhook, EVENT).outcome is Outcome.DELIVERED
    headers = receiver.requests[0].headers
    assert headers["authorization"] == "Basic dG9jc2luOnDDpHNzOndvcmQ="
    assert (headers["x-site"], headers["x-key"]) == ("north", "hunter2")
    assert "hunter2" not in repr(webhook)
    assert "dG9jc2lu" not in repr(webhook)


def test_a_plain_header_is_no_secret() -> None:
    """What logs must mask are references, and texts whose name says so; `north` is neither, and no warning."""
    text = f"headers: {{X-Site: north, X-Token: abcd, X-Other: {{env: OTHER}}}}\n    secret: {SECRET}"
    source = (
        "streams: [{name: a, source: /dev/video0}]\nwebhooks:\n  - name: w\n    url: https://h.example/\n    "
    )
    config = loads((source + text).encode(), name="f", folder=Path("/"))
    assert [path for path, _ in config.webhooks[0].secrets()] == [
        ("secret",),
        ("headers", "X-Token"),
        ("headers", "X-Other"),
    ]
    assert [note for note in warnings(config) if "X-Site" in note] == []
    assert len([note for note in warnings(config) if "X-Token" in note]) == 1


def test_a_token_comes_as_bearer(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token stands behind Bearer, and a line's end in it is refused and not sent."""
    monkeypatch.setenv("TOKEN", "abc.def")
    text = f"url: {receiver.url}\n    secret: {SECRET}\n    token: {{env: TOKEN}}\n"
    assert send_test(configured(text, tmp_path), EVENT).outcome is Outcome.DELIVERED
    assert receiver.requests[0].headers["authorization"] == "Bearer abc.def"
    monkeypatch.setenv("TOKEN", "abc\nx-evil: 1")
    with pytest.raises(ConfigError, match=r"webhooks\[0\]\.token: expected printable ASCII") as caught:
        configured(text, tmp_path)
    assert "evil" not in str(caught.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a private authority, and with a server's and a client's certificate that it signed."""
    folder = tmp_path_factory.mktemp("authority")
    certificates = Certificates(folder)
    certificates.sign("server", "DNS:r.example,IP:127.0.0.1")
    certificates.sign("client", "DNS:client")
    certificates.sign("expired", "IP:127.0.0.1", days=-1)
    for key in folder.glob("*.key"):
        key.chmod(0o600)
    return folder


@contextmanager
def tls_server(
    authority: Path, *, ask: bool = False, certificate: str = "server"
) -> Iterator[tuple[int, list[str]]]:
    """A server on loopback that says 204 over TLS, and whose list holds each client's name, "-" for none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / f"{certificate}.crt", authority / f"{certificate}.key")
    context.load_verify_locations(authority / "authority.crt")
    context.verify_mode = ssl.CERT_REQUIRED if ask else ssl.CERT_NONE
    seen: list[str] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    subject = (secured.getpeercert() or {}).get("subject", ((("", "-"),),))
                    while not (secured.recv(65536) or b"}").endswith(
                        b"}"
                    ):  # closing on unread bytes would be a reset
                        pass
                    seen.append(subject[0][0][1])
                    secured.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            except OSError:
                connection.close()  # the client's refusal, or our own

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(LONG)


def test_a_private_authority_is_trusted_where_it_is_named(authority: Path) -> None:
    """With ca_file a receiver of one's own authority gets its delivery, and without it nothing."""
    with tls_server(authority) as (port, seen):
        refused = attempt(f"https://127.0.0.1:{port}/")
        assert (refused.outcome, refused.why) == (Outcome.TLS, Why.UNTRUSTED)
        trusted = Access(tls=tls_context(str(authority / "authority.crt"), None, None))
        assert attempt(f"https://127.0.0.1:{port}/", trusted).outcome is Outcome.DELIVERED
        assert seen == ["-"]


@pytest.mark.fault(44)
def test_a_certificate_that_is_over_is_refused(authority: Path) -> None:
    """An expired certificate of a trusted authority gets nothing, and the sentence says why."""
    trusted = Access(tls=tls_context(str(authority / "authority.crt"), None, None))
    with tls_server(authority, certificate="expired") as (port, seen):
        refused = attempt(f"https://127.0.0.1:{port}/", trusted)
    assert (refused.outcome, refused.why) == (Outcome.TLS, Why.EXPIRED)
    assert seen == []


def test_the_certificate_must_be_the_name_s(authority: Path, names: Names) -> None:
    """The connection goes to an address, the certificate is still compared with the name in the URL."""
    names.addresses |= {"r.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    access = Access({}, (ip_network("127.0.0.1"),), tls_context(str(authority / "authority.crt"), None, None))
    with tls_server(authority) as (port, _):
        assert attempt(f"https://r.example:{port}/", access).outcome is Outcome.DELIVERED
        other = attempt(f"https://other.example:{port}/", access)
        assert (other.outcome, other.why) == (Outcome.TLS, Why.OTHER_NAME)


def test_a_receiver_that_asks_for_a_certificate_gets_it(authority: Path) -> None:
    """Mutual TLS: with cert_file and key_file the receiver knows who sends, and without them it refuses."""
    files = [str(authority / name) for name in ("authority.crt", "client.crt", "client.key")]
    with tls_server(authority, ask=True) as (port, seen):
        without = attempt(f"https://127.0.0.1:{port}/", Access(tls=tls_context(files[0], None, None)))
        assert without.outcome is not Outcome.DELIVERED
        assert seen == []
        assert (
            attempt(f"https://127.0.0.1:{port}/", Access(tls=tls_context(*files))).outcome
            is Outcome.DELIVERED
        )
        assert seen == ["client"]


def _locked(folder: Path) -> None:
    command = (
        "openssl",
        "ec",
        "-in",
        "client.key",
        "-out",
        "locked.key",
        "-aes256",
        "-passout",
        "pass:hunter2",
    )
    subprocess.run(command, check=True, capture_output=True, timeout=30, cwd=folder)
    (folder / "locked.key").chmod(0o600)


def _open(folder: Path) -> None:
    (folder / "open.key").write_bytes((folder / "client.key").read_bytes())
    (folder / "open.key").chmod(0o644)


@pytest.mark.parametrize(
    ("prepare", "keys", "sentence"),
    [
        (None, "ca_file: missing.pem", r"ca_file: expected certificates in PEM in \S+, found: no such file"),
        (None, "ca_file: client.key", r"ca_file: expected certificates in PEM in \S+, found: something else"),
        (None, "{c}\n    key_file: missing.key", r"key_file: expected .*, found: no such file"),
        (
            None,
            "{c}\n    key_file: server.key",
            r"key_file: expected the key of .*, found that of another",
        ),
        (None, "{c}\n    key_file: authority.crt", r"key_file: expected a key that others cannot read"),
        (_locked, "{c}\n    key_file: locked.key", r"key_file: expected a key without a password, found"),
        (_open, "{c}\n    key_file: open.key", r"key_file: expected a key that others cannot read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    authority: Path, prepare: Callable[[Path], None] | None, keys: str, sentence: str
) -> None:
    """A missing, wrong, locked or open file is a fault with its place, and nothing asks at a terminal."""
    if prepare:
        prepare(authority)
    text = f"url: https://h.example/\n    secret: {SECRET}\n    {keys.format(c='cert_file: client.crt')}\n"
    with pytest.raises(ConfigError, match=rf"f:\d+: webhooks\[0\]\.{sentence}"):
        configured(text, authority)


def test_the_payload_does_not_hold_what_opens_the_door(receiver: Receiver) -> None:
    """Headers carry the credentials, the body none of them."""
    attempt(receiver.url, Access({"x-key": "hunter2"}))
    assert receiver.requests[0].headers["x-key"] == "hunter2"
    assert "hunter2" not in json.dumps(receiver.requests[0].body)
