"""Streams without damage, as many encoders make them: each picture passes, and none is another than it was.

A picture that is held back without a reason blinds a camera, and a setting that all of its keyframes have does so
for ever.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from support import handmade
from support.h264 import luma_of
from support.scene import Block, Scene
from tocsin.capture.intake import Intake
from tocsin.capture.order import SourceOrder
from tocsin.capture.source import Picture, Source
from tocsin.errors import SourceError

_PICTURES, _RATE = 75, 25
_GROUPS = "keyint=23:min-keyint=23:scenecut=0"
_B = f"{_GROUPS}:b-adapt=0:bframes"
_RATED = "vbv-maxrate=1000:vbv-bufsize=1000"

_H264 = {
    "reference pictures": [f"{_GROUPS}:bframes=0:ref={count}" for count in (1, 2, 4, 16)],
    "B pictures": [f"{_B}={count}" for count in (1, 2, 3, 8, 16)],
    "references among B pictures": [f"{_B}=5:ref=4:b-pyramid={how}" for how in ("none", "strict", "normal")],
    "weights": [f"{_B}=2:weightp={kind}" for kind in (0, 1, 2)],
    "slices": [f"{_GROUPS}:slices={count}" for count in (2, 8)] + [f"{_GROUPS}:slice-max-size=200"],
    "interlaced": [f"{_B}=2:tff=1", f"{_GROUPS}:bframes=0:bff=1", f"{_GROUPS}:fake-interlaced=1"],
    "open groups": [f"{_B}=3:open-gop=1", f"{_B}=3:open-gop=1:bluray-compat=1:slices=4:aud=1:{_RATED}"],
    "intra refresh": [f"keyint=20:intra-refresh=1:bframes={count}" for count in (0, 2)],
    "no keyframe but the first": [f"keyint=infinite:scenecut=0:bframes={count}" for count in (0, 3)],
    "keyframes alone": ["keyint=1"],
    "messages beside": [f"{_GROUPS}:aud=1", f"{_GROUPS}:nal-hrd=vbr:{_RATED}", f"{_GROUPS}:stitchable=1"],
    "filler": [f"{_GROUPS}:nal-hrd=cbr:filler=1:bitrate=1000:{_RATED}"],
    "coding": [f"{_GROUPS}:{how}" for how in ("cabac=0", "cqm=jvt", "constrained-intra=1", "qp=0")],
}
_HEVC = {
    "reference pictures": [f"{_GROUPS}:bframes=0:ref={count}" for count in (1, 3, 6)],
    "B pictures": [f"{_B}={count}:open-gop=0:rc-lookahead=20" for count in (1, 4, 8)],
    "open groups": [f"{_B}=3:open-gop=1", f"{_B}=4:open-gop=0:radl=2"],
    "temporal layers": [f"{_B}=3:temporal-layers=1"],
    "intra refresh": ["keyint=20:intra-refresh=1:bframes=0"],
    "messages beside": [f"{_GROUPS}:aud=1:hrd=1:repeat-headers=1:{_RATED}", f"{_GROUPS}:hash=1"],
    "interlaced": [f"{_GROUPS}:interlace=tff"],
    "no keyframe but the first": ["keyint=-1"],
}
_OTHERS: dict[str, tuple[str, str, dict[str, str], str]] = {
    "MPEG-4": ("mpeg4", "yuv420p", {"g": "23"}, "matroska"),
    "MPEG-4, B pictures": ("mpeg4", "yuv420p", {"g": "23", "bf": "2"}, "avi"),
    "MPEG-4, interlaced": ("mpeg4", "yuv420p", {"g": "23", "flags": "+ildct+ilme"}, "mp4"),
    "MPEG-2": ("mpeg2video", "yuv420p", {"g": "15", "bf": "2"}, "mpegts"),
    "JPEG": ("mjpeg", "yuvj420p", {}, "avi"),
    "JPEG, standard tables": ("mjpeg", "yuvj422p", {"huffman": "default"}, "matroska"),
    "VP8": ("libvpx", "yuv420p", {"g": "23", "deadline": "realtime", "cpu-used": "8"}, "matroska"),
    "VP9": ("libvpx-vp9", "yuv420p", {"g": "23", "deadline": "realtime", "cpu-used": "8"}, "matroska"),
    **{
        f"H.264, {name}": ("libx264", "yuv420p", {"preset": "veryfast", "x264-params": f"{_B}=2"}, name)
        for name in ("mp4", "mpegts", "avi", "flv")
    },
    "H.264, zero latency": ("libx264", "yuv420p", {"tune": "zerolatency", "g": "23"}, "matroska"),
    "H.264, 4:4:4": ("libx264", "yuv444p", {"preset": "veryfast", "x264-params": f"{_B}=2"}, "matroska"),
    **{
        f"HEVC, {name}": ("libx265", "yuv420p", {"preset": "ultrafast", "x265-params": f"{_B}=3"}, name)
        for name in ("mp4", "mpegts")
    },
}


def _all() -> Iterator[tuple[str, tuple[str, str, dict[str, str], str]]]:
    """Yield each encoder: its name, codec, pixel format, options and container."""
    for name, many in _H264.items():
        for params in many:
            options = {"preset": "veryfast", "x264-params": params}
            yield f"H.264, {name}: {params}", ("libx264", "yuv420p", options, "matroska")
    for name, many in _HEVC.items():
        for params in many:
            options = {"preset": "ultrafast", "x265-params": params}
            yield f"HEVC, {name}: {params}", ("libx265", "yuv420p", options, "matroska")
    yield from _OTHERS.items()


@cache
def _drawn() -> list[NDArray[np.uint8]]:
    scene = Scene(
        160, 128, grain=6, blocks=(Block((0.1, 0.2, 0.4, 0.6), 1.0, 2.0), Block((0.5, 0.5, 0.9, 0.9), 1.5))
    )
    return [scene.draw(number / _RATE, number) for number in range(_PICTURES)]


def _record(path: Path, codec: str, pixels: str, options: dict[str, str], container: str) -> str:
    quiet = {"x265-params": options["x265-params"] + ":log-level=none"} if "x265-params" in options else {}
    with av.open(str(path), "w", format=container) as file:
        video = file.add_stream(codec, rate=_RATE, options=options | quiet)
        video.width, video.height, video.pix_fmt = 160, 128, pixels
        video.codec_context.thread_count = 1
        for number, picture in enumerate(_drawn()):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p").reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, _RATE)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
    return str(path)


def _plain(path: str) -> list[bytes]:
    """Return the luma of each picture as FFmpeg decodes it."""
    with av.open(path) as container:
        return [luma_of(frame).tobytes() for frame in container.decode(video=0)]


def _taken(path: str, max_fps: float, *, sparing: bool) -> tuple[list[bytes], Counter[str], list[Picture]]:
    """Return what passes, what was counted, and what told of damage; `sparing` decodes only what may be due."""
    intake, tally = Intake(max_fps, live=False), Counter[str]()
    wanted: Callable[[float, float], bool] | None = intake.wants if sparing else None
    order = SourceOrder(path, realtime=False)
    source = Source(order, Event(), lambda _: None, read_timeout=1.4, wanted=wanted)
    passed, harmed = [], []
    with contextlib.closing(source.pictures()) as pictures, contextlib.suppress(SourceError):
        for picture in pictures:
            if picture.damaged or picture.gap or picture.lost:
                harmed.append(picture)
            if intake.take(picture, tally).is_clean:
                assert picture.frame is not None
                passed.append(luma_of(picture.frame).tobytes())
    source.close()
    return passed, tally, harmed


@pytest.mark.parametrize("encoder", [pytest.param(encoder, id=name) for name, encoder in _all()])
def test_a_whole_stream_passes_whole(encoder: tuple[str, str, dict[str, str], str], tmp_path: Path) -> None:
    """No picture is held back, missed or changed, also where those that nobody wants are not decoded."""
    path = _record(tmp_path / "clip", *encoder)
    plain = _plain(path)
    assert len(plain) == _PICTURES
    passed, tally, harmed = _taken(path, 1000.0, sparing=False)
    assert (tally["quarantined"], harmed) == (0, [])
    assert passed == plain
    some, tally, harmed = _taken(path, 8.0, sparing=True)
    assert (tally["received"], tally["quarantined"], harmed) == (_PICTURES, 0, [])
    assert len(some) >= _PICTURES * 8 // _RATE
    assert some == [picture for picture in plain if picture in set(some)]


def _in_fields(pictures: int, *, needed: Callable[[int], bool] = lambda _: True) -> Iterator[bytes]:
    count = 0
    for number, place, begins in handmade.stream(pictures):
        count = 0 if begins else count
        sets = handmade.sets(fields=True) if begins else b""
        halves = (handmade.picture(number, count, field=field, needed=needed(place)) for field in (0, 1))
        yield sets + b"".join(halves)
        count += needed(place)


def _in_layers(pictures: int, every: int) -> Iterator[bytes]:
    """As with temporal layers: only on one picture of so many are others built."""
    count = 0
    for number, place, begins in handmade.stream(pictures):
        count = 0 if begins else count
        needed = place % every == 0
        yield (handmade.sets() if begins else b"") + handmade.picture(number, count, needed=needed)
        count += needed


def _whole(
    pictures: int, *, before: bytes = b"", after: bytes = b"", always: bool = False, turns: bool = False
) -> Iterator[bytes]:
    for number, place, begins in handmade.stream(pictures):
        by = number // handmade.GROUP % 2 if turns else 0
        bits = 4 + 4 * by
        sets = handmade.sets(bits=bits, number=by) if begins or always else b""
        yield before + sets + handmade.picture(number, place, bits=bits, by=by) + after


@pytest.mark.parametrize(
    "units",
    [
        pytest.param(_whole(_PICTURES), id="nothing special"),
        pytest.param(_in_fields(_PICTURES), id="two fields"),
        pytest.param(
            _in_fields(_PICTURES, needed=lambda place: place % 2 == 0), id="two fields, some unneeded"
        ),
        pytest.param(_in_layers(_PICTURES, 2), id="two layers"),
        pytest.param(_in_layers(_PICTURES, 4), id="one of four needed"),
        pytest.param(_whole(_PICTURES, after=bytes(4)), id="zeros behind"),
        pytest.param(_whole(_PICTURES, before=bytes(3)), id="long start codes"),
        pytest.param(_whole(_PICTURES, before=handmade.DELIMITER), id="delimiters"),
        pytest.param(_whole(_PICTURES, before=handmade.PRIVATE), id="units of the maker's own"),
        pytest.param(_whole(_PICTURES, always=True), id="parameter sets before each"),
        pytest.param(_whole(_PICTURES, turns=True), id="numbers of another length in each second group"),
    ],
)
def test_what_encoders_at_hand_do_not_make_passes_whole(units: Iterator[bytes], tmp_path: Path) -> None:
    """What the standard allows, and cameras and recorders send."""
    path = tmp_path / "clip.h264"
    path.write_bytes(b"".join(units))
    passed, tally, harmed = _taken(str(path), 1000.0, sparing=False)
    assert (tally["quarantined"], harmed) == (0, [])
    pixels = handmade.SIDE * handmade.SIDE
    assert passed == [bytes([handmade.grey(number)]) * pixels for number in range(_PICTURES)]
