"""Make the int8 model of models/ out of the float one.

    python tests/bench/quantize.py PICTURES OUT.onnx

PICTURES is a folder of JPEGs: what the model makes of them decides which range of numbers each tensor gets. Each
is shown as the daemon shows a frame: shrunk, in four lights, with the correction off and guided. What decodes the
boxes and the scores stays in float. The same pictures and versions of the libraries give the same file.
"""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from tocsin.detect.model import Model, open_model
from tocsin.detect.prepare import Canvas
from tocsin.evaluate import variants
from tocsin.evaluate.look import Looker, Plain
from tocsin.footage.pictures import every, pictures
from tocsin.footage.simulate import conditions
from tocsin.frame import Detections, Frame
from tocsin.light.plan import Policy
from tocsin.resources import find

MODEL = "nanodet-coco-416"
LIGHTS = "veil0.75,ev+2,ev-5/noise0.004"
HEAVY = ("Conv", "LeakyRelu", "Concat", "Add", "Resize", "MaxPool")
"""What becomes int8, but for what decodes."""
DECODING = frozenset(
    {"Add", "Cast", "Concat", "MatMul", "Mul", "Reshape", "Sigmoid", "Softmax", "Split", "Transpose"}
)


class Onlooker:
    """Stands in for a detector: keeps what a detector would be shown, and sees nothing."""

    keep_aspect = True

    def __init__(self, model: Model) -> None:
        self.input_width, self.input_height = model.takes.width, model.takes.height
        self.shown: list[NDArray[np.float32]] = []
        self._labels = model.labels
        self._canvas = Canvas(model.takes, 1)

    def detect(self, frames: list[Frame]) -> list[Detections]:
        for frame in frames:
            self._canvas.put(0, frame.views[0])
            self.shown.append(self._canvas.values(1).copy())
        none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
        return [Detections(*none, np.zeros((0, 2), np.float32), none[2], self._labels) for _ in frames]


class Shown(CalibrationDataReader):
    """Hands what was shown to the calibration."""

    def __init__(self, shown: list[NDArray[np.float32]], name: str) -> None:
        self._left: Iterator[NDArray[np.float32]] = iter(shown)
        self._name = name

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._left, None)
        return None if batch is None else {self._name: batch}


def show(folder: Path, model: Model) -> list[NDArray[np.float32]]:
    """Return what the model is shown of a folder of pictures, in every light."""
    onlooker = Onlooker(model)
    plain = Plain(conditions(LIGHTS), variants.parse("off,guided"), Policy(), 0)
    looker = Looker(onlooker, plain, still=True)
    for picture in pictures(folder, every, print):
        looker.look(picture)
    return onlooker.shown


def unfold(path: Path) -> onnx.ModelProto:
    """Return the model with its half floats as floats: a cast of a constant would not be quantized."""
    model = onnx.load(path)
    halves = {constant.name: constant for constant in model.graph.initializer}
    for cast in [node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in halves]:
        half = halves[cast.input[0]]
        floats = numpy_helper.to_array(half).astype(np.float32)
        model.graph.initializer.remove(half)
        model.graph.initializer.append(numpy_helper.from_array(floats, cast.output[0]))
        model.graph.node.remove(cast)
    return model


def decoding(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes between the last convolutions and the outputs."""
    makers = {output: node for node in model.graph.node for output in node.output}
    waiting, found = [output.name for output in model.graph.output], set()
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.op_type in DECODING:
            found.add(node.name)
            waiting += node.input
    return sorted(found)


def main() -> None:
    """Quantize and write."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("pictures", type=Path)
    options.add_argument("out", type=Path)
    asked = options.parse_args()
    logging.disable(logging.WARNING)  # it recommends to fuse what ONNX Runtime fuses when it loads the file
    known, session, _ = open_model(MODEL, "cpu")
    shown = show(asked.pictures, known)
    model = unfold(find(f"models/{MODEL}.onnx"))
    with TemporaryDirectory() as folder:
        floats = Path(folder) / "floats.onnx"
        onnx.save(model, floats)
        quantize_static(
            floats,
            asked.out,
            Shown(shown, session.signature.inputs[0].name),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(HEAVY),
            nodes_to_exclude=decoding(model),
            # Unsigned by signed is what x86 multiplies fast: signed by signed takes twice as long. Weights of 7
            # bits: without VNNI the CPU adds two products in 16 bits, which 8 bits overflow. On an emulated Haswell
            # the file gives, bit for bit, what it gives here; with 8 bits scores are off by up to 0.13.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
    print(f"{asked.out}: {asked.out.stat().st_size} bytes, from {len(shown)} pictures")


if __name__ == "__main__":
    main()
