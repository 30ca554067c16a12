"""What may be left out of a stream: the pictures that come through are the same to the last bit."""

import math
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest

from support.scene import Scene
from tocsin.capture.disposable import Disposables
from tocsin.capture.order import SourceOrder
from tocsin.capture.pace import Pace
from tocsin.capture.source import Picture, Source
from tocsin.errors import SourceError

_SCENE = Scene(width=160, height=96, fps=25.0, grain=30)
_COUNT = 75

_STREAMS = {
    "h264, B-frames": ("libx264", {"x264-params": "bframes=3:b-adapt=0:keyint=25"}),
    "h264, B-frames as references": (
        "libx264",
        {"x264-params": "bframes=3:b-pyramid=normal:b-adapt=0:keyint=25"},
    ),
    "hevc, B-frames": ("libx265", {"x265-params": "bframes=3:b-adapt=0:keyint=25:log-level=none"}),
    "hevc, temporal layers": (
        "libx265",
        {"x265-params": "bframes=3:b-adapt=0:keyint=25:temporal-layers=3:log-level=none"},
    ),
}
_WITHOUT = {
    "h264, each is built on the one before": ("libx264", {"x264-params": "bframes=0:keyint=25"}),
    "mpeg4": ("mpeg4", {"bf": "2"}),
}


def _film(path: Path, codec: str, options: dict[str, str]) -> Path:
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=25, options={**options, "preset": "ultrafast"} | options)
        stream.width, stream.height, stream.pix_fmt = _SCENE.width, _SCENE.height, "yuv420p"
        for number in range(_COUNT):
            frame = av.VideoFrame.from_ndarray(_SCENE.draw(number / 25, number), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return path


def _pictures(
    path: Path,
    wanted: Callable[[float, float], bool] | None = None,
    note: Callable[[Picture], object] = lambda _: None,
) -> list[Picture]:
    order = SourceOrder(str(path), realtime=False)
    source = Source(order, Event(), lambda _: None, read_timeout=1.5, wanted=wanted)
    pictures = []
    try:
        for picture in source.pictures():
            pictures.append(picture)
            note(picture)
    except SourceError:  # the file is over
        pass
    finally:
        source.close()
    return pictures


def _shown(pictures: list[Picture]) -> dict[int, np.ndarray]:
    return {
        picture.frame.pts: picture.frame.to_ndarray() for picture in pictures if picture.frame is not None
    }


@pytest.mark.parametrize("container", ["mp4", "ts"])
@pytest.mark.parametrize("stream", _STREAMS)
def test_leaving_pictures_out_harms_none_that_follows(stream: str, container: str, tmp_path: Path) -> None:
    """With none wanted but the first, those that come are what they are otherwise, and none goes uncounted."""
    codec, options = _STREAMS[stream]
    path = _film(tmp_path / f"film.{container}", codec, options)
    every = _shown(_pictures(path))
    assert len(every) == _COUNT
    some = _pictures(
        path, lambda expected, _: math.isinf(expected)
    )  # before the first picture nothing is known of when others come
    left_out = sum(picture.left_out for picture in some)
    kept = _shown(some)
    assert left_out >= _COUNT // 4, "there was something to leave out"
    assert left_out + len(kept) == _COUNT, "each picture is counted once"
    assert not any(picture.damaged for picture in some)
    for pts, picture in kept.items():
        np.testing.assert_array_equal(picture, every[pts])


@pytest.mark.parametrize("stream", _WITHOUT)
def test_a_stream_whose_pictures_are_all_needed_is_decoded_whole(stream: str, tmp_path: Path) -> None:
    """Where each picture is built on the one before, or where the codec is another, nothing is left out."""
    codec, options = _WITHOUT[stream]
    pictures = _pictures(_film(tmp_path / "film.mp4", codec, options), lambda *_: False)
    assert not any(picture.left_out for picture in pictures)
    assert len(_shown(pictures)) == _COUNT


def test_the_picks_stay_even_and_as_many(tmp_path: Path) -> None:
    """Ten of 25 pictures a second are the same ones, at the same times, whether or not others are left out."""
    codec, options = _STREAMS["h264, B-frames as references"]
    path = _film(tmp_path / "film.mp4", codec, options)

    def picked(leaving_out: bool) -> tuple[list[int], int]:
        pace = Pace(10.0)
        picks: list[int] = []

        def note(picture: Picture) -> None:
            if picture.frame is not None and pace.due(picture.at):
                picks.append(picture.frame.pts)

        pictures = _pictures(path, pace.may_be_due if leaving_out else None, note)
        return picks, sum(picture.left_out for picture in pictures)

    assert picked(False)[1] == 0
    assert picked(True)[0] == picked(False)[0]
    assert picked(True)[1] > _COUNT // 8


@pytest.mark.parametrize(
    ("codec", "packet", "expected"),
    [
        pytest.param(
            "h264", b"\0\0\0\1\x09\xf0\0\0\1\x01\x88", True, id="a delimiter, then a slice nobody needs"
        ),
        pytest.param(
            "h264", b"\0\0\0\1\x09\xf0\0\0\1\x41\x88", False, id="a delimiter, then a slice that is needed"
        ),
        pytest.param("h264", b"\0\0\1\x67\x88\0\0\1\x01\x88", False, id="parameters before it are needed"),
        pytest.param("h264", b"\0\0\1\x06\x88", False, id="no picture at all"),
        pytest.param("h264", b"", False, id="nothing"),
        pytest.param("h264", b"\0\0\1", False, id="cut off"),
        pytest.param("hevc", b"\0\0\1\x00\x01\x80", True, id="hevc: nobody needs it"),
        pytest.param("hevc", b"\0\0\1\x02\x01\x80", False, id="hevc: it is needed"),
        pytest.param("hevc", b"\0\0\1\x42\x01\x80\0\0\1\x00\x01\x80", False, id="hevc: parameters before it"),
        pytest.param("av1", b"\0\0\1\x01\x88", False, id="another codec"),
    ],
)
def test_a_packet_is_judged_by_its_first_slice(codec: str, packet: bytes, expected: bool) -> None:
    """What stands before the slice decides too."""
    assert Disposables(codec, None).holds(memoryview(packet)) is expected


def test_a_lower_layer_may_still_be_needed_from_above() -> None:
    """Once a higher sub-layer of H.265 was seen, a picture of a lower one is not left out."""
    disposables = Disposables("hevc", None)
    low, high = (memoryview(b"\0\0\1\x00" + layer + b"\x80") for layer in (b"\x01", b"\x02"))
    assert disposables.holds(low)
    assert disposables.holds(high)
    assert not disposables.holds(low)


def test_a_length_that_lies_ends_the_search() -> None:
    """A packet whose lengths point past its end, or nowhere, is decoded as it is."""
    disposables = Disposables("h264", bytes([1, 100, 0, 30, 0xFF, 0xE1]))
    for packet in (b"\xff\xff\xff\xff\x06\x05", b"\0\0\0\0" * 8, b"\0\0"):
        assert not disposables.holds(memoryview(packet))


@pytest.mark.parametrize(
    ("stream", "options", "held"),
    [("h264, B-frames", _STREAMS, True), ("h264, each is built on the one before", _WITHOUT, False)],
)
def test_a_camera_s_picture_is_expected_at_once_unless_some_are_held_back(
    stream: str, options: dict[str, tuple[str, dict[str, str]]], held: bool, tmp_path: Path
) -> None:
    """Of a camera that sends pictures out of order all are decoded: leaving some out would delay the others."""
    path = _film(tmp_path / "film.mp4", *options[stream])
    source = Source(SourceOrder(str(path), realtime=False), Event(), lambda _: None, read_timeout=1.5)
    for _ in zip(source.pictures(), range(5), strict=False):
        pass
    before = time.monotonic()
    expected, apart = source._next(av.Packet())
    source.close()
    assert apart == math.inf
    assert (expected == math.inf) is held
    assert held or before <= expected <= time.monotonic()
