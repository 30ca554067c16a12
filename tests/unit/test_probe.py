"""What `tocsin probe` computes and says, without a camera."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tocsin.capture.decoder import Decode, Decoder
from tocsin.capture.order import SourceOrder, ViewOrder
from tocsin.config.load import loads
from tocsin.errors import InputError, SourceError, SourceFault
from tocsin.footage.views import Kind
from tocsin.frame import Correction, Light, Reason
from tocsin.probe import words
from tocsin.probe.look import Seen
from tocsin.probe.rhythm import Rhythm
from tocsin.probe.ruler import Ruler, kinds_from, lengths, lines
from tocsin.probe.streams import lenses

PLACE: dict[str, Any] = {"name": "test", "folder": Path("/")}
WHOLE = ViewOrder(416, 416, keep_aspect=True)
SEEN = Seen(
    codec="h264",
    width=1920,
    height=1080,
    opened=0.4,
    first=0.5,
    watched=2.5,
    rate=12.5,
    declared=25.0,
    keyframe_every=25.0,
    damaged=0,
    light=Light(mean=118.0, p1=10.0, p50=110.0, p99=210.0, clipped_low=0.0, clipped_high=0.0),
    correction=Correction.NONE,
    reason=Reason.GOOD,
    transport="tcp",
)


def test_the_table_tells_what_each_kind_of_view_shows() -> None:
    """25 cm at five metres, 1080p, 90 degrees: 48 pixels of the camera, 10 in a 416 input, 27 in a tile of six."""
    kinds = kinds_from("full,tiles:2x3", WHOLE)
    assert lengths(Ruler(), kinds, 1920, 1080)[1] == pytest.approx([48.0, 10.4, 27.0], abs=0.1)
    assert list(lines(Ruler(), kinds, 1920, 1080)) == [
        "pixels of 25 cm  camera  full  tiles 2x3",
        "            3 m      80    17         45",
        "            5 m      48    10         27",
        "           10 m      24   5.2         13",
        "facing the camera in the middle of the picture; lens 90 degrees, detector input 416x416",
    ]


def test_lens_and_length_change_every_column() -> None:
    """Half the length has half the pixels; a lens of 53.13 degrees has twice those of 90."""
    kinds = kinds_from("full", WHOLE)
    usual = lengths(Ruler(), kinds, 1920, 1080)
    for before, small, tele in zip(
        usual,
        lengths(Ruler(size=0.125), kinds, 1920, 1080),
        lengths(Ruler(lens=53.130102), kinds, 1920, 1080),
        strict=True,
    ):
        assert small == pytest.approx([pixels / 2 for pixels in before])
        assert tele == pytest.approx([pixels * 2 for pixels in before])


def test_of_several_views_the_largest_counts() -> None:
    """A kind of view shows an object as large as the best of its views does."""
    near = replace(WHOLE, region=(0.4, 0.4, 0.5, 0.6), grow=True)
    assert lengths(Ruler(), [Kind("zones", (WHOLE, near))], 1920, 1080)[1] == pytest.approx([48, 48])


@pytest.mark.parametrize(
    "word", ["zones", "tiles", "tiles:9x2", "tiles:1x1", "tiles:2x3:0.9", "tiles:2x3:", "", "full,"]
)
def test_an_unknown_kind_of_view_is_refused(word: str) -> None:
    """The sentence says what can be written."""
    with pytest.raises(InputError, match=r"--views: expected full, or tiles:ROWSxCOLUMNS .*, found"):
        kinds_from(word, WHOLE)


def test_the_overlap_of_tiles_can_be_told() -> None:
    """More overlap makes larger tiles."""
    little, much = kinds_from("tiles:2x3:0.1,tiles:2x3:0.5", WHOLE)
    assert little.orders[0].region[2] < much.orders[0].region[2]


def test_what_waited_at_the_door_does_not_count_in_the_rate() -> None:
    """Eight frames at once and then ten a second are ten a second, with a keyframe every fifteen frames."""
    rhythm = Rhythm()
    for number in range(40):
        rhythm.note(max(0, number - 7) * 0.1, keyframe=number % 15 == 0)
    assert rhythm.rate == pytest.approx(10.0)
    assert rhythm.seconds == pytest.approx(2.7)
    assert rhythm.keyframe_every == 15


@pytest.mark.parametrize(("times", "rate"), [([], None), ([5.0], None), ([5.0, 5.2], 5.0)])
def test_a_few_frames_say_what_they_can(times: list[float], rate: float | None) -> None:
    """One frame has no rate; two within the first moment have that of their distance."""
    rhythm = Rhythm()
    for at in times:
        rhythm.note(at, keyframe=True)
    assert rhythm.begun is bool(times)
    assert rhythm.rate == (None if rate is None else pytest.approx(rate))


def test_a_camera_is_told_in_five_lines() -> None:
    """Where, how fast it opened, what it sends, how fast, in which light."""
    assert list(words.lines(SEEN, SourceOrder("rtsp://10.0.0.7/stream1"))) == [
        "source     rtsp://10.0.0.7, by tcp",
        "opened     after 0.40 s, first clean frame after 0.50 s",
        "picture    h264, 1920x1080",
        "rate       12.5 frames a second over 2.5 s (the stream says 25); a keyframe every 2.0 s",
        "light      mean 118 and contrast 200 of 255; correction none: contrast is good",
    ]


def test_a_transport_that_was_not_asked_for_is_told() -> None:
    """A firewall drops UDP: the camera is read all the same, and the installer knows."""
    (first, *_) = words.lines(SEEN, SourceOrder("rtsp://10.0.0.7/stream1", transport="udp"))
    assert first == "source     rtsp://10.0.0.7, by tcp, since nothing comes by udp"
    assert words.carried(SourceOrder("rtsps://10.0.0.7/stream1"), SEEN) == "tls"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"keyframe_every": None}, "no second keyframe in that time"),
        ({"keyframe_every": 1.0}, "each is a keyframe"),
        ({"damaged": 7}, "; 7 damaged"),
        ({"rate": None}, "unknown: only one frame came"),
    ],
)
def test_what_is_unusual_about_the_rate_is_said(change: dict[str, float | None], sentence: str) -> None:
    """No figure stands for what could not be measured."""
    assert sentence in words.rate(replace(SEEN, **change))


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("rtsp://10.0.0.7:8554/user=admin_password=hush_channel=1.sdp", "rtsp://10.0.0.7:8554"),
        ("http://camera/video?user=admin&pwd=hush", "http://camera"),
        ("rtsps://[fe80::1]/x", "rtsps://[fe80::1]"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_no_part_of_an_address_that_may_hold_a_password_is_shown(location: str, place: str) -> None:
    """Some cameras want it in the path or the query: only the host is printed."""
    source = SourceOrder(location, username="viewer", password="hush")
    assert words.place(source) == place
    assert "hush" not in words.why(SourceError(SourceFault.AUTH, "refused"), source)


def test_a_lens_may_be_told_for_one_stream_or_all() -> None:
    """What names a stream wins, in whatever order they stand."""
    config = loads(b"streams: [{name: a, source: /dev/video0}, {name: b, source: /dev/video1}]", **PLACE)
    assert lenses([], config) == {"a": 90.0, "b": 90.0}
    assert lenses(["b=100", "60"], config) == {"a": 60.0, "b": 100.0}


@pytest.mark.parametrize("word", ["c=90", "a=", "a=180", "wide", "0", "nan"])
def test_a_lens_that_cannot_be_is_refused(word: str) -> None:
    """The sentence says what is expected."""
    config = loads(b"streams: [{name: a, source: /dev/video0}]", **PLACE)
    with pytest.raises(InputError, match=r"--lens: expected .*, found"):
        lenses([word], config)


@pytest.mark.parametrize(
    ("decode", "decoder", "said"),
    [
        ("cpu", Decoder.CPU, ""),
        ("cuda", Decoder.CUDA, ", decoded by cuda"),
        ("vaapi", Decoder.CPU, ", decoded on the CPU: expected vaapi, which cannot be had here"),
    ],
)
def test_a_decoder_that_cannot_be_had_is_said(decode: Decode, decoder: Decoder, said: str) -> None:
    """What was asked for and had is said too, but not the usual."""
    source = SourceOrder("rtsp://camera/a", decode=decode)
    assert words.decoded(replace(SEEN, decoder=decoder), source) == said
    assert words.as_json(replace(SEEN, decoder=decoder), source)["decoder"] == decoder
