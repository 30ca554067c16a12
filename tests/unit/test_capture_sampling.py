"""When the scene of a stream is measured, and what counts as a keyframe."""

import numpy as np
from av.video.frame import PictureType, VideoFrame

from support.lighting import scene
from tocsin.capture.sampling import Sampler


def picture(kind: PictureType) -> VideoFrame:
    frame = VideoFrame(64, 48, "yuv420p")
    frame.pict_type = kind
    return frame


def test_a_scene_is_measured_at_most_twice_a_second() -> None:
    """The latest one stands until the next."""
    sampler = Sampler()
    times = []
    for tenth in range(21):
        sampler.sample(scene(), tenth / 10)
        assert sampler.scene is not None
        times.append(sampler.scene.at)
    assert sorted(set(times)) == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_time_that_runs_backwards_is_measured_at_once() -> None:
    """The seam of a recording: a scene from the future would stand for long."""
    sampler = Sampler()
    sampler.sample(scene(), 3600.0)
    sampler.sample(scene(), 0.0)
    assert sampler.scene is not None
    assert sampler.scene.at == 0.0


def test_pictures_coded_by_themselves_are_counted() -> None:
    """Whether they are shown or not; one that only says that it is a keyframe is none."""
    sampler = Sampler()
    for kind in (PictureType.I, PictureType.P, PictureType.B, PictureType.P, PictureType.I):
        sampler.arrived(picture(kind))
    refreshed = picture(PictureType.P)
    refreshed.key_frame = True
    sampler.arrived(refreshed)
    sampler.sample(scene(), 1.0)
    assert sampler.scene is not None
    assert sampler.scene.keyframes == 2


def test_a_picture_that_has_no_cells_has_no_scene() -> None:
    """It is too small; the one before it is forgotten."""
    sampler = Sampler()
    sampler.sample(scene(), 1.0)
    sampler.sample(np.zeros((2, 2), np.uint8), 2.0)
    assert sampler.scene is None
