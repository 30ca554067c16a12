"""Streams with damage of every kind, from files that hold them: what passes looks as it did before the damage."""

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from support.h264 import luma_of
from support.scene import Block, Scene
from tocsin.capture.intake import Intake
from tocsin.capture.order import SourceOrder
from tocsin.capture.source import Source
from tocsin.errors import SourceError

_SCENE = Scene(
    160, 128, grain=8, blocks=(Block((0.1, 0.2, 0.4, 0.6), 1.0, 2.0), Block((0.5, 0.5, 0.9, 0.9), 3.0))
)
_PICTURES, _RATE = 120, 25
_GROUP = 23
"""No multiple of the distance between P pictures and one more, so that open groups begin with leading pictures."""
_TICKS, _EARLIER = 1000 // _RATE, 1000
"""Of Matroska's clock: between two pictures, and more than pictures are out of order."""

_SAME = 8.0
"""The largest difference of an eight by eight block's mean: decoding is exact, and visible damage is larger."""

_COMMON = f"keyint={_GROUP}:min-keyint={_GROUP}:scenecut=0"
_REFRESHED = f"intra-refresh=1:{_COMMON}"
_ENCODERS = {
    "P pictures": ("libx264", {"preset": "veryfast", "x264-params": f"{_COMMON}:bframes=0"}),
    "B pictures": ("libx264", {"preset": "veryfast", "x264-params": f"{_COMMON}:bframes=3:b-adapt=0"}),
    "open groups": (
        "libx264",
        {"preset": "veryfast", "x264-params": f"{_COMMON}:bframes=3:b-adapt=0:open-gop=1"},
    ),
    "refresh": ("libx264", {"preset": "veryfast", "x264-params": f"{_REFRESHED}:bframes=0"}),
    "refresh, B pictures": (
        "libx264",
        {"preset": "veryfast", "x264-params": f"{_REFRESHED}:bframes=2:b-adapt=0"},
    ),
    "HEVC": ("libx265", {"preset": "ultrafast", "x265-params": f"{_COMMON}:bframes=0:log-level=none"}),
    "HEVC, open groups": (
        "libx265",
        {"preset": "ultrafast", "x265-params": f"{_COMMON}:bframes=3:open-gop=1:log-level=none"},
    ),
    "JPEG": ("mjpeg", {"qmin": "3", "qmax": "5"}),
}

_Harm = Callable[[bytes, random.Random], bytes | None]


def _drop(_: bytes, __: random.Random) -> None:
    return None


def _cut(packet: bytes, chance: random.Random) -> bytes:
    return packet[: chance.randrange(len(packet) // 4, len(packet) * 3 // 4)]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One recording by each encoder."""
    folder = tmp_path_factory.mktemp("recordings")
    return {
        name: _record(folder / f"{number}.mkv", *_ENCODERS[name]) for number, name in enumerate(_ENCODERS)
    }


def _record(path: Path, encoder: str, options: dict[str, str]) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream(encoder, rate=_RATE, options=options)
        video.width, video.height = _SCENE.width, _SCENE.height
        video.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        video.codec_context.thread_count = 1
        for number in range(_PICTURES):
            drawn = _SCENE.draw(number / _RATE, number)
            picture = av.VideoFrame.from_ndarray(drawn, format="yuv420p").reformat(format=video.pix_fmt)
            picture.pts, picture.time_base = number, Fraction(1, _RATE)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    return path


def _damaged(path: Path, harm: _Harm, seed: int) -> tuple[Path, int]:
    """Copy a recording with harm to some packets behind the first group; return it and how many were hurt."""
    chance, hurt = random.Random(seed), 0

    def harmed(number: int, packet: bytes) -> bytes | None:
        nonlocal hurt
        if number <= 5 or chance.random() >= 0.04:
            return packet
        hurt += 1
        return harm(packet, chance)

    return _copied(path, harmed, f"{harm.__name__}-{seed}"), hurt


def _copied(path: Path, change: Callable[[int, bytes], bytes | None], name: str) -> Path:
    """Copy a recording with what becomes of each packet, None: nothing."""
    target = path.with_name(f"{path.stem}-{name}.mkv")
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        copy = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if not packet.size:
                continue
            packet.dts = number * _TICKS - _EARLIER  # Matroska does not keep it
            content = bytes(packet)
            left = change(number, content)
            if left is not None:
                _mux(container, copy, packet if left == content else _with(packet, left))
    return target


def _mux(container: av.container.OutputContainer, stream: av.VideoStream, packet: av.Packet) -> None:
    packet.stream = stream
    container.mux(packet)


def _with(packet: av.Packet, content: bytes) -> av.Packet:
    other = av.Packet(content)
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    other.is_keyframe = packet.is_keyframe
    return other


def _passed(path: Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield the timestamp and the luma of each picture that passes."""
    source = Source(SourceOrder(str(path), realtime=False), Event(), lambda _: None, read_timeout=1.4)
    intake, tally = Intake(30.0, live=False), Counter[str]()
    with contextlib.closing(source.pictures()) as pictures, contextlib.suppress(SourceError):
        for picture in pictures:
            if intake.take(picture, tally).is_clean:
                assert picture.frame is not None
                assert picture.shown is not None
                yield round(picture.shown, 2), luma_of(picture.frame).copy()
    source.close()


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    difference = one.astype(float) - other
    return float(np.abs(difference.reshape(one.shape[0] // 8, 8, -1, 8).mean((1, 3))).max())


@pytest.mark.parametrize("harm", [_drop, _cut], ids=["left out", "cut short"])
@pytest.mark.parametrize("name", _ENCODERS)
def test_what_passes_is_whole(name: str, harm: _Harm, recordings: dict[str, Path]) -> None:
    """Whatever the codec, the kind of harm, and the order in which pictures come out of the decoder."""
    whole = dict(_passed(recordings[name]))
    assert len(whole) == _PICTURES
    for seed in range(4):
        path, hurt = _damaged(recordings[name], harm, seed)
        assert hurt > 0
        seen = list(_passed(path))
        wrong = [shown for shown, luma in seen if _difference(luma, whole[shown]) > _SAME]
        assert not wrong, f"seed {seed}: {len(wrong)} of {len(seen)} pictures, at {wrong[:5]}"
        assert len(seen) > 5


_HURT = 30
_SWEEP = 8
"""Reference pictures that x264 takes to renew a picture 160 wide, and says that it takes."""


def _joined(number: int, packet: bytes) -> bytes | None:
    return packet if number >= _HURT else None


def _lost(number: int, packet: bytes) -> bytes | None:
    return None if number == _HURT else packet


def _halved(number: int, packet: bytes) -> bytes | None:
    return packet[: len(packet) // 2] if number == _HURT else packet


def _hurt_while_renewing(number: int, packet: bytes) -> bytes | None:
    return None if number in (_HURT, 2 * _GROUP + _SWEEP // 2) else packet


@pytest.mark.parametrize(
    ("change", "before", "again"),
    [
        pytest.param(_joined, 0, 3 * _GROUP + _SWEEP, id="joined midway"),
        pytest.param(_lost, _HURT, 3 * _GROUP + _SWEEP, id="one left out"),
        pytest.param(_halved, _HURT, 3 * _GROUP + _SWEEP, id="one cut short"),
        pytest.param(_hurt_while_renewing, _HURT, 4 * _GROUP + _SWEEP, id="again while it is renewed"),
    ],
)
def test_the_second_refresh_ends_a_quarantine_without_a_keyframe(
    change: Callable[[int, bytes], bytes | None], before: int, again: int, recordings: dict[str, Path]
) -> None:
    """All passes from the picture on that the encoder promises to be whole, and is the same to the bit."""
    path = recordings["refresh"]
    whole = dict(_passed(path))
    expected = [number / _RATE for number in (*range(before), *range(again, _PICTURES))]
    seen = dict(_passed(_copied(path, change, change.__name__)))
    assert list(seen) == expected
    assert [shown for shown, luma in seen.items() if not np.array_equal(luma, whole[shown])] == []
