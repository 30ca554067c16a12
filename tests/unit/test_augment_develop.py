"""A picture in another light, corrected by the daemon's own code."""

from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from hypothesis import given, settings
from hypothesis import strategies as st

from support.datasets import picture
from tocsin.augment.develop import Negative, Recipe, SizeError
from tocsin.capture.shrink import Shrinker
from tocsin.errors import InputError
from tocsin.footage.pictures import from_i420
from tocsin.footage.simulate import AS_RECORDED, Condition, parse
from tocsin.frame import Correction, fit
from tocsin.image import to_i420
from tocsin.light.correct import Corrector
from tocsin.light.plan import Mode, Policy
from tocsin.light.treat import Treatment
from tocsin.resources import find

RECORDED = Condition(AS_RECORDED)
OFF = Recipe(Policy(Mode.OFF), 64, 64, keep_aspect=True, shrink=False, quality=95)
ALWAYS = replace(OFF, policy=Policy(Mode.DACOT, brighter_than=0))


def encoded(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return data.tobytes()


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_what_nothing_changes_is_the_file_itself(suffix: str) -> None:
    """As recorded and without correction, not a byte is another."""
    data = encoded(picture(1), suffix)
    assert Negative(data, suffix, None).develop(RECORDED, 0, OFF).data == data


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_the_format_stays(suffix: str) -> None:
    """What is changed is written in the format that it came in."""
    data = encoded(picture(1), suffix)
    found = Negative(data, suffix, None).develop(parse("ev+1")[0], 0, ALWAYS).data
    assert found[:2] == data[:2]
    assert decoded(found).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "policy", [ALWAYS.policy, Policy(), Policy(Mode.OFF)], ids=["dacot", "guided", "off"]
)
def test_a_shrunk_picture_is_what_the_daemon_hands_to_the_detector(policy: Policy) -> None:
    """The daemon's shrinking and the daemon's treatment, to the last bit."""
    pixels = picture(1, 960, 720)  # so high that a video without a word about colours would be BT.709
    (lit,) = parse("veil0.75")
    recipe = Recipe(policy, 96, 96, keep_aspect=True, shrink=True, quality=95)
    developed = Negative(encoded(pixels), ".png", None).develop(lit, 0, recipe)

    frame = VideoFrame.from_ndarray(
        to_i420(lit.apply(np.ascontiguousarray(pixels[..., ::-1]), 0)), format="yuv420p"
    )
    frame.colorspace, frame.color_range = Colorspace.ITU601, ColorRange.MPEG
    width, height = fit(960, 720, 96, 96, keep_aspect=True)
    small = np.empty((height * 3 // 2, width), np.uint8)
    Shrinker().shrink(frame, small)
    treated = Treatment(policy).treat(small, 0.0)
    np.testing.assert_array_equal(decoded(developed.data), cv2.cvtColor(small, cv2.COLOR_YUV2BGR_I420))
    assert developed.correction is treated.plan.correction
    assert developed.size == (96, 72)


def test_correcting_before_or_after_shrinking_is_nearly_the_same() -> None:
    """A whole picture, corrected and then shrunk, is the daemon's small one but for a few levels of luma."""
    with av.open(str(find("assets/pedestrians.mp4"))) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="bgr24")
    negative = Negative(encoded(pixels), ".png", None)
    whole = decoded(negative.develop(RECORDED, 0, replace(ALWAYS, width=416, height=416)).data)
    recipe = replace(ALWAYS, width=416, height=416, shrink=True)
    small = decoded(negative.develop(RECORDED, 0, recipe).data)
    shrunk = cv2.resize(whole, (416, 312), interpolation=cv2.INTER_AREA)
    plain = cv2.resize(pixels, (416, 312), interpolation=cv2.INTER_AREA)
    after = np.abs(shrunk.astype(int) - small).mean()
    before = np.abs(plain.astype(int) - small).mean()
    assert before > 10, "the correction changes the picture"
    assert after < 4


@pytest.mark.parametrize("takes", [96, 416], ids=["shrunk", "enlarged"])
def test_a_plan_is_carried_out_at_the_size_of_the_picture(takes: int) -> None:
    """Smoothing reaches as far in it as in the small copy; in a copy that is larger, a pixel stays a pixel."""
    (dark,) = parse("ev-4/noise0.01")
    pixels = picture(1, 288, 216)
    recipe = Recipe(Policy(), takes, takes, keep_aspect=True, shrink=False, quality=95)
    found = decoded(Negative(encoded(pixels), ".png", None).develop(dark, 0, recipe).data)

    lit = to_i420(dark.apply(np.ascontiguousarray(pixels[..., ::-1]), 0))
    small = np.empty((takes * 3 // 4 * 3 // 2, takes), np.uint8)
    Shrinker().shrink(from_i420(lit, 288, 216), small)
    plan = Treatment(Policy()).treat(small, 0.0).plan
    assert plan.smooth is not None
    expected = {}
    for scale in (288 / takes, 1.0):
        corrected = lit.copy()
        Corrector().correct(corrected[:216], plan, scale)
        expected[scale] = cv2.cvtColor(corrected, cv2.COLOR_YUV2BGR_I420)
    assert not np.array_equal(*expected.values())
    np.testing.assert_array_equal(found, expected[max(288 / takes, 1.0)])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tif"])
def test_what_was_without_loss_stays_so(suffix: str) -> None:
    """Of these only the light changes, pixel for pixel."""
    pixels = picture(1)
    (lit,) = parse("veil0.5")
    found = decoded(Negative(encoded(pixels, suffix), suffix, None).develop(lit, 0, OFF).data)
    stored = decoded(encoded(pixels, suffix))
    expected = lit.apply(np.ascontiguousarray(stored[..., ::-1]), 0)[..., ::-1]
    np.testing.assert_array_equal(found, expected)


def test_the_quality_of_jpeg_can_be_chosen() -> None:
    """Less of it makes a smaller file."""
    negative = Negative(encoded(picture(1), ".jpg"), ".jpg", None)
    (lit,) = parse("veil0.5")
    sizes = [len(negative.develop(lit, 0, replace(OFF, quality=quality)).data) for quality in (20, 60, 100)]
    assert sizes == sorted(set(sizes))


@given(st.integers(1, 41), st.integers(1, 41), st.booleans())
@settings(deadline=None, max_examples=30)
def test_no_row_is_lost(width: int, height: int, shrink: bool) -> None:
    """A picture of odd size keeps its size, whatever is done to it."""
    data = encoded(np.full((height, width, 3), 90, np.uint8))
    developed = Negative(data, ".png", None).develop(RECORDED, 0, replace(ALWAYS, shrink=shrink))
    if shrink:
        assert max(developed.size) == 64
    else:
        assert developed.size == (width, height)
    assert decoded(developed.data).shape[1::-1] == developed.size


def test_grey_pictures_stay_grey() -> None:
    """What infrared light shows gets no colour from the correction."""
    pixels = np.repeat(picture(1)[..., :1], 3, axis=2)
    found = decoded(Negative(encoded(pixels), ".png", None).develop(RECORDED, 0, ALWAYS).data)
    np.testing.assert_array_equal(found[..., 0], found[..., 2])


def test_noise_hangs_on_the_seed() -> None:
    """The same seed gives the same file, another one another."""
    negative = Negative(encoded(picture(1)), ".png", None)
    (noisy,) = parse("ev-2/noise0.01")
    files = [negative.develop(noisy, seed, OFF).data for seed in (5, 5, 6)]
    assert files[0] == files[1] != files[2]


def test_what_was_done_is_told() -> None:
    """The light before the correction, and the correction."""
    developed = Negative(encoded(picture(1)), ".png", None).develop(RECORDED, 0, ALWAYS)
    assert developed.correction in (Correction.CLAHE, Correction.DARKEN_CLAHE)
    assert 50 < developed.light["mean"] < 200


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"rubbish", "data of another kind or a damaged file"),
        (encoded(picture(1), ".jpg")[:-200], "a JPEG that breaks off"),
        (encoded(picture(1))[:40], "data of another kind or a damaged file"),
    ],
    ids=["empty", "rubbish", "half a JPEG", "half a PNG"],
)
def test_what_is_no_picture_is_told(data: bytes, found: str) -> None:
    """One sentence says what was found instead."""
    with pytest.raises(InputError, match=found):
        Negative(data, ".png", None)


def test_labels_of_another_size_are_told() -> None:
    """Their boxes would lie elsewhere."""
    with pytest.raises(SizeError, match="expected 10x20 pixels as its labels say, found 64x48"):
        Negative(encoded(picture(1)), ".png", (10, 20))
