"""Every error Tocsin raises on purpose.

TocsinError
├── ConfigError        the configuration is wrong; nothing was started          (exit code 78)
│   └── SecretError    a secret that the configuration refers to cannot be had
├── StartError         the machine cannot do it now: port in use, no such GPU   (exit code 75)
├── ModelError         a model file is none, or is not what its description says
├── SourceError        a stream broke or could not be opened; carries a closed-set reason
├── WorkerError        a capture worker could not be started or died
├── InferenceError     the detector failed on a batch; carries a closed-set kind
├── AddressError       a name leads only to addresses that no webhook may have; carries a closed-set reason
├── OutboxError        the outbox cannot be opened, read or written
├── ControlError       the running daemon cannot be reached, or answered with a refusal
├── InputError         what a command was given cannot be used: a picture, a data set, a name (exit code 2)
└── OutputError        what a command makes cannot be written

Messages are one sentence, lower case, without a full stop; they name the place, what was expected and what
was found. Foreign exceptions are translated once, in the adapter, ``from`` the original, with credentials
removed.
"""

from enum import StrEnum


def reason(error: OSError) -> str:
    """Return what the system says of an error, as it stands in a sentence."""
    return (error.strerror or "an error").lower()


class TocsinError(Exception):
    """The root of the tree; `str()` is fit for a person."""


class ConfigError(TocsinError):
    """One or more faults in the configuration: one message each, in the order of the file."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class SecretError(ConfigError):
    """A secret that the configuration refers to cannot be had."""


class StartError(TocsinError):
    """The daemon cannot start on this machine at this moment."""


class ModelError(TocsinError):
    """A model file cannot be used."""


class SourceFault(StrEnum):
    """Why a stream broke or could not be opened: the word in logs, metrics and events."""

    REFUSED = "refused"
    CONNECT_TIMEOUT = "connect_timeout"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    DNS = "dns"
    AUTH = "auth"
    AUTH_UNSUPPORTED = "auth_unsupported"
    TLS = "tls"
    NOT_FOUND = "not_found"
    NO_DEVICE = "no_device"
    UNSUPPORTED = "unsupported"
    EOF = "eof"
    RESET = "reset"
    STALL = "stall"
    OVERRATE = "overrate"
    DECODE = "decode"
    ENDED = "ended"
    RELOAD = "reload"
    WORKER = "worker"
    OTHER = "other"


class SourceError(TocsinError):
    """A stream broke or could not be opened."""

    def __init__(self, fault: SourceFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class WorkerError(TocsinError):
    """A capture worker could not be started or died."""


class InferenceFault(StrEnum):
    """Why a batch failed in the detector: the word in logs and metrics."""

    RUNTIME = "runtime"
    NONFINITE = "nonfinite"
    SHAPE = "shape"
    IMPLAUSIBLE = "implausible"
    OOM = "oom"
    DEADLINE = "deadline"


class Degradation(StrEnum):
    """Why the detector is less than it should be: the word in logs, events and the status.

    An accelerator that is there is not in use, or was left while running; batches fail; a stream's pictures give
    numbers that are no result; the reference picture is not seen as it should be; a rule gets too few frames.
    """

    PROVIDER = "provider"
    LOST = "lost"
    FAILING = "failing"
    OUTPUT = "output"
    CANARY = "canary"
    TOO_SLOW = "too_slow"


class InferenceError(TocsinError):
    """The detector failed on a batch."""

    def __init__(self, fault: InferenceFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class AddressError(TocsinError):
    """A webhook's name leads only to addresses that it may not have; `denial` is the word for why."""

    def __init__(self, denial: str) -> None:
        super().__init__(f"expected an address that a webhook may have, found none ({denial})")
        self.denial = denial


class OutboxError(TocsinError):
    """The outbox cannot be opened, read or written."""


class EvidenceError(TocsinError):
    """A picture or clip of an alarm cannot be made or kept."""


class ControlError(TocsinError):
    """The running daemon cannot be reached or refused."""


class InputError(TocsinError):
    """What a command was given cannot be used: a picture, a video, a data set, or the name of what is not there."""


class OutputError(TocsinError):
    """What a command makes cannot be written."""
