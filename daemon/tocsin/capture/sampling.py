"""Measures, at most twice a second, what a stream shows: before it is corrected, for a correction follows the
light."""

import numpy as np
from av.video.frame import PictureType, VideoFrame
from numpy.typing import NDArray

from tocsin.capture.wire import SceneRecord
from tocsin.frame import SCENE_EVERY, Scene
from tocsin.light.structure import measure_structure

_EARLY = 1e-6
"""Seconds: what adding up times as floats may cost."""


class Sampler:
    """Keeps the latest scene of one stream; for one thread."""

    def __init__(self) -> None:
        self.scene: SceneRecord | None = None
        self._keyframes = 0

    def arrived(self, frame: VideoFrame) -> None:
        """Count a picture of the stream if it is coded by itself.

        Not the flag of a keyframe: where a stream is refreshed column by column, a picture may have that and
        repeat the one before.
        """
        if frame.pict_type == PictureType.I:
            self._keyframes += 1

    def sample(self, luma: NDArray[np.uint8], at: float) -> None:
        """Measure a picture's luma plane, uint8 [height, width], when it is time; `at` is when it arrived."""
        if self.scene is not None and 0 <= at - self.scene.at < SCENE_EVERY - _EARLY:
            return
        cells = measure_structure(luma)
        self.scene = None if cells is None else SceneRecord.of(Scene(at, self._keyframes, cells))
