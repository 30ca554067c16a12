"""Loads the configuration from its file: everything that is wrong with it in one go, or a sound Config."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError
from pydantic_core import to_json

from tocsin.config.crosscheck import cross_faults
from tocsin.config.faults import translate
from tocsin.config.settings import Config, HttpSettings, Origin, StreamSettings
from tocsin.deliver.settings import signing_key_fault
from tocsin.errors import ConfigError, SecretError
from tocsin.fields import DURATION_PATTERN, Secret, duration_text
from tocsin.yamlfile import Document, Fault, KeyPath, dotted, parse, read

__all__ = [
    "Config",
    "HttpSettings",
    "Secrets",
    "StreamSettings",
    "digest",
    "load",
    "loads",
    "resolve_secrets",
    "schema",
    "schema_text",
    "warnings",
]

_MAX_FAULTS = 100


def load(path: str | os.PathLike[str]) -> Config:
    """Return the configuration in the file at `path`.

    Raises ConfigError with one message for each fault, in the order of the file. Looks at no other file, no
    hardware and no network.
    """
    path = Path(path)
    return loads(read(path), name=str(path), folder=path.absolute().parent)


def loads(content: bytes, *, name: str, folder: Path) -> Config:
    """Return the configuration that `content` is; `name` stands for its file, and paths start at `folder`."""
    document = parse(content, name)
    context = {"folder": str(folder)}
    faults, notes = _take_users_out(document)
    config = None
    try:
        config = Config.model_validate_json(to_json(document.content), context=context)
    except ValidationError as error:
        faults += translate(error, document, Config)
    faults += cross_faults(document, context)
    faults += document.repeated
    if faults or config is None:
        messages = document.messages(faults)
        raise ConfigError(*messages[:_MAX_FAULTS], *_rest(document.name, len(messages) - _MAX_FAULTS))
    return config.came_from(Origin(document, digest(content), tuple(notes)))


def _rest(name: str, more: int) -> list[str]:
    return [f"{name}: {more} more faults"] if more > 0 else []


def digest(content: bytes | str | os.PathLike[str]) -> str:
    """Return `sha256:...` of the bytes, or of the file at that path; raises ConfigError."""
    if not isinstance(content, bytes):
        content = read(Path(content))
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _take_users_out(document: Document) -> tuple[list[Fault], list[Fault]]:
    """Move `user:password@` from each source to the keys made for it; return faults and things to warn about.

    From here on no address holds a password, so none can reach a log or a message.
    """
    faults: list[Fault] = []
    notes: list[Fault] = []
    streams = document.content.get("streams")
    for number, stream in enumerate(streams if isinstance(streams, list) else ()):
        if not isinstance(stream, dict) or not isinstance(stream.get("source"), str):
            continue
        path: KeyPath = ("streams", number, "source")
        bare, user, password = _without_user(stream["source"])
        if user is None:
            continue
        if "username" in stream or "password" in stream:
            faults.append(
                Fault(path, "expected no user in the address beside username and password, found both")
            )
        stream["source"] = bare
        stream.setdefault("username", user)
        if password:
            stream.setdefault("password", password)
        notes.append(
            Fault(path, "expected username and password as keys of their own, found them in the address")
        )
    return faults, notes


def _without_user(source: str) -> tuple[str, str | None, str | None]:
    scheme, slashes, rest = source.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, at, host = authority.rpartition("@")
    if not slashes or not at:
        return source, None, None
    name, _, password = user.partition(":")
    return f"{scheme}://{host}{rest[len(authority) :]}", unquote(name), unquote(password)


def warnings(config: Config) -> list[str]:
    """Return what is allowed but unwise or cannot be checked here, one message each, in the order of the file."""
    found = list(config.origin.notes) if config.origin else []
    noted = {fault.path[:-1] for fault in found}
    for path, secret in _secrets(config):
        if secret.kind == "inline" and path[:-1] not in noted:
            found.append(
                Fault(
                    path, "expected {credential: NAME}, {env: NAME} or {file: PATH}, found the secret itself"
                )
            )
        elif _unverifiable(secret):
            found.append(Fault(path, f"credential {secret.reference} cannot be checked outside the service"))
    found += _idle(config)
    return messages(config, found)


def messages(config: Config, faults: list[Fault]) -> list[str]:
    """Without file and line for a configuration that was built in code."""
    if config.origin is None:
        return [f"{dotted(fault.path)}: {fault.sentence}" for fault in faults]
    return config.origin.document.messages(faults)


def _idle(config: Config) -> Iterator[Fault]:
    """What is configured and yet does nothing."""
    used = {rule for stream in config.streams for rule in stream.rules}
    for number, rule in enumerate(config.rules):
        if rule.name not in used:
            yield Fault(("rules", number), f"no stream uses rule {rule.name}")
    for number, stream in enumerate(config.streams):
        if not stream.rules:
            yield Fault(("streams", number), f"stream {stream.name} has no rules and raises no alarm")
    if not config.webhooks:
        yield Fault(("webhooks",), "no webhook is configured, so alarms reach nobody")


def _unverifiable(secret: Secret) -> bool:
    """Whether only the service manager, which did not start this process, could provide it."""
    return secret.kind == "credential" and not os.environ.get("CREDENTIALS_DIRECTORY")


def _secrets(config: Config) -> Iterator[tuple[tuple[str, int, str], Secret]]:
    for number, stream in enumerate(config.streams):
        if stream.password is not None:
            yield ("streams", number, "password"), stream.password
    for number, webhook in enumerate(config.webhooks):
        yield ("webhooks", number, "secret"), webhook.secret


@dataclass(frozen=True, slots=True)
class Secrets:
    """The texts of a configuration's secrets: passwords by stream, signing keys by webhook."""

    passwords: Mapping[str, str] = field(repr=False)
    signing_keys: Mapping[str, str] = field(repr=False)


def resolve_secrets(config: Config, *, skip_credentials: bool = False) -> Secrets:
    """Return every secret of `config`; raises SecretError with one message for each that cannot be had.

    With `skip_credentials`, credentials are left out where no service manager provides any: `warnings` names
    them.
    """
    texts: dict[tuple[str, int], str] = {}
    faults: list[Fault] = []
    for path, secret in _secrets(config):
        key, number, use = path
        if skip_credentials and _unverifiable(secret):
            continue
        try:
            text = texts[key, number] = secret.resolve()
            fault = signing_key_fault(text) if use == "secret" else None
        except SecretError as error:
            fault = str(error)
        if fault:
            faults.append(Fault(path, fault))
    if faults:
        raise SecretError(*messages(config, faults))
    return Secrets(
        passwords={
            config.streams[number].name: text for (key, number), text in texts.items() if key == "streams"
        },
        signing_keys={
            config.webhooks[number].name: text for (key, number), text in texts.items() if key == "webhooks"
        },
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the configuration file, for completion in editors."""
    described: dict[str, Any] = Config.model_json_schema()
    for section in (described, *described["$defs"].values()):
        for key in section["properties"].values():
            key.pop("title", None)
            choices = key.get("anyOf", ())
            if isinstance(key.get("default"), dict):
                del key["default"]  # a section's defaults stand at its keys
            elif any(choice.get("pattern") == DURATION_PATTERN for choice in choices):
                key["default"] = duration_text(key["default"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def schema_text() -> str:
    """Return the schema as it stands in `config/tocsin.schema.json`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
