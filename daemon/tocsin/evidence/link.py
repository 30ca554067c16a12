"""Links to a picture or clip that cannot be guessed, cannot be altered and expire."""

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from tocsin.errors import EvidenceError, reason

_ID = re.compile(r"[0-9a-f]{32}")
_FILE = "evidence.key"
_KEY = 32
_SIGNED = 32  # hexadecimal digits: 128 bits of an HMAC-SHA256


@dataclass(frozen=True, slots=True)
class Link:
    """What a link names: the number of a piece of evidence, and until when it is served (Unix time, seconds)."""

    piece: str
    expires: int


def new_key() -> bytes:
    """Return a key to sign links with."""
    return secrets.token_bytes(_KEY)


def evidence_key(state_dir: Path) -> bytes:
    """Return this installation's key, made where there is none. Raises EvidenceError.

    Without it nobody finds what was kept: neither links nor alarms lead to it any more.
    """
    path = state_dir / _FILE
    new = path.with_suffix(".new")
    try:
        if not path.exists() or path.stat().st_size == 0:  # empty: the disk was full, or the power went
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
                file.write(new_key())
                file.flush()
                os.fsync(file.fileno())
            new.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise EvidenceError(f"{path}: expected room for a key, found {reason(error)}") from error
    return known_key(state_dir)


def known_key(state_dir: Path) -> bytes:
    """Return this installation's key, which is there. Raises EvidenceError."""
    path = state_dir / _FILE
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            key = file.read(_KEY + 1)
    except OSError as error:
        raise EvidenceError(f"{path}: expected the key of what is kept, found {reason(error)}") from error
    if len(key) != _KEY:
        raise EvidenceError(f"{path}: expected a key of {_KEY} bytes, found another; remove it for a new one")
    return key


def piece_of(alarm_id: str, kind: str, key: bytes) -> str:
    """Return the identity of a piece of an alarm: it needs the key, and no table of what there is."""
    return hmac.new(key, f"{alarm_id}.{kind}".encode(), hashlib.sha256).hexdigest()[:32]


def path_of(link: Link, key: bytes) -> str:
    """Return the path and query of a link."""
    return f"/evidence/{link.piece}?expires={link.expires}&signature={_signature(link, key)}"


def opened(piece: str, expires: str, signature: str, key: bytes, now: float) -> Link | None:
    """Return what a request names; None for one that is forged, altered or expired: outside all are the same."""
    if not (_ID.fullmatch(piece) and expires.isascii() and expires.isdecimal() and len(expires) <= 12):
        return None
    link = Link(piece, int(expires))
    # Compared before the time is looked at, and in constant time: an answer tells nothing about a signature.
    genuine = hmac.compare_digest(_signature(link, key).encode(), signature.encode("utf-8", "replace"))
    return link if genuine and now < link.expires else None


def _signature(link: Link, key: bytes) -> str:
    message = f"{link.piece}.{link.expires}".encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:_SIGNED]
