"""The command line: which commands there are, what ends them, and with which exit code. Signals live here alone."""

import faulthandler
import os
import resource
import signal
import sys
import threading
from enum import StrEnum
from types import FrameType, TracebackType
from typing import Annotated

import typer
from rich.console import Console

from tocsin import __version__
from tocsin.asking import DEFAULT_CONFIG, ConfigOption
from tocsin.augment.command import augment
from tocsin.commands.check import check
from tocsin.commands.evidence import evidence
from tocsin.commands.history import audit, list_alarms, show_alarm
from tocsin.commands.outbox import outbox
from tocsin.commands.silence import silence
from tocsin.commands.status import status
from tocsin.commands.verdict import ack, confirm, reject
from tocsin.commands.walktest import walk_test
from tocsin.commands.webhook import webhooks
from tocsin.errors import ConfigError, InputError, ModelError, StartError, TocsinError
from tocsin.evaluate.command import Explained, evaluate
from tocsin.exits import TEMPORARY_FAILURE, WRONG_CONFIGURATION, WRONG_USAGE
from tocsin.footage.shown import harmless
from tocsin.lessons.command import export
from tocsin.lightcard.command import light
from tocsin.probe.command import probe
from tocsin.scarcity import scarcity

commands = typer.Typer(
    name="tocsin",
    help="Watches cameras, corrects each frame for its light, detects, and delivers alarms that are never lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
alarms = typer.Typer(help="See alarms, and say what they were.", no_args_is_help=True, rich_markup_mode=None)
commands.add_typer(webhooks, name="webhook")
commands.add_typer(outbox, name="outbox")
commands.add_typer(evidence, name="evidence")
evidence.command("export")(export)
commands.add_typer(alarms, name="alarm")


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
    except BrokenPipeError:  # who reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except TocsinError as error:
        for line in str(error).splitlines():
            print(f"tocsin: {harmless(line)}", file=sys.stderr)
        sys.exit(_exit_code(error))


def _exit_code(error: TocsinError) -> int:
    if scarcity(error):  # it looks like a model or a file that is none, and a restart mends it
        return TEMPORARY_FAILURE
    match error:
        case ConfigError() | ModelError():
            return WRONG_CONFIGURATION
        case InputError():
            return WRONG_USAGE
        case _:
            return TEMPORARY_FAILURE


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
    """Run the daemon until SIGTERM or Ctrl-C. SIGHUP lets it read its configuration again.

    Example: tocsin run --config /etc/tocsin/tocsin.yaml
    """
    _leave_no_core()
    faulthandler.enable()  # the watchdog's SIGABRT leaves every thread's stack in the journal
    sys.excepthook = _tell_scarcity
    import multiprocessing.util

    import structlog

    from tocsin import logs
    from tocsin.app import App
    from tocsin.check import complete
    from tocsin.config.load import forget_environment, load, resolve_secrets, warnings
    from tocsin.native import Diverted

    try:
        settings = load(config)
        secrets = resolve_secrets(settings)
    except ConfigError as error:
        raise complete(config, error, secrets_had=False) from error
    native = Diverted()
    sys.stderr = native.real
    faulthandler.enable(native.real)
    mask = logs.configure(log_format.value, log_level.value, secrets.texts(), native.real)
    log = structlog.get_logger(__name__)
    for warning in warnings(settings):
        log.warning("the configuration works, with a doubt", why=warning)
    threading.excepthook = _log_uncaught
    sys.excepthook = _log_end
    forget_environment(settings)
    stop = _stop_on_signals()
    app = App(settings, secrets, file=config, mask=mask)
    signal.signal(signal.SIGHUP, lambda *_: app.ask_reload())
    try:
        app.start()
    except (ConfigError, ModelError, StartError) as error:
        raise complete(config, error, secrets_had=True) from error
    native.stream_of = app.stream_of
    try:
        failure = app.run(stop)
    finally:
        app.stop()
    if failure:
        why, _, cause = failure.partition(": ")  # each as long as a value may be
        log.critical("the daemon ends", why=why, cause=cause or None)
    native.end()
    logs.flush()
    # As an exit would: the folder of the fork server's socket goes with it.
    multiprocessing.util._run_finalizers()  # type: ignore[attr-defined]  # noqa: SLF001
    sys.stderr.flush()
    # At once, since a model may still load or run in a thread: its library aborts where it is torn down under it.
    os._exit(TEMPORARY_FAILURE if failure else 0)


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
    from tocsin.config.load import http_settings

    try:
        http = None if listen is None else http_settings(listen)
    except ConfigError as error:
        print(f"tocsin: {error}", file=sys.stderr)
        raise typer.Exit(WRONG_USAGE) from error
    logs.configure("auto", "error")
    stop = _stop_on_signals(signal.SIGHUP)  # a terminal that was closed
    if seconds is not None:
        timer = threading.Timer(seconds, stop.set)
        timer.daemon = True
        timer.start()
    failure = show.run(Console(highlight=False, soft_wrap=True, emoji=False), stop, http)
    if failure:
        print(f"tocsin: {failure}", file=sys.stderr)
        raise typer.Exit(TEMPORARY_FAILURE)


commands.command("check")(check)


@commands.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for completion in editors.

    Example: tocsin schema > tocsin.schema.json
    """
    from tocsin.config.load import schema_text

    print(schema_text(), end="")


commands.command("status")(status)
commands.command("silence")(silence)
commands.command("test")(walk_test)
commands.command("evaluate", cls=Explained)(evaluate)
commands.command("light")(light)
commands.command("augment")(augment)
commands.command("probe")(probe)
commands.command("audit")(audit)
alarms.command("list")(list_alarms)
alarms.command("show")(show_alarm)
alarms.command("ack")(ack)
alarms.command("confirm")(confirm)
alarms.command("reject")(reject)


def _stop_on_signals(*others: int) -> threading.Event:
    """Return a flag that the first SIGINT, SIGTERM or other sets; a second one ends the process at once."""
    stop = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)  # the workers see the end of their sockets and follow
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, *others):
        signal.signal(number, ask)
    return stop


def _leave_no_core() -> None:
    """Let a crash write no memory to a disk, with every secret in it; processes that are started inherit that.

    A limit of 0 keeps the kernel from writing a file, and not from handing the memory to a program that collects
    cores. One byte keeps it from both: too little for a file, and its own sign for "to no program" (core_pattern
    with a pipe, fs/coredump.c).
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if most else 0, most))


def _log_uncaught(uncaught: threading.ExceptHookArgs) -> None:
    """Log the error that ended a thread, through the same scrubber as everything.

    Those without which the daemon is none are `guarded`, and come here only where their end could not be logged.
    """
    import structlog

    assert uncaught.exc_value is not None, "a thread ends by an error or without one"
    name = uncaught.thread.name if uncaught.thread else "unknown"
    structlog.get_logger(__name__).critical(
        "a thread ended by an error", thread=name, exc_info=uncaught.exc_value
    )


def _log_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End the daemon by an error of its main thread, told like those of the others: its text may hold a secret."""
    import structlog

    from tocsin import logs

    if scarcity(error):
        _tell_scarcity(kind, error, trace)
    structlog.get_logger(__name__).critical("the daemon ends by an unexpected error", exc_info=error)
    logs.flush()


def _tell_scarcity(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End the daemon for what its machine has too little of, if that is it; the service manager tries again."""
    found = scarcity(error)
    if found is None:
        sys.__excepthook__(kind, error, trace)
        return
    print(f"tocsin: expected enough memory, threads and files, found: {harmless(found)}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(TEMPORARY_FAILURE)
