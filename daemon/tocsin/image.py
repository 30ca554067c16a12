"""Still pictures: from the content of an image file to pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.errors import InputError

_JPEG, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def decode(data: bytes, flags: int = cv2.IMREAD_COLOR) -> NDArray[np.uint8]:
    """Return the image in a file's content as BGR, uint8 [h, w, 3]; `flags` are those of OpenCV.

    Raises InputError with what was expected and found.
    """
    if not data:
        raise InputError("expected an image, found an empty file")
    if data.startswith(_JPEG) and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        # OpenCV paints the rest of such a picture grey and says nothing
        raise InputError("expected a whole image, found a JPEG that breaks off")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # a picture of more pixels than OpenCV takes
        raise InputError(f"expected an image, found one that OpenCV refuses: {error.err}") from error
    if bgr is None:
        raise InputError("expected an image, found data of another kind or a damaged file")
    return np.asarray(bgr, np.uint8)


def to_i420(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGB, uint8 [h, w, 3], as I420 (BT.601, 16 to 235); an odd side grows by a copy of its last row."""
    height, width = rgb.shape[:2]
    even = cv2.copyMakeBorder(rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(even, cv2.COLOR_RGB2YUV_I420), np.uint8)
