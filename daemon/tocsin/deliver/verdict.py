"""What a person may say about an alarm; apart from the events, so that the command line starts without them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from tocsin.errors import InputError

MOST_BY = 64
MOST_WHY = 500
"""Characters of a name and of a reason."""


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

    def as_json(self) -> dict[str, str]:
        return {
            "verdict": self.verdict.value,
            "by": self.by,
            "at": self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "why": self.why,
        }

    def sentence(self, now: datetime) -> str:
        """Return it as the next person is told: `anna rejected it 2 min ago: a mop`."""
        reason = f": {self.why}" if self.why else ""
        return f"{self.by or 'somebody'} {self.verdict} it {ago((now - self.at).total_seconds())}{reason}"


def verdict_of(word: object) -> Verdict:
    """Return the verdict that a word is. Raises InputError."""
    if not isinstance(word, str) or word not in set(Verdict):
        raise InputError(f"verdict: expected one of {', '.join(Verdict)}, found another")
    return Verdict(word)


def words_of(text: object, key: str, most: int) -> str:
    """Return what a person wrote, as one line of characters that can be seen. Raises InputError.

    What cannot be seen is left out: it would hide or turn what others read.
    """
    if not isinstance(text, str):
        raise InputError(f"{key}: expected a text, found something else")
    line = " ".join("".join(sign for sign in " ".join(text.split()) if sign.isprintable()).split())
    if len(line) > most:
        raise InputError(f"{key}: expected {most} characters at most, found {len(line)}")
    return line


def ago(seconds: float) -> str:
    """Return `just now`, `40 s ago`, `12 min ago`, `3 h ago` or `2 days ago`; the future counts as now."""
    if seconds < 5:
        return "just now"
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds / 86_400:.0f} days ago"
