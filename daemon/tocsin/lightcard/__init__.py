"""`tocsin light`: what is made of a picture or a recording, and why, on one card."""
