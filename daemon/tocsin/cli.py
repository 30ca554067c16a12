"""The command line. Signals and exit codes live here and nowhere else.

Exit codes: 0 success; 2 wrong usage; 75 a temporary failure, worth a restart; 78 a wrong configuration, which a
restart does not mend.
"""

import faulthandler
import json
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tocsin import __version__
from tocsin.errors import ConfigError, ModelError, TocsinError

TEMPORARY_FAILURE = 75
WRONG_CONFIGURATION = 78

commands = typer.Typer(
    name="tocsin",
    help="Watches cameras, corrects each frame for its light, detects, and delivers alarms that are never lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
webhooks = typer.Typer(help="Try a webhook.", no_args_is_help=True, rich_markup_mode=None)
commands.add_typer(webhooks, name="webhook")

DEFAULT_CONFIG = Path("/etc/tocsin/tocsin.yaml")
_ANSWER_SHOWN = 200

ConfigOption = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    LOGFMT = "logfmt"
    JSON = "json"


class LogLevel(StrEnum):
    """The least urgent lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def run() -> None:
    """Run the command that the arguments name, and exit."""
    try:
        commands()
    except TocsinError as error:
        for line in str(error).splitlines():
            print(f"tocsin: {line}", file=sys.stderr)
        wrong = isinstance(error, ConfigError | ModelError)
        sys.exit(WRONG_CONFIGURATION if wrong else TEMPORARY_FAILURE)


def _version(asked: bool) -> None:
    if asked:
        print(f"tocsin {__version__}")
        raise typer.Exit


@commands.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@commands.command("run")
def run_daemon(
    config: ConfigOption = DEFAULT_CONFIG,
    log_format: Annotated[LogFormat, typer.Option(help="How log lines look.")] = LogFormat.AUTO,
    log_level: Annotated[LogLevel, typer.Option(help="The least urgent lines to write.")] = LogLevel.INFO,
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    Example: tocsin run --config /etc/tocsin/tocsin.yaml
    """
    from tocsin import logs
    from tocsin.app import App
    from tocsin.config.load import load, resolve_secrets, warnings

    faulthandler.enable()  # the watchdog's SIGABRT leaves every thread's stack in the journal
    settings = load(config)
    secrets = resolve_secrets(settings)
    logs.configure(
        log_format.value, log_level.value, [*secrets.passwords.values(), *secrets.signing_keys.values()]
    )
    for warning in warnings(settings):
        print(f"tocsin: warning: {warning}", file=sys.stderr)
    threading.excepthook = _log_uncaught
    stop = _stop_on_signals()
    app = App(settings, secrets)
    app.start()
    try:
        failure = app.run(stop)
    finally:
        app.stop()
    if failure:
        print(f"tocsin: {failure}", file=sys.stderr)
        _leave(TEMPORARY_FAILURE)


@commands.command()
def demo(
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where metrics are served; a free port by default."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Stop by itself after so many seconds.")
    ] = None,
) -> None:
    """Watch real alarms come in: no camera, no GPU and no file needed.

    Example: tocsin demo
    """
    from tocsin import demo as show
    from tocsin import logs

    logs.configure("auto", "error")
    stop = _stop_on_signals()
    if seconds is not None:
        timer = threading.Timer(seconds, stop.set)
        timer.daemon = True
        timer.start()
    failure = show.run(Console(highlight=False, soft_wrap=True), stop, listen)
    if failure:
        print(f"tocsin: {failure}", file=sys.stderr)
        _leave(TEMPORARY_FAILURE)


@commands.command()
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration file.")]) -> None:
    """Check a configuration, its model and its secrets, without starting anything.

    Example: tocsin check /etc/tocsin/tocsin.yaml
    """
    from tocsin import assembly, logs
    from tocsin.config.load import load, resolve_secrets, warnings
    from tocsin.detect.detector import open_detector

    logs.configure("auto", "error")
    settings = load(file)
    faults: list[str] = []
    for warning in warnings(settings):
        print(f"tocsin: warning: {warning}", file=sys.stderr)
    try:
        resolve_secrets(settings, skip_credentials=True)
    except ConfigError as error:
        faults += error.faults
    wanted = settings.detector
    try:
        detector = open_detector(
            wanted.model, wanted.device, wanted.max_batch, assembly.score_floor(settings)
        )
        faults += assembly.unknown_classes(settings, detector.labels)
        detector.warm()
    except ModelError as error:
        faults.append(str(error))
    if faults:
        raise ConfigError(*faults)
    print(
        f"{file}: valid: {len(settings.streams)} streams, {len(settings.rules)} rules,"
        f" {len(settings.webhooks)} webhooks; {detector.model_name} runs on {detector.provider}"
    )


@commands.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for completion in editors.

    Example: tocsin schema > tocsin.schema.json
    """
    from tocsin.config.load import schema_text

    print(schema_text(), end="")


@commands.command()
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show streams, detector, active alarms and queues of the running daemon.

    Example: tocsin status --config /etc/tocsin/tocsin.yaml
    """
    from tocsin.app import CONTROL_SOCKET
    from tocsin.config.load import load
    from tocsin.control import request

    answer = request(Path(load(config).state_dir) / CONTROL_SOCKET, "status")
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        _show_status(Console(), answer)


@webhooks.command("test")
def try_webhook(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The webhook's name in the configuration.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send a signed test event now and print the answer.

    Example: tocsin webhook test control-room --config /etc/tocsin/tocsin.yaml
    """
    from tocsin.config.load import load
    from tocsin.deliver.event import Event, EventType, TrialData, new_id
    from tocsin.deliver.schedule import Outcome
    from tocsin.deliver.webhook import Webhook, send_test

    known = {webhook.name: webhook for webhook in load(config).webhooks}
    if name not in known:
        raise ConfigError(
            f"{config}: expected one of the webhooks {', '.join(known) or '(none)'}, found {name}"
        )
    now = datetime.now(UTC)
    webhook = Webhook(name, known[name].url, known[name].secret.resolve())
    attempt = send_test(webhook, Event(new_id(now), EventType.TOCSIN_TEST, now, TrialData()))
    code = "no answer" if attempt.status is None else f"HTTP {attempt.status}"
    print(f"{name}: {attempt.outcome} ({code} after {attempt.seconds * 1000:.0f} ms)")
    if attempt.answer:
        print(ascii(attempt.answer[:_ANSWER_SHOWN].decode(errors="replace")))  # the receiver's text: escaped
    if attempt.outcome is not Outcome.DELIVERED:
        _leave(TEMPORARY_FAILURE)


def _stop_on_signals() -> threading.Event:
    """Return a flag that the first SIGINT or SIGTERM sets; a second one ends the process at once."""
    stop = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)  # the workers see the end of their sockets and follow
        stop.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return stop


def _log_uncaught(uncaught: threading.ExceptHookArgs) -> None:
    """Log the error that ended a thread, through the same scrubber as everything; its pulse tells the watchdog."""
    import structlog

    assert uncaught.exc_value is not None, "a thread ends by an error or without one"
    name = uncaught.thread.name if uncaught.thread else "unknown"
    structlog.get_logger(__name__).critical(
        "a thread ended by an error", thread=name, exc_info=uncaught.exc_value
    )


def _leave(code: int) -> None:
    raise typer.Exit(code)


def _show_status(console: Console, answer: dict[str, Any]) -> None:
    detector = answer["detector"]
    console.print(
        f"detector {detector['model']} on {detector['provider']} ({detector['device']})", highlight=False
    )
    if detector["degraded"]:
        console.print(f"degraded: {detector['degraded']}")
    console.print(
        _table("streams", answer["streams"], ("stream", "state", "for_seconds", "frames_analysed", "why"))
    )
    console.print(
        _table("alarms", answer["alarms"], ("stream", "rule", "severity", "class", "score", "zone", "opened"))
    )
    console.print(_table("queues", answer["queues"], ("webhook", "queued", "dead", "oldest_age_seconds")))


def _table(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Table:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in columns))
    return table
