"""Who takes pictures of alarms with them is on record."""

from datetime import UTC, datetime

import pytest

from tocsin.deliver.act import Act, Via
from tocsin.desk.evidence import export_of

AT = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
WHOLE = {"command": "audit.exported", "verdicts": ["rejected", "confirmed"], "alarms": 17}


@pytest.mark.parametrize(
    ("asked", "subject", "details"),
    [
        (WHOLE, "all", {"verdicts": "confirmed,rejected", "alarms": "17"}),
        (
            {**WHOLE, "stream": "yard", "rule": None, "since": "2026-11-01T00:00:00+00:00"},
            "yard",
            {
                "verdicts": "confirmed,rejected",
                "stream": "yard",
                "since": "2026-11-01T00:00:00+00:00",
                "alarms": "17",
            },
        ),
        (
            {**WHOLE, "rule": "visit"},
            "visit",
            {"verdicts": "confirmed,rejected", "rule": "visit", "alarms": "17"},
        ),
        ({"verdicts": {"a": 1}, "alarms": "x" * 999}, "all", {"verdicts": "", "alarms": "x" * 64}),
        ({"verdicts": ["sneezed", ["rejected"]]}, "all", {"verdicts": "", "alarms": ""}),
    ],
)
def test_an_export_is_remembered_with_what_was_chosen(
    asked: dict[str, object], subject: str, details: dict[str, str]
) -> None:
    """By whom, of what, how many; whatever the caller sends, it is short and made of our words."""
    entry = export_of(asked, "operator", AT)
    assert (entry.act, entry.by, entry.via, entry.at) == (Act.EVIDENCE_EXPORTED, "operator", Via.COMMAND, AT)
    assert (entry.subject, dict(entry.details)) == (subject, details)
