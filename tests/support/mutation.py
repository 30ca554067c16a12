"""Configuration files gone wrong as hands, editors and disks do it; by a seed, so that each comes back."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from tocsin.config.load import loads
from tocsin.errors import ConfigError

SECRET = "canary-2f8e61"
"""The password and part of a key in the file that is mutated; no message may show it."""

_ROOT = Path(__file__).parents[2]
REFERENCE = (_ROOT / "config" / "tocsin.yaml").read_text()
SOUND = (_ROOT / "tests" / "data" / "config" / "sound.yaml").read_text()

_SECRETIVE = f"""
streams:
  - {{name: door, source: "rtsp://10.0.0.7/1", username: viewer, password: "{SECRET}", rules: [intruder]}}
  - {{name: yard, source: "rtsp://viewer:{SECRET}@10.0.0.8/1?token={SECRET}", rules: [intruder]}}
rules:
  - {{name: intruder, classes: [person], confirm: {{hits: 5, of: 10, within: 3s}}}}
webhooks:
  - name: hook
    url: "https://alarms.example/hook"
    secret: "{SECRET}"
    headers: {{X-Key: "{SECRET}"}}
    events: [alarm.*]
state_dir: /var/lib/tocsin
"""

SOURCES = REFERENCE, SOUND, _SECRETIVE

_PIECES = (
    *"[]{}:,-#'\"&*!|>%@`?~ \n\t\r\x00\x1b\x7f\x85\u2028\ufeff\U0001f514",
    *("<<: *a", "&a ", "*a", "!!python/object:os.system ", "- ", "? ", "---\n", "...\n", "%YAML 1.2\n"),
    *(
        "null",
        "~",
        "true",
        "no",
        "1e999",
        "-0",
        "0x1f",
        "0o17",
        "1_000",
        ".inf",
        ".nan",
        "22:30",
        "2026-01-01",
    ),
    *(
        "9" * 30,
        "x" * 500,
        "[" * 40,
        "{a: " * 40,
        "\\",
        "\\x41",
        "${HOME}",
        "../../etc/passwd",
        "rtsp://",
        "://",
    ),
    *("5s", "-5s", "1h2m", "{env: HOME}", "{credential: ../x}", "{file: /}", "[0.5, 0.5]", "full", "person"),
)
"""What YAML, numbers, durations, addresses and paths are sensitive to."""


def mutated(chance: random.Random) -> bytes:
    """Return one of the sources with one to four things done to it, mostly still close to a configuration."""
    text = chance.choice(SOURCES)
    for _ in range(chance.randint(1, 4)):
        text = chance.choice(_WAYS)(chance, text)
    content = text.encode("utf-8", "surrogatepass")
    return _bytes_broken(chance, content) if chance.random() < 0.1 else content


def wrong_about(content: bytes) -> str | None:
    """Return what the loader did that it must not, or None: it gives a configuration, or faults fit to be shown.

    Any error but ConfigError is left to pass through.
    """
    try:
        loads(content, name="f", folder=Path("/etc/tocsin"))
    except ConfigError as error:
        messages = error.faults or (str(error),)
        for message in messages:
            if not message.startswith("f"):
                return f"a message without its file: {message}"
            if not message.isprintable():
                return f"a message of more than one line: {message!r}"
            if SECRET in message:
                return f"a message that shows a secret: {message}"
            if len(message) > 600:
                return f"a message of {len(message)} characters: {message[:200]}"
    return None


def _line_dropped(chance: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        del lines[chance.randrange(len(lines))]
    return "".join(lines)


def _line_moved(chance: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        lines.insert(chance.randint(0, len(lines)), chance.choice(lines))
    return "".join(lines)


def _line_indented(chance: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        at = chance.randrange(len(lines))
        lines[at] = chance.choice((" ", "  ", "\t", "    ", "- ")) + lines[at].lstrip(
            chance.choice((" ", ""))
        )
    return "".join(lines)


def _piece_put_in(chance: random.Random, text: str) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + chance.choice(_PIECES) + text[at + chance.choice((0, 0, 1, 5)) :]


def _value_replaced(chance: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    with_values = [number for number, line in enumerate(lines) if ": " in line]
    if with_values:
        at = chance.choice(with_values)
        key = lines[at].partition(": ")[0]
        lines[at] = f"{key}: {chance.choice(_PIECES)}\n"
    return "".join(lines)


def _letter_swapped(chance: random.Random, text: str) -> str:
    at = chance.randint(0, max(0, len(text) - 2))
    return text[:at] + text[at : at + 2][::-1] + text[at + 2 :]


def _spliced(chance: random.Random, text: str) -> str:
    other = chance.choice(SOURCES).splitlines(keepends=True)
    begin = chance.randrange(len(other))
    lines = text.splitlines(keepends=True)
    at = chance.randint(0, len(lines))
    return "".join([*lines[:at], *other[begin : begin + chance.randint(1, 8)], *lines[at:]])


def _cut_off(chance: random.Random, text: str) -> str:
    return text[: chance.randint(0, len(text))]


_WAYS: Sequence[Callable[[random.Random, str], str]] = (
    _line_dropped,
    _line_moved,
    _line_indented,
    _piece_put_in,
    _piece_put_in,
    _value_replaced,
    _value_replaced,
    _letter_swapped,
    _spliced,
    _cut_off,
)


def _bytes_broken(chance: random.Random, content: bytes) -> bytes:
    broken = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        if broken:
            broken[chance.randrange(len(broken))] = chance.randrange(256)
    return bytes(broken)
