"""The pictures that go along with an event: which, when without, and how they stand in its body."""

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

import httpx2

from tocsin.deliver.event import EventType
from tocsin.deliver.schedule import Outcome

BRINGING = frozenset({EventType.EVIDENCE_MADE, EventType.EVIDENCE_FILMED})
"""The events that bring what they tell of."""

ORDER = ("crop", "frame", "first", "corrected", "clip")
"""What a person needs first: who it is, and then where."""


class Way(StrEnum):
    """How pictures go along: the word in the configuration."""

    NONE = "none"
    BASE64 = "base64"
    MULTIPART = "multipart"


@dataclass(frozen=True, slots=True)
class Attach:
    """What a webhook gets along: `most` bytes together, as they are sent; of these `kinds` alone, if not of all."""

    way: Way
    most: int
    kinds: tuple[str, ...] = ORDER


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture or clip: its kind, the name of its file, what that is, and its content."""

    kind: str
    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Attached:
    """What goes along with an event, and the kinds of what does not: too large, or no longer there."""

    pictures: tuple[Picture, ...]
    left_out: tuple[str, ...]


Read = Callable[[str, str, int], Picture | None]
"""Returns what is kept of an alarm, of that kind; None where that is gone, or larger than so many bytes."""


def goes_bare(attempts: int, *, refused: bool, choked: bool) -> bool:
    """Say whether the next attempt at a delivery goes without pictures, after so many.

    The event must arrive, its pictures should. A receiver that refused the body (413, and some say it by another
    4xx) gets it without them from then on. Where the last attempt got through to it with pictures and `choked`, so
    that it may be their size, every third one goes without them.
    """
    return refused or (choked and attempts % 3 == 2)


CHOKED = frozenset({Outcome.TIMEOUT, Outcome.PROTOCOL, Outcome.UNREACHABLE, Outcome.FAILING})
"""How it may end with a receiver that cannot take so much, or over a line that is too slow for it."""


def kinds_of(body: bytes) -> tuple[str, ...]:
    """Return the kinds that the committed body of such an event names."""
    return tuple(json.loads(body)["data"].get("kinds", ()))


def nothing(attach: Attach, kinds: Sequence[str]) -> Attached:
    """Return that all of it is left out."""
    return Attached((), _wanted(attach, kinds))


def choose(read: Read, attach: Attach, alarm_id: str, kinds: Sequence[str]) -> Attached:
    """Return as many of the `kinds` as fit, the most telling first. Waits for the disk."""
    pictures: list[Picture] = []
    left = attach.most
    for kind in _wanted(attach, kinds):
        most = left // 4 * 3 if attach.way is Way.BASE64 else left
        picture = read(alarm_id, kind, most) if most else None
        if picture is not None:
            pictures.append(picture)
            size = len(picture.content)
            left -= -(-size // 3) * 4 if attach.way is Way.BASE64 else size
    there = {picture.kind for picture in pictures}
    return Attached(tuple(pictures), tuple(kind for kind in _wanted(attach, kinds) if kind not in there))


def specimen(attach: Attach, content: bytes) -> Attached:
    """Return a JPEG as it would go along, as the crop and as the frame of an alarm: to try a receiver with."""

    def read(_: str, kind: str, most: int) -> Picture | None:
        return Picture(kind, f"{kind}.jpg", "image/jpeg", content) if len(content) <= most else None

    return choose(read, attach, "", ("crop", "frame"))


def _wanted(attach: Attach, kinds: Sequence[str]) -> tuple[str, ...]:
    return tuple(kind for kind in ORDER if kind in kinds and kind in attach.kinds)


def with_base64(body: bytes, attached: Attached) -> bytes:
    """Return a committed body with the pictures in its data, the same bytes each time."""
    pictures = [
        {"kind": one.kind, "type": one.media_type, "base64": b64encode(one.content).decode("ascii")}
        for one in attached.pictures
    ]
    return _extended(body, {"attached": pictures, "left_out": attached.left_out})


def with_left_out(body: bytes, attached: Attached) -> bytes:
    """Return a committed body that says what did not come along, the same bytes each time."""
    return _extended(body, {"left_out": attached.left_out})


def _extended(body: bytes, more: dict[str, object]) -> bytes:
    told = json.loads(body)
    told["data"] |= more
    return json.dumps(told, allow_nan=False, separators=(",", ":")).encode("ascii")


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a form: a text or, with the name of a file, a file. No media type says that it is plain text."""

    field: str
    content: bytes
    file: str | None = None
    media_type: str | None = None


def composed(event_id: str, parts: Sequence[Part]) -> tuple[str, bytes]:
    """Return the media type and the bytes of a form (RFC 7578), the same for the same event and parts.

    The boundary follows from the event's id, whose random bits no stranger knows who puts anything into a part.
    """
    boundary = f"tocsin-{sha256(event_id.encode()).hexdigest()[:40]}"
    kind = f"multipart/form-data; boundary={boundary}"
    files = [(part.field, _file(part)) for part in parts]
    request = httpx2.Request("POST", "http://form.invalid/", files=files, headers={"content-type": kind})
    return kind, request.read()


def _file(part: Part) -> tuple[str | None, bytes] | tuple[str | None, bytes, str]:
    if part.media_type is None:
        return part.file, part.content
    return part.file, part.content, part.media_type
