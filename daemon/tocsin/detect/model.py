"""From the word in the configuration to a model that is known, whole and open."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.detect import manifest
from tocsin.detect.describe import Model, describe
from tocsin.detect.families.detr import SIZES
from tocsin.detect.manifest import Entry
from tocsin.detect.modelfile import check_file
from tocsin.detect.session import Device, FlexibleSession, Outputs, Placement, Session, open_session
from tocsin.errors import ModelError
from tocsin.resources import find

__all__ = ["Model", "UnknownClass", "check_classes", "locate", "open_model"]


@dataclass(frozen=True, slots=True)
class UnknownClass:
    """A class that a rule names and the model does not know; `suggestion` is the nearest of those it has."""

    name: str
    suggestion: str | None
    labels: Sequence[str]

    def __str__(self) -> str:
        hint = f"did you mean {self.suggestion}?" if self.suggestion else f"it has {some(self.labels)}"
        return f"expected a class of the model, found {self.name} ({hint})"


def some(labels: Sequence[str], most: int = 6) -> str:
    """Return the first labels in a row, and how many more there are."""
    rest = len(labels) - most
    return ", ".join(labels[:most]) + (f" and {rest} more" if rest > 0 else "")


def check_classes(labels: Sequence[str], wanted: Sequence[str]) -> list[UnknownClass]:
    """Return the wanted classes that are not among the labels, in their order."""
    return [UnknownClass(name, _nearest(name, labels), labels) for name in wanted if name not in labels]


class Fitted:
    """A session whose graph takes or gives other things than a batch of pictures, seen as one that does not."""

    def __init__(self, session: FlexibleSession, model: Model) -> None:
        self.signature = session.signature
        self._session = session
        self._model = model

    def infer(self, batch: NDArray[Any]) -> Outputs:
        """Return each output by name; its first axis is the batch's. Raises InferenceError."""
        model = self._model
        beside = {}
        if model.sized:
            size = np.array([[model.takes.width, model.takes.height]], np.int64)
            beside[SIZES] = np.repeat(size, len(batch), axis=0)
        outputs = self._session.infer(batch[0] if model.bare_input else batch, beside)
        if not model.bare_outputs:
            return outputs
        return {name: np.asarray(values)[np.newaxis] for name, values in outputs.items()}


def open_model(word: str, device: Device) -> tuple[Model, Session, Placement]:
    """Open what `detector.model` names: a name in the shipped manifest, or a path to an .onnx file.

    Raises ModelError for a file that is none or whose meaning is not clear, StartError for a device that cannot
    be had.
    """
    name, path, entry = locate(word)
    check_file(path, entry.sha256 if entry else None)
    try:
        session, placement = open_session(path, device)
    except UnicodeDecodeError as error:  # from the bindings, where they tell what the file says of itself
        raise ModelError(f"{path}: expected names and metadata in UTF-8, found other bytes") from error
    model = describe(name, path, entry, session.signature)
    plain = not (model.bare_input or model.bare_outputs or model.sized)
    return model, session if plain else Fitted(session, model), placement


def locate(word: str) -> tuple[str, Path, Entry | None]:
    """Return the name and the file of what `detector.model` names, and what a manifest says about it.

    Raises ModelError where there is no such name, or a manifest that cannot be read.
    """
    if "/" in word or word.endswith(".onnx"):
        return _own(Path(word))
    shipped = find("models/manifest.yaml")
    entries = manifest.read(shipped)
    if word not in entries:
        near = _nearest(word, tuple(entries))
        hint = f" (did you mean {near}?)" if near else ""
        known = ", ".join(sorted(entries))
        raise ModelError(f"detector.model: expected {known} or a path to an .onnx file, found {word}{hint}")
    return word, shipped.parent / entries[word].file, entries[word]


def _own(path: Path) -> tuple[str, Path, Entry | None]:
    """A user's file, with what a manifest beside it says about it."""
    beside = path.parent / "manifest.yaml"
    if beside.is_file():
        for name, entry in manifest.read(beside).items():
            if entry.file == path.name:
                return name, path, entry
    return path.stem, path, None


def _nearest(name: str, known: Sequence[str]) -> str | None:
    return next(iter(get_close_matches(name, known, n=1)), None)
