"""The fault matrix, where a stream is opened: rows 1 to 5, 11 to 13 and 26."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice, pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import structlog.testing

from support import webcam
from support.access import Login
from support.blackhole import black_hole
from support.camera import FakeCamera
from support.capturing import order
from support.daemon import Daemon
from support.metered import Metered, metered
from support.mjpeg import FakeMjpegCamera
from support.nameserver import NameServer
from support.process import command_line, descendants
from support.receiver import Receiver
from support.scene import Scene
from support.site import site, stream
from support.tls import Certificates, TlsFront
from support.wait import SCALE, until
from tocsin.capture import process
from tocsin.capture.mailbox import Mailbox, create
from tocsin.capture.names import Resolver
from tocsin.capture.order import SourceOrder, Transport
from tocsin.capture.source import Source
from tocsin.capture.status import StreamState
from tocsin.capture.worker import Worker
from tocsin.errors import SourceError, SourceFault

FAILURES = "stream_connect_failures_total"


def _failed(capture: Metered, reason: str, at_least: float = 1, timeout: float = 20.0) -> float:
    """Wait for failures of a reason, and see that the stream is not up; return when."""
    at = capture.wait_metric(FAILURES, at_least, timeout, reason=reason)
    assert capture.metric("stream_up") == 0
    assert capture.metric("stream_connects_total") == 0
    until(lambda: capture.status().fault == reason, 5.0, "the status to say why")
    return at


@pytest.mark.fault(1)
def test_a_closed_port_is_refused_and_harms_no_other_camera() -> None:
    """It is tried again soon, while frames of the other one go on coming."""
    with FakeCamera(Scene(fps=10)) as dead, FakeCamera(Scene(fps=10)) as live, dead.refusing():
        assert dead.faults.fired["refused"] == 1
        with metered(order(dead.url), order(live.url, name="door")) as capture:
            _failed(capture, "refused", at_least=3)
            assert {frame.stream for frame in capture.frames(10)} == {"door"}
            assert (
                capture.metric("stream_up", "door"),
                capture.metric(FAILURES, "door", reason="refused"),
            ) == (1, 0)
            assert "check the port and whether RTSP is on" in capture.status().message


@pytest.mark.fault(2)
def test_a_black_hole_is_told_within_five_seconds() -> None:
    """Nothing answers, not even by a refusal: the address or a firewall is to blame."""
    with black_hole() as port, metered(order(f"rtsp://127.0.0.1:{port}/a")) as capture:
        first = _failed(capture, "connect_timeout")
        again = _failed(capture, "connect_timeout", at_least=2)
        assert again - first < (0.6 + 5.0) * SCALE + 1.0
        assert "firewall" in capture.status().message


@pytest.mark.fault(3)
def test_a_camera_that_accepts_and_is_silent_is_told_within_five_seconds() -> None:
    """The address is right and the network too: the camera hangs, at once or when it is asked for the stream."""
    with (
        FakeCamera() as mute,
        FakeCamera() as stuck,
        mute.faults(silent=True),
        stuck.faults(hang_on="DESCRIBE"),
        metered(order(mute.url), order(stuck.url, name="door")) as capture,
    ):
        first = _failed(capture, "handshake_timeout")
        again = _failed(capture, "handshake_timeout", at_least=2)
        assert again - first < (0.6 + 5.0) * SCALE + 1.0
        assert len(mute.accepted) <= 3, "each try is one connection, and a third try may have begun"
        assert "it connects but says nothing" in capture.status().message
        capture.wait_metric(FAILURES, 2, stream="door", reason="handshake_timeout")


@pytest.fixture
def names() -> Iterator[NameServer]:
    """A name server that knows one camera."""
    with NameServer(camera_test="127.0.0.1") as running:
        yield running


REMEMBERED = "the name server fails, and the stream is read at its last known address"


@pytest.mark.fault(4)
def test_a_dead_name_server_is_told_and_the_last_known_address_is_used(
    names: NameServer, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Before the name was ever known it is a fault within three seconds; afterwards only the log tells of it."""
    with FakeCamera(Scene(fps=10)) as camera:
        url = camera.url.replace("127.0.0.1", "camera.test")
        config = site(block_model, receiver, stream("yard", url))
        names.is_silent = True
        with Daemon(config, tmp_path, inside=names.surroundings(tmp_path / "etc")) as daemon:
            daemon.wait_ready()
            daemon.wait_metric(f"tocsin_{FAILURES}", 1, reason="dns")
            assert time.monotonic() - names.asked[0][0] < 3.0 + 4.0 * SCALE
            assert {name for _, name in names.asked} == {"camera.test"}
            names.is_silent = False
            daemon.wait_metric("tocsin_stream_connects_total", 1, timeout=30.0)
            assert REMEMBERED not in daemon.log
            names.is_silent = True
            for connects in (2, 3):
                asked = len(names.asked)
                camera.hang_up()
                daemon.wait_metric("tocsin_stream_connects_total", connects, timeout=30.0)
                assert len(names.asked) > asked or connects == 3, "the name server was not asked"
            daemon.wait_log(REMEMBERED)
            assert daemon.log.count(REMEMBERED) == 1


@pytest.mark.fault(5)
def test_a_name_that_does_not_exist_is_told_and_asked_for_again(
    names: NameServer, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """As soon as the name is known the stream comes up by itself."""
    with FakeCamera(Scene(fps=10)) as camera:
        config = site(block_model, receiver, stream("yard", camera.url.replace("127.0.0.1", "new.test")))
        with Daemon(config, tmp_path, inside=names.surroundings(tmp_path / "etc")) as daemon:
            daemon.wait_metric(f"tocsin_{FAILURES}", 2, timeout=30.0, reason="dns")
            assert "new.test" in {name for _, name in names.asked}
            assert "expected the name server to know new.test, found: " in daemon.log
            assert daemon.metric("tocsin_stream_worker_restarts_total") == 0
            names.addresses["new_test"] = "127.0.0.1"
            daemon.wait_metric("tocsin_stream_connects_total", 1, timeout=30.0)


LOGIN = Login("viewer", "r1ght/p@ss")
WRONG = "wr0ng/p@ss:wörd"


def _logins(camera: FakeCamera) -> int:
    """Return how often the stream was asked for with a password, or the proof of one."""
    return sum(one.method == "DESCRIBE" and "authorization" in one.headers for one in camera.requests)


@pytest.mark.fault(11)
def test_a_refused_password_is_tried_once_in_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of a worker's life whose waits take no time, against a camera that counts."""
    daemon, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with FakeCamera(login=LOGIN) as camera, ExitStack() as ends:
        for end in (daemon, theirs):
            ends.callback(end.close)
        one = order(camera.url, username="viewer", password=WRONG)
        descriptor = create(one.slot_bytes)
        life = Worker(one, theirs, Mailbox(descriptor, one.slot_bytes))
        os.close(descriptor)
        clock: list[float] = [0.0]
        tries: list[float] = []
        monkeypatch.setattr(life._stop, "wait", lambda seconds: clock.append(clock[-1] + seconds))
        while clock[-1] < 3600.0:
            tries.append(clock[-1])
            with pytest.raises(SourceError) as caught:
                life._serve()
            assert caught.value.fault is SourceFault.AUTH
            life._wait(caught.value)
        assert min(after - before for before, after in pairwise(tries)) >= 299.9
        assert _logins(camera) == len(tries) <= 12


@pytest.mark.fault(11)
@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
def test_a_refused_password_is_told_and_never_shown(scheme: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """The camera sees it once and nobody else ever does."""
    with FakeCamera(login=Login(LOGIN.username, LOGIN.password, scheme=scheme)) as camera:
        with metered(order(camera.url, username="viewer", password=WRONG)) as capture:
            _failed(capture, "auth")
            assert capture.status().message == "the camera refused the user name or password"
            said = capture.text() + repr(capture.status())
            said += "".join(" ".join(command_line(pid)) for pid in descendants(os.getpid()))
            assert _logins(camera) == 1
        with metered(order(camera.url, username=LOGIN.username, password=LOGIN.password)) as capture:
            capture.wait_metric("stream_connects_total")
    out, err = capfd.readouterr()
    assert not any(word in said + out + err for word in ("wr0ng", "r1ght"))


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
@pytest.mark.parametrize("password", ["p@ss:/?#[]% +", "wörd %40 !$&'()*,;="], ids=["marks", "letters"])
def test_an_odd_password_opens_the_camera(scheme: Any, password: str) -> None:
    """FFmpeg decodes what was encoded for it, and no more."""
    with FakeCamera(Scene(fps=10), login=Login("viewer", password, scheme=scheme)) as camera:
        found = SourceOrder(camera.url, username="viewer", password=password)
        Source(found, Event(), lambda _: None, read_timeout=1.5).close()
        assert _logins(camera) == 1


@pytest.mark.fault(12)
def test_a_digest_that_ffmpeg_cannot_do_is_no_wrong_password() -> None:
    """The sentence says what to set in the camera; the password, which is right, is shown to nobody."""
    login = Login("viewer", "s3cret", algorithm="SHA-256")
    with FakeCamera(login=login) as camera:
        with metered(order(camera.url, username="viewer", password="s3cret")) as capture:
            _failed(capture, "auth_unsupported")
            message = capture.status().message
            assert "Digest with SHA-256" in message
            assert "set the camera's login for streams to Digest with MD5, or to Basic" in message
            assert capture.metric(FAILURES, reason="auth") == 0
        assert any(request.method == "DESCRIBE" for request in camera.requests)
        assert _logins(camera) == 0


@pytest.mark.parametrize(
    ("login", "fault"),
    [
        (Login("viewer", "r1ght", scheme="Basic"), SourceFault.AUTH),
        (Login("viewer", "r1ght"), SourceFault.AUTH),
        (Login("viewer", "r1ght", algorithm="SHA-256"), SourceFault.AUTH_UNSUPPORTED),
    ],
    ids=["Basic", "Digest MD5", "Digest SHA-256"],
)
def test_a_login_over_http_is_told_in_the_same_words(login: Login, fault: SourceFault) -> None:
    """The right password opens the camera where FFmpeg can show it."""
    with FakeMjpegCamera(login=login) as camera:
        for password, opens in (("wrong", False), ("r1ght", fault is SourceFault.AUTH)):
            found = SourceOrder(camera.url, username="viewer", password=password)
            with ExitStack() as fails:
                caught = None if opens else fails.enter_context(pytest.raises(SourceError))
                Source(found, Event(), lambda _: None, read_timeout=1.5).close()
            assert caught is None or caught.value.fault is fault


def test_a_forbidden_stream_is_no_wrong_password() -> None:
    """The camera knows who asks, and says no; nobody asks it again for five minutes."""
    with (
        FakeCamera() as camera,
        camera.faults(status={"DESCRIBE": 403}),
        metered(order(camera.url)) as capture,
    ):
        _failed(capture, "auth")
        assert "give the user the right to watch" in capture.status().message
        assert len(camera.accepted) == 1


def test_a_camera_that_wants_a_login_that_is_not_configured_says_so() -> None:
    """It is not a wrong password either."""
    with FakeCamera(login=LOGIN) as camera, metered(order(camera.url)) as capture:
        _failed(capture, "auth")
        assert capture.status().message == "the camera wants a login: set username and password"


@pytest.mark.fault(13)
def test_a_wrong_path_is_tried_ever_more_seldom() -> None:
    """The camera is there and the stream is not; connections stay within their bounds."""
    with FakeCamera() as camera, camera.faults(status={"DESCRIBE": 404}):
        with metered(order(camera.url)) as capture:
            _failed(capture, "not_found", at_least=4)
        gaps = [after - before for before, after in pairwise(camera.accepted)]
        assert min(gaps[1:]) > 1.0 > gaps[0]


@pytest.mark.fault(13)
def test_a_camera_that_refuses_udp_is_read_by_tcp() -> None:
    """461 is answered by asking for TCP in the same connection."""
    with FakeCamera(Scene(fps=10), transports=("tcp",)) as camera:
        with metered(order(camera.url, transport="udp")) as capture:
            capture.wait_metric("stream_connects_total")
            capture.frames(3)
            assert capture.metric(FAILURES, reason="unsupported") == 0
        asked = [request.headers["transport"] for request in camera.requests if request.method == "SETUP"]
        assert ["/TCP" in one for one in asked] == [False, True]


@pytest.mark.fault(13)
def test_a_camera_whose_udp_is_blocked_is_read_by_tcp() -> None:
    """A firewall that lets TCP through does not keep the stream down; it is told once, not at each opening."""
    with (
        FakeCamera(Scene(fps=10)) as camera,
        camera.faults(udp_blocked=True),
        structlog.testing.capture_logs() as lines,
        metered(order(camera.url, transport="udp")) as capture,
    ):
        capture.wait_metric("stream_connects_total")
        capture.frames(3)
        assert len(camera.accepted) == 1
        camera.hang_up()
        capture.wait_metric("stream_connects_total", 2, timeout=20.0)
        assert sum(line["event"].startswith("nothing comes by UDP") for line in lines) == 1


@pytest.mark.parametrize(
    ("asked", "camera", "faults", "used"),
    [
        pytest.param("tcp", {}, {}, "tcp", id="TCP as asked"),
        pytest.param("udp", {}, {}, "udp", id="UDP as asked"),
        pytest.param("udp", {"transports": ("tcp",)}, {}, "tcp", id="UDP refused"),
        pytest.param("udp", {}, {"udp_blocked": True}, "tcp", id="UDP blocked"),
    ],
)
def test_what_really_carries_the_pictures_is_known(
    asked: Transport, camera: dict[str, Any], faults: dict[str, Any], used: str
) -> None:
    """Each time anew, though FFmpeg says the same as at the opening before."""
    with FakeCamera(Scene(fps=10), **camera) as running, running.faults(**faults):
        for _ in range(2):
            found = Source(
                SourceOrder(running.url, transport=asked), Event(), lambda _: None, read_timeout=1.5
            )
            with closing(found):
                assert found.transport == used
                assert any(picture.frame for picture in islice(found.pictures(), 10))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority of our own."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("expired", {"days": -1}, "certificate has expired: check the camera's clock"),
        ("other", {"valid_for": "DNS:other.example"}, "certificate is not for 127.0.0.1: use the name"),
        ("unknown", None, "certificate is signed by itself: name a file with that certificate as ca_file"),
    ],
)
def test_a_bad_certificate_is_a_fault_of_its_own(
    certificates: Certificates, name: str, kind: dict[str, Any] | None, words: str
) -> None:
    """The sentence tells what to do, and without verification the same camera is read."""
    certificate = certificates.self_signed if kind is None else certificates.sign(name, **kind)
    trusted = None if kind is None else str(certificates.authority)
    with FakeCamera(Scene(fps=10)) as camera, TlsFront(camera.port, certificate) as front:
        url = f"rtsps://127.0.0.1:{front.port}/stream1"
        with metered(order(url, ca_file=trusted)) as capture:
            _failed(capture, "tls")
            assert words in capture.status().message
        until(lambda: front.refused, 5.0, "the camera to notice that nobody trusts it")
        assert camera.requests == []
        with metered(order(url, tls_verify=False)) as capture:
            capture.wait_metric("stream_connects_total")


class _Remembered(Resolver):
    """Knows an address from before the name server died."""

    def find(self, host: str, port: int) -> str:
        self.from_memory = True
        return "127.0.0.1"


def test_a_certificate_is_checked_for_the_name_also_at_a_remembered_address(
    certificates: Certificates,
) -> None:
    """A dead name server neither keeps a camera down that TLS protects, nor lets another one in."""
    authority = str(certificates.authority)
    with FakeCamera(Scene(fps=10)) as camera, TlsFront(camera.port, certificates.sign("named")) as front:

        def source(name: str) -> Source:
            found = SourceOrder(f"rtsps://{name}:{front.port}/stream1", ca_file=authority)
            return Source(found, Event(), lambda _: None, read_timeout=1.5, names=_Remembered())

        source("camera.test").close()
        until(lambda: camera.requests[-1].method == "TEARDOWN", 5.0, "the end of the stream")
        asked = len(camera.requests)
        with pytest.raises(SourceError, match=r"not for other\.test.*last answered"):
            source("other.test")
        assert len(camera.requests) == asked
        until(lambda: front.refused, 5.0, "the camera to notice that nobody trusts it")


@pytest.mark.fault(26)
def test_a_webcam_that_is_unplugged_is_opened_again_where_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its name in /dev/v4l/by-id is the same after it was plugged into another socket.

    This machine has no V4L2 device and no driver that makes one: `support.webcam` stands for it where FFmpeg is
    called, and raises what FFmpeg does when the kernel says ENODEV.
    """
    monkeypatch.setattr(process, "_serve", webcam.serve)
    with webcam.plugged() as device, metered(order(str(device))) as capture:
        capture.wait_metric("stream_connects_total")
        capture.frames(3)
        device.unlink()
        capture.wait_metric("stream_disconnects_total", reason="no_device")
        assert capture.metric("stream_up") == 0
        capture.wait_metric(FAILURES, reason="no_device")
        assert capture.status().message == f"expected a camera at {device}, found no such device"
        device.touch()
        capture.wait_metric("stream_connects_total", 2)
        capture.wait_state(StreamState.LIVE)
        capture.frames(3)
        assert capture.metric("stream_worker_restarts_total") == 0
