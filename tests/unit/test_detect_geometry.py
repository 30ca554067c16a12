"""A box keeps its place on the way through the detector's input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tocsin.detect.families import FAMILIES, Hints
from tocsin.detect.geometry import Place, centre, to_frame
from tocsin.detect.session import Signature, Tensor
from tocsin.frame import WHOLE, Box, fit

SIDE = st.integers(16, 4096)
INPUT = st.integers(2, 1280)
SHARE = st.floats(0, 1)


@pytest.mark.parametrize(
    ("picture", "takes", "keep_aspect", "wanted"),
    [
        pytest.param((768, 576), (416, 416), True, (416, 312), id="4:3 fills the width"),
        pytest.param((1920, 1080), (416, 416), True, (416, 234), id="16:9 fills the width"),
        pytest.param((1080, 1920), (416, 416), True, (234, 416), id="a hallway view fills the height"),
        pytest.param((320, 240), (640, 640), True, (640, 480), id="a small picture is enlarged"),
        pytest.param((1920, 1080), (416, 416), False, (416, 416), id="stretching fills both"),
        pytest.param((1000, 1000), (415, 301), False, (414, 300), id="an odd input leaves a margin of one"),
        pytest.param((1000, 10), (416, 416), True, (416, 4), id="a ribbon keeps an even height"),
        pytest.param((4000, 1), (416, 416), True, (416, 2), id="nothing gets thinner than two"),
    ],
)
def test_a_picture_fills_the_input(
    picture: tuple[int, int], takes: tuple[int, int], keep_aspect: bool, wanted: tuple[int, int]
) -> None:
    """The size is the largest even one that fits."""
    assert fit(*picture, *takes, keep_aspect) == wanted


@given(SIDE, SIDE, INPUT, INPUT, st.booleans())
def test_the_size_is_even_and_within_the_input(
    width: int, height: int, input_width: int, input_height: int, keep_aspect: bool
) -> None:
    """I420 needs even sides, and the input must hold them."""
    wide, high = fit(width, height, input_width, input_height, keep_aspect)
    assert wide % 2 == high % 2 == 0
    assert 2 <= wide <= input_width
    assert 2 <= high <= input_height


@given(SIDE, SIDE, INPUT, INPUT)
def test_the_shape_is_kept_within_a_pixel(
    width: int, height: int, input_width: int, input_height: int
) -> None:
    """No side is further from the picture's shape than rounding to even numbers asks for."""
    wide, high = fit(width, height, input_width, input_height, keep_aspect=True)
    scale = min(input_width / width, input_height / height)
    assert abs(wide - width * scale) <= 1 + 1e-9 or wide == 2
    assert abs(high - height * scale) <= 1 + 1e-9 or high == 2


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """A box inside the frame."""
    xs, ys = sorted([draw(SHARE), draw(SHARE)]), sorted([draw(SHARE), draw(SHARE)])
    return xs[0], ys[0], xs[1], ys[1]


@st.composite
def regions(draw: st.DrawFn) -> Box:
    """The whole frame or a part of it that is not a sliver."""
    if draw(st.booleans()):
        return WHOLE
    left, top = draw(st.floats(0, 0.7)), draw(st.floats(0, 0.7))
    return left, top, draw(st.floats(left + 0.2, 1)), draw(st.floats(top + 0.2, 1))


@given(SIDE, SIDE, INPUT, INPUT, st.booleans(), regions(), boxes())
def test_a_box_comes_back_within_half_a_pixel(
    width: int, height: int, input_width: int, input_height: int, keep_aspect: bool, region: Box, box: Box
) -> None:
    """What a detector reports to the nearest pixel is found in the frame to half a pixel of the detector."""
    part = (region[2] - region[0]) * width, (region[3] - region[1]) * height
    size = fit(max(1, round(part[0])), max(1, round(part[1])), input_width, input_height, keep_aspect)
    place = centre(*size, region, input_width, input_height)
    # a pixel of the view is an equal share of the part, shifted by the margin
    across = [place.left + size[0] * share for share in (box[0], box[2])]
    down = [place.top + size[1] * share for share in (box[1], box[3])]
    reported = np.round([[across[0], down[0], across[1], down[1]]]).astype(np.float32)

    found, _ = to_frame(reported, place)

    wanted = [
        region[0] + (region[2] - region[0]) * box[0],
        region[1] + (region[3] - region[1]) * box[1],
        region[0] + (region[2] - region[0]) * box[2],
        region[1] + (region[3] - region[1]) * box[3],
    ]
    pixel = np.array([(region[2] - region[0]) / size[0], (region[3] - region[1]) / size[1]] * 2)
    assert (np.abs(found[0] - wanted) <= pixel / 2 + 1e-4).all()


def test_the_margin_is_equal_on_both_sides() -> None:
    """A view lies in the middle of the input."""
    assert centre(416, 312, WHOLE, 416, 416) == Place(0, 52, 416, 312, WHOLE)


def test_the_size_of_an_object_is_what_the_detector_saw() -> None:
    """Width and height come in pixels of the input, whatever part of the frame the view shows."""
    place = centre(200, 100, (0.5, 0.5, 1.0, 1.0), 200, 200)
    found, pixels = to_frame(np.array([[50, 60, 70, 100]], np.float32), place)
    assert pixels.tolist() == [[20, 40]]
    assert found[0] == pytest.approx([0.625, 0.55, 0.675, 0.75])


def test_a_box_ends_at_the_edge_of_its_view() -> None:
    """What reaches into the margin is cut, and what lies wholly there has no height left."""
    place = centre(100, 50, WHOLE, 100, 100)
    found, pixels = to_frame(np.array([[-10, 0, 50, 50], [10, 5, 20, 20]], np.float32), place)
    assert found[0] == pytest.approx([0, 0, 0.5, 0.5])
    assert pixels.tolist() == [[50, 25], [10, 0]]


FORMS = st.sampled_from(["detr-sigmoid", "tensorflow", "yolov8", "end-to-end"])


@given(SIDE, SIDE, st.integers(64, 1280), st.integers(64, 1280), st.booleans(), boxes(), FORMS)
def test_every_form_of_a_box_comes_back_within_half_a_pixel(
    width: int, height: int, input_width: int, input_height: int, keep_aspect: bool, box: Box, form: str
) -> None:
    """Centre or corners, x or y first, pixels or from 0 to 1: what a model means is found in the frame."""
    place = centre(
        *fit(width, height, input_width, input_height, keep_aspect), WHOLE, input_width, input_height
    )
    x1, x2 = (place.left + place.width * side for side in (box[0], box[2]))
    y1, y2 = (place.top + place.height * side for side in (box[1], box[3]))
    middle = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
    size = (input_width, input_height) * 2
    outputs: dict[str, NDArray[np.float32]]
    match form:
        case "detr-sigmoid":
            relative = [side / whole for side, whole in zip(middle, size, strict=True)]
            outputs = {"logits": np.array([[[4]]]), "pred_boxes": np.array([[relative]])}
        case "tensorflow":
            corners = [y1 / input_height, x1 / input_width, y2 / input_height, x2 / input_width]
            outputs = {
                "detection_boxes": np.array([[corners]]),
                "detection_scores": np.array([[0.9]]),
                "detection_classes": np.array([[1]]),
                "num_detections": np.array([1]),
            }
        case "yolov8":
            outputs = {"output": np.array([[*middle, 0.9]]).T[np.newaxis]}
        case _:
            outputs = {"output": np.array([[[x1, y1, x2, y2, 0.9, 0]]])}
    outputs = {name: values.astype(np.float32) for name, values in outputs.items()}
    tensors = tuple(Tensor(name, values.shape, "tensor(float)") for name, values in outputs.items())
    if form == "yolov8":  # one anchor is fewer than any real model has
        tensors = (Tensor("output", (1, 5, None), "tensor(float)"),)
    reading = FAMILIES[form].read(Signature((), tensors, {}), Hints(input_width, input_height, 1, asked=True))
    assert reading is not None, "the family reads its own outputs"
    objects = reading.pick([outputs[name][0] for name in reading.outputs], 0.5)
    found, _ = to_frame(objects.boxes, place)
    pixel = np.array([1 / place.width, 1 / place.height] * 2)
    assert (np.abs(found[0] - box) <= pixel / 2 + 1e-4).all()


@pytest.mark.parametrize(
    ("size", "left", "top"), [((234, 416), 91, 0), ((416, 234), 0, 91), ((416, 416), 0, 0)]
)
def test_a_view_lies_in_the_middle_of_the_input(size: tuple[int, int], left: int, top: int) -> None:
    """The margin of a portrait picture is as wide left as right, that of a landscape as high above as below."""
    place = centre(*size, WHOLE, 416, 416)
    assert (place.left, place.top, place.width, place.height) == (left, top, *size)
