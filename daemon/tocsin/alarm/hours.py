"""When a rule is on duty: weekdays and hours by the clock on the wall of a place."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo


class Day(StrEnum):
    """A day of the week, the first one first."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


WEEK = tuple(Day)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` until before `end` on each of `days`, in minutes after midnight by the clock on the wall.

    One whose end is not after its start ends on the next day.
    """

    days: tuple[Day, ...]
    start: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        """Whether it is that time; `day` counts from Monday, which is 0."""
        if self.start < self.end:
            return WEEK[day] in self.days and self.start <= minute < self.end
        return (WEEK[day] in self.days and minute >= self.start) or (
            WEEK[day - 1] in self.days and minute < self.end
        )


@dataclass(frozen=True, slots=True)
class Hours:
    """Some spans in one time zone, by its name in the time zone database.

    An hour that the clock skips in spring is not there to be on duty in; one that it shows twice is there twice.
    """

    time_zone: str
    spans: tuple[Span, ...]

    def on_duty(self, at: datetime) -> bool:
        """Whether one of the spans holds at a time with a time zone."""
        there = at.astimezone(ZoneInfo(self.time_zone))
        minute = 60 * there.hour + there.minute
        return any(span.holds(there.weekday(), minute) for span in self.spans)
