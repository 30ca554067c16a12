"""The daemon as a process: what happens before a camera is what arrives at a receiver, on time and once."""

import re
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path

import pytest

from support.blockmodel import build, build_slow
from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Receiver
from support.rtspserver import RtspServer
from support.scene import Scene, visits
from support.site import VISIT, site, stream, webhook
from support.wait import SCALE, until

pytestmark = pytest.mark.acceptance


def test_each_visit_is_exactly_one_alarm(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Somebody who comes twice raises and ends two alarms, each at its time, with nothing else in between."""
    with (
        FakeCamera() as camera,
        Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon,
    ):
        daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
        zero = camera.show(Scene(blocks=visits((2, 4), (7, 9))))
        with receiver.timeline(zero) as timeline:
            first = timeline.expect("alarm.raised", between=(2.2, 3.2), stream="yard", rule="visit")
            timeline.expect("alarm.ended", between=(4.9, 6.2), alarm_id=first.data["alarm_id"])
            second = timeline.expect("alarm.raised", between=(7.2, 8.2), stream="yard")
            timeline.expect("alarm.ended", between=(9.9, 11.2), alarm_id=second.data["alarm_id"])
            assert first.data["alarm_id"] != second.data["alarm_id"]
            assert first.data["class"] == "block"
            assert first.data["confirmed_by"] == {"hits": 3, "of": 5}
            assert first.data["seq"] < second.data["seq"]
            x1, y1, x2, y2 = first.data["box"]
            assert 0.3 < x1 < x2 < 0.7
            assert 0.4 < y1 < y2 < 0.9
        assert daemon.metric("tocsin_alarms_total", stream="yard", rule="visit", **{"class": "block"}) == 2
        assert daemon.terminate() == 0


def test_a_blink_is_no_alarm(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Two sightings are fewer than three hits."""
    with (
        FakeCamera() as camera,
        Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon,
    ):
        daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
        zero = camera.show(Scene(blocks=visits((1.0, 1.2))))
        with receiver.timeline(zero) as timeline:
            daemon.wait_metric("tocsin_sightings_total", at_least=1, stream="yard", rule="visit")
            timeline.expect_nothing(until=3.5)


def test_nothing_is_lost_over_a_kill_in_the_middle(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """An alarm raised while the receiver is down survives kill -9, arrives after the restart, and comes once."""
    scene = Scene(fps=10, blocks=visits((0, 600)))
    with (
        FakeCamera(scene) as camera,
        Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon,
    ):
        receiver.down()
        daemon.wait_ready()
        daemon.wait_metric("tocsin_alarms_active", at_least=1, stream="yard", rule="visit")
        daemon.wait_metric("tocsin_outbox_depth", at_least=1, webhook="hook")
        workers = daemon.kill9()
        until(lambda: not daemon.leftovers(), 5.0, f"the workers {workers} to follow the killed daemon")
        receiver.up()
        daemon.start()
        raised = receiver.wait_for("alarm.raised")
        daemon.wait_metric("tocsin_frames_analysed_total", at_least=10, stream="yard")
        assert daemon.metric("tocsin_alarms_active", stream="yard", rule="visit") == 1
        camera.show(Scene(fps=10))
        ended = receiver.wait_for("alarm.ended")
        assert ended.data["alarm_id"] == raised.data["alarm_id"]
        assert [message.type for message in receiver.accepted] == ["alarm.raised", "alarm.ended"]


def test_streams_of_every_kind_work_side_by_side(
    block_model: Path, receiver: Receiver, tmp_path: Path, clip: Path
) -> None:
    """A dead camera and a missing webcam do not disturb the others, nor keep the daemon from being ready."""
    with (
        FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera,
        Daemon(
            site(
                block_model,
                receiver,
                stream("over-tcp", camera.url),
                stream("over-udp", camera.url, transport="udp"),
                stream("recorded", f"file:{clip}", loop=True, rules=[]),
                stream("webcam", "/dev/video63"),
                stream("dead", "rtsp://127.0.0.1:9/none"),
            ),
            tmp_path,
        ) as daemon,
    ):
        daemon.wait_ready(timeout=15.0)
        for name in ("over-tcp", "over-udp", "recorded"):
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=5, stream=name)
            assert daemon.metric("tocsin_stream_up", stream=name) == 1
        for name, reason in (("webcam", "no_device"), ("dead", "refused")):
            daemon.wait_metric("tocsin_stream_connect_failures_total", at_least=2, stream=name, reason=reason)
            assert daemon.metric("tocsin_stream_up", stream=name) == 0
        streams = {receiver.wait_for("alarm.raised", count).data["stream"] for count in (1, 2)}
        assert streams == {"over-tcp", "over-udp"}


def test_a_stream_that_stays_down_is_reported_once_and_so_is_its_return(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A burglar disables the camera first; an alarm that is active stays active meanwhile."""
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera:
        config = site(block_model, receiver, stream("yard", camera.url), events=("alarm.*", "stream.*"))
        with Daemon(config, tmp_path) as daemon:
            receiver.wait_for("alarm.raised")
            with camera.refusing():
                down = receiver.wait_for("stream.down", timeout=25.0)
                assert down.data["stream"] == "yard"
                assert daemon.metric("tocsin_alarms_active", stream="yard", rule="visit") == 1
            receiver.wait_for("stream.up", timeout=25.0)
        assert [message.type for message in receiver.accepted] == ["alarm.raised", "stream.down", "stream.up"]


def test_a_detector_that_is_too_slow_says_so_and_keeps_frames_fresh(
    receiver: Receiver, tmp_path: Path
) -> None:
    """At four times overload the age of a frame stays below a second, and a rule that became deaf is reported."""
    model = build_slow(tmp_path / "slow.onnx", seconds=0.4)
    scene = Scene(fps=10, blocks=visits((0, 600)))
    with FakeCamera(scene) as camera:
        config = site(
            model,
            receiver,
            stream("yard", camera.url),
            events=("detector.*",),
            confirm={"hits": 8, "of": 10, "within": "1s"},
        )
        with Daemon(config, tmp_path) as daemon:
            degraded = receiver.wait_for("detector.degraded", timeout=30.0)
            assert degraded.data["reason"] == "too_slow"
            assert daemon.metric("tocsin_rule_deaf", stream="yard", rule="visit") == 1
            assert daemon.metric("tocsin_frames_dropped_total", stream="yard", reason="superseded") > 10
            ages = {
                float(dict(labels)["le"]): count
                for (name, labels), count in daemon.metrics().items()
                if name == "tocsin_frame_age_seconds_bucket"
            }
            assert ages[1.0] >= 0.95 * ages[float("inf")]


def test_garbage_is_neither_an_alarm_nor_the_end(receiver: Receiver, tmp_path: Path) -> None:
    """A model that gives no numbers for a visitor raises nothing, is said once, and goes on where it can."""
    model = build(tmp_path / "nan.onnx", nan_when_bright=True)
    with FakeCamera() as camera:
        config = site(model, receiver, stream("yard", camera.url), events=("alarm.*", "detector.*"))
        with Daemon(config, tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
            camera.show(Scene(blocks=visits((0, 3))))
            daemon.wait_metric("tocsin_inference_errors_total", at_least=10, kind="nonfinite")
            until(lambda: len(receiver.accepted) == 2, 10, "both events")
            before = daemon.metric("tocsin_frames_analysed_total", stream="yard")
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=before + 5, stream="yard")
            assert daemon.metric("tocsin_frames_dropped_total", stream="yard", reason="failed") >= 10
            assert daemon.metric("tocsin_detector_degraded") == 1
            assert "degraded (output, yard)" in daemon.status()
            assert daemon.terminate() == 0
    told = [(message.type, message.data["reason"], message.data["stream"]) for message in receiver.accepted]
    assert sorted(told) == [  # there is white in the reference picture, too
        ("detector.degraded", "canary", None),
        ("detector.degraded", "output", "yard"),
    ]


def test_people_at_a_gate_raise_alarms_through_real_counterparts(
    receiver: Receiver, tmp_path: Path, clip: Path
) -> None:
    """GStreamer serves the clip, the shipped detector sees persons, one alarm is raised per visit to the zone."""
    zone = {"name": "gate", "polygon": [[0.9, 0.5], [1.0, 0.5], [1.0, 0.75], [0.9, 0.75]]}
    with RtspServer(clip, loop=False) as server:
        config = {
            "streams": [{"name": "street", "source": server.url, "zones": [zone], "rules": ["person"]}],
            "rules": [
                {
                    "name": "person",
                    "classes": ["person"],
                    "end_after": "1200ms",
                    "repeat_every": 0,
                    "zones": ["gate"],
                }
            ],
            "webhooks": [
                {"name": "hook", "url": receiver.url, "secret": receiver.secret, "events": ["alarm.*"]}
            ],
        }
        with Daemon(config, tmp_path) as daemon:
            daemon.wait_ready()
            receiver.wait_for("alarm.ended", count=3, timeout=40.0)
            kinds = [message.type for message in receiver.accepted]
            assert kinds == ["alarm.raised", "alarm.ended"] * (len(kinds) // 2)
            for message in receiver.accepted:
                assert message.data["class"] == "person"
                assert message.data["zone"] == "gate"
                assert message.data["model"] == "nanodet-coco-416"


def test_a_latched_alarm_ends_with_a_verdict(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Also one that was open over a restart; the verdict is told before the end, and stands in it."""
    config = site(block_model, receiver, stream("yard", ""), latch=True)
    with FakeCamera(Scene(blocks=visits((0, 600)))) as camera:
        config["streams"][0]["source"] = camera.url
        with Daemon(config, tmp_path) as daemon:
            alarm_id = receiver.wait_for("alarm.raised").data["alarm_id"]
            assert daemon.terminate() == 0
            camera.show(Scene())
            daemon.start()
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=20, stream="yard")  # two seconds
            assert daemon.metric("tocsin_alarms_active", stream="yard", rule="visit") == 1
            wrong = _say(daemon, "alarm_0", "confirm")
            assert (wrong.returncode, wrong.stdout) == (2, "")
            assert "expected one alarm of those that tocsin alarm list shows, found 'alarm_0'" in wrong.stderr
            assert _say(daemon, alarm_id, "perhaps").returncode == 2
            said = _say(daemon, alarm_id, "confirm")
            assert said.stdout.startswith(f"{alarm_id}: confirmed (block, visit on yard, raised "), (
                said.stderr
            )
            assert daemon.metric("tocsin_verdicts_total", rule="visit", verdict="confirmed") == 1
            ended = receiver.wait_for("alarm.ended")
            assert (ended.data["alarm_id"], ended.data["verdict"]) == (alarm_id, "confirmed")
            later = _say(daemon, alarm_id[-6:], "reject")
            assert "before that " in later.stdout, later.stderr
            assert receiver.wait_for("alarm.verdict", count=2).data["ended"] == ended.data["ended"]
            kinds = [message.type for message in receiver.accepted]
            assert kinds == ["alarm.raised", "alarm.verdict", "alarm.ended", "alarm.verdict"]


ELSEWHERE = (0.0, 0.5, 0.25, 5 / 6)


def test_what_stands_still_keeps_still_over_a_restart(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Also after kill -9: it raised once, the metric says why it does not again, and it is told when it moves."""
    config = site(block_model, receiver, stream("yard", ""), stationary={"after": "2s"})
    labels = {"stream": "yard", "rule": "visit", "reason": "stationary"}
    with FakeCamera(Scene(blocks=visits((0, 600)))) as camera:
        config["streams"][0]["source"] = camera.url
        with Daemon(config, tmp_path) as daemon:
            receiver.wait_for("alarm.ended", timeout=30)
            daemon.wait_metric("tocsin_alarms_withheld_total", at_least=1, **labels)
            for _ in range(2):
                daemon.kill9()
                daemon.start()
                daemon.wait_metric("tocsin_alarms_withheld_total", at_least=1, timeout=20, **labels)
            assert re.search(r"yard\W+visit\W+stationary\W+1\b", daemon.status())
            assert [message.type for message in receiver.accepted] == ["alarm.raised", "alarm.ended"]
            camera.show(Scene(blocks=visits((0, 600), box=ELSEWHERE)))
            raised = receiver.wait_for("alarm.raised", count=2)
            assert raised.data["box"][0] < 0.1
            assert daemon.terminate() == 0


def test_a_cooldown_holds_over_a_restart(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Who comes again within it raises nothing before it is over, and then the alarm at once."""
    config = site(block_model, receiver, stream("yard", ""), cooldown="15s")
    with FakeCamera() as camera:
        config["streams"][0]["source"] = camera.url
        with Daemon(config, tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
            camera.show(Scene(blocks=visits((0, 2))))
            receiver.wait_for("alarm.ended")
            ended = time.monotonic()
            daemon.kill9()
            camera.show(Scene(blocks=visits((0, 600))))
            daemon.start()
            daemon.wait_metric("tocsin_alarms_withheld_total", at_least=1, reason="cooldown", rule="visit")
            assert time.monotonic() - ended < 15.0, "the machine is too slow to see it"
            assert [message.type for message in receiver.accepted] == ["alarm.raised", "alarm.ended"]
            receiver.wait_for("alarm.raised", count=2, timeout=20)
            assert 14.0 < time.monotonic() - ended < 20.0 * SCALE


def test_a_review_goes_to_whom_it_concerns(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Two webhooks take the alarms of the severities that they ask for, and both what is no alarm."""
    config = site(block_model, receiver, stream("yard", "", rules=["visit", "maybe"]))
    maybe = {**deepcopy(VISIT), "name": "maybe", "tier": "review", "severity": "info"}
    whole = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    config["rules"].append(maybe)
    config["rules"][0]["zones"] = ["left"]
    config["streams"][0]["zones"] = [{"name": "left", "polygon": [[x / 4, y] for x, y in whole]}]
    events = ("alarm.*", "stream.*")
    with FakeCamera() as camera, Receiver() as chat:
        config["streams"][0]["source"] = camera.url
        config["webhooks"] = [
            {**webhook("hook", receiver, events=events), "severities": ["critical", "warning"]},
            {**webhook("chat", chat, events=events), "severities": ["info"]},
        ]
        with Daemon(config, tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
            camera.show(Scene(blocks=visits((0, 1))))
            chat.wait_for("alarm.ended")
            camera.show(Scene(blocks=visits((0, 1), box=ELSEWHERE)))
            receiver.wait_for("alarm.ended")
            with camera.refusing():
                receiver.wait_for("stream.down", timeout=25.0)
                chat.wait_for("stream.down")
            assert daemon.terminate() == 0
    kinds = [(one.type, one.data.get("severity")) for one in (*receiver.accepted, *chat.accepted)]
    ours, theirs = "critical", "info"
    assert kinds == [
        *(("alarm.raised", ours), ("alarm.ended", ours), ("stream.down", None)),
        *(("alarm.raised", theirs), ("alarm.ended", theirs), ("stream.down", None)),
    ]


def _say(daemon: Daemon, alarm_id: str, verdict: str) -> subprocess.CompletedProcess[str]:
    """What `tocsin alarm` answers."""
    command = ["-m", "tocsin", "alarm", verdict, alarm_id, "--config", str(daemon.config_file)]
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=30 * SCALE)
