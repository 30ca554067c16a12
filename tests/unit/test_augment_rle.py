"""COCO's masks are read, scaled and written as COCO's own tools do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as judge

from tocsin.augment.rle import pack, scaled, sound, unpack

MASKS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 1))


@given(MASKS)
def test_packed_masks_are_those_of_pycocotools(mask: np.ndarray) -> None:
    """Unpacking gives runs that add up to the mask, and packing gives the same letters."""
    letters = judge.encode(np.asfortranarray(mask))["counts"].decode()
    runs = unpack(letters)
    drawn = np.repeat(np.arange(len(runs)) % 2, runs)
    np.testing.assert_array_equal(drawn.reshape(mask.shape[::-1]).T, mask)
    assert pack(runs) == letters


@given(MASKS)
def test_scaling_by_whole_numbers_repeats_pixels(mask: np.ndarray) -> None:
    """Twice as wide and three times as high, each pixel stands there six times; plain runs stay plain."""
    height, width = mask.shape
    packed = {"size": [height, width], "counts": judge.encode(np.asfortranarray(mask))["counts"].decode()}
    plain = {"size": [height, width], "counts": unpack(str(packed["counts"]))}
    expected = mask.repeat(3, axis=0).repeat(2, axis=1)
    for one in (packed, plain):
        assert sound(one)
        found = scaled(one, (width * 2, height * 3))
        assert type(found["counts"]) is type(one["counts"])
        letters = found["counts"] if isinstance(found["counts"], str) else pack(found["counts"])
        assert found["size"] == [height * 3, width * 2]
        assert letters.encode() == judge.encode(np.asfortranarray(expected))["counts"]


@pytest.mark.parametrize(
    "mask",
    [
        {},
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [2, 2], "counts": [2.0, 2.0]},
        {"size": [2], "counts": [2]},
        {"size": [2, "2"], "counts": [4]},
        {"size": [2, 2], "counts": "??"},
        {"size": [2, 2], "counts": None},
        {"size": [2**40, 2**40], "counts": [2**80]},
        {"size": [2, 2], "counts": "\u20ac"},
        {"size": [2, 2], "counts": "P" * 9 + "4"},
    ],
)
def test_rubbish_is_no_mask(mask: dict[str, object]) -> None:
    """What a stranger wrote there is not trusted to add up."""
    assert not sound(mask)


def test_a_run_without_end_is_not_read_to_it() -> None:
    """Letters that each announce a further one make a number that grows with them: it is given up early."""
    with pytest.raises(OverflowError):
        unpack("P" * 9)
    assert unpack("P" * 7 + "0") == [0]
