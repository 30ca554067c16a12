"""Pictures are corrected in place, and only as planned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tocsin.frame import Correction
from tocsin.light.correct import Corrector
from tocsin.light.measure import measure
from tocsin.light.plan import Mode, Plan, Policy, plan

PLANES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=48))
ALWAYS = Policy(Mode.DACOT, brighter_than=0)
STRETCH = Policy(Mode.GUIDED, stretch_below=256)


def corrected(luma: np.ndarray, policy: Policy) -> np.ndarray:
    result = luma.copy()
    Corrector().correct(result, plan(measure(luma), policy, Correction.NONE))
    return result


def gradient(low: int, high: int) -> np.ndarray:
    row = np.linspace(low, high, 416).astype(np.uint8)
    return np.ascontiguousarray(np.tile(row, (234, 1)))


@given(PLANES)
def test_off_is_identity(luma: np.ndarray) -> None:
    """Off changes no pixel, not even one outside 16 to 235."""
    np.testing.assert_array_equal(corrected(luma, Policy(Mode.OFF)), luma)


@given(PLANES, st.sampled_from([ALWAYS, STRETCH]))
@settings(deadline=None)
def test_bounded(luma: np.ndarray, policy: Policy) -> None:
    """After any correction every value lies from 16 to 235, whatever the size of the picture."""
    after = corrected(luma, policy)
    assert after.min() >= 16
    assert after.max() <= 235


@given(PLANES)
def test_stretch_keeps_order(luma: np.ndarray) -> None:
    """A pixel that was at least as bright as another still is after a stretch."""
    after = corrected(luma, STRETCH).ravel().astype(int)
    assert np.all(np.diff(after[np.argsort(luma, axis=None, kind="stable")]) >= 0)


@pytest.mark.parametrize("policy", [STRETCH, ALWAYS], ids=["stretch", "dacot"])
def test_in_place(policy: Policy) -> None:
    """The luma of an I420 buffer is corrected where it lies, and chroma is not touched."""
    buffer = np.full((351, 416), 128, np.uint8)
    buffer[:234] = gradient(160, 220)
    expected = corrected(buffer[:234], policy)
    Corrector().correct(buffer[:234], plan(measure(buffer[:234]), policy, Correction.NONE))
    np.testing.assert_array_equal(buffer[:234], expected)
    assert not np.array_equal(expected, gradient(160, 220))
    assert np.all(buffer[234:] == 128)


@pytest.mark.parametrize("policy", [STRETCH, ALWAYS], ids=["stretch", "dacot"])
def test_contrast_rises(policy: Policy) -> None:
    """A veiled picture has more contrast after the correction."""
    veiled = gradient(170, 220)
    assert measure(corrected(veiled, policy)).contrast > measure(veiled).contrast + 20


@pytest.mark.parametrize("luma", [16, 17, 60, 128, 200, 234, 235])
@pytest.mark.parametrize("shape", [(2, 2), (20, 16), (130, 126), (234, 416)], ids=str)
def test_uniform_stays_harmless(luma: int, shape: tuple[int, int]) -> None:
    """A uniform picture stays uniform; guided mode keeps its level."""
    plain = np.full(shape, luma, np.uint8)
    stretched = corrected(plain, Policy())
    assert len(np.unique(stretched)) == len(np.unique(corrected(plain, ALWAYS))) == 1
    assert abs(int(stretched[0, 0]) - luma) <= 1


@pytest.mark.parametrize("shape", [(20, 16), (60, 60), (130, 126), (234, 416)], ids=str)
def test_clahe_does_not_blow_up_small_pictures(shape: tuple[int, int]) -> None:
    """CLAHE leaves a uniform picture near its level, however small the picture."""
    plain = np.full(shape, 60, np.uint8)
    Corrector().correct(plain, Plan(Correction.CLAHE, None, 2.0))
    assert abs(int(plain[0, 0]) - 60) <= 16


def test_one_corrector_for_many_pictures() -> None:
    """What a corrector keeps does not leak from one picture into the next, nor from one size into another."""
    corrector = Corrector()
    for width in (416, 64, 416):
        luma = np.ascontiguousarray(gradient(100, 235)[:, :width])
        expected = corrected(luma, ALWAYS)
        corrector.correct(luma, plan(measure(luma), ALWAYS, Correction.NONE))
        np.testing.assert_array_equal(luma, expected)
