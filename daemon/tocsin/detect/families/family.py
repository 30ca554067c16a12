"""What a family of detectors is, and how the outputs of one model of it become objects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.detect.families.objects import CANDIDATES, Objects, ranked, suppress
from tocsin.detect.families.pick import FAINT
from tocsin.detect.manifest import InputKeys, Scores
from tocsin.detect.session import Outputs, Signature, Tensor
from tocsin.errors import InferenceError, InferenceFault

Arrays = Sequence[NDArray[Any]]
Pick = Callable[[Arrays, float], Objects]

MOST = 2000
"""More objects than this in one view are garbage; those that are FAINT do not count."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What else is known of a model.

    The size of its input in pixels; how many classes have a name, None where none is known; what its exporter
    wrote into it; what a manifest says of its scores; and whether a manifest names this very family, so that
    only what cannot be read at all speaks against it.
    """

    width: int
    height: int
    classes: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    scores: Scores | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """How one model's outputs are read.

    `outputs` are the names of those that `pick` takes, in its order. `classes` is how many classes the graph
    tells apart, None where it leaves that open. `pick(arrays, floor)` gets the arrays of one picture, floating
    ones as float32, and returns the objects of score `floor` or more, x1 y1 x2 y2 in pixels of the input. With
    `overlapping` several of them may be one object. Without `batched` the outputs have no axis for the batch.
    `takes` is what this model's exporter is known to do with pixels, beyond what its family tells.
    """

    outputs: tuple[str, ...]
    classes: int | None
    pick: Pick
    overlapping: bool = True
    batched: bool = True
    takes: InputKeys = field(default_factory=InputKeys)


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of output.

    `gives` says in words what the model must give. `read` returns how a model's outputs are read, or None where
    they are not of this family. `takes` is how the exporters of the family prepare pixels; what stays None must
    be said in a manifest.
    """

    gives: str
    read: Callable[[Signature, Hints], Reading | None]
    takes: InputKeys


@dataclass(frozen=True, slots=True)
class Decoder:
    """One model's way from outputs to objects; `name` is the family's, `labels` the number of names."""

    name: str
    reading: Reading
    width: int
    height: int
    labels: int

    def decode(self, outputs: Outputs, row: int, floor: float) -> Objects:
        """Return the objects of one row of the batch whose score is `floor` or more, best first.

        Raises InferenceError where the numbers are no result at all: neither an alarm nor an all-clear. The time
        is bounded whatever the numbers are.
        """
        reading = self.reading
        objects = ranked(reading.pick([_plain(outputs[name][row]) for name in reading.outputs], floor))
        self._check(objects)
        if reading.overlapping:
            objects = ranked(objects, CANDIDATES)
            objects = objects.take(suppress(objects))
        clear = int(np.count_nonzero(objects.scores >= FAINT))
        if clear > MOST:
            raise _implausible(f"at most {MOST} objects in a view", str(clear))
        return objects

    def _check(self, objects: Objects) -> None:
        """Where most boxes lie nowhere in the picture, the numbers are not what they are taken for."""
        if len(objects.scores) == 0:
            return
        if self.labels and int(objects.classes.max()) >= self.labels:
            raise InferenceError(
                InferenceFault.SHAPE,
                f"expected classes below {self.labels}, one for each label, found {int(objects.classes.max())}",
            )
        boxes = objects.boxes
        relative = len(boxes) >= _FEW and boxes.max() <= _RELATIVE
        if relative and min(self.width, self.height) > _RELATIVE * 8:
            raise _implausible(
                "boxes in pixels", f"all of them between {boxes.min():.3g} and {boxes.max():.3g}"
            )
        size = np.array([self.width, self.height], np.float32)
        inside = (boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] > 0) & (boxes[:, :2] < size)
        lost = int(np.count_nonzero(~inside.all(axis=1)))
        if lost > len(boxes) / 2 and lost >= _FEW:
            raise _implausible(
                f"boxes inside the input of {self.width}x{self.height}", f"{lost} of {len(boxes)} outside"
            )


_RELATIVE = 2.0  # pixels: boxes from 0 to 1 that are taken for pixels lie within this of the corner
_FEW = 3  # a good detector puts one or two boxes on the margin of a letterbox, or slivers into the corner of a view


def named(signature: Signature) -> dict[str, Tensor]:
    """Return the outputs by name; what TensorFlow puts behind a colon is left out."""
    return {tensor.name.partition(":")[0]: tensor for tensor in signature.outputs}


def fits(shape: tuple[int | None, ...], *wanted: int | None) -> bool:
    """Say whether a shape can be the wanted one; None on either side is any length."""
    return len(shape) == len(wanted) and all(
        has is None or want is None or has == want for has, want in zip(shape, wanted, strict=True)
    )


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    # half precision: a sum of it overflows, and OpenCV does not know it
    return values.astype(np.float32) if values.dtype in (np.float16, np.float64) else values


def _implausible(expected: str, found: str) -> InferenceError:
    return InferenceError(InferenceFault.IMPLAUSIBLE, f"expected {expected}, found {found}")
