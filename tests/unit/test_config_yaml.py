"""The strict YAML reader: words mean what they show, and nothing unfolds, repeats or nests without end."""

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tocsin import yamlfile
from tocsin.errors import ConfigError
from tocsin.yamlfile import Fault, parse, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("22:30", "22:30"),
        ("0123", "0123"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        ("9" * 400 + ".", "9" * 400 + "."),
        ("1.", 1.0),
        ("00.5", "00.5"),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("12", 12),
        ("-1", -1),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("9" * 5000, "9" * 5000),
        ("'12'", "12"),
        ('"true"', "true"),
        ("''", ""),
        ("", None),
        ("~", None),
        ("null", None),
        ("=", "="),
    ],
)
def test_scalars(text: str, value: object) -> None:
    """A word is a number, a truth value or nothing only where it looks like one to everybody."""
    found = parse(f"a: {text}\n".encode(), "f").content["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "a: &x 1\n", "f:1: expected a written-out value, found an anchor or alias (& or *)", id="anchor"
        ),
        pytest.param(
            "b: 1\na: *x\n",
            "f:2: expected a written-out value, found an anchor or alias (& or *)",
            id="alias",
        ),
        pytest.param(
            "a:\n  <<: {b: 1}\n", "f:2: expected written-out keys, found a merge key (<<)", id="merge key"
        ),
        pytest.param(
            "&x a: 1\n",
            "f:1: expected a written-out value, found an anchor or alias (& or *)",
            id="anchored key",
        ),
        pytest.param(
            "a: !!python/name:os.system x\n", "f:1: expected a plain value, found a tag (!)", id="tag"
        ),
        pytest.param("a: !!binary aGk=\n", "f:1: expected a plain value, found a tag (!)", id="standard tag"),
        pytest.param(
            "a: 1\n---\nb: 2\n", "f:2: expected one document, found a second one", id="two documents"
        ),
        pytest.param(
            "? [a]\n: 1\n",
            "f:1: expected a word as key, found a list, keys and values, or an alias",
            id="list as key",
        ),
        pytest.param(
            "rtsp://u:hunter2@h: 1\n",
            "f:1: expected a key of letters, digits and _, found another character or over 64 of them",
            id="address as key",
        ),
        pytest.param(
            "a: |\n  b\n  c\n",
            "f:1: expected text of one line, found a line break or control character in it",
            id="lines",
        ),
        pytest.param(
            'a: "b\\e[31m"\n',
            "f:1: expected text of one line, found a line break or control character in it",
            id="escape character",
        ),
        pytest.param(
            "a: [1\n", "f:2: expected YAML, found an error: did not find expected ',' or ']'", id="open list"
        ),
        pytest.param(
            "a:\n\t- b\n",
            "f:2: expected YAML, found a tab, where only spaces may stand",
            id="tab",
        ),
        pytest.param("a: \x00\n", "f: expected YAML, found characters that it does not allow", id="NUL byte"),
        pytest.param("- a\n", "f: expected keys such as streams: and webhooks:, found a list", id="a list"),
        pytest.param(
            "a\n", "f: expected keys such as streams: and webhooks:, found a single value", id="a word"
        ),
        pytest.param("", "f: expected keys such as streams: and webhooks:, found nothing", id="empty"),
        pytest.param(
            "# a\n---\n",
            "f: expected keys such as streams: and webhooks:, found nothing",
            id="only a comment",
        ),
    ],
)
def test_refusals(text: str, message: str) -> None:
    """What is not a plain mapping is refused in one sentence that names the line."""
    with pytest.raises(ConfigError) as error:
        parse(text.encode(), "f")
    assert error.value.faults == (message,)


def test_other_encodings_are_refused_with_their_line() -> None:
    """Bytes that are not UTF-8 are refused, and the line of the first is named."""
    with pytest.raises(ConfigError, match=r"^f:2: expected UTF-8 text, found other bytes$"):
        parse(b"a: 1\nb: \xff\n", "f")


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    """A file that an editor marked as UTF-8 reads as without the mark."""
    assert parse(b"\xef\xbb\xbfa: 1\n", "f").content == {"a": 1}


def test_a_repeated_key_is_a_fault_and_the_first_counts() -> None:
    """Both lines are named, what lies below the repetition is not kept, and reading goes on."""
    document = parse(b"a: 1\nb: {c: 1, c: 2}\na: {c: [1]}\nd: 3\n", "f")
    assert document.content == {"a": 1, "b": {"c": 1}, "d": 3}
    assert document.repeated == (
        Fault(("b", "c"), "expected this key once, found it on line 2 too", 2),
        Fault(("a",), "expected this key once, found it on line 1 too", 3),
    )
    assert document.messages(document.repeated)[1] == "f:3: a: expected this key once, found it on line 1 too"


def test_every_key_and_item_has_its_line() -> None:
    """The line of a path that is not there is that of the nearest key around it."""
    document = parse(b"a:\n  - b: 1\n    c: 2\n  - {d: 3}\n\ne: 4\n", "f")
    lines = {
        ("a",): 1,
        ("a", 0): 2,
        ("a", 0, "b"): 2,
        ("a", 0, "c"): 3,
        ("a", 1): 4,
        ("a", 1, "d"): 4,
        ("e",): 6,
    }
    assert document.lines == lines
    assert document.line(("a", 0, "x", 7)) == 2
    assert document.line(("x",)) == 1


@pytest.mark.parametrize(("depth", "sound"), [(yamlfile.MAX_DEPTH, True), (yamlfile.MAX_DEPTH + 1, False)])
def test_depth_is_bounded(depth: int, sound: bool) -> None:
    """Twenty levels are read, one more is refused."""
    text = "a: " + "[" * (depth - 1) + "]" * (depth - 1)
    if sound:
        assert parse(text.encode(), "f").content
    else:
        with pytest.raises(ConfigError, match="expected at most 20 levels of nesting, found more"):
            parse(text.encode(), "f")


@pytest.mark.parametrize("bomb", ["[" * 100_000, "a: " + "{b: " * 100_000, "- " * 100_000])
def test_a_tower_of_brackets_is_refused_at_once(bomb: str) -> None:
    """Endless nesting neither exhausts the stack nor takes long."""
    start = time.monotonic()
    with pytest.raises(ConfigError):
        parse(bomb.encode(), "f")
    assert time.monotonic() - start < 1


def test_the_number_of_values_is_bounded() -> None:
    """A file of many small mistakes is refused before each of them is looked at."""
    items = "  - a\n" * (yamlfile.MAX_VALUES - 2)  # the list and the whole are values too
    assert (
        len(yamlfile.parse(f"streams:\n{items}".encode(), "f").content["streams"]) == yamlfile.MAX_VALUES - 2
    )
    with pytest.raises(ConfigError, match=r"^f:10000: expected at most 10000 values, found more$"):
        yamlfile.parse(f"streams:\n{items}  - a\n".encode(), "f")


def test_size_is_bounded(tmp_path: Path) -> None:
    """More than a mebibyte is refused, from memory and from a file that never ends."""
    with pytest.raises(ConfigError, match=r"^f: expected at most 1 MiB, found more$"):
        parse(b"#" * (yamlfile.MAX_BYTES + 1), "f")
    with pytest.raises(ConfigError, match=r"^/dev/zero: expected at most 1 MiB, found more$"):
        read(Path("/dev/zero"))


def test_the_slow_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without libyaml the values and lines are the same."""
    text = b"a: [1, no, 'x']\nb:\n  c: 22:30\n"
    fast = parse(text, "f")
    monkeypatch.setattr(yamlfile, "_Loader", yaml.SafeLoader)
    assert parse(text, "f") == fast


def test_a_document_does_not_show_its_content() -> None:
    """The content may hold passwords: it is no part of what is printed."""
    document: Any = parse(b"password: hunter2\n", "f")
    assert "hunter2" not in repr(document)
