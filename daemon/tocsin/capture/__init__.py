"""From a camera to the newest frame: one process per stream."""
