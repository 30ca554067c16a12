"""Apply a plan to the luma of a picture, in place."""

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.light.measure import BLACK, LEVELS, WHITE
from tocsin.light.plan import Plan

_GRID = 8
"""Tiles along each side for CLAHE."""

_SMALLEST_TILE = 16
"""Pixels along a tile's side: 256 for 256 luma values. With fewer, CLAHE turns a uniform picture white."""

_TO_FULL = np.rint(LEVELS).astype(np.uint8)
_TO_LIMITED = np.rint(np.arange(256) * ((WHITE - BLACK) / 255.0) + BLACK).astype(np.uint8)


class Corrector:
    """Corrects pictures one after another and keeps what can be used again; for one thread."""

    def __init__(self) -> None:
        self._clahe = cv2.createCLAHE()

    def correct(self, luma: NDArray[np.uint8], plan: Plan) -> None:
        """Change `luma`, a writable C-contiguous uint8 [h, w] of limited range, in place as planned.

        A plan without a correction changes nothing, whatever the values. After any other, every value lies
        from 16 to 235: what lay outside counts as black or white.
        """
        if plan.table is not None and plan.clip_limit is None:
            cv2.LUT(luma, plan.table, dst=luma)
        elif plan.clip_limit is not None:
            # CLAHE spreads over all of 0 to 255, so the luma goes there and back. A picture in limited range
            # would come out with values below 16 and above 235, which the conversion to RGB cuts off.
            cv2.LUT(luma, _TO_FULL if plan.table is None else _TO_FULL[plan.table], dst=luma)
            self._equalise(luma, plan.clip_limit)
            cv2.LUT(luma, _TO_LIMITED, dst=luma)

    def _equalise(self, luma: NDArray[np.uint8], clip_limit: float) -> None:
        height, width = luma.shape
        self._clahe.setClipLimit(clip_limit)
        self._clahe.setTilesGridSize(
            (min(_GRID, max(width // _SMALLEST_TILE, 1)), min(_GRID, max(height // _SMALLEST_TILE, 1)))
        )
        self._clahe.apply(luma, luma)
