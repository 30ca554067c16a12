"""The metrics: every series from the start, closed sets of labels, and observers that count."""

import inspect
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from support.pictures import light
from tocsin import __version__, alarms, answering, http, metrics, overrides
from tocsin.alarm.withheld import Withheld
from tocsin.capture import bulletin, wire
from tocsin.capture.decoder import Decoder
from tocsin.custody import archive
from tocsin.deliver import dispatch
from tocsin.deliver.schedule import Outcome, Settlement
from tocsin.deliver.trouble import DropReason, Trouble
from tocsin.deliver.trouble import Observer as OutboxObserver
from tocsin.deliver.verdict import Verdict
from tocsin.detect import engine
from tocsin.detect import keeper as detector_keeper
from tocsin.errors import InferenceFault, SourceFault
from tocsin.evidence.shelf import Came, Kind, Removal
from tocsin.eyesight import lights, scenes
from tocsin.frame import Correction
from tocsin.metrics import Metrics, Names, Reload, Stage
from tocsin.vigil import degradations, rounds

NAMES = Names(
    streams={"yard": ["armed", "anyone"], "gate": ["anyone"]},
    rules={"armed": ["knife", "person"], "anyone": ["person"], "unused": ["cat"]},
    webhooks=["desk", "phone"],
)
VEILED = light(mean=188.5, p1=160.0, p99=220.0)
INFRARED = light(mean=60.0, colour=0.0)
Series = tuple[str, tuple[tuple[str, str], ...]]


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def observed(registry: CollectorRegistry, clock: Clock) -> Metrics:
    return Metrics(registry, NAMES, clock)


def series(registry: CollectorRegistry) -> dict[Series, float]:
    """Every series of Tocsin's own, without the buckets of histograms."""
    return {
        (sample.name.removeprefix("tocsin_"), tuple(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name.startswith("tocsin_") and not sample.name.endswith(("_bucket", "_sum"))
    }


def labelled(registry: CollectorRegistry, name: str) -> set[tuple[str, ...]]:
    return {tuple(value for _, value in labels) for found, labels in series(registry) if found == name}


@pytest.mark.parametrize(
    ("name", "combinations"),
    [
        ("build_info", {(__version__,)}),
        ("detector_degraded", {()}),
        ("stream_up", {("yard",), ("gate",)}),
        ("stream_connect_failures_total", set(product(NAMES.streams, SourceFault))),
        ("stream_disconnects_total", set(product(NAMES.streams, SourceFault))),
        ("frames_dropped_total", set(product(NAMES.streams, wire.DropReason))),
        ("stream_impaired", {("yard",), ("gate",)}),
        ("stream_frozen", {("yard",), ("gate",)}),
        ("stream_covered", {("yard",), ("gate",)}),
        ("light_seconds_count", {("yard",), ("gate",)}),
        ("light_corrections_total", set(product(NAMES.streams, Correction))),
        ("stage_seconds_count", {(stage,) for stage in Stage}),
        ("detections_total", {("yard", "knife"), ("yard", "person"), ("gate", "person")}),
        ("rule_deaf", {("yard", "armed"), ("yard", "anyone"), ("gate", "anyone")}),
        ("sightings_total", {("yard", "armed"), ("yard", "anyone"), ("gate", "anyone")}),
        (
            "alarms_total",
            {
                ("yard", "armed", "knife"),
                ("yard", "armed", "person"),
                ("yard", "anyone", "person"),
                ("gate", "anyone", "person"),
            },
        ),
        (
            "alarms_withheld_total",
            {
                (*pair, reason)
                for pair in (("yard", "armed"), ("yard", "anyone"), ("gate", "anyone"))
                for reason in Withheld
            },
        ),
        ("alarm_delay_seconds_count", {("armed",), ("anyone",)}),
        ("verdicts_total", set(product(("armed", "anyone"), Verdict))),
        ("inference_errors_total", {(fault,) for fault in InferenceFault}),
        ("delivery_attempts_total", set(product(NAMES.webhooks, Outcome))),
        ("deliveries_total", set(product(NAMES.webhooks, Settlement))),
        ("outbox_depth", {("desk",), ("phone",)}),
        ("config_reloads_total", {(result,) for result in Reload}),
        ("outbox_errors_total", {(each,) for each in Trouble}),
        ("outbox_dropped_total", {(reason,) for reason in DropReason}),
    ],
)
def test_every_combination_is_there_from_the_start(
    observed: Metrics, registry: CollectorRegistry, name: str, combinations: set[tuple[str, ...]]
) -> None:
    """Before anything happened there is one series for each combination that can occur, and no other."""
    assert labelled(registry, name) == combinations


def test_every_series_starts_at_zero(observed: Metrics, registry: CollectorRegistry) -> None:
    """Nothing but the version has a value before anything happened."""
    assert {key[0] for key, value in series(registry).items() if value != 0} == {"build_info"}


# The call on the observer; the series that it changes; the value it has then.
CALLS: list[tuple[str, tuple[Any, ...], str, tuple[str, ...], float]] = [
    ("connected", ("yard",), "stream_connects_total", ("yard",), 1),
    ("connected", ("yard",), "stream_up", ("yard",), 1),
    ("decodes", ("yard", Decoder.CUDA), "stream_decoder", ("yard", "cuda"), 1),
    ("connect_failed", ("yard", SourceFault.AUTH), "stream_connect_failures_total", ("yard", "auth"), 1),
    ("disconnected", ("yard", SourceFault.EOF), "stream_disconnects_total", ("yard", "eof"), 1),
    ("stalled", ("yard",), "stream_stalls_total", ("yard",), 1),
    ("worker_restarted", ("yard",), "stream_worker_restarts_total", ("yard",), 1),
    ("received", ("yard", 25), "frames_received_total", ("yard",), 25),
    ("dropped", ("yard", wire.DropReason.BUSY, 3), "frames_dropped_total", ("yard", "busy"), 3),
    ("decode_errors", ("yard", 2), "decode_errors_total", ("yard",), 2),
    ("packets_lost", ("yard", 7), "packets_lost_total", ("yard",), 7),
    ("pts_jumped", ("yard", 1), "stream_pts_jumps_total", ("yard",), 1),
    ("resized", ("yard",), "stream_resolution_changes_total", ("yard",), 1),
    ("fps", ("yard", 12.5), "stream_fps", ("yard",), 12.5),
    ("clock_offset", ("yard", -3.5), "stream_clock_offset_seconds", ("yard",), -3.5),
    ("quarantined", ("yard", 4), "frames_quarantined_total", ("yard",), 4),
    ("lit", ("yard", VEILED, Correction.STRETCH, 0.001), "light_luma", ("yard",), 188.5),
    ("lit", ("yard", VEILED, Correction.STRETCH, 0.001), "light_contrast", ("yard",), 60.0),
    ("lit", ("yard", INFRARED, Correction.STRETCH, 0.001), "light_infrared", ("yard",), 1),
    ("lit", ("yard", VEILED, Correction.STRETCH, 0.001), "light_infrared", ("yard",), 0),
    ("lit", ("yard", VEILED, Correction.STRETCH, 0.001), "light_corrections_total", ("yard", "stretch"), 1),
    ("lit", ("yard", VEILED, Correction.STRETCH, 0.001), "light_seconds_count", ("yard",), 1),
    ("impaired", ("yard", True), "stream_impaired", ("yard",), 1),
    ("frozen", ("yard", True), "stream_frozen", ("yard",), 1),
    ("frozen", ("yard", False), "stream_frozen", ("yard",), 0),
    ("covered", ("yard", True), "stream_covered", ("yard",), 1),
    ("covered", ("yard", False), "stream_covered", ("yard",), 0),
    ("stage", ("infer", 0.02), "stage_seconds_count", ("infer",), 1),
    ("batch", (4,), "batch_size_count", (), 1),
    ("analysed", ("yard", 0.1), "frames_analysed_total", ("yard",), 1),
    ("analysed", ("yard", 0.1), "frame_age_seconds_count", ("yard",), 1),
    ("detected", ("yard", "knife", 2), "detections_total", ("yard", "knife"), 2),
    ("inference_failed", (InferenceFault.SHAPE,), "inference_errors_total", ("shape",), 1),
    (
        "detector_info",
        ("m", "cpu", "CPUExecutionProvider"),
        "detector_info",
        ("m", "cpu", "CPUExecutionProvider"),
        1,
    ),
    ("detector_accelerated", (0.75,), "detector_accelerated_ratio", (), 0.75),
    ("detector_degraded", (True,), "detector_degraded", (), 1),
    ("frame_failed", ("yard",), "frames_dropped_total", ("yard", "failed"), 1),
    ("model_canary", (True,), "model_canary_ok", (), 1),
    ("detector_reopened", (), "detector_reopens_total", (), 1),
    ("provider_fell_back", (), "provider_fallbacks_total", (), 1),
    ("model_reload_failed", (), "model_reload_failures_total", (), 1),
    ("config_applied", (12.5,), "config_last_reload_successful", (), 1),
    ("reloaded", (Reload.REFUSED, 13.5), "config_reloads_total", ("refused",), 1),
    ("reloaded", (Reload.APPLIED, 13.5), "config_last_reload_success_timestamp_seconds", (), 13.5),
    ("rule_deaf", ("yard", "armed", True), "rule_deaf", ("yard", "armed"), 1),
    ("sighted", ("yard", "armed"), "sightings_total", ("yard", "armed"), 1),
    ("alarm_raised", ("yard", "armed", "knife", 0.4), "alarms_total", ("yard", "armed", "knife"), 1),
    ("alarm_raised", ("yard", "armed", "knife", 0.4), "alarm_delay_seconds_count", ("armed",), 1),
    ("alarms_active", ("yard", "armed", 1), "alarms_active", ("yard", "armed"), 1),
    ("alarm_silenced", ("gate", "anyone"), "alarms_silenced_total", ("gate", "anyone"), 1),
    ("alarm_tested", ("gate", "anyone"), "test_alarms_total", ("gate", "anyone"), 1),
    ("silenced", ("gate", "anyone", True), "silenced", ("gate", "anyone"), 1),
    ("walk_test", ("gate", True), "walk_test", ("gate",), 1),
    ("evidence_made", ("yard", Kind.CROP, Came.KEPT), "evidence_total", ("yard", "crop", "kept"), 1),
    ("evidence_ready", (0.2,), "evidence_seconds_count", (), 1),
    ("evidence_removed", (Removal.AGE, 3), "evidence_removed_total", ("age",), 3),
    (
        "alarm_withheld",
        ("yard", "armed", Withheld.LIGHT),
        "alarms_withheld_total",
        ("yard", "armed", "light"),
        1,
    ),
    ("verdict_given", ("armed", Verdict.REJECTED), "verdicts_total", ("armed", "rejected"), 1),
    ("attempted", ("desk", Outcome.REFUSED), "delivery_attempts_total", ("desk", "refused"), 1),
    ("settled", ("desk", Settlement.DEAD), "deliveries_total", ("desk", "dead"), 1),
    ("delivered_after", ("desk", 0.2), "delivery_seconds_count", ("desk",), 1),
    ("queued", ("desk", 7, 12.5), "outbox_depth", ("desk",), 7),
    ("queued", ("desk", 7, 12.5), "outbox_oldest_age_seconds", ("desk",), 12.5),
    ("paused", ("desk", True), "webhook_paused", ("desk",), 1),
    ("outbox_dropped", (DropReason.OVERFLOW, 2), "outbox_dropped_total", ("overflow",), 2),
    ("outbox_degraded", (True,), "outbox_degraded", (), 1),
    ("outbox_failed", (Trouble.FULL,), "outbox_errors_total", ("full",), 1),
    ("committed_after", (0.004,), "outbox_commit_seconds_count", (), 1),
    ("clock_synchronized", (True,), "clock_synchronized", (), 1),
    ("clock_jumped", (), "clock_jumps_total", (), 1),
    ("disk_free", (4096,), "disk_free_bytes", (), 4096),
    ("http_connections", (3,), "http_open_connections", (), 3),
    ("http_answered", (421,), "http_requests_total", ("421",), 1),
    ("http_answered", (418,), "http_requests_total", ("other",), 1),
]


@pytest.mark.parametrize(("call", "arguments", "name", "labels", "value"), CALLS)
def test_each_observer_reaches_its_series(
    observed: Metrics,
    registry: CollectorRegistry,
    call: str,
    arguments: tuple[Any, ...],
    name: str,
    labels: tuple[str, ...],
    value: float,
) -> None:
    """A call changes the series that its arguments name."""
    getattr(observed, call)(*arguments)
    found = {(n, tuple(v for _, v in pairs)): number for (n, pairs), number in series(registry).items()}
    assert found[name, labels] == value


def test_every_declared_metric_is_fed(observed: Metrics) -> None:
    """No metric is declared that nothing can change, but for the version and the age that time changes."""
    declared = {name for name, *_ in (*metrics.GAUGES, *metrics.COUNTERS)}
    declared |= {f"{name}_count" for name, *_ in metrics.HISTOGRAMS}
    assert declared - {name for _, _, name, _, _ in CALLS} == {"build_info", "stream_last_frame_age_seconds"}


def test_observing_opens_no_series(observed: Metrics, registry: CollectorRegistry) -> None:
    """Whatever happens, the series are those of the start, the detector's name, and the clocks that are known."""
    before = set(series(registry))
    for call, arguments, *_ in CALLS:
        getattr(observed, call)(*arguments)
    observed.detected("yard", "teddy bear", 1)
    observed.detected("gate", "knife", 1)  # named by a rule, but by none of this stream
    assert {name for name, _ in set(series(registry)) - before} == {
        "detector_info",
        "stream_clock_offset_seconds",
    }


def test_a_clock_that_is_not_known_has_no_series(observed: Metrics, registry: CollectorRegistry) -> None:
    """0 would be a clock that goes right."""
    observed.clock_offset("yard", None)
    assert labelled(registry, "stream_clock_offset_seconds") == set()
    observed.clock_offset("yard", 0.25)
    assert labelled(registry, "stream_clock_offset_seconds") == {("yard",)}
    observed.clock_offset("yard", None)
    assert labelled(registry, "stream_clock_offset_seconds") == set()


def test_a_broken_stream_is_down(observed: Metrics, registry: CollectorRegistry) -> None:
    """`stream_up` falls with the connection."""
    observed.connected("yard")
    observed.disconnected("yard", SourceFault.RESET)
    assert series(registry)["stream_up", (("stream", "yard"),)] == 0


def test_the_age_of_the_last_frame_grows_between_scrapes(
    observed: Metrics, registry: CollectorRegistry, clock: Clock
) -> None:
    """The age is taken when it is read; it counts from the last clean frame, or from the start."""

    def age() -> float:
        return series(registry)["stream_last_frame_age_seconds", (("stream", "yard"),)]

    steps: list[tuple[Callable[[], None], float]] = [
        (lambda: None, 5.0),
        (lambda: observed.lit("yard", VEILED, Correction.NONE, 0.001), 0.0),
        (lambda: observed.received("yard", 1), 5.0),  # it may be damaged
        (lambda: observed.lit("gate", VEILED, Correction.NONE, 0.001), 10.0),
    ]
    for step, expected in steps:
        clock.now += 5.0
        step()
        assert age() == expected


def test_the_detector_of_before_is_forgotten(observed: Metrics, registry: CollectorRegistry) -> None:
    """After a fall-back only the provider that is used now has a series."""
    observed.detector_info("m", "cuda", "CUDAExecutionProvider")
    observed.detector_info("m", "cpu", "CPUExecutionProvider")
    assert labelled(registry, "detector_info") == {("m", "cpu", "CPUExecutionProvider")}


def test_a_stream_that_is_seen_again_is_not_impaired(observed: Metrics, registry: CollectorRegistry) -> None:
    """`stream_impaired` falls when it is over."""
    observed.impaired("yard", True)
    observed.impaired("yard", False)
    assert series(registry)["stream_impaired", (("stream", "yard"),)] == 0


def test_an_unknown_stage_is_refused(observed: Metrics) -> None:
    """A stage that is not one of the closed set raises instead of opening a series."""
    with pytest.raises(ValueError, match="dreaming"):
        observed.stage("dreaming", 1.0)


def test_the_process_reports_itself(observed: Metrics, registry: CollectorRegistry) -> None:
    """The client's own process_* and python_* metrics are in the same registry, and no `_created` series is."""
    names = {sample.name for family in registry.collect() for sample in family.samples}
    assert {"process_resident_memory_bytes", "process_open_fds", "python_info"} <= names
    assert not [name for name in names if name.endswith("_created")]


@pytest.mark.parametrize(
    "protocol",
    [
        alarms.Observer,
        overrides.Observer,
        degradations.Observer,
        rounds.Observer,
        answering.Observer,
        archive.Observer,
        lights.Observer,
        scenes.Observer,
        bulletin.Observer,
        detector_keeper.Observer,
        engine.Observer,
        dispatch.Observer,
        http.Observer,
        OutboxObserver,
    ],
)
def test_the_observers_of_the_packages_are_met(protocol: type) -> None:
    """Every call that a package makes on its observer is there with the same parameters."""
    calls = {
        name: call for name, call in vars(protocol).items() if inspect.isfunction(call) and name[0] != "_"
    }
    assert calls
    for name, call in calls.items():
        assert list(inspect.signature(getattr(Metrics, name)).parameters) == list(
            inspect.signature(call).parameters
        )


@pytest.mark.parametrize("result", Reload)
def test_a_reload_that_failed_shows_until_one_succeeds(
    observed: Metrics, registry: CollectorRegistry, result: Reload
) -> None:
    """What runs keeps the time at which it was read."""
    observed.config_applied(1.0)
    observed.reloaded(result, 2.0)
    good = result in (Reload.APPLIED, Reload.UNCHANGED)
    assert series(registry)["config_last_reload_successful", ()] == good
    assert series(registry)["config_last_reload_success_timestamp_seconds", ()] == (2.0 if good else 1.0)


def test_other_names_take_their_series_with_them(
    observed: Metrics, registry: CollectorRegistry, clock: Clock
) -> None:
    """Series of what is gone go, those of what is new begin at 0, and all others count on."""
    for stream in NAMES.streams:
        observed.received(stream, 5)
        observed.clock_offset(stream, 1.0)
    clock.now += 7
    observed.adopt(Names({"gate": ["armed"], "barn": ["anyone"]}, NAMES.rules, ["desk"]))
    now = series(registry)
    assert now["frames_received_total", (("stream", "gate"),)] == 5
    assert now["frames_received_total", (("stream", "barn"),)] == 0
    assert now["stream_last_frame_age_seconds", (("stream", "gate"),)] == 7
    assert now["stream_last_frame_age_seconds", (("stream", "barn"),)] == 0
    assert labelled(registry, "alarms_active") == {("gate", "armed"), ("barn", "anyone")}
    assert labelled(registry, "outbox_depth") == {("desk",)}
    observed.clock_offset("yard", None)  # as a stream that is stopped does
    assert not [labels for _, labels in series(registry) if ("stream", "yard") in labels]


def test_what_is_told_of_a_stream_that_is_gone_is_told_to_nobody(
    observed: Metrics, registry: CollectorRegistry
) -> None:
    """Last words and a frame on its way do not bring a series back; a stream that returns starts at 0."""
    observed.received("yard", 5)
    left = Names({"gate": ["anyone"]}, NAMES.rules, ["desk"])
    observed.adopt(left)
    before = series(registry)
    observed.connected("yard")
    observed.received("yard", 1)
    observed.analysed("yard", 0.1)
    observed.detected("yard", "person", 1)
    observed.clock_offset("yard", 1.0)
    observed.lit("yard", VEILED, Correction.NONE, 0.001)
    observed.alarm_raised("yard", "anyone", "person", 1.0)
    observed.queued("phone", 1, 1.0)
    now = series(registry)
    assert now.keys() == before.keys()
    observed.adopt(NAMES)
    assert series(registry)["frames_received_total", (("stream", "yard"),)] == 0
