"""Notices a camera that somebody has covered, blinded or put out of focus.

Pure. What the camera usually shows is learned cell by cell, slowly, and only while nothing is wrong. A hand, a
bag, paint or a lorry right before the lens takes the structure of nearly all cells at once, and puts another
pattern of light and dark in its place. Fog, a veil of steam and dusk take structure too, but leave the pattern
of the scene, only fainter: that is what tells them apart. A blur leaves that pattern as strong as it was, and
takes what is fine.

What is dark is none of it: a bag over the lens and a light that is switched off look the same, and
`stream.impaired` tells of both. After a restart nothing is known of what the camera usually shows: one that is
covered then is not found to be, and only what is impaired by itself (dark, white, without contrast) is told.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tocsin.eyesight.spell import Spell, Times
from tocsin.frame import Scene

Cells = NDArray[np.float32]

_BLACK = 16.0
_DARK = 26.0
"""Luma steps above black below which half of the cells are dark: a lamp that is still lit makes no day."""

_CLIPPED = 220.0
"""The mean luma from which a cell is white."""

_FINE, _COARSE = 0.8, 2.0
"""Luma steps of structure below which a cell has nothing that could be lost."""

_LEAST_CELLS = 12
_LEARN_OF = 60.0
"""Seconds after which a picture counts for 1/e in what is usual; dusk and fog take longer to come."""

_KNOWN_AFTER = 15.0
_LEARN_WHILE = 0.5
"""The share of cells that may have lost their structure while it is still learned from."""

_STEP = 1.128 * 219.0 / 255.0
"""The mean difference of neighbouring pixels, in luma steps, that comes of a noise of one level: of two normal
variables it is 2 / sqrt(pi) standard deviations; there are 219 luma steps for 255 levels."""

_FAINTEST = 0.2
"""What a picture that became darker is expected to keep of its structure at least."""


class Tamper(StrEnum):
    """What was done to a camera: the word in events and status."""

    COVERED = "covered"
    BLINDED = "blinded"
    DEFOCUSED = "defocused"


@dataclass(frozen=True, slots=True)
class Edge:
    """A cell is lost below `kept` of its usual structure, the picture when `lost` of the cells are."""

    kept: float
    lost: float


@dataclass(frozen=True, slots=True)
class Limits(Times):
    """When a camera is reported, and when its return is; times in seconds of pictures."""

    enter: Edge = field(default_factory=lambda: Edge(kept=0.4, lost=0.8))
    leave: Edge = field(default_factory=lambda: Edge(kept=0.5, lost=0.55))
    enter_after: float = 5.0
    """So long without one better picture: somebody who walks by close to the lens is nothing to report."""
    leave_after: float = 3.0

    alike: float = 0.5
    """The correlation of the cells' means below which they are another picture."""
    focused: float = 0.85
    """That from which they are the same, ..."""
    strong: float = 0.7
    """... and the share of their usual spread from which it is not veiled."""
    faint: float = 0.02
    """The share of that spread below which there is no pattern that could be compared."""
    white: float = 0.5
    """The share of white cells from which a camera is blinded, ..."""
    glare: float = 0.7
    """... where so many cells are lost: around what shines into the lens something always remains."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A camera was tampered with, or (`over`) shows again what it should; that began so many seconds ago."""

    over: bool
    reason: Tamper
    lasted: float


@dataclass(frozen=True, slots=True)
class _Loss:
    """What a picture has lost: the shares of cells without their fine and coarse structure, the white ones
    among all, and how the pattern of the means compares in form and strength."""

    fine: float
    coarse: float
    white: float
    alike: float
    strength: float

    @property
    def structure(self) -> float:
        """The share of cells that lost one of the two: noise stands in for the fine structure of what is close,
        and its own light and dark for the coarse."""
        return max(self.fine, self.coarse)


class CoverVigil:
    """Says once that a camera was tampered with, and once that it sees again; for one stream and one thread."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._spell: Spell[Tamper] = Spell(self._limits)
        self._usual: NDArray[np.float64] | None = None
        self._learned = 0.0
        self._last = 0.0

    @property
    def tamper(self) -> Tamper | None:
        """What was reported and is not over."""
        return self._spell.reason

    def update(
        self, scene: Scene, noise: float, period: float, silence: float, impaired: bool
    ) -> Notice | None:
        """Compare a scene with what is usual; `period` and `silence` (seconds) are those of the scenes.

        `noise` is that of the picture's light: as fine as the finest structure, it goes and comes with the light.
        Of a stream that was reported as impaired nothing begins and nothing is learned.
        """
        elapsed, self._last = min(max(0.0, scene.at - self._last), 1.0), scene.at
        cells = _without_noise(scene.cells, noise)
        found = self._judge(cells, impaired)
        turn = self._spell.update(found, scene.at, period, silence)
        if found is None and self.tamper is None and not impaired:
            self._learn(cells, elapsed)
        return Notice(turn.over, turn.reason, turn.lasted) if turn else None

    def _learn(self, cells: Cells, elapsed: float) -> None:
        if self._usual is None:
            self._usual = cells.astype(np.float64)
            return
        loss = _loss(cells, self._usual, self._limits.enter.kept)
        if loss is not None and loss.structure > _LEARN_WHILE and self._known:
            elapsed /= 10.0  # what may be the beginning of it; but what lasts is usual in the end
        # from its start the mean of what was seen, in the end that of the last minute
        weight = max(1.0 - math.exp(-elapsed / _LEARN_OF), elapsed / (self._learned + 2.0))
        self._usual += (cells - self._usual) * weight
        self._learned = min(self._learned + elapsed, _LEARN_OF)

    @property
    def _known(self) -> bool:
        return self._learned >= _KNOWN_AFTER

    def _judge(self, cells: Cells, impaired: bool) -> Tamper | None:
        if self._usual is None or not self._known:
            return None
        edge = self._limits.enter if self.tamper is None else self._limits.leave
        loss = _loss(cells, self._usual, edge.kept)
        if loss is None:
            return self.tamper
        if self.tamper is not None:
            return self.tamper if loss.structure >= edge.lost else None
        dark = float(np.median(cells[0])) - _BLACK < _DARK
        return None if impaired or dark else self._name(loss, edge.lost)

    def _name(self, loss: _Loss, lost: float) -> Tamper | None:
        limits = self._limits
        if loss.white >= limits.white and loss.structure >= limits.glare:
            return Tamper.BLINDED
        if loss.fine >= lost and loss.alike >= limits.focused and loss.strength >= limits.strong:
            return Tamper.DEFOCUSED
        if loss.structure >= lost and (loss.alike < limits.alike or loss.strength < limits.faint):
            return Tamper.COVERED
        return None


def _without_noise(cells: Cells, noise: float) -> Cells:
    mean, fine, coarse = cells
    return np.stack((mean, np.sqrt(np.maximum(fine**2 - np.float32(_STEP * noise) ** 2, 0)), coarse))


def _loss(cells: Cells, usual: NDArray[np.float64], kept: float) -> _Loss | None:
    """Compare a picture with the usual one; None where that has too little structure to lose."""
    mean, fine, coarse = cells.astype(np.float64)
    usual_mean, usual_fine, usual_coarse = usual
    has_fine, has_coarse = usual_fine >= _FINE, usual_coarse >= _COARSE
    if np.count_nonzero(has_coarse) < _LEAST_CELLS or np.count_nonzero(has_fine) < _LEAST_CELLS:
        return None
    # less light makes all structure fainter, by as much: that is no loss
    brightness = (mean.mean() - _BLACK) / max(usual_mean.mean() - _BLACK, 1.0)
    expected = kept * min(1.0, max(brightness, _FAINTEST))
    now, before = mean - mean.mean(), usual_mean - usual_mean.mean()
    spread, usual_spread = float(now.std()), max(float(before.std()), 1e-6)
    return _Loss(
        fine=float((fine < expected * usual_fine)[has_fine].mean()),
        coarse=float((coarse < expected * usual_coarse)[has_coarse].mean()),
        white=float((mean >= _CLIPPED).mean()),
        alike=float((now * before).mean()) / (max(spread, 1e-6) * usual_spread),
        strength=spread / usual_spread,
    )
