"""Recordings and pictures that people give to commands: read, simulated, written. The daemon does not know it."""
