"""What is known about a model before it is opened: which file it is and what its tensors mean."""

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from tocsin import yamlfile
from tocsin.errors import ConfigError, ModelError
from tocsin.yamlfile import Fault

Triple = tuple[float, float, float]


class Layout(StrEnum):
    """The order of the input's axes: batch, channels, height, width, or channels last."""

    NCHW = "nchw"
    NHWC = "nhwc"


class Colour(StrEnum):
    """The order of the channels."""

    RGB = "rgb"
    BGR = "bgr"


class Fit(StrEnum):
    """How a picture of another shape comes into the input: in its own shape on a margin, or stretched."""

    LETTERBOX = "letterbox"
    STRETCH = "stretch"


class Scores(StrEnum):
    """What a classifier's numbers are: probabilities already, or logits that compete or stand for themselves."""

    PROBABILITIES = "probabilities"
    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"


class Numbers(StrEnum):
    """The kind of number that a model's input is made of: ONNX's word."""

    UINT8 = "uint8"
    FLOAT16 = "float16"
    FLOAT32 = "float"


_STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

SMALLEST, LARGEST = 2, 8192
"""Pixels of a side of the input."""

Side = Annotated[int, Field(ge=SMALLEST, le=LARGEST)]
Spread = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFormat:
    """What a model takes: `(pixel * scale - mean) / std` for pixels from 0 to 255, per channel.

    `width` and `height` in pixels; `pad` is the pixel value of the margin. Whole `numbers` are the pixels
    themselves.
    """

    width: int
    height: int
    layout: Layout = Layout.NCHW
    colour: Colour = Colour.RGB
    scale: float = 1 / 255
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    fit: Fit = Fit.LETTERBOX
    pad: int = 114
    numbers: Numbers = Numbers.FLOAT32


@dataclass(frozen=True, slots=True, kw_only=True)
class InputKeys:
    """What somebody says of a model's input, key by key as in InputFormat; None says nothing."""

    __pydantic_config__ = _STRICT

    width: Side | None = None
    height: Side | None = None
    layout: Layout | None = None
    colour: Colour | None = None
    scale: Spread | None = None
    mean: Triple | None = None
    std: tuple[Spread, Spread, Spread] | None = None
    fit: Fit | None = None
    pad: Annotated[int, Field(ge=0, le=255)] | None = None

    def over(self, others: "InputKeys") -> "InputKeys":
        """Return what is said here, and where nothing is, what the others say."""
        return replace(others, **self.told())

    def told(self) -> dict[str, Any]:
        """Return what is said, by key."""
        return {
            one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) is not None
        }


Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownObject:
    """An object in a reference picture: its box relative to the picture, x1 y1 x2 y2, and the score it has."""

    __pydantic_config__ = _STRICT

    class_name: Annotated[str, Field(alias="class")]
    box: tuple[Share, Share, Share, Share]
    score: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryKeys:
    """A reference picture, a file in the folder of the manifest, and every object that the model sees in it."""

    __pydantic_config__ = _STRICT

    picture: Annotated[str, Field(pattern=r"^[^/]+$")]
    objects: tuple[KnownObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of a manifest; `labels` are the classes in order, or stand in the file's metadata.

    What is None or not said of the `input` is for the file to tell. `scores` is for classifiers.
    """

    __pydantic_config__ = _STRICT

    file: Annotated[str, Field(pattern=r"^[^/]+$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    family: str | None = None
    input: InputKeys = InputKeys()
    labels: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["metadata"] = "metadata"
    scores: Scores | None = None
    canary: CanaryKeys | None = None
    licence: str = ""
    origin: str = ""


_TOP = "the one key models at the top"
_WORDS = {
    "dataclass_type": "expected keys and values",
    "dict_type": "expected keys and values",
    "missing": "expected a value, found none",
    "string_type": "expected text",
    "too_short": "expected one or more items",
    "tuple_type": "expected a list",
    "unexpected_keyword_argument": "unknown key",
}
"""What is said in place of pydantic's own words, by its type of error."""
_ENTRIES = TypeAdapter(dict[str, Entry])


def read(path: Path) -> dict[str, Entry]:
    """Return the models of a manifest by name: YAML as strict as that of the configuration.

    Raises ModelError, which names the file, the line and the first faulty key, and what was expected there.
    """
    try:
        document = yamlfile.parse(yamlfile.read(path), str(path), _TOP)
    except ConfigError as error:
        raise ModelError(str(error)) from error
    if document.repeated:
        raise ModelError(document.messages(document.repeated)[0])
    if set(document.content) != {"models"}:
        raise ModelError(f"{path}: expected {_TOP}, found {', '.join(document.content)}")
    try:
        return _ENTRIES.validate_python(document.content["models"])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        # without the branches of unions, which stand in the error but not in the file: no key has a bracket
        steps = ("models", *(step for step in first["loc"] if "[" not in str(step)))
        sentence = _WORDS.get(first["type"]) or _lower(first["msg"])
        raise ModelError(*document.messages([Fault(steps, sentence)])) from error


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
