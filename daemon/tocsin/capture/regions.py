"""Which parts of a frame are views of their own: tiles and zones, relative first and then in whole pixels; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.capture.order import ViewOrder
from tocsin.frame import Box

_BESIDE, _ABOVE = 0.1, 0.25
"""What a zone's box gets on each side, and above it, as a share of its own width and height: an object counts by
the middle of its lower edge, so that it reaches over the zone's sides and stands out above it. Chosen, not
measured."""

_EXACT = 1e-6
"""Pixels. What the arithmetic of shares may be off by."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a frame in whole pixels; left and top are even, right and bottom even or the frame's end.

    So it lies on whole pixels of the chroma planes too, which have half the size.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def region(self, width: int, height: int) -> Box:
        """Return the same part relative to its frame."""
        return self.left / width, self.top / height, self.right / width, self.bottom / height


def tiles(rows: int, columns: int, overlap: float) -> tuple[Box, ...]:
    """Return equal tiles that cover the frame, row by row; each shares `overlap` of its side with the next."""
    return tuple(
        (left, top, right, bottom)
        for top, bottom in _spans(rows, overlap)
        for left, right in _spans(columns, overlap)
    )


def around(polygon: Sequence[tuple[float, float]]) -> Box:
    """Return the box of a zone, with room for the objects that stand in it."""
    left, right = min(x for x, _ in polygon), max(x for x, _ in polygon)
    top, bottom = min(y for _, y in polygon), max(y for _, y in polygon)
    beside, above, below = _BESIDE * (right - left), _ABOVE * (bottom - top), _BESIDE * (bottom - top)
    return max(0.0, left - beside), max(0.0, top - above), min(1.0, right + beside), min(1.0, bottom + below)


def cut(order: ViewOrder, width: int, height: int) -> Cut:
    """Return which pixels of a frame of that size a view shows; at least two each way, where the frame has them."""
    left, top, right, bottom = order.region
    across, down = (left * width, right * width), (top * height, bottom * height)
    if order.grow:
        across, down = _grown(across, down, order, width, height)
    (left_edge, right_edge), (top_edge, bottom_edge) = _even(*across, width), _even(*down, height)
    return Cut(left_edge, top_edge, right_edge, bottom_edge)


def _spans(count: int, overlap: float) -> list[tuple[float, float]]:
    length = 1.0 / (count - (count - 1) * overlap)
    step = length * (1.0 - overlap)
    return [(n * step, 1.0 if n == count - 1 else n * step + length) for n in range(count)]


Span = tuple[float, float]


def _grown(across: Span, down: Span, order: ViewOrder, width: int, height: int) -> tuple[Span, Span]:
    """Grow a part to the shape of the input and to its size at least: what it has room for costs nothing."""
    wide, high = order.max_width - order.max_width % 2, order.max_height - order.max_height % 2
    scale = max(1.0, (across[1] - across[0]) / wide, (down[1] - down[0]) / high)
    return _widened(*across, wide * scale, width), _widened(*down, high * scale, height)


def _widened(low: float, high: float, length: float, limit: int) -> Span:
    """Return a span of that length about the same middle, moved into the frame, from an even pixel on."""
    length = min(max(length, high - low), limit)
    start = min(max((low + high - length) / 2, 0.0), limit - length)
    start = 2.0 * math.floor(start / 2 + _EXACT)
    return start, start + length


def _even(low: float, high: float, limit: int) -> tuple[int, int]:
    """Return the least span of even pixels that holds another, cut at the frame's end."""
    start = 2 * math.floor(low / 2 + _EXACT)
    start = max(0, min(start, limit - limit % 2 - 2))
    end = max(2 * math.ceil(high / 2 - _EXACT), start + 2)
    return start, min(end, limit)
