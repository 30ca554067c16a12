"""A port that drops every request for a connection, as a host that is not there or a firewall does."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from support.wait import SCALE


@contextmanager
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 whose queue is full: Linux drops what comes then, and does not refuse it."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = int(full.getsockname()[1])
        first.connect(("127.0.0.1", port))
        assert is_swallowed(second, port), "the port refused or took a connection that it should have dropped"
        yield port


def is_swallowed(probe: socket.socket, port: int) -> bool:
    """Return whether a connection there is neither taken nor refused within half a second."""
    probe.settimeout(0.5 * SCALE)
    try:
        probe.connect(("127.0.0.1", port))
    except TimeoutError:
        return True
    except OSError:
        return False
    return False
