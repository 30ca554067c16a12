"""The reference picture of a model, as a camera would have brought it."""

from pathlib import Path

import numpy as np

from tocsin.assembly import Input
from tocsin.capture.resize import Resizer, planes_of
from tocsin.detect.canary import Canary, Reference
from tocsin.detect.model import locate
from tocsin.errors import InputError, ModelError
from tocsin.frame import Frame, fit, still
from tocsin.image import decode, to_i420
from tocsin.resources import find

SHIPPED = "models/reference.jpg"
"""For models that have no picture of their own."""


def canary(model: str, takes: Input) -> Canary:
    """Return the canary for what `detector.model` names, with the objects that its manifest knows.

    Raises ModelError for a picture that cannot be read.
    """
    _, path, entry = locate(model)
    keys = entry.canary if entry else None
    picture = path.parent / keys.picture if keys else find(SHIPPED)
    return Canary(Reference(_shrunk(picture, takes), keys.objects if keys else None))


def _shrunk(picture: Path, takes: Input) -> Frame:
    """Read a picture and shrink it as the workers shrink what a camera brings."""
    try:
        whole = to_i420(decode(picture.read_bytes())[:, :, ::-1])
    except OSError as error:
        raise ModelError(f"{picture}: expected a reference picture, found: {error.strerror}") from error
    except InputError as error:
        raise ModelError(f"{picture}: {error}") from error
    width, height = whole.shape[1], whole.shape[0] * 2 // 3
    columns, rows = fit(width, height, takes.input_width, takes.input_height, takes.keep_aspect)
    pixels = np.empty((rows * 3 // 2, columns), np.uint8)
    resizer = Resizer(1)
    for source, target in zip(planes_of(whole, width, height), planes_of(pixels, columns, rows), strict=True):
        resizer.resize(source, target)
    return still(pixels, width, height)
