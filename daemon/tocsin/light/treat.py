"""Measure, plan and correct the pictures of one view, one after another."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.frame import Correction, Light
from tocsin.light.correct import Corrector
from tocsin.light.measure import COLUMNS, ROWS, Reading, measure
from tocsin.light.plan import Plan, Policy, gain, plan

MEMORY = 0.5
"""Seconds after which a picture counts for 1/e in the reading that is planned for. The range of the middle 98 %
then widens with the first picture of a lamp switched on, so that no gain meant for the dark meets the bright
picture, and narrows within 2.3 seconds of its going out, about as fast as cameras adapt. Chosen, not measured."""

_FORGOTTEN = 1e-3
"""Pixels. Without an end, what was seen fades into denormal numbers, with which the same work takes 30 times as
long."""


_STALE = 0.3
"""Seconds for which a measured picture stands for those that look like it: less than what the memory takes to turn
to another. At 25 pictures a second seven of eight need no measuring, at 10 two of three. With 0.15 of 200 pictures
of the clip 53 were measured, and with this 36. In four of five kinds of light the picture that was furthest from
what measuring each would have made of it was the same; with half the picture veiled it was off by 0.62 luma values
on average where it had been by 0.33."""

_ERROR = 3.0
"""Luma values by which a cell's mean may have moved, after the correction: about what the noise of the clip is
after stretching, and no more than an eye sees."""

_FEW, _FAR = 4, 10.0
"""So many of the 48 cells may have moved up to so many times as far: somebody walks there. A lamp, a flash or a
cut moves more of them, or one further."""


@dataclass(frozen=True, slots=True, eq=False)  # a plan holds tables
class Treated:
    """The light that was found in a picture, and what was done about it."""

    light: Light
    plan: Plan


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """A measured picture: its time, the means of its cells, how far each may move, and what came of it."""

    at: float
    means: NDArray[np.uint8]
    within: NDArray[np.float32]
    reading: Reading
    treated: Treated


class Treatment:
    """Corrects the light of one view and keeps what steadies it from picture to picture; for one thread."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._known: _Known | None = None
        self._corrector = Corrector()

    def treat(self, pixels: NDArray[np.uint8], at: float) -> Treated:
        """Correct `pixels`, I420 as uint8 [height * 3 / 2, width] of limited range, in place.

        `at` is the time of the picture in seconds, never falling; the first picture is treated for what it is, and
        one that looks like another that was measured just before it as that one was.
        """
        luma = pixels[: pixels.shape[0] * 2 // 3]
        means = np.asarray(cv2.resize(luma, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.uint8)
        known = self._known
        if known is None or not _alike(known, means, at):
            known = self._known = self._measured(pixels, means, at)
        self._corrector.correct(luma, known.treated.plan)
        return known.treated

    def _measured(self, pixels: NDArray[np.uint8], means: NDArray[np.uint8], at: float) -> _Known:
        reading = measure(pixels)
        before = self._known
        steady = reading if before is None else _mixed(reading, before.reading, before.at, at)
        decided = plan(steady, self._policy, before.treated.plan.correction if before else Correction.NONE)
        within = np.broadcast_to(np.float32(_ERROR) / gain(decided), means.shape)
        return _Known(at, means, within, steady, Treated(reading.light, decided))


def _alike(known: _Known, means: NDArray[np.uint8], at: float) -> bool:
    """Return whether a picture is so near to a measured one, in time and in its parts, that it counts as that."""
    if not at - known.at < _STALE:
        return False
    beyond = cv2.absdiff(means, known.means) / known.within
    return bool(beyond.max() <= _FAR and np.count_nonzero(beyond > 1.0) <= _FEW)


def _mixed(new: Reading, old: Reading, then: float, now: float) -> Reading:
    kept = math.exp(-max(now - then, 0.0) / MEMORY)
    cells = new.cells * np.float32(1.0 - kept) + old.cells * np.float32(kept)
    cells[cells < _FORGOTTEN] = 0.0
    return Reading(
        cells,
        noise=new.noise * (1.0 - kept) + old.noise * kept,
        colour=new.colour,
    )
