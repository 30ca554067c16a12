"""The daemon: builds every part from the configuration, starts them in order, watches over them, stops them."""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from tocsin import __version__, assembly
from tocsin.alarms import Alarms, Origin
from tocsin.capture.supervisor import Supervisor
from tocsin.carried import Carried
from tocsin.check import state_dir_fault
from tocsin.clock import Jumps, synchronized
from tocsin.config.load import Config, Secrets, place, placed
from tocsin.control import ControlServer
from tocsin.degradations import Degradations
from tocsin.deliver.dispatch import Dispatcher
from tocsin.deliver.event import Data, Event, EventType, OpenAlarm, PauseData, new_id
from tocsin.deliver.formats import as_alert
from tocsin.deliver.keepalive import KeepAlive
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change
from tocsin.deliver.verdict import Verdict
from tocsin.desk import Desk
from tocsin.detect.detector import Detector
from tocsin.detect.engine import Engine
from tocsin.detect.keeper import COMPILING, Keeper
from tocsin.detect.stamp import Stamp, stamp
from tocsin.errors import ConfigError, ControlError, Degradation, StartError
from tocsin.frame import Detections, Frame
from tocsin.heartbeat import Heartbeat
from tocsin.http import Endpoint, Health, PartHealth
from tocsin.lifecycle import Lifecycle, Pulses
from tocsin.lights import Lights
from tocsin.metrics import Metrics
from tocsin.reload import Reloader, Running
from tocsin.report import Report
from tocsin.scenes import Scenes
from tocsin.sdnotify import Notifier, watchdog_seconds
from tocsin.vigil import Deafness, RateVigil, StreamVigil, bringing
from tocsin.warming import warm_detector
from tocsin.watchdog import Watchdog

log = structlog.get_logger(__name__)

OUTBOX_FILE = "outbox.sqlite"
CONTROL_SOCKET = "control.sock"

STOP_SECONDS = 8.0
"""For everything together; the service manager is promised an end within ten."""

_TURN = 0.5
_PULSE_LIMIT = 10.0
"""Seconds after which a part that has not moved counts as stuck: the longest step of any is far below."""

_OUTBOX_RESERVE = 2.0
"""Seconds at the end of a stop that are the outbox's own, however long a receiver keeps the dispatcher waiting."""


class App:
    """One running daemon: `start`, `run`, `stop`, all from one thread.

    `test` marks every alarm as one that is not meant. `file` is where the configuration came from; `ask_reload` has
    it read again.
    """

    def __init__(
        self, config: Config, secrets: Secrets, *, test: bool = False, file: Path | None = None
    ) -> None:
        self._file = file
        # Replaced whole by a reload, from whatever thread; all parts but the detector are made of the first.
        self._config = config
        self._secrets = secrets
        self._test = test
        self._registry = CollectorRegistry()
        self._metrics = Metrics(self._registry, assembly.names(config))
        self._lifecycle = Lifecycle()
        self._pulses = Pulses()
        self._notifier = Notifier.from_environment()
        self._stream_vigil = StreamVigil()
        self._degradations = Degradations(self._say, self._metrics)
        self._rate_vigil = RateVigil(assembly.rules_by_stream(config))
        self._clock_jumps = Jumps()
        self._heartbeat = Heartbeat(config.heartbeat, self._say)
        self._clock_is_right: bool | None = None
        self._ready = False
        self._failure: str | None = None
        self._reload_asked = False  # set by a signal handler, taken by `run`
        # Written by the engine's thread, read by the main one: numbers are replaced whole.
        self._analysed: Counter[str] = Counter()

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
        while not stop.wait(_TURN) and self._failure is None:
            now = self._turned = time.monotonic()
            if self._reload_asked and self._reloader.begin():
                self._reload_asked = False
            if self._file is not None:
                self._reloader.tidy()
            self._look(now)
        return self._failure

    def ask_reload(self) -> None:
        """Have the configuration read again soon; may be called by a signal handler.

        However often it is called while a reload is under way, one more follows.
        """
        self._reload_asked = self._file is not None

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stop every part within so many seconds, together; a second call does nothing."""
        if not self._ready:
            return
        self._ready = False
        log.info("the daemon stops")
        self._notifier.stopping()
        failed = self._lifecycle.stop(seconds)
        log.info("the daemon has stopped", unclean=",".join(failed) or None)

    def stream_of(self, pid: int) -> str | None:
        """Return whose capture worker a process is; only after `start`."""
        return self._supervisor.stream_of(pid)

    def report(self) -> Report:
        """Return how the daemon is; only after `start`."""
        return Report(
            self._ready,
            tuple(self._supervisor.statuses()),
            dict(self._analysed),
            self._lights.statuses(),
            self._scenes.statuses(),
            self._detector,
            self._degradations.standing(),
            tuple(self._alarms.open()),
            self._outbox.counts(),
            self._endpoint.port,
            self._alarms.withheld(),
        )

    def _start(self) -> None:
        self._start_foundation()
        # before it is opened: a file that changes meanwhile is another
        files = stamp(self._config.detector.model)
        if self._config.detector.device == "tensorrt":
            self._notifier.extend(COMPILING)
        self._resume()
        self._keeper = Keeper(warm_detector(self._config), self._metrics, self._degradations)
        self._keeper.introduce()
        self._metrics.config_applied(time.time())
        self._alarms = self._open_alarms()
        self._lights = Lights(self._carried.commit, self._metrics)
        self._scenes = Scenes(self._carried.commit, self._metrics)
        self._start_road()
        if self._file is not None:
            self._start_reloader(self._file, files)
        socket = Path(self._config.state_dir) / CONTROL_SOCKET
        desk = Desk(self._outbox, self._dispatcher.hurry, [webhook.name for webhook in self._config.webhooks])
        status = {"status": lambda _: self.report().as_json()}
        handlers = {**status, "verdict": self._verdict, **desk.handlers()}
        self._lifecycle.start("control", ControlServer(socket, handlers))
        for name, moved in (
            ("outbox", self._outbox.pulse),
            ("dispatcher", self._dispatcher.pulse),
            ("engine", lambda: max(self._engine.pulse(), min(self._keeper.alive_until, time.monotonic()))),
            ("supervisor", self._supervisor.pulse),
        ):
            self._pulses.watch(name, moved, _PULSE_LIMIT)

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
        patterns = {webhook.name: webhook.patterns for webhook in config.webhooks}
        self._outbox = Outbox(state / OUTBOX_FILE, patterns, self._metrics, on_failure=self._fail)
        self._lifecycle.start("outbox", self._outbox)
        listen, hosts = (config.http.host, config.http.port), config.http.allowed_hosts
        told = self._registry, self._healthy, self._readiness, self._metrics
        self._endpoint = Endpoint(listen, *told, hosts, assembly.web(config.http))
        with placed(config, ("http", "listen"), StartError):
            self._lifecycle.start("endpoint", self._endpoint)

    def _start_road(self) -> None:
        """From the receivers back to the cameras, so that nothing is seen that could not be told."""
        config = self._config
        receivers = assembly.webhooks(config, self._secrets)
        self._dispatcher = Dispatcher(
            self._outbox, receivers, self._metrics, paused=self._paused, on_failure=self._fail
        )
        self._dispatcher.start()
        self._lifecycle.add("dispatcher", lambda deadline: self._dispatcher.stop(deadline - _OUTBOX_RESERVE))
        alertmanagers = [one for one in receivers if one.render is as_alert]
        keepalive = KeepAlive(alertmanagers, self._alarms.open, self._metrics, self._fail)
        self._lifecycle.start("keepalive", keepalive)
        orders = [assembly.order(config, stream, self._secrets, self._detector) for stream in config.streams]
        self._supervisor = Supervisor(orders, self._metrics, self._fail)
        self._engine = Engine(self._keeper, self._supervisor, self._seen, self._metrics, self._fail)
        self._lifecycle.start("engine", self._engine)
        self._lifecycle.start("supervisor", self._supervisor)

    @property
    def _detector(self) -> Detector:
        """The detector that is at work now."""
        return self._keeper.detector

    def _start_reloader(self, file: Path, files: Stamp) -> None:
        running = Running(self._config, files)
        told = self._metrics, self._notifier
        self._reloader = Reloader(
            file, running, self._keeper, self._adopt, *told, lambda: self.report().line()
        )
        self._lifecycle.add("reload", lambda _: self._reloader.stop())

    def _adopt(self, config: Config, detector: Detector | None) -> None:
        """Go on with another configuration and detector; called by a reload, or the engine that takes one back."""
        self._config = config
        if detector is None:
            self._alarms.origin = replace(self._alarms.origin, config=config.digest)
            return
        self._alarms.origin = Origin(detector.model_name, config.digest, self._test)
        self._supervisor.show(assembly.shown(config, detector))

    def _resume(self) -> None:
        """Go on from what an earlier life of the daemon told and did not clear."""
        told = self._outbox.standing().result()
        rules = {stream.name: stream.rules for stream in self._config.streams}
        self._carried = Carried(told, rules, self._outbox.commit)
        paused = {one.subject for one in told if one.type is EventType.DELIVERY_PAUSED}
        self._paused = paused & {webhook.name for webhook in self._config.webhooks}
        for webhook in sorted(paused - self._paused):  # gone from the configuration
            self._say(EventType.DELIVERY_RESUMED, PauseData(webhook, "removed"))
        degraded = [one for one in told if one.type is EventType.DETECTOR_DEGRADED]
        self._degradations.resume(degraded, rules)

    def _open_alarms(self) -> Alarms:
        known: Sequence[OpenAlarm] = self._outbox.open_alarms().result()
        recalls = self._outbox.recalls().result()
        watched, orphans = assembly.watched(self._config, self._detector.labels, known, recalls)
        now = datetime.now(UTC)
        for alarm in known:
            about = {"stream": alarm.alarm.stream, "rule": alarm.alarm.rule, "alarm_id": alarm.alarm.alarm_id}
            if alarm in orphans:
                log.warning("an alarm ends, for its stream or rule is gone", **about)
                event = Event(new_id(now), EventType.ALARM_ENDED, now, alarm.alarm)
                self._outbox.commit(Change(events=(event,), closed=(alarm.alarm.alarm_id,)))
            else:
                log.info("an alarm goes on", **about)
        origin = Origin(self._detector.model_name, self._config.digest, self._test)
        carried = [alarm for alarm in known if alarm not in orphans]
        return Alarms(watched, carried, self._outbox.commit, self._metrics, origin)

    def _seen(self, frame: Frame, detections: Detections) -> None:
        """Take one analysed frame; called by the engine's thread, and all that it calls may rely on that."""
        self._analysed[frame.stream] += 1
        covered = self._scenes.analysed(frame, self._lights.impaired(frame.stream))
        self._lights.analysed(frame, covered)
        self._alarms.analysed(frame, detections)

    def _verdict(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Take a verdict from the control socket; called by a thread of its server. Raises ControlError."""
        word = request.get("verdict")
        if word not in set(Verdict):
            raise ControlError(f"expected a verdict among {', '.join(Verdict)}, found another")
        return dict(self._alarms.judge(str(request.get("alarm_id")), Verdict(word)).payload())

    def _fail(self, why: str) -> None:
        self._failure = why

    def _look(self, now: float) -> None:
        self._look_at_clock(now)
        statuses = self._supervisor.statuses()
        for kind, data in self._stream_vigil.turn(now, statuses):
            sentence = "the stream stays down" if kind is EventType.STREAM_DOWN else "the stream is back"
            log.warning(sentence, stream=data.stream, reason=data.reason, lasted=round(data.lasted or 0.0))
            self._say(kind, data)
        self._carried.turn(now, dict(self._analysed))
        brought = bringing(now, statuses)
        brought -= self._degradations.without_results(brought)  # what fails is said already, and not too slow
        for judged in self._rate_vigil.turn(now, self._analysed, brought):
            self._metrics.rule_deaf(judged.stream, judged.rule, judged.deaf)
            self._tell_deaf(judged)  # every time: it may have been deaf before a restart
        self._degradations.results(now, dict(self._analysed))
        self._heartbeat.turn(now, statuses, stuck=bool(self._pulses.overdue(now)))

    def _look_at_clock(self, now: float) -> None:
        """Say when the wall clock was set, and whether anything keeps it right."""
        jumped = self._clock_jumps.turn(now, time.time())
        if jumped is not None:
            log.warning("the clock jumped", seconds=round(jumped, 1))
            self._metrics.clock_jumped()
        is_right = synchronized() is True
        self._metrics.clock_synchronized(is_right)
        if is_right != self._clock_is_right:
            self._clock_is_right = is_right
            if is_right:
                log.info("the clock is synchronized")
            else:
                log.warning("the clock is not synchronized, receivers may refuse what is signed by it")

    def _tell_deaf(self, judged: Deafness) -> None:
        if judged.deaf:
            why = "too few frames are analysed for the rule's hits to fit into its time"
            self._degradations.degraded(Degradation.TOO_SLOW, why, judged.stream, judged.rule)
        else:
            self._degradations.restored(Degradation.TOO_SLOW, judged.stream, judged.rule)

    def _say(self, kind: EventType, data: Data) -> None:
        now = datetime.now(UTC)
        self._carried.commit(Change(events=(Event(new_id(now), kind, now, data),)))

    def _healthy(self) -> Health:
        """Alive: no part is stuck."""
        stuck = {part.name: str(part) for part in self._pulses.overdue(time.monotonic())}
        ages = self._pulses.ages(time.monotonic())
        return Health(tuple(PartHealth(name, name not in stuck, stuck.get(name, "moving")) for name in ages))

    def _readiness(self) -> Health:
        """Ready: everything was started. Says what the detector really runs on."""
        if not self._ready:
            return Health((PartHealth("daemon", False, "starting or stopping"),))
        detector = self._detector
        facts = {
            "model": detector.model_name,
            "device": detector.device,
            "provider": detector.provider,
            "nodes": str(detector.placement.nodes),
            "accelerated": str(detector.placement.accelerated),
        }
        return Health(
            (
                PartHealth("configuration", True, "valid", {"digest": self._config.digest}),
                PartHealth("outbox", True, "open"),
                PartHealth("detector", True, "warm", facts),
            )
        )


def _prepare(state: Path) -> None:
    """Make the state directory, for this user alone."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"state_dir: expected a directory at {state}, found: {error.strerror}") from error
    if not os.access(state, os.W_OK | os.X_OK):
        raise StartError(f"state_dir: expected to be allowed to write in {state}, found: permission denied")
