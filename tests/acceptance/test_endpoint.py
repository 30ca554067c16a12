"""The running daemon, watched from outside: by who may, by who may not, and by who means no good."""

import base64
import http.client
import re
import socket
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import bcrypt
import pytest

from support import canary
from support.camera import FakeCamera
from support.counterpart import free_port, need_prometheus
from support.daemon import Daemon
from support.prometheus import Prometheus
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.tls import Certificates
from support.wait import until

pytestmark = pytest.mark.acceptance

PASSWORD = "scr@pe-canary-9-lives"
SLOW = 50


@pytest.mark.fault(62)
def test_slow_clients_delay_neither_alarms_nor_pages(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """While fifty clients idle, drip or read nothing, each visit is an alarm and each page comes at once."""
    sent = [
        b"",
        b"GET /metrics HTTP/1.1\r\nHost: lo",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
    ]
    with (
        FakeCamera(Scene(fps=10, blocks=visits((0, 1), (4, 6), (8, 10)))) as camera,
        Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon,
        ExitStack() as stack,
    ):
        daemon.wait_metric("tocsin_frames_analysed_total", at_least=5, timeout=30, stream="yard")
        host, port = daemon.address.split(":")
        for number in range(SLOW):
            client = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            with suppress(OSError):
                client.sendall(sent[number % 3])
        # who asks often gets a page again, and these clients ask often: the first may be of before they were there
        assert daemon.wait_metric("tocsin_http_open_connections", at_least=32) == 32
        zero = camera.restart_clock()
        took = []
        until(lambda: sum(one.type == "alarm.raised" for one in receiver.accepted) >= 2, 30, "two alarms")
        for _ in range(10):
            began = time.monotonic()
            assert daemon.get("/metrics")[0] == 200
            took.append(time.monotonic() - began)
        assert max(took) < 2.0
        assert time.monotonic() - zero < 30
        assert daemon.get("/healthz")[0] == 200


def web(folder: Path) -> Certificates:
    """A certificate, its key and a user in `web.yml`."""
    canary.watch(PASSWORD)
    certificates = Certificates(folder)
    certificates.sign("endpoint", "IP:127.0.0.1")
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(8)).decode()
    (folder / "web.yml").write_text(
        "tls_server_config: {cert_file: endpoint.crt, key_file: endpoint.key}\n"
        f"basic_auth_users: {{prometheus: {stored}}}\n"
    )
    return certificates


def test_a_prometheus_elsewhere_is_served_and_a_guesser_is_not(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """On every address by TLS; thousands of wrong passwords delay no alarm, and are no flood in the log."""
    need_prometheus()
    certificates = web(tmp_path)
    port = free_port()
    (tmp_path / "password").write_text(PASSWORD)
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera:
        config = site(block_model, receiver, stream("yard", camera.url))
        config["http"] = {"listen": f"0.0.0.0:{port}", "web_config": str(tmp_path / "web.yml")}
        with Daemon(config, tmp_path) as daemon:
            receiver.wait_for("alarm.raised", timeout=40)
            tls = ssl.create_default_context(cafile=str(certificates.authority))
            busy = 0
            for number in range(40):
                connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=tls)
                guess = {"Authorization": f"Basic {_basic(f'prometheus:guess-{number}')}"}
                connection.request("GET", "/metrics", headers=guess)
                answer = connection.getresponse()
                assert answer.status in (401, 429)
                busy += answer.status == 429
                connection.close()
            more = (
                f"scheme: https\n    tls_config: {{ca_file: {certificates.authority}}}\n    basic_auth: "
                f"{{username: prometheus, password_file: {tmp_path / 'password'}}}"
            )
            with Prometheus(f"127.0.0.1:{port}", more) as prometheus:
                prometheus.wait_query('tocsin_alarms_total{stream="yard"}', at_least=1, timeout=30)
                prometheus.wait_query('tocsin_http_requests_total{code="401"}', at_least=40 - busy)
            assert daemon.is_running
            assert daemon.log.count("a login at the endpoint is refused") <= 3
            assert "https://0.0.0.0" in daemon.wait_log("the daemon is ready")


def _basic(login: str) -> str:
    return base64.b64encode(login.encode()).decode()


def test_it_does_not_open_itself_to_everybody(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Neither `check` nor `run` takes an address for all without protection; the sentence says what to do."""
    config = site(block_model, receiver, stream("yard", "/dev/video0"))
    config["http"] = {"listen": f"0.0.0.0:{free_port()}"}
    daemon = Daemon(config, tmp_path)
    for command in (["check"], ["run", "--config"]):
        done = subprocess.run(
            [sys.executable, "-m", "tocsin", *command, str(daemon.config_file)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 78
        assert re.search(
            r"http\.listen: expected a loopback address, or web_config with TLS or users beside it, or "
            r"insecure: true, found 0\.0\.0\.0$",
            done.stderr,
            re.MULTILINE,
        ), done.stderr


@pytest.mark.fault(65)
def test_a_crash_leaves_no_memory_behind(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """At a limit of one byte the kernel neither writes a core nor hands it to a program that collects them."""
    with FakeCamera(Scene(fps=10)) as camera:
        config = site(block_model, receiver, stream("yard", camera.url))
        with Daemon(config, tmp_path, inside=("prlimit", "--core=unlimited:unlimited")) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=1, timeout=30, stream="yard")
            pids = [daemon.pid, *daemon.children()]
            assert len(pids) >= 3
            for pid in pids:
                limits = Path(f"/proc/{pid}/limits").read_text()
                assert re.search(r"^Max core file size +1 ", limits, re.MULTILINE), limits
