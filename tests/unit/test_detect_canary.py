"""The reference picture tells a detector that lost its head."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.pictures import frame, grey, view
from tocsin.detect.canary import Canary, Reference, drifted, iou
from tocsin.detect.manifest import KnownObject
from tocsin.detect.session import Outputs
from tocsin.errors import InferenceError, InferenceFault
from tocsin.frame import Detections, Frame

PICTURE = frame(view(grey(32, 32)))
LEFT, RIGHT = (0.1, 0.1, 0.4, 0.9), (0.6, 0.1, 0.9, 0.9)
KNOWN = (
    KnownObject(class_name="person", box=LEFT, score=0.8),
    KnownObject(class_name="car", box=RIGHT, score=0.6),
)
Seen = list[tuple[str, tuple[float, float, float, float], float]]
AS_KNOWN: Seen = [("person", LEFT, 0.8), ("car", RIGHT, 0.6)]
LABELS = ("person", "car", "dog")


class Eye:
    """A detector that sees what the test says."""

    def __init__(self, seen: Seen, numbers: Any = (1.0, 2.0)) -> None:
        self.seen = seen
        self.numbers = np.array(numbers, np.float32)
        self.floors: list[float] = []
        self.error: InferenceError | None = None

    def inspect(self, given: Frame, floor: float) -> tuple[Detections, Outputs]:
        assert given is PICTURE
        self.floors.append(floor)
        if self.error:
            raise self.error
        seen = [one for one in self.seen if one[2] >= floor]
        return (
            Detections(
                boxes=np.array([box for _, box, _ in seen], np.float32).reshape(-1, 4),
                scores=np.array([score for *_, score in seen], np.float32),
                classes=np.array([LABELS.index(name) for name, *_ in seen], np.int64),
                pixels=np.ones((len(seen), 2), np.float32),
                views=np.zeros(len(seen), np.int64),
                labels=LABELS,
            ),
            {"scores": self.numbers},
        )


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        pytest.param(AS_KNOWN, None, id="all as known"),
        pytest.param(
            [*AS_KNOWN[::-1], ("dog", LEFT, 0.55)], None, id="in any order, with a doubtful one beside"
        ),
        pytest.param([("person", LEFT, 0.71), AS_KNOWN[1]], None, id="a score within a tenth"),
        pytest.param(
            [("person", LEFT, 0.69), AS_KNOWN[1]], "expected a person at 0.10", id="a score beyond it"
        ),
        pytest.param(
            [("person", LEFT, 0.95), AS_KNOWN[1]], "expected a person", id="also where it is higher"
        ),
        pytest.param(AS_KNOWN[:1], "expected a car", id="one is missing"),
        pytest.param([], "expected a person", id="nothing is seen"),
        pytest.param([("dog", LEFT, 0.8), AS_KNOWN[1]], "expected a person", id="of another class"),
        pytest.param(
            [("person", (0.1, 0.1, 0.4, 0.7), 0.8), AS_KNOWN[1]], "expected a person", id="elsewhere"
        ),
        pytest.param(
            [*AS_KNOWN, ("person", (0.4, 0.4, 0.6, 0.6), 0.65)],
            "a further person with score 0.65",
            id="one too many",
        ),
        pytest.param([*AS_KNOWN, ("dog", LEFT, 0.65)], "a further dog", id="of a class that is not there"),
    ],
)
def test_known_objects(seen: Seen, why: str | None) -> None:
    """Every known object has to be there, and no other with confidence."""
    found = Canary(Reference(PICTURE, KNOWN)).check(Eye(seen))
    assert (found is None) == (why is None)
    assert (why or "") in (found or "")


def test_objects_of_low_scores_are_asked_for() -> None:
    """What a rule asks for matters not: the floor lies below the least known score, and never above one half."""
    eye = Eye([])
    low = KnownObject(class_name="person", box=LEFT, score=0.3)
    Canary(Reference(PICTURE, (low,))).check(eye)
    Canary(Reference(PICTURE, (KNOWN[0],))).check(eye)
    Canary(Reference(PICTURE, ())).check(eye)
    assert eye.floors == pytest.approx([0.2, 0.5, 0.4])


def test_an_empty_picture_may_be_known() -> None:
    """A manifest may say that nothing is in it: then nothing may be seen."""
    canary = Canary(Reference(PICTURE, ()))
    assert canary.check(Eye([])) is None
    assert canary.check(Eye(AS_KNOWN)) is not None


def test_a_detector_that_fails_misses_the_picture() -> None:
    """No answer is a wrong answer, and the sentence says why."""
    eye = Eye(AS_KNOWN)
    eye.error = InferenceError(InferenceFault.NONFINITE, "found a NaN")
    assert "found a NaN" in (Canary(Reference(PICTURE, KNOWN)).check(eye) or "")


def test_without_known_objects_the_first_answer_is_the_reference() -> None:
    """A drift shows in the numbers, also where nothing is found; another device may have others."""
    eye = Eye([], (1.0, 2.0))
    canary = Canary(Reference(PICTURE, None))
    assert canary.check(eye) is None
    eye.numbers[:] = 1.0, 2.03  # the first answer was copied
    assert canary.check(eye) is None
    eye.numbers[:] = 1.0, 2.05
    assert "the output scores" in (canary.check(eye) or "")
    assert "the output scores" in (canary.check(eye) or ""), "a wrong answer is no new reference"
    assert canary.afresh().check(eye) is None


def test_what_is_known_stays_known_on_another_device() -> None:
    """A fall-back to the CPU has to see the same objects."""
    assert Canary(Reference(PICTURE, KNOWN)).afresh().check(Eye([])) is not None


NUMBERS = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30)


@given(numbers=NUMBERS, seed=st.integers(0, 9))
def test_order_and_length_are_no_drift(numbers: list[float], seed: int) -> None:
    """A model that chooses its boxes may exchange two, or give fewer than at first, the least of all."""
    values = np.array(numbers, np.float32)
    mixed = np.random.default_rng(seed).permutation(values)
    assert drifted({"out": values}, {"out": mixed}) is None
    assert drifted({"out": values}, {"out": np.sort(values)[::-1][: len(values) // 2]}) is None


@pytest.mark.parametrize("values", [[0.0, 0.0], [np.nan, 2.0], [1.0, -2.0]])
def test_numbers_that_went_wrong_are_a_drift(values: list[float]) -> None:
    """Zeros, a NaN and a changed sign are seen."""
    first = {"out": np.array([1.0, 2.0], np.float32)}
    assert drifted(first, {"out": np.array(values, np.float32)}) is not None


def test_the_overlap_of_boxes() -> None:
    """It is 1 for the same box, 0 for two apart, and the share of what both cover between."""
    assert iou(LEFT, np.array(LEFT, np.float32)) == pytest.approx(1)
    assert iou(LEFT, np.array(RIGHT, np.float32)) == 0
    assert iou((0, 0, 1, 1), np.array([0, 0, 1, 0.5], np.float32)) == pytest.approx(0.5)
    assert iou((0, 0, 0, 0), np.zeros(4, np.float32)) == 0
