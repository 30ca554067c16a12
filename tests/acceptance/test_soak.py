"""Eight cameras, a random fault every few seconds, and the real daemon."""

import os
import secrets
from pathlib import Path

import pytest

from support.soak import Soak

pytestmark = [pytest.mark.acceptance, pytest.mark.alone]  # it looks when each alarm comes, and what grows

SECONDS = float(os.environ.get("TOCSIN_SOAK_SECONDS", "60"))
"""By hand as long as one likes; `python tests/soak.py` is the same run with more words."""


@pytest.mark.timeout(SECONDS + 240)
def test_every_stream_comes_back_and_nothing_leaks(block_model: Path, tmp_path: Path) -> None:
    """Whatever happens to the cameras and to the processes that read them, in whatever order."""
    seed = int(os.environ.get("TOCSIN_SOAK_SEED", secrets.randbelow(1 << 31)))
    print(f"soak of {SECONDS:g} s: TOCSIN_SOAK_SEED={seed}")
    Soak(SECONDS, seed, print).run(block_model, tmp_path)
