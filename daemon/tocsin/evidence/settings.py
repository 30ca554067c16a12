"""What the configuration says about evidence."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from tocsin.fields import Duration, Section, check_port, expected, text_of


def _check_span(seconds: float) -> float:
    if seconds > 60:
        raise expected("a duration of 60s at most")
    return seconds


Span = Annotated[Duration, AfterValidator(_check_span)]

_ADDRESS = "http:// or https:// and a host, without a user, path or query"


def _check_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise expected(_ADDRESS)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise expected(_ADDRESS)
    check_port(parts)
    return url.rstrip("/")


class StreamEvidenceSettings(Section):
    """`streams[].evidence`: what is kept of an alarm."""

    pictures: bool = Field(
        default=True,
        description="of each alarm keep the frame that raised it, whole and cut out, and the first one",
    )
    clip: bool = Field(default=True, description="of each alarm keep a clip too, of the camera's own video")
    before: Span = Field(default=5.0, description="how much of the time before the alarm the clip shows")
    after: Span = Field(default=10.0, description="how much of the time after it")


class EvidenceSettings(Section):
    """`evidence`: how long pictures and clips of alarms are kept, and where others find them."""

    keep: Duration = Field(default=72 * 3600.0, description="after which pictures and clips are removed")
    max_megabytes: int = Field(
        default=10_000, ge=1, description="what they may take together; the oldest are removed first"
    )
    public_url: Annotated[str, AfterValidator(_check_address), text_of(_ADDRESS)] | None = Field(
        default=None,
        description="where receivers reach the endpoint; links name its own address where this is not set",
    )
