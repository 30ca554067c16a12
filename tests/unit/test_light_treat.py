"""A stream of pictures is treated steadily: no flicker, no burst when a lamp is switched, no memory without end."""

import itertools

import numpy as np
import pytest

from support.lighting import dimmed, luma_of, noisy, picture, scene, veiled
from tocsin.frame import Correction
from tocsin.light import treat
from tocsin.light.measure import Reading, measure
from tocsin.light.plan import Mode, Policy
from tocsin.light.treat import Treated, Treatment

PERIOD = 0.1


def treated(
    treatment: Treatment, planes: list[np.ndarray], start: float = 0.0
) -> list[tuple[Treated, np.ndarray]]:
    """Treat pictures one after another; return what was done and the luma that came of it."""
    done = []
    for number, plane in enumerate(planes):
        pixels = picture(plane)
        done.append((treatment.treat(pixels, start + number * PERIOD), luma_of(pixels)))
    return done


def changes(done: list[tuple[Treated, np.ndarray]]) -> int:
    words = [one.plan.correction for one, _ in done]
    return sum(a is not b for a, b in itertools.pairwise(words))


def test_the_light_that_is_told_is_that_of_the_picture() -> None:
    """The light is that of this picture before it was corrected, not a mean of those before."""
    treatment = Treatment(Policy())
    first, second = (one.light for one, _ in treated(treatment, [scene(), veiled(scene(), 0.75)]))
    assert first.contrast > 200
    assert second.contrast < 70


def test_the_first_picture_is_treated_at_once() -> None:
    """A stream that begins under a veil is corrected from its first picture on."""
    ((done, luma),) = treated(Treatment(Policy()), [veiled(scene(), 0.75)])
    assert done.plan.correction is Correction.STRETCH
    assert np.abs(luma.astype(float) - scene()).mean() < 12


@pytest.mark.parametrize("share", [0.2, 0.3, 0.35, 0.4, 0.5, 0.7])
def test_a_constant_scene_is_treated_in_one_way(share: float) -> None:
    """Ten seconds of a scene with noise and a person walking change the decision once at most, at any threshold."""
    planes = []
    for number in range(100):
        plane = noisy(veiled(scene(), share), 3.0, seed=number)
        plane[100:160, 4 * number : 4 * number + 20] = 40
        planes.append(plane)
    assert changes(treated(Treatment(Policy()), planes)) <= 1


def test_a_trembling_veil_does_not_make_the_picture_flicker() -> None:
    """A veil that comes and goes by a tenth from picture to picture moves the result no more than its input."""
    planes = [veiled(scene(), 0.6 + 0.04 * (number % 2)) for number in range(60)]
    means = [luma.mean() for _, luma in treated(Treatment(Policy()), planes)][30:]
    given = [plane.mean() for plane in planes][30:]
    assert np.abs(np.diff(means)).max() < 4.0 * np.abs(np.diff(given)).max()


def test_a_lamp_switched_on_is_not_amplified() -> None:
    """The gain of the dark never meets the bright picture: at the switch it is as it is without any memory."""
    treatment = Treatment(Policy())
    treated(treatment, [dimmed(scene(), 0.15)] * 30)
    after = treated(treatment, [scene()] * 30, start=3.0)
    clipped = [(luma >= 235).mean() - (scene() >= 235).mean() for _, luma in after]
    assert max(clipped) < 0.02
    np.testing.assert_array_equal(after[-1][1], scene())


def test_a_lamp_switched_off_is_met_within_three_seconds() -> None:
    """After the light goes out the correction grows from picture to picture and is complete within 3 s."""
    treatment = Treatment(Policy())
    treated(treatment, [scene()] * 30)
    after = treated(treatment, [dimmed(scene(), 0.15)] * 40, start=3.0)
    means = [luma.mean() for _, luma in after]
    alone = treated(Treatment(Policy()), [dimmed(scene(), 0.15)])[0][1].mean()
    assert means[0] < 0.7 * alone
    assert means[30] == pytest.approx(alone, rel=0.05)
    assert changes(after) <= 2


def test_a_long_silence_is_forgotten() -> None:
    """What was seen before a stream was away for a minute does not weigh."""
    treatment = Treatment(Policy())
    treated(treatment, [scene()] * 10)
    ((_, luma),) = treated(treatment, [veiled(scene(), 0.75)], start=60.0)
    ((_, fresh),) = treated(Treatment(Policy()), [veiled(scene(), 0.75)])
    np.testing.assert_array_equal(luma, fresh)


def test_another_size_is_another_picture() -> None:
    """A camera that changes its resolution goes on being treated."""
    treatment = Treatment(Policy())
    treated(treatment, [veiled(scene(), 0.75)] * 3)
    ((done, _),) = treated(treatment, [veiled(scene(320, 240), 0.75)], start=0.3)
    assert done.plan.correction is Correction.STRETCH


def test_memory_does_not_slow_down() -> None:
    """A scene seen long ago leaves nothing behind that numbers could drown in."""
    treatment = Treatment(Policy())
    treated(treatment, [scene(seed=1)] * 5)
    treated(treatment, [scene(seed=2)] * 1000)
    cells = treatment._known.reading.cells  # type: ignore[union-attr]  # there is no other way to see it
    assert cells[cells > 0].min() > 1e-4


class _Measured:
    """Counts the pictures that are measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(treat, "measure", self)

    def __call__(self, pixels: np.ndarray) -> Reading:
        self.count += 1
        return measure(pixels)


def _walker(at: int) -> np.ndarray:
    plane = scene().copy()
    plane[100:160, at : at + 20] = 40
    return plane


def _spot(plane: np.ndarray) -> np.ndarray:
    lit = plane.copy()
    lit[: plane.shape[0] // 6, : plane.shape[1] // 8] = 235
    return lit


_DIM = dimmed(scene(), 0.15)
_RAMP, _LITTLE, _WIDER = (
    np.tile(np.linspace(*ends, 416).astype(np.uint8), (234, 1)) for ends in ((100, 120), (98, 122), (90, 130))
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(_DIM, scene(), id="a lamp is switched on"),
        pytest.param(scene(), _DIM, id="a lamp is switched off"),
        pytest.param(_DIM, np.full_like(_DIM, 235), id="a flash"),
        pytest.param(_DIM, _spot(_DIM), id="a torch in one corner"),
        pytest.param(scene(), scene(seed=5)[:, ::-1], id="a cut"),
        pytest.param(_RAMP, _LITTLE, id="one of two steps at most, eight times that after it"),
        pytest.param(_RAMP, _WIDER, id="a small change that the correction makes large"),
        pytest.param(veiled(scene(), 0.75), veiled(scene(), 0.7), id="a veil that thins"),
    ],
)
def test_a_change_of_light_is_measured_at_once(
    before: np.ndarray, after: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousandth of a second after a measured picture, another is measured for what it is."""
    treatment, measured = Treatment(Policy()), _Measured(monkeypatch)
    ((first, _),) = treated(treatment, [before])
    ((second, _),) = treated(treatment, [after.copy()], start=0.001)
    assert measured.count == 2
    assert second.light != first.light


def test_pictures_that_look_alike_are_measured_as_one_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a person walking, 50 pictures of two seconds are measured as often as a picture may be old."""
    treatment, measured = Treatment(Policy()), _Measured(monkeypatch)
    for number in range(50):
        treatment.treat(picture(_walker(2 * number)), number * 0.04)
    assert 7 <= measured.count <= 9


def test_what_stands_for_others_is_off_by_no_more_than_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise and a person walking under a veil come out as if each picture were measured."""
    some, every = Treatment(Policy()), Treatment(Policy())
    for number in range(30):
        plane = noisy(veiled(_walker(4 * number), 0.7), 2.0, seed=number)
        luma = [picture(plane), picture(plane)]
        some.treat(luma[0], number * 0.04)
        with monkeypatch.context() as patch:
            patch.setattr(treat, "_alike", lambda *_: False)
            every.treat(luma[1], number * 0.04)
        assert np.abs(luma_of(luma[0]).astype(float) - luma_of(luma[1])).mean() < 3.0


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_is_steady(mode: Mode) -> None:
    """A scene that does not change comes out the same from the second picture on."""
    done = treated(Treatment(Policy(mode)), [veiled(scene(), 0.7)] * 5)
    for _, luma in done[2:]:
        assert np.abs(luma.astype(int) - done[1][1].astype(int)).max() <= 1
