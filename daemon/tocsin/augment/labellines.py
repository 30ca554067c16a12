"""The lines of YOLO's label files."""

from collections.abc import Mapping

from tocsin.augment.dataset import finite
from tocsin.fields import counted

MOST_CLASSES = 100_000
"""No data set has as many; each of them gets a name, and a wrong number is not to make gigabytes of these."""

_SLACK = 0.01
"""By how much a coordinate may lie outside 0 to 1; trainers allow as much."""


def check(label: bytes, names: Mapping[int, str]) -> str | None:
    """Return `LINE: what is wrong` with the first bad line of a label file, or None.

    A line is a class and the numbers of a box, a polygon or key points. Without `names` every class goes. What is
    wrong is told in numbers: whatever else the file may be, none of its text is shown.
    """
    for number, line in enumerate(label.decode("utf-8", "replace").splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        values = [_number(field) for field in fields]
        wrong = next((place for place, value in enumerate(values, 1) if not finite(value)), None)
        if wrong is not None or len(values) < 5:
            found = f"none in place {wrong}" if wrong else counted(len(values), "number")
            return f"{number}: expected a class and four or more numbers, found {found}"
        first = values[0]
        if first != int(first) or int(first) not in (names or range(MOST_CLASSES)):
            highest = f" from {min(names)} to {max(names)}" if names else ""
            return f"{number}: expected the number of a class{highest}, found {first:g}"
        outside = [value for value in values[1:5] if not _share(value)]
        if outside:
            return f"{number}: expected shares of the picture from 0 to 1, found {outside[0]:g}"
    return None


def _number(field: str) -> float:
    try:
        return float(field)
    except ValueError:
        return float("nan")


def _share(value: float) -> bool:
    return -_SLACK <= value <= 1 + _SLACK


def highest(label: bytes | None) -> int:
    """Return the highest class of a sound label file, -1 without objects."""
    lines = (label or b"").split(b"\n")
    return max((int(float(line.split()[0])) for line in lines if line.split()), default=-1)
