"""The light of a picture is measured as a person would describe it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from support.lighting import noisy, picture, scene, veiled
from tocsin.light.measure import COLUMNS, ROWS, measure

SIDES = st.integers(1, 24).map(lambda half: 2 * half)
PLANES = st.tuples(SIDES, SIDES).flatmap(lambda shape: arrays(np.uint8, shape))


@pytest.mark.parametrize(
    ("luma", "level", "low", "high"),
    [
        pytest.param(16, 0.0, 1.0, 0.0, id="luma 16 is black, and clipped"),
        pytest.param(235, 255.0, 0.0, 1.0, id="luma 235 is white, and clipped"),
        pytest.param(89, 85.0, 0.0, 0.0, id="a third of the range is a third of the scale"),
        pytest.param(0, 0.0, 1.0, 0.0, id="what is darker than black counts as black"),
        pytest.param(255, 255.0, 0.0, 1.0, id="what is whiter than white counts as white"),
    ],
)
@pytest.mark.parametrize("shape", [(6, 10), (234, 416)], ids=str)
def test_uniform(shape: tuple[int, int], luma: int, level: float, low: float, high: float) -> None:
    """A uniform picture has one level in every figure, no contrast and no noise."""
    light = measure(picture(np.full(shape, luma, np.uint8))).light
    assert (light.mean, light.p1, light.p50, light.p99) == pytest.approx((level,) * 4)
    assert (light.clipped_low, light.clipped_high, light.contrast) == (low, high, 0.0)
    assert light.noise == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("luma", [17, 234])
def test_nearly_clipped(luma: int) -> None:
    """The darkest grey and the brightest are not clipped."""
    light = measure(picture(np.full((6, 10), luma, np.uint8))).light
    assert (light.clipped_low, light.clipped_high) == (0.0, 0.0)


def test_percentiles() -> None:
    """A percentile ignores the one pixel in a hundred beyond it."""
    plane = np.full((10, 20), 126, np.uint8)
    plane[0, :2] = 17
    plane[9, :2] = 234
    light = measure(picture(plane)).light
    assert (light.p1, light.p50, light.p99) == pytest.approx((1.16, 128.08, 128.08), abs=0.01)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.85])
@pytest.mark.parametrize(("luma", "low", "high"), [(16, True, False), (235, False, True)])
def test_what_is_clipped_has_no_contrast(share: float, luma: int, low: bool, high: bool) -> None:
    """Black bars and blown lamps are counted as clipped, and do not widen the range of the rest."""
    plane = veiled(scene(), 0.75)
    clean = measure(picture(plane)).light
    plane[: round(share * 234)] = luma
    light = measure(picture(plane)).light
    assert (light.clipped_low, light.clipped_high) == pytest.approx((share * low, share * high), abs=0.01)
    assert light.contrast == pytest.approx(clean.contrast, abs=3)


def test_a_picture_that_is_clipped_all_over_is_measured_as_it_is() -> None:
    """Where next to nothing is left between the ends, the ends are the range."""
    plane = np.where(scene() < 120, 16, 235).astype(np.uint8)
    assert measure(picture(plane)).light.contrast == 255


@given(PLANES)
def test_order(plane: np.ndarray) -> None:
    """Percentiles rise, shares are shares, and measuring changes no pixel, whatever the size of the picture."""
    pixels = picture(plane)
    light = measure(pixels).light
    assert 0 <= light.p1 <= light.p99 <= 255
    assert 0 <= light.p50 <= 255
    assert 0 <= light.mean <= 255
    assert light.clipped_low >= 0
    assert light.clipped_high >= 0
    assert light.clipped_low + light.clipped_high <= 1 + 1e-6
    assert light.noise >= 0
    np.testing.assert_array_equal(pixels, picture(plane))


def test_cells_are_places() -> None:
    """Each cell counts the pixels of its own place, as many as the others."""
    plane = np.full((240, 320), 100, np.uint8)
    plane[200:, 280:] = 200
    cells = measure(picture(plane)).cells
    assert cells.shape == (ROWS, COLUMNS, 256)
    assert np.ptp(cells.sum(axis=2)) == 0
    assert cells[-1, -1, 200] == cells[0, 0, 100] > 0
    assert cells[:, :, 200].sum() == cells[-1, -1, 200]


def test_a_large_picture_is_sampled_fairly() -> None:
    """The light of a large picture is that of all its pixels, within a level."""
    plane = scene(seed=3)
    light = measure(picture(plane)).light
    assert light.mean == pytest.approx(float((plane.astype(float) - 16).mean() * 255 / 219), abs=1.0)


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
@pytest.mark.parametrize("plane", [np.full((234, 416), 120, np.uint8), scene()], ids=["plain", "with edges"])
def test_noise_is_found(plane: np.ndarray, sigma: float) -> None:
    """The noise is told in levels, whether there is anything else in the picture or not."""
    plane = np.clip(plane, 60, 190)
    found = measure(picture(noisy(plane, sigma))).light.noise
    assert found == pytest.approx(sigma * 255 / 219, rel=0.3)


def test_edges_are_no_noise() -> None:
    """A clean picture full of edges has next to no noise."""
    assert measure(picture(scene())).light.noise < 0.5


@pytest.mark.parametrize(("chroma", "infrared"), [(128, True), (130, True), (140, False), (110, False)])
def test_infrared(chroma: int, infrared: bool) -> None:
    """A picture without colour, but for what a codec errs, counts as infrared."""
    assert measure(picture(scene(), chroma)).light.infrared is infrared


def test_a_little_colour_is_colour() -> None:
    """One coloured thing in a grey picture is enough to know that the camera sees colours."""
    pixels = picture(scene(), 128)
    pixels[234:257] = 160
    assert not measure(pixels).light.infrared


def test_no_pixels() -> None:
    """A picture without pixels is a mistake of who asks."""
    with pytest.raises(AssertionError, match="at least 2 x 2 pixels"):
        measure(np.empty((0, 4), np.uint8))
