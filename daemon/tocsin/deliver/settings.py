"""What the configuration says about webhooks."""

import base64
import binascii
import ipaddress
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from tocsin.deliver.event import EventType
from tocsin.fields import Name, Secret, Section, check_port, counted, expected, text_of
from tocsin.yamlfile import Fault

SIGNING_KEY = "whsec_ and base64 of 24 to 64 bytes"


def signing_key_fault(text: str) -> str | None:
    """Return what is wrong with a Standard Webhooks secret, or None; the text itself is never part of it."""
    prefix, _, encoded = text.partition("_")
    if prefix != "whsec":
        return f"expected {SIGNING_KEY}, found no whsec_ in front"
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        return f"expected {SIGNING_KEY}, found text that is not base64"
    return None if 24 <= size <= 64 else f"expected {SIGNING_KEY}, found {counted(size, 'byte')}"


_URL = "https://HOST/PATH, or http:// to this machine's loopback"
_EVENTS = "a type of event such as alarm.raised, or all of a kind such as alarm.*"


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # a broken IPv6 address
        raise expected(_URL) from None
    if not parts.hostname or not url.isascii() or " " in url or parts.scheme not in ("https", "http"):
        raise expected(_URL)
    check_port(parts)
    if "@" in parts.netloc:
        raise expected("an address without user and password", "one with them")
    if parts.fragment:
        raise expected("an address without a fragment (#)", "one with it")
    return url


def _check_pattern(pattern: str) -> str:
    if pattern in set(EventType) or pattern in {f"{kind.partition('.')[0]}.*" for kind in EventType}:
        return pattern
    raise expected(_EVENTS)


def is_loopback(host: str) -> bool:
    """Whether `host` is written as this machine's loopback; a name that merely resolves to it is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Url = Annotated[str, AfterValidator(_check_url), text_of(_URL)]
Pattern = Annotated[str, AfterValidator(_check_pattern), text_of(_EVENTS)]


class WebhookSettings(Section):
    """`webhooks[]`."""

    name: Name = Field(description="the webhook's name in metrics, events and logs")
    url: Url = Field(description="https://..., or http:// to this machine's loopback")
    secret: Secret = Field(description=f"the shared secret that signs each delivery: {SIGNING_KEY}")
    format: Literal["tocsin"] = Field(default="tocsin", description="the shape of the body")
    events: tuple[Pattern, ...] = Field(
        default=("alarm.*", "stream.*", "detector.*", "delivery.*", "outbox.*"),
        min_length=1,
        description="types of event to send: a whole type, or all of a kind such as alarm.*",
    )
    allow_insecure: bool = Field(default=False, description="allow plain http to other machines")

    weighed: ClassVar[frozenset[str]] = frozenset({"url", "secret", "allow_insecure"})

    def conflicts(self) -> Iterator[Fault]:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not self.allow_insecure and not is_loopback(parts.hostname or ""):
            yield Fault(
                ("url",), "expected https, or allow_insecure: true beside it, found http to another machine"
            )
        if self.secret.kind == "inline" and (fault := signing_key_fault(self.secret.reference)):
            yield Fault(("secret",), fault)
