"""The daemon: builds every part from the configuration, starts them in order, watches over them, stops them."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag

import structlog
from prometheus_client import CollectorRegistry

from tocsin import __version__, assembly
from tocsin.alarms import Alarms, Origin
from tocsin.answering import Answering
from tocsin.auditor import Auditor, Basis
from tocsin.capture.status import StreamStatus
from tocsin.capture.supervisor import Supervisor
from tocsin.check import state_dir_fault
from tocsin.config.load import Config, Secrets, place, placed
from tocsin.control import CONTROL_SOCKET, ControlServer, Handler
from tocsin.custody.announcements import Announcements, finish
from tocsin.custody.archive import Archive, Task
from tocsin.custody.keeping import Keeping
from tocsin.custody.reads import Reads
from tocsin.deliver.database import OUTBOX_FILE
from tocsin.deliver.dispatch import Dispatcher
from tocsin.deliver.keepalive import KeepAlive
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.webhook import Webhook
from tocsin.desk import evidence, history
from tocsin.desk.outbox import OutboxDesk
from tocsin.desk.overrides import OverridesDesk
from tocsin.detect.detector import Detector
from tocsin.detect.engine import Engine
from tocsin.detect.keeper import COMPILING, Keeper
from tocsin.detect.stamp import digest, stamp
from tocsin.errors import ConfigError, StartError
from tocsin.eyesight.lights import Lights
from tocsin.eyesight.scenes import Scenes
from tocsin.http import Endpoint, Health, PartHealth
from tocsin.lifecycle import Lifecycle, Pulses
from tocsin.lookout import Lookout
from tocsin.metrics import Metrics
from tocsin.overrides import Now, Overrides
from tocsin.plan import Draft, Plan
from tocsin.reload import Reloader
from tocsin.report import Report, liveness, readiness
from tocsin.resume import open_alarms
from tocsin.sdnotify import Notifier, watchdog_seconds
from tocsin.verdicts import Verdicts
from tocsin.vigil.rounds import Rounds
from tocsin.vigil.unsettled import Unsettled
from tocsin.warming import warm_detector
from tocsin.watchdog import Watchdog

log = structlog.get_logger(__name__)

STOP_SECONDS = 8.0
"""For everything together; the service manager is promised an end within ten."""

_TURN = 0.5
_RELOADING_TURN = 0.1
_PULSE_LIMIT = 10.0
"""Seconds after which a part that has not moved counts as stuck: the longest step of any is far below."""

_OUTBOX_RESERVE = 2.0
"""Seconds at the end of a stop that are the outbox's own, however long a receiver keeps the dispatcher waiting."""


class App:
    """One running daemon: `start`, `run`, `stop`, all from one thread.

    `test` marks every alarm as one that is not meant. `file` is where the configuration came from; `ask_reload` has
    it read again. `mask` keeps the secrets out of the log that a reload brings.
    """

    def __init__(
        self,
        config: Config,
        secrets: Secrets,
        *,
        test: bool = False,
        file: Path | None = None,
        mask: Callable[[Iterable[str]], None] = lambda _: None,
    ) -> None:
        self._file = file
        self._mask = mask
        self._config = config  # replaced whole by a reload
        self._secrets = secrets
        self._test = test
        self._registry = CollectorRegistry()
        self._metrics = Metrics(self._registry, assembly.names(config))
        self._lifecycle = Lifecycle()
        self._pulses = Pulses()
        self._notifier = Notifier.from_environment()
        self._ready = False
        self._failure: str | None = None
        self._reload_asked = False  # set by a signal handler, taken by `run`
        self._reloader: Reloader | None = None
        # Lets nobody see a configuration half taken over: `_adopt` holds it for milliseconds, and `report`.
        self._changing = threading.Lock()

    def start(self) -> None:
        """Start everything, or raise a TocsinError and leave nothing running.

        Returns when the outbox is open, the endpoint bound and the model warm; no camera is waited for.
        """
        try:
            self._start()
        except BaseException:
            self._lifecycle.stop(STOP_SECONDS)
            raise
        self._ready = True
        self._start_watchdog()
        self._notifier.ready(self.report().line())
        log.info(
            "the daemon is ready",
            version=__version__,
            streams=len(self._config.streams),
            metrics=f"{self._endpoint.scheme}://{self._config.http.host}:{self._endpoint.port}/metrics",
            state_dir=self._config.state_dir,
            config=self._config.digest,
        )

    def run(self, stop: Flag) -> str | None:
        """Watch over the parts until `stop` is set; return None then, or why the daemon has to end before."""
        while not stop.wait(self._pause()) and self._failure is None:
            now = self._turned = time.monotonic()
            self._reload(now)
            self._look(now)
        return self._failure

    def ask_reload(self) -> None:
        """Have the configuration read again soon; may be called by a signal handler.

        However often it is called while a reload is under way, one more follows.
        """
        self._reload_asked = self._file is not None

    def _pause(self) -> float:
        return _TURN if self._reloader is None or not self._reloader.busy else _RELOADING_TURN

    def _reload(self, now: float) -> None:
        if self._reloader is None:
            return
        self._reloader.turn()
        if self._reload_asked and self._reloader.begin(now):
            self._reload_asked = False

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stop every part within so many seconds, together; a second call does nothing."""
        if not self._ready:
            return
        self._ready = False
        log.info("the daemon stops")
        self._auditor.stopped(self._failure)
        self._notifier.stopping()
        failed = self._lifecycle.stop(seconds)
        log.info("the daemon has stopped", unclean=",".join(failed) or None)

    def stream_of(self, pid: int) -> str | None:
        """Return whose capture worker a process is; only after `start`."""
        return self._supervisor.stream_of(pid)

    def report(self) -> Report:
        """Return how the daemon is; only after `start`."""
        with self._changing:
            return Report(
                self._ready,
                self._statuses(),
                self._lookout.analysed,
                self._lookout.lights.statuses(),
                self._lookout.scenes.statuses(),
                self._detector,
                self._unsettled.degradations.standing(),
                tuple(self._lookout.alarms.open()),
                self._outbox.counts(),
                self._endpoint.port,
                self._lookout.alarms.withheld(),
                self._lookout.alarms.sighted(),
                self._overrides.standing(),
            )

    def _statuses(self) -> tuple[StreamStatus, ...]:
        """How each stream is; one that has left just now may still be among the supervisor's."""
        streams = self._lookout.streams
        return tuple(status for status in self._supervisor.statuses() if status.stream in streams)

    def _start(self) -> None:
        self._start_foundation()
        # before it is opened: a file that changes meanwhile is another
        model = self._config.detector.model
        draft = replace(assembly.draft(self._config, self._secrets, stamp(model)), sha256=digest(model))
        if self._config.detector.device == "tensorrt":
            self._notifier.extend(COMPILING)
        webhooks = [webhook.name for webhook in self._config.webhooks]
        self._unsettled = Unsettled(self._outbox, self._rules(), webhooks, self._metrics)
        rules = assembly.rules_by_stream(self._config)
        self._rounds = Rounds(rules, self._config.heartbeat, self._unsettled, self._metrics)
        self._keeper = Keeper(warm_detector(self._config), self._metrics, self._unsettled.degradations)
        self._keeper.introduce()
        self._metrics.config_applied(time.time())
        self._start_alarms()
        self._start_road(draft.receivers)
        if self._file is not None:
            told = self._metrics, self._notifier, lambda: self.report().line(), self._mask
            hear = self._adopt, *told, self._auditor.refused
            self._reloader = Reloader(self._file, draft, self._keeper, *hear)
        self._start_control(webhooks)
        for name, moved in (
            ("outbox", self._outbox.pulse),
            ("dispatcher", self._dispatcher.pulse),
            ("engine", lambda: max(self._engine.pulse(), min(self._keeper.alive_until, time.monotonic()))),
            ("supervisor", self._supervisor.pulse),
        ):
            self._pulses.watch(name, moved, _PULSE_LIMIT)
        self._auditor.started(_basis(draft, self._detector))

    def _start_control(self, webhooks: Sequence[str]) -> None:
        """The door for commands, when there is something behind it to ask."""
        self._desk = OutboxDesk(self._outbox, self._dispatcher.hurry, webhooks)
        handlers: dict[str, Handler] = {
            "status": lambda _, __: self.report().as_json(),
            **self._verdicts.handlers(),
            **self._desk.handlers(),
            **history.handlers(self._outbox),
            **evidence.handlers(self._outbox),
            **OverridesDesk(self._overrides, self._outbox, self.report).handlers(),
        }
        socket = Path(self._config.state_dir) / CONTROL_SOCKET
        self._lifecycle.start("control", ControlServer(socket, handlers))

    def _start_watchdog(self) -> None:
        """The last to start and the first to stop: a part that starts or stops may rest for longer."""
        self._turned = time.monotonic()
        self._pulses.watch("main", lambda: self._turned, _PULSE_LIMIT)
        period = watchdog_seconds()
        interval = None if period is None else period / 3
        watchdog = Watchdog(self._pulses, self._notifier, interval, lambda: self.report().line(), self._fail)
        self._lifecycle.start("watchdog", watchdog)

    def _start_foundation(self) -> None:
        """What everything else stands on: the state, and the address that tells how the start goes."""
        config, state = self._config, Path(self._config.state_dir)
        if fault := state_dir_fault(state):
            raise ConfigError(place(config, ("state_dir",), fault))
        with placed(config, ("state_dir",), StartError):
            _prepare(state)
        patterns = assembly.patterns(config)
        self._outbox = Outbox(state / OUTBOX_FILE, patterns, self._metrics, on_failure=self._fail)
        self._outbox.keep(assembly.remembering(config))
        self._lifecycle.start("outbox", self._outbox)
        self._auditor = Auditor(self._outbox)
        listen, hosts = (config.http.host, config.http.port), config.http.names
        told = self._registry, lambda: liveness(self._pulses), self._readiness, self._metrics
        self._endpoint = Endpoint(listen, *told, hosts, assembly.web(config.http))
        with placed(config, ("http", "listen"), StartError):
            self._lifecycle.start("endpoint", self._endpoint)

    def _start_alarms(self) -> None:
        """Whoever raises alarms, keeps evidence of them and takes what guards say, each with what was left open."""
        config, kept = self._config, assembly.keeping(self._config, self._address)
        self._announcements = Announcements(self._outbox.commit, assembly.patterns(config))
        self._keeping = Keeping(
            *(Path(config.state_dir), kept, self._announcements, self._metrics),
            ask=self._ask,
            keyed=self._hear_answers,
            begin=self._begin_archive,
            fail=self._fail,
        )
        links = kept.base_url, kept.limits.seconds
        self._answering = Answering(*links, self._metrics, self._keeping.judged)
        self._overrides = Overrides(self._outbox.commit, self._metrics)
        self._overrides.resume(self._outbox.overrides().result(), self._rules(), Now.read())
        watched, resumed = open_alarms(config, self._detector.labels, self._outbox)
        told = self._metrics, self._origin(self._detector), self._keeping.links, self._answering.invite
        alarms = Alarms(watched, resumed, self._announcements.commit, *told, treat=self._overrides.of)
        self._overrides.changed = alarms.heed
        alarms.heed()  # what muted one may have ended while nobody looked
        self._verdicts = Verdicts(alarms, self._outbox, self._answering.judged)
        self._keeping.turn(time.monotonic())
        if self._keeping.archive is not None:
            finish(self._announcements, self._keeping.archive, self._outbox)
        lights = Lights(self._unsettled.commit, self._metrics)
        scenes = Scenes(self._unsettled.commit, self._metrics)
        self._lookout = Lookout(lights, scenes, alarms, list(self._rules()))

    def _ask(self, stream: str, task: Task, descriptors: Sequence[int]) -> bool:
        return self._supervisor.ask(stream, task, descriptors)

    def _hear_answers(self, key: bytes) -> None:
        """Take verdicts by links that are signed by this key."""
        self._endpoint.hear(self._answering.open(key), self._verdicts)

    def _begin_archive(self, archive: Archive) -> None:
        """Start what keeps evidence, and show it; later than all else where the disk does not let it be before."""
        self._lifecycle.start("archive", archive)
        self._endpoint.show(archive, Reads(self._outbox, archive).seen)
        self._pulses.watch("archive", archive.pulse, _PULSE_LIMIT)

    def _start_road(self, receivers: Sequence[Webhook]) -> None:
        """From the receivers back to the cameras, so that nothing is seen that could not be told."""
        self._dispatcher = Dispatcher(
            *(self._outbox, receivers, self._metrics),
            paused=self._unsettled.paused,
            read=self._keeping.read,
            on_failure=self._fail,
        )
        self._dispatcher.start()
        self._lifecycle.add("dispatcher", lambda deadline: self._dispatcher.stop(deadline - _OUTBOX_RESERVE))
        alertmanagers = assembly.alertmanagers(receivers)
        self._keepalive = KeepAlive(alertmanagers, self._lookout.alarms.told, self._metrics, self._fail)
        self._lifecycle.start("keepalive", self._keepalive)
        orders = assembly.orders(self._config, self._secrets, self._detector)
        self._supervisor = Supervisor(orders, self._metrics, self._fail, self._keeping.made)
        self._engine = Engine(self._keeper, self._supervisor, self._lookout.seen, self._metrics, self._fail)
        self._lifecycle.start("engine", self._engine)
        self._lifecycle.start("supervisor", self._supervisor)

    @property
    def _detector(self) -> Detector:
        """The detector that is at work now."""
        return self._keeper.detector

    def _adopt(self, draft: Draft, detector: Detector, plan: Plan) -> None:
        """Go on with another draft and detector, all at once; nothing here fails or waits.

        Whoever looks at frames goes first, so that whoever has heard of an alarm hears of its end.
        """
        config = draft.config
        watched, _ = assembly.watched(config, detector.labels, ())
        with self._changing:
            self._config = config
            rules, webhooks = self._rules(), [webhook.name for webhook in config.webhooks]
            self._metrics.adopt(assembly.names(config))
            detector.floor = assembly.score_floor(config)
            self._lookout.adopt(rules, plan.anew, watched, self._origin(detector))
            self._overrides.adopt(rules, Now.read())
            analysed = self._lookout.analysed
            self._rounds.adopt(assembly.rules_by_stream(config), config.heartbeat, plan.streams.removed)
            self._unsettled.degradations.adopt(rules)
            patterns = assembly.patterns(config)
            self._announcements.adopt(patterns)
            told = self._outbox.adopt(patterns)
            self._unsettled.adopt(told, rules, webhooks, {stream: analysed[stream] for stream in plan.anew})
            self._outbox.keep(assembly.remembering(config))
            self._dispatcher.adopt(draft.receivers, plan.webhooks.changed)
            self._keepalive.adopt(assembly.alertmanagers(draft.receivers))
            self._desk.adopt(webhooks)
            self._endpoint.allow(config.http.names)
            keeping = assembly.keeping(config, self._address)
            self._keeping.adopt(keeping)
            self._answering.adopt(keeping.base_url, keeping.limits.seconds)
            self._supervisor.adopt(assembly.orders(config, draft.secrets, detector))
        self._auditor.adopted(_basis(draft, detector), plan.words())

    def _rules(self) -> dict[str, tuple[str, ...]]:
        """The rules of each stream."""
        return {stream.name: stream.rules for stream in self._config.streams}

    def _origin(self, detector: Detector) -> Origin:
        """What alarms tell of the daemon that raises them."""
        return Origin(detector.model_name, self._config.digest, self._test)

    @property
    def _address(self) -> str:
        """Where the endpoint is, for who is on this machine."""
        host = self._config.http.host
        return f"{self._endpoint.scheme}://{f'[{host}]' if ':' in host else host}:{self._endpoint.port}"

    def _fail(self, why: str) -> None:
        self._failure = why

    def _look(self, now: float) -> None:
        self._overrides.turn(Now(now, datetime.now(UTC)))
        self._keeping.turn(now)
        stuck = bool(self._pulses.overdue(now))
        self._rounds.turn(now, self._statuses(), self._lookout.analysed, stuck=stuck)

    def _readiness(self) -> Health:
        if not self._ready:
            return Health((PartHealth("daemon", False, "starting or stopping"),))
        return readiness(self._detector, self._config.digest)


def _basis(draft: Draft, detector: Detector) -> Basis:
    return Basis(draft.config.digest, detector.model_name, draft.sha256)


def _prepare(state: Path) -> None:
    """Make the state directory, for this user alone."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"state_dir: expected a directory at {state}, found: {error.strerror}") from error
    if not os.access(state, os.W_OK | os.X_OK):
        raise StartError(f"state_dir: expected to be allowed to write in {state}, found: permission denied")
