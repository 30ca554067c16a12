"""A detector that only fails is given up."""

from typing import cast

import pytest

from support.pictures import frame
from tocsin.detect.detector import Attempt, Detector, Ticket
from tocsin.detect.strikes import FAILED_IN_A_ROW, Strikes
from tocsin.errors import InferenceError, InferenceFault
from tocsin.frame import Detections

ERROR = InferenceError(InferenceFault.RUNTIME, "the device is gone")


class _Scripted:
    """A detector whose results are written down beforehand; the ones that the test does not look into are None."""

    overlaps, max_batch = False, 2

    def __init__(self, *batches: tuple[InferenceError | None, ...]) -> None:
        self._batches = list(batches)

    def begin(self, frames: object, release: object = None) -> Ticket:
        return Ticket(cast("Detector", self), [frame()], None)

    def finish(self, ticket: Ticket) -> Attempt:
        results = cast("tuple[Detections | InferenceError, ...]", self._batches.pop(0))
        return Attempt(results, 0.0, 0.0)


@pytest.mark.parametrize(
    ("batches", "lost"),
    [
        pytest.param([(ERROR,)] * FAILED_IN_A_ROW, True, id="three batches without a result"),
        pytest.param([(ERROR,), (ERROR,), (None,), (ERROR,), (ERROR,)], False, id="a result in between"),
        pytest.param([(ERROR, None)] * 5, False, id="only some of the frames"),
    ],
)
def test_a_detector_is_lost_when_nothing_comes_back(
    batches: list[tuple[InferenceError | None, ...]], lost: bool
) -> None:
    """Three batches in a row without one result are the end; two, or single frames, are not."""
    strikes = Strikes(cast("Detector", _Scripted(*batches)))
    for _ in batches:
        assert strikes.lost is None, "not before the last"
        strikes.finish(strikes.begin([frame()]))
    assert (strikes.lost is not None) == lost
    if lost:
        assert strikes.lost == "the detector failed on 3 batches in a row"
