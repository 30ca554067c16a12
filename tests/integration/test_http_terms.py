"""The endpoint behind TLS and passwords: whom it lets in, and how its terms change while it runs."""

import base64
import http.client
import os
import shutil
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from support import canary
from support.prometheus import Prometheus
from support.tls import Certificates
from support.wait import until
from tocsin.endpoint.gallery import Read
from tocsin.endpoint.terms import Web
from tocsin.errors import ConfigError
from tocsin.evidence.link import Link
from tocsin.evidence.shelf import Kind
from tocsin.http import Endpoint, Health, PartHealth, credentials
from tocsin.metrics import Metrics, Names

WELL = Health((PartHealth("detector", ok=True, state="warm"),))
PASSWORD = "scr@pe-me-4-what-is-new"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
USERS = f"basic_auth_users: {{prometheus: {HASH}}}\n"
TLS = "tls_server_config: {cert_file: endpoint.crt, key_file: endpoint.key%s}\n"


@contextmanager
def serving(file: Path, *, guarded: bool = True) -> Iterator[Endpoint]:
    canary.watch(PASSWORD)
    registry = CollectorRegistry()
    metrics = Metrics(registry, Names(streams={"yard": []}, rules={}, webhooks=[]))
    one = Endpoint(
        ("127.0.0.1", 0), registry, lambda: WELL, lambda: WELL, metrics, (), Web(file, guarded=guarded)
    )
    one.start()
    try:
        yield one
    finally:
        one.stop(time.monotonic() + 5)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    made = Certificates(tmp_path)
    made.sign("endpoint", "IP:127.0.0.1")
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "web.yml"


def get(
    one: Endpoint,
    tls: ssl.SSLContext | None = None,
    login: str | None = None,
    path: str = "/metrics",
    method: str = "GET",
) -> http.client.HTTPResponse:
    connection: http.client.HTTPConnection
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=20)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", one.port, timeout=20, context=tls)
    headers = {"Connection": "close"}
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates.authority))


def replace(file: Path, text: str) -> None:
    """Put another text in a file's place, as an editor or a renewal does."""
    other = file.with_suffix(".new")
    other.write_text(text)
    other.replace(file)


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nothing", "/alarm/x", "/evidence/x"])
def test_nothing_is_told_without_the_password(file: Path, path: str) -> None:
    """On no path; who is refused is asked for one, and learns nothing of what there is."""
    file.write_text(USERS)
    with serving(file) as one, capture_logs() as logs:
        for login in (None, "prometheus:wrong", "nobody:wrong", f"nobody:{PASSWORD}", "prometheus"):
            answer = get(one, login=login, path=path)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith('Basic realm="tocsin"')
        found = get(one, login=f"prometheus:{PASSWORD}", path=path).status
        assert found == {"/nothing": 404, "/alarm/x": 503, "/evidence/x": 404}.get(path, 200)
    assert {line["event"] for line in logs} == {"a login at the endpoint is refused"}
    assert {line["client"] for line in logs} == {"127.0.0.1"}


def test_a_real_prometheus_scrapes_by_tls_and_password(
    certificates: Certificates, file: Path, tmp_path: Path
) -> None:
    """With the keys that its own documentation has; and it is not let in with another password."""
    file.write_text(TLS % "" + USERS)
    secret = tmp_path / "password"
    more = (
        f"scheme: https\n    tls_config: {{ca_file: {certificates.authority}}}\n"
        f"    basic_auth: {{username: prometheus, password_file: {secret}}}"
    )
    with serving(file) as one:
        secret.write_text("another")
        with Prometheus(f"127.0.0.1:{one.port}", more) as prometheus:
            until(
                lambda: prometheus.query("up") and prometheus.query("up")[0][1] == 0, 20, "a refused scrape"
            )
            secret.write_text(PASSWORD)
            prometheus.wait_query("up", at_least=1, timeout=30)
            prometheus.wait_query("tocsin_build_info", at_least=1)
            refused = prometheus.wait_query('tocsin_http_requests_total{code="401"}', at_least=1)
    assert refused


def test_who_speaks_no_tls_learns_nothing(certificates: Certificates, file: Path) -> None:
    """Nor who speaks an old one."""
    file.write_text(TLS % ", min_version: TLS13")
    with serving(file) as one:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            get(one)
        old = trusting(certificates)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            get(one, old)
        assert get(one, trusting(certificates)).status == 200
        assert one.scheme == "https"


def test_who_shows_no_certificate_is_kept_out(certificates: Certificates, file: Path, tmp_path: Path) -> None:
    """Where one is required: one of the authority's is let in, none and another's are not."""
    asked = ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: authority.crt"
    file.write_text(TLS % asked)
    mine = certificates.sign("scraper")
    (tmp_path / "other").mkdir()
    other = Certificates(tmp_path / "other").sign("scraper")
    with serving(file) as one:
        for shown, allowed in ((None, False), (other, False), (mine, True)):
            context = trusting(certificates)
            if shown is not None:
                context.load_cert_chain(shown)
            if allowed:
                assert get(one, context).status == 200
            else:
                with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                    get(one, context)


def test_a_renewed_certificate_is_shown_without_a_restart(certificates: Certificates, file: Path) -> None:
    """From the next connection on; while only one of the two files is new, the old pair goes on."""
    folder = file.parent
    file.write_text(TLS % "")
    certificates.sign("renewed", "IP:127.0.0.1")
    with serving(file) as one, capture_logs() as logs:

        def serial() -> str:
            pem = ssl.get_server_certificate(("127.0.0.1", one.port), timeout=20)
            return pem.replace("\n", "")

        first = serial()
        shutil.copy(folder / "renewed.crt", folder / "next.crt")
        (folder / "next.crt").replace(folder / "endpoint.crt")
        assert serial() == first
        assert [line["event"] for line in logs] == ["the endpoint's file is refused and changes nothing"]
        assert "found: the key of another certificate" in logs[0]["why"]
        shutil.copy(folder / "renewed.key", folder / "next.key")
        (folder / "next.key").replace(folder / "endpoint.key")
        second = serial()
        assert second == (folder / "renewed.crt").read_text().replace("\n", "")
        assert first != second
        assert get(one, trusting(certificates)).status == 200
    assert [line["event"] for line in logs][1:] == ["the endpoint's file is read again"]


def test_a_user_who_is_struck_out_is_refused_at_once(file: Path) -> None:
    """Also where the password was right a moment ago."""
    file.write_text(USERS)
    with serving(file) as one:
        assert get(one, login=f"prometheus:{PASSWORD}").status == 200
        replace(file, USERS.replace("prometheus", "grafana"))
        assert get(one, login=f"prometheus:{PASSWORD}").status == 401
        assert get(one, login=f"grafana:{PASSWORD}").status == 200


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", ":2: expected YAML"),
        (
            "http_server_config: {}\n",
            ": expected tls_server_config or basic_auth_users, for others can reach",
        ),
        ("basic_auth_users: {}\n", ": expected tls_server_config or basic_auth_users, for others can reach"),
        ("basic_auth_users: {a: b}\n", ":1: basic_auth_users.a: expected a bcrypt hash"),
    ],
)
def test_a_fault_in_the_file_changes_nothing(file: Path, text: str, why: str) -> None:
    """It is told once, and the terms of before go on; a start with it is refused."""
    file.write_text(USERS)
    with serving(file) as one, capture_logs() as logs:
        replace(file, text)
        for _ in range(3):
            assert get(one, login=f"prometheus:{PASSWORD}").status == 200
            assert get(one).status == 401
    told = [line["why"] for line in logs if line["event"].startswith("the endpoint's file")]
    assert len(told) == 1
    assert told[0].startswith(f"{file}{why}")
    with pytest.raises(ConfigError) as caught:
        Web(file, guarded=True).load()
    assert str(caught.value).startswith(f"{file}{why}")


def test_headers_of_the_file_are_sent(file: Path) -> None:
    """They stand for those that are sent anyway."""
    file.write_text(
        USERS + "http_server_config: {headers: {X-Frame-Options: DENY, X-Content-Type-Options: nosniff}}\n"
    )
    with serving(file) as one:
        answer = get(one)
        assert answer.headers.get_all("x-frame-options") == ["DENY"]
        assert answer.headers.get_all("x-content-type-options") == ["nosniff"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("endpoint.key", None, "found: no such file or directory"),
        ("endpoint.crt", "nonsense", "found: something else"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_a_sentence(
    certificates: Certificates, file: Path, name: str, content: str | None, sentence: str
) -> None:
    """With the place and both files."""
    file.write_text(TLS % "")
    part = file.parent / name
    if content is None:
        part.unlink()
    else:
        part.write_text(content)
    with pytest.raises(ConfigError) as caught:
        Web(file, guarded=True).load()
    assert str(caught.value) == (
        f"{file}: tls_server_config: expected a certificate in PEM and its key without a password in "
        f"{file.parent}/endpoint.crt and {file.parent}/endpoint.key, {sentence}"
    )


def test_a_key_that_everybody_can_read_is_refused(certificates: Certificates, file: Path) -> None:
    """It is none any more."""
    file.write_text(TLS % "")
    os.chmod(file.parent / "endpoint.key", 0o644)  # noqa: PTH101
    with pytest.raises(
        ConfigError, match=r"key_file: expected a key that others cannot read, found .* readable"
    ):
        Web(file, guarded=True).load()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Basic " + base64.b64encode(b"a:b:c").decode(), ("a", b"b:c")),
        ("basic " + base64.b64encode("ä:ö".encode()).decode(), ("ä", "ö".encode())),
        ("Basic " + base64.b64encode(b":").decode(), ("", b"")),
        ("Basic " + base64.b64encode(b"nocolon").decode(), None),
        ("Basic " + base64.b64encode(b"\xff:x").decode(), None),
        ("Basic !!!", None),
        ("Basic", None),
        ("", None),
        ("Bearer YTpi", None),
    ],
)
def test_a_login_is_read_as_it_was_meant(header: str, found: tuple[str, bytes] | None) -> None:
    """The first colon divides; what is no login at all is none."""
    assert credentials(header) == found


class Shown:
    """An archive of one picture, which any link leads to."""

    def __init__(self, picture: Path) -> None:
        picture.write_bytes(b"a picture")
        self._picture = picture

    def opened(self, piece: str, expires: str, signature: str, now: float) -> Link | None:
        return Link(piece, round(now) + 60) if signature else None

    def is_expected(self, _: str) -> bool:
        return False

    def find(self, _: str) -> tuple[int, Kind] | None:
        return os.open(self._picture, os.O_RDONLY), Kind.FRAME


def test_who_looks_at_a_picture_is_known_by_the_login(file: Path, tmp_path: Path) -> None:
    """Where the file has users; else by the address, and who has no link has looked at nothing."""
    seen: list[Read] = []
    for terms, user in ((USERS, "prometheus"), ("{}", None)):
        file.write_text(terms)
        with serving(file, guarded=False) as one:
            one.show(Shown(tmp_path / "picture"), seen.append)
            login = f"prometheus:{PASSWORD}"
            assert get(one, login=login, path="/evidence/0123?signature=x").status == 200
            assert get(one, login=login, path="/evidence/0123").status == 404
            assert get(one, login=login, path="/evidence/0123?signature=x", method="HEAD").status == 200
            if user:
                assert get(one, login="prometheus:wrong", path="/evidence/0123?signature=x").status == 401
        (read,) = seen
        assert (read.piece, read.kind, read.client, read.user) == ("0123", Kind.FRAME, "127.0.0.1", user)
        assert abs(read.made - time.time()) < 60
        seen.clear()
