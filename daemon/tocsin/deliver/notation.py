"""How identities, times and numbers are written in what is sent and kept."""

import math
import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

Json = Mapping[str, Any]
"""A JSON object: its values are texts, numbers, booleans, nulls, lists and further objects."""

SHORTEST = 6
"""Characters of an identity's end that a person may give instead."""


def new_id(at: datetime, prefix: str = "msg") -> str:
    """Return an identity that no other event has, drawn from the system's randomness."""
    return make_id(at, os.urandom(10), prefix)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def make_id(at: datetime, randomness: bytes, prefix: str = "msg") -> str:
    """Return `prefix`, an underscore and a UUID of version 7 (RFC 9562) in hexadecimal.

    Identities sort by time, in milliseconds. `randomness` is ten bytes, of which 74 bits are used.
    """
    # not by way of timestamp(), which as a float may fall short of the millisecond
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1) & ((1 << 48) - 1)
    bits = int.from_bytes(randomness, "big")
    value = milliseconds << 80 | 0x7 << 76 | (bits >> 68 & 0xFFF) << 64 | 0b10 << 62 | bits & ((1 << 62) - 1)
    return f"{prefix}_{uuid.UUID(int=value).hex}"


def stamp(at: datetime) -> str:
    """Return a time as receivers read it: UTC to the millisecond, `2026-11-21T10:15:02.418Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def number(value: float, digits: int | None = None) -> float | None:
    """Return a rounded built-in number (NumPy's are no JSON), null when it is not finite.

    An alarm with an unknown number in it is worth more to its receiver than none.
    """
    plain = float(value)
    return round(plain, digits) if math.isfinite(plain) else None


def real(value: float | None) -> float:
    """Return what `number` was made of, but for its rounding: NaN for null."""
    return math.nan if value is None else float(value)
