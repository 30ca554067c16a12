"""The harness of the daemon, around a stand-in that behaves as the harness's promises need."""

import textwrap
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.process import command_line, is_alive
from support.wait import until

STAND_IN = """
    import http.server, signal, subprocess, sys, yaml

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in ("/readyz", "/metrics") else 404)
            self.end_headers()
            self.wfile.write(b'seen_total{stream="a"} 2\\nseen_total{stream="b"} 3\\n')
        def log_message(self, *_):
            pass

    assert sys.argv[1:3] == ["run", "--config"]
    host, _, port = yaml.safe_load(open(sys.argv[3]))["http"]["listen"].partition(":")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    subprocess.Popen(["sleep", "60"])
    print("on stdout")
    print("on stderr", file=sys.stderr)
    http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Lets another module be found by the daemon's name."""
    package = tmp_path / "stand-in" / "tocsin"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(textwrap.dedent(STAND_IN))
    return {"PYTHONPATH": str(package.parent)}


def test_the_daemon_is_seen_from_outside(tmp_path: Path, environment: dict[str, str]) -> None:
    """Readiness, metrics, log lines and children of the running process are seen."""
    with Daemon({"streams": []}, tmp_path, environment=environment) as daemon:
        daemon.wait_ready()
        assert daemon.get("/nothing")[0] == 404
        assert daemon.metric("seen_total", stream="b") == 3
        assert daemon.wait_metric("seen_total", at_least=5) == 5
        with pytest.raises(AssertionError, match="no sample of seen_total"):
            daemon.metric("seen_total", stream="c")
        daemon.wait_log("on stdout")
        daemon.wait_log("on stderr")
        (child,) = daemon.children()
        assert command_line(child) == "sleep 60"
    assert not is_alive(child)
    assert not daemon.is_running


def test_the_daemon_can_be_ended_and_started_again(tmp_path: Path, environment: dict[str, str]) -> None:
    """Killed, its orphans are found; started again it has the same address; terminated, its exit code is known."""
    with Daemon({}, tmp_path, environment=environment) as daemon:
        daemon.wait_ready()
        orphans = daemon.kill9()
        assert daemon.exit_code == -9
        assert daemon.leftovers() == orphans
        daemon.start()
        daemon.wait_ready()
        assert daemon.terminate() == 3
    until(lambda: not any(map(is_alive, orphans)), 5, "the orphans to be gone")


def test_a_daemon_that_ends_instead_of_getting_ready_fails_with_its_output(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Waiting stops at once with the exit code, and the output is shown because the test failed."""
    with (
        pytest.raises(AssertionError, match="ended with exit code 1"),
        Daemon("http: {listen: nonsense}", tmp_path, environment=environment) as daemon,
    ):
        daemon.wait_ready()
    assert "ValueError" in capsys.readouterr().out
