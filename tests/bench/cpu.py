"""What int8, OpenVINO, threads and batches bring on a CPU, and what of the detections they cost.

    python tests/bench/cpu.py [--clip CLIP --labels COCO.json] [--every 6] [--turns 15]

Every way runs the bundled model on the same frames, turn by turn. Memory and time to open are those of a process of
its own. Detections are counted as `tocsin evaluate` does, corrected as `light: {mode: guided}` does. OpenVINO would
compute in bfloat16 unasked where the CPU can; here it is told what to do.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from measure import ratio, side_by_side
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.pictures import clip
from tocsin.detect import openvino
from tocsin.detect.detector import Detector
from tocsin.detect.model import open_model
from tocsin.detect.prepare import Canvas
from tocsin.detect.session import LocalSession, Session
from tocsin.evaluate import variants
from tocsin.evaluate.labels import load
from tocsin.evaluate.look import Lane, Plain
from tocsin.evaluate.outcome import outcome
from tocsin.evaluate.rules import setup_without
from tocsin.evaluate.run import Asked, Recording, run
from tocsin.footage.simulate import conditions
from tocsin.light.plan import Policy
from tocsin.resources import find

FLOAT, INT8 = "nanodet-coco-416", "nanodet-coco-416-int8"
LIGHTS = "veil0.75,ev-5/noise0.004"
BATCHES = (1, 2, 4)
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the model; `precision` is OpenVINO's word, and empty for ONNX Runtime."""

    model: str
    threads: int
    precision: str = ""

    def __str__(self) -> str:
        runtime = "OpenVINO" if self.precision else "ONNX Runtime"
        kind = "int8" if self.model == INT8 else {"bf16": "bfloat16"}.get(self.precision, "float32")
        return f"{runtime} {kind}, {self.threads} thread{'s' * (self.threads > 1)}"

    def open(self) -> Session:
        path = find(f"models/{self.model}.onnx")
        return self._openvino(path) if self.precision else self._onnxruntime(path)

    def _onnxruntime(self, path: Path) -> Session:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as the daemon has it
        return LocalSession(ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]))

    def _openvino(self, path: Path) -> Session:
        runtime = openvino._runtime()
        errors = openvino._errors(runtime)
        model = openvino._read(runtime, path, errors)
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": self.threads,
            "ENABLE_CPU_PINNING": False,
        }
        return openvino.OpenvinoSession(model, runtime.Core().compile_model(model, "CPU", properties), errors)


def ways() -> list[Way]:
    """The first is what all others are compared with."""
    counts = sorted({1, CORES}, reverse=True)
    found = [Way(model, count) for model in (FLOAT, INT8) for count in counts]
    if find_spec("openvino") is not None:
        kinds = ((FLOAT, "f32"), (FLOAT, "bf16"), (INT8, "f32"))
        found += [Way(model, count, precision) for model, precision in kinds for count in counts]
    return found


def frames(count: int) -> NDArray[Any]:
    """What the model is shown of the bundled clip."""
    takes = open_model(FLOAT, "cpu")[0].takes
    canvas = Canvas(takes, count)
    for slot, frame in enumerate(clip(range(0, 20 * count, 20), takes.width, takes.height)):
        canvas.put(slot, frame.views[0])
    return canvas.values(count)


def weigh(number: int) -> None:
    """Print what opening one way and its first run take of this process: seconds and MiB."""
    batch = np.zeros((1, 3, 416, 416), np.float32)
    if ways()[number].precision:
        openvino._runtime()
    before, begun = _memory("VmRSS"), time.perf_counter()
    ways()[number].open().infer(batch)
    seconds = time.perf_counter() - begun
    print(json.dumps([seconds, _memory("VmRSS") - before, _memory("VmHWM") - before]))


def _memory(word: str) -> float:
    """MiB of this process: VmRSS is what it has, VmHWM the most that it had."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(word)) / 1024


def speed(opened: dict[Way, Session], turns: int) -> None:
    """Print how long a frame takes each way."""
    shown = frames(max(BATCHES))
    works = {
        (way, count): lambda session=session, count=count: session.infer(shown[:count])
        for way, session in opened.items()
        for count in BATCHES
    }
    taken = side_by_side(works, turns, repeats=3)
    first = taken[next(iter(opened)), 1]
    heads = [f"batch {count}" for count in BATCHES]
    print(
        f"ms a frame, medians of {turns} turns; at batch 1: rate beside the first's, CPU ms; to open: s, MiB"
    )
    print(f"{'':<34} " + " ".join(f"{head:>8}" for head in heads) + "    rate     CPU    open   kept    peak")
    for number, (way, session) in enumerate(opened.items()):
        medians = [np.median(taken[way, count]) / count * 1e3 for count in BATCHES]
        begun = time.process_time()
        for _ in range(20):
            session.infer(shown[:1])
        cpu = (time.process_time() - begun) / 20 * 1e3
        command = [sys.executable, __file__, "--weigh", str(number)]
        seconds, kept, peak = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        print(
            f"{way!s:<34} "
            + " ".join(f"{median:8.1f}" for median in medians)
            + f" {ratio(first, taken[way, 1]):6.2f}x {cpu:7.1f} {seconds:6.2f}s {kept:6.0f} {peak:7.0f}",
            flush=True,
        )


def detections(opened: dict[Way, Session], video: Path, labels: Path, every: int) -> None:
    """Print what is found each way, in each light."""
    plain = Plain(conditions(LIGHTS), variants.parse("guided"), Policy(), 0)
    print("\npersons found / boxes that are none, of those labelled, at score 0.5 and IoU 0.5, light guided")
    print(f"{'':<34} " + " ".join(f"{condition.name:>18}" for condition in plain.conditions))
    for way, session in opened.items():
        known, _, placement = open_model(way.model, "cpu")
        detector = Detector(known, session, placement, 1, 0.5)
        truth = load(labels, video, known.labels)
        asked = Asked(
            plain=plain,
            classes=truth.classes,
            score=0.5,
            iou=0.5,
            every=every,
            rules=(),
            zones=setup_without().zones,
            max_fps=10.0,
            sweep=False,
        )
        recording = Recording(str(video), video, truth, still=False)
        results = run(
            [recording], asked, detector, known.labels, tell=print, step=lambda: None, stop=threading.Event()
        )
        columns = outcome(results, known.labels, (), 0, None).columns
        counts = [columns[Lane(one.name, "guided")].scores.overall for one in plain.conditions]
        cells = [f"{count.tp} of {count.positives} / {count.fp}" for count in counts]
        print(f"{way!s:<34} " + " ".join(f"{cell:>18}" for cell in cells), flush=True)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--clip", type=Path, default=find("assets/pedestrians.mp4"))
    options.add_argument("--labels", type=Path, default=find("assets/pedestrians.coco.json"))
    options.add_argument("--every", type=int, default=6)
    options.add_argument("--turns", type=int, default=15)
    options.add_argument("--weigh", type=int, help=argparse.SUPPRESS)
    asked = options.parse_args()
    cv2.setNumThreads(1)  # as the daemon has it
    ort.set_default_logger_severity(4)
    if asked.weigh is not None:
        weigh(asked.weigh)
        return
    opened = {way: way.open() for way in ways()}
    speed(opened, asked.turns)
    detections(opened, asked.clip, asked.labels, asked.every)


if __name__ == "__main__":
    main()
