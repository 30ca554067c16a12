"""What a manifest and a model's file say together: the input, the family and the labels, or what is missing."""

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tocsin.detect.families import FAMILIES, Decoder, Hints, Reading
from tocsin.detect.families.detr import SIZES
from tocsin.detect.manifest import (
    LARGEST,
    SMALLEST,
    Entry,
    InputFormat,
    InputKeys,
    Layout,
    Numbers,
    Scores,
)
from tocsin.detect.session import Signature, Tensor
from tocsin.errors import ModelError

_NOTHING = Entry(file="none")


@dataclass(frozen=True, slots=True)
class Model:
    """What is known about an open model; `batch` is the number of rows that its graph fixes, or None.

    Where the graph takes or gives one picture without an axis for the batch, `bare_input` or `bare_outputs` is
    true. With `sized` it also takes the size of its input, which the boxes are then scaled to.
    """

    name: str
    path: Path
    takes: InputFormat
    family: Decoder
    labels: tuple[str, ...]
    batch: int | None
    bare_input: bool = False
    bare_outputs: bool = False
    sized: bool = False


def describe(name: str, path: Path, entry: Entry | None, signature: Signature) -> Model:
    """Put together what the manifest and the file say. Raises ModelError where they differ or leave a gap.

    What the manifest leaves open is taken from the file, and then as the exporters of the family have it.
    """
    entry = entry or _NOTHING
    picture = _picture(path, signature)
    layout, width, height = _size(path, entry.input, picture, signature)
    labels = _labels(path, entry, signature)
    classes = None if labels is None else len(labels)
    hints = Hints(width or _ANY, height or _ANY, classes, signature.metadata, entry.scores)
    gaps = [] if labels else [("the names of its classes", "labels")]
    unsized = (f"the size of the input {shape_text(picture.shape)}", "input.width and input.height")
    if width is None or height is None:
        gaps.insert(0, unsized)
    try:
        family, reading = _family(path, entry, signature, hints, gaps)
    except _UnreadError as error:
        # that it is of no family is certain only once the size is known
        raise (_gaps(path, [unsized]) if unsized in gaps else error) from error
    said = entry.input.over(reading.takes.over(FAMILIES[family].takes))
    if said.mean is None:
        gaps.append(_UNPREPARED)
    if labels is None or width is None or height is None or gaps:
        raise _gaps(path, gaps)
    takes = _format(path, said, picture, (layout, width, height))
    if reading.classes is not None and reading.classes != len(labels):
        raise ModelError(
            f"{path}: expected {reading.classes} labels, one for each score, found {len(labels)}"
        )
    bare = len(picture.shape) == 3
    return Model(
        name,
        path,
        takes,
        Decoder(family, reading, width, height, len(labels)),
        labels,
        1 if bare or not reading.batched else picture.shape[0],
        bare_input=bare,
        bare_outputs=not reading.batched,
        sized=len(signature.inputs) == 2,
    )


def _picture(path: Path, signature: Signature) -> Tensor:
    """The input that takes pictures; the only other one that is known is the size for deployed DETRs."""
    first, others = signature.inputs[0], signature.inputs[1:]
    kinds = [f"tensor({kind})" for kind in Numbers]
    known = len(first.shape) in (3, 4) and first.type in kinds
    if not known or any(one.name != SIZES or one.type != "tensor(int64)" for one in others[:1]) or others[1:]:
        found = ", ".join(f"{one.name} {shape_text(one.shape)} {one.type}" for one in signature.inputs)
        raise ModelError(
            f"{path}: expected one input of three or four dimensions, {', '.join(kinds)}, found {found}"
        )
    return first


def _size(
    path: Path, keys: InputKeys, picture: Tensor, signature: Signature
) -> tuple[Layout, int | None, int | None]:
    """The order of the axes, the width and the height, None where nobody tells it."""
    shape = picture.shape[-3:]
    layout = keys.layout or _layout(path, picture)
    channels, *sides = shape if layout is Layout.NCHW else (shape[2], *shape[:2])
    written = _literal(signature.metadata.get("imgsz", ""))
    if isinstance(written, list) and len(written) == 2 and all(type(side) is int for side in written):
        sides = [side or told for side, told in zip(sides, written, strict=True)]
    height, width = (said or side for said, side in zip((keys.height, keys.width), sides, strict=True))
    if any(not SMALLEST <= side <= LARGEST for side in (height, width) if side is not None):
        raise ModelError(
            f"{path}: expected an input of {SMALLEST} to {LARGEST} pixels a side, found {width}x{height}"
        )
    wanted = (3, height, width)
    fixed = (channels, *(shape[1:] if layout is Layout.NCHW else shape[:2]))
    if any(has not in (None, want) for has, want in zip(fixed, wanted, strict=True)):
        order = wanted if layout is Layout.NCHW else (height, width, 3)
        raise ModelError(
            f"{path}: expected an input of {shape_text((*picture.shape[:-3], *order))}, "
            f"found {shape_text(picture.shape)}"
        )
    return layout, width, height


def _layout(path: Path, picture: Tensor) -> Layout:
    first, _, last = picture.shape[-3:]
    found = [layout for layout, side in ((Layout.NCHW, first), (Layout.NHWC, last)) if side == 3]
    if len(found) != 1:
        raise _gap(path, f"the order of the axes {shape_text(picture.shape)}", "input.layout")
    return found[0]


_Gap = tuple[str, str]
"""What a file does not tell, and the keys that would."""

_ANY = 640
"""The side with which the families are asked while a size is open, to tell what else is."""


class _UnreadError(ModelError):
    """No family, or not the one that was asked for, can read the outputs."""


_SCORES = "scores: probabilities, softmax or sigmoid"
_UNPREPARED = ("how its pixels are prepared", "input.mean, input.std and what else of input is no default")


def _family(
    path: Path, entry: Entry, signature: Signature, hints: Hints, gaps: list[_Gap]
) -> tuple[str, Reading]:
    """The one family that can read the outputs; a manifest decides between several.

    Where none or several can, the error tells the other `gaps` too: they are filled in one go. What a family
    that somebody asked for leaves open is added to them.
    """
    found = ", ".join(f"{tensor.name} {shape_text(tensor.shape)}" for tensor in signature.outputs)
    if entry.family is not None:
        if entry.family not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise ModelError(f"{path}: family: expected one of {known}, found {entry.family}")
        family = FAMILIES[entry.family]
        asked = Hints(hints.width, hints.height, hints.classes, hints.metadata, hints.scores, asked=True)
        reading = family.read(signature, asked)
        if reading is None and entry.scores is None:
            reading = family.read(signature, replace(asked, scores=Scores.PROBABILITIES))
            gaps.append(("what its scores are", _SCORES))
        if reading is None:
            raise _UnreadError(f"{path}: family: expected {family.gives}, found {found}")
        return entry.family, reading
    readings = [(name, family.read(signature, hints)) for name, family in FAMILIES.items()]
    matching = [(name, reading) for name, reading in readings if reading is not None]
    if len(matching) > 1:
        names = " or ".join(name for name, _ in matching)
        gaps = [(f"whether its outputs {found} are those of {names}", "family"), *gaps]
        if entry.input.mean is None and any(FAMILIES[name].takes.mean is None for name, _ in matching):
            gaps.append(_UNPREPARED)
        raise _gaps(path, gaps)
    if not matching:
        if len(signature.outputs) == 1 and len(signature.outputs[0].shape) == 2:
            what = (f"whether its output {found} is a classifier's", f"family: classifier; {_SCORES}")
            raise _gaps(path, [what, *gaps, *([] if entry.input.mean else [_UNPREPARED])])
        raise _UnreadError(
            f"{path}: expected the outputs of one of the families {', '.join(FAMILIES)}, found {found}"
        )
    return matching[0]


def _format(path: Path, keys: InputKeys, picture: Tensor, size: tuple[Layout, int, int]) -> InputFormat:
    """Put together what is said of the pixels; whole numbers are the pixels themselves."""
    numbers = Numbers(picture.type.removeprefix("tensor(").removesuffix(")"))
    layout, width, height = size
    said: dict[str, Any] = {"scale": 1.0} if numbers is Numbers.UINT8 else {}
    said |= keys.told() | {"layout": layout, "width": width, "height": height, "numbers": numbers}
    takes = InputFormat(**said)
    if numbers is Numbers.UINT8 and (takes.scale, *takes.mean, *takes.std) != (1, 0, 0, 0, 1, 1, 1):
        raise ModelError(
            f"{path}: expected scale 1, mean 0 and std 1 for an input of whole numbers, found "
            f"scale {takes.scale:.4g}, mean {list(takes.mean)} and std {list(takes.std)}"
        )
    return takes


def _labels(path: Path, entry: Entry, signature: Signature) -> tuple[str, ...] | None:
    """The classes in order, as a manifest or an exporter has them: an object from index to name, or a list."""
    if entry.labels != "metadata":
        return entry.labels
    if "names" not in signature.metadata:
        return None
    names = _literal(signature.metadata["names"])
    if isinstance(names, dict):
        numbered = {str(index): name for index, name in names.items()}
        names = [numbered.get(str(index)) for index in range(len(numbered))]
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise _gap(path, "in its metadata a name for each class", "labels")
    return tuple(names)


def _literal(text: str) -> object:
    """Exporters write JSON or the text of a Python value."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or a number of thousands of digits in it
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # TypeError: a list as a key
        return None


def _gap(path: Path, what: str, keys: str) -> ModelError:
    return _gaps(path, [(what, keys)])


def _gaps(path: Path, gaps: Sequence[_Gap]) -> ModelError:
    """One sentence that says all that is missing, and every key to set."""
    what, keys = (", nor ".join(one[0] for one in gaps), "; ".join(one[1] for one in gaps))
    return ModelError(
        f"{path}: the file does not tell {what}: set {keys}, in a manifest.yaml beside it under models.NAME "
        f"with file: {path.name}"
    )


def shape_text(shape: Sequence[int | None]) -> str:
    """Write a shape, with N for a length that is open."""
    return "[" + ", ".join("N" if size is None else str(size) for size in shape) + "]"
