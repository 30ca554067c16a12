"""What goes on record, and how it was asked for; apart from the record: the command line starts without it."""

from enum import StrEnum


class Act(StrEnum):
    """What was done: the word on the command line and in the record."""

    VERDICT = "verdict"
    SILENCE_BEGUN = "silence.begun"
    SILENCE_ENDED = "silence.ended"
    TEST_BEGUN = "test.begun"
    TEST_ENDED = "test.ended"
    CONFIG_CHANGED = "config.changed"
    MODEL_CHANGED = "model.changed"
    EVIDENCE_READ = "evidence.read"
    EVIDENCE_EXPORTED = "evidence.exported"
    OUTBOX_RETRIED = "outbox.retried"
    OUTBOX_PURGED = "outbox.purged"
    DAEMON_STARTED = "daemon.started"
    DAEMON_STOPPED = "daemon.stopped"


class Via(StrEnum):
    """How it was asked for, and so what stands behind the name."""

    COMMAND = "command"  # the control socket: the name is that of the system's user
    LOGIN = "login"  # the endpoint's password file: the name is that of its user
    LINK = "link"  # a signed link: the name is what was given, or an address
    DAEMON = "daemon"  # nobody: the daemon did so by itself
