"""What light costs a frame, beside nothing and beside the textbook way.

    python tests/bench/light.py

Ours shrinks the decoder's picture to the detector's input and corrects the small luma plane, straight into a slot
of the mailbox. Nothing is the same without correction. The textbook way converts the whole frame to LAB, applies
CLAHE to its lightness, converts it back and shrinks it then. All on one core.
"""

import os
import statistics

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from measure import ratio, side_by_side

from tocsin.capture import mailbox
from tocsin.capture.mailbox import Mailbox
from tocsin.capture.order import ViewOrder
from tocsin.capture.views import Views
from tocsin.light.plan import Mode, Policy
from tocsin.resources import find

_INPUTS = {"416": ViewOrder(416, 416, keep_aspect=True), "640": ViewOrder(640, 640, keep_aspect=True)}
_POLICIES = {
    "nothing (shrink only)": Policy(mode=Mode.OFF),
    "guided, not needed": Policy(mode=Mode.GUIDED, stretch_below=0.0),
    "guided, stretching": Policy(mode=Mode.GUIDED, stretch_below=256.0),
    "dacot, always": Policy(mode=Mode.DACOT, brighter_than=0.0),
}


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    with av.open(str(find("assets/pedestrians.mp4"))) as container:
        frame = next(container.decode(video=0)).reformat(1920, 1080, format="yuv420p")
    clahe = cv2.createCLAHE(2.0, (8, 8))
    print("light work on one 1080p frame, one core, milliseconds (median)")
    for name, view in _INPUTS.items():
        works = {policy: _ours(frame, view, chosen) for policy, chosen in _POLICIES.items()}
        works["textbook"] = lambda view=view: _textbook(frame, view, clahe)  # type: ignore[misc]
        taken = side_by_side(works, turns=25, repeats=4)
        for work, seconds in taken.items():
            median, times = statistics.median(seconds) * 1e3, ratio(taken["textbook"], seconds)
            print(f"  input {name}  {work:<22} {median:7.2f}   textbook takes {times:5.1f} times as long")


def _ours(frame: VideoFrame, view: ViewOrder, policy: Policy):  # type: ignore[no-untyped-def]
    descriptor = mailbox.create(view.capacity)
    box = Mailbox(descriptor, view.capacity)
    os.close(descriptor)
    views = Views((view,), policy)
    return lambda: views.fill(frame, 0.0, box, 0)


def _textbook(frame: VideoFrame, view: ViewOrder, clahe: cv2.CLAHE) -> np.ndarray:
    whole = frame.to_ndarray(format="bgr24")
    lab = cv2.cvtColor(whole, cv2.COLOR_BGR2LAB)
    lab[:, :, 0] = clahe.apply(lab[:, :, 0])
    corrected = cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)
    return cv2.resize(corrected, (view.max_width, view.max_width * 9 // 16), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
