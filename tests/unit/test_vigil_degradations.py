"""What the detector lacks is said once."""

import pytest
from structlog.testing import capture_logs

from support.events import NOON
from tocsin.deliver.event import DetectorData, EventType
from tocsin.deliver.standing import Standing
from tocsin.errors import Degradation
from tocsin.vigil.degradations import PROVEN_AFTER, Degradations


class Ledger:
    """What was said and measured."""

    def __init__(self) -> None:
        self.said: list[tuple[EventType, DetectorData]] = []
        self.degraded = False
        self.info: tuple[str, str, str] | None = None

    def say(self, kind: EventType, data: DetectorData) -> None:
        self.said.append((kind, data))

    def detector_info(self, model: str, device: str, provider: str) -> None:
        self.info = model, device, provider

    def detector_degraded(self, degraded: bool) -> None:
        self.degraded = degraded


def test_each_reason_is_said_once_and_once_that_it_is_over() -> None:
    """Telling again what is known changes nothing; an event names the detector that was at work then."""
    ledger = Ledger()
    lacks = Degradations(ledger.say, ledger)
    lacks.at_work("blades", "cuda", "CUDA")
    with capture_logs() as lines:
        lacks.restored(Degradation.CANARY)
        lacks.degraded(Degradation.CANARY, "no person")
        lacks.degraded(Degradation.CANARY, "no car")
        lacks.at_work("blades", "cpu", "CPU")
        lacks.restored(Degradation.CANARY)
        lacks.restored(Degradation.CANARY)
    assert ledger.said == [
        (EventType.DETECTOR_DEGRADED, DetectorData(Degradation.CANARY, "blades", "CUDA")),
        (EventType.DETECTOR_RESTORED, DetectorData(Degradation.CANARY, "blades", "CPU")),
    ]
    assert ledger.info == ("blades", "cpu", "CPU")
    assert [(line["event"], line.get("why")) for line in lines] == [
        ("the detector is degraded", "no person"),
        ("the detector is restored", None),
    ]


def test_the_detector_is_degraded_while_any_reason_stands() -> None:
    """Streams and rules count apart, and the gauge falls with the last of them."""
    ledger = Ledger()
    lacks = Degradations(ledger.say, ledger)
    lacks.degraded(Degradation.OUTPUT, "a NaN", "yard")
    lacks.degraded(Degradation.OUTPUT, "a NaN", "gate")
    lacks.degraded(Degradation.TOO_SLOW, "slow", "yard", "intruder")
    assert [(one.stream, one.rule) for one in lacks.standing()] == [
        ("yard", None),
        ("gate", None),
        ("yard", "intruder"),
    ]
    for stream in ("yard", "gate"):
        lacks.restored(Degradation.OUTPUT, stream)
        assert ledger.degraded
    lacks.restored(Degradation.TOO_SLOW, "yard", "intruder")
    assert not ledger.degraded
    assert lacks.standing() == ()
    assert len(ledger.said) == 6


def test_streams_without_results_are_known() -> None:
    """Garbage is that of a stream, a detector that fails that of all."""
    ledger = Ledger()
    lacks = Degradations(ledger.say, ledger)
    assert lacks.without_results(["yard", "gate"]) == set()
    lacks.degraded(Degradation.OUTPUT, "a NaN", "yard")
    lacks.degraded(Degradation.TOO_SLOW, "slow", "gate", "intruder")
    assert lacks.without_results(["yard", "gate"]) == {"yard"}
    lacks.degraded(Degradation.FAILING, "the device is gone")
    assert lacks.without_results(["yard", "gate"]) == {"yard", "gate"}


WATCHED = {"yard": ("intruder",), "gate": ()}


def told(reason: Degradation, stream: str | None = None, rule: str | None = None) -> Standing:
    """Return what an earlier life of the daemon told."""
    payload = DetectorData(reason, "blades", "CUDA", stream, rule).payload()
    return Standing(EventType.DETECTOR_DEGRADED, "", NOON, payload)


def resumed(*standing: Standing) -> tuple[Ledger, Degradations]:
    ledger = Ledger()
    lacks = Degradations(ledger.say, ledger)
    lacks.resume(standing, WATCHED)
    return ledger, lacks


def test_what_was_told_before_a_restart_is_told_no_second_time() -> None:
    """It stands from the start, for the gauge and the status too, and its end is told once."""
    ledger, lacks = resumed(told(Degradation.CANARY), told(Degradation.TOO_SLOW, "yard", "intruder"))
    assert ledger.degraded
    lacks.degraded(Degradation.CANARY, "no person")
    lacks.degraded(Degradation.TOO_SLOW, "slow", "yard", "intruder")
    assert ledger.said == []
    assert [one.why for one in lacks.standing()] == ["no person", "slow"]
    lacks.restored(Degradation.CANARY)
    lacks.restored(Degradation.TOO_SLOW, "yard", "intruder")
    assert [kind for kind, _ in ledger.said] == [EventType.DETECTOR_RESTORED] * 2
    assert not ledger.degraded


@pytest.mark.parametrize(
    "gone",
    [
        told(Degradation.OUTPUT, "garage"),
        told(Degradation.TOO_SLOW, "yard", "burglar"),
        told(Degradation.LOST),
    ],
    ids=["a stream that is gone", "a rule that is gone", "an accelerator that is looked for anew"],
)
def test_what_a_restart_has_overcome_is_over(gone: Standing) -> None:
    """Nobody would ever see its end, so it is told at the start."""
    ledger, lacks = resumed(gone)
    assert [(kind, data.payload()["stream"]) for kind, data in ledger.said] == [
        (EventType.DETECTOR_RESTORED, gone.data["stream"])
    ]
    assert lacks.standing() == ()
    assert not ledger.degraded


def test_results_prove_that_what_failed_before_a_restart_works() -> None:
    """Half a minute does, of that stream where it was one; what fails again is left to whoever sees it."""
    ledger, lacks = resumed(
        told(Degradation.FAILING), told(Degradation.OUTPUT, "yard"), told(Degradation.CANARY)
    )
    lacks.results(0.0, {"gate": 0})
    lacks.results(10.0, {"gate": 5})
    lacks.results(10.0 + PROVEN_AFTER, {"gate": 500})
    assert [data.reason for _, data in ledger.said] == [Degradation.FAILING]
    lacks.degraded(Degradation.OUTPUT, "a NaN", "yard")
    for second in range(100):
        lacks.results(100.0 + second, {"gate": 500, "yard": 10 + second})
    assert [one.reason for one in lacks.standing()] == [Degradation.OUTPUT, Degradation.CANARY]


def test_what_a_stream_or_rule_lacked_is_over_when_it_goes() -> None:
    """What is wrong with all others stands, and with the detector itself."""
    ledger = Ledger()
    lacks = Degradations(ledger.say, ledger)
    lacks.degraded(Degradation.CANARY, "no person")
    lacks.degraded(Degradation.TOO_SLOW, "slow", "yard", "intruder")
    lacks.degraded(Degradation.TOO_SLOW, "slow", "yard", "burglar")
    lacks.degraded(Degradation.OUTPUT, "garbage", "barn")
    ledger.said.clear()
    lacks.adopt(WATCHED)
    over = [(kind, data.payload()["stream"], data.payload()["rule"]) for kind, data in ledger.said]
    assert over == [
        (EventType.DETECTOR_RESTORED, "yard", "burglar"),
        (EventType.DETECTOR_RESTORED, "barn", None),
    ]
    assert [(one.reason, one.rule) for one in lacks.standing()] == [
        (Degradation.CANARY, None),
        (Degradation.TOO_SLOW, "intruder"),
    ]
    ledger.said.clear()
    lacks.degraded(Degradation.OUTPUT, "garbage", "barn")
    lacks.degraded(Degradation.TOO_SLOW, "slow", "yard", "burglar")
    assert ledger.said == [], "a frame that was on its way"
    lacks.adopt({**WATCHED, "barn": ()})
    lacks.degraded(Degradation.OUTPUT, "garbage", "barn")
    assert [kind for kind, _ in ledger.said] == [EventType.DETECTOR_DEGRADED]
