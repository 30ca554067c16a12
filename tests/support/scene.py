"""What a fake camera sees: a plain background, bright blocks that come and go, and the frame's own number."""

import asyncio
import math
import time
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]

VISITOR: Box = (0.375, 0.5, 0.625, 5 / 6)
"""Where a visitor stands: two by two whole cells of the block model when a 4:3 picture is letterboxed into it."""

NUMBER_BITS = 16
STRIP = 1 / 15
"""Share of the picture's height taken by the number: too little to make a cell of the block model bright."""

WHITE, BLACK, GREY = 235, 16, 128


@dataclass(frozen=True, slots=True)
class Block:
    """A bright rectangle, x1 y1 x2 y2 relative to the picture, seen while from_s <= time < to_s."""

    box: Box = VISITOR
    from_s: float = 0.0
    to_s: float = math.inf
    luma: int = WHITE

    def is_seen(self, at_s: float) -> bool:
        return self.from_s - 1e-6 <= at_s < self.to_s - 1e-6


def visits(*times: tuple[float, float], box: Box = VISITOR) -> tuple[Block, ...]:
    """One block for each (from, to) in seconds: somebody who comes several times."""
    return tuple(Block(box, from_s, to_s) for from_s, to_s in times)


@dataclass(frozen=True, slots=True)
class Scene:
    """The script of a camera. Width and height are even; luma values lie on the limited range 16 to 235.

    `grain` is the largest deviation of a noise that differs from picture to picture (the same in every run): it
    makes a stream as heavy as a real camera's. `texture` is the largest deviation of a pattern that stays, of
    things large and small, as a yard has them; with `blur`, in pixels, it and the blocks are out of focus. A scene
    that is not `numbered` has no strip with its number, whose
    black and white would give the darkest picture contrast.
    """

    width: int = 320
    height: int = 240
    fps: float = 10.0
    background: int = 90
    grain: int = 0
    texture: int = 0
    blur: float = 0.0
    blocks: tuple[Block, ...] = ()
    numbered: bool = True

    def draw(self, at_s: float, number: int) -> NDArray[np.uint8]:
        """The picture at a time, as I420 of shape [height * 3 / 2, width]."""
        picture = np.full((self.height * 3 // 2, self.width), GREY, np.uint8)
        luma = picture[: self.height]
        luma[:] = np.clip(self.background + _pattern(self.height, self.width) * self.texture, BLACK, WHITE)
        for block in self.blocks:
            if block.is_seen(at_s):
                x1, y1, x2, y2 = block.box
                rows = slice(round(y1 * self.height), round(y2 * self.height))
                luma[rows, round(x1 * self.width) : round(x2 * self.width)] = block.luma
        if self.blur:
            luma[:] = cv2.GaussianBlur(luma, (0, 0), self.blur)
        if self.grain:
            noise = np.random.default_rng(number).integers(-self.grain, self.grain + 1, luma.shape, np.int16)
            luma[:] = np.clip(luma + noise, BLACK, WHITE)
        if self.numbered:
            write_number(luma, number)
        return picture


@lru_cache(maxsize=4)
def _pattern(height: int, width: int) -> NDArray[np.float32]:
    """A pattern from -1 to 1, the same in every run: patches of a fifth of the picture, and of four pixels."""
    chance = np.random.default_rng(0)
    large = cv2.resize(chance.uniform(-0.6, 0.6, (5, 6)).astype(np.float32), (width, height))
    small = chance.uniform(-0.4, 0.4, (height // 4, width // 4)).astype(np.float32)
    return large + cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def write_number(luma: NDArray[np.uint8], number: int) -> None:
    """Draw the number (modulo 65536) along the top edge: a row of black and white cells over its own inverse.

    The inverse shows damage to the reader, and keeps the picture's brightness the same for every number.
    """
    for bit, rows, columns in _cells(luma.shape, margin=0.0):
        is_set = bool(number >> (NUMBER_BITS - 1 - bit) & 1)
        upper, lower = (WHITE, BLACK) if is_set else (BLACK, WHITE)
        middle = (rows.start + rows.stop) // 2
        luma[rows.start : middle, columns] = upper
        luma[middle : rows.stop, columns] = lower


def read_number(luma: NDArray[np.uint8]) -> int:
    """The number in a luma plane of any size; ValueError when a cell and its inverse do not agree."""
    number = 0
    for bit, rows, columns in _cells(luma.shape, margin=0.25):
        middle = (rows.start + rows.stop) / 2
        quarter = max((rows.stop - rows.start) / 8, 0.5)
        upper = luma[math.floor(rows.start + quarter) : math.ceil(middle - quarter), columns].mean()
        lower = luma[math.floor(middle + quarter) : math.ceil(rows.stop - quarter), columns].mean()
        if abs(upper - lower) < (WHITE - BLACK) / 3:
            raise ValueError(f"bit {bit} of the number is damaged: luma {upper:.0f} over {lower:.0f}")
        number = number << 1 | int(upper > lower)
    return number


def _cells(shape: tuple[int, ...], margin: float) -> list[tuple[int, slice, slice]]:
    height, width = shape
    rows = slice(0, max(2, round(height * STRIP)))
    cell = width / NUMBER_BITS
    return [
        (bit, rows, slice(round((bit + margin) * cell), round((bit + 1 - margin) * cell)))
        for bit in range(NUMBER_BITS)
    ]


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a scene: its number, its time in the scene and its time on the monotonic clock."""

    scene: Scene
    number: int
    at_s: float
    due: float

    def draw(self) -> NDArray[np.uint8]:
        return self.scene.draw(self.at_s, self.number)


@dataclass(frozen=True, slots=True)
class _Showing:
    scene: Scene
    zero: float
    first_number: int

    def shot(self, index: int) -> Shot:
        at_s = index / self.scene.fps
        return Shot(self.scene, self.first_number + index, at_s, self.zero + at_s)

    def next_index(self, now: float) -> int:
        return max(0, math.ceil((now - self.zero) * self.scene.fps))


class Projector:
    """Plays a scene in real time: picture k is due k / fps after `zero`, however late the one before it was.

    The numbers go on rising when the scene starts again. Any thread may call `show`; readers see either the old
    showing or the new one, because it is replaced whole.
    """

    def __init__(self, scene: Scene) -> None:
        self._showing = _Showing(scene, time.monotonic(), 0)

    @property
    def zero(self) -> float:
        """The monotonic time at which the scene's own time is 0."""
        return self._showing.zero

    @property
    def scene(self) -> Scene:
        return self._showing.scene

    def show(self, scene: Scene | None = None) -> float:
        """Start a scene (or the present one again) from its time 0, which is now; returns `zero`."""
        before, now = self._showing, time.monotonic()
        self._showing = _Showing(scene or before.scene, now, before.first_number + before.next_index(now))
        return now

    async def after(self, last: Shot | None) -> Shot:
        """Wait for the next picture after `last`; with None, for the next one from now on."""
        while True:
            showing = self._showing
            follows = last is not None and last.due - last.at_s == showing.zero
            index = (
                round(last.at_s * showing.scene.fps) + 1
                if last and follows
                else showing.next_index(time.monotonic())
            )
            shot = showing.shot(index)
            if (wait := shot.due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if showing is self._showing:
                return shot
