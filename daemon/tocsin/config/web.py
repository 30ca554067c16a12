"""The endpoint's own file: TLS, users and headers, with the keys that Prometheus' exporters have for them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import to_json

from tocsin.config.faults import translate
from tocsin.errors import ConfigError
from tocsin.fields import LocalPath, Section, expected
from tocsin.yamlfile import Fault, parse, read

CHEAPEST, DEAREST = 4, 14
"""Costs of bcrypt: a comparison at 10 takes some 50 ms, and each step doubles it."""

_Header = Literal[
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
]


def _check_hash(value: str) -> str:
    match = re.fullmatch(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", value, re.ASCII)
    if match is None:
        raise expected("a bcrypt hash, as htpasswd -B makes it", "something else")
    if not CHEAPEST <= int(match[1]) <= DEAREST:
        raise expected(f"a bcrypt hash of a cost from {CHEAPEST} to {DEAREST}", match[1])
    return value


def _check_user(value: str) -> str:
    if not value or ":" in value:
        raise expected("the name of a user, without a colon")
    return value


def _check_header(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise expected("printable ASCII")
    return value


class TlsServerSettings(Section):
    """`tls_server_config`."""

    cert_file: LocalPath
    key_file: LocalPath
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = (
        "NoClientCert"
    )
    client_ca_file: LocalPath | None = None
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"

    weighed: ClassVar[frozenset[str]] = frozenset(
        {"client_auth_type", "client_ca_file", "min_version", "max_version"}
    )

    def conflicts(self) -> Iterator[Fault]:
        asks = self.client_auth_type != "NoClientCert"
        if asks and self.client_ca_file is None:
            yield Fault(("client_auth_type",), "expected client_ca_file beside it, found none")
        if not asks and self.client_ca_file is not None:
            yield Fault(
                ("client_ca_file",), "expected client_auth_type beside it that asks for one, found none"
            )
        if self.min_version > self.max_version:
            yield Fault(("min_version",), f"expected max_version or less, found {self.min_version}")


class HttpServerSettings(Section):
    """`http_server_config`."""

    headers: dict[_Header, Annotated[str, AfterValidator(_check_header)]] = Field(default_factory=dict)


class WebSettings(Section):
    """The whole file."""

    tls_server_config: TlsServerSettings | None = None
    http_server_config: HttpServerSettings = HttpServerSettings()
    basic_auth_users: dict[
        Annotated[str, AfterValidator(_check_user)], Annotated[str, AfterValidator(_check_hash)]
    ] = Field(default_factory=dict)

    def files(self) -> list[str]:
        """The files that it names."""
        tls = self.tls_server_config
        named = () if tls is None else (tls.cert_file, tls.key_file, tls.client_ca_file)
        return [file for file in named if file is not None]


def load_web(path: Path) -> WebSettings:
    """Return what the file at `path` says; raises ConfigError with one message for each fault."""
    document = parse(read(path), str(path), keys="keys such as tls_server_config: and basic_auth_users:")
    context = {"folder": str(path.absolute().parent)}
    faults = list(document.repeated)
    try:
        settings = WebSettings.model_validate_json(to_json(document.content), context=context)
    except ValidationError as error:
        raise ConfigError(*document.messages([*faults, *translate(error, document, WebSettings)])) from error
    if tls := settings.tls_server_config:
        faults += [Fault(("tls_server_config", *one.path), one.sentence) for one in tls.conflicts()]
    if faults:
        raise ConfigError(*document.messages(faults))
    return settings
