"""The endpoint's own file: what it may say, and the sentence for each thing that it may not."""

from pathlib import Path

import bcrypt
import pytest

from tocsin.config.web import load_web
from tocsin.errors import ConfigError

HASH = bcrypt.hashpw(b"hunter2-hunter2", b"$2b$04$abcdefghijklmnopqrstuu").decode()  # the same in every run
TLS = "tls_server_config: {cert_file: web.crt, key_file: /etc/web.key%s}\n"


def loaded(tmp_path: Path, text: str) -> object:
    file = tmp_path / "web.yml"
    file.write_text(text)
    return load_web(file)


def test_the_keys_are_those_of_prometheus_exporters(tmp_path: Path) -> None:
    """Relative paths start at the folder of the file."""
    text = (
        "tls_server_config:\n  cert_file: web.crt\n  key_file: /etc/web.key\n"
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"
        "  min_version: TLS13\n  max_version: TLS13\n"
        "http_server_config: {headers: {Strict-Transport-Security: max-age=1}}\n"
        f"basic_auth_users:\n  prometheus: {HASH}\n"
    )
    settings = loaded(tmp_path, text)
    assert settings.files() == [str(tmp_path / "web.crt"), "/etc/web.key", str(tmp_path / "ca.crt")]
    assert settings.basic_auth_users == {"prometheus": HASH}
    assert settings.http_server_config.headers == {"Strict-Transport-Security": "max-age=1"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", ": expected keys such as tls_server_config: and basic_auth_users:, found nothing"),
        ("basic_auth_user: {}", ":1: basic_auth_user: unknown key (did you mean basic_auth_users?)"),
        (
            "tls_server_config: {cert_file: a, key_file: b, cipher_suites: []}",
            (
                ":1: tls_server_config.cipher_suites: unknown key (known here: cert_file, client_auth_type, "
                "client_ca_file, key_file, max_version, min_version)"
            ),
        ),
        (
            "tls_server_config: {cert_file: a}",
            ":1: tls_server_config.key_file: expected this key, which has no default, found none",
        ),
        (
            TLS % ", client_auth_type: RequestClientCert",
            (
                ":1: tls_server_config.client_auth_type: expected NoClientCert, VerifyClientCertIfGiven or "
                "RequireAndVerifyClientCert, found RequestClientCert"
            ),
        ),
        (
            TLS % ", client_auth_type: RequireAndVerifyClientCert",
            ":1: tls_server_config.client_auth_type: expected client_ca_file beside it, found none",
        ),
        (
            TLS % ", client_ca_file: c",
            (
                ":1: tls_server_config.client_ca_file: expected client_auth_type beside it that asks for one, "
                "found none"
            ),
        ),
        (
            TLS % ", min_version: TLS10",
            ":1: tls_server_config.min_version: expected TLS12 or TLS13, found TLS10",
        ),
        (
            TLS % ", min_version: TLS13, max_version: TLS12",
            ":1: tls_server_config.min_version: expected max_version or less, found TLS13",
        ),
        (
            "basic_auth_users: {prometheus: hunter2-hunter2}",
            (
                ":1: basic_auth_users.prometheus: expected a bcrypt hash, as htpasswd -B makes it, found something "
                "else"
            ),
        ),
        (
            "basic_auth_users: {prometheus: 12345678}",
            ":1: basic_auth_users.prometheus: expected text, found ***",
        ),
        (
            f"basic_auth_users: {{prometheus: {HASH.replace('$04$', '$31$')}}}",
            ":1: basic_auth_users.prometheus: expected a bcrypt hash of a cost from 4 to 14, found 31",
        ),
        (
            "http_server_config: {headers: {Access-Control-Allow-Origin: x}}",
            ":1: http_server_config.headers.Access-Control-Allow-Origin: expected ",
        ),
        ("a: &x 1", ":1: expected a written-out value, found an anchor or alias (& or *)"),
        (TLS % "" + TLS % "", ":2: tls_server_config: expected this key once, found it on line 1 too"),
    ],
)
def test_a_fault_is_a_sentence_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    """And never a password that stands where its hash belongs."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/web.yml{sentence}")
    assert "hunter2" not in str(caught.value)
