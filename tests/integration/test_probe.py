"""`tocsin probe` and `tocsin check --probe` against cameras that work, refuse, are silent or gone."""

import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from support.access import Login
from support.blackhole import black_hole
from support.camera import FakeCamera
from support.capturing import order
from support.mjpeg import FakeMjpegCamera
from support.nameserver import NameServer
from support.process import descendants, marked
from support.rtspserver import RtspServer
from support.scene import Scene
from support.tls import Certificates, TlsFront
from support.wait import SCALE, until
from tocsin.errors import SourceError, SourceFault
from tocsin.footage.views import Kind
from tocsin.probe import streams
from tocsin.probe.look import Seen, Task, look
from tocsin.probe.ruler import Ruler
from tocsin.probe.run import look_through

HUSH = "hush:hu/sh"
LOGIN = Login("viewer", HUSH)
WIDE = Scene(width=1920, height=1080, fps=5.0)


def tocsin(*arguments: str, password: str = HUSH) -> subprocess.CompletedProcess[str]:
    """Run a command with a camera's password in its environment."""
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", *arguments],
        capture_output=True,
        text=True,
        timeout=60 * SCALE,
        env={**os.environ, "CAMERA_PASSWORD": password},
    )
    assert "Traceback" not in done.stderr
    assert HUSH not in done.stdout + done.stderr
    return done


WITH_LOGIN = ("--username", "viewer", "--password-env", "CAMERA_PASSWORD")


@pytest.fixture(scope="module")
def camera() -> Iterator[FakeCamera]:
    """A 1080p camera that wants to see a password."""
    with FakeCamera(WIDE, login=LOGIN) as running:
        yield running


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that takes connections and never says a word, as a camera that hangs does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/stream1"


def test_a_camera_is_shown_with_its_figures_and_its_picture(camera: FakeCamera, tmp_path: Path) -> None:
    """Codec, size, rate, keyframes, light, the table, and the frame as it was sent."""
    out = tmp_path / "seen.png"
    done = tocsin("probe", camera.url, *WITH_LOGIN, "--save", str(out))
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        r"source     rtsp://127\.0\.0\.1:\d+, by tcp",
        r"opened     after [\d.]+ s, first clean frame after [\d.]+ s",
        r"picture    h264, 1920x1080",
        r"rate       [345]\.\d frames a second over [\d.]+ s \(the stream says 5\); a keyframe every [\d.]+ s",
        r"light      mean \d+ and contrast \d+ of 255; correction \S+: .+",
        r" +5 m      48    10         27",
    ):
        assert re.search(f"^{line}$", done.stdout, re.MULTILINE), (line, done.stdout)
    picture = cv2.imread(str(out))
    assert picture is not None
    assert picture.shape == (1080, 1920, 3)


def test_a_program_gets_the_same_as_json(camera: FakeCamera) -> None:
    """With another lens, transport and kind of view."""
    done = tocsin(
        "probe",
        camera.url,
        *WITH_LOGIN,
        "--transport",
        "udp",
        "--lens",
        "53.13",
        "--views",
        "tiles:3x5",
        "--json",
    )
    found = json.loads(done.stdout)
    assert (found["transport"], found["codec"], found["width"], found["height"]) == (
        "udp",
        "h264",
        1920,
        1080,
    )
    assert found["frames_a_second"] == pytest.approx(5.0, rel=0.3)
    assert found["object"]["by_distance"][1]["distance"] == 5.0
    assert found["object"]["by_distance"][1]["pixels"] == {
        "camera": pytest.approx(96, abs=0.1),
        "tiles 3x5": pytest.approx(96 * 416 / 457, abs=0.4),
    }


def test_the_next_address_of_a_host_is_tried(camera: FakeCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may have an address at which nothing listens; a wrong password ends the search."""
    asked: list[str] = []
    known = socket.getaddrinfo

    def resolve(host: str, port: int, *options: Any, **more: Any) -> list[Any]:
        if host != "camera.example":
            return known(host, port, *options, **more)
        asked.append(host)
        return [(0, 0, 0, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = camera.url.replace("127.0.0.1", "camera.example")
    deadline = time.monotonic() + 20 * SCALE
    one = order(url, username="viewer", password=HUSH)
    seen, _ = look(Task(one, 0.0, deadline), lambda: None)
    assert (seen.width, len(asked)) == (1920, 2)
    before = _logins(camera)
    with pytest.raises(SourceError) as refused:
        look(Task(order(url, username="viewer", password="wrong"), 0.0, deadline), lambda: None)
    assert refused.value.fault is SourceFault.AUTH
    assert _logins(camera) == before + 1


def _logins(camera: FakeCamera) -> int:
    """Return how often a stream was asked for with a password, or the proof of one."""
    return sum(one.method == "DESCRIBE" and "authorization" in one.headers for one in camera.requests)


def test_single_jpegs_over_http_are_read_too() -> None:
    """Each is a keyframe."""
    with FakeMjpegCamera() as camera:
        done = tocsin("probe", camera.url)
    assert done.returncode == 0, done.stderr
    assert "picture    mjpeg, " in done.stdout
    assert "; each is a keyframe" in done.stdout


def test_another_server_s_clip_is_read_too(clip: Path) -> None:
    """GStreamer's server: the clip's own rate and a wrong path are told."""
    with RtspServer(clip) as server:
        done = tocsin("probe", server.url)
        assert re.search(r"10\.\d frames a second .*; a keyframe every 2\.\d s", done.stdout), done.stdout
        wrong = tocsin("probe", f"{server.url}/elsewhere")
    assert (wrong.returncode, wrong.stdout) == (75, "")
    assert "the camera answers but has no stream at this path" in wrong.stderr


def test_a_wrong_password_is_one_sentence_without_it(camera: FakeCamera) -> None:
    """Neither the wrong one nor the right one is printed, and the exit code asks for another try."""
    done = tocsin("probe", camera.url, *WITH_LOGIN, password="wrong-one")
    assert (done.returncode, done.stdout) == (75, "")
    assert re.fullmatch(
        r"tocsin: rtsp://127\.0\.0\.1:\d+: the camera refused the user name or password\n", done.stderr
    )
    assert "wrong-one" not in done.stderr


def _told(camera: FakeCamera, *options: str, password: str = HUSH) -> tuple[str, str]:
    """Return the word and the sentence that a failed probe prints for a program."""
    done = tocsin("probe", camera.url, *WITH_LOGIN, *options, "--json", password=password)
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (75, f"tocsin: {found['source']}: {found['message']}\n")
    return found["fault"], found["message"]


def test_a_program_gets_the_word_of_the_metrics(camera: FakeCamera) -> None:
    """A wrong password is told from a digest that cannot be done, each in one word and one sentence."""
    assert _told(camera, password="wrong-one")[0] == SourceFault.AUTH
    with FakeCamera(login=Login("viewer", HUSH, algorithm="SHA-256")) as modern:
        fault, message = _told(modern)
    assert fault == SourceFault.AUTH_UNSUPPORTED
    assert "set the camera's login for streams to Digest with MD5, or to Basic" in message


def test_udp_that_is_blocked_is_told_and_does_no_harm() -> None:
    """The camera is seen by TCP."""
    with FakeCamera(Scene(fps=10)) as camera, camera.faults(udp_blocked=True):
        done = tocsin("probe", camera.url, "--transport", "udp")
    assert done.returncode == 0, done.stderr
    assert ", by tcp, since nothing comes by udp\n" in done.stdout


def test_a_firewall_is_told_from_a_camera_that_hangs() -> None:
    """Nothing answers at all."""
    with black_hole() as port:
        done = tocsin("probe", f"rtsp://127.0.0.1:{port}/x")
    assert done.returncode == 75
    assert (
        "no answer within 4 s: check the address, the network and whether a firewall is in between"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("name", "silent", "found"),
    [("camera.test", True, "no answer within 3 s"), ("other.test", False, "name or service not known")],
)
def test_a_dead_name_server_is_told_from_an_unknown_name(
    name: str, silent: bool, found: str, tmp_path: Path
) -> None:
    """The one is to be mended, the other is a slip of the pen."""
    with NameServer(camera_test="127.0.0.1") as names:
        names.is_silent = silent
        command = [*names.surroundings(tmp_path / "etc"), sys.executable, "-m", "tocsin", "probe"]
        done = subprocess.run(
            [*command, f"rtsp://{name}/x"], capture_output=True, text=True, timeout=60 * SCALE, check=False
        )
        assert names.asked
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr == f"tocsin: rtsp://{name}: expected the name server to know {name}, found: {found}\n"


def test_a_camera_with_a_name_is_told_it_over_http(tmp_path: Path) -> None:
    """FFmpeg is given the address, and the server that may have many names still hears the right one, once."""
    with NameServer(camera_test="127.0.0.1") as names, FakeMjpegCamera() as camera:
        command = [*names.surroundings(tmp_path / "etc"), sys.executable, "-m", "tocsin", "probe"]
        url = camera.url.replace("127.0.0.1", "camera.test")
        subprocess.run([*command, url], capture_output=True, timeout=60 * SCALE, check=True)
        (head,) = camera.heads
        assert re.findall(r"(?im)^host: *(\S+)", head) == [f"camera.test:{camera.port}"]


def test_a_silent_camera_is_given_up(silent: str) -> None:
    """It is told apart from one that is not there, and nobody waits for long."""
    began = time.monotonic()
    done = tocsin("probe", silent.replace("rtsp://", "rtsp://viewer:hush%3Ahu%2Fsh@"))
    assert done.returncode == 75
    assert "it connects but says nothing within 4 s" in done.stderr
    assert "hush" not in done.stderr
    assert time.monotonic() - began < 20 * SCALE


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A file that nobody ever writes: opening it blocks for good, and no time limit of FFmpeg's ends that."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_the_time_limit_ends_what_does_not_end_by_itself(silent: str, pipe: Path) -> None:
    """A second is a second, though opening may take four or for ever."""
    began = time.monotonic()
    for one in look_through([order(silent), order(str(pipe))], 0.0, limit=1.0):
        assert isinstance(one.seen, SourceError)
        assert (one.seen.fault, str(one.seen)) == (
            SourceFault.CONNECT_TIMEOUT,
            "it did not open within 1 s",
        )
    assert 1.0 <= time.monotonic() - began < 5 * SCALE


def test_a_camera_that_never_shows_a_clean_frame_is_told_apart() -> None:
    """It opens, all it sends is damaged, and that is what is said at the time limit."""
    with FakeCamera() as camera, camera.faults(corruption=1.0):
        # less than the drought after which the daemon gives up
        (one,) = look_through([order(camera.url)], 0.0, limit=min(6.0 * SCALE, 9.0))
    assert isinstance(one.seen, SourceError)
    assert one.seen.fault is SourceFault.DECODE
    assert "it opens, but shows no clean picture within" in str(one.seen)


def test_a_camera_that_breaks_the_standard_is_seen_as_the_daemon_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Strictly decoded it shows nothing, so it is opened a second time and decoded less strictly."""
    monkeypatch.setattr("tocsin.capture.quarantine._DROUGHT", 1.0)
    with FakeCamera(Scene(fps=25)) as camera, camera.faults(flawed=True):
        seen, _ = look(Task(order(camera.url), 0.0, time.monotonic() + 20 * SCALE), lambda: None)
    assert len(camera.accepted) == 2
    assert seen.lenient
    assert seen.first > 1.0


def test_a_camera_that_breaks_off_while_it_is_watched_is_a_fault() -> None:
    """What was seen of it before is no consolation."""
    with FakeCamera() as camera, camera.faults(cut_after_play="fin"):
        (one,) = look_through([order(camera.url)], 3.0)
    assert isinstance(one.seen, SourceError)


def test_a_camera_s_own_certificate_can_be_named(tmp_path: Path) -> None:
    """As ca_file in the configuration: without it nobody vouches for the camera."""
    certificates = Certificates(tmp_path)
    with (
        FakeCamera(Scene(fps=25)) as camera,
        TlsFront(camera.port, certificates.sign("camera")) as front,
    ):
        url = f"rtsps://127.0.0.1:{front.port}/stream1"
        doubted = tocsin("probe", url)
        trusted = tocsin("probe", url, "--ca-file", str(certificates.authority))
    assert doubted.returncode == 75
    assert "name their certificate as ca_file" in doubted.stderr
    assert (trusted.returncode, trusted.stderr) == (0, "")
    assert f"{front.port}, by tls" in trusted.stdout


def test_a_short_file_is_shown_for_what_it_is(clip: Path) -> None:
    """A file is watched like a camera."""
    (one,) = look_through([order(str(clip))], 1.0, picture=True)
    assert isinstance(one.seen, Seen)
    assert (one.seen.width, one.seen.height, one.seen.damaged) == (768, 576, 0)
    assert one.png is not None


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        pytest.param(["rtsp://127.0.0.1:1/x"], 75, "127.0.0.1:1: nothing listens there", id="a closed port"),
        pytest.param(["rtsp://nowhere.invalid/x"], 75, "expected the name server to know", id="no such host"),
        pytest.param(["file:/"], 75, "expected a video file at /, found a directory", id="a directory"),
        pytest.param(["/dev/video99"], 75, "found no such device", id="no such device"),
        pytest.param(["/srv/clip.mp4"], 2, "SOURCE: expected file: before the path", id="a plain path"),
        pytest.param(["rtsp://v:hush/x@h/"], 2, "SOURCE: expected / ? # and @", id="an ambiguous login"),
        pytest.param(["viewer:hush@10.0.0.7"], 2, "SOURCE: expected rtsp://", id="no address"),
        pytest.param(["file:/x", "--transport", "udp"], 2, "--transport: expected", id="idle option"),
        pytest.param(["rtsp://h/", "--ca-file", "x"], 2, "--ca-file: expected", id="nothing to certify"),
        pytest.param(["/dev/video0", "--save", "x.jpg"], 2, "--save: expected", id="another format"),
        pytest.param(
            ["rtsp://h/", "--username", "v", "--password-env", "NOT_SET"],
            2,
            "--password-env: expected the environment variable NOT_SET",
            id="no password",
        ),
    ],
)
def test_what_goes_wrong_is_one_sentence(arguments: list[str], code: int, sentence: str) -> None:
    """An installer reads what to do, a script the exit code."""
    done = tocsin("probe", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert "hush" not in done.stderr
    assert done.stderr.count("\n") == 1


CONFIG = """
streams:
  - name: gate
    source: {url}
    username: viewer
    password: {{env: CAMERA_PASSWORD}}
    views: zones
    zones: [{{name: door, polygon: [[0.1, 0.2], [0.2, 0.2], [0.2, 0.4]]}}]
    rules: [r]
  - {{name: hall, source: {url}, username: viewer, password: {{env: CAMERA_PASSWORD}}, views: tiles, rules: [s]}}
{more}
rules: [{{name: r, classes: [person], zones: [door]}}, {{name: s, classes: [person]}}]
state_dir: state
"""


def test_check_shows_every_stream_in_its_own_views(camera: FakeCamera, tmp_path: Path) -> None:
    """A zone has the camera's own pixels, tiles half of them, each by the lens that was told."""
    file = tmp_path / "tocsin.yaml"
    file.write_text(CONFIG.format(url=camera.url, more=""))
    done = tocsin("check", str(file), "--probe", "--lens", "hall=53.130102")
    assert done.returncode == 0, done.stderr
    head, *said = done.stdout.splitlines()
    assert "valid: 2 streams" in head
    for line, name in zip(said, ("gate", "hall"), strict=False):
        assert re.match(rf"{name}: ok; h264, 1920x1080 by tcp; first clean frame after [\d.]+ s$", line), line
    assert said[2].startswith("gate: mean ")
    assert said[3].split() == ["pixels", "of", "25", "cm", "camera", "full", "zone", "door"]
    assert said[5].split() == ["5", "m", "48", "10", "48"]
    assert said[9].split()[4:] == ["camera", "full", "tiles", "2x3"]
    assert said[11].split() == ["5", "m", "96", "21", "54"]


def test_check_says_which_streams_do_not_work(camera: FakeCamera, silent: str, tmp_path: Path) -> None:
    """Each with its own reason, all at the same time, and the exit code of a temporary failure."""
    more = f"""
  - {{name: wrong, source: {camera.url}, username: viewer, password: {{env: HOME}}, rules: [s]}}
  - {{name: mute, source: {silent}, rules: [s]}}
  - {{name: mute2, source: {silent}, rules: [s]}}
  - {{name: mute3, source: {silent}, rules: [s]}}
  - {{name: shut, source: "rtsp://127.0.0.1:1/", rules: [s]}}
  - {{name: sealed, source: {silent}, username: v, password: {{credential: x}}, rules: [s]}}
"""
    file = tmp_path / "tocsin.yaml"
    file.write_text(CONFIG.format(url=camera.url, more=more))
    began = time.monotonic()
    done = tocsin("check", str(file), "--probe", "--json")
    assert time.monotonic() - began < 25 * SCALE
    assert done.returncode == 75
    streams = {one["stream"]: one for one in json.loads(done.stdout)["streams"]}
    assert {name: one.get("fault", "ok") for name, one in streams.items()} == {
        "gate": "ok",
        "hall": "ok",
        "wrong": "auth",
        "mute": "handshake_timeout",
        "mute2": "handshake_timeout",
        "mute3": "handshake_timeout",
        "shut": "refused",
        "sealed": "password",
    }
    assert streams["gate"]["object"]["by_distance"][1]["pixels"] == {
        "camera": 48,
        "full": 10.4,
        "zone door": 48,
    }


def test_check_begins_with_what_works_and_what_does_not() -> None:
    """Whoever tests twenty streams reads first which of them fail, and which came another way than was asked."""
    with FakeCamera(Scene(fps=25)) as camera, camera.faults(udp_blocked=True):
        asked = (order(camera.url, transport="udp"), order("rtsp://127.0.0.1:1/x"))
        looks = look_through(asked, 0.0)
    tried = [
        streams.Tried(streams.Plan(name, one, (Kind("full", one.views[:1]),), Ruler()), look.seen)
        for name, one, look in zip(("gate", "hall"), asked, looks, strict=True)
    ]
    gate, hall, *more = streams.lines(tried)
    assert gate.startswith(
        "gate: ok; h264, 320x240 by tcp, since nothing comes by udp; first clean frame after"
    )
    assert hall.startswith("hall: nothing listens there: ")
    assert more[0].startswith("gate: mean ")
    assert len(more) == 6


def test_a_bad_configuration_is_not_probed(camera: FakeCamera, tmp_path: Path) -> None:
    """It stays 78, and no camera is asked."""
    file = tmp_path / "tocsin.yaml"
    file.write_text(CONFIG.format(url=camera.url, more="").replace("[person], zones", "[persn], zones"))
    before = len(camera.accepted)
    done = tocsin("check", str(file), "--probe")
    assert (done.returncode, done.stdout) == (78, "")
    assert len(camera.accepted) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x.yaml", "--lens", "60"], "--lens: expected --probe beside it"),
        (["x.yaml", "--json"], "--json: expected --probe beside it"),
        (["--model", "m", "--probe"], "--probe: expected FILE beside it, found --model"),
    ],
)
def test_options_that_would_do_nothing_are_refused(arguments: list[str], sentence: str) -> None:
    """With the exit code of wrong usage."""
    done = tocsin("check", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


@pytest.mark.parametrize("command", ["probe", "check"])
def test_no_other_process_gets_the_password_from_the_environment(
    command: str, silent: str, tmp_path: Path
) -> None:
    """The command itself is the only one that was started with it."""
    file = tmp_path / "tocsin.yaml"
    file.write_text(CONFIG.format(url=silent, more=""))
    arguments = ["probe", silent, *WITH_LOGIN] if command == "probe" else ["check", str(file), "--probe"]
    secret = f"hush-{os.getpid()}-{command}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tocsin", *arguments],
        env={**os.environ, "CAMERA_PASSWORD": secret},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: len(descendants(process.pid)) >= 3, 20.0, "a process that looks")
        assert marked("CAMERA_PASSWORD", secret) == [process.pid]
    finally:
        process.kill()
        process.wait()


def test_a_process_that_dies_is_told_at_once(pipe: Path) -> None:
    """As a decoder's crash would be: nobody waits for the time limit."""
    killed = threading.Event()

    def kill() -> None:
        until(lambda: multiprocessing.active_children() != [], 15.0, "a process that looks")
        (process,) = multiprocessing.active_children()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSEGV)
        killed.set()

    assert multiprocessing.active_children() == []
    thread = threading.Thread(target=kill)
    thread.start()
    began = time.monotonic()
    (one,) = look_through([order(str(pipe))], 0.0, limit=60.0)
    thread.join()
    assert killed.is_set()
    assert time.monotonic() - began < 30 * SCALE
    assert isinstance(one.seen, SourceError)
    assert (one.seen.fault, str(one.seen)) == (SourceFault.WORKER, "the process that opened it died")


HANGING = """
from tocsin.capture.order import Order, SourceOrder, ViewOrder
from tocsin.light.plan import Policy
from tocsin.probe.run import look_through
import sys
if __name__ == "__main__":
    view = ViewOrder(64, 64, True)
    look_through([Order("pipe", SourceOrder(sys.argv[1]), (view,), Policy(), 10.0)], 0.0, limit=4.0)
"""


def test_no_process_is_left_when_the_command_is_killed(pipe: Path) -> None:
    """What hangs in a process whose command was killed ends all the same, soon after the time limit."""
    script = pipe.with_name("hanging.py")
    script.write_text(HANGING)
    mark = f"probe-{os.getpid()}"
    process = subprocess.Popen(
        [sys.executable, str(script), str(pipe)], env={**os.environ, "TOCSIN_TEST_MARK": mark}
    )
    try:
        until(lambda: len(marked("TOCSIN_TEST_MARK", mark)) >= 4, 4.0, "a process that looks")
    finally:
        process.kill()
        process.wait()
    assert marked("TOCSIN_TEST_MARK", mark), "something hangs"
    until(lambda: not marked("TOCSIN_TEST_MARK", mark), 15.0, "no process to be left")
