"""A machine whose service manager is a real systemd, with the daemon installed as a service.

`../shared/tools/systemd-box` boots it in namespaces of its own, over a throw-away view of this machine. It has
this machine's network, so that a camera and a receiver of the test serve it. What differs from a machine of its own
is in `HERE`.
"""

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml

import tocsin
from support.counterpart import free_port
from support.process import command_line, descendants
from support.wait import SCALE, until

ROOT = Path(__file__).parents[2]
TOOL = ROOT.parent / "shared" / "tools" / "systemd-box"
UNIT = ROOT / "systemd" / "tocsin.service"

HERE = """\
[Service]
# The box is a changed root, from which Linux enters no user namespace, and its clock belongs to the machine.
PrivateUsers=no
"""
_PYTHON = Path("/opt/python")
_MANAGER = "/lib/systemd/systemd --system"


class Box:
    """The box, with `tocsin.service` started and `files` beside its configuration, in /etc/tocsin.
    `drop_ins` are added to the unit; `module` is run in place of `tocsin`.

    On leaving the block the box is gone with all that ran in it, and its journal is printed when the test failed.
    """

    def __init__(
        self,
        config: dict[str, Any],
        folder: Path,
        *,
        drop_ins: Mapping[str, str] | None = None,
        files: Sequence[Path] = (),
        module: str = "tocsin",
        seconds: float = 150.0,
    ) -> None:
        self._folder = folder
        self._seconds = seconds
        self._module = module
        self._drop_ins = {"here": HERE, **(drop_ins or {})}
        self.etc = folder / "etc"  # becomes /etc/tocsin
        self.etc.mkdir(mode=0o755)
        for file in files:
            shutil.copy(file, self.etc)
        self.address = f"127.0.0.1:{free_port()}"
        self.write_config(config)
        self._tool: subprocess.Popen[str] | None = None
        self._manager = 0  # the box's process 1, by its number here

    def __enter__(self) -> Self:
        self._lay_out()
        seconds = str(round(self._seconds * SCALE))
        with (self._folder / "console").open("w") as console:
            self._tool = subprocess.Popen(
                [str(TOOL), str(self._folder / "prepare"), seconds], stdout=console, stderr=console, text=True
            )
        try:
            self._manager = until(self._find_manager, 15.0, "the box's systemd")
            until(lambda: self.show("LoadState") == {"LoadState": "loaded"}, 15.0, "the unit")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        journal = self.journal() if error is not None else ""
        self._end()
        if error is not None:
            print(f"--- journal of the box ---\n{journal}\n--- end of it ---")

    def write_config(self, config: dict[str, Any]) -> None:
        """Replace the configuration file; the daemon is told nothing."""
        whole = {"http": {"listen": self.address}, **config}
        (self.etc / "tocsin.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))

    def run(self, *command: str) -> str:
        """Run a command as the box's root; return what it wrote."""
        into = ["nsenter", "-t", str(self._manager), "-m", "-p", "-C", "-u", "-i", "-r", "-w"]
        environment = {"PATH": os.environ["PATH"], "SYSTEMD_IGNORE_CHROOT": "1", "SYSTEMD_PAGER": "cat"}
        done = subprocess.run(
            [*into, *command], capture_output=True, text=True, timeout=60 * SCALE, env=environment
        )
        return done.stdout + done.stderr

    def journal(self) -> str:
        """What the service wrote, and what the service manager says of it; of everything with a priority."""
        return self.run("journalctl", "--no-pager", "-o", "short-monotonic", "-u", "tocsin.service")

    def show(self, *properties: str) -> dict[str, str]:
        """The unit's properties."""
        text = self.run("systemctl", "show", "tocsin.service", "-p", ",".join(properties))
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def wait_state(self, timeout: float, **properties: str) -> None:
        """Wait until the unit's properties have these values."""
        until(lambda: self.show(*properties) == properties, timeout, f"the unit to have {properties}")

    def wait_journal(self, text: str, timeout: float, *, times: int = 1) -> None:
        """Wait until the journal holds a text so many times."""
        until(lambda: self.journal().count(text) >= times, timeout, f"{text!r} in the journal")

    @property
    def pid(self) -> int:
        """The service's main process, by its number on this machine; 0 while there is none."""
        inside = self.show("MainPID").get("MainPID", "0")
        for pid in descendants(self._manager):
            numbers = _numbers(pid)
            if numbers and numbers[-1] == inside:
                return pid
        return 0

    def get(self, path: str) -> str:
        """The body of a GET on the daemon's endpoint; empty when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5 * SCALE) as response:
                return str(response.read().decode())
        except OSError:
            return ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the service's main process."""
        pid = self.pid
        assert pid, "the service runs"
        os.kill(pid, number)

    def _lay_out(self) -> None:
        """Write the files that are installed, and the program that puts them into the box."""
        unit = self._folder / "units"
        drop_ins = unit / "tocsin.service.d"
        drop_ins.mkdir(parents=True)
        shutil.copy(UNIT, unit)
        for name, text in self._drop_ins.items():
            (drop_ins / f"{name}.conf").write_text(text)
        _program(self._folder / "tocsin", f'exec /opt/tocsin/bin/python -m {self._module} "$@"')
        base, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
        python = base if base == Path("/usr") else _PYTHON
        installed = Path(tocsin.__file__).parents[1] != ROOT / "daemon"
        code = "/opt/checkout/tests" if installed else "/opt/checkout/daemon:/opt/checkout/tests"
        environment = f"Environment=LD_LIBRARY_PATH={python}/lib PYTHONPATH={code}"
        (drop_ins / "python.conf").write_text(f"[Service]\n{environment}\n")
        _program(
            self._folder / "prepare",
            f"""set -eu
R=$1
ln -s pts/ptmx $R/dev/ptmx
mkdir -p $R/opt/tocsin/bin $R/opt/tocsin/lib $R/opt/checkout $R{python} $R/etc/tocsin
mount --bind {Path(sys.prefix) / "lib"} $R/opt/tocsin/lib
mount --bind {ROOT} $R/opt/checkout
[ {python} = /usr ] || mount --bind {base} $R{python}
ln -s {python}/bin/{version} $R/opt/tocsin/bin/python
echo 'home = {python}/bin' > $R/opt/tocsin/pyvenv.cfg
cp {self._folder}/tocsin $R/opt/tocsin/bin/tocsin
mount --bind {self.etc} $R/etc/tocsin
cp -r {unit}/. $R/etc/systemd/system/
ln -s ../tocsin.service $R/etc/systemd/system/box.target.wants/
""",
        )

    def _find_manager(self) -> int:
        assert self._tool is not None, "the box was started"
        if self._tool.poll() is not None:
            raise AssertionError(f"the box ended:\n{(self._folder / 'console').read_text()}")
        found = [pid for pid in descendants(self._tool.pid) if command_line(pid).startswith(_MANAGER)]
        return found[0] if found else 0

    def _end(self) -> None:
        if self._manager:
            os.kill(self._manager, signal.SIGKILL)  # and with process 1 all others
        if self._tool is not None:
            self._tool.wait(30)


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def _numbers(pid: int) -> Sequence[str]:
    """The numbers of a process, from the outermost namespace to its own."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ()
    return next((line.split()[1:] for line in lines if line.startswith("NSpid:")), ())


def need_box() -> None:
    """Skip the test where no box can be had."""
    if not TOOL.exists():
        pytest.skip(f"there is no systemd-box: {TOOL.name} lies in ../shared/tools where there is one")
    if os.geteuid() != 0:
        pytest.skip("systemd-box needs root")
    needed = ("/lib/systemd/systemd", "/lib/systemd/system/dbus.socket", "/usr/bin/nsenter")
    if missing := [path for path in needed if not Path(path).exists()]:
        pytest.skip(f"systemd-box needs {missing[0]}: install systemd, dbus and util-linux")
