"""The reference file and the JSON Schema say what the models say."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from tocsin.capture.settings import TileSettings
from tocsin.config.load import load, loads, schema, schema_text
from tocsin.config.settings import Config
from tocsin.fields import Section
from tocsin.yamlfile import parse

CONFIG = Path(__file__).parents[2] / "config"
REFERENCE = CONFIG / "tocsin.yaml"


def sections(section: Section, written: Any) -> Iterator[tuple[Section, dict[str, Any]]]:
    """Each section of a configuration beside what the file says of it."""
    yield section, written
    for key in written:
        value = getattr(section, key)
        items = zip(value, written[key], strict=True) if isinstance(value, tuple) else [(value, written[key])]
        for item, text in items:
            if isinstance(item, Section):
                yield from sections(item, text)


@pytest.fixture(scope="module")
def reference() -> list[tuple[Section, dict[str, Any]]]:
    return list(sections(load(REFERENCE), parse(REFERENCE.read_bytes(), "reference").content))


def test_the_reference_holds_every_key(reference: list[tuple[Section, dict[str, Any]]]) -> None:
    """Each key of each section stands in the reference at least once."""
    missing = {(type(section), key) for section, _ in reference for key in type(section).model_fields}
    missing -= {(type(section), key) for section, written in reference for key in written}
    assert missing == set()
    assert len({type(section) for section, _ in reference}) == 15


def has_default(field: FieldInfo) -> bool:
    """Keys that are required, or empty unless given, stand in the reference with an example."""
    return not field.is_required() and field.default not in (None, (), {})


def test_the_reference_shows_the_defaults(reference: list[tuple[Section, dict[str, Any]]]) -> None:
    """A key that has a default is written with it where it first stands."""
    first: dict[tuple[str, str], tuple[Any, Any]] = {}
    for section, written in reference:
        for key, field in type(section).model_fields.items():
            if key in written and has_default(field) and not isinstance(field.default, Section):
                first.setdefault((type(section).__name__, key), (getattr(section, key), field.default))
    assert len(first) > 20
    assert {key: shown for key, shown in first.items() if shown[0] != shown[1]} == {}


def test_the_reference_tells_of_tiles_what_is_so() -> None:
    """The comment beside the views holds every key of tiles with its default, and works as it stands."""
    (written,) = re.findall(r"# told: (\{tiles: .*?\}\})", REFERENCE.read_text())
    text = REFERENCE.read_text().replace("views: full ", f"views: {written} ")
    tiled = loads(text.encode(), name="f", folder=CONFIG)
    assert tiled.streams[0].tiles == TileSettings()
    assert parse(written.encode(), "f").content["tiles"].keys() == TileSettings.model_fields.keys()


def test_the_reference_names_its_schema() -> None:
    """The first line tells an editor where the schema is, and it is there."""
    assert REFERENCE.read_text().startswith("# yaml-language-server: $schema=tocsin.schema.json\n")
    assert (CONFIG / "tocsin.schema.json").is_file()


def test_each_key_of_the_reference_has_a_comment() -> None:
    """A key's line, or the one below it, explains it."""
    lines = REFERENCE.read_text().splitlines()
    body = range(next(n for n, line in enumerate(lines) if line == "detector:"), len(lines))
    keys = [n for n in body if ":" in lines[n].split("#")[0] and not lines[n].rstrip().endswith(":")]
    assert len(keys) > 30
    bare = [lines[n] for n in keys if "#" not in lines[n] and not lines[n + 1].strip().startswith("#")]
    # what the second stream and webhook have is explained at the first, a zone's name by the list around it
    assert [line.strip() for line in bare] == [
        "- name: doorway",
        "- name: recording",
        "source: file:clip.mp4",
        "- name: chat",
        "url: https://chat.example/hook",
        "format: template",
    ]


def test_the_schema_in_the_folder_is_that_of_the_models() -> None:
    """A change of the models that is not in config/tocsin.schema.json fails: `tocsin schema` writes it."""
    assert (CONFIG / "tocsin.schema.json").read_text() == schema_text()


def test_the_schema_speaks_the_language_of_the_file() -> None:
    """Every key is described, unknown keys are refused, and durations and secrets look as in the file."""
    described = schema()
    definitions = described["$defs"]
    assert all(part["additionalProperties"] is False for part in (described, *definitions.values()))
    assert definitions["RuleSettings"]["properties"]["end_after"]["default"] == "10s"
    assert definitions["RuleSettings"]["properties"]["repeat_every"]["default"] == "5m"
    assert {"type": "string", "minLength": 1} in definitions["WebhookSettings"]["properties"]["secret"][
        "anyOf"
    ]
    bare = [
        (name, key)
        for name, part in {"Config": described, **definitions}.items()
        for key, about in part["properties"].items()
        if "description" not in about and "$ref" not in about
    ]
    assert bare == []
    assert json.loads(schema_text()) == described
    assert set(described["properties"]) == set(Config.model_fields)
