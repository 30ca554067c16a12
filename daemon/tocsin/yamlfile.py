"""One strict YAML document: plain values, and the line that each of them stands on.

Stricter than YAML on purpose. No anchors, aliases, merge keys or tags (a few hundred bytes of them unfold into
gigabytes), no duplicate keys (the last one would win in silence), bounded size and depth, and words that mean
what they show: `no`, `22:30`, `0123` and `2026-01-01` are text, only `true` and `false` are truth values.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tocsin.errors import ConfigError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20
MAX_VALUES = 10_000
"""Words, lists and groups of keys together: 250 cameras with forty each; every one may need a message."""

Key = str | int
KeyPath = tuple[Key, ...]

# The C parser is some four times faster; a PyYAML without libyaml parses the same language.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_KEY = re.compile(
    r"[A-Za-z0-9_. -]{1,64}"
)  # so that no key, which messages show, can hold an address or password
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*|(?=[eE]))|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    spelling: truth
    for truth, word in ((True, "true"), (False, "false"))
    for spelling in (word, word.capitalize(), word.upper())
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: the path of the key where it stands, and a sentence.

    `line` is needed only where it is not the line of that key.
    """

    path: KeyPath
    sentence: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """The mapping that a file holds, made of dict, list, str, int, float, bool and None only.

    `lines` maps the path of every key and list item to its line, counted from 1, in the order of the file.
    `repeated` holds a fault for each key that stands there twice; `content` has the value of the first.
    """

    name: str
    content: dict[str, Any] = field(repr=False)  # may hold secrets
    lines: dict[KeyPath, int]
    repeated: tuple[Fault, ...] = ()

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest enclosing key where there is none."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def messages(self, faults: Iterable[Fault]) -> list[str]:
        """Return `FILE:LINE: streams[0].max_fps: SENTENCE` for each fault, each once, in the order of the file."""
        rank = {path: number for number, path in enumerate(self.lines)}
        order = sorted(
            faults, key=lambda fault: (fault.line or self.line(fault.path), rank.get(fault.path, -1))
        )
        return list(dict.fromkeys(self._message(fault) for fault in order))

    def _message(self, fault: Fault) -> str:
        line = fault.line or self.line(fault.path)
        return f"{self.name}:{line}: {dotted(fault.path)}: {fault.sentence}"


def dotted(path: KeyPath) -> str:
    """`streams[0].max_fps` for ("streams", 0, "max_fps")."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def read(path: Path) -> bytes:
    """Return the content of a file of at most MAX_BYTES; raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a readable file, found: {(error.strerror or 'no such file').lower()}"
        ) from error
    except ValueError as error:  # a NUL byte in the path
        raise ConfigError("expected the path of a configuration file, found one with a NUL byte") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: expected at most 1 MiB, found more")
    return content


def parse(content: bytes, name: str, keys: str = "keys such as streams: and webhooks:") -> Document:
    """Return the one document in `content`; `name` stands for the file in messages, `keys` for what it holds.

    Raises ConfigError for anything that is not one strict YAML mapping.
    """
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{name}: expected at most 1 MiB, found more")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: expected UTF-8 text, found other bytes") from error
    reader = _Reader(name)
    try:
        value = reader.document(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f":{mark.line + 1}" if mark else ""
        rest = "".join(text.splitlines()[mark.line : mark.line + 1])[mark.column :] if mark else ""
        found = (
            "a tab, where only spaces may stand" if rest.startswith("\t") else f"an error: {error.problem}"
        )
        raise ConfigError(f"{name}{at}: expected YAML, found {found}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: expected YAML, found characters that it does not allow") from error
    if not isinstance(value, dict):
        found = "nothing" if value is None else "a list" if isinstance(value, list) else "a single value"
        raise ConfigError(f"{name}: expected {keys}, found {found}")
    return Document(name, value, reader.lines, tuple(reader.repeated))


class _Reader:
    """Builds values from the parser's events, so that nothing is unfolded or nested before it is checked."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.lines: dict[KeyPath, int] = {}
        self.repeated: list[Fault] = []
        self._values = 0

    def document(self, events: Iterator[yaml.Event]) -> Any:
        value = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._fault(event, "expected one document", "a second one")
                value = self.value(next(events), events, ())
        return value

    def value(self, event: yaml.Event, events: Iterator[yaml.Event], path: KeyPath) -> Any:
        """Return the value that starts with `event`; `path` is where it stands."""
        self._check_plain(event)
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._fault(event, f"expected at most {MAX_VALUES} values", "more")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if len(path) >= MAX_DEPTH:
            raise self._fault(event, f"expected at most {MAX_DEPTH} levels of nesting", "more")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(events, path)
        return self._mapping(events, path)

    def _list(self, events: Iterator[yaml.Event], path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            step = (*path, len(items))
            self.lines[step] = _line(event)
            items.append(self.value(event, events, step))
        return items

    def _mapping(self, events: Iterator[yaml.Event], path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event)
            step = (*path, key)
            if step in self.lines:
                sentence = f"expected this key once, found it on line {self.lines[step]} too"
                self.repeated.append(Fault(step, sentence, _line(event)))
                _Reader(self._name).value(next(events), events, path)
                continue
            self.lines[step] = _line(event)
            mapping[key] = self.value(next(events), events, step)
        return mapping

    def _key(self, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._fault(event, "expected a word as key", "a list, keys and values, or an alias")
        if event.value == "<<":
            raise self._fault(event, "expected written-out keys", "a merge key (<<)")
        self._check_plain(event)
        if not _KEY.fullmatch(event.value):
            raise self._fault(
                event, "expected a key of letters, digits and _", "another character or over 64 of them"
            )
        return str(event.value)

    def _check_plain(self, event: yaml.Event) -> None:
        if (
            isinstance(event, yaml.NodeEvent) and event.anchor is not None
        ):  # an alias names its anchor here too
            raise self._fault(event, "expected a written-out value", "an anchor or alias (& or *)")
        if getattr(event, "tag", None) is not None:
            raise self._fault(event, "expected a plain value", "a tag (!)")

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text = self._text(event)
        if not event.implicit[0]:  # quoted
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
            return number
        return text

    def _text(self, event: yaml.ScalarEvent) -> str:
        """Control characters have no use in any key or value, and would reach logs and terminals."""
        if not event.value.isprintable():
            raise self._fault(event, "expected text of one line", "a line break or control character in it")
        return str(event.value)

    def _fault(self, event: yaml.Event, expected: str, found: str) -> ConfigError:
        return ConfigError(f"{self._name}:{_line(event)}: {expected}, found {found}")


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None, "only events made by hand have no mark"
    return event.start_mark.line + 1
