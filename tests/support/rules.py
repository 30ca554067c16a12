"""The shipped alert rules, and what `promtool` thinks of them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from support.counterpart import need
from support.wait import SLOW

FOLDER = Path(__file__).parents[2] / "config" / "prometheus"
RULES = FOLDER / "tocsin.rules.yml"
TESTS = FOLDER / "tocsin.rules.test.yml"
RUNBOOK = FOLDER / "README.md"
SCRAPE = FOLDER / "scrape.yml"

MINUTE_S = 2 * SLOW
"""What a minute of a `for` becomes: more than a scrape or two that a busy machine loses."""


def alerts() -> dict[str, dict[str, Any]]:
    """Each alert by its name, in the order of the file."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in found}) == len(found), "two alerts have one name"
    return {rule["alert"]: rule for rule in found}


def hurried(to: Path) -> Path:
    """Write the rules with MINUTE_S seconds for each minute of a `for`, and none for less; return the file."""
    text = RULES.read_text(encoding="utf-8")
    text, count = re.subn(r"^( +for: )(\d+)([ms])$", _hurry, text, flags=re.MULTILINE)
    assert count == sum("for" in rule for rule in alerts().values())
    to.write_text(text, encoding="utf-8")
    return to


def promtool(*arguments: str | Path) -> str:
    """Run it; return all that it says, and fail where it finds a fault."""
    need("promtool", "install promtool: apt-get install prometheus")
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def _hurry(found: re.Match[str]) -> str:
    minutes = int(found[2]) if found[3] == "m" else 0
    return f"{found[1]}{round(minutes * MINUTE_S)}s"
