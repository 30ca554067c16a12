"""What the configuration says about evidence."""

from typing import Annotated

from pydantic import AfterValidator, Field

from tocsin.fields import Duration, Section, expected


def _check_span(seconds: float) -> float:
    if seconds > 60:
        raise expected("a duration of 60s at most")
    return seconds


Span = Annotated[Duration, AfterValidator(_check_span)]


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
    """`evidence`: how long pictures and clips of alarms are kept."""

    keep: Duration = Field(default=72 * 3600.0, description="after which pictures and clips are removed")
    keep_judged: Duration = Field(
        default=30 * 86400.0,
        description="after which the plain picture of an alarm is removed that was confirmed or rejected",
    )
    max_megabytes: int = Field(
        default=10_000, ge=1, description="what they may take together; the oldest are removed first"
    )
