"""From what stands on the command line to what is opened, through the rules of the configuration."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tocsin import assembly
from tocsin.capture.order import Order
from tocsin.config.load import Secrets, study
from tocsin.errors import InputError, SecretError
from tocsin.footage import camera


@dataclass(frozen=True, slots=True)
class Takes:
    """What a detector takes: the size of its input in pixels, and whether a picture keeps its shape in it."""

    input_width: int
    input_height: int
    keep_aspect: bool


def takes(model: str | None) -> Takes:
    """Return what a model takes, the bundled one where none is named. Raises ModelError."""
    settings = camera.Settings() if model is None else camera.Settings(model=model)
    size = camera.input_size(settings)
    return Takes(size.width, size.height, size.keep_aspect)


@dataclass(frozen=True, slots=True)
class Given:
    """A source as it was typed; None where nothing was."""

    source: str
    username: str | None
    password_file: Path | None
    password_env: str | None
    transport: str | None
    tls_verify: bool | None
    ca_file: Path | None = None

    def keys(self) -> dict[str, Any]:
        """Return it as the keys of a stream in a configuration. Raises InputError."""
        if self.password_file is not None and self.password_env is not None:
            raise InputError("--password-file: expected it without --password-env, found both")
        password = None
        if self.password_file is not None:
            password = {"file": str(self.password_file)}
        elif self.password_env is not None:
            password = {"env": self.password_env}
        keys = {
            "source": self.source,
            "username": self.username,
            "password": password,
            "transport": self.transport,
            "tls_verify": self.tls_verify,
            "ca_file": None if self.ca_file is None else str(self.ca_file),
        }
        return {name: value for name, value in keys.items() if value is not None}


def order(given: Given, takes: Takes) -> Order:
    """Return what a capture worker would be told of that source. Raises InputError for what cannot be."""
    content = json.dumps({"streams": [{"name": "probe", **given.keys()}]}, ensure_ascii=False)
    reading = study(content.encode(), name="the command line", folder=Path.cwd())
    config = reading.config
    if config is None:
        fault = reading.faults[0]
        key = str(fault.path[2]) if len(fault.path) > 2 else "source"
        sentence = fault.sentence
        if key == "source" and "@" in given.source:  # what is no address may hold a password anywhere
            sentence = sentence.partition(", found ")[0]
        raise InputError(f"{_option(key, given)}: {sentence}")
    stream = config.streams[0]
    try:
        passwords = {} if stream.password is None else {stream.name: stream.password.resolve()}
    except SecretError as error:
        raise InputError(f"{_option('password', given)}: {error}") from error
    return assembly.order(config, stream, Secrets(passwords, {}), takes)


def _option(key: str, given: Given) -> str:
    """Return what a person typed for a key."""
    if key == "password":
        return "--password-env" if given.password_file is None else "--password-file"
    return (
        f"--{key.replace('_', '-')}"
        if key in ("username", "transport", "tls_verify", "ca_file")
        else "SOURCE"
    )
