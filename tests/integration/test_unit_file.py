"""The service's unit file and its drop-ins, as systemd itself reads and judges them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tocsin.config.settings import Config

UNIT = Path(__file__).parents[2] / "systemd" / "tocsin.service"
DROP_INS = UNIT.with_name("tocsin.service.d")
EXPOSURE = {(): 11, ("webcam",): 13, ("gpu",): 14, ("webcam", "gpu"): 14, ("clock",): 14}
"""In tenths, on systemd 252, by the drop-ins that are installed."""


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


def install(unit: Path, drop_ins: tuple[str, ...]) -> None:
    """Put drop-ins where systemd looks for those of a unit."""
    folder = unit.with_name(f"{unit.name}.d")
    folder.mkdir()
    for name in drop_ins:
        shutil.copy(DROP_INS / f"{name}.conf", folder)


def analyze(unit: Path, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", verb, *options, str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{unit.parent}:"},
    )


@pytest.mark.parametrize("drop_ins", EXPOSURE, ids=lambda names: " and ".join(names) or "alone")
def test_systemd_understands_every_line(analysed: Path, drop_ins: tuple[str, ...]) -> None:
    """`systemd-analyze verify` has nothing to say."""
    install(analysed, drop_ins)
    check = analyze(analysed, "verify", "--man=no")
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


def test_the_example_of_credentials_is_understood(analysed: Path) -> None:
    """With its lines put to use."""
    install(analysed, ())
    example = (DROP_INS / "credentials.conf.example").read_text(encoding="utf-8")
    used = re.sub("^#(?=LoadCredential=)", "", example, flags=re.MULTILINE)
    assert used.count("\nLoadCredential=") == 2
    (analysed.with_name(f"{analysed.name}.d") / "credentials.conf").write_text(used, encoding="utf-8")
    check = analyze(analysed, "verify", "--man=no")
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


@pytest.mark.parametrize("drop_ins", [(), ("webcam",)], ids=["the unit", "a drop-in"])
def test_verify_would_find_a_wrong_line(analysed: Path, drop_ins: tuple[str, ...]) -> None:
    """A directive that systemd does not know is reported: the check above can fail."""
    install(analysed, drop_ins)
    wrong = analysed if not drop_ins else analysed.with_name(f"{analysed.name}.d") / "webcam.conf"
    with wrong.open("a", encoding="utf-8") as file:
        file.write("[Service]\nKilMode=mixed\n")
    assert "KilMode" in analyze(analysed, "verify", "--man=no").stderr


@pytest.mark.parametrize(
    ("drop_ins", "exposure"),
    EXPOSURE.items(),
    ids=[" and ".join(names) or "alone" for names in EXPOSURE],
)
def test_the_service_is_little_exposed(analysed: Path, drop_ins: tuple[str, ...], exposure: int) -> None:
    """The exposure that `systemd-analyze security` computes stays at its mark."""
    install(analysed, drop_ins)
    check = analyze(analysed, "security", "--offline=yes", "--no-pager", f"--threshold={exposure}")
    assert check.returncode == 0, check.stdout


def test_a_weaker_unit_would_be_above_its_mark(analysed: Path) -> None:
    """The check above can fail."""
    with analysed.open("a", encoding="utf-8") as file:
        file.write("[Service]\nPrivateDevices=no\nProtectClock=no\n")
    check = analyze(analysed, "security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE[()]}")
    assert check.returncode != 0


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
    """The process metrics need /proc/stat."""
    assert "ProcSubset" not in directives()


def test_the_directories_are_those_of_the_configuration() -> None:
    """The state directory is the configuration's default, and the configuration file the documented one."""
    found = directives()
    assert f"/var/lib/{found['StateDirectory'][0]}" == Config.model_fields["state_dir"].default
    assert found["ExecStart"][0].endswith(" run --config ${CONFIGURATION_DIRECTORY}/tocsin.yaml")
    assert found["ConfigurationDirectory"] == ["tocsin"]
