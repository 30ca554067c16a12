"""The README agrees with the code."""

import re
from pathlib import Path

import pytest

from tocsin.capture.wire import DropReason
from tocsin.deliver.event import EventType
from tocsin.errors import Degradation, InferenceFault
from tocsin.metrics import COUNTERS, GAUGES, HISTOGRAMS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_metrics_is_the_code_s() -> None:
    """Every metric stands in it with its type, labels and meaning, and no other does."""
    declared = {
        (f"tocsin_{name}", kind, ", ".join(axis.labels) or "-", text)
        for kind, table in (("gauge", GAUGES), ("counter", COUNTERS), ("histogram", HISTOGRAMS))
        for name, axis, text, *_ in table
    }
    written = set(re.findall(r"^\| `(tocsin_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", README, re.MULTILINE))
    assert written == declared


def test_ci_runs_the_readme_s_commands() -> None:
    """What a user types is what is tested."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [
        line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()
    ]
    tests = next(line for line in commands if line.endswith("'.[test]' && .venv/bin/pytest"))
    assert tests in script
    linters = next(line for line in commands if "ruff format" in line)
    assert linters.removesuffix(" && .venv/bin/pytest") in script


@pytest.mark.parametrize(
    "name",
    sorted(set(re.findall(r"`((?:alarm|stream|detector|delivery|outbox)\.[a-z]+|tocsin\.test)`", README))),
)
def test_every_event_in_the_readme_exists(name: str) -> None:
    """Receivers are written from the README."""
    assert name in set(EventType)


@pytest.mark.parametrize("word", [*InferenceFault, *Degradation, *DropReason])
def test_every_word_for_a_fault_is_explained(word: str) -> None:
    """What an alert is written for stands in the README as the label has it."""
    assert f"`{word}`" in README


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_in_the_readme_leads_somewhere(target: str) -> None:
    """No link is dead."""
    assert (ROOT / target).exists()


def test_commands_find_the_secrets_where_the_service_does() -> None:
    """The runbook and the example of credentials name the same folder for both."""
    example = (ROOT / "systemd/tocsin.service.d/credentials.conf.example").read_text(encoding="utf-8")
    runbook = (ROOT / "config/prometheus/README.md").read_text(encoding="utf-8")
    read = {str(Path(path).parent) for path in re.findall(r"LoadCredential=\w+:(\S+)", example)}
    typed = re.findall(r"CREDENTIALS_DIRECTORY=(\S+)", example + runbook)
    assert read == set(typed)
    assert len(typed) == 2


def test_the_service_is_installed_in_a_few_lines() -> None:
    """Every file that they and the table beside them name is there."""
    section = README.split("### As a service")[1].split("\n### ")[0]
    (guide,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(guide.splitlines()) <= 10
    named = set(re.findall(r"\bsystemd/tocsin\.service(?:\.d/[\w.]+\w)?", section))
    assert named >= {"systemd/tocsin.service", "systemd/tocsin.service.d/webcam.conf"}
    named |= {f"systemd/tocsin.service.d/{name}" for name in ("gpu.conf", "clock.conf")}
    assert all((ROOT / name).is_file() for name in named)
