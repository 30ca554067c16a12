"""What the guard sees with an alarm: the frame that raised it and a clip, by links that nobody can guess."""

import io
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Message, Receiver
from support.scene import VISITOR, WHITE, Scene, read_number, visits
from support.site import site, stream
from support.wait import SCALE, until

pytestmark = pytest.mark.acceptance

BRIEF = {"before": "1s", "after": "1s"}


def fetch(url: str, **headers: str) -> bytes:
    """What is at a link."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return bytes(answer.read())


def status(url: str, method: str = "GET") -> int:
    """The status of the answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def grey(jpeg: bytes) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def clip_of(raised: Message) -> bytes:
    """The clip, when it is made."""
    url = raised.data["picture"]["clip"]
    until(lambda: status(url) != 503, 20.0 * SCALE, "the clip to be made")
    return fetch(url)


def test_the_picture_is_there_within_a_second_and_shows_who_it_was(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The frame that raised the alarm and the first one, whole and cut out, and the clip from before to after."""
    yard = stream("yard", "", evidence=BRIEF)
    with FakeCamera(Scene(fps=10)) as camera:
        yard["source"] = camera.url
        with Daemon(site(block_model, receiver, yard, events=("alarm.*", "evidence.*")), tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=10, stream="yard")
            camera.show(Scene(fps=10, blocks=visits((1.0, 8.0))))
            raised = receiver.wait_for("alarm.raised")
            began = time.monotonic()
            links = raised.data["picture"]
            frame = grey(fetch(links["url"]))
            assert time.monotonic() - began < 1.0 * SCALE
            assert frame.shape == (240, 320)
            x1, y1, x2, y2 = VISITOR
            inside = frame[
                round(y1 * 240) + 8 : round(y2 * 240) - 8, round(x1 * 320) + 8 : round(x2 * 320) - 8
            ]
            assert inside.mean() > WHITE - 10, "whoever raised it is in the picture"
            first = grey(fetch(links["first"]))
            assert read_number(frame) - read_number(first) == 2, "the third sighting in a row raised it"
            assert grey(fetch(links["crop"])).mean() > frame.mean()
            assert grey(fetch(links["corrected"])).shape == frame.shape
            with av.open(io.BytesIO(clip_of(raised))) as played:
                numbers = [read_number(one.to_ndarray(format="gray")) for one in played.decode(video=0)]
            assert numbers == sorted(set(numbers)), "each picture once, in order"
            assert len(numbers) >= 20
            assert numbers[0] <= read_number(frame) - 10
            assert numbers[-1] >= read_number(frame) + 9
            assert daemon.metric("tocsin_evidence_total", stream="yard", kind="clip", outcome="kept") == 1
            receiver.wait_for("evidence.filmed")
            told = ["alarm.raised", "evidence.made", "evidence.filmed"]
            assert [message.type for message in receiver.accepted] == told
            assert all(message.data["picture"] == links for message in receiver.accepted)
            assert daemon.terminate() == 0
            copied = _get(tmp_path, raised.data["alarm_id"])
            assert sorted(copied) == [
                "clip.mp4",
                "corrected.jpg",
                "crop.jpg",
                "first.jpg",
                "frame.jpg",
                "plain.jpg",
            ]
            assert (grey(copied["frame.jpg"]) == frame).all()


def _get(folder: Path, alarm: str) -> dict[str, bytes]:
    """What the command copies of an alarm."""
    target = folder / "copied"
    command = ["evidence", "get", alarm, "--out", str(target), "--config", str(folder / "tocsin.yaml")]
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", *command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert [Path(line).parent for line in done.stdout.splitlines()] == [target] * 6
    return {path.name: path.read_bytes() for path in target.iterdir()}


@pytest.mark.fault(64)
def test_nothing_but_a_whole_link_opens_anything(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Paths, other identities, later ends, wrong signatures and names: as if nothing was there."""
    with (
        FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera,
        Daemon(site(block_model, receiver, stream("yard", camera.url, evidence=BRIEF)), tmp_path) as daemon,
    ):
        daemon.wait_ready()
        links = receiver.wait_for("alarm.raised").data["picture"]
        whole = fetch(links["url"])
        assert whole.startswith(b"\xff\xd8"), "the link itself is good"
        assert fetch(links["url"], range="bytes=2-9") == whole[2:10]
        assert status(links["url"], method="HEAD") == 200
        assert status(links["url"], method="POST") == 405
        assert status(links["url"], method="DELETE") == 405
        head, _, query = links["url"].partition("?")
        base, piece = head.rsplit("/", 1)
        expires, _, signature = query.removeprefix("expires=").partition("&signature=")
        other = links["crop"].partition("?")[0].rsplit("/", 1)[1]
        assert other != piece
        for path in (
            f"{base}/{piece}",
            f"{base}/{piece}?{query[:-1]}",
            f"{base}/{piece}?expires={int(expires) + 1}&signature={signature}",
            f"{base}/{piece}?expires=1&signature={signature}",
            f"{base}/{other}?{query}",
            f"{base}/{piece}.frame.jpg?{query}",
            f"{base}/..%2f..%2fevidence.key?{query}",
            f"{base}/%2e%2e/evidence.key?{query}",
            f"{base}/..?{query}",
            f"{base}//etc/passwd?{query}",
            f"{base}/%00?{query}",
            f"{base}/?{query}",
        ):
            assert status(path) == 404, path
        assert daemon.metric("tocsin_http_requests_total", code="404") >= 12


def test_a_private_part_is_black_in_all_that_is_kept(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Also in the clip, which is encoded anew for it."""
    corner = [[0.75, 0.5], [1, 0.5], [1, 1], [0.75, 1]]
    yard = stream("yard", "", evidence=BRIEF, private=[corner])
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera:
        yard["source"] = camera.url
        with Daemon(site(block_model, receiver, yard), tmp_path):
            raised = receiver.wait_for("alarm.raised")
            for kind in ("url", "first", "corrected"):
                picture = grey(fetch(raised.data["picture"][kind]))
                assert picture[-60:, -60:].max() < 20, kind
                assert picture[80:160, 10:80].min() > 40, kind
            with av.open(io.BytesIO(clip_of(raised))) as played:
                for one in played.decode(video=0):
                    assert one.to_ndarray(format="gray")[-60:, -60:].max() < 30


def test_an_alarm_without_a_picture_is_an_alarm(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Where nothing can be kept the alarm comes as always, and after it word of that."""
    with FakeCamera(Scene(fps=10)) as camera:
        yard = stream("yard", camera.url, evidence=BRIEF)
        with Daemon(site(block_model, receiver, yard, events=("alarm.*", "evidence.*")), tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
            shutil.rmtree(tmp_path / "state" / "evidence")
            (tmp_path / "state" / "evidence").touch()  # so that nobody makes it again
            camera.show(Scene(fps=10, blocks=visits((0, 600))))
            raised = receiver.wait_for("alarm.raised")
            failed = receiver.wait_for("evidence.failed")
            assert failed.data["alarm_id"] == raised.data["alarm_id"]
            found = "expected a folder of this user's, found not a directory"
            assert failed.data["why"] == f"{tmp_path / 'state' / 'evidence'}: {found}"
            assert status(raised.data["picture"]["url"]) == 404
            assert daemon.metric("tocsin_evidence_total", stream="yard", kind="frame", outcome="failed") == 1


def test_a_killed_daemon_s_evidence_is_told_by_the_next(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The clip as far as it was written, and of what there is nothing that it failed; no link waits for ever."""
    yard = stream("yard", "", evidence={"before": "1s", "after": "60s"})
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera:
        yard["source"] = camera.url
        with Daemon(site(block_model, receiver, yard, events=("alarm.*", "evidence.*")), tmp_path) as daemon:
            links = receiver.wait_for("evidence.made").data["picture"]
            folder = tmp_path / "state" / "evidence"
            playable = lambda: any(b"moov" in one.read_bytes() for one in folder.glob("*.part"))  # noqa: E731
            until(playable, 20.0 * SCALE, "a film that has begun")
            daemon.kill9()
            daemon.start()
            daemon.wait_ready()
            assert receiver.wait_for("evidence.filmed").data["kinds"] == ["clip"]
            assert status(links["clip"]) == status(links["url"]) == 200

            daemon.kill9()
            for one in folder.iterdir():
                one.unlink()
            database = sqlite3.connect(tmp_path / "state" / "outbox.sqlite")
            database.execute(
                "DELETE FROM deliveries WHERE event IN (SELECT id FROM events WHERE type LIKE 'ev%')"
            )
            database.commit()
            database.close()
            daemon.start()
            daemon.wait_ready()
            failed = receiver.wait_for("evidence.failed").data
            assert failed["why"].endswith("found it started anew")
            assert failed["kinds"] == ["frame", "corrected", "crop", "first", "plain", "clip"]
            assert status(links["clip"]) == status(links["url"]) == 404
            assert len([one for one in receiver.accepted if one.type == "alarm.raised"]) == 1


def test_evidence_comes_back_with_the_disk(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Where nothing could be kept at the start, what is raised later has its picture as soon as something can."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "evidence").touch()  # in the place of the folder
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera:
        yard = stream("yard", camera.url, evidence=BRIEF)
        with Daemon(site(block_model, receiver, yard), tmp_path) as daemon:
            assert receiver.wait_for("alarm.raised", 1, 20.0).data["picture"] is None
            assert any("nothing is kept of alarms" in line for line in daemon.lines)
            camera.show(Scene(fps=10))
            receiver.wait_for("alarm.ended")
            (tmp_path / "state" / "evidence").unlink()
            until(
                lambda: any("are kept from now on" in line for line in daemon.lines), 20.0 * SCALE, "evidence"
            )
            camera.show(Scene(fps=10, blocks=visits((0, 600))))
            links = receiver.wait_for("alarm.raised", 2, 20.0).data["picture"]
            assert grey(fetch(links["url"])).shape == (240, 320)
