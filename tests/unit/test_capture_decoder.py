"""What decodes a stream: what is asked for where it can be had, else the CPU, and that is said."""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import av
import pytest

from support.capturing import capturing, order
from support.h264 import record
from support.scene import Scene
from tocsin.capture import hardware, opening
from tocsin.capture.decoder import Decode, Decoder, asked
from tocsin.capture.hardware import acceleration
from tocsin.capture.names import Resolver
from tocsin.capture.opening import Opening
from tocsin.capture.order import SourceOrder
from tocsin.capture.source import Source
from tocsin.errors import SourceError, SourceFault

NO_GPU = pytest.mark.skipif(
    any(Path("/dev").glob("nvidia[0-9]*")), reason="needs a machine without an NVIDIA GPU, and one is visible"
)


@pytest.mark.parametrize(
    ("device", "expected"), [("nvidia0", Decoder.CUDA), ("nvidiactl", Decoder.CPU), ("null", Decoder.CPU)]
)
def test_auto_takes_nvidia_s_decoder_where_a_device_is_visible(
    device: str, expected: Decoder, tmp_path: Path
) -> None:
    """The control device alone is no GPU."""
    (tmp_path / device).touch()
    assert asked("auto", tmp_path) is expected
    assert [asked(word, tmp_path) for word in ("cpu", "cuda", "vaapi")] == list(Decoder)


def _fails(error: Exception) -> Callable[..., Any]:
    def create(*_: object) -> None:
        raise error

    return create


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(av.error.PermissionError(1, "no device"), id="there is no device"),
        pytest.param(av.error.ExternalError(-542398533, "driver"), id="its driver fails"),
        pytest.param(NotImplementedError("no config"), id="this FFmpeg has none"),
        pytest.param(ValueError("no such type"), id="this FFmpeg does not know the word"),
    ],
)
def test_a_device_that_cannot_be_had_leaves_the_cpu(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever FFmpeg says, the camera is not opened with it."""
    stub = type("Stub", (), {"__init__": lambda *_: None, "create": _fails(error)})
    monkeypatch.setattr(hardware, "HWAccel", stub)
    assert acceleration(Decoder.CUDA) is None
    assert acceleration(Decoder.CPU) is None


def test_a_device_that_can_be_had_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was opened on trial is not what the camera is opened with: that is fresh."""
    made: list[Any] = []

    class Stub:
        def __init__(self, word: str) -> None:
            self.word, self.tried = word, False
            made.append(self)

        def create(self, _: object) -> None:
            self.tried = True

    monkeypatch.setattr(hardware, "HWAccel", Stub)
    assert acceleration(Decoder.VAAPI) is made[1]
    assert [(one.word, one.tried) for one in made] == [("vaapi", True), ("vaapi", False)]


@NO_GPU
@pytest.mark.parametrize("decode", ["cuda", "vaapi", "auto", "cpu"])
def test_a_stream_comes_whatever_is_asked_for(decode: Decode, tmp_path: Path) -> None:
    """On a machine without any of it every word gives pictures, decoded on the CPU."""
    path = record(Scene(), tmp_path / "clip.mp4", 0.5)
    source = Source(
        SourceOrder(str(path), realtime=False, decode=decode), Event(), lambda _: None, read_timeout=1.5
    )
    picture = next(iter(source.pictures()))
    assert picture.frame is not None
    assert source.decoder is Decoder.CPU
    source.close()


@NO_GPU
def test_the_daemon_hears_what_decodes(tmp_path: Path) -> None:
    """A stream that asks for a GPU is up without one, and the observer and the status are told the CPU."""
    path = record(Scene(), tmp_path / "clip.mp4", 2.0)
    with capturing(order(str(path), decode="cuda", loop=True)) as capture:
        capture.frames(1)
        capture.wait_count("decodes", "cpu")
        assert capture.status().decoder is Decoder.CPU


def test_a_device_that_takes_long_makes_no_camera_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers at once, with something else, is not taken for one that says nothing."""
    clock = [0.0]

    def slow(_: Decoder) -> None:
        clock[0] += 5.0

    def refuses(*_: object, **__: object) -> None:
        raise av.error.InvalidDataError(1, "no stream")

    monkeypatch.setattr(opening, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(opening, "acceleration", slow)
    monkeypatch.setattr(av, "open", refuses)
    asks = Opening(SourceOrder("http://192.0.2.1/"), lambda _: None, 1.5, Resolver(), True, Decoder.CUDA)
    with pytest.raises(SourceError) as caught:
        asks.open()
    assert (caught.value.fault, clock[0]) == (SourceFault.EOF, 5.0)


@pytest.mark.parametrize("error", [RuntimeError("no stream is compatible"), ValueError("no device")])
def test_a_device_that_fails_while_a_camera_is_opened_is_a_fault_of_decoding(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the next opening does without it; without a device the same is an error of ours."""

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(opening, "acceleration", lambda decoder: decoder if decoder is Decoder.CUDA else None)
    monkeypatch.setattr(av, "open", fails)

    def opened(device: Decoder) -> None:
        Opening(SourceOrder("http://192.0.2.1/"), lambda _: None, 1.5, Resolver(), True, device).open()

    with pytest.raises(SourceError, match="expected cuda to decode, found ") as caught:
        opened(Decoder.CUDA)
    assert caught.value.fault is SourceFault.DECODE
    with pytest.raises(type(error)):
        opened(Decoder.CPU)
