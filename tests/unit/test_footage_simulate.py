"""Simulated light does what its words say, the same for all who look."""

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import InputError
from tocsin.footage.simulate import AS_RECORDED, WORDS, Condition, conditions, parse
from tocsin.resources import find

RAMP = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2).repeat(8, axis=1)  # [256, 8, 3]


# in the order of the table that says what was measured
TABLE = (
    AS_RECORDED,
    "ev+1",
    "ev+2",
    "ev+3",
    "veil0.5",
    "veil0.75",
    "ev+1/veil0.6",
    "ev-3/noise0.004",
    "ev-5/noise0.004",
)


def one(text: str) -> Condition:
    (condition,) = parse(text)
    return condition


def levels(text: str, *values: int) -> list[int]:
    """What becomes of grey pixels of these values."""
    rgb = np.repeat(np.array(values, np.uint8)[None, :, None], 3, axis=2)
    return one(text).apply(rgb, 0)[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        pytest.param("ev+1", (0, 100, 186, 187, 255), (0, 137, 255, 255, 255), id="a stop up, clipped"),
        pytest.param("ev1", (100,), (137,), id="the sign may be left out"),
        pytest.param("ev-1", (0, 137, 255), (0, 100, 186), id="a stop down"),
        pytest.param("ev-0.5", (100,), (85,), id="half a stop"),
        pytest.param("ev+0", (0, 17, 255), (0, 17, 255), id="no stop at all"),
        pytest.param("veil0.75", (0, 100, 255), (176, 201, 240), id="three quarters of a grey of 235"),
        pytest.param("veil1", (0, 255), (235, 235), id="nothing but veil"),
        pytest.param("veil.5", (235,), (235,), id="a number may begin with its point"),
        pytest.param("gamma2", (0, 128, 255), (0, 64, 255), id="gamma above 1 darkens"),
        pytest.param("gamma0.5", (64,), (128,), id="gamma below 1 brightens"),
        pytest.param("noise0", (3, 100, 250), (3, 100, 250), id="no noise at all"),
        pytest.param("ev+1/veil0.5", (100,), (186,), id="steps are taken from left to right"),
        pytest.param("veil0.5/ev+1", (100,), (230,), id="and in no other order"),
        pytest.param("ev+3/ev-3", (100, 250), (99, 99), id="what a step clipped stays clipped"),
    ],
)
def test_levels(text: str, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Each word maps values as it is defined."""
    assert levels(text, *before) == list(after)


def test_nothing_to_do_costs_nothing() -> None:
    """As recorded is the very picture that was given."""
    assert conditions(None)[0].apply(RAMP, 0) is RAMP


@pytest.mark.parametrize("word", [word for word in WORDS if word != "noise"])
def test_pictures_keep_their_shape(word: str) -> None:
    """Every word gives 8-bit RGB of the same size, and the given picture stays as it was."""
    before = RAMP.copy()
    number = "" if WORDS[word].default is not None else "0.5"
    after = one(word + number).apply(RAMP, 0)
    assert (after.shape, after.dtype) == (RAMP.shape, np.uint8)
    np.testing.assert_array_equal(RAMP, before)


def test_noise_has_its_sigma_on_linear_light() -> None:
    """Noise on a mid grey has the sigma that was asked for in linear light, and no bias."""
    grey = np.full((200, 200, 3), 128, np.uint8)
    light = (one("noise0.02").apply(grey, 3) / 255.0) ** 2.2
    assert light.mean() == pytest.approx((128 / 255) ** 2.2, abs=3e-4)
    assert light.std() == pytest.approx(0.02, rel=0.03)


def test_noise_comes_before_clipping() -> None:
    """Right after an exposure, noise is added to what the exposure has not clipped yet."""
    white = np.full((50, 50, 3), 255, np.uint8)
    assert (
        one("ev+1/noise0.01").apply(white, 0).min() == 255
    )  # twice the light that fits: noise cannot reach down
    assert one("noise0.01").apply(white, 0).min() < 255
    assert one("ev+1/veil0/noise0.01").apply(white, 0).min() < 255  # between them the picture is clipped


def test_noise_is_the_same_for_all() -> None:
    """One picture has one noise whoever looks and under whichever exposure; another picture has another."""
    grey = np.full((40, 40, 3), 100, np.uint8)
    first, again, other = (one("ev-1/noise0.004").apply(grey, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    darker = one("ev-2/noise0.004").apply(grey, 7)
    assert np.corrcoef(first.ravel(), darker.ravel())[0, 1] > 0.95


def test_half_a_veil() -> None:
    """Half a veil lies over the left, leaves the right alone, and has a soft edge in the middle."""
    dark = np.zeros((4, 200, 3), np.uint8)
    veiled = one("halfveil0.8").apply(dark, 0)[0, :, 0]
    assert veiled[:50].min() >= 187
    assert veiled[150:].max() <= 1
    assert veiled[99] + veiled[100] == pytest.approx(188, abs=2)
    assert (np.diff(veiled.astype(int)) <= 0).all()


def test_glare_is_a_spot() -> None:
    """Glare is strongest at its middle, right of the picture's, and does not reach the far corner."""
    dark = np.zeros((120, 160, 3), np.uint8)
    glaring = one("glare0.8").apply(dark, 0)[..., 0]
    assert glaring[48, 104] == glaring.max() == 188
    assert glaring[48, 20] < glaring[48, 60] < 188
    assert glaring[119, 0] < 5


def test_grey_has_no_colour() -> None:
    """A grey picture has its own luma in all three colours."""
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert one("grey").apply(red, 0).tolist() == [[[76] * 3] * 2] * 2


def test_the_placebo_moves_the_picture() -> None:
    """A placebo moves the picture three pixels right and two down, and repeats its edge."""
    dice = np.random.default_rng(0)
    rgb = dice.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    moved = one("shift").apply(rgb, 0)
    np.testing.assert_array_equal(moved[2:, 3:], rgb[:-2, :-3])
    np.testing.assert_array_equal(moved[:2, 3:], rgb[[0, 0], :-3])


def test_known_figures() -> None:
    """On the bundled clip the conditions have the mean luma that is known of them."""
    known = dict(zip(TABLE, (120, 160, 194, 222, 177, 206, 205, 46, 24), strict=True))
    pictures = []
    with av.open(str(find("assets/pedestrians.mp4"))) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % 60 == 0:
                pictures.append((number, frame.to_ndarray(format="rgb24")))
    for condition in conditions(",".join(TABLE)):
        means = [
            cv2.cvtColor(condition.apply(rgb, number), cv2.COLOR_RGB2GRAY).mean() for number, rgb in pictures
        ]
        assert np.mean(means) == pytest.approx(known[condition.name], abs=1.0), condition.name


@pytest.mark.parametrize("text", ["", "  ", None])
def test_as_recorded_comes_first(text: str | None) -> None:
    """Without conditions there is the recording alone; it leads the others and is not there twice."""
    assert conditions(text) == (Condition(AS_RECORDED),)
    assert [one.name for one in conditions("ev+1, as-recorded,veil0.5")] == [AS_RECORDED, "ev+1", "veil0.5"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("vail0.75", "condition 'vail0.75': expected one of ev, noise, veil, halfveil, glare, "),
        ("vail0.75", "found 'vail0.75' (did you mean veil?)"),
        ("EV+2", "found 'EV+2' (did you mean ev?)"),
        ("infrared", "found 'infrared'"),
        ("ev+1,,grey", "condition '': expected one of ev, "),
        ("ev+1/", "condition 'ev+1/': expected one of ev, "),
        ("ev", "condition 'ev': expected a number after ev, such as ev+2, found none"),
        (
            "halfveil",
            "condition 'halfveil': expected a number after halfveil, such as halfveil0.75, found none",
        ),
        ("ev+1/veil1.5", "condition 'ev+1/veil1.5': expected veil from 0 to 1, found 1.5"),
        ("ev+99", "condition 'ev+99': expected ev from -12 to 12, found +99"),
        ("gamma0", "condition 'gamma0': expected gamma from 0.05 to 20, found 0"),
        ("grey0.5", "condition 'grey0.5': expected grey without a number, found 'grey0.5'"),
        ("ev+1,veil0.5,ev+1", "condition 'ev+1': expected once, found 2 times"),
        ("ev+1e9", "found 'ev+1e9'"),
        ("veil0.5;ev+2", "found 'veil0.5;ev+2'"),
    ],
)
def test_bad_conditions(text: str, sentence: str) -> None:
    """A condition that is none is named with what was expected and what was found."""
    with pytest.raises(InputError) as caught:
        parse(text)
    assert sentence in str(caught.value)


STEPS = st.sampled_from(
    ["ev+1", "ev-2", "noise0.01", "veil0.3", "gamma1.5", "grey", "shift", "glare0.5", "halfveil0.5"]
)


@given(st.lists(STEPS, min_size=1, max_size=4), st.integers(0, 2**31))
def test_any_mix(steps: list[str], seed: int) -> None:
    """Any mix of steps is what its steps do one after another, but that noise joins the exposure before it."""
    rgb = np.random.default_rng(1).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    mixed = one("/".join(steps)).apply(rgb, seed)
    assert (mixed.shape, mixed.dtype) == (rgb.shape, np.uint8)
    if not any(step.startswith("noise") for step in steps):
        for step in steps:
            rgb = one(step).apply(rgb, seed)
        np.testing.assert_array_equal(mixed, rgb)
