"""Sentences about a configuration with the place that they are about in front."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tocsin.config.settings import Config
from tocsin.errors import TocsinError
from tocsin.yamlfile import Fault, KeyPath, dotted


def messages(config: Config, faults: Iterable[Fault]) -> list[str]:
    """Return one message for each fault; without file and line for a configuration that was built in code."""
    if config.origin is None:
        return [f"{dotted(fault.path)}: {fault.sentence}" for fault in faults]
    return config.origin.document.messages(faults)


def place(config: Config, path: KeyPath, sentence: str) -> str:
    """Return `FILE:LINE: http.listen: SENTENCE`; a sentence that begins with its key gets that once."""
    (message,) = messages(config, [fault_at(path, sentence)])
    return message


def fault_at(path: KeyPath, sentence: str) -> Fault:
    """Return the fault that `sentence` tells, which may begin with the name of the key."""
    return Fault(path, sentence.removeprefix(f"{dotted(path)}: "))


@contextmanager
def placed(config: Config, path: KeyPath, kind: type[TocsinError]) -> Iterator[None]:
    """Put the place of the key at `path` in front of what an error of just this kind, raised inside, says."""
    try:
        yield
    except kind as error:
        if type(error) is not kind:
            raise
        raise kind(place(config, path, str(error))) from error
