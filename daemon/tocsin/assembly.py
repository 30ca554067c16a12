"""What the parts are made of, out of the configuration; nothing is started here."""

from collections.abc import Sequence

from tocsin.alarm.episode import Resumed
from tocsin.alarm.watch import Rule, Watch, rule_from
from tocsin.alarm.zone import Zones
from tocsin.alarms import Watched, monotonic_time
from tocsin.capture.order import Order, SourceOrder, ViewOrder
from tocsin.config.load import Config, Secrets, StreamSettings, messages
from tocsin.deliver.event import OpenAlarm
from tocsin.detect.detector import Detector
from tocsin.detect.model import check_classes
from tocsin.light.plan import Mode, Policy
from tocsin.metrics import Names
from tocsin.yamlfile import Fault

NOBODY_ASKS = 1.0
"""The score below which the detector may forget everything when no rule asks for anything."""


def names(config: Config) -> Names:
    """Return the words that become metric labels."""
    return Names(
        streams={stream.name: stream.rules for stream in config.streams},
        rules={rule.name: rule.classes for rule in config.rules},
        webhooks=[webhook.name for webhook in config.webhooks],
    )


def score_floor(config: Config) -> float:
    """Return the lowest score that any rule asks for."""
    return min((rule.min_score for rule in config.rules), default=NOBODY_ASKS)


def rules_by_stream(config: Config) -> dict[str, list[Rule]]:
    """Return the rules that watch each stream."""
    rules = {rule.name: rule_from(rule) for rule in config.rules}
    return {stream.name: [rules[name] for name in stream.rules] for stream in config.streams}


def unknown_classes(config: Config, labels: Sequence[str]) -> list[str]:
    """Return a sentence for each class of a rule that the model does not have."""
    faults = [
        Fault(("rules", number, "classes", rule.classes.index(unknown.name)), str(unknown))
        for number, rule in enumerate(config.rules)
        for unknown in check_classes(labels, rule.classes)
    ]
    return messages(config, faults)


def order(stream: StreamSettings, secrets: Secrets, detector: Detector) -> Order:
    """Return what the stream's capture worker is told."""
    source = SourceOrder(
        location=stream.source.removeprefix("file:"),
        username=stream.username,
        password=secrets.passwords.get(stream.name),
        transport=stream.transport,
        tls_verify=stream.tls_verify,
        ca_file=stream.ca_file,
        realtime=stream.realtime,
        loop=stream.loop,
    )
    view = ViewOrder(detector.input_width, detector.input_height, detector.keep_aspect)
    return Order(stream.name, source, (view,), policy(stream), stream.max_fps)


def policy(stream: StreamSettings) -> Policy:
    """Return how the stream's light is treated."""
    return Policy(mode=Mode(stream.light.mode), brighter_than=stream.light.brighter_than)


def watched(
    config: Config, labels: tuple[str, ...], resumed: Sequence[OpenAlarm]
) -> tuple[dict[str, list[Watched]], list[OpenAlarm]]:
    """Return the watches of each stream, and the open alarms that none of them carries on."""
    orphans = {(alarm.alarm.stream, alarm.alarm.rule): alarm for alarm in resumed}
    severities = {rule.name: rule.severity for rule in config.rules}
    rules = rules_by_stream(config)
    watches: dict[str, list[Watched]] = {}
    for stream in config.streams:
        zones = Zones({zone.name: zone.polygon for zone in stream.zones})
        watches[stream.name] = [
            Watched(
                Watch(
                    stream.name, rule, zones, labels, _resumed(orphans.pop((stream.name, rule.name), None))
                ),
                rule.name,
                severities[rule.name],
            )
            for rule in rules[stream.name]
        ]
    return watches, list(orphans.values())


def _resumed(known: OpenAlarm | None) -> Resumed | None:
    if known is None:
        return None
    return Resumed(monotonic_time(known.alarm.first_seen), monotonic_time(known.reported))
