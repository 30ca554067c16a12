"""Notices a camera whose picture stands still while its stream goes on.

Pure. That nothing changes is no proof: a camera that looks into an empty corridor at night sends the same
picture to the bit until its next keyframe, for most encoders take what has hardly changed from the picture
before. But a keyframe codes everything anew, and the noise of a living sensor, however well it is suppressed,
falls otherwise in each: then hardly a cell is what it was. So a picture is known again only across a keyframe,
and exactly. A frozen picture that is coded anew comes out the same again as soon as the encoder's quantiser has
settled, all but the cells of a clock that runs on.

How much of a living picture is known again depends on its noise and its encoder, so it is learned, from cells
that have stood still for as long as pictures are kept, and forgotten when the light changes: of what moves nothing
is known again, and where a wind drops or a street empties that says nothing of how the quiet picture lives. Before
it is known, and where it is much, only a picture counts of which all but a clock is known again in every sample of
twenty seconds.

Two ways to tell it sooner were tried and failed. Between keyframes a thrifty encoder repeats a living picture as it
does a frozen one: when a wind dropped, the share of cells that stay the same rose from none to nearly all, and
packets became all but empty. And by how much less keyframes differ than they did: at 0.3 Mbit/s a frozen picture
coded anew still differed by half as much as a living one, and a living one after a wind by a tenth.

Measured with cameras as in `tests/bench/scene.py`, 75 that stood still for 40 s and 130 living ones, of which none
was told. Told within 15 s were 40 of 43 with constant quality, Motion JPEG, or 1 Mbit/s and more on average, and
keyframes every two seconds at most, the last after 26 s; and 2 of 6 with 0.3 Mbit/s, the last after 21 s: until
then the quantiser settles. With keyframes every ten seconds all nine were told within 31 s, for the picture must
come out the same in two. Not to be told: the nine without keyframes, and seven of eight whose encoder keeps a
scarce bit rate at every moment, so that its quantiser never settles.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.eyesight.spell import Spell, Times
from tocsin.frame import SCENE_CELLS, SCENE_EVERY, Scene

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

_EACH_OF = 1.0
"""Seconds in which each picture must be known again."""

_USUAL_OF = 60.0
"""Seconds after which a picture counts for 1/e in what is usual."""

_USUAL_AFTER = 10.0
"""Seconds of pictures until the usual share is known."""

_SURE_AFTER = 20.0
"""Seconds for which a picture must be the same where the usual share does not tell."""

_LIGHT = 8.0
"""Luma steps by which the median of the cells differs from the usual one when the light has changed."""

_ALWAYS = 0.85
"""The share of the cells that must be known again in every sample where the usual share does not tell."""

_LIVES = 0.7
"""A picture that changes by so much of what is usual lives: of one that stands still half of that is left while
the quantiser settles, seldom more."""

_SAME_FOR = 7.0
"""Seconds without a picture that lives: a stream that hangs for a moment is not frozen. Two more were needed to see
the first."""

_STILL_FOR = 10.0
"""Seconds without movement."""

_MOVED = 1.0
"""Luma steps: by more the mean of a cell changes where something moves, by less where a picture is coded anew."""

_CLOCK_CELLS = 4
"""In so many cells something may move: a camera draws its clock over what is frozen."""


@dataclass(frozen=True, slots=True)
class Limits(Times):
    """When a picture is taken for frozen: by the share of its cells that are known again, and for how long."""

    enter: float = 0.2
    """Of a camera of whose living picture nothing is known again, more of others."""
    leave: float = 0.5
    """Of the share with which it began."""
    enter_after: float = 0.0
    """The ten seconds without movement are part of what is judged."""
    leave_after: float = 3.0


@dataclass(frozen=True, slots=True)
class Notice:
    """The picture froze, or (`over`) moves again; it stood still for so many seconds when that was said."""

    over: bool
    lasted: float


class _Usual:
    """How much of a living picture is known again, by how much the rest changes, and in which light."""

    def __init__(self) -> None:
        self._share = self._change = self._level = self._watched = self._at = 0.0

    def lit(self, level: float) -> None:
        """Forget all that when the light has changed."""
        if abs(level - self._level) > _LIGHT:
            self._watched = 0.0

    def learn(self, share: float, change: float, level: float, at: float) -> None:
        elapsed = min(max(at - self._at, 0.0), 1.0) if self._watched else 1.0
        weight = 1.0 - math.exp(-elapsed / _USUAL_OF) if self._watched else 1.0
        self._share += (share - self._share) * weight
        self._change += (change - self._change) * weight
        self._level += (level - self._level) * weight
        self._watched += elapsed
        self._at = at

    def limit(self, enter: float) -> float:
        """Return the share from which on it is more than a living picture shows; infinite while that is unknown."""
        if self._watched < _USUAL_AFTER:
            return math.inf
        return enter + (1.0 - enter) * min(1.0, 2.0 * self._share)

    def lives(self, change: float) -> bool:
        """Whether a picture changes as a living one does, so that it cannot have stood still until now."""
        return change > self._change * _LIVES


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
        else:
            self._note_movement(scene)
        self._compare(scene)
        self._seen.append(scene)
        turn = self._spell.update(self._found(scene.at), scene.at, period, silence)
        if turn is None:
            return None
        if not turn.over:
            self._frozen_since = self._lived - _YOUNGEST
        return Notice(turn.over, max(0.0, scene.at - self._frozen_since))

    def _start(self, now: float) -> None:
        """Forget what was seen: nothing, or what a clock that was set back has put into the future."""
        self._seen: deque[Scene] = deque(maxlen=_MOST_KEPT)
        self._shares: deque[tuple[float, float]] = deque(maxlen=_MOST_KEPT)
        self._always = 0.0
        self._moved = self._lived = now
        self._stood_since = np.full(SCENE_CELLS[1:], now)
        self._same_since = np.full(SCENE_CELLS[1:], now)

    def _note_movement(self, scene: Scene) -> None:
        moved = np.abs(scene.cells[0] - self._seen[-1].cells[0]) > _MOVED
        self._stood_since[moved] = scene.at
        if np.count_nonzero(moved) > _CLOCK_CELLS:
            self._moved = scene.at

    def _compare(self, scene: Scene) -> None:
        """Take down which cells are known again by the picture before a keyframe that has most of them."""
        while self._seen and scene.at - self._seen[0].at > _OLDEST:
            self._seen.popleft()
        while self._shares and scene.at - self._shares[0][0] > _EACH_OF:
            self._shares.popleft()
        older = [one.cells for one in self._seen if _is_before_a_keyframe(one, scene)]
        judged = _structured(scene.cells)
        if not older or np.count_nonzero(judged) < _LEAST_CELLS:
            return
        before = np.stack(older)
        same = (before == scene.cells).all(axis=1)  # [scenes, rows, columns]
        change = float(np.median(np.abs(before[:, 0] - scene.cells[0])[:, judged], axis=1).min())
        best = same[same[:, judged].sum(axis=1).argmax()]
        share = float(best[judged].mean())
        self._shares.append((scene.at, share))
        if self._usual.lives(change):
            self._lived = scene.at
        self._same_since[~best] = scene.at
        self._always = float((scene.at - self._same_since[judged] >= _SURE_AFTER).mean())
        level = float(np.median(scene.cells[0]))
        self._usual.lit(level)
        stands = judged & (scene.at - self._stood_since >= _OLDEST)
        if not self.frozen and np.count_nonzero(stands) >= _LEAST_CELLS:
            self._usual.learn(float(best[stands].mean()), change, level, scene.at)

    def _found(self, now: float) -> str | None:
        if now - self._moved < _STILL_FOR or (not self.frozen and now - self._lived < _SAME_FOR):
            return None
        if not self._shares:  # between two keyframes far apart nothing is proved
            return self._spell.reason
        shares = [share for _, share in self._shares]
        limit = self._usual.limit(self._limits.enter)
        if self.frozen:
            return REASON if max(shares) >= min(limit, 1.0) * self._limits.leave else None
        return REASON if min(shares) >= limit or self._always >= _ALWAYS else None


def _is_before_a_keyframe(one: Scene, scene: Scene) -> bool:
    return one.keyframes != scene.keyframes and scene.at - one.at >= _YOUNGEST


def _structured(cells: NDArray[np.float32]) -> NDArray[np.bool_]:
    _, fine, coarse = cells
    return np.asarray((fine >= _FINE) | (coarse >= _COARSE), np.bool_)
