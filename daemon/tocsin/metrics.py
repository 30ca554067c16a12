"""Every metric of the daemon, declared once, and the observers through which the packages report.

Names, labels and their closed sets of values are the contract with whoever writes alerts. A label is a name
from the configuration or a word of an enum, never a URL, an id or an error's text, so the number of series is
bounded by the configuration. Every combination that can occur is there from the start, at 0: the first alarm
of a stream is then an increase that `rate()` sees.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from tocsin import __version__
from tocsin.alarm.withheld import Withheld
from tocsin.capture.decoder import Decoder
from tocsin.capture.wire import DropReason
from tocsin.deliver.schedule import Outcome, Settlement
from tocsin.deliver.trouble import DropReason as OutboxLoss
from tocsin.deliver.trouble import Trouble
from tocsin.deliver.verdict import Verdict
from tocsin.errors import InferenceFault, SourceFault
from tocsin.evidence.shelf import Came, Kind, Removal
from tocsin.frame import Correction, Light
from tocsin.series import DeclaredCounter, DeclaredGauge, DeclaredHistogram


class Stage(StrEnum):
    """The steps of a frame's way whose time is measured."""

    DECODE = "decode"
    LIGHT = "light"
    INFER = "infer"
    POSTPROCESS = "postprocess"


class Reload(StrEnum):
    """What became of a configuration that was read again."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"


class HttpCode(StrEnum):
    """The endpoint's answers."""

    OK = "200"
    NONSENSE = "400"
    UNAUTHORIZED = "401"
    NOT_FOUND = "404"
    METHOD = "405"
    MISDIRECTED = "421"
    BUSY = "429"
    ERROR = "500"
    UNWELL = "503"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Names:
    """What the configuration calls things: the rules of each stream, the classes of each rule, the webhooks."""

    streams: Mapping[str, Sequence[str]]
    rules: Mapping[str, Sequence[str]]
    webhooks: Sequence[str]

    def pairs(self) -> Iterable[tuple[str, str]]:
        """Each stream with each of its rules."""
        return ((stream, rule) for stream, rules in self.streams.items() for rule in rules)

    def triples(self) -> Iterable[tuple[str, str, str]]:
        """Each stream with each of its rules and each class of that rule."""
        return ((stream, rule, word) for stream, rule in self.pairs() for word in self.rules[rule])


@dataclass(frozen=True, slots=True)
class Axis:
    """The labels of a metric, and all the values that they can have together."""

    labels: tuple[str, ...]
    values: Callable[[Names], Iterable[tuple[str, ...]]]

    def by(self, label: str, words: type[StrEnum]) -> "Axis":
        """Return this axis with one more label, which is a word of an enum."""
        return Axis(
            (*self.labels, label), lambda names: ((*v, word) for v in self.values(names) for word in words)
        )


DAEMON = Axis((), lambda _: [()])
STREAM = Axis(("stream",), lambda names: product(names.streams))
STREAM_RULE = Axis(("stream", "rule"), Names.pairs)
ABSENT = Axis(("stream",), lambda _: ())
STREAM_CLASS = Axis(("stream", "class"), lambda names: {(s, c): () for s, _, c in names.triples()})
ALARM = Axis(("stream", "rule", "class"), Names.triples)
RULE = Axis(("rule",), lambda names: {(rule,): () for _, rule in names.pairs()})
WEBHOOK = Axis(("webhook",), lambda names: product(names.webhooks))
VERSION = Axis(("version",), lambda _: [(__version__,)])
DETECTOR = Axis(("model", "device", "provider"), lambda _: ())

# Around the goals: light work 1 to 1.5 ms a frame, decoding 3 to 4 ms, the bundled detector 20 to 40 ms on a CPU.
STAGE_BUCKETS = (0.00025, 0.0005, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
# One series an edge and stream, so few: the goals, 1 ms into a 416 and 1.5 ms into a 640 input, and what tells a
# slower machine, a 4K camera and a core that is shared from each other.
LIGHT_BUCKETS = (0.0005, 0.001, 0.0015, 0.0025, 0.005, 0.01)
# The goals are edges: 250 ms while the detector keeps up, 1 s when it is overloaded.
AGE_BUCKETS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0)
# Five frames take 0.2 s at 25 and 0.4 s at 10 frames a second; `within` is 3 s unless the rule says otherwise.
DELAY_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
# The goal is a second.
EVIDENCE_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
# 50 ms to the commit and 200 ms to the first attempt; then the steps of the retries up to their end at 72 h.
DELIVERY_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 259200.0)
# 0.2 ms on a fast disk, 5 to 30 ms on a memory card; the goal is 50 ms, and seconds are a disk in trouble.
COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0)
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 16, 32, 64)

# fmt: off
GAUGES: tuple[tuple[str, Axis, str], ...] = (
    ("build_info", VERSION, "The running version; always 1."),
    ("detector_info", DETECTOR, "The model, and the device and provider it really runs on; always 1."),
    ("detector_accelerated_ratio", DAEMON, "Share of the model's nodes that run on the accelerator; 0 on a CPU."),
    ("detector_degraded", DAEMON, "1 while any reason of detector.degraded stands."),
    ("model_canary_ok", DAEMON, "1 while the detector sees in the reference picture what it should."),
    ("stream_up", STREAM, "1 while the stream brings clean pictures."),
    ("stream_decoder", STREAM.by("decoder", Decoder), "1 for what decodes the stream, or did when it was last up."),
    ("stream_last_frame_age_seconds", STREAM, "Time since a clean frame came, or since the start when none did."),
    ("stream_fps", STREAM, "Pictures that came a second, damaged ones too, over the last 10 s; 0 when down."),
    ("stream_clock_offset_seconds", ABSENT, "Camera's clock before ours; only of cameras that tell their time."),
    ("stream_impaired", STREAM, "1 while the stream's pictures are too dark, bright or flat to be seen reliably."),
    ("stream_frozen", STREAM, "1 while the stream's picture stands still, though frames come."),
    ("stream_covered", STREAM, "1 while the stream's camera is covered, blinded or out of focus."),
    ("light_luma", STREAM, "Mean luma of the last frame before correction: 0 is black, 255 is white."),
    ("light_contrast", STREAM, "Contrast of the last frame before correction, from 0 to 255."),
    ("light_infrared", STREAM, "1 while the picture is grey, as by infrared light."),
    ("rule_deaf", STREAM_RULE, "1 while too few frames are analysed for the rule's hits to fit into its time."),
    ("alarms_active", STREAM_RULE, "Alarms that are open; without silenced ones, and those of a walk test."),
    ("silenced", STREAM_RULE, "1 while alarms of the rule on the stream are silenced: kept, and told to nobody."),
    ("walk_test", STREAM, "1 while alarms of the stream are told as a test."),
    ("outbox_depth", WEBHOOK, "Deliveries that wait."),
    ("outbox_oldest_age_seconds", WEBHOOK, "Age of the oldest delivery that waits; 0 when none does."),
    ("webhook_paused", WEBHOOK, "1 while the webhook answered 410 and is tried hourly alone."),
    ("config_last_reload_successful", DAEMON, "0 when what was last read is not what runs."),
    ("config_last_reload_success_timestamp_seconds", DAEMON, "When a file was last taken over, in Unix time."),
    ("outbox_degraded", DAEMON, "1 while the outbox cannot be written, and events are sent from memory."),
    ("clock_synchronized", DAEMON, "1 while the machine says that a time server keeps its clock right."),
    ("disk_free_bytes", DAEMON, "Space that the daemon has left on the disk of its state."),
    ("http_open_connections", DAEMON, "Clients that are connected to the endpoint, however slow."),
)
COUNTERS: tuple[tuple[str, Axis, str], ...] = (
    ("stream_connects_total", STREAM, "Connections that were made."),
    ("stream_connect_failures_total", STREAM.by("reason", SourceFault), "Connections that could not be made."),
    ("stream_disconnects_total", STREAM.by("reason", SourceFault), "Connections that broke."),
    ("stream_stalls_total", STREAM, "Times in which a connected stream brought no frame for too long."),
    ("stream_worker_restarts_total", STREAM, "Capture workers that were replaced."),
    ("frames_received_total", STREAM, "Frames that arrived."),
    ("frames_analysed_total", STREAM, "Frames that went through the detector."),
    ("frames_dropped_total", STREAM.by("reason", DropReason), "Frames that were not analysed."),
    ("decode_errors_total", STREAM, "Packets that could not be decoded."),
    ("frames_quarantined_total", STREAM, "Frames that were damaged or may have been."),
    ("packets_lost_total", STREAM, "Packets of the network that never came, as far as FFmpeg tells."),
    ("stream_pts_jumps_total", STREAM, "Jumps of the camera's own timestamps, by which nothing is decided."),
    ("stream_resolution_changes_total", STREAM, "Times in which the camera changed the size of its pictures."),
    ("light_corrections_total", STREAM.by("correction", Correction), "Frames by the correction of their light."),
    ("detections_total", STREAM_CLASS, "Objects of the classes that the stream's rules name."),
    ("sightings_total", STREAM_RULE, "Analysed frames that hold a detection which qualifies for the rule."),
    ("alarms_total", ALARM, "Alarms that were raised; without silenced ones, and those of a walk test."),
    ("alarms_silenced_total", STREAM_RULE, "Alarms that were raised while silenced: kept, and told to nobody."),
    ("test_alarms_total", STREAM_RULE, "Alarms of walk tests that were told as such."),
    ("evidence_total", STREAM.by("kind", Kind).by("outcome", Came), "Pictures and clips of alarms."),
    ("evidence_removed_total", DAEMON.by("reason", Removal), "Pictures and clips that were removed again."),
    ("alarms_withheld_total", STREAM_RULE.by("reason", Withheld), "Alarms that were not raised, or not at once."),
    ("verdicts_total", RULE.by("verdict", Verdict), "Verdicts that people gave on alarms."),
    ("inference_errors_total", DAEMON.by("kind", InferenceFault), "Batches on which the detector failed."),
    ("detector_reopens_total", DAEMON, "Times in which the detector was opened anew on its device."),
    ("provider_fallbacks_total", DAEMON, "Times in which the accelerator was left for the CPU."),
    ("model_reload_failures_total", DAEMON, "New detectors that were refused or taken back."),
    ("config_reloads_total", DAEMON.by("result", Reload), "Times that the configuration was read again."),
    ("delivery_attempts_total", WEBHOOK.by("outcome", Outcome), "Requests that were made, by their outcome."),
    ("deliveries_total", WEBHOOK.by("outcome", Settlement), "Deliveries that came to an end, by how."),
    ("outbox_dropped_total", DAEMON.by("reason", OutboxLoss), "Events and deliveries that the outbox lost."),
    ("clock_jumps_total", DAEMON, "Times in which the machine's clock was set, or the machine slept."),
    ("outbox_errors_total", DAEMON.by("error", Trouble), "Refusals by the disk of the outbox."),
    ("http_requests_total", DAEMON.by("code", HttpCode), "Requests to the endpoint, by the answer's code."),
)
HISTOGRAMS: tuple[tuple[str, Axis, str, Sequence[float]], ...] = (
    ("frame_age_seconds", STREAM, "From the arrival of a frame to its result.", AGE_BUCKETS),
    ("stage_seconds", DAEMON.by("stage", Stage), "Time that one step takes for one frame or batch.", STAGE_BUCKETS),
    ("light_seconds", STREAM, "Time to shrink, measure and correct one frame.", LIGHT_BUCKETS),
    ("batch_size", DAEMON, "Views in one call of the model.", BATCH_BUCKETS),
    ("evidence_seconds", DAEMON, "From the raise of an alarm until its pictures can be had.", EVIDENCE_BUCKETS),
    ("alarm_delay_seconds", RULE, "From the first sighting to the alarm.", DELAY_BUCKETS),
    ("outbox_commit_seconds", DAEMON, "Time to put events on the disk.", COMMIT_BUCKETS),
    ("delivery_seconds", WEBHOOK, "From the alarm to its acceptance by the receiver.", DELIVERY_BUCKETS),
)
# fmt: on

_HTTP_CODES = frozenset(HttpCode)


class Metrics:
    """The metrics of one daemon, in one registry; the methods are the observers of the packages.

    May be called from any thread. A rule that no stream uses has no series. The process_* metrics are those of
    the daemon's main process, without its capture workers.
    """

    def __init__(
        self, registry: CollectorRegistry, names: Names, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # A `_created` series beside each counter would double their number, and promtool rejects its name.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no annotation there
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._gauges = {
            name: DeclaredGauge(f"tocsin_{name}", text, axis.labels, registry=registry)
            for name, axis, text in GAUGES
        }
        self._counters = {
            name: DeclaredCounter(f"tocsin_{name}", text, axis.labels, registry=registry)
            for name, axis, text in COUNTERS
        }
        self._histograms = {
            name: DeclaredHistogram(f"tocsin_{name}", text, axis.labels, registry=registry, buckets=buckets)
            for name, axis, text, buckets in HISTOGRAMS
        }
        self._clock = clock
        self._last_frame: dict[str, float] = {}
        self.adopt(names)
        self._gauges["build_info"].labels(__version__).set(1)

    def adopt(self, names: Names) -> None:
        """Go on with other names: series of those that are gone go, those of new ones begin at 0."""
        for family, axis in self._families():
            if axis.labels and axis not in (ABSENT, DETECTOR):
                family.declare(axis.values(names))
        self._named_classes = frozenset(STREAM_CLASS.values(names))
        now, known = self._clock(), self._last_frame
        self._last_frame = {stream: known.get(stream, now) for stream in names.streams}
        for stream in self._last_frame.keys() - known.keys():
            age = self._gauges["stream_last_frame_age_seconds"].labels(stream)
            age.set_function(partial(self._frame_age, stream))

    def _families(self) -> Iterator[tuple[DeclaredGauge | DeclaredCounter | DeclaredHistogram, Axis]]:
        yield from ((self._gauges[name], axis) for name, axis, _ in GAUGES)
        yield from ((self._counters[name], axis) for name, axis, _ in COUNTERS)
        yield from ((self._histograms[name], axis) for name, axis, *_ in HISTOGRAMS)

    def connected(self, stream: str) -> None:
        self._gauges["stream_up"].labels(stream).set(1)
        self._counters["stream_connects_total"].labels(stream).inc()

    def decodes(self, stream: str, decoder: Decoder) -> None:
        for one in Decoder:
            self._gauges["stream_decoder"].labels(stream, one).set(one is decoder)

    def connect_failed(self, stream: str, fault: SourceFault) -> None:
        self._counters["stream_connect_failures_total"].labels(stream, fault).inc()

    def disconnected(self, stream: str, fault: SourceFault) -> None:
        self._gauges["stream_up"].labels(stream).set(0)
        self._counters["stream_disconnects_total"].labels(stream, fault).inc()

    def stalled(self, stream: str) -> None:
        self._counters["stream_stalls_total"].labels(stream).inc()

    def worker_restarted(self, stream: str) -> None:
        self._counters["stream_worker_restarts_total"].labels(stream).inc()

    def received(self, stream: str, n: int) -> None:
        self._counters["frames_received_total"].labels(stream).inc(n)

    def dropped(self, stream: str, reason: DropReason, n: int) -> None:
        self._counters["frames_dropped_total"].labels(stream, reason).inc(n)

    def decode_errors(self, stream: str, n: int) -> None:
        self._counters["decode_errors_total"].labels(stream).inc(n)

    def quarantined(self, stream: str, n: int) -> None:
        self._counters["frames_quarantined_total"].labels(stream).inc(n)

    def packets_lost(self, stream: str, n: int) -> None:
        self._counters["packets_lost_total"].labels(stream).inc(n)

    def pts_jumped(self, stream: str, n: int) -> None:
        self._counters["stream_pts_jumps_total"].labels(stream).inc(n)

    def clock_offset(self, stream: str, seconds: float | None) -> None:
        """Say by how much the camera's clock is before ours; None: it is unknown, and the series goes."""
        gauge = self._gauges["stream_clock_offset_seconds"]
        if seconds is None:
            gauge.remove(stream)
        elif stream in self._last_frame:
            gauge.labels(stream).set(seconds)

    def resized(self, stream: str) -> None:
        self._counters["stream_resolution_changes_total"].labels(stream).inc()

    def fps(self, stream: str, rate: float) -> None:
        self._gauges["stream_fps"].labels(stream).set(rate)

    def lit(self, stream: str, light: Light, correction: Correction, seconds: float) -> None:
        """Take in a clean frame that had this light; to shrink, measure and correct it took so long."""
        if stream in self._last_frame:
            self._last_frame[stream] = self._clock()
        self._gauges["light_luma"].labels(stream).set(light.mean)
        self._gauges["light_contrast"].labels(stream).set(light.contrast)
        self._gauges["light_infrared"].labels(stream).set(light.infrared)
        self._counters["light_corrections_total"].labels(stream, correction).inc()
        self._histograms["light_seconds"].labels(stream).observe(seconds)

    def impaired(self, stream: str, impaired: bool) -> None:
        self._gauges["stream_impaired"].labels(stream).set(impaired)

    def frozen(self, stream: str, frozen: bool) -> None:
        self._gauges["stream_frozen"].labels(stream).set(frozen)

    def covered(self, stream: str, covered: bool) -> None:
        self._gauges["stream_covered"].labels(stream).set(covered)

    def stage(self, stage: str, seconds: float) -> None:
        self._histograms["stage_seconds"].labels(Stage(stage)).observe(seconds)

    def batch(self, views: int) -> None:
        self._histograms["batch_size"].observe(views)

    def analysed(self, stream: str, age_seconds: float) -> None:
        self._counters["frames_analysed_total"].labels(stream).inc()
        self._histograms["frame_age_seconds"].labels(stream).observe(age_seconds)

    def detected(self, stream: str, label: str, count: int) -> None:
        """Count the detections of a class; a class that no rule of the stream names is nobody's concern."""
        if (stream, label) in self._named_classes:
            self._counters["detections_total"].labels(stream, label).inc(count)

    def inference_failed(self, fault: InferenceFault) -> None:
        self._counters["inference_errors_total"].labels(fault).inc()

    def frame_failed(self, stream: str) -> None:
        self.dropped(stream, DropReason.FAILED, 1)

    def detector_reopened(self) -> None:
        self._counters["detector_reopens_total"].inc()

    def provider_fell_back(self) -> None:
        self._counters["provider_fallbacks_total"].inc()

    def model_reload_failed(self) -> None:
        self._counters["model_reload_failures_total"].inc()

    def model_canary(self, ok: bool) -> None:
        self._gauges["model_canary_ok"].set(ok)

    def detector_info(self, model: str, device: str, provider: str) -> None:
        """Say what the detector is now; what it was before is forgotten."""
        self._gauges["detector_info"].clear()
        self._gauges["detector_info"].labels(model, device, provider).set(1)

    def detector_accelerated(self, ratio: float) -> None:
        self._gauges["detector_accelerated_ratio"].set(ratio)

    def detector_degraded(self, degraded: bool) -> None:
        self._gauges["detector_degraded"].set(degraded)

    def reloaded(self, result: Reload, at: float) -> None:
        """Count a reload that came to its end at that Unix time."""
        self._counters["config_reloads_total"].labels(result).inc()
        if result in (Reload.REFUSED, Reload.ROLLED_BACK):
            self._gauges["config_last_reload_successful"].set(0)
        else:
            self.config_applied(at)

    def config_applied(self, at: float) -> None:
        """Say that the configuration that was last read runs, since `at` in Unix time."""
        self._gauges["config_last_reload_successful"].set(1)
        self._gauges["config_last_reload_success_timestamp_seconds"].set(at)

    def rule_deaf(self, stream: str, rule: str, deaf: bool) -> None:
        self._gauges["rule_deaf"].labels(stream, rule).set(deaf)

    def sighted(self, stream: str, rule: str) -> None:
        self._counters["sightings_total"].labels(stream, rule).inc()

    def alarm_raised(self, stream: str, rule: str, label: str, delay_seconds: float) -> None:
        """Count an alarm of the class `label`, raised so long after its first sighting."""
        self._counters["alarms_total"].labels(stream, rule, label).inc()
        self._histograms["alarm_delay_seconds"].labels(rule).observe(delay_seconds)

    def alarm_silenced(self, stream: str, rule: str) -> None:
        self._counters["alarms_silenced_total"].labels(stream, rule).inc()

    def alarm_tested(self, stream: str, rule: str) -> None:
        self._counters["test_alarms_total"].labels(stream, rule).inc()

    def silenced(self, stream: str, rule: str, is_silenced: bool) -> None:
        self._gauges["silenced"].labels(stream, rule).set(is_silenced)

    def walk_test(self, stream: str, is_open: bool) -> None:
        self._gauges["walk_test"].labels(stream).set(is_open)

    def alarms_active(self, stream: str, rule: str, n: int) -> None:
        self._gauges["alarms_active"].labels(stream, rule).set(n)

    def evidence_made(self, stream: str, kind: Kind, outcome: Came) -> None:
        self._counters["evidence_total"].labels(stream, kind, outcome).inc()

    def evidence_ready(self, seconds: float) -> None:
        self._histograms["evidence_seconds"].observe(seconds)

    def evidence_removed(self, reason: Removal, n: int) -> None:
        self._counters["evidence_removed_total"].labels(reason).inc(n)

    def alarm_withheld(self, stream: str, rule: str, reason: Withheld) -> None:
        self._counters["alarms_withheld_total"].labels(stream, rule, reason).inc()

    def verdict_given(self, rule: str, verdict: Verdict) -> None:
        self._counters["verdicts_total"].labels(rule, verdict).inc()

    def attempted(self, webhook: str, outcome: Outcome) -> None:
        self._counters["delivery_attempts_total"].labels(webhook, outcome).inc()

    def settled(self, webhook: str, settlement: Settlement) -> None:
        self._counters["deliveries_total"].labels(webhook, settlement).inc()

    def delivered_after(self, webhook: str, seconds: float) -> None:
        self._histograms["delivery_seconds"].labels(webhook).observe(seconds)

    def paused(self, webhook: str, is_paused: bool) -> None:
        self._gauges["webhook_paused"].labels(webhook).set(is_paused)

    def queued(self, webhook: str, depth: int, oldest_age: float) -> None:
        self._gauges["outbox_depth"].labels(webhook).set(depth)
        self._gauges["outbox_oldest_age_seconds"].labels(webhook).set(oldest_age)

    def outbox_dropped(self, reason: OutboxLoss, count: int) -> None:
        self._counters["outbox_dropped_total"].labels(reason).inc(count)

    def outbox_degraded(self, degraded: bool) -> None:
        self._gauges["outbox_degraded"].set(degraded)

    def outbox_failed(self, trouble: Trouble) -> None:
        self._counters["outbox_errors_total"].labels(trouble).inc()

    def committed_after(self, seconds: float) -> None:
        self._histograms["outbox_commit_seconds"].observe(seconds)

    def clock_synchronized(self, synchronized: bool) -> None:
        self._gauges["clock_synchronized"].set(synchronized)

    def clock_jumped(self) -> None:
        self._counters["clock_jumps_total"].inc()

    def http_connections(self, n: int) -> None:
        self._gauges["http_open_connections"].set(n)

    def http_answered(self, status: int) -> None:
        code = HttpCode(str(status)) if str(status) in _HTTP_CODES else HttpCode.OTHER
        self._counters["http_requests_total"].labels(code).inc()

    def disk_free(self, free: int) -> None:
        self._gauges["disk_free_bytes"].set(free)

    def _frame_age(self, stream: str) -> float:
        now = self._clock()
        return max(0.0, now - self._last_frame.get(stream, now))  # its series goes just after the stream
