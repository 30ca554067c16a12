"""When the certificates in a file begin and end to be valid (RFC 5280). Pure: time is an argument."""

import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SOON = timedelta(days=30)
"""Before its end within which a certificate should be renewed: who renews by himself has done it by then."""

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME = 0xA0, 0x17


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate is valid."""

    begins: datetime
    ends: datetime


def validities(pem: bytes) -> tuple[Validity, ...]:
    """Return the validity of each certificate in a file, in their order; one that is none is left out."""
    found = []
    for block in _BLOCK.findall(pem):
        try:
            found.append(_validity(ssl.PEM_cert_to_DER_cert(block.decode("ascii"))))
        except (ValueError, IndexError, StopIteration):
            continue
    return tuple(found)


def doubt(validities: Sequence[Validity], now: datetime) -> str | None:
    """Say what stands against the certificate that is valid longest; None where nothing does, or there is none."""
    if not validities:
        return None
    last = max(validities, key=lambda one: one.ends)
    if last.ends <= now:
        return f"the certificate has expired on {last.ends:%Y-%m-%d}"
    if last.begins > now:
        return f"the certificate is not valid before {last.begins:%Y-%m-%d}"
    if last.ends - now <= SOON:
        return f"the certificate expires on {last.ends:%Y-%m-%d}, in {(last.ends - now).days} days"
    return None


def _validity(der: bytes) -> Validity:
    """Read Certificate -> tbsCertificate -> [version], serial, algorithm, issuer, validity -> two times."""
    _, certificate = next(_parts(der))
    _, signed = next(_parts(certificate))
    fields = [content for tag, content in _parts(signed) if tag != _VERSION]
    begins, ends = (_time(tag, content) for tag, content in _parts(fields[3]))
    return Validity(begins, ends)


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each value in a sequence of DER."""
    at = 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & 0x80:
            more = size & 0x7F
            size = int.from_bytes(der[at : at + more], "big")
            at += more
        yield tag, der[at : at + size]
        at += size


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: up to 49 they are of this century
        text = ("20" if int(text[:2]) < 50 else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
