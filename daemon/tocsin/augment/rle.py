"""COCO's masks: run lengths of a picture read column by column, plain or packed into letters."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_FIRST = 48  # the letter that stands for 0
_MORE = 0x20
_SIGN = 0x10
_VALUE = 0x1F
_BITS = 5

_MOST_BITS = 40
"""Of a run length: more than `_LARGEST` needs. Without an end, millions of letters would make one number."""

_LARGEST = 2**30
"""Pixels: no picture that OpenCV reads has more."""


def sound(mask: Mapping[str, Any]) -> bool:
    """Say whether a stranger's mask is one: a size, and runs of as many pixels."""
    size, counts = mask.get("size"), mask.get("counts")
    if not (
        isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    ):
        return False
    try:
        runs = unpack(counts) if isinstance(counts, str) else counts
    except OverflowError:
        return False
    if not (isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)):
        return False
    pixels: int = size[0] * size[1]
    return pixels <= _LARGEST and sum(runs) == pixels


def scaled(mask: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Return a mask, `{"size": [h, w], "counts": ...}`, for the same picture at this width and height.

    The counts stay a list or a text, as they were. The mask must be sound.
    """
    height, width = mask["size"]
    counts = mask["counts"]
    packed = isinstance(counts, str)
    runs = unpack(counts) if packed else counts
    large = np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs)
    small = cv2.resize(large.reshape(width, height).T.copy(), size, interpolation=cv2.INTER_NEAREST)
    found = _runs(np.asarray(small, np.uint8))
    return {"size": [size[1], size[0]], "counts": pack(found) if packed else found}


def _runs(mask: NDArray[np.uint8]) -> list[int]:
    flat = mask.T.reshape(-1)
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), len(flat)]
    runs = [end - start for start, end in pairwise(edges)]
    return [0, *runs] if flat[0] else runs  # the first run is of what is not masked


def unpack(text: str) -> list[int]:
    """Return the run lengths in a packed text: five bits a letter, from the third on less those two before.

    Raises OverflowError for a run that is longer than any picture.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - _FIRST
        value |= (bits & _VALUE) << shift
        shift += _BITS
        if shift > _MOST_BITS:
            raise OverflowError("expected the length of a run, found one without end")
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def pack(runs: Sequence[int]) -> str:
    """Return run lengths as the text that `unpack` reads."""
    letters: list[str] = []
    for number, run in enumerate(runs):
        value = run - (runs[number - 2] if number > 2 else 0)
        while True:
            bits, value = value & _VALUE, value >> _BITS
            last = value == (-1 if bits & _SIGN else 0)
            letters.append(chr(_FIRST + bits + (0 if last else _MORE)))
            if last:
                break
    return "".join(letters)
