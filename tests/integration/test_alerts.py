"""The alert rules: what they name exists, each is proven by `promtool`, and each has its page in the runbook."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.rules import FOLDER, RULES, RUNBOOK, SCRAPE, TESTS, alerts, promtool
from tocsin.metrics import COUNTERS, GAUGES, HISTOGRAMS

CASES: list[dict[str, Any]] = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
SECTIONS = dict(
    re.findall(r"^### (\w+)\n\n(.*?)(?=^#|\Z)", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
)


def test_the_rules_are_sound() -> None:
    """`promtool check rules` finds nothing to say."""
    assert f"{len(alerts())} rules found" in promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    """`promtool test rules` agrees with the table of series, labels and sentences beside the rules."""
    assert "SUCCESS" in promtool("test", "rules", TESTS)


@pytest.mark.parametrize("alert", alerts())
def test_each_alert_is_tested_both_ways(alert: str) -> None:
    """The table has a moment at which it fires and one at which it does not."""
    outcomes = {
        bool(moment["exp_alerts"])
        for case in CASES
        for moment in case["alert_rule_test"]
        if moment["alertname"] == alert
    }
    assert outcomes == {True, False}


@pytest.mark.parametrize(("alert", "rule"), alerts().items())
def test_each_alert_says_how_bad_it_is_and_where_to_read_on(alert: str, rule: dict[str, Any]) -> None:
    """It has a severity of two, a summary, a description that names whom it is about, and its section."""
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    said = rule["annotations"]
    assert said.keys() == {"summary", "description", "runbook"}
    assert "$labels." in said["description"]
    path, _, anchor = said["runbook"].partition("#")
    assert FOLDER.parents[1] / path == RUNBOOK
    assert anchor == alert.lower()


def test_each_section_of_the_runbook_is_an_alert_s() -> None:
    """No alert is without its section, and no section is left of an alert that is gone."""
    assert list(SECTIONS) == list(alerts())


@pytest.mark.parametrize("alert", SECTIONS)
def test_each_section_has_its_three_lines(alert: str) -> None:
    """What it means, what to look at, what to do: no more is read at two in the morning."""
    assert re.findall(r"^- \*\*(\w+):\*\* .+$", SECTIONS[alert], re.MULTILINE) == ["Means", "Look", "Do"]
    assert len(SECTIONS[alert].split("\n- ")) == 3


@pytest.mark.parametrize("file", [RULES, TESTS, RUNBOOK], ids=lambda file: file.name)
def test_only_metrics_that_exist_are_named(file: Path) -> None:
    """A metric that was renamed takes its alert along."""
    declared = {f"tocsin_{name}" for name, *_ in (*GAUGES, *COUNTERS)}
    declared |= {f"tocsin_{name}_bucket" for name, *_ in HISTOGRAMS}
    named = set(re.findall(r"\btocsin_\w+", file.read_text(encoding="utf-8")))
    assert named
    assert named <= declared


@pytest.mark.parametrize("link", re.findall(r"\]\(([^):]+)\)", RUNBOOK.read_text(encoding="utf-8")))
def test_each_link_of_the_runbook_leads_somewhere(link: str) -> None:
    """To a file, and to a heading of this one."""
    path, _, anchor = link.partition("#")
    assert (FOLDER / path).exists()
    assert path or anchor in {name.lower() for name in SECTIONS}


def test_the_scrape_configuration_works_as_it_is() -> None:
    """Prometheus takes it, and finds the rules by it."""
    said = promtool("check", "config", SCRAPE)
    assert "SUCCESS: 1 rule files found" in said


def test_what_is_commented_out_works_too(tmp_path: Path) -> None:
    """TLS, a password and Alertmanager are one `#` away."""
    whole = re.sub(
        r"^( *)# ((?: *[a-z_]+:| *- ).*)$", r"\1\2", SCRAPE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    (tmp_path / "tocsin.rules.yml").write_text(RULES.read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("tocsin-ca.pem", "tocsin.password"):
        (tmp_path / name).touch()
    (tmp_path / "scrape.yml").write_text(whole, encoding="utf-8")
    job = yaml.safe_load(whole)["scrape_configs"][0]
    assert (job["scheme"], job["basic_auth"]["username"]) == ("https", "prometheus")
    assert yaml.safe_load(whole)["alerting"]
    promtool("check", "config", tmp_path / "scrape.yml")
