"""How a webhook proves who it is and whom it trusts: headers, and certificates."""

import base64
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tocsin.deliver.address import Network
from tocsin.errors import ConfigError

HEADER_VALUE = "printable ASCII without a line's end"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", re.ASCII)
_OURS = frozenset(
    {"host", "connection", "content-length", "content-type", "transfer-encoding", "te", "trailer", "upgrade"}
)
_OUR_FAMILIES = ("webhook-", "tocsin-")


@dataclass(frozen=True, slots=True)
class Access:
    """What the configuration gives a webhook beside its address and its signing key.

    `networks` is as `denial` has it; `tls` is None where the system's authorities and no certificate of our own
    will do.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    networks: tuple[Network, ...] = ()
    tls: ssl.SSLContext | None = None


def header_name_fault(name: str) -> str | None:
    """Return what is wrong with the name of a header that a configuration adds, or None."""
    if not _NAME.fullmatch(name):
        return "expected the name of a header"
    if name.lower() in _OURS or name.lower().startswith(_OUR_FAMILIES):
        return "expected a header that is not set anyway"
    return None


def header_value_fault(text: str) -> str | None:
    """Return what is wrong with a header's value, or None; the text itself is never part of it."""
    if text.isascii() and text.isprintable():
        return None
    return f"expected {HEADER_VALUE}, found something else in it"


def basic(username: str, password: str) -> str:
    """Return the value of Authorization for a user and a password (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def tls_context(ca_file: str | None, cert_file: str | None, key_file: str | None) -> ssl.SSLContext | None:
    """Return what to check a receiver's certificate with and which one to show; None for the system's own way.

    `ca_file` replaces the authorities of the system. `key_file` is None where `cert_file` holds the key too.
    Raises ConfigError, whose sentence begins with the key that it is about.
    """
    if ca_file is None and cert_file is None:
        return None
    if ca_file is None:
        context = httpx2.create_ssl_context(trust_env=False)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise ConfigError(f"ca_file: {_why(error, ca_file, 'certificates in PEM')}") from error
    if cert_file is not None:
        _show(context, cert_file, key_file)
    return context


def _show(context: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    place, secret = ("key_file", key_file) if key_file else ("cert_file", cert_file)
    try:
        mode = Path(secret).stat().st_mode
    except OSError as error:
        raise ConfigError(f"{place}: {_why(error, secret, 'a key in PEM')}") from error
    if mode & 0o004:
        raise ConfigError(f"{place}: expected a key that others cannot read, found {secret} readable by all")
    try:
        # Without a password OpenSSL would ask for one at the terminal, and wait.
        context.load_cert_chain(cert_file, key_file, password=lambda: "-")
    except OSError as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"{place}: expected the key of the certificate in {cert_file}, found that of another"
            ) from error
        if isinstance(error, ssl.SSLError) and b"ENCRYPTED" in Path(secret).read_bytes():
            raise ConfigError(
                f"{place}: expected a key without a password, found {secret} with one"
            ) from error
        what = "a certificate in PEM and its key"
        raise ConfigError(f"cert_file: {_why(error, cert_file, what)}") from error


def _why(error: OSError, path: str, what: str) -> str:
    """Say what is wrong with a file that could not be loaded; OpenSSL's own words say it to its makers."""
    found = "something else" if isinstance(error, ssl.SSLError) else (error.strerror or "an error").lower()
    return f"expected {what} in {path}, found: {found}"
