"""What `tocsin status` shows of streams."""

import json
import re
import time
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from support.events import ALARM, NOON
from tocsin.alarm.withheld import Withheld
from tocsin.capture.decoder import Decoder
from tocsin.capture.status import StreamState, StreamStatus
from tocsin.commands import status
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.override import Override, OverrideKind
from tocsin.detect.session import Placement
from tocsin.errors import Degradation, SourceFault
from tocsin.eyesight.impairment import Impairment
from tocsin.eyesight.lights import LightStatus
from tocsin.frame import Correction
from tocsin.overrides import InForce, Now
from tocsin.report import Report
from tocsin.vigil.degradations import Standing

DETECTOR: Any = SimpleNamespace(
    model_name="persons",
    device="cuda",
    provider="CUDA",
    placement=Placement("CUDA", "cuda", None, nodes=108, accelerated=106),
)
DEGRADED = (
    Standing(Degradation.LOST, "CUDA was left for the CPU", None, None),
    Standing(Degradation.TOO_SLOW, "too few frames", "entrance", "intruder"),
)


def report(impaired: Impairment | None, message: str = "", scene: str | None = None) -> Report:
    status = StreamStatus("entrance", StreamState.LIVE, 0.0, None, message, 1.0)
    light = LightStatus(2.0, 4.0, Correction.NONE, impaired)
    lights, scenes = {"entrance": light}, {"entrance": scene} if scene else {}
    return Report(True, (status,), {"entrance": 7}, lights, scenes, DETECTOR, DEGRADED, (), (), 9100)


def test_an_impaired_stream_fits_on_a_terminal() -> None:
    """Its why is the word, and the table no wider than 90 columns."""
    out = StringIO()
    status.show(Console(file=out, width=160, highlight=False), report(Impairment.TOO_DARK).as_json())
    shown = out.getvalue()
    assert "too_dark" in shown
    assert max(map(len, shown.splitlines())) <= 90


def test_what_a_stream_sends_and_when_a_dead_one_is_tried_again_is_shown() -> None:
    """Codec, size, transport and decoder, which a program finds each by itself; the reason and the seconds left."""
    live = StreamStatus(
        "gate", StreamState.LIVE, 0.0, codec="h264", transport="tcp", size=(1920, 1080), decoder=Decoder.CPU
    )
    dead = StreamStatus(
        "yard", StreamState.WAITING, 0.0, SourceFault.REFUSED, "nothing listens", retry_at=1e9
    )
    answer = replace(report(None), streams=(live, dead)).as_json()
    there, gone = answer["streams"]
    assert there["retry_in_seconds"] is None
    assert 0 < gone["retry_in_seconds"] < 1e9
    gone["retry_in_seconds"] = 17.5
    out = StringIO()
    status.show(Console(file=out, width=160, highlight=False), answer)
    assert "h264 1920x1080 tcp cpu" in out.getvalue()
    assert "refused: nothing listens; next try in 18 s" in out.getvalue()


def test_the_status_holds_no_link() -> None:
    """Whoever has one sees an alarm's pictures and answers it; a status goes into tickets and logs."""
    links = {"url": "https://box/evidence/1?expires=2&signature=s3cret"}
    known = AlarmRecord(replace(ALARM, picture=links, respond=links), NOON, NOON)
    told = replace(report(None), alarms=(known,)).as_json()
    assert told["alarms"][0]["alarm_id"] == "alarm_1"
    assert "s3cret" not in json.dumps(told)


def test_an_alarm_is_shown_by_the_clock_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `outbox list` has it; a program gets it in UTC."""
    monkeypatch.setenv("TZ", "Europe/Madrid")
    time.tzset()
    words = ("stream", "rule", "severity", "class", "score", "zone", "verdict", "alarm_id")
    alarm = dict.fromkeys(words, "x") | {
        "score": None,
        "opened": "2026-07-01T22:30:00.000Z",
    }
    queue = {"webhook": "w", "configured": False, "queued": 1, "dead": 0, "oldest_age_seconds": 1.0}
    out = StringIO()
    try:
        answer = report(None).as_json() | {"alarms": [alarm], "queues": [queue]}
        status.show(Console(file=out, width=160, highlight=False), answer)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "2026-07-02 00:30:00" in out.getvalue()
    assert re.search(r"^w +no ", out.getvalue(), re.MULTILINE)


@pytest.mark.fault(66)
def test_what_a_worker_says_does_nothing_to_a_terminal() -> None:
    """A worker reads what strangers send: its words are escaped and cut in the table, too."""
    odd = StreamStatus(
        "gate", StreamState.LIVE, 0.0, message="\x1b[2J\x9b31m\udcff" + "y" * 9000, codec="\x1b]0;x\x07"
    )
    out = StringIO()
    status.show(
        Console(file=out, width=160, highlight=False), replace(report(None), streams=(odd,)).as_json()
    )
    assert all(letter.isprintable() or letter == "\n" for letter in out.getvalue())
    assert out.getvalue().count("y") < 1000


def test_where_the_model_runs_is_shown() -> None:
    """The provider with its share of the nodes, which a program finds as numbers; on a CPU there is no share."""
    answer = report(None).as_json()
    assert (answer["detector"]["nodes"], answer["detector"]["accelerated"]) == (108, 106)
    out = StringIO()
    console = Console(file=out, width=160, highlight=False)
    status.show(console, answer)
    assert "detector  persons on CUDA (cuda, 106 of 108 nodes on it)\n" in out.getvalue()
    status.show(console, {**answer, "detector": answer["detector"] | {"device": "cpu", "accelerated": 0}})
    assert "detector  persons on CUDA (cpu)\n" in out.getvalue()


def test_why_a_stream_waits_comes_first() -> None:
    """A stream that is down says that, whatever was seen of it before."""
    (row,) = report(Impairment.TOO_DARK, "connection refused").as_json()["streams"]
    assert (row["why"], row["impaired"]) == ("connection refused", "too_dark")
    (row,) = report(None).as_json()["streams"]
    assert row["why"] == ""


def test_what_a_stream_brings_is_shown() -> None:
    """Programs find all of it, and people the rate; what is not known is none."""
    answer = report(None).as_json()
    (row,) = answer["streams"]
    unknown = ("codec", "transport", "size", "clock_offset_seconds")
    assert [row[key] for key in unknown] == [None] * 4
    live = replace(
        report(None).streams[0],
        codec="h264",
        transport="udp",
        size=(1920, 1080),
        fps=24.96,
        clock_ahead=-3600.51234,
    )
    answer = replace(report(None), streams=(live,)).as_json()
    (row,) = answer["streams"]
    assert [row[key] for key in unknown] == ["h264", "udp", "1920x1080", -3600.512]
    out = StringIO()
    status.show(Console(file=out, width=160, highlight=False), answer)
    assert "25.0" in out.getvalue()


def test_a_frozen_or_covered_stream_says_so() -> None:
    """Its word is the why, before that of its light, and is counted once in the line."""
    (row,) = report(Impairment.TOO_DARK, scene="frozen").as_json()["streams"]
    assert (row["why"], row["scene"], row["impaired"]) == ("frozen", "frozen", "too_dark")
    assert "streams live: 1 of 1, impaired: 1," in report(Impairment.TOO_DARK, scene="frozen").line()
    assert "impaired: 1," in report(None, scene="covered").line()
    (row,) = report(None).as_json()["streams"]
    assert row["scene"] is None


def test_why_alarms_were_not_raised_is_shown() -> None:
    """By stream, rule and reason, and nothing where none was withheld."""
    out = StringIO()
    status.show(Console(file=out, width=160, highlight=False), report(None).as_json())
    assert "withheld" not in out.getvalue()
    withheld = {("entrance", "intruder", Withheld.SCHEDULE): 3}
    answer = replace(report(None), withheld=withheld).as_json()
    assert json.loads(json.dumps(answer["withheld"])) == [
        {"stream": "entrance", "rule": "intruder", "reason": "schedule", "count": 3}
    ]
    status.show(Console(file=out, width=160, highlight=False), answer)
    assert re.search(r"entrance\W+intruder\W+schedule\W+3", out.getvalue())
    del answer["withheld"]
    status.show(Console(file=out, width=160, highlight=False), answer)


def test_all_that_the_detector_lacks_is_shown() -> None:
    """Each reason has its line, with the stream and the rule that are concerned, and its object for programs."""
    answer = report(None).as_json()
    answer["detector"]["degraded"][0]["why"] += ", \x1b[2J\ud800 said the model"
    assert [one["reason"] for one in answer["detector"]["degraded"]] == ["lost", "too_slow"]
    out = StringIO()
    status.show(Console(file=out, width=160, highlight=False), answer)
    assert "degraded (lost): CUDA was left for the CPU" in out.getvalue()
    assert r"\x1b[2J\ud800 said the model" in out.getvalue(), "which does nothing to a terminal"
    assert "degraded (too_slow, entrance, intruder): too few frames" in out.getvalue()


def test_what_is_silenced_or_tested_is_shown() -> None:
    """With who and why; the service manager's line counts the alarms of which somebody hears."""
    now = Now.read()
    silence = Override(
        *("silence_1", OverrideKind.SILENCE, "entrance", None),
        *(now.wall, now.wall + timedelta(minutes=30), "anna", "the lock is repaired"),
    )
    alarms = tuple(AlarmRecord(replace(ALARM, silenced=one), NOON, NOON) for one in (True, False))
    muted = replace(report(None), overrides=(InForce(silence, now.at + 60.0),), alarms=alarms)
    assert "alarms active: 1, silences and tests: 1, deliveries" in muted.line()
    answer = muted.as_json()
    assert answer["overrides"][0]["left_seconds"] == pytest.approx(60.0, abs=1.0)
    out = StringIO()
    status.show(Console(file=out, width=200, highlight=False), answer)
    assert re.search(r"silence\W+entrance\W.+anna\W+the lock is repaired\W+ilence_1\b", out.getvalue())
    assert len(re.findall(r"\bsilenced\b", out.getvalue())) == 1
