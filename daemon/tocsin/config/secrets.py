"""From the references in a configuration to the texts of its secrets."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tocsin.config.crosscheck import Parts
from tocsin.config.places import messages, place
from tocsin.config.settings import Config
from tocsin.deliver.access import header_value_fault
from tocsin.deliver.settings import WebhookSettings, signing_key_fault
from tocsin.errors import InputError, SecretError
from tocsin.fields import Secret
from tocsin.yamlfile import Fault, KeyPath


@dataclass(frozen=True, slots=True)
class Secrets:
    """The texts of a configuration's secrets: passwords by stream, signing keys by webhook.

    `credentials` holds what else a webhook has, by its name and then the key it stands at, such as `password` or
    `headers.X-Key`.
    """

    passwords: Mapping[str, str] = field(repr=False)
    signing_keys: Mapping[str, str] = field(repr=False)
    credentials: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The texts that came from variables, by their names: a daemon clears its environment of them."""

    def texts(self) -> list[str]:
        """Return every secret."""
        others = [text for given in self.credentials.values() for text in given.values()]
        # An address may come into words in parts: what is secret of it stands behind its host.
        tails = [_tail(given["url"]) for given in self.credentials.values() if "url" in given]
        return [*self.passwords.values(), *self.signing_keys.values(), *others, *tails]


def resolve_secrets(config: Config, known: Mapping[str, str] | None = None) -> Secrets:
    """Return every secret of `config`; raises SecretError with one message for each that cannot be had.

    Where `known` is given, variables are looked up there, and the environment is asked for none.
    """
    return _had(config, secrets_in(config), known)


def webhook_secrets(config: Config, name: str) -> Secrets:
    """Return the secrets of the webhook of that name, and no others.

    Raises SecretError, with the secret's place, where one cannot be had, and InputError for an unknown name.
    """
    for number, webhook in enumerate(config.webhooks):
        if webhook.name == name:
            return _had(config, _of_webhook(number, webhook))
    known = ", ".join(webhook.name for webhook in config.webhooks) or "none"
    raise InputError(place(config, ("webhooks",), f"expected one of the webhooks ({known}), found {name}"))


def forget_environment(config: Config) -> None:
    """Take the secrets out of the environment once they are read: every process that is started inherits it."""
    for _, secret in secrets_in(config):
        if secret.kind == "env":
            os.environ.pop(secret.reference, None)


def secret_faults(
    parts: Parts, *, skip_credentials: bool, known: Mapping[str, str] | None = None
) -> list[Fault]:
    """Return a fault for each secret that cannot be had, in whatever sections can be judged; `known` as above."""
    passwords = (
        ((*entry.path, "password"), entry.settings.password)
        for entry in parts.streams
        if entry.settings.password is not None
    )
    of_webhooks = (
        ((*entry.path, *path), secret)
        for entry in parts.webhooks
        for path, secret in entry.settings.secrets()
        if entry.sound(path[0])
    )
    webhooks = {entry.path: entry.settings for entry in parts.webhooks if entry.sound(*_WEIGHED_WITH_URL)}
    return _resolve([*passwords, *of_webhooks], webhooks, skip_credentials, known)[1]


def secrets_in(config: Config) -> Iterator[tuple[KeyPath, Secret]]:
    """Yield each secret of a configuration with its place."""
    for number, stream in enumerate(config.streams):
        if stream.password is not None:
            yield ("streams", number, "password"), stream.password
    for number, webhook in enumerate(config.webhooks):
        yield from _of_webhook(number, webhook)


def _of_webhook(number: int, webhook: WebhookSettings) -> Iterator[tuple[KeyPath, Secret]]:
    return ((("webhooks", number, *path), secret) for path, secret in webhook.secrets())


def _had(
    config: Config, secrets: Iterable[tuple[KeyPath, Secret]], known: Mapping[str, str] | None = None
) -> Secrets:
    secrets = tuple(secrets)
    webhooks: dict[KeyPath, WebhookSettings] = {
        ("webhooks", number): webhook for number, webhook in enumerate(config.webhooks)
    }
    texts, faults = _resolve(secrets, webhooks, skip_credentials=False, known=known)
    if faults:
        raise SecretError(*messages(config, faults))
    passwords: dict[str, str] = {}
    keys: dict[str, str] = {}
    credentials: dict[str, dict[str, str]] = {}
    for (section, number, *rest), text in texts.items():
        assert isinstance(number, int), "a secret stands in an entry of a list"
        if section == "streams":
            passwords[config.streams[number].name] = text
        elif rest == ["secret"]:
            keys[config.webhooks[number].name] = text
        else:
            credentials.setdefault(config.webhooks[number].name, {})[".".join(map(str, rest))] = text
    environment = {secret.reference: texts[path] for path, secret in secrets if secret.kind == "env"}
    # What nobody asks for any more may be asked for again, and is nowhere else.
    return Secrets(passwords, keys, credentials, {**(known or {}), **environment})


def unverifiable(secret: Secret) -> bool:
    """Whether only the service manager, which did not start this process, could provide it."""
    return secret.kind == "credential" and not os.environ.get("CREDENTIALS_DIRECTORY")


_WEIGHED_WITH_URL = ("allow_insecure", "allow_networks", "ca_file", "cert_file")


def _tail(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _resolve(
    secrets: Iterable[tuple[KeyPath, Secret]],
    webhooks: Mapping[KeyPath, WebhookSettings],
    skip_credentials: bool,
    known: Mapping[str, str] | None = None,
) -> tuple[dict[KeyPath, str], list[Fault]]:
    texts: dict[KeyPath, str] = {}
    faults: list[Fault] = []
    for path, secret in secrets:
        if skip_credentials and unverifiable(secret):
            continue
        try:
            text = texts[path] = _text_of(secret, known)
            fault = _misuse(path[2:], text, webhooks.get(path[:2]))
        except SecretError as error:
            fault = str(error)
        if fault:
            faults.append(Fault(path, fault))
    return texts, faults


def _text_of(secret: Secret, known: Mapping[str, str] | None) -> str:
    if known is None or secret.kind != "env":
        return secret.resolve()
    if secret.reference not in known:
        raise SecretError(
            f"expected a variable that was given at the start, found {secret.reference}; restart for another one"
        )
    return known[secret.reference]


def _misuse(key: KeyPath, text: str, webhook: WebhookSettings | None) -> str | None:
    """Return why the text of the secret at this key of an entry, of that webhook if any, cannot be used."""
    if key == ("url",):
        return webhook.secret_url_fault(text) if webhook is not None else None
    if key in (("secret",), ("previous_secret",)):
        return signing_key_fault(text)
    return header_value_fault(text) if key == ("token",) or key[0] == "headers" else None
