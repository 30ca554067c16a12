"""The service's unit file, as systemd itself reads and judges it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tocsin.config.settings import Config

UNIT = Path(__file__).parents[2] / "systemd" / "tocsin.service"
EXPOSURE = 14
"""In tenths, on systemd 252; less can only be had by lines that take away what is promised."""


def directives() -> dict[str, list[str]]:
    """The values of each directive, in the order of the file."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Za-z]+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def analysed(tmp_path: Path) -> Path:
    """The unit under its own name, with a program that is there: `verify` looks for it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    assert "ExecStart=/opt/tocsin/bin/tocsin " in text
    copy.write_text(
        text.replace("ExecStart=/opt/tocsin/bin/tocsin ", "ExecStart=/bin/true "), encoding="utf-8"
    )
    return copy


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)


def test_systemd_understands_every_line(analysed: Path) -> None:
    """`systemd-analyze verify` has nothing to say."""
    check = analyze("verify", "--man=no", str(analysed))
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


def test_verify_would_find_a_wrong_line(analysed: Path) -> None:
    """A directive that systemd does not know is reported: the check above can fail."""
    analysed.write_text(
        analysed.read_text(encoding="utf-8").replace("KillMode=mixed", "KilMode=mixed"), encoding="utf-8"
    )
    assert "KilMode" in analyze("verify", "--man=no", str(analysed)).stderr


def test_the_service_is_little_exposed(analysed: Path) -> None:
    """The exposure that `systemd-analyze security` computes stays at its mark."""
    check = analyze("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE}", str(analysed))
    assert check.returncode == 0, check.stdout


@pytest.mark.parametrize(
    ("directive", "value"),
    [
        pytest.param("Type", "notify", id="the daemon says itself that it is ready"),
        pytest.param("NotifyAccess", "main", id="no worker speaks for the daemon"),
        pytest.param("KillMode", "mixed", id="the daemon ends its workers"),
        pytest.param("ExecReload", "/bin/kill -HUP $MAINPID", id="the configuration can be read again"),
        pytest.param("WatchdogSec", "30s", id="a daemon that hangs is restarted"),
        pytest.param("Restart", "always", id="a daemon that dies is restarted"),
        pytest.param("RestartPreventExitStatus", "78", id="a wrong configuration is not tried again"),
        pytest.param("StateDirectoryMode", "0700", id="the state is the daemon's own"),
        pytest.param("UMask", "0077", id="so is every file"),
    ],
)
def test_what_is_promised_is_set(directive: str, value: str) -> None:
    """Each promise to the operator is a line of the unit."""
    assert directives()[directive] == [value]


def test_the_start_needs_no_credential() -> None:
    """No credential is loaded that might be absent."""
    assert "LoadCredential" not in directives()


def test_what_is_promised_is_not_hidden() -> None:
    """The process metrics need /proc/stat, and the clock's state must be readable."""
    found = directives()
    assert "ProcSubset" not in found
    assert "ProtectClock" not in found
    assert found["SystemCallFilter"][-1] == "adjtimex clock_adjtime"


def test_the_directories_are_those_of_the_configuration() -> None:
    """The state directory is the configuration's default, and the configuration file the documented one."""
    found = directives()
    assert f"/var/lib/{found['StateDirectory'][0]}" == Config.model_fields["state_dir"].default
    assert found["ExecStart"][0].endswith(" run --config ${CONFIGURATION_DIRECTORY}/tocsin.yaml")
    assert found["ConfigurationDirectory"] == ["tocsin"]
