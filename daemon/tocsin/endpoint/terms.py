"""On what terms the endpoint serves: TLS, users and headers, read again when one of their files changes.

So a certificate that is renewed is shown from the next connection on, and a user who is struck out is refused at
the next request, without a restart. What is wrong with a changed file changes nothing but the log.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tocsin.config.web import TlsServerSettings, load_web
from tocsin.errors import ConfigError

log = structlog.get_logger(__name__)

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}

Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of whoever connects: `users` are bcrypt hashes, none where nobody has to say who he is."""

    tls: ssl.SSLContext | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def gap(self) -> str | None:
        """What others on the network can do, in one sentence; None where nothing."""
        if self.tls is None:
            return "without tls_server_config all that is read, and each password, crosses the network in the clear"
        if self.users or self.tls.verify_mode is ssl.CERT_REQUIRED:
            return None
        return "without basic_auth_users everybody on the network can read it"


class Web:
    """The terms as a file has them now, or none at all without a file. Used by one thread after `load`.

    With `guarded` a file that has neither TLS nor users is refused.
    """

    def __init__(self, path: Path | None, *, guarded: bool) -> None:
        self._path = path
        self._guarded = guarded
        self.terms = Terms()  # as they were read last; replaced whole
        self._files: tuple[Path, ...] = () if path is None else (path,)
        self._stamp: Stamp = ()

    def load(self) -> Terms:
        """Read the file and all that it names; raises ConfigError with a message for each fault."""
        if self._path is None:
            return self.terms
        settings = load_web(self._path)
        tls = settings.tls_server_config
        files = (self._path, *(Path(file) for file in settings.files()))
        self._files, self._stamp = files, _stamp(files)  # before they are loaded: a change meanwhile is seen
        if self._guarded and tls is None and not settings.basic_auth_users:
            raise ConfigError(
                f"{self._path}: expected tls_server_config or basic_auth_users, for others can reach the "
                "endpoint, found neither"
            )
        self.terms = Terms(
            None if tls is None else _context(tls, str(self._path)),
            settings.basic_auth_users,
            {name.lower(): value for name, value in settings.http_server_config.headers.items()},
        )
        return self.terms

    def current(self) -> Terms:
        """Return the terms, read again where a file has changed; the last good ones where it is at fault now."""
        if self._path is not None and (found := _stamp(self._files)) != self._stamp:
            self._stamp = found
            try:
                self.load()
            except ConfigError as error:
                for why in str(error).splitlines():
                    log.error("the endpoint's file is refused and changes nothing", why=why)
            else:
                log.info("the endpoint's file is read again", file=str(self._path))
        return self.terms


def _stamp(files: tuple[Path, ...]) -> Stamp:
    return tuple(_stamp_of(file) for file in files)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(file)  # noqa: PTH116  follows the link that a renewal moves
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _context(tls: TlsServerSettings, place: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    where = f"{place}: tls_server_config"
    try:
        if Path(tls.key_file).stat().st_mode & 0o004:
            raise ConfigError(
                f"{where}.key_file: expected a key that others cannot read, found {tls.key_file} readable by "
                "everyone"
            )
        # Without a password OpenSSL would ask for one at the terminal, and wait.
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "-")
    except OSError as error:
        files = f"{tls.cert_file} and {tls.key_file}"
        what = "a certificate in PEM and its key without a password"
        raise ConfigError(f"{where}: expected {what} in {files}, found: {_why(error)}") from error
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except OSError as error:
            what = f"certificates in PEM in {tls.client_ca_file}"
            raise ConfigError(f"{where}.client_ca_file: expected {what}, found: {_why(error)}") from error
        context.verify_mode = _CLIENTS[tls.client_auth_type]
    return context


def _why(error: OSError) -> str:
    """OpenSSL's own words say it to its makers."""
    if not isinstance(error, ssl.SSLError):
        return (error.strerror or "an error").lower()
    mismatch = error.reason == "KEY_VALUES_MISMATCH"
    return "the key of another certificate" if mismatch else "something else"
