"""What a person may say about an alarm; apart from the events, so that the command line starts without them."""

from enum import StrEnum


class Verdict(StrEnum):
    """What a person said about an alarm."""

    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
