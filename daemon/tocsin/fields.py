"""The kinds of value that configuration sections are made of: names, durations, paths, secrets."""

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast
from urllib.parse import SplitResult

import durationpy
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, core_schema

from tocsin.errors import SecretError
from tocsin.yamlfile import Fault


class Section(BaseModel):
    """A part of the configuration: frozen, strict, and without unknown keys.

    Inputs never appear in errors, since the faulty part may hold a password.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    weighed: ClassVar[frozenset[str]] = frozenset()
    """The keys that `conflicts` looks at."""

    def conflicts(self) -> Iterator[Fault]:
        """What is wrong between keys that are each right by themselves; paths start at this section."""
        return iter(())

    def changed(self, key: str) -> bool:
        """Whether `key` holds anything but its default."""
        return bool(getattr(self, key) != type(self).model_fields[key].default)


def expected(what: str, found: str | None = None) -> PydanticCustomError:
    """Return the error for a value that is none of `what`; `found` where the value itself does not tell."""
    return PydanticCustomError("expected", "{what}", {"what": what} | ({"found": found} if found else {}))


def text_of(what: str) -> BeforeValidator:
    """Refuse a number where text is wanted in the words for that text: quotes alone would not make it one."""

    def check(value: object) -> object:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            raise expected(what, f"the number {value}")
        return value

    return BeforeValidator(check)


def check_port(address: SplitResult) -> None:
    """Raise unless the port of `address` is none or can be connected to."""
    try:
        sound = address.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise expected("a port from 1 to 65535 in the address")


def counted(number: int, noun: str) -> str:
    """Return `1 stream` or `2 streams`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


NAME_PATTERN = r"^[a-z0-9_-]{1,32}$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""A name that may become a metric label."""


DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
_LONGEST = 366 * 86400.0


def _parse_duration(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0:
        return 0.0
    if isinstance(value, str) and re.fullmatch(DURATION_PATTERN, value, re.ASCII):
        try:
            seconds = float(durationpy.from_str(value).total_seconds())
        except durationpy.DurationError:
            raise expected("a duration of a year at most") from None
        if seconds <= _LONGEST:
            return seconds
        raise expected("a duration of a year at most")
    raise expected("a duration with its unit, such as 10s, 500ms or 1m30s")


def duration_text(seconds: float) -> str:
    """Return the shortest text in one unit that reads as `seconds`: 300 -> 5m, 0.5 -> 500ms."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{round(seconds * 1000)}ms" if seconds else "0s"


Duration = Annotated[
    float,
    BeforeValidator(_parse_duration),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, {"const": 0}]}),
]
"""Seconds in code, text with a unit in the file."""


def resolve_path(path: str, info: ValidationInfo) -> str:
    """Return `path` seen from the folder of the configuration file, where the validation knows one."""
    folder = (info.context or {}).get("folder")
    return str(Path(folder) / path) if folder else path


def _local_path(value: str, info: ValidationInfo) -> str:
    if not value:
        raise expected("a path")
    return resolve_path(value, info)


LocalPath = Annotated[str, AfterValidator(_local_path)]
"""A path on this machine; a relative one starts at the folder of the configuration file."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret or where to find it; it prints as `***` wherever it is shown.

    In the file it is `{credential: NAME}` (systemd's credentials directory), `{env: NAME}`, `{file: PATH}`, or
    the text itself, which `check` warns about.
    """

    kind: Literal["credential", "env", "file", "inline"]
    reference: str

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def resolve(self) -> str:
        """Return the secret's text.

        Raises SecretError, which names the reference and never its content.
        """
        if self.kind == "inline":
            return self.reference
        if self.kind == "env":
            return self._from_environment()
        return self._from_file(self._path())

    def _from_environment(self) -> str:
        value = os.environ.get(self.reference, "").strip()
        if not value:
            raise SecretError(
                f"expected the environment variable {self.reference} to hold the secret, found none"
            )
        return value

    def _path(self) -> Path:
        if self.kind == "file":
            return Path(self.reference)
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise SecretError(
                f"expected the credential {self.reference} from the service manager, "
                "found no CREDENTIALS_DIRECTORY in the environment, which names the folder that holds it"
            )
        return Path(directory) / self.reference

    def _from_file(self, path: Path) -> str:
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise SecretError(f"expected a file with the secret at {path}, found a directory")
            if self.kind == "file" and mode & 0o004:
                raise SecretError(
                    f"expected a secret that others cannot read, found {path} readable by everyone"
                )
            with path.open("rb") as file:
                content = file.read(_SECRET_BYTES + 1)
            text = content.decode("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = (
                (error.strerror or "an error").lower() if isinstance(error, OSError) else "it is not text"
            )
            raise SecretError(f"expected a readable secret in {path}, found: {reason}") from error
        if len(content) > _SECRET_BYTES:
            raise SecretError(f"expected a secret of at most {_SECRET_BYTES} bytes in {path}, found more")
        if not text:
            raise SecretError(f"expected a secret in {path}, found an empty file")
        return text

    @classmethod
    def parse(cls, value: Any, info: ValidationInfo) -> "Secret":
        """Return what a value in the file refers to; raises PydanticCustomError."""
        if isinstance(value, Secret):
            return value
        if isinstance(value, str) and value:
            return cls("inline", value)
        if not isinstance(value, dict) or len(value) != 1:
            raise expected(_REFERENCES)
        kind, reference = next(iter(value.items()))
        if kind not in ("credential", "env", "file") or not isinstance(reference, str):
            raise expected(_REFERENCES)
        if kind == "file" and reference:
            return cls("file", resolve_path(reference, info))
        if not re.fullmatch(r"[A-Za-z0-9_.@-]{1,128}", reference) or reference.startswith("."):
            raise expected("the name of a credential or variable, of letters, digits, _, - and .")
        return cls(cast('Literal["credential", "env"]', kind), reference)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                repr, return_schema=core_schema.str_schema()
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: Callable[..., Any]
    ) -> dict[str, Any]:
        return cls.json_schema()

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of a text or a reference to one."""
        references = [
            {
                "type": "object",
                "properties": {kind: {"type": "string"}},
                "required": [kind],
                "additionalProperties": False,
            }
            for kind in ("credential", "env", "file")
        ]
        return {"anyOf": [*references, {"type": "string", "minLength": 1}]}


_REFERENCES = "{credential: NAME}, {env: NAME} or {file: PATH}"
_SECRET_BYTES = 65536
