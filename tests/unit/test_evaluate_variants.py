"""Each variant does to a picture what its name says."""

import numpy as np
import pytest

from support.lighting import luma_of, picture, scene, veiled
from tocsin.errors import InputError
from tocsin.evaluate.variants import ALL, DEFAULT, NOISE_FLOOR, OFF, VARIANTS, parse
from tocsin.frame import Correction
from tocsin.light.measure import measure
from tocsin.light.plan import Mode, Policy
from tocsin.light.treat import Treatment

FLAT = picture(veiled(scene(), 0.75))
"""A picture that lost its contrast."""


def done(name: str, pixels: np.ndarray, policy: Policy | None = None) -> tuple[np.ndarray, Correction]:
    result = pixels.copy()
    return result, VARIANTS[name].start(policy or Policy()).correct(result, 0.0).correction


def test_the_set_is_that_of_the_contract() -> None:
    """Programs read these names in the JSON."""
    assert list(VARIANTS) == [
        *("off", "guided", "dacot", "clahe2", "clahe4", "gamma100", "stretch", "placebo")
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param(DEFAULT, ["off", "guided", "dacot", "placebo"], id="the default"),
        pytest.param(ALL, list(VARIANTS), id="all"),
        pytest.param("stretch, guided", ["off", "guided", "stretch"], id="off is always one, in one order"),
        pytest.param("off,off", ["off"], id="each once"),
    ],
)
def test_names_are_read(text: str, names: list[str]) -> None:
    """A list of names gives variants in the order of the set."""
    assert [variant.name for variant in parse(text)] == names


def test_an_unknown_name_is_refused() -> None:
    """The message names the option, every name and what was found."""
    with pytest.raises(
        InputError, match=r"^--variants: expected some of off, .*placebo or all, found clahe3$"
    ):
        parse("off,clahe3")


@pytest.mark.parametrize("name", [OFF, NOISE_FLOOR])
def test_off_and_the_placebo_touch_no_pixel(name: str) -> None:
    """The placebo differs by its shift alone, which comes before shrinking."""
    result, correction = done(name, FLAT)
    assert np.array_equal(result, FLAT)
    assert correction is Correction.NONE
    assert (VARIANTS[name].shift == (0, 0)) == (name == OFF)


@pytest.mark.parametrize("mode", [Mode.GUIDED, Mode.DACOT])
def test_the_daemon_s_modes_are_the_daemon_s_code(mode: Mode) -> None:
    """Picture by picture the pixels are those that a capture worker makes, with the state that it keeps."""
    policy = Policy(mode=Mode.OFF, brighter_than=120)
    ours = VARIANTS[mode.value].start(policy)
    theirs = Treatment(Policy(mode=mode, brighter_than=120))
    for number, veil in enumerate((0.75, 0.3, 0.0, 0.3)):
        mine = picture(veiled(scene(seed=number), veil))
        other = mine.copy()
        done_to_mine, done_to_other = ours.correct(mine, number / 10), theirs.treat(other, number / 10).plan
        assert done_to_mine.correction is done_to_other.correction
        assert np.array_equal(mine, other)


@pytest.mark.parametrize("veil", [0.0, 0.4, 0.75])
def test_gamma_brings_the_mean_to_100(veil: float) -> None:
    """From above and from below."""
    result, correction = done("gamma100", picture(veiled(scene(), veil)))
    assert measure(result).light.mean == pytest.approx(100, abs=1.5)
    assert correction is Correction.DARKEN


def test_gamma_brightens_the_dark() -> None:
    """A dark picture gets an exponent below 1."""
    result, correction = done("gamma100", picture((scene() // 4 + 12).astype(np.uint8)))
    assert measure(result).light.mean == pytest.approx(100, abs=1.5)
    assert correction is Correction.BRIGHTEN


def test_stretching_spreads_the_middle_of_the_luma() -> None:
    """All but the outermost hundredths span the scale."""
    result, correction = done("stretch", FLAT)
    assert np.percentile(luma_of(result), [1, 99]) == pytest.approx([16, 235], abs=4)
    assert correction is Correction.STRETCH


@pytest.mark.parametrize("luma", [16, 128, 235])
def test_a_uniform_picture_has_no_range_to_stretch(luma: int) -> None:
    """It stays as it is."""
    flat = picture(np.full((32, 48), luma, np.uint8))
    result, correction = done("stretch", flat)
    assert np.array_equal(result, flat)
    assert correction is Correction.NONE


def test_a_higher_limit_raises_more_contrast() -> None:
    """The two CLAHE variants differ in what they do, and both do something."""
    contrasts = [luma_of(done(name, FLAT)[0]).std() for name in ("off", "clahe2", "clahe4")]
    assert contrasts == sorted(contrasts)
    assert len(set(contrasts)) == 3


@pytest.mark.parametrize("name", ["clahe2", "clahe4", "gamma100", "stretch"])
def test_fixed_variants_leave_colour_alone(name: str) -> None:
    """Only luma is corrected."""
    result, _ = done(name, FLAT)
    height = FLAT.shape[0] * 2 // 3
    assert np.array_equal(result[height:], FLAT[height:])
