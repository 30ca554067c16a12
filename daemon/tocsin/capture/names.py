"""Which address of a stream's host is tried: asked of the name server under a deadline, and remembered.

Nothing in FFmpeg bounds the resolution of a name: with dead name servers it takes half a minute.
"""

import ipaddress
import socket
import threading

from tocsin.errors import SourceError, SourceFault

DEADLINE = 3.0
"""Seconds that an opening waits for the name server."""

_DENIED = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


class Resolver:
    """The addresses of one stream's host, over all openings of the stream; used by one thread.

    An address is kept until it fails. What was last known is used while the name server is silent or fails, and
    `from_memory` then says so; when it denies that there is such a name, it is believed.
    """

    def __init__(self) -> None:
        self._question: _Question | None = None
        self._known: tuple[str, ...] = ()
        self._failed: set[str] = set()
        self._address = ""
        self._is_tried = False
        self.from_memory = False

    @property
    def count(self) -> int:
        """How many addresses the host has, as far as that is known."""
        return len(self._known)

    def find(self, host: str, port: int) -> str:
        """Return the address to be tried now. Raises SourceError(DNS)."""
        self._is_tried = False
        self._learn(host, port)
        self._is_tried = True
        if self._address not in self._known or self._address in self._failed:
            fresh = [address for address in self._known if address not in self._failed]
            if not fresh:
                self._failed.clear()
            self._address = (fresh or self._known)[0]
        return self._address

    def failed(self) -> None:
        """Take note that the address found last did not work: another one is tried next, if there is any."""
        if self._is_tried:
            self._failed.add(self._address)

    def _learn(self, host: str, port: int) -> None:
        if is_address(host):
            self._known = (host,)
            return
        question = self._question
        if question is not None and question.is_over:
            self._known = question.found or self._known  # it was late, but not in vain
            question = None
        # one that is still open is waited for again: a name server that is dead for a week costs one thread
        self._question = question = question or _Question(host, port)
        in_time = question.wait(DEADLINE)
        found, denied = (question.found, question.is_denied) if in_time else ((), False)
        self._known = found or self._known
        self.from_memory = not found
        if not found and (denied or not self._known):
            reason = question.why if in_time else f"no answer within {DEADLINE:g} s"
            raise SourceError(SourceFault.DNS, f"expected the name server to know {host}, found: {reason}")


def is_address(host: str) -> bool:
    """Return whether a host is an address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Question:
    """One question to the name server, asked in a thread of its own, since nothing can end it."""

    def __init__(self, host: str, port: int) -> None:
        self.found: tuple[str, ...] = ()
        self.why = ""
        self.is_denied = False
        # Ends with the answer, or when the system's resolver gives up; nobody waits for it longer than `wait`
        # does, and being a daemon it holds up no exit. What it writes is read after it said that it is over.
        self._over = threading.Event()
        threading.Thread(target=self._ask, args=(host, port), name="resolve", daemon=True).start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def wait(self, seconds: float) -> bool:
        return self._over.wait(seconds)

    def _ask(self, host: str, port: int) -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:  # an empty or overlong label, or one that IDNA does not know
            self.why, self.is_denied = "no valid name", True
        except OSError as error:
            self.why = (error.strerror or "unknown").lower()
            self.is_denied = error.errno in _DENIED
        else:
            self.found = tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))
        self._over.set()
