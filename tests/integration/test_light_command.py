"""`tocsin light` on real pictures and recordings: what is on the PNG, what is printed, what bad input gets."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import typer
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from tocsin.errors import InputError
from tocsin.footage import camera
from tocsin.footage.options import LightMode, light_mode
from tocsin.footage.simulate import parse
from tocsin.frame import Correction, Reason
from tocsin.light.plan import Mode
from tocsin.lightcard import card, run
from tocsin.lightcard.command import light
from tocsin.lightcard.sheet import MARGIN, TITLE, colour_of

Rgb = NDArray[np.uint8]


@pytest.fixture(scope="session")
def photo(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture of the clip, as a PNG."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    with av.open(str(clip)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="bgr24")
    assert cv2.imwrite(str(path), picture)
    return path


@pytest.fixture(scope="session")
def recording(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of the clip, ten pictures a second; behind a veil from second 2 to 4."""
    path = tmp_path_factory.mktemp("recording") / "veil.mp4"
    veil = parse("veil0.75")[0]
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 384, 288, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            if number == 60:
                break
            rgb = frame.reformat(width=384, height=288).to_ndarray(format="rgb24")
            shown = av.VideoFrame.from_ndarray(
                veil.apply(rgb, 0) if 20 <= number < 40 else rgb, format="rgb24"
            )
            target.mux(stream.encode(shown))
        target.mux(stream.encode(None))
    return path


def png(path: Path) -> Rgb:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert picture is not None, f"{path} is no picture"
    return np.asarray(picture, np.uint8)


def held(picture: Rgb, colour: str) -> int:
    """The pixels that have a colour such as #009e73."""
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return int((np.abs(picture.astype(int) - wanted).max(axis=2) <= 2).sum())


def panels(picture: Rgb) -> list[Rgb]:
    """The pictures before and after on the card of one picture, by where the layout puts them."""
    inch, side = card.DPI, card.SIDE
    found = []
    for place in range(2):
        left = round((MARGIN + place * (side + card.GAP) + 0.1) * inch)
        top = round((TITLE + 0.45) * inch)
        found.append(picture[top : top + 3 * inch, left : left + round((side - 0.2) * inch)])
    return found


def test_a_picture_that_is_left_alone_is_shown_as_it_is(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before and after are the same, the decision and its reason are told, and the last line says where it is."""
    out = tmp_path / "card.png"
    light(photo, out, mode=LightMode.OFF)
    before, after = panels(png(out))
    assert before.std() > 30
    assert np.abs(before.astype(int) - after).mean() < 4
    printed = capsys.readouterr()
    assert "correction: none (the mode is off)" in printed.out
    assert printed.out.splitlines()[-1] == f"picture: {out}"
    assert printed.err == ""


def test_a_veiled_picture_is_shown_before_and_after(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The picture after the correction has much more contrast than before, and bears the correction's colour."""
    out = tmp_path / "card.png"
    light(photo, out, simulate="veil0.75", as_json=True)
    picture = png(out)
    before, after = panels(picture)
    assert after.std() > 2 * before.std()
    assert before.mean() > after.mean() + 40
    assert held(picture, colour_of(Correction(json.loads(capsys.readouterr().out)["correction"]))) > 2000


def test_where_and_how_much_is_a_picture_of_its_own(photo: Path, tmp_path: Path) -> None:
    """With glare on one half the card is one picture wider, and that picture is bright where the glare is."""
    light(photo, tmp_path / "without.png", mode=LightMode.OFF)
    light(photo, tmp_path / "with.png", simulate="halfveil0.75")
    without, laid = png(tmp_path / "without.png"), png(tmp_path / "with.png")
    wider = round((card.SIDE + card.GAP) * card.DPI)
    assert laid.shape[1] - without.shape[1] == pytest.approx(wider, abs=2)
    left = round((MARGIN + 2 * (card.SIDE + card.GAP)) * card.DPI)
    quarter = round(card.SIDE * card.DPI / 4)
    top = round((TITLE + 0.45) * card.DPI)
    rows = slice(top, top + 300)
    veiled, clear = (laid[rows, left + start : left + start + quarter - 20] for start in (10, 3 * quarter))
    green = [float(np.median(part[..., 1].astype(int) - part[..., 2])) for part in (veiled, clear)]
    assert green[0] > green[1] + 20, "viridis goes from violet to green and yellow"


def test_programs_get_the_numbers_of_a_picture(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json stdout is one JSON object with the light before and after, the decision and the place."""
    light(photo, tmp_path / "card.png", simulate="veil0.75", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["size"] == [768, 576]
    assert found["input"] == [416, 312]
    assert found["condition"] == "veil0.75"
    assert found["correction"] != "none"
    assert found["reason"]
    assert found["before"]["contrast"] < 100 < found["after"]["contrast"]
    assert found["out"] == str(tmp_path / "card.png")


def test_a_recording_is_shown_over_its_time(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The timeline covers the recording, the veil is darkened, and both changes are counted and told."""
    light(recording, tmp_path / "card.png", mode=LightMode.DACOT, as_json=True)
    found = json.loads(capsys.readouterr().out)
    kinds = ("read", "treated", "skipped", "damaged", "gaps", "seconds_in_gaps", "seconds_missing")
    assert found["frames"] == dict(zip(kinds, (60, 60, 0, 0, 0, 0, 0), strict=True))
    assert found["cannot_be_seen"] == {"frames": {}, "impaired": []}
    assert found["seconds"] == pytest.approx(6.0, abs=0.15)
    assert found["changes"]["count"] == 2
    begun, over = found["changes"]["first"]
    assert (begun["from"], begun["to"], over["to"]) == ("none", "darken+clahe", "none")
    assert 1.95 <= begun["at"] <= 3.0 < 3.95 <= over["at"]
    spans = found["timeline"]
    assert spans[0]["from"] == 0
    assert all(early["to"] == late["from"] for early, late in pairwise(spans))
    veiled = [span["contrast"] for span in spans if 2.5 <= span["from"] < 3.5]
    assert max(veiled) < 100 < min(span["contrast"] for span in spans if span["from"] < 1.5)


def test_the_strip_and_the_bars_are_on_the_picture(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bars have the colours of both corrections in their shares, and the changes are told with their reason."""
    light(recording, tmp_path / "card.png", mode=LightMode.DACOT)
    picture = png(tmp_path / "card.png")
    bars = picture[-round(1.6 * card.DPI) : -round(1.3 * card.DPI)]
    corrected, clear = (held(bars, colour_of(one)) for one in (Correction.DARKEN_CLAHE, Correction.NONE))
    assert 0.2 < corrected / (corrected + clear) < 0.5
    assert corrected + clear > 0.8 * bars.shape[0] * bars.shape[1]
    printed = capsys.readouterr().out
    assert "changes of correction: 2 (at most 2 within ten seconds)" in printed
    assert "none -> darken+clahe (brighter than the threshold)" in printed


def test_ten_frames_a_second_are_treated(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recording of 30 frames a second is treated as max_fps 10 does; --every counts frames instead."""
    fast = tmp_path / "fast.mp4"
    with av.open(str(clip)) as source, av.open(str(fast), "w") as target:
        stream = target.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            if number == 60:
                break
            rgb = frame.reformat(width=192, height=144).to_ndarray(format="rgb24")
            target.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        target.mux(stream.encode(None))
    light(fast, tmp_path / "a.png", as_json=True)
    assert json.loads(capsys.readouterr().out)["frames"]["treated"] in (20, 21)
    light(fast, tmp_path / "b.png", every=30, as_json=True)
    frames = json.loads(capsys.readouterr().out)["frames"]
    assert (frames["read"], frames["treated"], frames["skipped"]) == (60, 2, 0)


def write_video(path: Path, pictures: Iterable[Rgb], rate: int = 10, codec: str = "libx264") -> Path:
    """A recording of these pictures."""
    with av.open(str(path), "w") as target:
        stream: av.VideoStream | None = None
        for rgb in pictures:
            if stream is None:
                stream = target.add_stream(codec, rate=rate)
                stream.width, stream.height, stream.pix_fmt = rgb.shape[1], rgb.shape[0], "yuv420p"
            target.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        assert stream is not None, "a recording has pictures"
        target.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def blackout(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds of one picture, black from second 5 to 25."""
    seen = cv2.resize(png(photo), (192, 144))
    pictures = (np.zeros_like(seen) if 50 <= number < 250 else seen for number in range(400))
    return write_video(tmp_path_factory.mktemp("blackout") / "blackout.mp4", pictures)


def words_drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that is filled with what is written on the next card."""
    drawn: list[str] = []
    save = Figure.savefig

    def listed(figure: Figure, *given: Any, **more: Any) -> None:
        drawn.extend(text.get_text() for text in figure.findobj(Text))
        save(figure, *given, **more)

    monkeypatch.setattr(Figure, "savefig", listed)
    return drawn


def test_a_recording_that_the_daemon_would_call_blind_says_so(
    blackout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it cannot be seen and what would be sent is printed, hatched, and there for programs."""
    drawn = words_drawn(monkeypatch)
    light(blackout, tmp_path / "card.png")
    printed = capsys.readouterr().out
    assert re.search("^frames that cannot be seen: (199|200|201) too_dark$", printed, re.MULTILINE)
    assert "  0:05.0 to 0:24.9 too_dark: stream.impaired at 0:15, stream.restored at 0:30" in printed
    assert "cannot be seen: stream.impaired" in drawn
    red, green, blue = np.moveaxis(png(tmp_path / "card.png")[-round(4.2 * card.DPI) :].astype(int), 2, 0)
    assert (red - np.maximum(green, blue) > 60).sum() > 5000, "the hatching"
    light(blackout, tmp_path / "card.png", as_json=True)
    found = json.loads(capsys.readouterr().out)["cannot_be_seen"]
    (stretch,) = found["impaired"]
    assert stretch["reason"] == "too_dark"
    assert stretch["begins"] == pytest.approx(5.0, abs=0.11)
    assert stretch["ends"] == pytest.approx(24.9, abs=0.11)
    assert stretch["reported"] == pytest.approx(15.0, abs=0.11)
    assert stretch["restored"] == pytest.approx(30.0, abs=0.11)


def test_what_is_left_alone_as_hopeless_looks_unlike_what_is_good(blackout: Path, tmp_path: Path) -> None:
    """The bars have another grey, with a word of its own, where there was nothing to bring out."""
    light(blackout, tmp_path / "card.png")
    bars = png(tmp_path / "card.png")[-round(1.6 * card.DPI) : -round(1.3 * card.DPI)]
    good = held(bars, colour_of(Correction.NONE, Reason.GOOD.value))
    hopeless = held(bars, colour_of(Correction.NONE, Reason.UNIFORM.value))
    assert 0.2 < hopeless / (good + hopeless) < 0.55, "the hatching covers some of it"
    shades = [colour_of(Correction.NONE, reason.value) for reason in Reason]
    assert len(set(shades)) == 3, "good, uniform, overexposed"


def test_a_picture_that_cannot_be_seen_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the card, in the numbers, and for programs."""
    assert cv2.imwrite(str(tmp_path / "black.png"), np.zeros((144, 192, 3), np.uint8))
    drawn = words_drawn(monkeypatch)
    light(tmp_path / "black.png", tmp_path / "card.png")
    sentence = "too dark to be seen: lasting, it would be stream.impaired"
    assert sentence in capsys.readouterr().out
    assert sentence in [" ".join(words.split()) for words in drawn]
    light(tmp_path / "black.png", tmp_path / "card.png", as_json=True)
    assert json.loads(capsys.readouterr().out)["cannot_be_seen"] == "too_dark"


def test_the_scale_of_gains_says_what_they_are(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that differences of luma grow by, the part of the whole picture included."""
    drawn = words_drawn(monkeypatch)
    light(photo, tmp_path / "card.png", simulate="halfveil0.75")
    assert "differences of luma grow by" in drawn


def test_what_no_correction_changes_is_shown_once(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The colours have no number of their own after it."""
    light(photo, tmp_path / "card.png", simulate="veil0.5")
    lines = {line.rsplit("  ", 2)[0].strip(): line.split() for line in capsys.readouterr().out.splitlines()}
    (coloured,) = (line for name, line in lines.items() if name.startswith("coloured"))
    assert len(coloured) == 2, "the word and one number"


def test_one_frame_of_a_recording_is_said_to_be_one(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --every beyond the end, the card tells of how many."""
    drawn = words_drawn(monkeypatch)
    light(recording, tmp_path / "card.png", every=100000)
    assert "1 of 60 frames treated, at 0:00; 384x288" in capsys.readouterr().out.splitlines()[0]
    assert any("1 of 60 frames treated" in words for words in drawn)


def test_ctrl_c_says_that_nothing_was_written(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends with the code of an interrupted command."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "collect", stopped)
    with pytest.raises(typer.Exit) as ended:
        light(recording, tmp_path / "card.png")
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "tocsin: stopped; nothing was written\n"
    assert not (tmp_path / "card.png").exists()


def test_frames_that_vanished_are_told(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Noise in the middle of an AVI leaves no fault behind but a recording shorter than its header says."""
    chance = np.random.default_rng(0)
    seen = cv2.resize(png(photo), (192, 144))
    noisy = (np.clip(seen + chance.normal(0, 9, seen.shape), 0, 255).astype(np.uint8) for _ in range(100))
    path = write_video(tmp_path / "v.avi", noisy, codec="msmpeg4")
    data = bytearray(path.read_bytes())
    middle, length = len(data) // 2, len(data) // 5
    data[middle : middle + length] = chance.bytes(length)
    path.write_bytes(data)
    light(path, tmp_path / "card.png", as_json=True)
    printed = capsys.readouterr()
    frames = json.loads(printed.out)["frames"]
    assert frames["read"] < 90
    assert frames["seconds_missing"] > 1
    assert "v.avi: expected 10.0 s of frames, as the file's header says, found" in printed.err
    light(path, tmp_path / "card.png")
    assert "s fewer than the file's header says" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("address", ["rtsp://user:secret@camera/stream", "http://camera/mjpeg", "/dev/null"])
def test_a_camera_is_no_recording(tmp_path: Path, address: str) -> None:
    """It says what to do, and repeats no password."""
    with pytest.raises(InputError, match="found the address of a camera: record a minute") as told:
        light(Path(address), tmp_path / "card.png")
    assert "secret" not in str(told.value)


CONFIG = """
streams:
  - {name: yard, source: /dev/video0, rules: [intruder]}
  - {name: shop, source: /dev/video1, rules: [intruder], max_fps: 5, light: {mode: dacot, brighter_than: 30}}
rules:
  - {name: intruder, classes: [person], confirm: {hits: 2, of: 5, within: 3s}}
"""


def test_a_stream_s_settings_are_taken_from_a_configuration(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mode, threshold and rate are the stream's; what is asked for on the command line comes first."""
    config = tmp_path / "tocsin.yaml"
    config.write_text(CONFIG)
    light(recording, tmp_path / "a.png", config=config, stream="shop", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["mode"], found["frames"]["treated"]) == ("dacot", 30)
    assert "none" not in {one["correction"] for one in found["corrections"]}
    light(recording, tmp_path / "b.png", config=config, stream="shop", mode=LightMode.OFF, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert {one["correction"] for one in found["corrections"]} == {"none"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"stream": "yard"}, "--stream: expected --config beside it", id="a stream of nothing"),
        pytest.param(
            {"config": True}, "expected --stream with one of yard, shop, found none", id="which stream"
        ),
        pytest.param(
            {"config": True, "stream": "yrad"},
            "--stream: expected one of yard, shop in .*, found yrad",
            id="no such stream",
        ),
        pytest.param(
            {"size": "0"}, "--size: expected a size such as 416 or 640x384, .* found 0", id="no size"
        ),
        pytest.param({"size": "416", "model": "m"}, "--size: expected it without --model", id="two sizes"),
        pytest.param(
            {"brighter_than": 5.0},
            "--brighter-than: expected it only with --mode dacot, found mode guided",
            id="a threshold of nothing",
        ),
        pytest.param(
            {"simulate": "ev+1,ev+2"}, "--simulate: expected one condition, found 2", id="two conditions"
        ),
        pytest.param({"simulate": "fog"}, "condition 'fog': expected one of ev, ", id="no condition"),
    ],
)
def test_wrong_usage_gets_a_sentence(
    photo: Path, tmp_path: Path, options: dict[str, object], sentence: str
) -> None:
    """Each names the option, what was expected and what was found; nothing is written."""
    config = tmp_path / "tocsin.yaml"
    config.write_text(CONFIG)
    if options.get("config"):
        options = {**options, "config": config}
    with pytest.raises(InputError, match=sentence):
        light(photo, tmp_path / "card.png", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "card.png").exists()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        pytest.param(
            "none.jpg", None, "none.jpg: expected an image or a video, found nothing there", id="nothing"
        ),
        pytest.param(
            "text.jpg", b"hello\n", "text.jpg: expected an image, found data of another kind", id="a text"
        ),
        pytest.param(
            "empty.png", b"", "empty.png: expected an image, found an empty file", id="an empty image"
        ),
        pytest.param("empty.mp4", b"", "empty.mp4: expected a video, found", id="an empty video"),
        pytest.param("text.mp4", b"hello\n", "text.mp4: expected a video, found", id="a text called video"),
    ],
)
def test_rubbish_gets_a_sentence(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    """Each names the file, what was expected and what was found; nothing is written."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        light(tmp_path / name, tmp_path / "card.png")
    assert not (tmp_path / "card.png").exists()


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    """A folder of images has no time: it is refused."""
    with pytest.raises(InputError, match="expected an image or a video, found a folder"):
        light(tmp_path, tmp_path / "card.png")


def test_damaged_frames_are_left_out_and_counted(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What can be read is shown, the first fault and their number are told; --strict makes it the end."""
    data = bytearray(recording.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    light(damaged, tmp_path / "card.png", as_json=True)
    printed = capsys.readouterr()
    frames = json.loads(printed.out)["frames"]
    assert frames["skipped"] >= 1
    assert frames["read"] + frames["skipped"] <= 60
    assert "damaged.mp4: frame" in printed.err
    with pytest.raises(InputError, match=r"damaged\.mp4: frame"):
        light(damaged, tmp_path / "strict.png", strict=True)
    assert not (tmp_path / "strict.png").exists()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 1), id="one pixel"),
        pytest.param((10, 4000), id="very wide"),
        pytest.param((4000, 10), id="very tall"),
        pytest.param((480, 640), id="black"),
    ],
)
def test_strange_pictures_are_drawn(tmp_path: Path, shape: tuple[int, int]) -> None:
    """A card comes out of every picture, without a warning."""
    odd = tmp_path / "odd $x_1$ \N{SNOWMAN} \N{CJK UNIFIED IDEOGRAPH-4E00}.png"
    assert cv2.imwrite(str(odd), np.zeros(shape, np.uint8))
    light(odd, tmp_path / "card.png")
    height, width = png(tmp_path / "card.png").shape[:2]
    assert 400 <= height <= 2000
    assert 1000 <= width <= 3000


def test_an_unknown_mode_gets_the_known_ones() -> None:
    """In the manner of all other sentences."""
    assert light_mode("dacot") is LightMode.DACOT
    with pytest.raises(typer.BadParameter, match=r"^expected one of guided, dacot, off, found foo$"):
        light_mode("foo")


def test_colours_tell_the_corrections_apart() -> None:
    """Each correction has a colour of its own."""
    assert len({colour_of(correction) for correction in Correction}) == len(Correction)


def test_the_modes_are_those_of_the_configuration() -> None:
    """The command, which loads nothing until it runs, names the same modes."""
    assert [str(mode) for mode in LightMode] == [str(mode) for mode in Mode]


def test_the_default_input_is_the_bundled_model_s() -> None:
    """Pictures are shrunk to what the shipped detector takes, without opening it."""
    size = camera.input_size(camera.Settings())
    assert (size.width, size.height, size.keep_aspect) == (416, 416, True)


def test_the_command_line_starts_without_what_draws() -> None:
    """Importing the command line loads neither matplotlib nor OpenCV nor the decoder."""
    code = (
        "import sys, tocsin.cli; print([m for m in ('matplotlib', 'cv2', 'av', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "[]"
