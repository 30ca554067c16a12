"""What the configuration says about the detector."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from tocsin.fields import Section, expected, resolve_path, text_of

_MODEL = "the name of a model, or a path to an .onnx file"


def _resolve_model(model: str, info: ValidationInfo) -> str:
    if not model:
        raise expected(_MODEL)
    return resolve_path(model, info) if "/" in model or model.endswith(".onnx") else model


class DetectorSettings(Section):
    """`detector`."""

    model: Annotated[str, AfterValidator(_resolve_model), text_of(_MODEL)] = Field(
        default="nanodet-coco-416", description="a name in models/manifest.yaml, or a path to an .onnx file"
    )
    device: Literal["auto", "cuda", "tensorrt", "openvino", "cpu"] = Field(
        default="auto",
        description="auto takes an NVIDIA GPU where there is one; what is named must be had, or nothing starts",
    )
    max_batch: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        default="auto", description="views in one call of the detector: 1 on a CPU, 8 on a GPU when auto"
    )
