"""The light of a picture is measured as a person would describe it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from tocsin.light.measure import measure

PLANES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40))


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
def test_uniform(luma: int, level: float, low: float, high: float) -> None:
    """A uniform picture has one level in every figure and no contrast."""
    light = measure(np.full((6, 10), luma, np.uint8))
    assert (light.mean, light.p1, light.p50, light.p99) == pytest.approx((level,) * 4)
    assert (light.clipped_low, light.clipped_high, light.contrast) == (low, high, 0.0)


@pytest.mark.parametrize("luma", [17, 234])
def test_nearly_clipped(luma: int) -> None:
    """The darkest grey and the brightest are not clipped."""
    light = measure(np.full((6, 10), luma, np.uint8))
    assert (light.clipped_low, light.clipped_high) == (0.0, 0.0)


def test_percentiles() -> None:
    """A percentile ignores the one pixel in a hundred beyond it, and clipped shares count it."""
    plane = np.full((10, 20), 126, np.uint8)
    plane[0, :2] = 16
    plane[9, :2] = 235
    light = measure(plane)
    assert (light.p1, light.p50, light.p99) == pytest.approx((0.0, 128.08, 128.08), abs=0.01)
    assert (light.clipped_low, light.clipped_high) == pytest.approx((0.01, 0.01))


@given(PLANES)
def test_order(plane: np.ndarray) -> None:
    """Percentiles rise, the mean lies on the scale, and measuring changes no pixel."""
    before = plane.copy()
    light = measure(plane)
    assert 0 <= light.p1 <= light.p50 <= light.p99 <= 255
    assert 0 <= light.mean <= 255
    assert light.clipped_low >= 0
    assert light.clipped_high >= 0
    assert light.clipped_low + light.clipped_high <= 1 + 1e-9
    np.testing.assert_array_equal(plane, before)


@given(PLANES)
def test_place_does_not_matter(plane: np.ndarray) -> None:
    """Light is a matter of how many pixels have which luma, not of where they are."""
    shuffled = np.sort(plane, axis=None).reshape(plane.shape)
    assert measure(shuffled) == measure(plane)


def test_no_pixels() -> None:
    """A plane without pixels is refused with its shape."""
    with pytest.raises(ValueError, match=r"expected a luma plane with pixels, found the shape \(0, 4\)"):
        measure(np.empty((0, 4), np.uint8))
