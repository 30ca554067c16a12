"""Measure what a picture shows, cell by cell: how bright it is, and how much fine and coarse structure it has.

Unlike the light, this is to be compared: with the picture before, which tells a camera that stands still, and
with what the camera usually shows, which tells one whose lens is covered.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.frame import SCENE_CELLS

_, ROWS, COLUMNS = SCENE_CELLS

_BLOCKS = 4
"""Blocks along each side of a cell, between whose means the coarse structure lies: a blur that takes the fine
structure leaves it."""

_LINES = 100
"""Of a higher picture not every line is looked at: with all of them a picture of 640x640 took 0.66 ms and one
of 416x234 0.15; so it takes 0.08 ms, whatever the size."""


def measure_structure(luma: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Return the mean, fine and coarse structure of a luma plane's cells, float32 `SCENE_CELLS`, in luma steps.

    Fine is the mean difference between neighbouring pixels of a line, coarse that between neighbouring blocks of
    the cell, down and across together. The sums beneath are exact, so a step in one pixel of the lines that are
    looked at shows. None for a picture too small to be divided so.
    """
    lines = luma[:: max(1, luma.shape[0] // _LINES)]
    if lines.shape[0] < ROWS * _BLOCKS or lines.shape[1] <= COLUMNS * _BLOCKS:
        return None
    blocks = _means(lines, ROWS * _BLOCKS, COLUMNS * _BLOCKS).reshape(ROWS, _BLOCKS, COLUMNS, _BLOCKS)
    steps = np.asarray(cv2.absdiff(lines[:, 1:], lines[:, :-1]), np.uint8)
    fine = _means(steps, ROWS, COLUMNS)
    down, across = (np.abs(np.diff(blocks, axis=axis)).mean((1, 3)) for axis in (1, 3))
    return np.stack((blocks.mean((1, 3)), fine, down + across)).astype(np.float32)


def _means(plane: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.float64]:
    """Return the mean of each of so many parts of a plane."""
    top, left = _edges(plane.shape[0], rows), _edges(plane.shape[1], columns)
    bands = np.empty((rows, plane.shape[1]), np.int32)
    for row in range(rows):
        band = plane[top[row] : top[row + 1]]
        cv2.reduce(band, 0, cv2.REDUCE_SUM, dst=bands[row : row + 1], dtype=cv2.CV_32S)
    sums = np.add.reduceat(bands, left[:-1], axis=1)
    return np.asarray(sums / np.outer(np.diff(top), np.diff(left)), np.float64)


@lru_cache(maxsize=64)
def _edges(length: int, parts: int) -> NDArray[np.int64]:
    return np.arange(parts + 1) * length // parts
