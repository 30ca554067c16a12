"""From the colours of high-definition video to those that all that follows expects: BT.709 to BT.601."""

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]

# Both standards make luma and two colour differences of red, green and blue, each with other weights (ITU-R
# BT.709-6 item 3.2, BT.601-7 item 2.5.1). From one to the other, for values of limited range:
_LUMA = 0.09932, 0.19172  # of the blue and the red difference, added to luma
_BLUE = 0.98985, -0.11067  # of both, in the blue difference
_RED = -0.07246, 0.98338  # and in the red one
_NEUTRAL = 128.0


class Recolourer:
    """Turns pictures of limited range from BT.709 into BT.601, in place; for one thread."""

    def __init__(self) -> None:
        self._shift = np.empty((0, 0), np.uint8)

    def recolour(self, luma: Plane, blue: Plane, red: Plane) -> None:
        """Change the planes of an I420 picture, uint8 [h, w] and twice [h / 2, w / 2], each within a step."""
        if self._shift.shape != luma.shape:
            self._shift = np.empty(luma.shape, np.uint8)
        # around neutral and in whole steps: as float32 the shift of a picture takes twice the time, for cold caches
        few = cv2.addWeighted(blue, _LUMA[0], red, _LUMA[1], _NEUTRAL * (1 - sum(_LUMA)))
        cv2.resize(few, luma.shape[::-1], dst=self._shift, interpolation=cv2.INTER_LINEAR)
        other = cv2.addWeighted(blue, _BLUE[0], red, _BLUE[1], _NEUTRAL * (1 - sum(_BLUE)))
        cv2.addWeighted(blue, _RED[0], red, _RED[1], _NEUTRAL * (1 - sum(_RED)), dst=red)
        blue[:] = other
        cv2.addWeighted(luma, 1.0, self._shift, 1.0, -_NEUTRAL, dst=luma)
