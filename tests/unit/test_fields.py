"""The kinds of value that the configuration is made of."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tocsin.errors import SecretError
from tocsin.fields import Duration, LocalPath, Secret, Section, duration_text


class Sample(Section):
    """A section with one of each."""

    duration: Duration = 1.0
    secret: Secret = Secret("env", "NAME")
    path: LocalPath = "x"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("500ms", 0.5),
        ("1m30s", 90),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86400),
        ("1.5h", 5400),
        (0, 0),
        ("0s", 0),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    """A duration in the file is text with its unit, and seconds in code."""
    assert Sample.model_validate({"duration": text}).duration == seconds


@pytest.mark.parametrize(
    "value",
    [
        "22:30",
        "5",
        "",
        "-5s",
        "+5s",
        "5 s",
        "s",
        "1mm",
        "5us",
        "1e3s",
        "٣s",
        5,
        5.0,
        True,
        None,
        ["5s"],
        "367d",
        "9" * 400 + "d",
    ],
)
def test_no_durations(value: object) -> None:
    """What has no unit, a sign, a unit of other sizes or no end is no duration."""
    with pytest.raises(ValidationError, match="a duration"):
        Sample.model_validate({"duration": value})


@given(st.integers(min_value=0, max_value=366 * 86400 * 1000))
def test_a_duration_reads_as_it_was_written(milliseconds: int) -> None:
    """Text made of seconds gives the same seconds again."""
    text = duration_text(milliseconds / 1000)
    assert Sample.model_validate({"duration": text}).duration == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ({"credential": "door"}, Secret("credential", "door")),
        ({"env": "DOOR"}, Secret("env", "DOOR")),
        ({"file": "/etc/door"}, Secret("file", "/etc/door")),
        ("hunter2", Secret("inline", "hunter2")),
    ],
)
def test_forms_of_a_secret(value: object, secret: Secret) -> None:
    """A secret is a reference of three kinds, or the text itself."""
    assert Sample.model_validate({"secret": value}).secret == secret


@pytest.mark.parametrize(
    "value",
    [
        "",
        7,
        None,
        [],
        {},
        {"credential": "../door"},
        {"credential": ".."},
        {"env": ""},
        {"env": "A=B"},
        {"file": ""},
        {"file": 7},
        {"vault": "door"},
        {"env": "A", "file": "b"},
    ],
)
def test_no_forms_of_a_secret(value: object) -> None:
    """Anything else is refused."""
    with pytest.raises(ValidationError):
        Sample.model_validate({"secret": value})


def test_a_secret_prints_as_stars() -> None:
    """Neither the section nor its JSON nor the secret itself shows the text."""
    sample = Sample(secret=Secret("inline", "hunter2"))
    shown = f"{sample!r} {sample} {sample.model_dump_json()} {sample.model_dump()} {sample.secret}"
    assert "hunter2" not in shown
    assert "***" in shown


def test_a_secret_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable's text is the secret; an empty or missing one is an error that names it."""
    monkeypatch.setenv("DOOR", "hunter2\n")
    assert Secret("env", "DOOR").resolve() == "hunter2"
    monkeypatch.setenv("DOOR", " ")
    with pytest.raises(SecretError, match="environment variable DOOR to hold the secret, found none"):
        Secret("env", "DOOR").resolve()


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    """A private file's text is the secret, without the line break at its end."""
    file = tmp_path / "door"
    file.write_text("hunter2\n")
    file.chmod(0o640)
    assert Secret("file", str(file)).resolve() == "hunter2"


@pytest.mark.parametrize(
    ("content", "mode", "found"),
    [
        pytest.param(b"hunter2", 0o644, "readable by everyone", id="others may read it"),
        pytest.param(b"\n", 0o600, "found an empty file", id="empty"),
        pytest.param(b"\xff", 0o600, "found: it is not text", id="binary"),
        pytest.param(b"a" * 70_000, 0o600, "of at most 65536 bytes", id="far too long"),
        pytest.param(None, 0, "found: no such file or directory", id="missing"),
    ],
)
def test_unusable_files(tmp_path: Path, content: bytes | None, mode: int, found: str) -> None:
    """A file that is no private, short text gives an error that names the file and not the text."""
    file = tmp_path / "door"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    with pytest.raises(SecretError) as error:
        Secret("file", str(file)).resolve()
    assert found in str(error.value)
    assert str(file) in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_folder_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is called one, whoever may read it, and in the place of a credential too."""
    tmp_path.chmod(0o755)
    (tmp_path / "door").mkdir()
    with pytest.raises(SecretError) as error:
        Secret("file", str(tmp_path)).resolve()
    assert str(error.value) == f"expected a file with the secret at {tmp_path}, found a directory"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(SecretError, match="found a directory"):
        Secret("credential", "door").resolve()


def test_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential lies in the folder that the service manager names; without one it cannot be had."""
    (tmp_path / "door").write_text("hunter2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Secret("credential", "door").resolve() == "hunter2"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(SecretError, match="expected the credential door from the service manager, found no"):
        Secret("credential", "door").resolve()


@pytest.mark.parametrize(("path", "seen"), [("a/b", "/etc/tocsin/a/b"), ("/a/b", "/a/b")])
def test_paths_start_at_the_folder_of_the_configuration(path: str, seen: str) -> None:
    """Relative paths, those of secrets included, are seen from the configuration's folder; absolute ones stay."""
    sample = Sample.model_validate(
        {"path": path, "secret": {"file": path}}, context={"folder": "/etc/tocsin"}
    )
    assert sample.path == seen
    assert sample.secret == Secret("file", seen)
