"""Whether a camera shows what it should: its light, a picture that stands still, a lens that is covered."""
