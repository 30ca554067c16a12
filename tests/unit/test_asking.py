"""What a person types as a time, and what a table does with what strangers wrote."""

import subprocess
import sys
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tocsin.asking import moment, table_of, tail
from tocsin.errors import InputError

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (None, None),
        ("24h", "2026-11-20T12:00:00+00:00"),
        ("1.5h", "2026-11-21T10:30:00+00:00"),
        ("7d", "2026-11-14T12:00:00+00:00"),
        ("2026-11-20T18:30+01:00", "2026-11-20T17:30:00+00:00"),
        ("2026-11-20T17:30Z", "2026-11-20T17:30:00+00:00"),
    ],
)
def test_a_time_is_so_long_ago_or_a_date(text: str | None, meant: str | None) -> None:
    """Either is handed on as one that no machine can misunderstand."""
    assert moment("--since", text, NOON) == meant


def test_a_day_begins_by_the_clock_of_this_machine() -> None:
    """Who types a date means the wall."""
    midnight = datetime(2026, 11, 20).astimezone(UTC).isoformat()
    assert moment("--since", "2026-11-20", NOON) == midnight


@pytest.mark.parametrize("text", ["yesterday", "24", "2026-13-01", "-1h", "99999999999d", ""])
def test_what_is_no_time_is_refused_in_a_sentence(text: str) -> None:
    """It names the option and shows what can be typed."""
    with pytest.raises(InputError, match=r"--since: expected a time such as 24h \(ago\), 2026-11-20"):
        moment("--since", text, NOON)


def test_what_strangers_wrote_does_nothing_to_a_terminal() -> None:
    """It is cut, and its control characters are written out; what there is not is an empty cell."""
    rows = [{"who": "\x1b[2Jroot" + "x" * 100, "why": None}]
    screen = Console(width=100, highlight=False, markup=False)
    with screen.capture() as captured:
        screen.print(table_of(rows, {"who": "who", "why": "why"}, 20))
    assert "\x1b" not in captured.get()
    assert r"\x1b[2Jroot" in captured.get()
    assert "x..." in captured.get()
    assert "None" not in captured.get()


def test_who_asks_a_daemon_loads_nothing_of_it(tmp_path: Path) -> None:
    """A command that answers in half a second must not wait for the detector's library first."""
    file = tmp_path / "tocsin.yaml"
    file.write_text(f"streams: []\nrules: []\nwebhooks: []\nstate_dir: {tmp_path}\n")
    code = f"""
import sys
from pathlib import Path
from tocsin.asking import ask_or_read
from tocsin.errors import ControlError
try:
    ask_or_read(Path({str(file)!r}), "outbox.list", dict)
except ControlError:
    print([name for name in ("tocsin.app", "onnxruntime", "cv2", "av", "uvicorn") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "[]", found.stderr


COLUMNS = {"opened": "raised", "where": "stream", "zone": "zone", "why": "why", "alarm_id": "alarm"}
ROW = {
    "opened": "2026-11-22 00:45:06",
    "where": "the-entrance-of-the-warehouse",
    "zone": None,
    "why": "the lock was repaired, and whoever did it walked to and fro",
    "alarm_id": tail("alarm_01a200b6c18679f2a81c3cf9739582df"),
}


def drawn(width: int) -> str:
    page = StringIO()
    Console(width=width, file=page).print(table_of([ROW], COLUMNS, 200))
    return page.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_what_is_to_be_typed_stands_whole_in_a_narrow_table(width: int) -> None:
    """Names and the ends of identities are in one line, and no word of a text is lost."""
    page = drawn(width)
    assert all(len(line) <= width for line in page.splitlines())
    assert "the-entrance-of-the-warehouse" in page
    assert "739582df" in page
    assert "…" not in page
    assert set(ROW["why"].split()) <= set(page.split()), "a reason is no use by halves"


def test_a_column_in_which_nothing_stands_is_left_out() -> None:
    """It would take the room of what there is to say."""
    assert "zone" not in drawn(80)
