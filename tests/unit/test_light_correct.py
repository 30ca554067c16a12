"""Pictures are corrected in place, and only as planned."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from support.lighting import dimmed, luma_of, noisy, on_the_left, picture, scene, veiled
from tocsin.frame import Correction, Reason
from tocsin.light.correct import Corrector
from tocsin.light.measure import measure
from tocsin.light.plan import Mode, Plan, Policy, plan

SIDES = st.integers(1, 24).map(lambda half: 2 * half)
PLANES = st.tuples(SIDES, SIDES).flatmap(lambda shape: arrays(np.uint8, shape))
ALWAYS = Policy(Mode.DACOT, brighter_than=0)
GUIDED = Policy()
EAGER = Policy(good_contrast=500, lost_contrast=400, lifted=(-2, -1), parts=-1, noisy=-1)
"""Takes every step of the guided mode, whatever the picture."""


def corrected(luma: np.ndarray, policy: Policy) -> np.ndarray:
    result = luma.copy()
    Corrector().correct(result, plan(measure(picture(luma)), policy, Correction.NONE))
    return result


def gradient(low: int, high: int) -> np.ndarray:
    row = np.linspace(low, high, 416).astype(np.uint8)
    return np.ascontiguousarray(np.tile(row, (234, 1)))


def contrast(luma: np.ndarray) -> float:
    return measure(picture(luma)).light.contrast


@given(PLANES)
def test_off_is_identity(luma: np.ndarray) -> None:
    """Off changes no pixel, not even one outside 16 to 235."""
    np.testing.assert_array_equal(corrected(luma, Policy(Mode.OFF)), luma)


@given(PLANES, st.sampled_from([ALWAYS, GUIDED, EAGER]))
@settings(deadline=None)
def test_bounded(luma: np.ndarray, policy: Policy) -> None:
    """After any correction every value lies from 16 to 235, whatever the size of the picture."""
    decided = plan(measure(picture(luma)), policy, Correction.NONE)
    after = luma.copy()
    Corrector().correct(after, decided)
    if decided.correction is Correction.NONE:
        np.testing.assert_array_equal(after, luma)
    else:
        assert after.min() >= 16
        assert after.max() <= 235


def test_good_light_is_identity() -> None:
    """Where contrast is good not a pixel changes."""
    np.testing.assert_array_equal(corrected(scene(), GUIDED), scene())


@pytest.mark.parametrize("policy", [GUIDED, ALWAYS], ids=["guided", "dacot"])
def test_in_place(policy: Policy) -> None:
    """The luma of an I420 buffer is corrected where it lies, and chroma is not touched."""
    buffer = picture(veiled(scene(), 0.7), 128)
    before = buffer.copy()
    expected = corrected(luma_of(buffer), policy)
    Corrector().correct(luma_of(buffer), plan(measure(buffer), policy, Correction.NONE))
    np.testing.assert_array_equal(luma_of(buffer), expected)
    assert not np.array_equal(expected, luma_of(before))
    assert np.all(buffer[234:] == 128)


@pytest.mark.parametrize("policy", [GUIDED, ALWAYS], ids=["guided", "dacot"])
def test_contrast_rises(policy: Policy) -> None:
    """A veiled picture has more contrast after the correction."""
    veil = veiled(scene(), 0.75)
    assert contrast(corrected(veil, policy)) > contrast(veil) + 20


@pytest.mark.parametrize("share", [0.6, 0.8])
def test_a_veil_is_lifted(share: float) -> None:
    """Guided mode gives a veiled picture back nearly as it was."""
    after = corrected(veiled(scene(), share), GUIDED).astype(float)
    assert np.abs(after - scene()).mean() < 12


def test_a_veil_over_a_veil_is_lifted() -> None:
    """What each part needs beyond the whole is done to the picture as it is after the whole's."""
    spoilt = veiled(veiled(scene(), on_the_left(0.6)), 0.6)
    after = corrected(spoilt, GUIDED).astype(float)
    assert np.abs(after - scene())[:, :140].mean() < 16
    assert np.abs(after - scene())[:, 300:].mean() < 16


@pytest.mark.parametrize(
    "spoilt",
    [veiled(scene(), on_the_left(0.8)), dimmed(scene(), 1 - on_the_left(0.85))],
    ids=["glare on the left", "shadow on the left"],
)
def test_a_part_is_lifted(spoilt: np.ndarray) -> None:
    """What lost its contrast in one half gets it back, and the other half keeps every pixel."""
    after = corrected(spoilt, GUIDED)
    assert contrast(after[:, :150]) > contrast(spoilt[:, :150]) + 100
    np.testing.assert_array_equal(after[:, 340:], spoilt[:, 340:])


def test_no_seam() -> None:
    """A smooth picture stays smooth: the correction of parts leaves no edge between them."""
    thinning = np.tile(np.linspace(0.85, 0.0, 416), (234, 1))
    spoilt = veiled(np.ascontiguousarray(np.tile(np.linspace(16, 235, 234)[:, None], (1, 416))), thinning)
    after = corrected(spoilt, GUIDED).astype(int)
    assert np.ptp(after[:, :50]) > np.ptp(spoilt[:, :50]) + 50
    assert np.abs(np.diff(after, axis=0)).max() <= 12
    assert np.abs(np.diff(after, axis=1)).max() <= 12


def test_order_is_kept_under_an_even_veil() -> None:
    """Where the light is the same everywhere, a brighter pixel is still brighter, within a rounding."""
    veil = veiled(scene(), 0.75)
    after = corrected(veil, GUIDED).astype(int)
    patch = (slice(100, 130), slice(180, 230))
    order = np.argsort(veil[patch], axis=None, kind="stable")
    assert np.diff(after[patch].ravel()[order]).min() >= -40


@pytest.mark.parametrize("luma", [16, 17, 60, 128, 200, 234, 235])
@pytest.mark.parametrize("shape", [(2, 2), (20, 16), (130, 126), (234, 416)], ids=str)
def test_uniform_stays_harmless(luma: int, shape: tuple[int, int]) -> None:
    """A uniform picture stays uniform; guided mode keeps its level."""
    plain = np.full(shape, luma, np.uint8)
    stretched = corrected(plain, GUIDED)
    assert len(np.unique(stretched)) == len(np.unique(corrected(plain, ALWAYS))) == 1
    assert abs(int(stretched[0, 0]) - luma) <= 1


@pytest.mark.parametrize("shape", [(20, 16), (60, 60), (130, 126), (234, 416)], ids=str)
def test_clahe_does_not_blow_up_small_pictures(shape: tuple[int, int]) -> None:
    """CLAHE leaves a uniform picture near its level, however small the picture."""
    plain = np.full(shape, 60, np.uint8)
    Corrector().correct(plain, Plan(Correction.CLAHE, Reason.BRIGHT, None, 2.0))
    assert abs(int(plain[0, 0]) - 60) <= 16


def test_noise_is_smoothed() -> None:
    """A dark noisy picture comes nearer to the clean one than a stretch alone brings it."""
    dark = noisy(dimmed(scene(), 0.2), 4.0)
    decided = plan(measure(picture(dark)), GUIDED, Correction.NONE)
    assert decided.smooth is not None
    with_it, without = dark.copy(), dark.copy()
    Corrector().correct(with_it, decided)
    Corrector().correct(without, Plan(decided.correction, decided.reason, decided.table, None, decided.local))
    errors = [np.abs(after.astype(float) - scene()).mean() for after in (with_it, without)]
    assert errors[0] < 0.95 * errors[1]


def test_smoothing_stays_in_its_part() -> None:
    """Where nothing is to be smoothed, no pixel is."""
    luma = scene(seed=5)
    where = np.zeros((6, 8), np.bool_)
    where[:, :4] = True
    after = luma.copy()
    Corrector().correct(after, Plan(Correction.LOCAL_STRETCH_DENOISE, Reason.PARTS, smooth=where))
    assert not np.array_equal(after[:, :208], luma[:, :208])
    np.testing.assert_array_equal(after[:, 208:], luma[:, 208:])


def test_a_plan_fits_a_larger_picture() -> None:
    """A plan made on the small picture, applied to the large one and then shrunk, is as if shrunk first."""
    large = noisy(dimmed(scene(1248, 702), 0.2), 6.0)
    small = cv2.resize(large, (416, 234), interpolation=cv2.INTER_AREA)
    decided = plan(measure(picture(small)), GUIDED, Correction.NONE)
    assert decided.smooth is not None
    with_it, without = large.copy(), large.copy()
    Corrector().correct(with_it, decided, scale=3.0)
    Corrector().correct(without, decided)
    Corrector().correct(small, decided)
    errors = [
        np.abs(cv2.resize(after, (416, 234), interpolation=cv2.INTER_AREA).astype(float) - small).mean()
        for after in (with_it, without)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_one_corrector_for_many_pictures() -> None:
    """What a corrector keeps does not leak from one picture into the next, nor from one size into another."""
    corrector = Corrector()
    for width in (416, 64, 416):
        for policy in (ALWAYS, EAGER):
            luma = np.ascontiguousarray(gradient(100, 235)[:, :width])
            expected = corrected(luma, policy)
            corrector.correct(luma, plan(measure(picture(luma)), policy, Correction.NONE))
            np.testing.assert_array_equal(luma, expected)
