"""A camera that was away is watched again soon after its return."""

import secrets

import numpy as np

from support.outages import outages
from support.wait import SCALE


def test_short_outages_end_within_seconds_of_the_cameras_return() -> None:
    """The figure is the bench's, two seconds; a machine under load is given one more."""
    seed = secrets.randbelow(1 << 31)
    print(f"seed {seed}")
    took = [took for _, took in outages(cameras=6, each=1, longest=6.0, seed=seed)]
    assert len(took) == 6
    assert np.median(took) < 2.0 * SCALE
    assert max(took) < 3.0 * SCALE
