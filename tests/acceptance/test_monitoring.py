"""The shipped alerts and dashboard, by a real Prometheus that watches the real daemon."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.board import ROWS
from support.camera import FakeCamera
from support.counterpart import need, need_prometheus
from support.daemon import Daemon
from support.drawing import Look, draw
from support.panels import Query, asked
from support.prometheus import Prometheus
from support.receiver import Receiver
from support.rules import alerts, hurried
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import until
from support.watched import watched_demo
from tocsin.app import CONTROL_SOCKET
from tocsin.clock import synchronized
from tocsin.control import request

# alone: a minute of a rule is two seconds here, in which a machine with more to do may well give cause for an alert
pytestmark = [pytest.mark.acceptance, pytest.mark.alone, pytest.mark.timeout(300)]

LOOKS = 40
"""Scrapes of a healthy demo, one a second, each with an evaluation of every rule."""

EXPECTED = set() if synchronized() is True else {"TocsinClockUnsynchronized"}
"""What is wrong with the machine of the tests itself."""

QUERIES = {
    f"{panel.title}: {query.legend or index}": query
    for row in ROWS
    for panel in row.panels
    for index, query in enumerate(panel.queries)
}
QUIET = (
    *("What is wrong now", "Connection broke: broke", "Connection broke: failed"),
    *("Rejected, of those judged", "Verdicts over time"),
)
TROUBLE = {name: query for name, query in QUERIES.items() if name.startswith(QUIET)}
"""What has an answer only while something is wrong, or once somebody has judged an alarm."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, after it has watched a healthy demo with the hurried rules for a while."""
    with watched_demo(hurried(tmp_path_factory.mktemp("rules") / "rules.yml")) as prometheus:
        prometheus.wait_query('count_over_time(up{job="tocsin"}[10m])', at_least=LOOKS, timeout=LOOKS + 30)
        prometheus.wait_query("increase(tocsin_alarms_total[10m])", at_least=1, timeout=60)
        prometheus.wait_query("increase(tocsin_deliveries_total[10m])", at_least=1, timeout=30)
        yield prometheus


@pytest.fixture
def cameras() -> Iterator[tuple[FakeCamera, FakeCamera]]:
    """A camera that sees a visitor now and then, and one that sees nobody."""
    visitor = visits(*((start, start + 2) for start in range(0, 1200, 6)))
    with FakeCamera(Scene(blocks=visitor, grain=3)) as one, FakeCamera(Scene(grain=3)) as other:
        yield one, other


def test_nothing_fires_on_a_healthy_demo(demo: Prometheus) -> None:
    """Every rule is evaluated without an error, though minutes are made seconds; none fires."""
    assert demo.rules() == dict.fromkeys(alerts(), "ok")
    fired = demo.query('count_over_time(ALERTS{alertstate="firing"}[10m])')
    assert {labels["alertname"] for labels, _ in fired} <= EXPECTED


@pytest.mark.parametrize("name", [name for name in QUERIES if name not in TROUBLE])
def test_each_query_of_the_dashboard_has_an_answer(demo: Prometheus, name: str) -> None:
    """The demo gives data to every panel that does not wait for trouble."""
    found = demo.history(asked(QUERIES[name]), LOOKS)
    assert found
    values = [value for _, curve in found for _, value in curve]
    assert any(value == value for value in values), "nothing but NaN"


def test_each_series_of_the_dashboard_has_a_name(demo: Prometheus) -> None:
    """What a legend names is a label of the answer: no curve is called {{stream}}."""
    for name, query in QUERIES.items():
        for labels, _ in demo.history(asked(query), LOOKS):
            assert set(re.findall(r"{{(\w+)}}", query.legend)) <= labels.keys(), name


def test_the_dashboard_can_be_drawn(demo: Prometheus, tmp_path: Path) -> None:
    """The picture in the README can be made anew."""
    draw(ROWS, Look(demo, LOOKS, "street"), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_each_trouble_fires_its_alert_and_no_other(
    cameras: tuple[FakeCamera, FakeCamera], block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A camera that is off, a receiver that is away, a daemon that is dead: each is told as what it is."""
    need_prometheus()
    yard, gate = cameras
    receiver.down()
    config = site(block_model, receiver, stream("yard", yard.url), stream("gate", gate.url))
    with Daemon(config, tmp_path) as daemon:
        daemon.wait_metric("tocsin_stream_up", at_least=2, timeout=20)
        with Prometheus(daemon.address, rules=hurried(tmp_path / "rules.yml")) as prometheus:
            away = _wait_fires(prometheus, "TocsinNothingDelivered", 60)
            assert away["labels"]["webhook"] == "hook"
            slow = {"TocsinDeliveryLate"}  # where the machine takes a minute until here
            assert prometheus.firing().keys() <= {"TocsinNothingDelivered"} | slow | EXPECTED
            with gate.refusing():
                down = _wait_fires(prometheus, "TocsinStreamDown", 20)
                assert down["labels"]["stream"] == "gate"
                assert down["annotations"]["summary"] == "Camera gate is down"
                assert "TocsinStreamBlind" not in prometheus.firing()
                _check_metrics(daemon)
                socket = daemon.state_dir / CONTROL_SOCKET
                (alarm, *_) = request(socket, "alarm.list")["alarms"]
                request(socket, "alarm.verdict", alarm=alarm["alarm_id"], verdict="rejected")
                for name, query in TROUBLE.items():
                    until(lambda query=query: _answers(prometheus, query), 20, f"an answer to {name}")
            until(lambda: "TocsinStreamDown" not in prometheus.firing(), 60, "the alert to end")
            daemon.kill9()
            _wait_fires(prometheus, "TocsinUnreachable", 20)
            assert not {"TocsinStreamDown", "TocsinNotScraped"} & prometheus.firing().keys()


def _wait_fires(prometheus: Prometheus, alert: str, timeout: float) -> dict[str, Any]:
    return until(lambda: prometheus.firing().get(alert), timeout, f"{alert} to fire") or {}


def _answers(prometheus: Prometheus, query: Query) -> bool:
    return bool(prometheus.history(asked(query), 20))


def _check_metrics(daemon: Daemon) -> None:
    """Let `promtool` look at the endpoint while things are wrong."""
    need("promtool", "install promtool: apt-get install prometheus")
    _, text = daemon.get("/metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
