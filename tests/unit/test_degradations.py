"""What the detector lacks is said once."""

from structlog.testing import capture_logs

from tocsin.degradations import Degradations
from tocsin.deliver.event import DetectorData, EventType
from tocsin.errors import Degradation


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
