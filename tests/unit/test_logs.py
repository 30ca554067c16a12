"""What a log line looks like, and what never gets into one."""

import base64
import io
import json
import logging
import math
import os
import pty
import re
import select
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog

from support.events import NOON
from support.wait import until
from tocsin import floods, logs
from tocsin.deliver import audit
from tocsin.deliver.act import Act, Via
from tocsin.deliver.audit import Entry

PASSWORD = "Tr0ub4dor&3/x"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Put back what `configure` sets for the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # pytest's own would be closed by a forced set-up
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


def test_a_line_is_a_sentence_and_its_values(output: io.StringIO) -> None:
    """logfmt: time, level and sentence come first, then the values, quoted where they must be."""
    logs.configure("logfmt", "info", stream=output)
    structlog.get_logger("tocsin.capture").warning(
        "the stream broke", stream="yard", fault="reset by peer", after=1.5, again=True, code=None, empty=""
    )
    time, rest = output.getvalue().split(" ", 1)
    assert re.fullmatch(r"ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time)
    assert rest == (
        'level=warning event="the stream broke" stream=yard fault="reset by peer" after=1.5 again=true code=null '
        'empty="" logger=tocsin.capture\n'
    )


def test_json_by_option(output: io.StringIO) -> None:
    """Each line is one JSON object with the same keys."""
    logs.configure("json", "info", stream=output)
    structlog.get_logger("tocsin.capture").info("the stream is up", stream="yard", after=1.5)
    line = json.loads(output.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "event": "the stream is up",
        "logger": "tocsin.capture",
        "stream": "yard",
        "after": 1.5,
    }


def test_lines_below_the_level_are_not_written(output: io.StringIO) -> None:
    """The level holds for structlog and for the standard library's loggers alike."""
    logs.configure("logfmt", "warning", stream=output)
    structlog.get_logger("tocsin").info("quiet")
    logging.getLogger("foreign").info("quiet")
    assert output.getvalue() == ""


def test_a_second_set_up_replaces_the_first(output: io.StringIO) -> None:
    """Nothing is written twice."""
    logs.configure("logfmt", "info", stream=output)
    logs.configure("logfmt", "info", stream=output)
    structlog.get_logger("tocsin").info("once")
    assert output.getvalue().count("\n") == 1


def test_foreign_loggers_take_the_same_way(output: io.StringIO) -> None:
    """What uvicorn or asyncio say becomes a line of the same form, masked like any other."""
    logs.configure("logfmt", "info", [PASSWORD], stream=output)
    logging.getLogger("uvicorn.error").error("cannot open %s\nfake=1", f"rtsp://viewer:{PASSWORD}@10.0.0.7/1")
    assert (
        'level=error event="cannot open rtsp://***@10.0.0.7/1\\nfake=1" logger=uvicorn.error\n'
        in output.getvalue()
    )


@pytest.mark.parametrize("name", ["httpx2", "httpcore2.http11", "asyncio"])
def test_libraries_do_not_write_urls(output: io.StringIO, name: str) -> None:
    """The HTTP client's line for each request, with its URL, is not written at any level."""
    logs.configure("logfmt", "debug", stream=output)
    logging.getLogger(name).info("HTTP Request: POST https://alarms.example/token")
    assert output.getvalue() == ""


HOSTILE = "up\n<0>level=error \x1b[2Jx\u202egnp.exe\u2028\u2066\u200b\u200d\ufeff\r\x85\x9b1m\x00\x7f\ud800"


@pytest.mark.fault(66)
@pytest.mark.parametrize("style", ["logfmt", "json"])
def test_a_value_stays_in_its_line(output: io.StringIO, style: logs.Format) -> None:
    """Line breaks, terminal sequences and direction marks from a camera are escaped."""
    logs.configure(style, "info", stream=output)
    structlog.get_logger("tocsin").info("the camera named itself", title=HOSTILE)
    written = output.getvalue()
    assert written.count("\n") == 1
    assert written.endswith("\n")
    assert written[:-1].isprintable()
    assert "\\n<0>level=error" in written


def test_logfmt_quotes_can_be_read_back(output: io.StringIO) -> None:
    """A quote or backslash inside a value does not end it."""
    logs.configure("logfmt", "info", stream=output)
    structlog.get_logger("tocsin").info("a name", title='a" b=\\')
    assert 'title="a\\" b=\\\\" logger=tocsin\n' in output.getvalue()


def test_long_values_are_cut(output: io.StringIO) -> None:
    """No value is longer than 256 characters, whatever its type."""
    logs.configure("json", "info", stream=output)
    structlog.get_logger("tocsin").info("x" * 1000, text="y" * 1_000_000, items=["z" * 1000])
    line = json.loads(output.getvalue())
    assert {len(line[key]) for key in ("event", "text", "items")} == {logs.VALUE_CHARACTERS}


def test_json_stays_json(output: io.StringIO) -> None:
    """Numbers that JSON has no word for are written as text."""
    logs.configure("json", "info", stream=output)
    structlog.get_logger("tocsin").info("a silence", seconds=math.inf, score=math.nan)
    line = json.loads(output.getvalue(), parse_constant=pytest.fail)
    assert (line["seconds"], line["score"]) == ("inf", "nan")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:pass@10.0.0.7/1", "rtsp://***@10.0.0.7/1"),
        ("open rtsp://user:p@ss/w:rd@cam:554/1 failed", "open rtsp://***@cam:554/1 failed"),
        ("https://token@host", "https://***@host"),
        ("a rtsp://a:b@c and http://d:e@f", "a rtsp://***@c and http://***@f"),
        ('"rtsp://a:b@c", "x@y"', '"rtsp://***@c", "x@y"'),
        ("rtsp://10.0.0.7/1", "rtsp://10.0.0.7/1"),
        ("mail to a@b.c", "mail to a@b.c"),
    ],
)
def test_urls_lose_their_userinfo(text: str, shown: str) -> None:
    """Name and password in a URL are masked, also where they hold characters that should have been escaped."""
    assert logs.masked(text) == shown


@pytest.mark.parametrize("style", ["logfmt", "json"])
def test_no_secret_reaches_the_log(output: io.StringIO, style: logs.Format) -> None:
    """A known secret is masked in values, in what values hold, in the sentence and in tracebacks."""
    logs.configure(style, "info", [PASSWORD, "whsec_" + "A" * 300], stream=output)
    log = structlog.get_logger("tocsin")
    log.info(
        f"found {PASSWORD}",
        a=PASSWORD,
        b={"deep": [PASSWORD]},
        c="whsec_" + "A" * 300,
        d="x" * 250 + PASSWORD,
    )
    log.info("encoded", url="http://h/?p=Tr0ub4dor%263%2Fx")
    try:
        raise ValueError(f"bad {PASSWORD}")
    except ValueError:
        log.exception("it broke")
    written = output.getvalue()
    assert "it broke" in written
    assert "ValueError: bad ***" in written
    for piece in ("Tr0ub4", "dor", "AAAA"):
        assert piece not in written


def test_a_secret_in_a_url_is_masked_however_it_is_encoded(output: io.StringIO) -> None:
    """With or without what RFC 3986 lets through, which FFmpeg is given as it is."""
    secret = "a!b/c$d:e&f"
    logs.configure("logfmt", "info", [secret], stream=output)
    for safe in ("", "/", logs._PLAIN):
        structlog.get_logger("tocsin").info("opens", what=f"{quote(secret, safe=safe)} at 10.0.0.7")
    assert output.getvalue().count('what="*** at 10.0.0.7"') == 3


@pytest.mark.parametrize("user", ["", "u", "us", "viewer"])
def test_a_login_in_base64_is_masked(output: io.StringIO, user: str) -> None:
    """As it goes over the wire, for any user, and in the alphabet of addresses too."""
    logs.configure("logfmt", "info", [PASSWORD], stream=output)
    login = f"{user}:{PASSWORD}".encode()
    structlog.get_logger("tocsin").info("a header", a=base64.b64encode(login).decode())
    structlog.get_logger("tocsin").info("an address", a=base64.urlsafe_b64encode(login).decode())
    assert output.getvalue().count("***") == 2
    assert base64.b64encode(login).decode()[6:-6] not in output.getvalue()


class Unspeakable:
    """A value that cannot be written, in an error that holds a secret."""

    def __str__(self) -> str:
        raise MemoryError(PASSWORD)


@pytest.mark.parametrize("style", ["logfmt", "json"])
@pytest.mark.parametrize("name", ["tocsin", "asyncio"])
def test_a_line_that_cannot_be_written_is_told_without_what_was_in_it(
    output: io.StringIO,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    style: logs.Format,
) -> None:
    """In the form of the others; whoever wrote it goes on, and no secret comes out by way of the error."""
    monkeypatch.setattr(logs, "_LOST_EVERY", 0.0)
    logs.configure(style, "info", [PASSWORD], stream=output)
    logging.getLogger(name).error("%s", Unspeakable())
    structlog.get_logger("tocsin").error("a value", a=Unspeakable(), b=PASSWORD)
    structlog.get_logger("tocsin").error("the next")
    lines = output.getvalue().splitlines()
    assert len(lines) == 3
    for line in lines[:2]:
        assert "lines of the log are lost" in line
        assert "MemoryError" in line
    if style == "json":
        assert json.loads(lines[0]).items() > {"level": "error", "lines": 1, "error": "MemoryError"}.items()
        assert json.loads(lines[0])["ts"] <= json.loads(lines[2])["ts"]
    assert "the next" in lines[2]
    assert capfd.readouterr() == ("", "")


def test_lines_that_are_lost_flood_nothing(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are counted, and told once in a while."""
    monkeypatch.setattr(logs, "_LOST_EVERY", 3600.0)
    logs.configure("json", "info", stream=output)
    for _ in range(100):
        logging.getLogger("asyncio").error("%s", Unspeakable())
    assert json.loads(output.getvalue())["lines"] == 1
    monkeypatch.setattr(logs, "_LOST_EVERY", 0.0)
    logging.getLogger("asyncio").error("%s", Unspeakable())
    assert json.loads(output.getvalue().splitlines()[1])["lines"] == 100


def test_a_sum_that_cannot_be_written_takes_no_other_with_it(output: io.StringIO) -> None:
    """What was withheld of others is summed up though one value is gone by then."""
    logs.configure("logfmt", "info", stream=output)

    class Once:
        left = (
            floods.AT_ONCE * 2 + 2
        )  # for each line once to tell its kind and once to write it, then to be told

        def __str__(self) -> str:
            self.left -= 1
            if self.left < 0:
                raise ValueError("gone")
            return "there"

    value = Once()
    for _ in range(floods.AT_ONCE + 2):
        logging.getLogger("asyncio").error("%s", value)
        structlog.get_logger("tocsin").error("the stream is down")
    logs.flush()
    *_, lost, last = output.getvalue().splitlines()
    assert "lines of the log are lost" in lost
    assert 'event="the stream is down"' in last
    assert "again=" in last


def test_a_flood_is_summed_up(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first lines at once, then one that counts the rest; numbers make no difference, words do."""
    monkeypatch.setattr(floods, "PERIOD", 0.3)
    logs.configure("json", "info", stream=output)
    log = structlog.get_logger("tocsin.capture")
    for number in range(200):
        log.error("the stream is down", stream="yard", reason="refused", tries=number)
    log.error("the stream is down", stream="yard", reason="auth", tries=1)
    log.error("the stream is down", stream="gate", reason="refused", tries=1)
    until(lambda: '"again"' in output.getvalue(), 10, "the sum")
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line["tries"] for line in lines] == [0, 1, 2, 1, 1, 199]
    assert (lines[-1]["again"], lines[-1]["within"], lines[-1]["event"]) == (197, 60, "the stream is down")
    assert lines[-1]["ts"] > lines[0]["ts"]


def test_foreign_lines_are_summed_up_too(output: io.StringIO) -> None:
    """At the end of the process at the latest."""
    logs.configure("logfmt", "info", stream=output)
    for _ in range(50):
        logging.getLogger("uvicorn.error").error("cannot open %s", "a file")
    assert output.getvalue().count("\n") == 3
    logs.flush()
    assert (
        output.getvalue()
        .splitlines()[-1]
        .endswith('event="cannot open a file (again 47 times)" logger=uvicorn.error')
    )


def test_no_alarm_is_ever_withheld(output: io.StringIO) -> None:
    """However many there are, each has its line."""
    logs.configure("logfmt", "info", stream=output)
    for number in range(500):
        structlog.get_logger("tocsin").warning("alarm raised", stream="yard", alarm_id=f"alarm_{number}")
    assert output.getvalue().count("alarm raised") == 500


def test_what_somebody_did_is_never_withheld(output: io.StringIO) -> None:
    """The log is the second copy of the record."""
    logs.configure("logfmt", "info", stream=output)
    for _ in range(10):
        audit.tell(Entry(NOON, Act.OUTBOX_PURGED, "root", Via.COMMAND, "hook", {"count": "2"}))
    line = 'event="somebody acted" count=2 act=outbox.purged by=root via=command subject=hook'
    assert output.getvalue().count(line) == 10


def test_a_traceback_is_summed_up_without_it(output: io.StringIO) -> None:
    """By then it is another's, or nobody's."""
    logs.configure("logfmt", "info", stream=output)
    for _ in range(10):
        try:
            raise ValueError("it")
        except ValueError:
            structlog.get_logger("tocsin").exception("it broke")
    logs.flush()
    lines = [line for line in output.getvalue().splitlines() if "it broke" in line]
    assert len(lines) == 4
    assert "again=7" in lines[-1]
    assert "exception" not in lines[-1]


def test_short_secrets_are_left(output: io.StringIO) -> None:
    """A secret of three characters is not masked: the log would be unreadable, and the secret no safer."""
    logs.configure("logfmt", "info", ["the"], stream=output)
    structlog.get_logger("tocsin").info("the stream is up")
    assert "the stream is up" in output.getvalue()


def test_a_traceback_keeps_its_end(output: io.StringIO) -> None:
    """A long traceback is cut at its beginning, since its end says what happened."""

    logs.configure("json", "info", stream=output)
    try:
        raise ValueError("x" * 100_000 + " the end")
    except ValueError:
        structlog.get_logger("tocsin").exception("it broke")
    trace = json.loads(output.getvalue())["exception"]
    assert len(trace) == logs.TRACEBACK_CHARACTERS
    assert trace.endswith("the end")


def test_the_journal_gets_priorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the output is the journal's stream, each line begins with its priority and has no time."""
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        logs.configure("auto", "debug", stream=stream)
        log = structlog.get_logger("tocsin")
        for level in ("debug", "info", "warning", "error", "critical"):
            log.log(getattr(logging, level.upper()), level)
        stream.seek(0)
        lines = stream.read().splitlines()
    assert [line.split(" ")[0] for line in lines] == [
        "<7>level=debug",
        "<6>level=info",
        "<4>level=warning",
        "<3>level=error",
        "<2>level=critical",
    ]


def test_a_file_inside_a_service_is_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JOURNAL_STREAM is inherited; where the output is another file it means nothing."""
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    with (tmp_path / "log").open("w+") as stream:
        logs.configure("auto", "info", stream=stream)
        structlog.get_logger("tocsin").info("up")
        stream.seek(0)
        assert stream.read().startswith("ts=")


def _read_until(terminal: int, text: str) -> str:
    """Read what a terminal shows until `text` is in it, and what comes with it."""
    written = ""
    while select.select([terminal], [], [], 0.2 if text in written else 10.0)[0]:
        written += os.read(terminal, 65536).decode()
    return written


def test_a_terminal_gets_colours_and_obeys_no_value() -> None:
    """On a terminal `auto` writes colours of its own, and escapes what a value brings."""
    controller, terminal = pty.openpty()
    try:
        with os.fdopen(terminal, "w") as stream:
            logs.configure("auto", "info", stream=stream)
            log = structlog.get_logger("tocsin")
            log.info("the camera named itself", title="\x1b[2Jcleared")
            try:
                raise ValueError("\x1b[2Jwiped")
            except ValueError:
                log.exception("it broke")
            written = _read_until(controller, "it broke")
    finally:
        os.close(controller)
    assert "the camera named itself" in written
    assert "\x1b[" in written
    assert "\x1b[2J" not in written
    assert "[2Jcleared" in written
    assert "[2Jwiped" in written


def test_secrets_that_come_later_are_masked_beside_the_first(output: io.StringIO) -> None:
    """A reload may bring new ones, and the old ones stay what they are."""
    mask = logs.configure("logfmt", "info", [PASSWORD], stream=output)
    mask(["corr3ct/horse"])
    structlog.get_logger().info("a line", one=PASSWORD, two="corr3ct/horse", three="corr3ct%2Fhorse")
    assert "one=*** two=*** three=***" in output.getvalue()


def test_every_fault_of_a_reload_is_written_however_alike_they_are(output: io.StringIO) -> None:
    """They are no flood: each is another place in the file that somebody has to mend."""
    logs.configure("logfmt", "info", stream=output)
    for number in range(1, 11):
        why = f"streams[{number}].fps: unknown key"
        structlog.get_logger().error("the reload is refused", why=why, fault_number=f"{number} of 10")
    assert output.getvalue().count("unknown key") == 10
