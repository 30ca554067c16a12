"""Small I420 pictures in all kinds of light."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SIZE = (416, 234)


def picture(luma: NDArray[np.uint8], chroma: int = 140) -> Pixels:
    """Return the I420 picture of a luma plane of even size, with one colour."""
    height, width = luma.shape
    return np.vstack([luma, np.full((height // 2, width), chroma, np.uint8)])


def luma_of(pixels: Pixels) -> Pixels:
    """Return the luma plane of an I420 picture, in place."""
    return pixels[: pixels.shape[0] * 2 // 3]


def scene(width: int = SIZE[0], height: int = SIZE[1], seed: int = 0) -> Pixels:
    """Return a luma plane that holds something dark and something bright in each of its parts."""
    chance = np.random.default_rng(seed)
    blocks = chance.integers(16, 236, (-(-height // 8), -(-width // 8)))
    return np.kron(blocks, np.ones((8, 8)))[:height, :width].astype(np.uint8)


def veiled(luma: Pixels, veil: NDArray[np.float64] | float) -> Pixels:
    """Mix with a bright grey, as haze or glare does: `veil` is its share, one for all or one a pixel."""
    return np.rint(luma * (1.0 - veil) + 218.0 * veil).astype(np.uint8)


def dimmed(luma: Pixels, share: NDArray[np.float64] | float) -> Pixels:
    """Keep so much of the light: one share for all, or one a pixel."""
    return np.rint((luma - 16.0) * share + 16.0).astype(np.uint8)


def on_the_left(share: float, width: int = SIZE[0], height: int = SIZE[1]) -> NDArray[np.float64]:
    """Return a map that holds `share` in the left half, falling to 0 around the middle."""
    across = np.clip((0.55 - np.linspace(0, 1, width)) / 0.1, 0, 1) * share
    return np.tile(across, (height, 1))


def noisy(luma: Pixels, sigma: float, seed: int = 0) -> Pixels:
    """Add Gaussian noise of so many luma steps."""
    added = luma + np.random.default_rng(seed).normal(0, sigma, luma.shape)
    return np.clip(np.rint(added), 16, 235).astype(np.uint8)
