"""The command line. Signals and exit codes live here and nowhere else.

Exit codes: 0 success; 2 wrong usage; 75 a temporary failure, worth a restart; 78 a wrong configuration, which a
restart does not mend.
"""

import faulthandler
import json
import os
import resource
import signal
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from tocsin import __version__
from tocsin.asking import DEFAULT_CONFIG, ConfigOption, JsonOption, ask, console_of, local, table_of
from tocsin.augment.command import augment
from tocsin.commands.evidence import evidence
from tocsin.commands.history import audit, list_alarms, show_alarm
from tocsin.commands.outbox import outbox
from tocsin.commands.silence import silence
from tocsin.commands.verdict import ack, confirm, reject
from tocsin.commands.walktest import walk_test
from tocsin.errors import ConfigError, InputError, ModelError, StartError, TocsinError
from tocsin.evaluate.command import Explained, evaluate
from tocsin.footage.options import INTERRUPTED
from tocsin.footage.shown import harmless, shown
from tocsin.lessons.command import export
from tocsin.lightcard.command import light
from tocsin.probe.command import probe
from tocsin.scarcity import scarcity

if TYPE_CHECKING:  # the configuration's libraries load when a command needs them
    from tocsin.config.load import Config

WRONG_USAGE = 2
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
alarms = typer.Typer(help="See alarms, and say what they were.", no_args_is_help=True, rich_markup_mode=None)
webhooks = typer.Typer(help="Try a webhook.", no_args_is_help=True, rich_markup_mode=None)
commands.add_typer(webhooks, name="webhook")
commands.add_typer(outbox, name="outbox")
commands.add_typer(evidence, name="evidence")
evidence.command("export")(export)
commands.add_typer(alarms, name="alarm")

_ANSWER_SHOWN = 200
_LINE_SHOWN = 500  # twelve labels, or the inputs of a large graph: a line's worth


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    LOGFMT = "logfmt"
    JSON = "json"


class DeviceName(StrEnum):
    """The words of `detector.device`."""

    AUTO = "auto"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    OPENVINO = "openvino"
    CPU = "cpu"


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
    from tocsin.config.load import load, resolve_secrets, warnings
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
    _forget_environment(settings)
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
        _leave(WRONG_USAGE)
    logs.configure("auto", "error")
    stop = _stop_on_signals(signal.SIGHUP)  # a terminal that was closed
    if seconds is not None:
        timer = threading.Timer(seconds, stop.set)
        timer.daemon = True
        timer.start()
    failure = show.run(Console(highlight=False, soft_wrap=True, emoji=False), stop, http)
    if failure:
        print(f"tocsin: {failure}", file=sys.stderr)
        _leave(TEMPORARY_FAILURE)


@commands.command()
def check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The configuration file.")] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|ONNX", help="Say what is understood of a model, instead of a FILE."),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="With --model: run it on this picture.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PNG", help="Where the picture with boxes is written."),
    ] = None,
    min_score: Annotated[float, typer.Option(min=0.01, max=1, help="With --image: what is shown.")] = 0.5,
    device: Annotated[
        DeviceName | None, typer.Option(help="With --model: where it shall run, or nowhere; auto by default.")
    ] = None,
    probe_streams: Annotated[
        bool,
        typer.Option("--probe", help="Also open every stream of FILE for one picture, for 20 s at most."),
    ] = False,
    lens: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[STREAM=]DEGREES",
            help="With --probe: the lens's angle of view from left to right, of all streams or of one; repeatable.",
            show_default="90",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --probe: print JSON, for programs.")] = False,
) -> None:
    """Check a configuration, its model and its secrets, without starting anything.

    With --probe: what each stream shows, and how many pixels 25 cm are in its views, as in tocsin probe.

    With --model: what is understood of a model, how fast it is here, and what it sees.

    Example: tocsin check /etc/tocsin/tocsin.yaml
    """
    from tocsin import check as checks
    from tocsin import logs

    logs.configure("auto", "error")
    if (file is None) == (model is None):
        raise InputError(f"expected either FILE or --model, found {'neither' if file is None else 'both'}")
    if (lens or as_json) and not probe_streams:
        raise InputError(f"{'--lens' if lens else '--json'}: expected --probe beside it, found none")
    if model is not None:
        if probe_streams:
            raise InputError("--probe: expected FILE beside it, found --model")
        _check_model(model, image, out, min_score, device or DeviceName.AUTO)
        return
    if image is not None or out is not None or device is not None:
        raise InputError("--image, --out and --device: expected --model beside them, found none")
    assert file is not None, "there is either a file or a model"
    checked = checks.check(file)
    for warning in checked.warnings:
        print(f"tocsin: warning: {warning}", file=sys.stderr)
    if not as_json:
        print(f"{file}: {checked}", flush=True)  # opening the streams may take a while
    if probe_streams:
        _probe_streams(checked.config, lens or [], as_json)


def _probe_streams(settings: "Config", lens: list[str], as_json: bool) -> None:
    from tocsin.probe import streams

    plans = streams.plans(settings, streams.lenses(lens, settings))
    _forget_environment(settings)
    try:
        tried = streams.attempt(plans)
    except KeyboardInterrupt:
        print("tocsin: stopped", file=sys.stderr)
        _leave(INTERRUPTED)
    if as_json:
        print(json.dumps({"streams": streams.as_json(tried)}, indent=2))
    else:
        for line in streams.lines(tried):
            print(line)
    if not all(one.ok for one in tried):
        _leave(TEMPORARY_FAILURE)


def _check_model(
    model: str, image: Path | None, out: Path | None, min_score: float, device: DeviceName
) -> None:
    from tocsin.commands import modelcheck
    from tocsin.footage.output import check_target, write

    if out is not None and image is None:
        raise InputError("--out: expected --image beside it, found none")
    if image is not None and out is not None:
        check_target("--out", out, ".png", [image])
    picture = None if image is None else modelcheck.read_image(image)
    examined = modelcheck.examine(model, device.value, picture, min_score)
    for line in modelcheck.lines(examined):
        print(shown(line, _LINE_SHOWN))
    if out is not None and picture is not None and examined.found is not None:
        write(out, modelcheck.draw(picture, examined.found))
        print(f"picture   {out}")


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
    answer = ask(config, "status")
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        _show_status(console_of(), answer)


@webhooks.command("test")
def try_webhook(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The webhook's name in the configuration.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send a signed test event now, with a picture where there are to be any, and print the answer.

    Example: tocsin webhook test control-room --config /etc/tocsin/tocsin.yaml
    """
    from tocsin import assembly
    from tocsin.clock import synchronized
    from tocsin.config.load import load, webhook_secrets
    from tocsin.deliver.advice import advice
    from tocsin.deliver.event import Event, EventType, TrialData, new_id
    from tocsin.deliver.schedule import Outcome
    from tocsin.deliver.webhook import send_test
    from tocsin.logs import masked, spellings
    from tocsin.resources import find

    settings = load(config)
    secrets = webhook_secrets(settings, name)
    (receiver,) = assembly.webhooks(settings, secrets, name)
    now = datetime.now(UTC)
    event = Event(new_id(now), EventType.TOCSIN_TEST, now, TrialData())
    attempt = send_test(receiver, event, find("models/reference.jpg").read_bytes())
    code = f"no answer: {attempt.why}" if attempt.status is None else f"HTTP {attempt.status}"
    print(f"{name}: {attempt.outcome} ({code}, after {attempt.seconds * 1000:.0f} ms)")
    if attempt.answer:
        # The receiver's text, which may repeat what it was sent: without secrets, and escaped.
        answer = masked(attempt.answer.decode(errors="replace"), spellings(secrets.texts()))
        print(ascii(answer[:_ANSWER_SHOWN]))
    if attempt.outcome is not Outcome.DELIVERED:
        if told := advice(attempt.outcome, attempt.status, attempt.why):
            print(told)
        if synchronized() is False:
            print("the clock of this machine is kept right by nothing")
        _leave(TEMPORARY_FAILURE)


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


def _forget_environment(settings: "Config") -> None:
    """Take the secrets out of the environment once they are read: every process that is started inherits it."""
    from tocsin.config.load import secrets_in

    for _, secret in secrets_in(settings):
        if secret.kind == "env":
            os.environ.pop(secret.reference, None)


def _log_uncaught(uncaught: threading.ExceptHookArgs) -> None:
    """Log the error that ended a thread, through the same scrubber as everything.

    Those without which the daemon is none are `guarded`, and do not come here.
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


def _leave(code: int) -> NoReturn:
    raise typer.Exit(code)


def _show_status(console: Console, answer: dict[str, Any]) -> None:
    detector = answer["detector"]
    accelerated = detector["accelerated"]
    share = f", {accelerated} of {detector['nodes']} nodes on it" if accelerated else ""
    console.print(f"detector  {detector['model']} on {detector['provider']} ({detector['device']}{share})")
    for one in detector["degraded"]:
        where = "".join(f", {one[word]}" for word in ("stream", "rule") if one[word])
        console.print(f"          degraded ({one['reason']}{where}): {shown(one['why'], _LINE_SHOWN)}")
    console.print(f"metrics   port {answer['port']}\n")
    answer = answer | {
        "streams": [one | _in_words(one) for one in answer["streams"]],
        "alarms": [one | {"opened": local(one["opened"]), "muted": _muted(one)} for one in answer["alarms"]],
        "overrides": [one | {"until": local(one["until"])} for one in answer.get("overrides", [])],
        "queues": [one | {"configured": "yes" if one["configured"] else "no"} for one in answer["queues"]],
    }
    for title, columns in _STATUS_TABLES.items():
        if answer.get(title):  # a daemon from before an update does not know all
            console.print(table_of(answer[title], columns, _LINE_SHOWN, title))
        elif title in _ALWAYS:
            console.print(f"no {title}")


def _muted(alarm: dict[str, Any]) -> str:
    return "silenced" if alarm.get("silenced") else "test" if alarm.get("test") else ""


def _in_words(stream: dict[str, Any]) -> dict[str, str]:
    """Return what the table says in fewer columns than the stream has values."""
    known = (stream[word] for word in ("codec", "size", "transport", "decoder"))
    retry = stream["retry_in_seconds"]
    word = f"{stream['fault']}: " if stream["fault"] else ""  # as metrics, log and runbook have it
    again = "" if retry is None else f"; next try in {retry:.0f} s"
    return {"picture": " ".join(one for one in known if one), "why": f"{word}{stream['why']}{again}"}


_STATUS_TABLES = {
    "streams": {
        "stream": "stream",
        "state": "state",
        "for_seconds": "for (s)",
        "picture": "picture",
        "last_frame_age_seconds": "frame age (s)",
        "fps": "fps",
        "frames_analysed": "analysed",
        "why": "why",
    },
    "alarms": {
        "stream": "stream",
        "rule": "rule",
        "severity": "severity",
        "class": "class",
        "score": "score",
        "zone": "zone",
        "opened": "since",
        "verdict": "verdict",
        "muted": "muted",
        "alarm_id": "id",
    },
    "overrides": {
        "kind": "kind",
        "stream": "stream",
        "rule": "rule",
        "until": "until",
        "by": "by",
        "why": "why",
        "id": "id",
    },
    "withheld": {
        "stream": "stream",
        "rule": "rule",
        "reason": "reason",
        "count": "alarms not raised",
    },
    "queues": {
        "webhook": "webhook",
        "configured": "configured",
        "queued": "waiting",
        "oldest_age_seconds": "oldest (s)",
        "dead": "given up",
    },
}
"""The columns of each table, and their headings."""

_ALWAYS = ("streams", "alarms", "queues")
"""The tables that are missed where they are empty."""
