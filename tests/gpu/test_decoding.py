"""On a real NVIDIA GPU: its decoder shows what the CPU's does. Skipped, and said so, where there is none."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from tocsin.capture.decoder import Decode, Decoder, asked
from tocsin.capture.hardware import acceleration
from tocsin.capture.order import SourceOrder
from tocsin.capture.shrink import Shrinker
from tocsin.capture.source import Source
from tocsin.resources import find

pytestmark = pytest.mark.skipif(
    not any(Path("/dev").glob("nvidia[0-9]*")), reason="needs an NVIDIA GPU, and none is visible here"
)


def _shown(decode: Decode, count: int) -> Iterator[tuple[Decoder, np.ndarray]]:
    order = SourceOrder(str(find("assets/pedestrians.mp4")), realtime=False, decode=decode)
    source = Source(order, Event(), lambda _: None, read_timeout=1.5)
    shrinker = Shrinker()
    try:
        frames = (picture.frame for picture in source.pictures() if picture.frame is not None)
        for frame in islice(frames, count):
            pixels = np.empty((312 * 3 // 2, 416), np.uint8)
            shrinker.shrink(frame, pixels)
            yield source.decoder, pixels
    finally:
        source.close()


def test_the_gpu_s_decoder_shows_what_the_cpu_s_shows() -> None:
    """Fifty pictures of the bundled clip are the same within two steps, and the device is the one that is told."""
    if acceleration(Decoder.CUDA) is None:
        pytest.skip("needs NVIDIA's decoder, and this GPU or its driver offers none")
    assert asked("auto") is Decoder.CUDA
    some, every = list(_shown("cuda", 50)), list(_shown("cpu", 50))
    assert {decoder for decoder, _ in some} == {Decoder.CUDA}
    assert {decoder for decoder, _ in every} == {Decoder.CPU}
    for (_, one), (_, other) in zip(some, every, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 2
