"""Simulated light: what a picture would look like at another exposure, behind glare, at night.

A condition is written as steps between slashes, applied from left to right: `ev-5/noise0.004`. Pictures are RGB as
uint8 [h, w, 3]; their values to the power 2.2 are linear light. No lens, no sensor and no camera's own correction
is in it.
"""

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.errors import InputError

Rgb = NDArray[np.uint8]

AS_RECORDED = "as-recorded"

PLACEBO = (3, 2)
"""By how many pixels to the right and down a placebo shifts a picture."""

_VEIL = 235.0
"""The grey that veils and glare mix with."""

_EDGE = 0.05
"""How wide the edge of a half veil is: one sigma, as a share of the picture's width. Ours."""

_SPOT = (0.65, 0.4, 0.35)
"""Where glare lies: its middle from the left and from the top as shares of the width and the height, and one sigma
of its fall as a share of the height. Ours: off the middle, as a window or a lamp stands."""

_POWER = 2.2
"""Encoded values to this power are linear light. The curve of sRGB is straight near black: five stops down, that
one leaves a mean of 18 of the 120 that the bundled clip has, and this one 25."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a step of a condition may be: its word, the range of its number, and what it does.

    `default` is the number of a word that stands alone; None where it needs one.
    """

    word: str
    lowest: float
    highest: float
    default: float | None
    does: str


WORDS = {
    word.word: word
    for word in (
        Word("ev", -12, 12, None, "exposure by so many stops, in linear light, clipped: ev+2, ev-5"),
        Word(
            "noise",
            0,
            1,
            None,
            "Gaussian noise of this sigma on linear light; right after ev, before clipping",
        ),
        Word(
            "veil", 0, 1, None, "mix with so much of a bright grey (235), as haze or a reflection: veil0.75"
        ),
        Word("halfveil", 0, 1, None, "the same over the left half alone, with a soft edge"),
        Word("glare", 0, 1, None, "the same in a soft spot right of the middle, strongest there"),
        Word("gamma", 0.05, 20, None, "raise the encoded values to this power: above 1 darkens"),
        Word("grey", 0, 0, 0, "no colour, as under infrared light"),
        Word("shift", 0, 0, 0, "a placebo: moved by (3, 2) pixels, while the labels stay"),
    )
}
"""Every word of a condition."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a condition: a word of WORDS and its number."""

    word: str
    amount: float


@dataclass(frozen=True, slots=True)
class Condition:
    """A light to look at pictures in; `name` is how it was written."""

    name: str
    steps: tuple[Step, ...] = ()

    def apply(self, rgb: Rgb, seed: int) -> Rgb:
        """Return how the picture would look; it stays as it is, and is itself returned where there are no steps.

        `seed` decides the noise: give the picture's index, and all who look at the picture see the same noise.
        """
        dice = np.random.default_rng(seed)
        gain = 1.0  # of an exposure that waits for the noise right after it
        for step, following in zip_longest(self.steps, self.steps[1:]):
            if step.word == "noise":
                rgb, gain = _noisy(rgb, gain, step.amount, dice), 1.0
            elif step.word != "ev":
                rgb = _PAINTERS[step.word](rgb, step.amount)
            elif following is not None and following.word == "noise":
                gain = 2.0**step.amount
            else:
                rgb = _exposed(rgb, 2.0**step.amount)
        return rgb


def conditions(text: str | None) -> tuple[Condition, ...]:
    """Return the condition `as-recorded`, then those of the text, if there is any. Raises InputError."""
    first = Condition(AS_RECORDED)
    return (first, *(one for one in parse(text or "") if one.name != AS_RECORDED))


def parse(text: str) -> tuple[Condition, ...]:
    """Return the conditions of a text such as `ev+2,veil0.75,ev-5/noise0.004`; none for an empty one.

    Raises InputError, which names the condition, what was expected and what was found.
    """
    names = [part.strip() for part in text.split(",")] if text.strip() else []
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"condition {name!r}: expected once, found {names.count(name)} times")
    return tuple(Condition(name, tuple(_steps(name))) for name in names)


def _steps(name: str) -> Iterator[Step]:
    if name == AS_RECORDED:
        return
    for part in name.split("/"):
        yield _step(name, part.strip())


def _step(name: str, part: str) -> Step:
    found = re.fullmatch(r"([a-z]+)([+-]?(?:\d+\.?\d*|\.\d+))?", part)
    if found is None or found[1] not in WORDS:
        raise InputError(
            f"condition {name!r}: expected one of {', '.join(WORDS)}, found {part!r}{_hint(part)}"
        )
    word = WORDS[found[1]]
    if word.default is not None:
        if found[2] is not None:
            raise InputError(f"condition {name!r}: expected {word.word} without a number, found {part!r}")
        return Step(word.word, word.default)
    if found[2] is None:
        raise InputError(
            f"condition {name!r}: expected a number after {word.word}, such as {_example(word)}, found none"
        )
    amount = float(found[2])
    if not word.lowest <= amount <= word.highest:
        raise InputError(
            f"condition {name!r}: expected {word.word} from {word.lowest:g} to {word.highest:g}, found {found[2]}"
        )
    return Step(word.word, amount)


def _example(word: Word) -> str:
    return {"ev": "ev+2", "noise": "noise0.004", "gamma": "gamma2"}.get(word.word, f"{word.word}0.75")


def _hint(part: str) -> str:
    letters = re.match(r"[A-Za-z_-]*", part)
    assert letters is not None, "the pattern matches the empty text too"
    close = difflib.get_close_matches(letters[0].lower(), WORDS, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _bytes(levels: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(levels, 0.0, 255.0)), np.uint8)


_LIGHT = (np.arange(256) / 255.0) ** _POWER
"""The linear light of each 8-bit value."""


def _exposed(rgb: Rgb, gain: float) -> Rgb:
    return _looked_up(rgb, _bytes(255.0 * (_LIGHT * gain) ** (1 / _POWER)))


def _noisy(rgb: Rgb, gain: float, sigma: float, dice: np.random.Generator) -> Rgb:
    """Expose and add noise before anything is clipped, as a sensor does."""
    light = dice.standard_normal(rgb.shape, np.float32)
    light *= np.float32(sigma)
    light += cv2.LUT(rgb, (_LIGHT * gain).astype(np.float32))
    np.clip(light, 0.0, 1.0, out=light)
    cv2.pow(light, 1 / _POWER, dst=light)
    return np.asarray(cv2.convertScaleAbs(light, alpha=255.0), np.uint8)


def _veiled(rgb: Rgb, amount: float) -> Rgb:
    return _looked_up(rgb, _bytes(np.arange(256) * (1.0 - amount) + _VEIL * amount))


def _half_veiled(rgb: Rgb, amount: float) -> Rgb:
    """Veil what lies left of the middle; the edge falls as an error function nearly does (a logistic one)."""
    across = (np.arange(rgb.shape[1]) + 0.5) / rgb.shape[1] - 0.5
    share = amount / (1.0 + np.exp(1.702 * across / _EDGE))
    return _mixed(rgb, np.broadcast_to(share, rgb.shape[:2]))


def _glaring(rgb: Rgb, amount: float) -> Rgb:
    height, width = rgb.shape[:2]
    left, top, sigma = _SPOT
    across = (np.arange(width) - left * width) / (sigma * height)
    down = (np.arange(height) - top * height) / (sigma * height)
    return _mixed(rgb, amount * np.exp(-0.5 * (down[:, None] ** 2 + across**2)))


def _mixed(rgb: Rgb, share: NDArray[np.float64]) -> Rgb:
    """Mix with the veil's grey, by a share for each pixel as [h, w]."""
    part = share.astype(np.float32)[..., None]
    return _bytes(rgb * (1.0 - part) + np.float32(_VEIL) * part)


def _curved(rgb: Rgb, power: float) -> Rgb:
    return _looked_up(rgb, _bytes(255.0 * (np.arange(256) / 255.0) ** power))


def _grey(rgb: Rgb, _: float) -> Rgb:
    return np.repeat(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)[..., None], 3, axis=2)


def shifted(rgb: Rgb, shift: tuple[int, int]) -> Rgb:
    """Move a picture so many pixels right and down; its edge is repeated where nothing comes in."""
    height, width = rgb.shape[:2]
    right, down = shift
    grown = cv2.copyMakeBorder(rgb, down, 0, right, 0, cv2.BORDER_REPLICATE)
    return np.asarray(grown[:height, :width], np.uint8)


def _looked_up(rgb: Rgb, table: NDArray[np.uint8]) -> Rgb:
    return np.asarray(cv2.LUT(rgb, table), np.uint8)


_PAINTERS: dict[str, Callable[[Rgb, float], Rgb]] = {
    "veil": _veiled,
    "halfveil": _half_veiled,
    "glare": _glaring,
    "gamma": _curved,
    "grey": _grey,
    "shift": lambda rgb, _: shifted(rgb, PLACEBO),
}
