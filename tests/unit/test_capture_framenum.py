"""A reference picture that never came shows in the numbers of the others."""

import re
from dataclasses import replace
from fractions import Fraction

import av
import pytest

from support.scene import Scene
from tocsin.capture.framenum import FrameNumbers

_IDR, _SPS, _PPS = 5, 7, 8


def _encoded(params: str = "", pictures: int = 60, **options: str) -> tuple[bytes, list[bytes]]:
    """Return the stream's extradata and its packets, with start codes; each second begins with an IDR picture."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 64, 48, options.pop("pix_fmt", "yuv420p")
    context.framerate, context.time_base, context.thread_count = Fraction(25), Fraction(1, 25), 1
    parts = ("keyint=25:min-keyint=25:scenecut=0:log-level=-1", params)
    context.options = {"preset": "veryfast", "x264-params": ":".join(filter(None, parts)), **options}
    scene = Scene(64, 48, grain=8)
    packets: list[bytes] = []
    for number in range(pictures):
        picture = av.VideoFrame.from_ndarray(scene.draw(0.0, number), format="yuv420p")
        frame = picture.reformat(format=context.pix_fmt)
        frame.pts = number
        packets += map(bytes, context.encode(frame))
    packets += map(bytes, context.encode(None))
    return bytes(context.extradata or b""), packets


def _units(packet: bytes) -> list[bytes]:
    return [unit for unit in re.split(rb"\x00\x00\x00?\x01", packet) if unit]


def _slice(packet: bytes) -> bytes:
    """The first slice of a packet."""
    return next(unit for unit in _units(packet) if unit[0] & 31 in (1, _IDR))


def _gaps(numbers: FrameNumbers, packets: list[bytes]) -> list[int]:
    return [index for index, packet in enumerate(packets) if numbers.gap(packet)]


_STREAMS = pytest.mark.parametrize(
    ("params", "options"),
    [
        pytest.param("bframes=0", {}, id="P pictures only"),
        pytest.param("bframes=3:b-pyramid=normal", {}, id="B pictures, of which some are references"),
        pytest.param("bframes=0:ref=1", {"profile": "baseline"}, id="baseline"),
        pytest.param("bframes=2:cqm=jvt", {}, id="with scaling lists"),
        pytest.param("interlaced=1:bframes=2", {}, id="interlaced"),
        pytest.param("bframes=0:slices=4", {}, id="several slices"),
        pytest.param("bframes=2", {"pix_fmt": "yuv444p"}, id="4:4:4"),
        pytest.param("bframes=2:open-gop=1", {}, id="open groups"),
    ],
)


@_STREAMS
def test_a_stream_that_is_whole_shows_no_gap(params: str, options: dict[str, str]) -> None:
    """Over IDR pictures and round the circle of the numbers."""
    extradata, packets = _encoded(params, 120, **options)
    assert _gaps(FrameNumbers(extradata), packets) == []


@_STREAMS
def test_a_lost_reference_picture_shows_with_the_next(params: str, options: dict[str, str]) -> None:
    """One on which nothing builds is not missed, nor is one that an IDR picture follows."""
    extradata, packets = _encoded(params, **options)
    for lost in range(2, 50):
        if _slice(packets[lost])[0] & 31 == _IDR:
            continue
        found = _gaps(FrameNumbers(extradata), packets[:lost] + packets[lost + 1 :])
        is_missed = _slice(packets[lost])[0] >> 5 > 0 and _slice(packets[lost + 1])[0] & 31 != _IDR
        assert found[:1] == ([lost] if is_missed else []), f"packet {lost}"


def test_packets_that_are_cut_by_lengths_are_read_as_well() -> None:
    """MP4 tells the parameter sets in a record and gives each unit its length."""
    _, packets = _encoded("bframes=0:repeat-headers=1")
    sps, pps = (next(unit for unit in _units(packets[0]) if unit[0] & 31 == kind) for kind in (_SPS, _PPS))
    record = b"\x01" + sps[1:4] + b"\xff\xe1" + len(sps).to_bytes(2, "big") + sps
    record += b"\x01" + len(pps).to_bytes(2, "big") + pps
    slices = [_slice(packet) for packet in packets]
    cut = [len(unit).to_bytes(4, "big") + unit for unit in slices]
    assert _gaps(FrameNumbers(record), cut) == []
    assert _gaps(FrameNumbers(record), cut[:10] + cut[11:]) == [10]


def test_parameter_sets_within_the_stream_are_enough() -> None:
    """Many cameras send them before each keyframe and no others."""
    _, packets = _encoded("bframes=0:repeat-headers=1")
    assert _gaps(FrameNumbers(None), packets[:10] + packets[11:]) == [10]


def test_without_parameter_sets_nothing_is_a_gap() -> None:
    """The length of a number is not known then."""
    extradata, packets = _encoded("bframes=0", flags="+global_header")
    assert _gaps(FrameNumbers(None), packets[:10] + packets[11:]) == []
    assert _gaps(FrameNumbers(extradata), packets[:10] + packets[11:]) == [10]


def test_a_stream_that_allows_gaps_shows_none() -> None:
    """Temporal layers leave numbers out on purpose (gaps_in_frame_num_value_allowed_flag)."""
    extradata, packets = _encoded("bframes=0", flags="+global_header")
    numbers = FrameNumbers(extradata)
    (number, sequence), *_ = numbers._sequences.items()
    numbers._sequences[number] = replace(sequence, gaps_allowed=True)
    assert _gaps(numbers, packets[:10] + packets[11:]) == []


def test_reference_pictures_have_places_in_a_row() -> None:
    """Over IDR pictures and round the circle of the numbers; those on which nothing builds have none."""
    extradata, packets = _encoded("bframes=2:b-adapt=0:b-pyramid=none")
    numbers, places = FrameNumbers(extradata), []
    for packet in packets:
        numbers.gap(packet)
        assert (numbers.place is None) is (_slice(packet)[0] >> 5 == 0)
        places.append(numbers.place)
    counted = [place for place in places if place is not None]
    assert len(counted) < len(places)
    assert counted == list(range(counted[0], counted[0] + len(counted)))
    assert not numbers.gap(b"")
    assert numbers.place is None


def test_a_lost_reference_picture_keeps_its_place() -> None:
    """The ones after it have the places that they would have had."""
    extradata, packets = _encoded("bframes=0")
    numbers = FrameNumbers(extradata)
    _gaps(numbers, packets[:20])
    whole = numbers.place
    numbers = FrameNumbers(extradata)
    assert _gaps(numbers, packets[:10] + packets[12:20]) == [10]
    assert numbers.place == whole


def test_what_follows_a_restart_is_no_gap() -> None:
    """A file that is played again begins where it began."""
    extradata, packets = _encoded("bframes=0")
    numbers = FrameNumbers(extradata)
    assert _gaps(numbers, packets[:10]) == []
    numbers.restart()
    assert _gaps(numbers, packets[15:25]) == []


@pytest.mark.parametrize("length", range(0, 40, 3))
def test_data_that_end_early_are_no_gap_and_no_crash(length: int) -> None:
    """The decoder complains of them; also of a parameter set that is cut."""
    extradata, packets = _encoded("bframes=0:repeat-headers=1", 5)
    assert not FrameNumbers(extradata[:length]).gap(packets[1][:length])
    assert not FrameNumbers(None).gap(packets[0][:length])
    assert not FrameNumbers(b"\x01" + extradata[:length]).gap(packets[1])


def test_a_record_whose_lengths_are_shorter_than_its_sets_is_read() -> None:
    """It says with how many bytes the packets tell their lengths; its own are told with two."""
    long = b"\x67" + bytes(299)
    record = b"\x01\x64\x00\x1f\xfc\xe1" + len(long).to_bytes(2) + long
    assert not FrameNumbers(record).gap(b"\x02\x65\x88")
