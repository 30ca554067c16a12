"""What is told and remembered of an alarm."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from tocsin.deliver.notation import Json, number, real, stamp
from tocsin.deliver.verdict import Judgement, Verdict
from tocsin.frame import Box, Correction


@dataclass(frozen=True, slots=True)
class AlarmData:
    """The state of an alarm: the data of `alarm.*` events.

    `box` is relative to the frame, `pixels` the object's width and height as the detector saw it, `hits` and
    `of` what confirmed the alarm, `light_mean` and `contrast` (NaN where they are not known) those of the light
    from 0 (black) to 255, `config` the digest of the configuration. `clock_synchronized` is None where the
    machine does not tell, `judged` while nobody has given a verdict, and the last one then. `picture` has links
    to what was kept of the alarm, and until when they hold, `respond` the one by which a verdict is given. `ended`
    is None while it is open. `tier` says who is meant to look at it. One that is `silenced` is kept and told to
    nobody.
    """

    alarm_id: str
    stream: str
    rule: str
    severity: str
    class_name: str
    score: float
    box: Box
    zone: str | None
    first_seen: datetime
    hits: int
    of: int
    pixels: tuple[float, float]
    light_mean: float
    contrast: float
    correction: Correction
    model: str
    config: str
    test: bool = False
    clock_synchronized: bool | None = None
    judged: Judgement | None = None
    tier: str = "alarm"
    picture: Mapping[str, str] | None = None
    silenced: bool = False
    respond: Mapping[str, str] | None = None
    ended: datetime | None = None

    def payload(self) -> Json:
        return {
            "alarm_id": self.alarm_id,
            "stream": self.stream,
            "rule": self.rule,
            "severity": self.severity,
            "tier": self.tier,
            "class": self.class_name,
            "score": number(self.score, 4),
            "box": [number(edge, 4) for edge in self.box],
            "zone": self.zone,
            "first_seen": stamp(self.first_seen),
            "confirmed_by": {"hits": self.hits, "of": self.of},
            "pixels": [number(side) for side in self.pixels],
            "test": self.test,
            "light": {
                "mean": number(self.light_mean),
                "contrast": number(self.contrast),
                "correction": self.correction,
            },
            "model": self.model,
            "config": self.config,
            "clock_synchronized": self.clock_synchronized,
            "verdict": None if self.judged is None else self.judged.verdict,
            "judged": None if self.judged is None else _told(self.judged),
            "picture": self.picture,
            "silenced": self.silenced,
            "respond": self.respond,
            "ended": None if self.ended is None else stamp(self.ended),
        }

    def facts(self) -> dict[str, Any]:
        """Return the payload without the links in it: whoever has one sees the alarm's pictures and answers it."""
        return {key: value for key, value in self.payload().items() if key not in ("picture", "respond")}

    @classmethod
    def from_payload(cls, payload: Json) -> Self:
        """Return the data that have this payload; the inverse of `payload`, but for its rounding."""
        x1, y1, x2, y2 = (real(edge) for edge in payload["box"])
        width, height = (real(side) for side in payload["pixels"])
        return cls(
            alarm_id=payload["alarm_id"],
            stream=payload["stream"],
            rule=payload["rule"],
            severity=payload["severity"],
            class_name=payload["class"],
            score=real(payload["score"]),
            box=(x1, y1, x2, y2),
            zone=payload["zone"],
            first_seen=datetime.fromisoformat(payload["first_seen"]),
            hits=payload["confirmed_by"]["hits"],
            of=payload["confirmed_by"]["of"],
            pixels=(width, height),
            light_mean=real(payload["light"]["mean"]),
            contrast=real(payload["light"].get("contrast")),  # stored before it was told
            correction=Correction(payload["light"]["correction"]),
            model=payload["model"],
            config=payload["config"],
            test=payload["test"],
            clock_synchronized=payload["clock_synchronized"],
            # stored before there were any
            judged=_judgement(payload),
            tier=payload.get("tier", "alarm"),
            picture=payload.get("picture"),
            silenced=payload.get("silenced", False),
            respond=payload.get("respond"),
            ended=datetime.fromisoformat(ended) if (ended := payload.get("ended")) else None,
        )


_OF_EVIDENCE = frozenset(
    {
        "alarm_id",
        "stream",
        "rule",
        "severity",
        "class",
        "score",
        "zone",
        "test",
        "silenced",
        "picture",
        "respond",
    }
)
"""What an event about the evidence of an alarm tells of the alarm itself."""


@dataclass(frozen=True, slots=True)
class EvidenceData:
    """The data of `evidence.*`: of which `kinds` there are pictures or a clip of an alarm, or why there are none.

    `alarm` is as it was raised.
    """

    alarm: AlarmData
    kinds: tuple[str, ...]
    why: str | None = None

    @property
    def stream(self) -> str:
        return self.alarm.stream

    @property
    def alarm_id(self) -> str:
        return self.alarm.alarm_id

    @property
    def severity(self) -> str:
        return self.alarm.severity

    @property
    def silenced(self) -> bool:
        return self.alarm.silenced

    def payload(self) -> Json:
        told = {key: value for key, value in self.alarm.payload().items() if key in _OF_EVIDENCE}
        return {**told, "kinds": list(self.kinds), "why": self.why}


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """An alarm as it is remembered: while it is open, so that a restart carries it on, and then as history.

    `opened`, `reported` and `ended` are wall times: of the raise, of the last `alarm.raised` or `alarm.repeated`,
    and of the end, None while it is open. `alarm` is what was last said about it.
    """

    alarm: AlarmData
    opened: datetime
    reported: datetime
    ended: datetime | None = None

    def over(self, at: datetime) -> "AlarmRecord":
        """Return it as it is once it has ended."""
        return replace(self, alarm=replace(self.alarm, ended=at), ended=at)


def _told(judged: Judgement) -> Json:
    return {"by": judged.by, "at": stamp(judged.at), "why": judged.why}


def _judgement(payload: Json) -> Judgement | None:
    if not (verdict := payload.get("verdict")):
        return None
    # before there was more than the word
    judged = payload.get("judged") or {"by": "", "at": payload["first_seen"], "why": ""}
    at = datetime.fromisoformat(judged["at"])
    return Judgement(Verdict(verdict), judged["by"], at, judged["why"])
