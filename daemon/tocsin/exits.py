"""What a command returns to whoever called it, beside 0 for success."""

WRONG_USAGE = 2
TEMPORARY_FAILURE = 75
"""Worth a restart."""

WRONG_CONFIGURATION = 78
"""A restart does not mend it."""

INTERRUPTED = 130
"""By Ctrl-C."""
