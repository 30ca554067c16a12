"""Loads the configuration from its file: everything that is wrong with it in one go, or a sound Config."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError
from pydantic_core import to_json

from tocsin.config.crosscheck import Parts, cross_faults, parts_of
from tocsin.config.faults import translate
from tocsin.config.places import messages, place, placed
from tocsin.config.secrets import (
    Secrets,
    forget_environment,
    resolve_secrets,
    secrets_in,
    unverifiable,
    webhook_secrets,
)
from tocsin.config.settings import Config, HttpSettings, Origin, StreamSettings
from tocsin.deliver.event import EventType
from tocsin.errors import ConfigError
from tocsin.fields import DURATION_PATTERN, counted, duration_text
from tocsin.yamlfile import Document, Fault, KeyPath, parse, read

__all__ = [
    "Config",
    "HttpSettings",
    "Reading",
    "Secrets",
    "StreamSettings",
    "digest",
    "forget_environment",
    "http_settings",
    "load",
    "loads",
    "messages",
    "notes",
    "place",
    "placed",
    "resolve_secrets",
    "schema",
    "schema_text",
    "secrets_in",
    "state_of",
    "study",
    "told",
    "warnings",
    "webhook_secrets",
]

_MAX_FAULTS = 100
_NO_FOLDER = "CREDENTIALS_DIRECTORY names no folder that holds it"
_INLINE = "works, but {credential: NAME}, {env: NAME} or {file: PATH} keeps the secret out of this file"


def load(path: str | os.PathLike[str]) -> Config:
    """Return the configuration in the file at `path`.

    Raises ConfigError with one message for each fault, in the order of the file. Looks at no other file, no
    hardware and no network.
    """
    path = Path(path)
    return loads(read(path), name=str(path), folder=path.absolute().parent)


def loads(content: bytes, *, name: str, folder: Path) -> Config:
    """Return the configuration that `content` is; `name` stands for its file, and paths start at `folder`."""
    reading = study(content, name=name, folder=folder)
    if reading.config is None:
        raise ConfigError(*told(reading.document, reading.faults))
    return reading.config


def state_of(path: str | os.PathLike[str]) -> tuple[Path, tuple[str, ...]]:
    """Return the folder for the state that the file at `path` names, and what else is wrong with the file.

    A daemon goes on beside a file that it refused, and is to be asked all the same. Raises ConfigError where the
    folder cannot be told.
    """
    path = Path(path)
    reading = study(read(path), name=str(path), folder=path.absolute().parent)
    faults = tuple(told(reading.document, reading.faults))
    if reading.parts.state_dir is None:
        raise ConfigError(*faults)
    return reading.parts.state_dir, faults


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says: a sound configuration, or None and the faults; and the sections that can be judged."""

    document: Document
    config: Config | None
    faults: tuple[Fault, ...]
    parts: Parts


def study(content: bytes, *, name: str, folder: Path) -> Reading:
    """Read a configuration without giving up at its faults; raises ConfigError where it is no YAML mapping."""
    document = parse(content, name)
    context = {"folder": str(folder)}
    faults, notes = _take_users_out(document)
    config = None
    try:
        config = Config.model_validate_json(to_json(document.content), context=context)
    except ValidationError as error:
        faults += translate(error, document, Config)
    parts = parts_of(document, context)
    faults += cross_faults(document, parts)
    faults += document.repeated
    if faults or config is None:
        return Reading(document, None, tuple(faults), parts)
    return Reading(document, config.came_from(Origin(document, digest(content), tuple(notes))), (), parts)


def told(document: Document, faults: Iterable[Fault]) -> list[str]:
    """Return a message for each fault, in the order of the file; an avalanche of them ends in a count."""
    sentences = document.messages(faults)
    more = len(sentences) - _MAX_FAULTS
    rest = [f"{document.name}: {counted(more, 'more fault')}"] if more > 0 else []
    return sentences[:_MAX_FAULTS] + rest


def http_settings(listen: str) -> HttpSettings:
    """Return the settings that `--listen` asks for; raises ConfigError with one sentence."""
    try:
        settings = HttpSettings.model_validate({"listen": listen})
    except ValidationError as error:
        fault = translate(error, Document("", {"listen": listen}, {}), HttpSettings)[0]
        raise ConfigError(f"--listen: {fault.sentence}") from error
    if any(settings.conflicts()):
        raise ConfigError(f"--listen: expected a loopback address, found {settings.host}")
    return settings


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
        bare, user, password, wrong = _without_user(stream["source"])
        if wrong:
            faults.append(Fault(path, wrong))
            stream["source"] = _WITHHELD
            continue
        stream["source"] = bare
        if not user:
            continue
        if "username" in stream or "password" in stream:
            faults.append(
                Fault(path, "expected no user in the address beside username and password, found both")
            )
        stream.setdefault("username", user)
        if password:
            stream.setdefault("password", password)
        notes.append(
            Fault(
                path, "works, but username and password are clearer as keys of their own than in the address"
            )
        )
    return faults, notes


_WITHHELD = "rtsp://withheld.invalid/"
"""Stands for an address that was refused, so that no part of it is shown by what else looks at it."""

_ENCODED = (
    "expected / ? # and @ of a user name or password as %2F %3F %23 and %40 in the address, or username and"
    " password as keys of their own, found an address in which they cannot be told apart"
)


def _without_user(source: str) -> tuple[str, str, str, str]:
    """Return an address without its user, the user, the password, and what is wrong with them, which shows neither.

    A user and a password may be percent-encoded or, where it is plain where they end, written as they are.
    """
    scheme, slashes, rest = source.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, host = authority.rpartition("@")
    _, further, last = rest[len(authority) :].rpartition("@")
    if not slashes or not (at or further):
        return source, "", "", ""
    port = re.sub(r"^\[[^]]*\]", "", host).partition(":")[2]
    if further and ("/" in last if at else re.search("[^0-9]", port)):  # what follows may be the host
        return source, "", "", _ENCODED
    name, _, password = login.partition(":")
    try:
        name, password = unquote(name, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        return (
            source,
            "",
            "",
            "expected a user name and password in percent-encoded UTF-8 in the address, found others",
        )
    if password and not name:
        return source, "", "", "expected a user before the password in the address, found none"
    return f"{scheme}://{host}{rest[len(authority) :]}" if at else source, name, password, ""


def warnings(config: Config) -> list[str]:
    """Return what `notes` says, one message each, in the order of the file."""
    return messages(config, notes(config))


def notes(config: Config) -> list[Fault]:
    """Return what is allowed but unwise, does nothing, or cannot be verified here."""
    found = list(config.origin.notes) if config.origin else []
    noted = {fault.path[:-1] for fault in found}
    for path, secret in secrets_in(config):
        if secret.kind == "inline" and path[:-1] not in noted:
            found.append(Fault(path, _INLINE))
        elif unverifiable(secret):
            found.append(Fault(path, f"credential {secret.reference} is not checked: {_NO_FOLDER}"))
    return [*found, *_idle(config)]


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
    yield from _idle_heartbeat(config)
    yield from _idle_attach(config)


def _idle_attach(config: Config) -> Iterator[Fault]:
    made = EventType.EVIDENCE_MADE
    has_pictures = any(stream.evidence.pictures for stream in config.streams)
    for number, webhook in enumerate(config.webhooks):
        path = ("webhooks", number, "attach")
        if webhook.attach == "none":
            continue
        if not any(made.matches(pattern.partition("/")[0]) for pattern in webhook.patterns):
            yield Fault(path, f"its events do not hold {made}, which brings the pictures, so it gets none")
        elif not has_pictures:
            yield Fault(path, "no stream keeps pictures, so there is nothing to attach")


def _idle_heartbeat(config: Config) -> Iterator[Fault]:
    beat = EventType.TOCSIN_HEARTBEAT
    asking = [
        number
        for number, webhook in enumerate(config.webhooks)
        if any(beat.matches(pattern) for pattern in webhook.patterns)
    ]
    if config.heartbeat and not asking:
        yield Fault(("heartbeat",), f"no webhook's events hold {beat}, so nobody gets it")
    if not config.heartbeat:
        for number in asking:
            if beat in config.webhooks[number].patterns:
                yield Fault(("webhooks", number, "events"), f"{beat} is never sent, for heartbeat is 0")


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
