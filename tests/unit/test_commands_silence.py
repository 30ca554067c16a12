"""`tocsin silence` knows what cannot be meant."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tocsin.cli import commands
from tocsin.errors import InputError


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", "less"),
        ("--end", "less"),
        ("--list yard", "more"),
        ("--list --end", "more"),
        ("yard --end --for 30m", "more"),
    ],
)
def test_a_silence_that_is_half_said_is_refused(tmp_path: Path, words: str, found: str) -> None:
    """Before anybody is asked."""
    config = tmp_path / "tocsin.yaml"
    done = CliRunner().invoke(commands, ["silence", *words.split(), "--config", str(config)])
    assert isinstance(done.exception, InputError)
    assert str(done.exception).endswith(f"or with --end, or --list alone, found {found}")
