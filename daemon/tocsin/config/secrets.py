"""From the references in a configuration to the texts of its secrets."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tocsin.config.crosscheck import Parts
from tocsin.config.places import messages, place
from tocsin.config.settings import Config
from tocsin.deliver.settings import signing_key_fault
from tocsin.errors import ConfigError, SecretError
from tocsin.fields import Secret
from tocsin.yamlfile import Fault, KeyPath

SecretPath = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Secrets:
    """The texts of a configuration's secrets: passwords by stream, signing keys by webhook."""

    passwords: Mapping[str, str] = field(repr=False)
    signing_keys: Mapping[str, str] = field(repr=False)


def resolve_secrets(config: Config) -> Secrets:
    """Return every secret of `config`; raises SecretError with one message for each that cannot be had."""
    texts, faults = _resolve(secrets_in(config), skip_credentials=False)
    if faults:
        raise SecretError(*messages(config, faults))
    return Secrets(
        passwords={
            config.streams[number].name: text for (key, number, _), text in texts.items() if key == "streams"
        },
        signing_keys={
            config.webhooks[number].name: text
            for (key, number, _), text in texts.items()
            if key == "webhooks"
        },
    )


def signing_key(config: Config, name: str) -> str:
    """Return the key of the webhook of that name.

    Raises SecretError, with the secret's place, where it cannot be had, and ConfigError for an unknown name.
    """
    for number, webhook in enumerate(config.webhooks):
        if webhook.name == name:
            path = ("webhooks", number, "secret")
            texts, faults = _resolve([(path, webhook.secret)], skip_credentials=False)
            if faults:
                raise SecretError(*messages(config, faults))
            return texts[path]
    known = ", ".join(webhook.name for webhook in config.webhooks) or "none"
    raise ConfigError(place(config, ("webhooks",), f"expected one of the webhooks ({known}), found {name}"))


def secret_faults(parts: Parts, *, skip_credentials: bool) -> list[Fault]:
    """Return a fault for each secret that cannot be had, in whatever sections can be judged."""
    passwords = (
        ((*entry.path, "password"), entry.settings.password)
        for entry in parts.streams
        if entry.settings.password is not None
    )
    keys = (
        ((*entry.path, "secret"), entry.settings.secret) for entry in parts.webhooks if entry.sound("secret")
    )
    return _resolve([*passwords, *keys], skip_credentials)[1]


def secrets_in(config: Config) -> Iterator[tuple[SecretPath, Secret]]:
    """Yield each secret of a configuration with its place."""
    for number, stream in enumerate(config.streams):
        if stream.password is not None:
            yield ("streams", number, "password"), stream.password
    for number, webhook in enumerate(config.webhooks):
        yield ("webhooks", number, "secret"), webhook.secret


def unverifiable(secret: Secret) -> bool:
    """Whether only the service manager, which did not start this process, could provide it."""
    return secret.kind == "credential" and not os.environ.get("CREDENTIALS_DIRECTORY")


P = TypeVar("P", bound=KeyPath)


def _resolve(secrets: Iterable[tuple[P, Secret]], skip_credentials: bool) -> tuple[dict[P, str], list[Fault]]:
    texts: dict[P, str] = {}
    faults: list[Fault] = []
    for path, secret in secrets:
        if skip_credentials and unverifiable(secret):
            continue
        try:
            text = texts[path] = secret.resolve()
            fault = signing_key_fault(text) if path[-1] == "secret" else None
        except SecretError as error:
            fault = str(error)
        if fault:
            faults.append(Fault(path, fault))
    return texts, faults
