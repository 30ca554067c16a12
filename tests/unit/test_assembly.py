"""What the parts are made of is what the configuration says."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.events import ALARM, judged
from support.footage import seen
from tocsin.alarm.episode import Decision
from tocsin.alarm.memory import NOTHING
from tocsin.alarm.moment import Moment
from tocsin.assembly import reel, score_floor, watched, webhooks
from tocsin.clock import monotonic_time
from tocsin.config.load import Config, Secrets, loads, warnings
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.attach import Attach, Way
from tocsin.deliver.recall import Recall
from tocsin.deliver.verdict import Verdict

SOUND = (Path(__file__).parents[1] / "data" / "config" / "sound.yaml").read_text()


def read(text: str) -> Config:
    return loads(text.encode(), name="f", folder=Path("/etc/tocsin"))


def test_the_detector_keeps_what_any_rule_needs() -> None:
    """It forgets what scores less than every rule asks for, to raise an alarm or to keep one."""
    assert score_floor(read(SOUND)) == 0.5
    assert score_floor(read(SOUND.replace("zones: [door]", "keep_score: 0.25"))) == 0.25


@pytest.mark.parametrize(
    ("evidence", "kept"),
    [
        ("{}", True),
        ("{pictures: false}", False),
        ("{clip: false}", True),
        ("{pictures: false, clip: false}", None),
    ],
)
def test_a_worker_keeps_what_its_stream_wants_of_alarms(evidence: str, kept: bool | None) -> None:
    """Pictures as they were decoded only where pictures are made; nothing where nothing is."""
    (stream,) = read(f"streams: [{{name: yard, source: /dev/video0, evidence: {evidence}}}]").streams
    order = reel(stream)
    assert (None if order is None else order.pictures) is kept


def test_a_review_knows_the_rules_that_are_graver() -> None:
    """Those of the same stream that raise alarms of one of its classes; and it is judged after them."""
    text = SOUND.replace("rules: [intruder]", "rules: [maybe, intruder, hound]").replace(
        "rules:\n  - name: intruder\n",
        "rules:\n"
        "  - {name: maybe, classes: [person], min_score: 0.3, tier: review, severity: info}\n"
        "  - {name: hound, classes: [dog]}\n"
        "  - name: intruder\n",
    )
    watches, _ = watched(read(text), ("person", "dog"), [])
    found = [(one.rule, one.tier.value, one.severity, one.graver) for one in watches["yard"]]
    assert found == [
        ("intruder", "alarm", "critical", ()),
        ("hound", "alarm", "critical", ()),
        ("maybe", "review", "info", ("intruder",)),
    ]


def test_of_two_open_alarms_of_a_rule_the_later_goes_on() -> None:
    """The end of the first was lost, say in a backlog: it is told now, and not never."""
    now = datetime.now(UTC)
    first, second = (
        AlarmRecord(replace(ALARM, alarm_id=name, stream="yard", rule="intruder"), now, now) for name in "ab"
    )
    watches, orphans = watched(read(SOUND), ("person",), [first, second])
    assert orphans == [first]
    assert watches["yard"][0].watch.active


@pytest.mark.parametrize("verdict", [None, Verdict.REJECTED])
def test_a_verdict_outlives_a_restart(verdict: Verdict | None) -> None:
    """A latched alarm that was open before it may end where somebody has given one."""
    config = read(SOUND.replace("zones: [door]", "latch: true\n    end_after: 0"))
    now = datetime.now(UTC)
    known = AlarmRecord(
        replace(ALARM, stream="yard", rule="intruder", judged=None if verdict is None else judged(verdict)),
        now,
        now,
    )
    watches, orphans = watched(config, ("person",), [known])
    assert orphans == []
    finding = watches["yard"][0].watch.update(Moment(1.0, 0.1, 0.1), seen())
    assert finding.decision is (Decision.HELD if verdict is None else Decision.ENDED)


def test_a_watch_remembers_what_was_kept() -> None:
    """Each rule on each stream its own: a cooldown goes on, and what stood still does not count."""
    config = read(SOUND.replace("zones: [door]", "cooldown: 1h\n    stationary: {}"))
    now = datetime.now(UTC)
    kept = Recall("yard", "intruder", now, now, (((0.0, 0.0, 0.5, 0.5), now),))
    watches, _ = watched(config, ("person",), [], [kept, replace(kept, stream="gate", ended=None)])
    memory = watches["yard"][0].watch.memory
    assert [spot.box for spot in memory.spots] == [(0.0, 0.0, 0.5, 0.5)]
    assert abs(memory.ended - monotonic_time(now)) < 1.0
    watches, _ = watched(config, ("person",), [], [replace(kept, rule="other")])
    assert watches["yard"][0].watch.memory == NOTHING


@pytest.mark.parametrize(
    ("asked", "patterns", "severities"),
    [
        ("", ("alarm.*", "stream.down"), ("critical", "warning", "info")),
        (
            "    severities: [info, warning]\n",
            ("alarm.*/info", "alarm.*/warning", "stream.down"),
            ("info", "warning"),
        ),
        (
            "    severities: [info]\n    events: [alarm.raised, evidence.made]\n",
            ("alarm.raised/info", "evidence.made/info"),
            ("info",),
        ),
    ],
)
def test_a_webhook_gets_alarms_of_its_severities(
    asked: str, patterns: tuple[str, ...], severities: tuple[str, ...]
) -> None:
    """By its queue, and by what keeps an Alertmanager up to date; what is no alarm is not concerned."""
    signed = "    secret: {env: ROOM}\n"
    events = "" if "events" in asked else "    events: [alarm.*, stream.down]\n"
    config = read(SOUND.replace(signed, f"{signed}{events}{asked}"))
    assert config.webhooks[0].patterns == patterns
    (receiver,) = webhooks(config, Secrets({}, {}, {}))
    assert receiver.severities == severities


@pytest.mark.parametrize(
    ("asked", "attach"),
    [
        ("", None),
        ("attach: base64", Attach(Way.BASE64, 1_000_000)),
        ("attach: multipart\n    attach_bytes: 60000", Attach(Way.MULTIPART, 60_000)),
        (
            "attach: multipart\n    format: template\n    template: {a: '{crop}', b: '{picture}', c: '{clip}.'}",
            Attach(Way.MULTIPART, 1_000_000, ("crop", "frame")),
        ),
    ],
)
def test_a_webhook_gets_the_pictures_that_it_asks_for(asked: str, attach: Attach | None) -> None:
    """As it asks for them, as many bytes, and of a template those that are a field by themselves."""
    signed = "    secret: {env: ROOM}\n"
    (receiver,) = webhooks(read(SOUND.replace(signed, f"{signed}    {asked}\n")), Secrets({}, {}, {}))
    assert receiver.attach == attach


@pytest.mark.parametrize(
    ("events", "kept", "said"),
    [
        ("alarm.*, evidence.*", "true", None),
        (
            "alarm.*",
            "true",
            "its events do not hold evidence.made, which brings the pictures, so it gets none",
        ),
        ("evidence.made", "false", "no stream keeps pictures, so there is nothing to attach"),
    ],
)
def test_pictures_that_never_come_are_a_warning(events: str, kept: str, said: str | None) -> None:
    """What is asked for and cannot come is told by the check."""
    signed, stream = "    secret: {env: ROOM}\n", "    max_fps: 5\n"
    text = SOUND.replace(signed, f"{signed}    attach: base64\n    events: [{events}]\n")
    found = warnings(read(text.replace(stream, f"{stream}    evidence: {{pictures: {kept}}}\n")))
    assert found == ([] if said is None else [f"f:19: webhooks[0].attach: {said}"])
