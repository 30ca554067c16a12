"""What a person may say about an alarm; apart from the events, so that the command line starts without them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What a person said about an alarm."""

    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the name of who gave it, at what wall time, and why."""

    verdict: Verdict
    by: str
    at: datetime
    why: str = ""
