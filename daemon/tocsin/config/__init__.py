"""From a file to a sound configuration, or to everything that is wrong with it."""
