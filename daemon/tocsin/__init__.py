"""Tocsin: a real-time video surveillance alarm daemon."""

__version__ = "0.1.0"
