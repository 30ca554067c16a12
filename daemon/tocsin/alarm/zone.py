"""Where in the picture an object stands."""

from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

Point = tuple[float, float]


class Zones:
    """The zones and masks of one stream: polygons in coordinates relative to the frame.

    The point of a box that counts is the middle of its lower edge: where a person or a vehicle touches the
    ground, wherever the camera looks down from. A point on the border of a zone counts as inside.
    """

    def __init__(
        self, polygons: Mapping[str, Sequence[Point]], masks: Sequence[Sequence[Point]] = ()
    ) -> None:
        """All polygons are valid: three or more points, no side that touches or crosses another."""
        self.drawn = {name: tuple(points) for name, points in polygons.items()}
        self.masked_parts = tuple(map(tuple, masks))
        self._polygons = {name: _prepared(points) for name, points in polygons.items()}
        self._masks = shapely.union_all([_prepared(points) for points in masks])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._polygons)

    def alike(self, other: "Zones", names: Sequence[str]) -> bool:
        """Whether the zones of these names, and all masks, are drawn as in another stream's or another time's."""
        drawn = all(self.drawn.get(name) == other.drawn.get(name) for name in names)
        return drawn and self.masked_parts == other.masked_parts

    def inside(self, boxes: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.int64]:
        """Return for each box the index in `names` of the first zone that it stands in, -1 for none: [K].

        `boxes` is x1 y1 x2 y2 relative to the frame, [K, 4]; a box that reaches over the frame's edge stands
        at the edge, and one with a number that is not finite stands nowhere. Raises KeyError for an unknown
        name.
        """
        usable: NDArray[np.bool_] = np.all(np.isfinite(boxes), axis=1)
        # as float64, since the sum of two float32 may overflow
        edges = np.where(usable[:, np.newaxis], boxes.astype(np.float64), 0.0)
        feet = np.clip(np.column_stack(((edges[:, 0] + edges[:, 2]) / 2, edges[:, 3])), 0.0, 1.0)
        found = np.full(len(boxes), -1, dtype=np.int64)
        for index in reversed(range(len(names))):  # so that the first zone has the last word
            here = shapely.intersects_xy(self._polygons[names[index]], feet[:, 0], feet[:, 1])
            found[usable & here] = index
        return found

    def masked(self, boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return for each box whether half or more of what the frame shows of it lies in masks: [K].

        `boxes` as for `inside`; one with a number that is not finite is not masked.
        """
        hidden = np.zeros(len(boxes), dtype=np.bool_)
        if self._masks.is_empty:
            return hidden
        for index in np.flatnonzero(np.isfinite(boxes).all(axis=1)):
            shown = shapely.box(*np.clip(boxes[index].astype(np.float64), 0.0, 1.0))
            hidden[index] = 2 * shapely.area(shapely.intersection(shown, self._masks)) >= shown.area
        return hidden


def area_left(zones: Sequence[Sequence[Point]], taken: Sequence[Sequence[Point]]) -> float:
    """Return the share of the frame in any of the zones, or in all of it without zones, that is in none taken."""
    whole = (
        shapely.union_all([shapely.Polygon(points) for points in zones]) if zones else shapely.box(0, 0, 1, 1)
    )
    left = shapely.difference(whole, shapely.union_all([shapely.Polygon(points) for points in taken]))
    return float(shapely.area(left))


def _prepared(points: Sequence[Point]) -> shapely.Polygon:
    polygon = shapely.Polygon(points)
    assert polygon.is_valid, "the configuration refuses polygons whose sides touch or cross"
    shapely.prepare(polygon)  # without it each question walks the whole border
    return polygon
