"""Apply a plan to the luma of a picture, in place."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.light.measure import BLACK, LEVELS, WHITE
from tocsin.light.plan import Local, Plan

_GRID = 8
"""Tiles along each side for CLAHE."""

_SMALLEST_TILE = 16
"""Pixels along a tile's side: 256 for 256 luma values. With fewer, CLAHE turns a uniform picture white."""

_SIGMA = 0.7
"""Pixels. Measured at -3 to -6 EV with noise: 0.6 to 0.8 find most persons and add no false one; from 1.0 on a
small person blurs away."""

_TO_FULL = np.rint(LEVELS).astype(np.uint8)
_TO_LIMITED = np.rint(np.arange(256) * ((WHITE - BLACK) / 255.0) + BLACK).astype(np.uint8)

Luma = NDArray[np.uint8]


class Corrector:
    """Corrects pictures one after another and keeps what can be used again; for one thread."""

    def __init__(self) -> None:
        self._clahe = cv2.createCLAHE()
        self._maps: dict[tuple[str, tuple[int, ...]], NDArray[np.float32]] = {}

    def correct(self, luma: Luma, plan: Plan, scale: float = 1.0) -> None:
        """Change `luma`, a writable C-contiguous uint8 [h, w] of limited range, in place as planned.

        `scale` is how many times as wide the picture is as the one that was planned for.

        A plan without a correction changes nothing, whatever the values. After any other, every value lies
        from 16 to 235: what lay outside counts as black or white.
        """
        if plan.smooth is not None:
            self._smooth(luma, plan.smooth, scale)
        if plan.clip_limit is not None:
            # CLAHE spreads over all of 0 to 255, so the luma goes there and back. A picture in limited range
            # would come out with values below 16 and above 235, which the conversion to RGB cuts off.
            cv2.LUT(luma, _TO_FULL if plan.table is None else _TO_FULL[plan.table], dst=luma)
            self._equalise(luma, plan.clip_limit)
            cv2.LUT(luma, _TO_LIMITED, dst=luma)
        elif plan.table is not None:
            cv2.LUT(luma, plan.table, dst=luma)
        if plan.local is not None:
            self._stretch(luma, plan.local)

    def _equalise(self, luma: Luma, clip_limit: float) -> None:
        height, width = luma.shape
        self._clahe.setClipLimit(clip_limit)
        self._clahe.setTilesGridSize(
            (min(_GRID, max(width // _SMALLEST_TILE, 1)), min(_GRID, max(height // _SMALLEST_TILE, 1)))
        )
        self._clahe.apply(luma, luma)

    def _smooth(self, luma: Luma, where: NDArray[np.bool_], scale: float) -> None:
        reach = 2 * math.ceil(scale) + 1
        blurred = cv2.GaussianBlur(luma, (reach, reach), _SIGMA * scale)
        if where.all():
            luma[:] = blurred
        else:
            mask = cv2.resize(where.astype(np.uint8), luma.shape[::-1], interpolation=cv2.INTER_NEAREST)
            cv2.copyTo(blurred, mask, luma)

    def _stretch(self, luma: Luma, local: Local) -> None:
        work = self._spread("gain", luma.shape, local.gain)
        offset = self._spread("offset", luma.shape, local.offset)
        cv2.multiply(luma, work, work, dtype=cv2.CV_32F)
        cv2.add(work, offset, luma, dtype=cv2.CV_8U)
        np.clip(luma, BLACK, WHITE, out=luma)

    def _spread(self, name: str, shape: tuple[int, ...], grid: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a map of one value a pixel, from one a cell; valid until the next of this name."""
        known = self._maps.get((name, shape))
        if known is None:
            self._maps = {key: kept for key, kept in self._maps.items() if key[1] == shape}
            known = self._maps[name, shape] = np.empty(shape, np.float32)
        cv2.resize(grid, shape[::-1], known, interpolation=cv2.INTER_LINEAR)
        return known
