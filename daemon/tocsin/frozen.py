"""Notices a camera whose picture stands still while its stream goes on.

Pure. That nothing changes is no proof: a camera that looks into an empty corridor at night sends the same
picture to the bit until its next keyframe, for most encoders take what has hardly changed from the picture
before. But a keyframe codes everything anew, and the noise of a living sensor, however well it is suppressed,
falls otherwise in each: then hardly a cell is what it was. So a picture is known again only across a keyframe,
and exactly. A frozen picture that is coded anew comes out the same again as soon as the encoder's quantiser has
settled, all but the cells of a clock that runs on.

How much of a living picture is known again depends on its noise and its encoder, so it is learned, and
forgotten when the light changes, for noise changes with it. Before it is known, and where it is much, only a
picture counts of which all but a clock is known again in every sample of twenty seconds.

Measured with x264 and MJPEG, as in `tests/bench/scene.py`: nothing was told falsely of 193 living cameras with
a noise of 0.3 to 4 luma steps, suppressed down to 0.03. Of 124 that stood still for 35 s 111 were told, half of
them within 14 s and nine in ten within 18: most of that is the time in which x264's quantiser settles. What is
missed, or found late: a stream that has no keyframes or one in ten seconds, or is so starved that its quantiser
never settles.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.frame import SCENE_CELLS, SCENE_EVERY, Scene
from tocsin.spell import Spell, Times

REASON = "frozen"
"""The word in events and status."""

_FINE, _COARSE = 0.3, 0.6
"""The structure, in luma steps, from which a cell can be known again: a plain one is the same in every picture."""

_LEAST_CELLS = 12
"""So many of the 48 must have structure: with fewer, a clock and the frame around a black picture would decide."""

_YOUNGEST, _OLDEST = 2.0, 20.0
"""Seconds between a picture and the one that it is known by: a slow shutter gives the same one for a second,
and the keyframes of a thrifty camera come every ten."""

_MOST_KEPT = round(_OLDEST / SCENE_EVERY) + 2
"""Scenes."""

_MEAN_OF = 2.0
"""Seconds over which the share of cells that are known again is taken."""

_USUAL_OF = 60.0
"""Seconds after which a picture counts for 1/e in what is usual."""

_SURE_AFTER = 20.0
"""Seconds of pictures until the usual share is known, and for which a picture must be the same where it is not."""

_LIGHT = 8.0
"""Luma steps by which the median of the cells differs from the usual one when the light has changed."""

_ALWAYS = 0.85
"""The share of the cells that must be known again in every sample where the usual share does not tell."""

_NOTHING = 0.05
"""The share below which nothing was known again: chance alone makes some cells the same."""

_KNOWN_FOR = 4.0
"""Seconds for which something must have been known again all the while: a stream that hangs for a moment is not
frozen. Not as much as is asked for in the end, for as the quantiser settles it becomes more and more."""

_STILL_FOR = 10.0
_MOVED = 1.0
"""Luma steps: by more the mean of a cell changes where something moves, by less where a picture is coded anew."""

_CLOCK_CELLS = 4
"""In so many cells something may move: a camera draws its clock over what is frozen."""


@dataclass(frozen=True, slots=True)
class Limits(Times):
    """When a picture is taken for frozen: by the share of its cells that are known again, and for how long."""

    enter: float = 0.4
    leave: float = 0.2
    enter_after: float = 0.0
    """The ten seconds without movement are part of what is judged."""
    leave_after: float = 3.0


@dataclass(frozen=True, slots=True)
class Notice:
    """The picture froze, or (`over`) moves again; it stood still for so many seconds when that was said."""

    over: bool
    lasted: float


class _Usual:
    """How much of a living picture is known again, and in which light."""

    def __init__(self) -> None:
        self._share = self._level = self._watched = self._at = 0.0

    def learn(self, share: float, level: float, at: float) -> None:
        elapsed = min(max(at - self._at, 0.0), 1.0) if self._watched else 1.0
        if not self._watched or abs(level - self._level) > _LIGHT:
            self._share, self._level, self._watched = share, level, 0.0
        weight = 1.0 - math.exp(-elapsed / _USUAL_OF)
        self._share += (share - self._share) * weight
        self._level += (level - self._level) * weight
        self._watched += elapsed
        self._at = at

    def exceeded(self, share: float, enter: float) -> bool:
        """Whether so much is more than a living picture shows; never while the usual share is unknown."""
        if self._watched < _SURE_AFTER:
            return False
        return share >= enter + (1.0 - enter) * min(1.0, 2.0 * self._share)


class FreezeVigil:
    """Says once that the picture is frozen, and once that it moves again; for one stream and one thread."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._spell: Spell[str] = Spell(self._limits)
        self._usual = _Usual()
        self._frozen_since = 0.0
        self._start(0.0)

    @property
    def frozen(self) -> bool:
        """Whether that was said and is not over."""
        return self._spell.reason is not None

    def update(self, scene: Scene, period: float, silence: float) -> Notice | None:
        """Compare a scene with those before; `period` and `silence` (seconds) are those of the scenes."""
        if not self._seen or scene.at < self._seen[-1].at:
            self._start(scene.at)
        elif _has_moved(scene, self._seen[-1]):
            self._moved = scene.at
        self._compare(scene)
        self._seen.append(scene)
        turn = self._spell.update(self._found(scene.at), scene.at, period, silence)
        if turn is None:
            return None
        if not turn.over:
            self._frozen_since = float(np.median(self._same_since[_structured(scene.cells)])) - _YOUNGEST
        return Notice(turn.over, max(0.0, scene.at - self._frozen_since))

    def _start(self, now: float) -> None:
        """Forget what was seen: nothing, or what a clock that was set back has put into the future."""
        self._seen: deque[Scene] = deque(maxlen=_MOST_KEPT)
        self._shares: deque[tuple[float, float]] = deque(maxlen=_MOST_KEPT)
        self._always = 0.0
        self._moved = self._unknown = now
        self._same_since = np.full(SCENE_CELLS[1:], now)

    def _compare(self, scene: Scene) -> None:
        """Take down which cells are known again by the picture before a keyframe that has most of them."""
        while self._seen and scene.at - self._seen[0].at > _OLDEST:
            self._seen.popleft()
        while self._shares and scene.at - self._shares[0][0] > _MEAN_OF:
            self._shares.popleft()
        older = [one.cells for one in self._seen if _is_before_a_keyframe(one, scene)]
        judged = _structured(scene.cells)
        if not older or np.count_nonzero(judged) < _LEAST_CELLS:
            return
        same = (np.stack(older) == scene.cells).all(axis=1)  # [scenes, rows, columns]
        best = same[same[:, judged].sum(axis=1).argmax()]
        share = float(best[judged].mean())
        self._shares.append((scene.at, share))
        if share < _NOTHING:
            self._unknown = scene.at
        self._same_since[~best] = scene.at
        self._always = float((scene.at - self._same_since[judged] >= _SURE_AFTER).mean())
        if not self.frozen:
            self._usual.learn(share, float(np.median(scene.cells[0])), scene.at)

    def _found(self, now: float) -> str | None:
        if now - self._moved < _STILL_FOR or now - self._unknown < (0 if self.frozen else _KNOWN_FOR):
            return None
        if not self._shares:  # between two keyframes far apart nothing is proved
            return self._spell.reason
        share = float(np.mean([share for _, share in self._shares]))
        if self.frozen:
            return REASON if share >= self._limits.leave else None
        return REASON if self._usual.exceeded(share, self._limits.enter) or self._always >= _ALWAYS else None


def _is_before_a_keyframe(one: Scene, scene: Scene) -> bool:
    return one.keyframes != scene.keyframes and scene.at - one.at >= _YOUNGEST


def _structured(cells: NDArray[np.float32]) -> NDArray[np.bool_]:
    _, fine, coarse = cells
    return np.asarray((fine >= _FINE) | (coarse >= _COARSE), np.bool_)


def _has_moved(scene: Scene, before: Scene) -> bool:
    changes = np.abs(scene.cells[0] - before.cells[0])
    return int(np.count_nonzero(changes > _MOVED)) > _CLOCK_CELLS
