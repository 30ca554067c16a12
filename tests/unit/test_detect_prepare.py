"""A view's pixels come into the model's input as its description says."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from support.pictures import grey, view
from tocsin.detect.manifest import Colour, Fit, InputFormat, Layout, Numbers
from tocsin.detect.prepare import Canvas
from tocsin.errors import InferenceError, InferenceFault

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(16, 236, (height * 3 // 2, width), np.uint8)


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("colour", Colour)
@pytest.mark.parametrize(("mean", "std"), [((0, 0, 0), (1, 1, 1)), (IMAGENET_MEAN, IMAGENET_STD)])
def test_the_input_is_what_the_description_says(
    layout: Layout, colour: Colour, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    """Order of axes, order of channels, scale, mean and spread are all honoured, margin included."""
    takes = InputFormat(width=96, height=64, layout=layout, colour=colour, mean=mean, std=std, pad=114)
    pixels = _noise(40, 64)
    canvas = Canvas(takes, 2)
    place = canvas.put(1, view(pixels))

    code = cv2.COLOR_YUV2RGB_I420 if colour is Colour.RGB else cv2.COLOR_YUV2BGR_I420
    wanted = np.full((64, 96, 3), 114, np.float64)
    wanted[:, 28:68] = cv2.cvtColor(pixels, code)
    wanted = (wanted / 255 - mean) / std
    found = canvas.values(2)[1]
    assert (place.left, place.top) == (28, 0)
    assert canvas.values(2).dtype == np.float32
    np.testing.assert_allclose(
        found if layout is Layout.NHWC else found.transpose(1, 2, 0), wanted, atol=1e-5
    )


def test_the_margin_follows_the_view() -> None:
    """A slot that held a wide picture holds nothing of it beside a tall one."""
    takes = InputFormat(width=64, height=64, scale=1.0, pad=7)
    canvas = Canvas(takes, 1)
    canvas.put(0, view(grey(64, 32, 235)))
    canvas.put(0, view(grey(32, 64, 235)))
    fresh = Canvas(takes, 1)
    fresh.put(0, view(grey(32, 64, 235)))
    assert (canvas.values(1) == fresh.values(1)).all()
    assert (canvas.values(1)[0, :, :, :16] == 7).all()


def test_a_refused_view_leaves_the_slot_usable() -> None:
    """After a view that is none the next one of the old size is painted whole."""
    canvas = Canvas(InputFormat(width=64, height=64), 1)
    canvas.put(0, view(grey(64, 32, 235)))
    before = canvas.values(1).copy()
    with pytest.raises(InferenceError):
        canvas.put(0, view(np.zeros((40, 64), np.uint8)))
    canvas.put(0, view(grey(64, 32, 235)))
    assert (canvas.values(1) == before).all()


def test_stretched_pictures_fill_the_input() -> None:
    """A model that takes stretched pictures gets no margin from a view that fills it."""
    canvas = Canvas(InputFormat(width=64, height=48, scale=1.0, fit=Fit.STRETCH, pad=0), 1)
    canvas.put(0, view(grey(64, 48, 235)))
    assert (canvas.values(1) == 255).all()


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        pytest.param(np.zeros((49, 128), np.uint8), "expected I420 pixels of 128x32", id="and too wide"),
        pytest.param(np.zeros((40, 64), np.uint8), "expected I420 pixels of 64x26", id="not two thirds luma"),
        pytest.param(np.zeros((48, 33), np.uint8), "expected I420 pixels of 33x32", id="an odd width"),
    ],
)
def test_a_view_that_is_none_is_refused(pixels: NDArray[np.uint8], sentence: str) -> None:
    """A view that cannot be painted is a failed inference of that frame."""
    with pytest.raises(InferenceError, match=sentence) as caught:
        Canvas(InputFormat(width=64, height=64), 1).put(0, view(pixels))
    assert caught.value.fault is InferenceFault.SHAPE


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("numbers", Numbers)
@pytest.mark.parametrize(("mean", "std"), [((0, 0, 0), (1, 1, 1)), (IMAGENET_MEAN, IMAGENET_STD)])
def test_every_kind_of_number_holds_the_same_picture(
    layout: Layout, numbers: Numbers, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    """Whole numbers are the pixels; half floats are the nearest halves of what floats are, margin included."""
    whole = numbers is Numbers.UINT8
    scale = 1.0 if whole else 1 / 255
    if whole:
        mean, std = (0, 0, 0), (1, 1, 1)
    takes = InputFormat(width=97, height=65, layout=layout, scale=scale, mean=mean, std=std, numbers=numbers)
    pixels = _noise(40, 64)
    canvas = Canvas(takes, 2)
    canvas.put(1, view(pixels))

    wanted = np.full((65, 97, 3), 114, np.float64)
    wanted[0:64, 28:68] = cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_I420)
    kind = {Numbers.UINT8: np.uint8, Numbers.FLOAT16: np.float16, Numbers.FLOAT32: np.float32}[numbers]
    found = canvas.values(2)[1]
    assert found.dtype == kind
    picture = found if layout is Layout.NHWC else found.transpose(1, 2, 0)
    exact = ((wanted * scale - mean) / std).astype(kind)
    if numbers is Numbers.FLOAT32:
        np.testing.assert_allclose(picture, exact, atol=1e-5)
    else:
        assert (picture == exact).all()
    assert (canvas.values(2)[0] == 0).all(), "the other slot is untouched"


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize(
    "size",
    [
        pytest.param((128, 96), id="made for a larger input"),
        pytest.param((32, 24), id="made for a smaller one"),
        pytest.param((64, 128), id="too tall alone"),
    ],
)
def test_a_view_made_for_another_model_is_painted_in_this_one_s_size(size: tuple[int, int], fit: Fit) -> None:
    """Frames that are on their way while the model is exchanged lose no part of their picture, nor its colours."""
    takes = InputFormat(width=64, height=64, scale=1.0, fit=fit, pad=0)
    width, height = size
    pixels = grey(width, height, 40)
    pixels[: height // 2] = 200  # the upper half is bright
    pixels[height : height * 5 // 4] = 90  # and all of it yellow
    canvas = Canvas(takes, 1)
    place = canvas.put(0, view(pixels))
    whole = (64, 64) if fit is Fit.STRETCH else (min(64, 64 * width // height), min(64, 64 * height // width))
    assert (place.width, place.height) == whole
    painted = canvas.values(1)[0][
        :, place.top : place.top + place.height, place.left : place.left + place.width
    ]
    expected = cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_I420)
    upper, lower = np.split(painted.transpose(1, 2, 0), [place.height // 2])
    assert np.abs(upper[:-2] - expected[0, 0]).max() <= 1
    assert np.abs(lower[2:] - expected[-1, 0]).max() <= 1


def test_a_view_of_an_odd_input_is_left_as_it_is() -> None:
    """An even picture never fills an odd side, and is not resized for that on every frame."""
    canvas = Canvas(InputFormat(width=65, height=97, scale=1.0), 1)
    assert canvas.put(0, view(grey(64, 48))).width == 64
