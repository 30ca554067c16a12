"""Packets are kept for as long as is asked for, from a keyframe on, and become pictures and clips again."""

import io
from collections.abc import Sequence
from dataclasses import replace

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from support.films import COUNT, GROUP, RATE, filled, film, kept, packets
from tocsin.capture.darkroom import whole
from tocsin.errors import EvidenceError
from tocsin.evidence.clip import Copied, Recoded, begin
from tocsin.evidence.develop import developed
from tocsin.evidence.picture import Curtain
from tocsin.evidence.reel import Kept, Leader, Reel, ways


def test_the_last_seconds_are_kept_from_a_keyframe_on() -> None:
    """No less than was asked for, and no more than one group of pictures beyond it."""
    _, strip = kept(filled(film()))
    assert strip[0].starts
    assert strip[-1].number == COUNT - 1
    assert 5.0 <= strip[-1].at - strip[0].at < 5.0 + GROUP / RATE


def test_a_strip_begins_with_the_keyframe_before_its_time() -> None:
    """So that what is shown at that time can be decoded."""
    _, strip = kept(filled(film()), since=9.0)
    assert strip[0].starts
    assert strip[0].at == 8.0


def test_a_reel_takes_no_more_memory_than_it_may() -> None:
    """Older groups go first, and one that is too large by itself goes whole."""
    content = film()
    whole = filled(content).bytes
    assert whole > 0
    reel = filled(content, most=whole // 2)
    assert 0 < reel.bytes <= whole // 2
    assert kept(reel)[1][0].starts
    assert filled(content, most=100, until=COUNT - 1).strip(0.0) is None


def test_a_film_has_room_at_the_pace_of_what_is_kept() -> None:
    """By default 96 MB for fifteen seconds: no camera sends so much that is not broken or hostile."""
    reel = Reel(5.0, 12_000_000)
    assert [reel.room(seconds) for seconds in (15.0, 0.0, -1.0)] == [96_000_000, 24_000_000, 24_000_000]


def test_packets_of_next_to_nothing_take_their_room_too() -> None:
    """A camera that sends a million of ten bytes fills no memory beside that of the reel."""
    reel = Reel(5.0, 1_000_000)
    for number, (packet, video) in enumerate(packets(film())):
        if number == 0:
            reel.opened(Leader(video))
            reel.keep(packet, 0, 0.0)
        reel.keep(Packet(b"0123456789"), number + 1, 0.0)
    assert reel.bytes > COUNT * 1_000
    for number in range(COUNT, 1000):
        reel.keep(Packet(b"0123456789"), number + 1, 0.0)
    assert reel.strip(0.0) is None, "no room for so many"


def test_nothing_is_kept_before_the_first_keyframe() -> None:
    """It could not be decoded."""
    reel = Reel(5.0, 1 << 30)
    for number, (packet, video) in enumerate(packets(film())):
        if number == 0:
            reel.opened(Leader(video))
        elif number <= GROUP:
            reel.keep(packet, number, number / RATE)
            assert (reel.strip(0.0) is not None) == (number == GROUP)


def test_nothing_is_kept_of_a_stream_that_no_file_can_hold() -> None:
    """It takes no memory, and nobody finds a picture that cannot be made."""
    reel = Reel(5.0, 1 << 30)
    reel.opened(None)
    for number, (packet, _) in enumerate(packets(film())):
        reel.keep(packet, number, number / RATE)
    assert reel.bytes == 0
    assert reel.strip(0.0) is None


def decoded(content: bytes) -> dict[int, np.ndarray]:
    """The pictures of a film that is decoded from its beginning, by the numbers of their packets."""
    with av.open(io.BytesIO(content)) as source:
        video = source.streams.video[0]
        video.codec_context.flags |= av.codec.context.Flags.copy_opaque
        wanted = {}
        for place, packet in enumerate(source.demux(video)):
            packet.opaque = (place, None)
            for frame in packet.decode():
                wanted[frame.opaque[0]] = frame.to_ndarray()
    return wanted


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("number", [200, 201, 249, COUNT - 1])
def test_the_picture_of_a_packet_is_found_again(b_frames: int, number: int) -> None:
    """The very one, also where pictures are not shown in the order in which they are decoded."""
    content = film(b_frames=b_frames)
    wanted = decoded(content)
    leader, strip = kept(filled(content, seconds=10.0))
    found = developed(leader, strip, number)
    np.testing.assert_array_equal(found.to_ndarray(), wanted[number])


class Counted:
    """A decoder whose pictures are counted."""

    def __init__(self, decoder: VideoCodecContext, frames: list[VideoFrame]) -> None:
        self.__dict__.update(of=decoder, frames=frames)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.of, name, value)

    def decode(self, packet: Packet | None) -> list[VideoFrame]:
        found = self.of.decode(packet)
        self.frames.extend(found)
        return found


def test_what_nothing_is_built_on_is_not_decoded_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where such pictures are a third, a third of the work is none; the picture is the same."""
    frames: list[VideoFrame] = []
    decoder = Leader.decoder
    monkeypatch.setattr(Leader, "decoder", lambda leader: Counted(decoder(leader), frames))
    leader, strip = kept(filled(film(b_frames=2), seconds=10.0))
    developed(leader, strip, 249)
    assert 0 < len(frames) < GROUP * 3 / 4


OPEN = {
    "open groups of H.264": film("libx264", 3, (("x264-params", "open-gop=1:b-adapt=0"),)),
    "open groups of H.265": film("libx265", 3, (("x265-params", "open-gop=1:keyint=50:log-level=none"),)),
    "a refresh slice by slice": film("libx264", 0, (("intra-refresh", "1"),)),
}


@pytest.mark.parametrize("kind", OPEN)
def test_a_picture_that_rests_on_what_was_before_its_keyframe_is_found(kind: str) -> None:
    """The very one, where the nearest keyframe alone does not lead to it."""
    wanted = decoded(OPEN[kind])
    leader, strip = kept(filled(OPEN[kind], seconds=10.0))
    begin = [one.number for one in strip if one.starts][2]
    alone = strip[[one.number for one in strip].index(begin) :]
    with pytest.raises(EvidenceError):
        developed(leader, alone, begin + 1)
    for number in range(begin, begin + 6):
        np.testing.assert_array_equal(developed(leader, strip, number).to_ndarray(), wanted[number])


def test_a_picture_whose_packets_are_gone_is_an_error() -> None:
    """Nobody gets another picture for it."""
    leader, strip = kept(filled(film()))
    assert list(ways(strip, 3)) == []
    with pytest.raises(EvidenceError, match="found them gone"):
        developed(leader, strip, 3)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_clip_holds_the_pictures_unchanged_and_at_their_pace(b_frames: int) -> None:
    """Nothing is encoded again, and a player that gets the file at any moment shows what is there."""
    leader, strip = kept(filled(film(b_frames=b_frames)))
    target = io.BytesIO()
    clip = Copied(target, leader)
    for one in strip:
        clip.add(one)
    clip.close()
    with av.open(io.BytesIO(target.getvalue())) as played:
        times = [frame.time for frame in played.decode(video=0)]
    assert len(times) == len(strip)
    gaps = np.diff(np.array(times, float))
    np.testing.assert_allclose(gaps, 1 / RATE, atol=2e-3)


def test_a_clip_that_breaks_off_can_be_played() -> None:
    """Whoever writes it may die: all but its last second is shown, however rare keyframes are."""
    content = film("libx264", 0, (("g", "300"),))
    leader, strip = kept(filled(content))
    target = io.BytesIO()
    clip = Copied(target, leader)
    for one in strip[: 4 * RATE]:
        clip.add(one)
    broken = target.getvalue()
    clip.close()
    with av.open(io.BytesIO(broken)) as played:
        assert sum(1 for _ in played.decode(video=0)) >= 3 * RATE - 1


def test_a_clip_that_is_whole_tells_how_long_it_is() -> None:
    """Before anything of it is played, so that a player can go to any place in it; by the name that all know."""
    hevc = (("x265-params", "keyint=50:log-level=none"),)
    for content, tag in ((film(), "avc1"), (film("libx265", 0, hevc), "hvc1")):
        leader, strip = kept(filled(content))
        target = io.BytesIO()
        clip = Copied(target, leader)
        for one in strip:
            clip.add(one)
        clip.close()
        assert boxes(target.getvalue()) == ["ftyp", "free", "mdat", "moov"]
        with av.open(io.BytesIO(target.getvalue())) as played:
            assert played.streams.video[0].codec_tag == tag
            assert played.duration == len(strip) * 1_000_000 // RATE


def boxes(content: bytes) -> list[str]:
    """The boxes that a film consists of."""
    found, place = [], 0
    while place < len(content):
        found.append(content[place + 4 : place + 8].decode())
        place += int.from_bytes(content[place : place + 4], "big")
    return found


def times_of(strip: Sequence[Kept], leader: Leader) -> list[float]:
    """When each picture of a clip of these is shown."""
    target = io.BytesIO()
    clip = Copied(target, leader)
    for one in strip:
        clip.add(one)
    clip.close()
    with av.open(io.BytesIO(target.getvalue())) as played:
        return [float(frame.time) for frame in played.decode(video=0)]


@pytest.mark.parametrize("seconds", [3600, -3600, -2])
def test_the_times_of_a_clip_never_fall(seconds: int) -> None:
    """A camera that sets its clock gives a clip that goes on at its pace."""
    leader, strip = kept(filled(film()))
    for one in strip[60:]:
        one.packet.pts += seconds * 1000
        one.packet.dts += seconds * 1000
    gaps = np.diff(times_of(strip, leader))
    np.testing.assert_allclose(gaps, 1 / RATE, atol=2e-3)


def test_what_a_network_held_back_is_shown_at_its_pace() -> None:
    """Three seconds that came at once are three seconds again."""
    leader, strip = kept(filled(film()))
    late = strip[110].at
    held = [replace(one, at=late) if 35 <= place < 110 else one for place, one in enumerate(strip)]
    gaps = np.diff(times_of(held, leader))
    np.testing.assert_allclose(gaps, 1 / RATE, atol=2e-3)


@pytest.mark.parametrize("told", ["nothing", "nonsense"])
def test_a_clip_goes_by_the_arrival_where_a_camera_tells_no_times(told: str) -> None:
    """Or times that lie an age after those at which it wants them decoded."""
    leader, strip = kept(filled(film()))
    for one in strip:
        if told == "nothing":
            one.packet.pts = one.packet.dts = None
        else:
            one.packet.pts = 1 << 60
    gaps = np.diff(times_of(strip, leader))
    np.testing.assert_allclose(gaps, 1 / RATE, atol=2e-3)


def test_the_colours_of_what_is_private_are_hidden_to_the_last_pixel() -> None:
    """Of a pixel that is half within a polygon, and of those that share its colour."""
    planes = np.full((36, 32), 200, np.uint8)
    Curtain([((0.26, 0.3), (0.7, 0.3), (0.7, 0.7), (0.26, 0.7))], 32, 24).draw(planes)
    luma, blue, red = planes[:24], planes[24:30].reshape(12, 16), planes[30:].reshape(12, 16)
    assert (luma[8:17, 9:22] == 16).all()
    assert (luma[:6] == 200).all()
    assert (luma[:, :7] == 200).all()
    for plane in (blue, red):
        hidden = np.repeat(np.repeat(plane == 128, 2, axis=0), 2, axis=1)
        assert hidden[luma == 16].all()
        assert (plane[:3] == 200).all()


@pytest.mark.parametrize(
    "mask",
    [
        ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),
        ((0.5, 0.5), (0.5, 0.5001), (0.5001, 0.5)),
        ((-0.5, 0.9), (1.5, 0.9), (1.5, 1.5), (-0.5, 1.5)),
    ],
)
def test_a_polygon_of_any_size_hides_what_it_touches(mask: Sequence[tuple[float, float]]) -> None:
    """The whole picture, next to nothing, and more than there is."""
    planes = np.full((36, 32), 200, np.uint8)
    Curtain([mask], 32, 24).draw(planes)
    assert (planes[:24] == 16).any()
    assert set(np.unique(planes)) <= {16, 128, 200}


def test_a_camera_that_changes_the_size_of_its_pictures_is_hidden_as_before() -> None:
    """In one film, of the size that it began with."""
    masks = [((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))]
    leader, strip = kept(filled(film("mjpeg")))
    _, larger = kept(filled(film("mjpeg", size=(640, 480))))
    target = io.BytesIO()
    clip = begin(target, leader, masks, whole)
    shown = [*strip[:40], *larger[40:80]]
    for one in shown:
        clip.add(one)
    clip.close()
    with av.open(io.BytesIO(target.getvalue())) as played:
        frames = [frame.to_ndarray(format="gray") for frame in played.decode(video=0)]
    assert [frame.shape for frame in frames] == [(240, 320)] * 80
    for one, frame in zip(shown, frames, strict=True):
        assert frame[:, 20:140].max() <= 22
        assert abs(float(frame[:, 180:300].mean()) - _gray(16 + one.number % 200, "mjpeg")) < 8


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
def test_what_a_browser_does_not_play_or_must_not_show_is_encoded_anew(codec: str) -> None:
    """MJPEG, and everything where a mask lies: black where the mask is, and the picture beside it."""
    leader, strip = kept(filled(film(codec)))
    masks = [((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))]
    target = io.BytesIO()
    clip = begin(target, leader, masks, whole)
    assert isinstance(clip, Recoded)
    for one in strip:
        clip.add(one)
    clip.close()
    with av.open(io.BytesIO(target.getvalue())) as played:
        assert played.streams.video[0].codec_context.name == "h264"
        frames = list(played.decode(video=0))
    assert len(frames) == len(strip)
    for one, frame in zip(strip, frames, strict=True):
        luma = frame.to_ndarray(format="gray")
        assert luma[:, 20:140].max() <= 16 + 6
        wanted = 16 + one.number % 200
        assert abs(float(luma[:, 180:300].mean()) - _gray(wanted, codec)) < 8, one.number


def _gray(luma: int, codec: str) -> float:
    """The brightness that a luma value of limited range is; JPEGs have the full range."""
    return float(luma) if codec == "mjpeg" else (luma - 16) * 255 / 219


def test_what_a_browser_plays_is_not_encoded_anew() -> None:
    """It costs no more than copying."""
    leader, _ = kept(filled(film()))
    assert isinstance(begin(io.BytesIO(), leader, (), whole), Copied)
