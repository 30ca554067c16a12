"""The daemon: builds every part from the configuration, starts them in order, watches over them, stops them."""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from tocsin import __version__, assembly
from tocsin.alarms import Alarms, Origin
from tocsin.auditor import Auditor, Basis
from tocsin.capture.status import StreamStatus
from tocsin.capture.supervisor import Supervisor
from tocsin.capture.wire import Made
from tocsin.check import state_dir_fault
from tocsin.clock import Jumps, synchronized
from tocsin.config.load import Config, Secrets, place, placed
from tocsin.control import CONTROL_SOCKET, ControlServer
from tocsin.custody.announcements import Announcements, reading
from tocsin.custody.archive import Archive, Raised, Task
from tocsin.custody.reads import Reads
from tocsin.deliver.database import OUTBOX_FILE
from tocsin.deliver.dispatch import Dispatcher
from tocsin.deliver.event import AlarmData, AlarmRecord, Data, Event, EventType, PauseData, new_id
from tocsin.deliver.keepalive import KeepAlive
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.standing import Standing
from tocsin.deliver.store import Change
from tocsin.deliver.verdict import Verdict
from tocsin.deliver.webhook import Webhook
from tocsin.desk import evidence, history
from tocsin.desk.outbox import OutboxDesk
from tocsin.desk.overrides import OverridesDesk
from tocsin.detect.detector import Detector
from tocsin.detect.engine import Engine
from tocsin.detect.keeper import COMPILING, Keeper
from tocsin.detect.stamp import digest, stamp
from tocsin.endpoint.invitations import Invitations
from tocsin.errors import ConfigError, Degradation, EvidenceError, StartError
from tocsin.evidence.link import evidence_key
from tocsin.evidence.shelf import Shelf
from tocsin.eyesight.lights import Lights
from tocsin.eyesight.scenes import Scenes
from tocsin.http import Endpoint, Health, PartHealth
from tocsin.lifecycle import Lifecycle, Pulses
from tocsin.lookout import Lookout
from tocsin.metrics import Metrics
from tocsin.overrides import Now, Overrides
from tocsin.plan import Draft, Plan
from tocsin.reload import Reloader
from tocsin.report import Report
from tocsin.sdnotify import Notifier, watchdog_seconds
from tocsin.verdicts import Verdicts
from tocsin.vigil.carried import Carried
from tocsin.vigil.degradations import Degradations
from tocsin.vigil.heartbeat import Heartbeat
from tocsin.vigil.streams import Deafness, RateVigil, StreamVigil, bringing
from tocsin.warming import warm_detector
from tocsin.watchdog import Watchdog

log = structlog.get_logger(__name__)

STOP_SECONDS = 8.0
"""For everything together; the service manager is promised an end within ten."""

_TURN = 0.5
_RELOADING_TURN = 0.1
_PULSE_LIMIT = 10.0
"""Seconds after which a part that has not moved counts as stuck: the longest step of any is far below."""

_ARCHIVE_AGAIN = 5.0
"""Seconds until it is tried again to keep evidence, where the disk did not let it."""

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
        self._stream_vigil = StreamVigil()
        self._degradations = Degradations(self._say, self._metrics)
        self._rate_vigil = RateVigil(assembly.rules_by_stream(config))
        self._clock_jumps = Jumps()
        self._heartbeat = Heartbeat(config.heartbeat, self._say)
        self._clock_is_right: bool | None = None
        self._ready = False
        self._failure: str | None = None
        self._reload_asked = False  # set by a signal handler, taken by `run`
        self._reloader: Reloader | None = None
        # Set where it could not be read what stands of what a reload removed, also by the outbox's thread; taken by
        # `_look`, which asks again.
        self._unclear = False
        self._archive: Archive | None = None  # where the disk lets nothing be kept, until it does
        self._archive_due = 0.0
        self._invitations: Invitations | None = None
        self._verdicts: Verdicts | None = None
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
                self._degradations.standing(),
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
        self._resume()
        self._keeper = Keeper(warm_detector(self._config), self._metrics, self._degradations)
        self._keeper.introduce()
        self._metrics.config_applied(time.time())
        self._announcements = Announcements(self._outbox.commit, assembly.patterns(self._config))
        self._open_archive()
        lights = Lights(self._carried.commit, self._metrics)
        scenes = Scenes(self._carried.commit, self._metrics)
        streams = [stream.name for stream in self._config.streams]
        self._lookout = Lookout(lights, scenes, self._open_alarms(), streams)
        self._start_road(draft.receivers)
        if self._file is not None:
            told = self._metrics, self._notifier, lambda: self.report().line(), self._mask
            hear = self._adopt, *told, self._auditor.refused
            self._reloader = Reloader(self._file, draft, self._keeper, *hear)
        socket = Path(self._config.state_dir) / CONTROL_SOCKET
        self._desk = OutboxDesk(
            self._outbox, self._dispatcher.hurry, [webhook.name for webhook in self._config.webhooks]
        )
        status = {"status": lambda _, __: self.report().as_json()}
        self._verdicts = Verdicts(self._lookout.alarms, self._outbox, self._judged)
        self._hear_answers()
        handlers = {**status, **self._verdicts.handlers(), **self._desk.handlers()}
        handlers |= history.handlers(self._outbox) | evidence.handlers(self._outbox)
        handlers |= OverridesDesk(self._overrides, self._outbox, self.report).handlers()
        self._lifecycle.start("control", ControlServer(socket, handlers))
        for name, moved in (
            ("outbox", self._outbox.pulse),
            ("dispatcher", self._dispatcher.pulse),
            ("engine", lambda: max(self._engine.pulse(), min(self._keeper.alive_until, time.monotonic()))),
            ("supervisor", self._supervisor.pulse),
        ):
            self._pulses.watch(name, moved, _PULSE_LIMIT)
        self._auditor.started(_basis(draft, self._detector))

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
        told = self._registry, self._healthy, self._readiness, self._metrics
        self._endpoint = Endpoint(listen, *told, hosts, assembly.web(config.http))
        with placed(config, ("http", "listen"), StartError):
            self._lifecycle.start("endpoint", self._endpoint)

    def _start_road(self, receivers: Sequence[Webhook]) -> None:
        """From the receivers back to the cameras, so that nothing is seen that could not be told."""
        read = reading(lambda: self._archive)
        self._dispatcher = Dispatcher(
            self._outbox, receivers, self._metrics, paused=self._paused, read=read, on_failure=self._fail
        )
        self._dispatcher.start()
        self._lifecycle.add("dispatcher", lambda deadline: self._dispatcher.stop(deadline - _OUTBOX_RESERVE))
        alertmanagers = assembly.alertmanagers(receivers)
        self._keepalive = KeepAlive(alertmanagers, self._lookout.alarms.told, self._metrics, self._fail)
        self._lifecycle.start("keepalive", self._keepalive)
        orders = assembly.orders(self._config, self._secrets, self._detector)
        self._supervisor = Supervisor(orders, self._metrics, self._fail, self._made)
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
        config, origin = draft.config, Origin(detector.model_name, draft.config.digest, self._test)
        rules = {stream.name: stream.rules for stream in config.streams}
        watched, _ = assembly.watched(config, detector.labels, ())
        with self._changing:
            self._config = config
            self._metrics.adopt(assembly.names(config))
            detector.floor = assembly.score_floor(config)
            self._lookout.adopt(rules, plan.anew, watched, origin)
            self._overrides.adopt(rules, Now.read())
            analysed = self._lookout.analysed
            self._stream_vigil.forget(plan.streams.removed)
            self._rate_vigil.adopt(assembly.rules_by_stream(config))
            self._heartbeat.adopt(config.heartbeat)
            self._degradations.adopt(rules)
            patterns = assembly.patterns(config)
            self._announcements.adopt(patterns)
            told = self._outbox.adopt(patterns)
            self._clear_by(told, {stream: analysed[stream] for stream in plan.anew})
            self._outbox.keep(assembly.remembering(config))
            self._dispatcher.adopt(draft.receivers, plan.webhooks.changed)
            self._keepalive.adopt(assembly.alertmanagers(draft.receivers))
            self._desk.adopt([webhook.name for webhook in config.webhooks])
            self._endpoint.allow(config.http.names)
            keeping = assembly.keeping(config, self._address)
            if self._archive is not None:
                self._archive.settings = keeping
            if self._invitations is not None:
                self._invitations.adopt(keeping.base_url, keeping.limits.seconds)
            self._supervisor.adopt(assembly.orders(config, draft.secrets, detector))
        self._auditor.adopted(_basis(draft, detector), plan.words())

    def _clear_by(self, told: "Future[Any]", anew: Mapping[str, int]) -> None:
        """Clear what the configuration has no more, once it is known what stands; `anew` as in `Carried`."""
        streams = [stream.name for stream in self._config.streams]
        webhooks = [webhook.name for webhook in self._config.webhooks]
        told.add_done_callback(partial(self._clear, streams, anew, webhooks))

    def _clear(
        self,
        streams: Collection[str],
        anew: Mapping[str, int],
        webhooks: Collection[str],
        told: "Future[tuple[Standing, ...] | None]",
    ) -> None:
        """Say of all that stood of what is gone that it is over; called from the outbox's thread."""
        standing = None if told.exception() else told.result()
        if standing is None:
            self._unclear = True
            return
        self._carried.adopt(standing, streams, anew)
        self._clear_pauses(standing, webhooks)

    def _clear_pauses(self, told: Iterable[Standing], webhooks: Collection[str]) -> set[str]:
        """Return the webhooks that want no more, and say of those that are gone that this is over."""
        paused = {one.subject for one in told if one.type is EventType.DELIVERY_PAUSED}
        for webhook in sorted(paused.difference(webhooks)):
            self._say(EventType.DELIVERY_RESUMED, PauseData(webhook, "removed"))
        return paused.intersection(webhooks)

    def _resume(self) -> None:
        """Go on from what an earlier life of the daemon told and did not clear."""
        told = self._outbox.standing().result()
        rules = {stream.name: stream.rules for stream in self._config.streams}
        self._carried = Carried(told, rules, self._outbox.commit)
        self._paused = self._clear_pauses(told, [webhook.name for webhook in self._config.webhooks])
        degraded = [one for one in told if one.type is EventType.DETECTOR_DEGRADED]
        self._degradations.resume(degraded, rules)

    def _open_alarms(self) -> Alarms:
        known: Sequence[AlarmRecord] = self._outbox.open_alarms().result()
        recalls = self._outbox.recalls().result()
        watched, orphans = assembly.watched(self._config, self._detector.labels, known, recalls)
        now = datetime.now(UTC)
        for alarm in known:
            about = {"stream": alarm.alarm.stream, "rule": alarm.alarm.rule, "alarm_id": alarm.alarm.alarm_id}
            if alarm in orphans:
                log.warning("an alarm ends, for no rule carries it on", **about)
                over = alarm.over(now)
                event = Event(new_id(now), EventType.ALARM_ENDED, now, over.alarm)
                self._outbox.commit(Change(events=(event,), alarms=(over,)))
            else:
                log.info("an alarm goes on", **about)
        origin = Origin(self._detector.model_name, self._config.digest, self._test)
        carried = [alarm for alarm in known if alarm not in orphans]
        self._overrides = Overrides(self._outbox.commit, self._metrics)
        rules = {stream.name: stream.rules for stream in self._config.streams}
        self._overrides.resume(self._outbox.overrides().result(), rules, Now.read())
        told = self._metrics, origin, self._links, self._invitation
        alarms = Alarms(watched, carried, self._announcements.commit, *told, treat=self._overrides.of)
        self._overrides.changed = alarms.heed
        alarms.heed()  # what muted one may have ended while nobody looked
        return alarms

    def _links(self, raised: Raised) -> Mapping[str, str] | None:
        return None if self._archive is None else self._archive.links(raised)

    def _invitation(self, alarm_id: str) -> Mapping[str, str] | None:
        return None if self._invitations is None else self._invitations.offer(alarm_id)

    @property
    def _address(self) -> str:
        """Where the endpoint is, for who is on this machine."""
        host = self._config.http.host
        return f"{self._endpoint.scheme}://{f'[{host}]' if ':' in host else host}:{self._endpoint.port}"

    def _open_archive(self) -> None:
        state, settings = Path(self._config.state_dir), assembly.keeping(self._config, self._address)
        try:
            key = evidence_key(state)
            if self._invitations is None:
                self._invitations = Invitations(key, settings.base_url, settings.limits.seconds)
                self._hear_answers()
            shelf = Shelf(state)
        except EvidenceError as error:  # a full disk, say: alarms come first
            if not self._archive_due:
                log.error("nothing is kept of alarms until the disk lets it be", why=str(error))
            self._archive_due = time.monotonic() + _ARCHIVE_AGAIN
            return
        announcements = self._announcements
        told = announcements.failed, self._metrics, self._fail, announcements.kept
        archive = Archive(shelf, key, settings, self._ask, *told)
        self._lifecycle.start("archive", archive)
        self._endpoint.show(archive, Reads(self._outbox, archive.piece).seen)
        self._pulses.watch("archive", archive.pulse, _PULSE_LIMIT)
        self._archive = archive
        if self._archive_due:
            log.info("pictures and clips of alarms are kept from now on")

    def _hear_answers(self) -> None:
        """Take verdicts by link, as soon as there are both links and somebody who takes them."""
        if self._invitations is not None and self._verdicts is not None:
            self._endpoint.hear(self._invitations, self._verdicts)

    def _made(self, stream: str, made: Made) -> None:
        if self._archive is not None:
            self._archive.made(stream, made)

    def _ask(self, stream: str, task: Task, descriptors: Sequence[int]) -> bool:
        return self._supervisor.ask(stream, task, descriptors)

    def _judged(self, alarm: AlarmData, verdict: Verdict) -> None:
        """Hear of a verdict that was taken; from any thread. One on a test says nothing of the rule."""
        if alarm.test:
            return
        self._metrics.verdict_given(alarm.rule, verdict)
        if self._archive is not None and verdict is not Verdict.ACKNOWLEDGED:
            self._archive.judged(alarm.alarm_id)

    def _fail(self, why: str) -> None:
        self._failure = why

    def _look(self, now: float) -> None:
        self._look_at_clock(now)
        self._overrides.turn(Now(now, datetime.now(UTC)))
        if self._archive is None and now >= self._archive_due:
            self._open_archive()
        if self._unclear:
            self._unclear = False
            # Nobody knows now what was told of another camera's pictures, and what since: a restart clears that.
            self._clear_by(self._outbox.standing(), {})
        statuses, analysed = self._statuses(), self._lookout.analysed
        for kind, data in self._stream_vigil.turn(now, statuses):
            sentence = "the stream stays down" if kind is EventType.STREAM_DOWN else "the stream is back"
            log.warning(sentence, stream=data.stream, reason=data.reason, lasted=round(data.lasted or 0.0))
            self._say(kind, data)
        self._carried.turn(now, analysed)
        brought = bringing(now, statuses)
        brought -= self._degradations.without_results(brought)  # what fails is said already, and not too slow
        for judged in self._rate_vigil.turn(now, analysed, brought):
            self._metrics.rule_deaf(judged.stream, judged.rule, judged.deaf)
            self._tell_deaf(judged)  # every time: it may have been deaf before a restart
        self._degradations.results(now, analysed)
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
