"""What may be done about the light of a picture before the detector sees it: a closed set, side by side.

Each variant but the placebo works on the small picture, where the daemon works too.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tocsin.errors import InputError
from tocsin.footage.simulate import PLACEBO
from tocsin.frame import Correction, Reason
from tocsin.light.correct import Corrector
from tocsin.light.measure import LEVELS
from tocsin.light.plan import Mode, Plan, Policy, luma_table
from tocsin.light.treat import Treatment

OFF = "off"
"""The variant that all others are compared with."""

NOISE_FLOOR = "placebo"
"""The variant that changes nothing that matters: what it differs by is within chance."""

_TARGET = 100.0
_STRONGEST = 8.0
"""Gamma lies between this and its inverse: beyond, a picture is black or white whatever one does."""

_UNASKED = Reason.WHOLE
"""A plan has a reason; nobody reads that of a variant which is the same for every picture."""

Luma = NDArray[np.uint8]


class Corrects(Protocol):
    """Changes pictures one after another; for one thread."""

    def correct(self, pixels: NDArray[np.uint8], at: float, *, glance: bool = False) -> Plan:
        """Correct `pixels`, I420 as uint8 [height * 3 / 2, width], in place, and return what was done.

        `at` in seconds, never falling. After a `glance` the next picture is treated as if this one had not been.
        """


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to treat the light.

    `start` returns what corrects the pictures of one recording in one light: some keep a state from picture to
    picture. `shift` is by how many pixels to the right and down the whole picture is moved before it is shrunk.
    """

    name: str
    means: str
    start: Callable[[Policy], Corrects]
    shift: tuple[int, int] = (0, 0)


class _Daemon:
    """What the daemon itself does, in one of its modes."""

    def __init__(self, policy: Policy) -> None:
        self._treatment = Treatment(policy)

    def correct(self, pixels: NDArray[np.uint8], at: float, *, glance: bool = False) -> Plan:
        # a treatment puts something new in the place of what it remembers, and so leaves that of its copy alone
        treatment = copy(self._treatment) if glance else self._treatment
        return treatment.treat(pixels, at).plan


class _Fixed:
    """The same to every picture, whether it needs it or not."""

    def __init__(self, plan: Callable[[Luma], Plan]) -> None:
        self._plan = plan
        self._corrector = Corrector()

    def correct(self, pixels: NDArray[np.uint8], at: float, *, glance: bool = False) -> Plan:  # noqa: ARG002 - nothing is kept
        luma = pixels[: pixels.shape[0] * 2 // 3]
        plan = self._plan(luma)
        self._corrector.correct(luma, plan)
        return plan


def _daemon(mode: Mode) -> Callable[[Policy], Corrects]:
    return lambda policy: _Daemon(replace(policy, mode=mode))


def _fixed(plan: Callable[[Luma], Plan]) -> Callable[[Policy], Corrects]:
    return lambda _: _Fixed(plan)


def _clahe(limit: float) -> Callable[[Luma], Plan]:
    return lambda _: Plan(Correction.CLAHE, _UNASKED, clip_limit=limit)


def gamma_plan(luma: Luma) -> Plan:
    """Return the gamma curve after which the mean of this picture is 100 of 255, as nearly as a curve can."""
    share = np.bincount(luma.reshape(-1), minlength=256) / luma.size
    low, high = 1 / _STRONGEST, _STRONGEST
    for _ in range(20):  # a larger exponent always darkens
        middle = (low * high) ** 0.5
        if share @ _curve(middle) > _TARGET:
            low = middle
        else:
            high = middle
    correction = Correction.DARKEN if low >= 1.0 else Correction.BRIGHTEN
    return Plan(correction, _UNASKED, luma_table(_curve((low * high) ** 0.5)))


def stretch_plan(luma: Luma) -> Plan:
    """Return the line that spreads the levels of the middle 98 % of the pixels over the whole scale."""
    below = np.cumsum(np.bincount(luma.reshape(-1), minlength=256))
    p1, p99 = LEVELS[np.searchsorted(below, np.array([0.01, 0.99]) * luma.size)]
    if p99 <= p1:  # one level alone has no range
        return Plan(Correction.NONE, _UNASKED)
    return Plan(Correction.STRETCH, _UNASKED, luma_table((LEVELS - p1) * (255.0 / (p99 - p1))))


def _curve(exponent: float) -> NDArray[np.float64]:
    curve: NDArray[np.float64] = 255.0 * (LEVELS / 255.0) ** exponent
    return curve


_ALL = (
    Variant(OFF, "nothing is corrected", _daemon(Mode.OFF)),
    Variant("guided", "what the daemon does with light: {mode: guided}", _daemon(Mode.GUIDED)),
    Variant(
        "dacot",
        "what it does with light: {mode: dacot}: darken, then CLAHE, when bright",
        _daemon(Mode.DACOT),
    ),
    Variant("clahe2", "CLAHE with the clip limit 2, always", _fixed(_clahe(2.0))),
    Variant("clahe4", "CLAHE with the clip limit 4, always", _fixed(_clahe(4.0))),
    Variant("gamma100", "the gamma curve after which the mean luma is 100, always", _fixed(gamma_plan)),
    Variant("stretch", "the middle 98 % of the luma over the whole scale, always", _fixed(stretch_plan)),
    Variant(
        NOISE_FLOOR,
        f"nothing is corrected, but the picture and its labels are moved by ({PLACEBO[0]}, {PLACEBO[1]}) pixels:"
        " how much chance alone changes",
        _daemon(Mode.OFF),
        PLACEBO,
    ),
)

VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in _ALL}
"""Every variant by its name, in the order in which they are shown."""

DEFAULT = "off,guided,dacot,placebo"
ALL = "all"


def parse(text: str) -> tuple[Variant, ...]:
    """Return the variants that a list of names asks for, in the order of the closed set; `off` is always one.

    Raises InputError for a name that is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if ALL in names:
        return _ALL
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"--variants: expected some of {', '.join(VARIANTS)} or {ALL}, found {name}")
    return tuple(variant for variant in _ALL if variant.name in {OFF, *names})
