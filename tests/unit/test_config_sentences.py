"""Every error that the models can give has a sentence of our own."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from tocsin.config.faults import EXPECTED, masked, meant, shown, translate
from tocsin.config.load import Config
from tocsin.yamlfile import Document, parse

REFERENCE = Path(__file__).parents[2] / "config" / "tocsin.yaml"
SENTENCE = re.compile(r"expected .+, found .+|unknown key \((did you mean|known here:) .+\)")
# What each kind of schema can complain about, its bounds apart.
COMPLAINTS: dict[str, set[str]] = {
    "definitions": set(),
    "definition-ref": set(),
    "default": set(),
    "nullable": set(),
    "union": set(),
    "tagged-union": set(),  # our tags leave no value without one
    "model": {"model_type"},
    "dict": {"dict_type"},
    "model-fields": {"missing", "extra_forbidden"},
    "model-field": set(),
    "tuple": {"tuple_type", "missing", "too_long"},
    "str": {"string_type"},
    "int": {"int_type", "int_from_float"},
    "float": {"float_type", "finite_number"},
    "bool": {"bool_type"},
    "literal": {"literal_error"},
    "function-after": {"expected"},
    "function-before": {"expected"},
    "function-plain": {"expected"},
}
BOUNDS = {
    "gt": "greater_than",
    "ge": "greater_than_equal",
    "lt": "less_than",
    "le": "less_than_equal",
    "pattern": "string_pattern_mismatch",
    "min_length": "too_short",
    "max_length": "too_long",
}


def schemas(part: object) -> Iterator[dict[str, Any]]:
    """Every schema inside a schema; defaults, metadata and serialization are none."""
    if isinstance(part, list):
        for item in part:
            yield from schemas(item)
    elif isinstance(part, dict):
        if isinstance(part.get("type"), str):
            yield part
        for key, value in part.items():
            if key not in ("metadata", "serialization", "default", "expected", "config", "function"):
                yield from schemas(value)


def test_every_kind_of_error_has_a_sentence() -> None:
    """Each complaint that a schema of our models can make is one that we have words for."""
    found = list(schemas(Config.__pydantic_core_schema__))
    assert {schema["type"] for schema in found} <= set(COMPLAINTS), (
        "a kind of schema that this test does not know"
    )
    kinds = {kind for schema in found for kind in COMPLAINTS[schema["type"]]}
    kinds |= {
        BOUNDS[bound] for schema in found for bound in BOUNDS if bound in schema and schema["type"] != "str"
    }
    kinds |= {"string_pattern_mismatch" for schema in found if "pattern" in schema}
    strings = {key for schema in found if schema["type"] == "str" for key in schema} - {
        "type",
        "strict",
        "metadata",
    }
    assert strings <= {"pattern", "regex_engine"}, "a bound of text that has no sentence yet"
    assert len(kinds) > 10
    assert kinds - set(EXPECTED) == {"extra_forbidden"}


@pytest.mark.parametrize(
    ("kind", "context", "sentence"),
    [
        ("less_than", {"lt": 5.0}, "expected a number below 5, found 7"),
        ("int_from_float", None, "expected a whole number, found 7"),
        ("finite_number", None, "expected a finite number, found 7"),
        ("date_parsing", {"error": "x"}, "expected another value, found 7"),
    ],
)
def test_errors_that_no_section_gives_today(kind: Any, context: dict[str, Any] | None, sentence: str) -> None:
    """They have their words too, and what has none is still no phrase of pydantic's."""
    details = InitErrorDetails(type=kind, loc=("a",), input=7, ctx=context or {})
    error = ValidationError.from_exception_data("x", [details])
    (fault,) = translate(error, Document("f", {"a": 7}, {("a",): 1}), Config)
    assert fault.sentence == sentence


WRONG: tuple[object, ...] = (
    None,
    True,
    -1,
    99999,
    1.5,
    "",
    "X x",
    [],
    [None],
    {},
    {"x": 1},
    [{"x": 1}],
    [[1], [1, 2, 3]],
)


def spoilt(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[Any]:
    """The content with each of its values replaced by each wrong one in turn."""
    inside = content
    for step in path:
        inside = inside[step]
    for key in (
        list(inside) if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ()
    ):
        for value in WRONG:
            changed = deepcopy(content)
            target = changed
            for step in path:
                target = target[step]
            target[key] = value
            yield changed
        yield from spoilt(content, (*path, key))


def test_whatever_is_wrong_the_words_are_ours() -> None:
    """With each value of the reference spoilt in many ways, no phrase of pydantic's reaches a message."""
    seen: set[str] = set()
    for content in spoilt(parse(REFERENCE.read_bytes(), "f").content):
        try:
            Config.model_validate_json(json.dumps(content))
        except ValidationError as error:
            raw = error.errors(include_input=False, include_url=False)
            seen |= {details["type"] for details in raw}
            faults = translate(error, Document("f", content, {}), Config)
            assert faults
            for fault in faults:
                assert SENTENCE.fullmatch(fault.sentence), fault
                assert "another value" not in fault.sentence, (
                    "the words for an error that we have no words for"
                )
                phrases = {details["msg"] for details in raw if details["type"] != "expected"}
                assert not any(phrase in fault.sentence for phrase in phrases)
    # nothing in the reference has only these bounds, whole numbers are strict, and the file has no infinite ones
    assert set(EXPECTED) - seen <= {"less_than", "int_from_float", "finite_number"}


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("rtsp://u:hunter2@camera/live", "rtsp://***@camera/..."),
        ("rtsp://u:hun@ter2@camera:554", "rtsp://***@camera:554"),
        ("rtsp://u:hun/ter2@camera/live", "rtsp://***@camera/..."),
        ("rtsp://u:hun ter2@camera", "rtsp://***@camera"),
        ("http://camera/mjpg?password=hunter2", "http://camera/..."),
        ("https://chat.example/services/hunter2", "https://chat.example/..."),
        ("rtsp://u:hunter2'camera/live", "rtsp://u:***/..."),
        ("rtsp://camera hunter2", "rtsp://camera***"),
        ("rtsp://[fe80::1]:554/live", "rtsp://[fe80::1]:554/..."),
        ("rtsp:/camera/live?token=hunter2", "rtsp:/camera/live?..."),
        ("u:hunter2@camera/live", "***@camera/..."),
        ("hunter2 hunter2://camera", "...://camera"),
        ("plain", "plain"),
    ],
)
def test_credentials_are_masked(text: str, safe: str) -> None:
    """Users, passwords, paths and queries of addresses are not shown, well-formed or not."""
    assert masked(text) == safe


@pytest.mark.parametrize(
    ("value", "path", "text"),
    [
        ("hunter2", ("streams", 0, "password"), "***"),
        (7, ("webhooks", 0, "secret", "env"), "***"),
        (1234567, ("webhooks", 0, "previous_secret"), "***"),
        (None, ("a",), "nothing"),
        (False, ("a",), "false"),
        (0.25, ("a",), "0.25"),
        ("", ("a",), "empty text"),
        (["hunter2"], ("a",), "a list"),
        ({"a": "hunter2"}, ("a",), "keys and values"),
        ("x" * 99, ("a",), "x" * 60 + "..."),
    ],
)
def test_what_was_found_is_shown_safely(value: object, path: tuple[str | int, ...], text: str) -> None:
    """Secrets are stars, containers are named, and long text is cut."""
    assert shown(value, path) == text


def test_only_near_words_are_suggested() -> None:
    """A slip is corrected; a word that is like none gets no suggestion."""
    known = ("transport", "source", "max_fps")
    assert meant("trasport", known) == " (did you mean transport?)"
    assert meant("Source", known) == " (did you mean source?)"
    assert meant("zebra", known) == ""
