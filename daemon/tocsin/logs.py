"""How the daemon writes its log: one line an event, a fixed sentence and then key=value.

The log is read by people and parsed by programs, and some of its values come from cameras and receivers. So a
value never breaks its line or colours a terminal, none is longer than VALUE_CHARACTERS, and what looks like a
password in a URL, or is a secret of the configuration, is masked. That is a last net: nobody should log a
secret in the first place. What comes again and again is written a few times and then summed up, each minute.
"""

import base64
import codecs
import contextlib
import copy
import json
import logging
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Literal, TextIO
from urllib.parse import quote, quote_plus

import structlog

from tocsin.deliver.audit import LOGGER
from tocsin.floods import PERIOD, Floods

Format = Literal["auto", "logfmt", "json"]
Level = Literal["debug", "info", "warning", "error"]
Event = MutableMapping[str, Any]

VALUE_CHARACTERS = 256
TRACEBACK_CHARACTERS = 4096
SCANNED_CHARACTERS = 16384
"""Masking looks at no more than this, so a huge value costs little; what is shown is far shorter."""
SHORTEST_SECRET = 4
"""Masking shorter ones would riddle the log, and would not hide them."""
SHORTEST_PIECE = 8
"""The same for a part of a text in base64."""
_PLAIN = "!$&'()*+,;="
"""RFC 3986 allows these in a password in a URL as they are, and FFmpeg is given them so."""

# To the last @ of the word: a password may hold an unescaped @ or /, and a host masked for nothing does no
# harm.
_USERINFO = re.compile(r"(?<=://)[^\s\"'<>]*@")
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|[0-9]+")
_PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_LEAST = 0.1
"""Seconds between two looks for what is to be summed up."""

# These write every URL that they ask at INFO, and a URL may be a secret.
_TALKATIVE = ("httpx2", "httpcore2", "asyncio")

_LOST_EVERY = 1.0
"""Seconds between two lines about lines that are lost."""

_UNSPEAKABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What comes of values that cannot be written, and of too little memory."""

codecs.lookup("unicode_escape")  # `_printable` needs it, also when there is no memory left to load it


def configure(
    format: Format,  # noqa: A002  the word of the command line
    level: Level,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> Callable[[Iterable[str]], None]:
    """Send structlog and the standard library's loggers to `stream` (standard error by default).

    `auto` is a console with colours on a terminal and logfmt elsewhere. In the journal each line begins with
    its priority, and has no time of its own. A second call replaces the first. What is returned has further secrets
    masked from then on.
    """
    tidy = _Tidy(secrets)
    output = sys.stderr if stream is None else stream
    journal = _is_journal(output)
    renderer = _renderer(format, output, journal)
    stamps: list[Any] = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name]
    times = [] if journal else [structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts")]
    structlog.configure(
        processors=[*stamps, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )

    def notice(event: Event) -> str:
        for stamp in times:
            event = stamp(None, "error", event)
        return renderer(None, "error", dict(tidy(None, "error", event)))

    handler = _Handler(output, notice)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=stamps,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *times,
                structlog.processors.format_exc_info,
                tidy,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    return tidy.mask


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text without the secrets, taken out one after the other, and without logins in URLs."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _USERINFO.sub("***@", text)


def flush() -> None:
    """Write at once what was withheld and not summed up yet; before the end."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.sum_up(time.monotonic() + PERIOD)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines, and of a flood the first ones and sums. The handler's lock guards what it remembers.

    `notice` makes a line of its own words: those about lines that are lost.
    """

    def __init__(self, stream: TextIO, notice: Callable[[Event], str]) -> None:
        super().__init__(stream)
        self._notice = notice
        self._lost, self._told_lost = 0, -math.inf
        self._floods: Floods[logging.LogRecord] = Floods()
        self._withheld = threading.Event()  # a line was, and the thread has not heard of it yet
        self._ended = threading.Event()
        # Writes sums when they are due, and waits in between; it is there from the start, so that their number is
        # the same with and without a flood.
        threading.Thread(target=self._sum_up, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line or count it; called with the lock held."""
        try:
            admitted = self._admits(record)
        except _UNSPEAKABLE:
            self.handleError(record)
        else:
            if admitted:
                super().emit(record)
            else:
                self._withheld.set()

    def _admits(self, record: logging.LogRecord) -> bool:
        words = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
        sentence = words.get("event") if isinstance(record.msg, dict) else record.msg
        family = record.name, str(sentence), str(words.get("stream"))
        kind = record.levelno, *family, *_words(words)
        # An alarm is never too many, nor is what somebody did, or one of the faults for which a reload is refused.
        return (
            "alarm_id" in words
            or record.name == LOGGER
            or "fault_number" in words
            or self._floods.admit(kind, family, record, time.monotonic())
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - the library's
        """Say that lines are lost, and not what was in them: here nothing masks a secret.

        Called with the lock held. What the stream refused is counted, and told when it takes lines again.
        """
        error, now = sys.exc_info()[1], time.monotonic()
        self._lost += 1
        if isinstance(error, OSError) or now - self._told_lost < _LOST_EVERY:
            return
        told = {"level": "error", "event": "lines of the log are lost", "lines": self._lost}
        with contextlib.suppress(OSError, *_UNSPEAKABLE):
            self.stream.write(self._notice({**told, "error": type(error).__name__}) + self.terminator)
            self.flush()
            self._lost, self._told_lost = 0, now

    def close(self) -> None:
        """Write no more sums."""
        self._ended.set()
        self._withheld.set()
        super().close()

    def sum_up(self, now: float) -> None:
        """Write what is due, each as the last of its lines with how many there were."""
        self.acquire()
        try:
            for record, count in self._floods.due(now):
                try:
                    again = _summed(record, count)
                except _UNSPEAKABLE:
                    self.handleError(record)
                else:
                    super().emit(again)
        finally:
            self.release()

    def _sum_up(self) -> None:
        while not self._ended.is_set():
            self._withheld.wait()
            self._withheld.clear()
            while (due := self._due()) is not None:
                if self._ended.wait(max(_LEAST, due - time.monotonic())):
                    return
                self.sum_up(time.monotonic())

    def _due(self) -> float | None:
        self.acquire()
        try:
            return self._floods.next()
        finally:
            self.release()


def _words(words: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What tells a line from others of its sentence: its texts and not its numbers."""
    texts = ((key, value[:VALUE_CHARACTERS]) for key, value in words.items() if isinstance(value, str))
    return tuple((key, _NUMBER.sub("#", text) if key == "text" else text) for key, text in texts)


def _summed(record: logging.LogRecord, count: int) -> logging.LogRecord:
    again = copy.copy(record)
    again.exc_info = None
    counted = {"again": count, "within": round(PERIOD)}
    if isinstance(record.msg, dict):
        again.msg = {key: value for key, value in record.msg.items() if key != "exc_info"} | counted
    else:
        again.msg, again.args = f"{record.getMessage()[:VALUE_CHARACTERS]} (again {count} times)", ()
    return again


def forms(secret: str) -> set[str]:
    """Return how a secret may be written: as it is, percent-encoded, and in base64 wherever it begins in the text.

    So `user:password` in base64, as it goes over the wire, is found without knowing the user.
    """
    plain = secret.removeprefix("whsec_")
    raw = plain.encode(errors="surrogatepass")
    written = {plain, quote(raw, safe=""), quote(raw), quote(raw, safe=_PLAIN), quote_plus(raw)}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        piece = encoded[
            -(-before * 8 // 6) : (before + len(raw)) * 8 // 6
        ]  # its characters hold nothing else
        if len(piece) >= SHORTEST_PIECE:
            written |= {piece, piece.replace("+", "-").replace("/", "_")}
    return written


def spellings(secrets: Iterable[str]) -> list[str]:
    """Return all `forms` of secrets, as `masked` wants them; those that are too short to be masked are left out."""
    return _longest_first({form for one in secrets if len(one) >= SHORTEST_SECRET for form in forms(one)})


def _longest_first(texts: Iterable[str]) -> list[str]:
    """One secret may begin with another."""
    return sorted(texts, key=len, reverse=True)


class _Tidy:
    """Makes each value of an event a number, a truth, nothing, or a text that is masked and short."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets: list[str] = []  # replaced whole
        self.mask(secrets)

    def mask(self, secrets: Iterable[str]) -> None:
        """Mask these, too."""
        self._secrets = _longest_first({*spellings(secrets), *self._secrets})

    def __call__(self, _logger: object, _method: str, event: Event) -> Mapping[str, Any]:
        trace = event.pop("exception", None)
        tidy = {key: self._value(value) for key, value in event.items()}
        first: dict[str, Any] = {key: tidy.pop(key) for key in ("ts", "level", "event") if key in tidy}
        # The end of a traceback says what happened, its beginning only where threads begin.
        last = (
            {}
            if trace is None
            else {"exception": self._text(trace[-SCANNED_CHARACTERS:])[-TRACEBACK_CHARACTERS:]}
        )
        return {**first, **tidy, **last}

    def _value(self, value: Any) -> Any:
        if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        text = self._text(str(value)[:SCANNED_CHARACTERS])
        return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…"

    def _text(self, text: str) -> str:
        return masked(text, self._secrets)


def _is_journal(output: TextIO) -> bool:
    """Whether what is written ends up in the journal: the variable alone is inherited by every child."""
    try:
        status = os.fstat(output.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _renderer(style: Format, output: TextIO, journal: bool) -> Callable[[object, str, Event], str]:
    line: Callable[[Event], str] = _as_json if style == "json" else _as_logfmt
    if style == "auto" and output.isatty():
        console = structlog.dev.ConsoleRenderer(
            exception_formatter=structlog.dev.plain_traceback, timestamp_key="ts"
        )
        return lambda logger, method, event: str(console(logger, method, _escaped(event)))
    if journal:
        return lambda _logger, _method, event: f"<{_PRIORITY.get(event['level'], 6)}>{line(event)}"
    return lambda _logger, _method, event: line(event)


def _as_json(event: Event) -> str:
    # everything but plain ASCII is escaped, and of that one control character is not
    return json.dumps(event).replace("\x7f", "\\u007f")


def _as_logfmt(event: Event) -> str:
    return " ".join(f"{key}={_quoted(value)}" for key, value in event.items())


def _quoted(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    text = str(value)
    if text and text.isprintable() and not any(character in ' "=\\' for character in text):
        return text
    return '"' + _printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escaped(event: Event) -> Event:
    """Escape what a terminal would obey; a traceback keeps its lines."""
    return {
        key: "\n".join(_printable(line) for line in value.split("\n"))
        if key == "exception"
        else _printable(value)
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def _printable(text: str) -> str:
    """Escape control, format and direction characters, and every line break that Unicode knows."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
