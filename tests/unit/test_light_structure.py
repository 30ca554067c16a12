"""What is measured of a picture to compare it with others."""

import numpy as np
import pytest

from support.lighting import SIZE, scene
from tocsin.frame import SCENE_CELLS
from tocsin.light.structure import measure_structure


@pytest.mark.parametrize("size", [SIZE, (640, 640), (33, 24), (1280, 96)], ids=str)
def test_cells_have_their_mean_and_structure(size: tuple[int, int]) -> None:
    """A plain left half has its level and no structure, stripes of a pixel on the right fine structure."""
    width, height = size
    luma = np.full((height, width), 50, np.uint8)
    luma[:, width // 2 :] = np.where(np.arange(width - width // 2) % 2, 120, 80)
    cells = measure_structure(luma)
    assert cells is not None
    assert cells.shape == SCENE_CELLS
    assert cells.dtype == np.float32
    mean, fine, coarse = cells
    assert mean[:, :3] == pytest.approx(50)
    assert mean[:, 5:] == pytest.approx(100, abs=12)  # a block of the smallest picture holds one stripe
    assert (fine[:, :3] == 0).all()
    assert (fine[:, 5:] > 25).all()
    assert (coarse[:, :3] == 0).all()


def test_coarse_structure_is_what_a_blur_leaves() -> None:
    """Blocks of eight pixels have both; bands of eighty only the coarse."""
    blocks = measure_structure(scene())
    bands = measure_structure(np.tile(np.linspace(16, 235, SIZE[0]).astype(np.uint8), (SIZE[1], 1)))
    assert blocks is not None
    assert bands is not None
    assert blocks[1].min() > 3
    assert blocks[2].min() > 5
    assert bands[1].max() < 1
    assert bands[2].min() > 5


def test_a_pixel_that_changed_by_a_step_is_seen_in_its_cell_alone() -> None:
    """The sums are exact: what is known again by its cells is the same picture."""
    luma = scene()
    before = measure_structure(luma)
    luma[100, 200] ^= 1
    after = measure_structure(luma)
    assert before is not None
    assert after is not None
    assert list(np.argwhere((before != after).any(axis=0))[0]) == [2, 3]
    assert np.count_nonzero((before != after).any(axis=0)) == 1


@pytest.mark.parametrize("size", [(2, 2), (32, 480), (640, 22)], ids=str)
def test_a_picture_too_small_for_cells_is_not_measured(size: tuple[int, int]) -> None:
    """It has no scene, which is no error."""
    assert measure_structure(np.zeros(size[::-1], np.uint8)) is None
