"""What light costs a frame, step by step, beside the textbook way.

    python tests/bench/light.py

Ours shrinks the decoder's picture to the detector's input, measures it there and corrects the small luma plane,
straight into a slot of the mailbox. The textbook way converts the whole frame to LAB, applies CLAHE to its
lightness, converts it back and shrinks it then. All on one core, in light that takes each of the corrections.
"""

import itertools
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from measure import ratio, side_by_side

from tocsin.capture import mailbox
from tocsin.capture.mailbox import Mailbox
from tocsin.capture.order import ViewOrder
from tocsin.capture.shrink import Shrinker
from tocsin.capture.views import Views
from tocsin.footage.pictures import from_rgb
from tocsin.footage.simulate import conditions
from tocsin.frame import Correction, fit
from tocsin.light.correct import Corrector
from tocsin.light.measure import measure
from tocsin.light.plan import Mode, Policy, plan
from tocsin.resources import find

_SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}
_INPUTS = (416, 640)
_LIGHTS = "veil0.75,halfveil0.75,ev-5/noise0.004"
_GUIDED = Policy()
_PLENTY = Policy(mode=Mode.DACOT, brighter_than=0)

Work = Callable[[], object]


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    print("light work on one frame, one core: milliseconds, medians\n")
    head = f"{'frame':>6} {'input':>5}  {'light':<20} {'correction':<22}"
    print(f"{head} {'shrink':>7} {'measure':>7} {'plan':>6} {'correct':>7} {'whole':>6}  textbook takes")
    for name, size in _SIZES.items():
        for light in conditions(_LIGHTS):
            frame = _frame(size, light.apply)
            for side in _INPUTS:
                _print(name, light.name, _Bench(frame, side, _GUIDED))
        for side in _INPUTS:
            _print(name, "dacot, always", _Bench(_frame(size, conditions("")[0].apply), side, _PLENTY))


@dataclass
class _Bench:
    """One picture on its way into one input."""

    frame: VideoFrame
    side: int
    policy: Policy

    def steps(self) -> tuple[str, dict[str, Work]]:
        """Return the correction that is made, and each step as something to call."""
        order = ViewOrder(self.side, self.side, keep_aspect=True)
        width, height = fit(self.frame.width, self.frame.height, self.side, self.side, True)
        pixels = np.empty((height * 3 // 2, width), np.uint8)
        shrinker, corrector = Shrinker(), Corrector()
        shrinker.shrink(self.frame, pixels)
        reading = measure(pixels)
        decided = plan(reading, self.policy, Correction.NONE)
        # with or without a correction the picture is copied, which takes a hundredth of the rest
        spare = pixels.copy()
        descriptor = mailbox.create(order.capacity)
        box = Mailbox(descriptor, order.capacity)
        os.close(descriptor)
        views = Views((order,), self.policy)
        seconds = itertools.count()  # so far apart that each picture is measured
        return decided.correction, {
            "shrink": lambda: shrinker.shrink(self.frame, spare),
            "measure": lambda: measure(pixels),
            "plan": lambda: plan(reading, self.policy, decided.correction),
            "correct": lambda: (np.copyto(spare, pixels), corrector.correct(spare[:height], decided)),
            "whole": lambda: views.fill(self.frame, float(next(seconds)), box, 0),
            "textbook": lambda: _textbook(self.frame, (width, height)),
        }


def _print(size: str, light: str, bench: _Bench) -> None:
    correction, works = bench.steps()
    # several times in a row: a decoder hands over a picture that lies in the cache, the textbook's leaves it empty
    taken = side_by_side(works, turns=9, repeats=6)
    step = {name: statistics.median(seconds) * 1e3 for name, seconds in taken.items()}
    print(
        f"{size:>6} {bench.side:>5}  {light:<20} {correction:<22} {step['shrink']:7.2f} {step['measure']:7.2f}"
        f" {step['plan']:6.2f} {step['correct']:7.2f} {step['whole']:6.2f}"
        f"  {step['textbook']:6.1f}, {ratio(taken['textbook'], taken['whole']):3.0f} times as long",
        flush=True,
    )


def _frame(size: tuple[int, int], lit: Callable[[np.ndarray, int], np.ndarray]) -> VideoFrame:
    with av.open(str(find("assets/pedestrians.mp4"))) as container:
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return from_rgb(lit(cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR), 0))


def _textbook(frame: VideoFrame, size: tuple[int, int]) -> np.ndarray:
    whole = frame.to_ndarray(format="bgr24")
    lab = cv2.cvtColor(whole, cv2.COLOR_BGR2LAB)
    lab[:, :, 0] = _CLAHE.apply(lab[:, :, 0])
    corrected = cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)
    return cv2.resize(corrected, size, interpolation=cv2.INTER_AREA)


_CLAHE = cv2.createCLAHE(2.0, (8, 8))


if __name__ == "__main__":
    main()
