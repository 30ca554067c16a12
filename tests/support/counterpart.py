"""What is done when a real counterpart is not installed: skip on a desk, fail in continuous integration."""

import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Callable

import pytest

from support.parallel import WORKER

SYSTEM_PYTHON = "/usr/bin/python3"
"""The distribution's own Python, which is the one that sees the distribution's GStreamer bindings."""


def need(program_or_check: str | Callable[[], bool], install_hint: str) -> None:
    """Go on when a program is on the path (or the check holds); otherwise skip the test, or fail it under CI."""
    if program_or_check() if callable(program_or_check) else shutil.which(program_or_check):
        return
    if os.environ.get("CI"):
        pytest.fail(f"a counterpart of this test is missing: {install_hint}", pytrace=False)
    pytest.skip(install_hint)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago, for programs that cannot choose their own.

    None is given twice soon, nor to two workers. All are below those that Linux gives to whoever connects.
    """
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # somebody has it
            return port
    raise AssertionError("they never end")


_FIRST, _EACH, _SHARES = 10_000, 1_400, 16  # up to 32399: from 32768 Linux gives them out
_OWN = _FIRST + (1 + int(WORKER[2:] or -1)) % _SHARES * _EACH
_PORTS = itertools.chain(
    range(_OWN + os.getpid() % _EACH, _OWN + _EACH), itertools.cycle(range(_OWN, _OWN + _EACH))
)


def need_prometheus() -> None:
    """Go on only where Prometheus can be started."""
    need("prometheus", "install Prometheus: apt-get install prometheus")


def need_alertmanager() -> None:
    """Go on only where Prometheus' Alertmanager can be started."""
    need("prometheus-alertmanager", "install Alertmanager: apt-get install prometheus-alertmanager")


def need_strace() -> None:
    """Go on only where a process may be traced."""
    need(_can_trace, "install strace, and allow it to trace: apt-get install strace")


def _can_trace() -> bool:
    try:
        return (
            subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, timeout=30).returncode
            == 0
        )
    except FileNotFoundError:
        return False


def need_gstreamer() -> None:
    """Go on only where GStreamer's RTSP server can be started by the distribution's Python."""
    need(
        _has_gst_rtsp_server,
        "install GStreamer's RTSP server: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0"
        " gstreamer1.0-plugins-good gstreamer1.0-plugins-bad",
    )


def _has_gst_rtsp_server() -> bool:
    probe = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer;"
        "Gst.init(None); import sys;"
        "sys.exit(0 if all(map(Gst.ElementFactory.find, ['qtdemux', 'h264parse', 'rtph264pay'])) else 1)"
    )
    try:
        return subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, timeout=30).returncode == 0
    except FileNotFoundError:
        return False
