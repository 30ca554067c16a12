"""How many pixels an object has, from the lens to the detector: arithmetic for whoever places a camera; pure."""

import math
from collections.abc import Sequence

from tocsin.capture.order import ViewOrder
from tocsin.capture.regions import cut
from tocsin.frame import fit


def camera_pixels(length: float, distance: float, angle: float, width: int) -> float:
    """Return how many of the camera's pixels an object spans across.

    `length` and `distance` in metres, `angle` the lens's horizontal angle of view in degrees, `width` the
    picture's. The object faces the camera. By the pinhole model, whose focal length is width / (2 tan(angle / 2))
    pixels: it holds for a lens that keeps straight lines straight; wide lenses that do not show more than this in
    the middle of the picture and less at its edge.
    """
    assert 0 < angle < 180, "a flat picture shows less than half of all around"
    return length / distance * width / (2 * math.tan(math.radians(angle) / 2))


def scales(orders: Sequence[ViewOrder], width: int, height: int) -> list[float]:
    """Return for each view of a picture of that size how many of its pixels one of the camera's becomes, across."""
    found = []
    for order in orders:
        part = cut(order, width, height)
        shown, _ = fit(part.width, part.height, order.max_width, order.max_height, order.keep_aspect)
        found.append(shown / part.width)
    return found
