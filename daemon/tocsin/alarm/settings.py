"""What the configuration says about zones and rules."""

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import shapely
from pydantic import AfterValidator, Field

from tocsin.alarm.confirm import deaf
from tocsin.alarm.hours import Day, Hours, Span
from tocsin.fields import Duration, Name, Section, expected, text_of
from tocsin.yamlfile import Fault

Point = tuple[float, float]


def _check_polygon(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if len(points) < 3:
        raise expected("three or more points", f"{len(points)}")
    for x, y in points:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise expected("points [x, y] from 0 to 1", f"[{x:g}, {y:g}]")
    polygon = shapely.Polygon(points)
    if not polygon.is_valid:
        reason = shapely.is_valid_reason(polygon)
        raise expected("a polygon whose sides do not touch or cross", reason.lower().replace("[", " at ["))
    if polygon.area == 0:
        raise expected("a polygon with an area", "none")
    return points


Polygon = Annotated[tuple[Point, ...], Field(max_length=200), AfterValidator(_check_polygon)]


class ZoneSettings(Section):
    """`streams[].zones[]`: a polygon in relative coordinates, 0 0 at the top left and 1 1 at the bottom right."""

    name: Name = Field(description="the zone's name; rules of this stream refer to it")
    polygon: Polygon = Field(description="three or more points [x, y] from 0 to 1, 0 0 at the top left")


class ConfirmSettings(Section):
    """`rules[].confirm`: `hits` of the last `of` analysed frames, all `within` that time."""

    hits: int = Field(default=5, ge=1, le=1000, description="analysed frames that must show the object")
    of: int = Field(default=10, ge=1, le=1000, description="out of so many of the last analysed frames")
    within: Duration = Field(default=3.0, description="the hits count only when they lie within this time")

    per: Literal["frame", "object"] = Field(
        default="frame",
        description="whether whatever a frame shows counts, or the hits must be of the same object",
    )

    weighed: ClassVar[frozenset[str]] = frozenset({"hits", "of"})

    def conflicts(self) -> Iterator[Fault]:
        if self.hits > self.of:
            yield Fault(("hits",), f"expected at most of, which is {self.of}, found {self.hits}")

    def deaf_at(self, max_fps: float) -> bool:
        """Whether the hits cannot fit into `within` when `max_fps` frames a second are analysed."""
        return deaf(self.hits, self.within, max_fps)

    def needs(self, max_fps: float) -> float:
        """Seconds from the first to the last of `hits` frames in a row."""
        return (self.hits - 1) / max_fps


def _check_time(value: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", value, re.ASCII):
        raise expected(_TIME)
    return value


_TIME = "a time of day from 00:00 to 24:00"
TimeOfDay = Annotated[str, AfterValidator(_check_time), text_of(_TIME)]


def _check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of the database is an OSError
        raise expected("the name of a time zone, such as Europe/Madrid or UTC") from None
    return name


class SpanSettings(Section):
    """`rules[].schedule.times[]`: from `start` to `end` on some days, by the clock on the wall."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
        min_length=1,
        description="the days on which it starts",
    )
    start: TimeOfDay = Field(description="the first minute, such as 18:00")
    end: TimeOfDay = Field(description="the first minute after it; not after start means on the next day")

    weighed: ClassVar[frozenset[str]] = frozenset({"start", "end"})

    def conflicts(self) -> Iterator[Fault]:
        if self.start in (self.end, "24:00"):
            yield Fault(("start",), f"expected a time before 24:00 and other than end, found {self.start}")

    def span(self) -> Span:
        start, end = (60 * int(time[:2]) + int(time[3:]) for time in (self.start, self.end))
        return Span(tuple(Day(day) for day in self.days), start, end)


class ScheduleSettings(Section):
    """`rules[].schedule`: when the rule is on duty."""

    time_zone: Annotated[str, AfterValidator(_check_time_zone)] = Field(
        description="the place whose clock counts, by its name in the time zone database"
    )
    times: tuple[SpanSettings, ...] = Field(min_length=1, description="when the rule is on duty")

    def hours(self) -> Hours:
        return Hours(self.time_zone, tuple(one.span() for one in self.times))


def _check_after(seconds: float) -> float:
    if seconds < 1.0:
        raise expected("a duration of 1s or more")
    return seconds


class StationarySettings(Section):
    """`rules[].stationary`: things that never move keep still once they were reported."""

    after: Annotated[Duration, AfterValidator(_check_after)] = Field(
        default=300.0, description="what has been in one place for so long stands still"
    )


class RuleSettings(Section):
    """`rules[]`."""

    name: Name = Field(description="the rule's name in streams, metrics, events and logs")
    classes: tuple[str, ...] = Field(min_length=1, description="classes of the model that count")
    min_score: float = Field(
        default=0.5, ge=0, le=1, description="the least score of a detection that counts"
    )
    keep_score: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="the least score that keeps an open alarm alive; min_score by default",
    )
    confirm: ConfirmSettings = ConfirmSettings()
    end_after: Duration = Field(
        default=10.0, description="the alarm ends after so long of looking without seeing it"
    )
    repeat_every: Duration = Field(
        default=300.0, description="remind while the alarm lasts; 0 raises it once only"
    )
    latch: bool = Field(default=False, description="keep an alarm open until somebody gives a verdict on it")
    cooldown: Duration = Field(
        default=0.0,
        description="no further alarm for so long after one has ended; what is still there then raises it",
    )
    zones: tuple[Name, ...] = Field(
        default=(),
        description="zones in which the middle of a box's lower edge must lie; none means anywhere",
    )
    exclude: tuple[Name, ...] = Field(
        default=(), description="zones in which it must not lie; none by default"
    )
    min_area: float = Field(
        default=0.0, ge=0, le=1, description="the least area of a box, as a share of the frame"
    )
    max_area: float = Field(
        default=1.0, gt=0, le=1, description="the largest area of a box, as a share of the frame"
    )
    min_aspect: float = Field(
        default=0.0, ge=0, le=100, description="the least width of a box as a multiple of its height"
    )
    max_aspect: float = Field(
        default=100.0, gt=0, le=100, description="the largest width of a box as a multiple of its height"
    )
    near: str | None = Field(
        default=None,
        description="a further class of the model of which something must be close by; none by default",
    )
    stationary: StationarySettings | None = Field(
        default=None,
        description="what stands still raises an alarm once and counts again when it moves; off by default",
    )
    schedule: ScheduleSettings | None = Field(
        default=None, description="when alarms may be raised; always by default"
    )
    tier: Literal["alarm", "review"] = Field(
        default="alarm",
        description="review is for whoever looks through what may have been something; passed on in events",
    )
    severity: Literal["critical", "warning", "info"] = Field(
        default="critical", description="passed on in events; webhooks may select by it"
    )

    weighed: ClassVar[frozenset[str]] = frozenset(
        {
            "tier",
            "severity",
            "classes",
            "near",
            "min_score",
            "keep_score",
            "zones",
            "exclude",
            "min_area",
            "max_area",
            "min_aspect",
            "max_aspect",
        }
    )

    def conflicts(self) -> Iterator[Fault]:
        if self.tier == "review" and self.severity == "critical":
            yield Fault(("severity",), "expected warning or info beside tier: review, found critical")
        if self.near in self.classes:
            yield Fault(("near",), f"expected a class that classes does not name, found {self.near}")
        if self.keep_score is not None and self.keep_score > self.min_score:
            yield Fault(
                ("keep_score",),
                f"expected at most min_score, which is {self.min_score:g}, found {self.keep_score:g}",
            )
        for low, high in (("min_area", "max_area"), ("min_aspect", "max_aspect")):
            if getattr(self, low) > getattr(self, high):
                found = f"found {getattr(self, low):g}"
                yield Fault((low,), f"expected at most {high}, which is {getattr(self, high):g}, {found}")
        for number, name in enumerate(self.exclude):
            if name in self.zones:
                yield Fault(("exclude", number), f"expected a zone that zones does not name, found {name}")
