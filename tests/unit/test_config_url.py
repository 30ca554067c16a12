"""The address of a webhook where it is a secret: a reference in the file, checked once it is known."""

from pathlib import Path

import pytest

from tocsin import assembly
from tocsin.config.load import Config, loads, resolve_secrets
from tocsin.errors import ConfigError, SecretError
from tocsin.logs import masked

SOUND = (Path(__file__).parents[1] / "data" / "config" / "sound.yaml").read_text()
KEY = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
HIDDEN = "B00/xoxb-hunter2"


def read(more: str = "") -> Config:
    text = SOUND.replace("https://alarms.example/hook", "{env: HOOK}" + more)
    return loads(text.encode(), name="f", folder=Path("/etc/tocsin"))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOM", KEY)
    monkeypatch.setenv("ENTRANCE", "hunter2")


def test_an_address_may_be_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked up like a password, leads to the receiver, and no text that is made of any part holds it."""
    url = f"https://hooks.example/services/{HIDDEN}"
    monkeypatch.setenv("HOOK", url)
    config = read()
    secrets = resolve_secrets(config)
    (webhook,) = assembly.webhooks(config, secrets)
    assert webhook.url == url
    for shown in (repr(webhook), repr(config), str(config), repr(secrets), config.model_dump_json()):
        assert HIDDEN not in shown
    for line in (f"cannot connect to {url}", f"POST /services/{HIDDEN} HTTP/1.1"):
        assert HIDDEN not in masked(line, secrets.texts())


@pytest.mark.parametrize(
    ("url", "more", "fault"),
    [
        (
            f"ftp://h/{HIDDEN}",
            "",
            "expected https://HOST/PATH, or http:// to this machine's loopback, found something",
        ),
        ("https://u:hunter2@h/", "", "expected an address without user and password, found one with them"),
        (f"https://h:0/{HIDDEN}", "", "expected a port from 1 to 65535 in the address, found something else"),
        (f"http://h/{HIDDEN}", "", "expected https, or allow_insecure: true beside it, found http"),
        (
            f"https://169.254.1.1/{HIDDEN}",
            "",
            "expected a receiver's address, found one that no webhook may have",
        ),
        (
            f"https://10.0.0.7/{HIDDEN}",
            "\n    allow_networks: [192.168.0.0/16]",
            "expected an address in allow_networks",
        ),
    ],
)
def test_an_address_that_cannot_be_one_is_named_by_its_place(
    monkeypatch: pytest.MonkeyPatch, url: str, more: str, fault: str
) -> None:
    """What is wrong with it is said like of one that stands in the file, and without it."""
    monkeypatch.setenv("HOOK", url)
    with pytest.raises(SecretError) as caught:
        resolve_secrets(read(more))
    (message,) = caught.value.faults
    assert message.startswith(f"f:16: webhooks[0].url: {fault}")
    assert "hunter2" not in message


@pytest.mark.parametrize("url", ["17", "true", "[a]", "{wrong: HOOK}", "{env: HOOK, file: hook}"])
def test_what_is_neither_an_address_nor_a_reference_is_refused(url: str) -> None:
    """Anything else at that key is a fault."""
    with pytest.raises(ConfigError, match=r"webhooks\[0\]\.url.*: expected"):
        loads(SOUND.replace("https://alarms.example/hook", url).encode(), name="f", folder=Path("/"))
