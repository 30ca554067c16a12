"""Faults of a configuration in our own words: what was expected, what was found, and what was perhaps meant."""

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tocsin.fields import NAME_PATTERN
from tocsin.yamlfile import Document, Fault, Key, KeyPath

_SECRET_KEYS = frozenset({"password", "secret", "previous_secret", "token", "headers", "basic_auth_users"})
_LONGEST_SHOWN = 60
_PATTERNS = {NAME_PATTERN: "1 to 32 of a-z, 0-9, _ and -"}


EXPECTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda ctx: f"a number above {ctx['gt']:g}",
    "greater_than_equal": lambda ctx: f"a number of {ctx['ge']:g} or more",
    "less_than": lambda ctx: f"a number below {ctx['lt']:g}",
    "less_than_equal": lambda ctx: f"a number of {ctx['le']:g} or less",
    "int_type": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "float_type": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "string_type": lambda _: "text",
    "bool_type": lambda _: "true or false",
    "tuple_type": lambda _: "a list",
    "model_type": lambda _: "keys and values",
    "dict_type": lambda _: "keys and values",
    "literal_error": lambda ctx: ctx["expected"].replace("'", ""),
    "string_pattern_mismatch": lambda ctx: _PATTERNS.get(ctx["pattern"], "other text"),
    "too_short": lambda ctx: f"{ctx['min_length']} or more items",
    "too_long": lambda ctx: f"{ctx['max_length']} items at most",
    "missing": lambda _: "this key, which has no default",
    "expected": lambda ctx: ctx["what"],
}
"""What was expected, by pydantic's type of error; `extra_forbidden` has a sentence of another form."""


def translate(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Fault]:
    """Return pydantic's errors about `document` as faults, one for each place."""
    places: dict[KeyPath, list[ErrorDetails]] = {}
    for details in error.errors(include_input=False, include_url=False):
        path = _real_path(details, document.content)
        if not _echo(details, _value_at(document.content, path)):
            places.setdefault(path, []).append(details)
    return [
        Fault(path, _sentence(path, details, document.content, model)) for path, details in places.items()
    ]


def shown(value: object, path: KeyPath) -> str:
    """Return `value` as a message may show it: no secret, no credentials in an address, not too long."""
    if _SECRET_KEYS.intersection(path):
        return "***"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return "a list" if isinstance(value, list) else "keys and values"
    text = masked(str(value)) if value != "" else "empty text"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def masked(text: str) -> str:
    """Return `text` without what may be a credential: all before the last @, and an address's path and query.

    A slip in the address does not change that: what is neither a host nor a port where they belong may be a
    password whose @ is missing.
    """
    scheme, slashes, rest = text.partition("://")
    if not slashes and "@" not in text:
        path, mark, _ = text.partition("?")
        return f"{path}?..." if mark else path
    user, at, rest = (rest if slashes else text).rpartition("@")
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    known = f"{scheme}://" if re.fullmatch(r"[A-Za-z0-9+.-]{0,16}", scheme) else "...://"
    login, path = "***@" if user or at else "", "/..." if place != rest else ""
    return f"{known if slashes else ''}{login}{_host(place)}{path}"


def _host(place: str) -> str:
    """Return the host and port that `place` begins with, and *** for the rest."""
    found = re.match(r"(\[[0-9A-Fa-f:.]*\]|[\w.-]*)(:[0-9]{0,9}$|:)?", place)
    assert found, "the pattern fits the empty text too"
    return found[0] if found[0] == place else f"{found[0]}***"


def meant(word: object, known: Collection[str]) -> str:
    """Return ` (did you mean transport?)`, or nothing when no known word is near."""
    near = difflib.get_close_matches(str(word)[:64].lower(), known, n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def _real_path(details: ErrorDetails, content: Any) -> KeyPath:
    """The error's path without the branches of unions, which stand in it but not in the file."""
    path: list[Key] = []
    last = len(details["loc"]) - 1
    for number, step in enumerate(details["loc"]):
        if _holds(content, step):
            content = content[step]
            path.append(step)
        elif number == last and details["type"] == "missing" and isinstance(step, str):
            path.append(step)
    return tuple(path)


def _holds(content: object, step: Key) -> bool:
    if isinstance(content, list):
        return isinstance(step, int) and step < len(content)
    return isinstance(content, dict) and step in content


def _echo(details: ErrorDetails, value: object) -> bool:
    """Whether a list is called too short only because items of it, which have errors of their own, are faulty."""
    return (
        details["type"] == "too_short"
        and isinstance(value, list)
        and len(value) >= details["ctx"]["min_length"]
    )


def _sentence(path: KeyPath, errors: list[ErrorDetails], content: object, model: type[BaseModel]) -> str:
    kind, ctx = errors[0]["type"], errors[0].get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(keys_at(model, path[:-1]))
        return "unknown key" + (meant(path[-1], known) or f" (known here: {', '.join(known)})")
    value = _value_at(content, path)
    wants = " or ".join(dict.fromkeys(_expected(details, value) for details in errors))
    found = ctx.get("found") or _found(errors, value, path)
    known = (
        ctx["expected"].replace("'", "").replace(" or ", ", ").split(", ") if kind == "literal_error" else []
    )
    hint = meant(value, known) if isinstance(value, str) else ""
    return f"expected {wants}, found {found}{hint}"


def _expected(details: ErrorDetails, value: object) -> str:
    """A list that is too short for a fixed number of values is reported as a missing item."""
    if details["type"] == "missing" and isinstance(details["loc"][-1], int) and isinstance(value, list):
        return f"{details['loc'][-1] + 1} or more values"
    phrase = EXPECTED.get(details["type"])
    return phrase(details.get("ctx", {})) if phrase else "another value"


def _found(errors: list[ErrorDetails], value: object, path: KeyPath) -> str:
    kinds = {details["type"] for details in errors}
    if isinstance(value, list) and kinds & {"too_short", "too_long", "missing"}:
        return str(len(value))
    if "missing" in kinds:
        return "none"
    text = shown(value, path)
    if "string_type" in kinds and isinstance(value, (bool, int, float)):
        return f"{text}, which is text only in quotes" if text != "***" else text
    if (
        isinstance(value, str)
        and text not in ("***", "empty text")
        and any(kind.endswith("_type") for kind in kinds)
    ):
        return f"the text {text}"
    return text


def _value_at(content: Any, path: KeyPath) -> object:
    for step in path:
        if not _holds(content, step):
            return None
        content = content[step]
    return content


def keys_at(model: type[BaseModel], path: KeyPath) -> Collection[str]:
    """Return the keys that the section at `path` knows."""
    for step in path:
        if isinstance(step, str):
            field = model.model_fields.get(step)
            inner = next(_models(field.annotation), None) if field else None
            if inner is None:
                return ()
            model = inner
    return tuple(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections inside an annotation such as `tuple[RuleSettings, ...]`."""
    if get_origin(annotation) is None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models(argument)
