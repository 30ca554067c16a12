"""Frames with any number of views go through a model in batches and come back whole."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from support.pictures import frame, grey, view
from support.wait import SCALE, until
from tocsin.detect.detector import Detector
from tocsin.detect.families import FAMILIES, Decoder, Hints
from tocsin.detect.manifest import InputFormat
from tocsin.detect.model import Model
from tocsin.detect.session import Outputs, Placement, Signature, Tensor
from tocsin.errors import InferenceError, InferenceFault, ModelError
from tocsin.frame import Frame

BOX = (8.0, 8.0, 24.0, 24.0)
WHITE, BLACK = 235, 16


class Bright:
    """A session that sees one thing in each row whose score is the row's brightness."""

    signature = Signature(
        (Tensor("images", (None, 3, 32, 32), "tensor(float)"),),
        (
            Tensor("boxes", (None, 1, 4), "tensor(float)"),
            Tensor("scores", (None, 1, 2), "tensor(float)"),
        ),
        {},
    )

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.broken: set[int] = set()
        self.short = False
        self.room = 99  # rows that fit into memory
        self.before: Callable[[], None] = lambda: None
        self.box = BOX
        self.threads: set[str] = set()
        self.go = threading.Event()  # a test that holds the model clears it
        self.go.set()
        self.bug = False

    def infer(self, batch: NDArray[np.float32]) -> Outputs:
        assert self.go.wait(30 * SCALE), "the test lets the model go"
        self.threads.add(threading.current_thread().name)
        self.before()
        if self.bug:
            raise ZeroDivisionError("a bug")
        self.rows.append(len(batch))
        if len(self.rows) - 1 in self.broken:
            raise InferenceError(InferenceFault.RUNTIME, "the device is gone")
        if len(batch) > self.room:
            raise InferenceError(InferenceFault.OOM, "out of memory")
        scores = np.zeros((len(batch), 1, 2), np.float32)
        scores[:, 0, 0] = batch.mean(axis=(1, 2, 3))
        boxes = np.full((len(batch), 1, 4), self.box, np.float32)
        if self.short:
            boxes, scores = boxes[1:], scores[1:]
        return {"boxes": boxes, "scores": scores}


@pytest.fixture
def session() -> Bright:
    return Bright()


CPU = Placement("CPUExecutionProvider", "cpu", None)
CUDA = Placement("CUDAExecutionProvider", "cuda", None)


def _detector(
    session: Bright,
    max_batch: int = 2,
    fixed: int | None = None,
    floor: float = 0.4,
    placement: Placement = CPU,
) -> Detector:
    takes = InputFormat(width=32, height=32)
    reading = FAMILIES["boxes+scores"].read(Bright.signature, Hints(32, 32))
    assert reading is not None, "the family reads its own outputs"
    family = Decoder("boxes+scores", reading, 32, 32, 2)
    model = Model("bright", Path("bright.onnx"), takes, family, ("thing", "other"), fixed)
    return Detector(model, session, placement, max_batch, floor)


def _shot(*lumas: int, number: int = 0) -> Frame:
    return frame(*(view(grey(32, 32, luma)) for luma in lumas), number=number)


def test_each_frame_gets_its_own_result(session: Bright) -> None:
    """Results come in the order of the frames, over several batches and with a short last one."""
    found = _detector(session).detect([_shot(WHITE), _shot(BLACK), _shot(BLACK), _shot(WHITE), _shot(WHITE)])
    assert [len(one) for one in found] == [1, 0, 0, 1, 1]
    assert session.rows == [2, 2, 1]
    assert found[0].boxes[0] == pytest.approx([0.25, 0.25, 0.75, 0.75])
    assert found[0].pixels.tolist() == [[16, 16]]
    assert found[0].labels == ("thing", "other")
    assert found[0].classes.tolist() == [0]


def test_a_graph_of_fixed_batch_always_gets_all_its_rows(session: Bright) -> None:
    """A model exported for four pictures runs on one; the rest of the rows is nobody's."""
    assert [len(one) for one in _detector(session, max_batch=4, fixed=4).detect([_shot(WHITE)])] == [1]
    assert session.rows == [4]


def test_what_two_views_saw_counts_once(session: Bright) -> None:
    """Overlapping views of one frame give one object, the better one, with the view that saw it."""
    both = frame(view(grey(32, 32, 160)), view(grey(32, 32, WHITE)))
    found = _detector(session).detect([both])[0]
    assert found.views.tolist() == [1]
    assert found.scores[0] == pytest.approx(1, abs=0.01)


def test_views_of_different_parts_keep_their_places(session: Bright) -> None:
    """Each view's boxes land in its own part of the frame, best score first."""
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    parts = frame(view(grey(32, 32, 160), left), view(grey(32, 32, WHITE), right))
    found = _detector(session).detect([parts])[0]
    assert found.views.tolist() == [1, 0]
    assert found.boxes[0] == pytest.approx([0.625, 0.25, 0.875, 0.75])
    assert found.boxes[1] == pytest.approx([0.125, 0.25, 0.375, 0.75])


def test_a_box_on_the_margin_is_nobody(session: Bright) -> None:
    """What the detector sees wholly outside the picture is dropped."""
    ribbon = frame(view(grey(32, 4, WHITE)))
    session.box = (0.0, 0.0, 30.0, 8.0)
    assert len(_detector(session, floor=0.1).detect([ribbon])[0]) == 0
    session.box = (0.0, 0.0, 30.0, 16.0)
    assert len(_detector(session, floor=0.1).detect([ribbon])[0]) == 1


def test_pixels_are_given_back_before_the_model_runs(session: Bright) -> None:
    """A frame is released once its last view is copied, and what happens to its pixels then is no matter."""
    shots = [_shot(WHITE, BLACK, BLACK, number=0), _shot(WHITE, number=1)]
    released: list[tuple[int, int]] = []

    def release(given: Frame) -> None:
        released.append((given.number, len(session.rows)))
        for one in given.views:
            one.pixels[:] = 0

    attempt = _detector(session).attempt(shots, release)
    assert released == [(0, 1), (1, 1)], "both were copied for the second batch, before it ran"
    assert [len(found) for found in attempt.results if not isinstance(found, InferenceError)] == [1, 1]


def test_a_batch_that_fails_costs_its_own_frames(session: Bright) -> None:
    """The error stands in the place of each frame that was in the batch, and all frames are released."""
    session.broken = {0}
    released: list[Frame] = []
    shots = [_shot(WHITE, number=number) for number in range(3)]
    results = _detector(session).attempt(shots, released.append).results
    assert [isinstance(result, InferenceError) for result in results] == [True, True, False]
    assert released == shots


def test_a_frame_is_seen_with_all_its_views_or_not_at_all(session: Bright) -> None:
    """Where one batch of its views fails, no run is spent on the others, and it is released all the same."""
    session.broken = {0}
    released: list[Frame] = []
    shots = [_shot(*[WHITE] * 7, number=0), _shot(WHITE, number=1)]
    results = _detector(session).attempt(shots, released.append).results
    assert [isinstance(result, InferenceError) for result in results] == [True, False]
    assert session.rows == [2, 1]
    assert released == shots


def test_a_view_that_is_none_costs_its_frame_only(session: Bright) -> None:
    """A worker that sends a wrong size is an error of that frame; its neighbours keep their own results."""
    released: list[Frame] = []
    shots = [frame(view(grey(32, 32)[:-1])), _shot(BLACK), _shot(WHITE)]
    results = _detector(session, max_batch=3).attempt(shots, released.append).results
    assert isinstance(results[0], InferenceError)
    assert [len(found) for found in results[1:] if not isinstance(found, InferenceError)] == [0, 1]
    assert released == shots


def test_outputs_with_too_few_rows_are_refused(session: Bright) -> None:
    """A result that cannot be told apart by frame is nobody's result."""
    session.short = True
    with pytest.raises(InferenceError, match="expected 2 rows in the output boxes, found 1") as caught:
        _detector(session).detect([_shot(WHITE), _shot(WHITE)])
    assert caught.value.fault is InferenceFault.SHAPE


def test_warming_runs_the_smallest_and_the_largest_batch(session: Bright) -> None:
    """What does not fit into memory or into the graph shows before the first frame."""
    assert _detector(session, max_batch=4).warm() >= 0
    assert set(session.rows) == {1, 4}


@pytest.mark.parametrize(("limit", "beside"), [(60.0, True), (0.0, False)])
def test_a_quick_model_runs_beside_its_caller_on_a_cpu_too(
    session: Bright, monkeypatch: pytest.MonkeyPatch, limit: float, beside: bool
) -> None:
    """A slow one does not: what is painted while it runs would be as much older."""
    monkeypatch.setattr("tocsin.detect.detector._QUICK", limit)
    detector = _detector(session, max_batch=3)
    detector.warm()
    assert detector.overlaps is beside
    session.rows.clear()
    assert [len(found) for found in detector.detect([_shot(WHITE), _shot(BLACK), _shot(WHITE)])] == [1, 0, 1]
    assert session.rows == [3], "no more rows than views, as a CPU computes each of them"
    assert ("inference" in session.threads) is beside
    detector.close()


def test_a_model_that_fails_its_first_run_is_refused(session: Bright) -> None:
    """A model that cannot run is a fault at start, not in the night."""
    session.broken = {0}
    with pytest.raises(ModelError, match=r"bright\.onnx: its first run failed: the device is gone"):
        _detector(session).warm()


@pytest.mark.parametrize(
    ("placement", "room", "fits"), [(CPU, 5, 4), (CUDA, 5, 4), (CUDA, 1, 1)], ids=["cpu", "gpu", "one"]
)
def test_warming_finds_the_batch_that_fits(
    session: Bright, placement: Placement, room: int, fits: int
) -> None:
    """Memory that is short at the start halves the batch as it does later, and ends nothing."""
    session.room = room
    detector = _detector(session, max_batch=8, placement=placement)
    detector.warm()
    assert detector.max_batch == fits
    detector.attempt([_shot(WHITE)] * 8)
    detector.close()
    assert max(session.rows[-2:]) == fits


@pytest.mark.parametrize(("room", "fixed"), [(0, None), (1, 2)], ids=["not even one", "a fixed batch"])
def test_a_model_that_no_batch_makes_fit_is_refused(session: Bright, room: int, fixed: int | None) -> None:
    """Nothing can be halved any more."""
    session.room = room
    with pytest.raises(ModelError, match="its first run failed: out of memory"):
        _detector(session, fixed=fixed).warm()


def test_a_detector_that_is_refused_leaves_nothing_behind(session: Bright) -> None:
    """Its thread ends and its model may go: the memory of the device is another's then."""
    session.broken = {0}
    gone = weakref.ref(detector := _detector(session, placement=CUDA))
    with pytest.raises(ModelError):
        detector.warm()
    del detector
    assert session.threads == {"inference"}, "it had a thread"
    until(lambda: gone() is None, 10, "the detector is let go")


@pytest.fixture
def accelerated(session: Bright) -> Iterator[Detector]:
    """A detector whose model runs beside its caller, two views in a call; its thread ends after the test."""
    detector = _detector(session, placement=CUDA)
    assert detector.overlaps
    yield detector
    session.go.set()
    detector.close()


def test_what_is_begun_first_is_read_first(session: Bright, accelerated: Detector) -> None:
    """Batches that overlap give the results that each gives alone, rows and views and all."""
    first = accelerated.begin([_shot(WHITE), _shot(BLACK)])
    second = accelerated.begin([_shot(BLACK, WHITE, WHITE)])
    found = [*accelerated.finish(first).results, *accelerated.finish(second).results]
    assert [len(one) for one in found if not isinstance(one, InferenceError)] == [1, 0, 1]
    assert session.threads == {"inference"}


def test_the_next_views_are_painted_while_the_model_runs(session: Bright, accelerated: Detector) -> None:
    """With one call at work the next is ready on a canvas of its own; the one after waits for a free one."""
    released: list[int] = []
    session.go.clear()
    tickets = [
        accelerated.begin([_shot(WHITE, WHITE, number=number)], lambda one: released.append(one.number))
        for number in range(3)
    ]
    assert released == [0, 1], "two canvases"
    session.go.set()
    for ticket in tickets:
        (found,) = accelerated.finish(ticket).results
        assert not isinstance(found, InferenceError)
        assert len(found) == 1
        assert released == [0, 1, 2], "the canvas of the first went to the third before the first was read"


def test_a_batch_in_between_may_be_finished_first(session: Bright, accelerated: Detector) -> None:
    """One that jumps the queue takes nothing from those that wait, however many views they have."""
    many = accelerated.begin([_shot(*[WHITE] * 7, number=1)])
    (between,) = accelerated.attempt([_shot(BLACK)]).results
    (found,) = accelerated.finish(many).results
    assert [not isinstance(one, InferenceError) and len(one) for one in (between, found)] == [0, 1]
    assert session.rows == [2, 2, 2, 1, 1]


def test_a_failure_beside_costs_its_own_frames(session: Bright, accelerated: Detector) -> None:
    """The error stands in the place of each frame of that batch; the one that was begun meanwhile is whole."""
    session.broken = {0}
    released: list[Frame] = []
    first = accelerated.begin([_shot(WHITE)], released.append)
    second = accelerated.begin([_shot(WHITE)], released.append)
    assert isinstance(accelerated.finish(first).results[0], InferenceError)
    assert not isinstance(accelerated.finish(second).results[0], InferenceError)
    assert len(released) == 2


def test_a_bug_beside_reaches_who_waits(session: Bright, accelerated: Detector) -> None:
    """An unexpected error in the thread ends the wait for its result, and for every later one."""
    session.bug = True
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the inference stopped on an unexpected error"):
            accelerated.attempt([_shot(WHITE)])


@pytest.mark.parametrize(
    ("max_batch", "views", "rows"), [(8, 3, 4), (8, 5, 8), (6, 5, 6), (6, 4, 4), (8, 1, 1), (1, 1, 1)]
)
def test_an_accelerator_gets_few_sizes_of_batch(
    session: Bright, max_batch: int, views: int, rows: int
) -> None:
    """Up to the next power of two, but never more than fit; what the rest of the rows gives is nobody's."""
    detector = _detector(session, max_batch=max_batch, placement=CUDA)
    attempt = detector.attempt([_shot(WHITE)] * views)
    detector.close()
    assert session.rows == [rows]
    assert attempt.rows == (views,)
    assert len(attempt.results) == views


def test_a_smaller_batch_takes_hold_at_once(session: Bright) -> None:
    """`max_batch` is lowered between two batches where memory is short."""
    detector = _detector(session, max_batch=8, placement=CUDA)
    detector.attempt([_shot(WHITE)] * 8)
    detector.max_batch = 3
    detector.attempt([_shot(WHITE)] * 8)
    detector.close()
    assert session.rows == [8, 3, 3, 2]


def test_an_accelerator_is_warm_for_each_size_of_batch(session: Bright) -> None:
    """What it prepares for each size of batch is prepared before the first frame."""
    detector = _detector(session, max_batch=6, placement=CUDA)
    detector.warm()
    detector.close()
    assert sorted(session.rows) == [1, 2, 4, 6]


def test_an_inspection_has_a_floor_of_its_own(session: Bright) -> None:
    """One view is seen below the detector's floor, beside the numbers themselves, whatever else is under way."""
    detector = _detector(session, floor=0.9)
    ticket = detector.begin([_shot(WHITE)])
    found, outputs = detector.inspect(_shot(160), 0.3)
    assert len(found) == 1
    assert found.boxes[0] == pytest.approx([0.25, 0.25, 0.75, 0.75])
    assert float(outputs["scores"].max()) == pytest.approx(float(found.scores[0]))
    assert len(detector.finish(ticket).results) == 1
    assert len(detector.detect([_shot(160)])[0]) == 0


@pytest.mark.parametrize("fault", ["the run fails", "the view is none"])
def test_an_inspection_that_fails_raises(session: Bright, fault: str) -> None:
    """No answer is an InferenceError, and the detector goes on."""
    detector = _detector(session)
    session.broken = {0} if fault == "the run fails" else set()
    shown = _shot(WHITE) if session.broken else frame(view(grey(33, 32)))
    with pytest.raises(InferenceError):
        detector.inspect(shown, 0.3)
    assert len(detector.detect([_shot(WHITE)])[0]) == 1


def test_each_call_that_ends_is_a_move(session: Bright) -> None:
    """Who waits for a frame of many views can tell a slow model from a stuck one."""
    detector = _detector(session)
    moves: list[float] = []
    session.before = lambda: moves.append(detector.moved)
    detector.attempt([_shot(*[WHITE] * 6)])
    assert len(session.rows) == 3
    assert moves[0] < moves[1] < moves[2] < detector.moved


@pytest.mark.parametrize("placement", [CPU, CUDA], ids=["cpu", "gpu"])
def test_a_session_that_failed_goes_when_its_detector_is_closed(placement: Placement) -> None:
    """What is left of the failure holds no memory of the device, which the next session needs at once."""
    session = Bright()
    session.broken = {0}
    gone = weakref.ref(session)
    detector = _detector(session, placement=placement)
    gc.disable()
    try:
        (result,) = detector.attempt([_shot(WHITE)]).results
        assert isinstance(result, InferenceError)
        detector.close()
        del session
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("overlaps", [False, True])
def test_a_closed_detector_refuses(session: Bright, overlaps: bool) -> None:
    """What comes after the end fails at once, with a sentence, and its frames are released."""
    detector = _detector(session)
    detector.overlaps = overlaps
    detector.detect([_shot(WHITE)])
    detector.close()
    released: list[Frame] = []
    (result,) = detector.attempt([_shot(WHITE)], released.append).results
    assert isinstance(result, InferenceError)
    assert str(result) == "expected an open detector, found a closed one"
    assert len(released) == 1
