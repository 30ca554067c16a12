"""How many pixels an object has by its distance: in the camera, and in each kind of view that a detector gets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tocsin.capture.order import ViewOrder
from tocsin.footage.views import Kind, kind_from
from tocsin.probe.optics import camera_pixels, scales

DISTANCES = (3.0, 5.0, 10.0)
"""Metres."""


@dataclass(frozen=True, slots=True)
class Ruler:
    """An object `size` metres long, seen through a lens of `lens` degrees across."""

    size: float = 0.25
    lens: float = 90.0

    def __str__(self) -> str:
        return f"{self.size * 100:g} cm"


def kinds_from(words: str, whole: ViewOrder) -> tuple[Kind, ...]:
    """Return the kinds of views in a list such as `full,tiles:2x3,tiles:3x5:0.3`. Raises InputError."""
    return tuple(kind_from(word.strip(), whole) for word in words.split(","))


def lengths(ruler: Ruler, kinds: Sequence[Kind], width: int, height: int) -> list[list[float]]:
    """Return for each distance the pixels in the camera, whose picture has that size, and in each kind of view.

    Of the views of a kind the one that shows the object largest counts.
    """
    factors = [1.0, *(max(scales(kind.orders, width, height)) for kind in kinds)]
    return [
        [camera_pixels(ruler.size, distance, ruler.lens, width) * factor for factor in factors]
        for distance in DISTANCES
    ]


def lines(ruler: Ruler, kinds: Sequence[Kind], width: int, height: int) -> Iterator[str]:
    """Yield the table: a line for its head, one for each distance, and one that says for what it holds."""
    names = ["camera", *(kind.name for kind in kinds)]
    first = f"pixels of {ruler}"
    yield "  ".join([first, *names])
    for distance, row in zip(DISTANCES, lengths(ruler, kinds, width, height), strict=True):
        cells = (f"{_whole(pixels):>{len(name)}}" for name, pixels in zip(names, row, strict=True))
        yield "  ".join([f"{f'{distance:g} m':>{len(first)}}", *cells])
    takes = kinds[0].orders[0]
    yield (
        f"facing the camera in the middle of the picture; lens {ruler.lens:g} degrees,"
        f" detector input {takes.max_width}x{takes.max_height}"
    )


def _whole(pixels: float) -> str:
    return f"{pixels:.1f}" if pixels < 9.95 else f"{pixels:.0f}"


def as_json(ruler: Ruler, kinds: Sequence[Kind], width: int, height: int) -> dict[str, Any]:
    """Return the table for a program; lengths in metres, the lens in degrees."""
    names = ["camera", *(kind.name for kind in kinds)]
    rows = lengths(ruler, kinds, width, height)
    return {
        "size": ruler.size,
        "lens": ruler.lens,
        "by_distance": [
            {"distance": distance, "pixels": {n: round(p, 1) for n, p in zip(names, row, strict=True)}}
            for distance, row in zip(DISTANCES, rows, strict=True)
        ],
    }
