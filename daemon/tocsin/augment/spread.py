"""Which light each picture is shown in: fixed conditions, and some drawn from ranges by dice of its own."""

import hashlib
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.errors import InputError
from tocsin.footage.simulate import AS_RECORDED, Condition, parse

DEFAULT_RANGE = "ev-5..ev-1/noise0.001..noise0.006,ev+0.5..ev+3,veil0.2..veil0.8,glare0.4..glare0.9"
"""The ways in which the light of a camera goes wrong: too dark, with the noise of its sensor; too bright, clipped;
washed out as a whole by haze or a reflection; glaring in one place. Ours: up to where the bundled detector still
finds most of what it finds in good light."""

_AMOUNT = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)"
_RANGE = re.compile(rf"([a-z]+)({_AMOUNT})\.\.(?:\1)?({_AMOUNT})")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a range: a word with the ends of its number, and how the numbers between are written."""

    word: str
    low: float
    high: float
    signed: bool
    digits: int

    def at(self, share: float) -> str:
        """Return the step so far (0 to 1) from its low end to its high one."""
        amount = round(self.low + (self.high - self.low) * share, self.digits) + 0.0  # no minus before a zero
        return f"{self.word}{amount:{'+' if self.signed else ''}.{self.digits}f}"


Range = tuple[Step | str, ...]
"""Steps applied from left to right; a text stands for itself."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The light that a data set is shown in: some conditions for every picture, and `draws` from the ranges."""

    fixed: tuple[Condition, ...]
    ranges: tuple[Range, ...]
    draws: int

    def of(self, name: str, seed: int) -> tuple[Condition, ...]:
        """Return the conditions of the picture of that name: always the same, whatever else is done."""
        drawn = parse(",".join(dict.fromkeys(self._drawn(random.Random(dice(seed, name))))))  # noqa: S311
        known = {condition.name for condition in self.fixed}
        return (*self.fixed, *(condition for condition in drawn if condition.name not in known))

    def _drawn(self, chance: random.Random) -> list[str]:
        """Draw from the ranges in turn; a range drawn from more than once is drawn from in equal parts."""
        if not self.ranges:
            return []
        order = _shuffled(range(len(self.ranges)), chance)
        turns = [order[turn % len(order)] for turn in range(self.draws)]
        found: list[str] = []
        for kind in order:
            count = turns.count(kind)
            steps = [
                [step] * count
                if isinstance(step, str)
                else [step.at((part + chance.random()) / count) for part in _shuffled(range(count), chance)]
                for step in self.ranges[kind]
            ]
            found += ["/".join(written) for written in zip(*steps, strict=True)]
        return found


def dice(seed: int, *words: str) -> int:
    """Return a number from 0 to 2^63 - 1 that is decided by the seed and the words alone."""
    text = "\0".join((str(seed), *words)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) >> 1


def spread(conditions: str, ranges: str, draws: int, original: bool) -> Spread:
    """Return what the options ask for. Raises InputError.

    `as-recorded` comes first where `original` asks for it, and nowhere else unless it is written.
    """
    fixed = parse(conditions)
    if original:
        first = Condition(AS_RECORDED)
        fixed = (first, *(condition for condition in fixed if condition.name != AS_RECORDED))
    written = [text.strip() for text in ranges.split(",")] if ranges.strip() else []
    found = Spread(fixed, tuple(_range(text) for text in written), draws if written else 0)
    if not found.fixed and not found.draws:
        raise InputError("expected a condition to show the pictures in, found none")
    _check_names(found.fixed)
    return found


def tag(condition: Condition) -> str:
    """Return a condition as a part of a file's name: `ev-5_noise0.004`."""
    return re.sub(r"\s", "", condition.name).replace("/", "_")


def _check_names(conditions: Sequence[Condition]) -> None:
    tags = [tag(condition) for condition in conditions]
    for written in tags:
        if tags.count(written) > 1:
            raise InputError(f"--conditions: expected {written} once, found it in two spellings")


def _range(text: str) -> Range:
    if not text:
        raise InputError("--range: expected a range between two commas, found ''")
    steps = tuple(_step(text, part.strip()) for part in text.split("/"))
    for share in (0.0, 1.0):  # its ends are conditions, or it says why not
        parse("/".join(step if isinstance(step, str) else step.at(share) for step in steps))
    return steps


def _step(text: str, part: str) -> Step | str:
    found = _RANGE.fullmatch(part)
    if found is None:
        if ".." in part:
            raise InputError(f"--range {text}: expected a range such as ev-3..ev+3, found {part!r}")
        return part
    low, high = float(found[2]), float(found[3])
    if low >= high:
        raise InputError(f"--range {text}: expected the lower end first, found {part!r}")
    # a hundredth of the range is fine enough, and keeps the names short
    digits = max(0, math.ceil(-math.log10((high - low) / 100)))
    return Step(found[1], low, high, found[2][0] in "+-" or found[3][0] in "+-", digits)


def _shuffled(values: Sequence[int], chance: random.Random) -> list[int]:
    # of all its methods, only random() is promised to give the same numbers in every version of Python
    return sorted(values, key=lambda _: chance.random())
