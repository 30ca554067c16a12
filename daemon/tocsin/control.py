"""The running daemon's private door: a Unix socket on which `tocsin status` asks and the daemon answers.

One connection carries one request and one response, each a line of JSON: `{"command": "status"}` is answered
by `{"ok": true, "result": {...}}` or `{"ok": false, "error": "a sentence"}`, with `"wrong_usage": true` where the
same request would be refused again. Who may open the socket may do everything, so it has mode 0600 from its first
moment.
"""

import json
import os
import pwd
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from tocsin.errors import ControlError, InputError, StartError, TocsinError

log = structlog.get_logger(__name__)

CONTROL_SOCKET = "control.sock"
"""Its name in the state directory."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name of the system's user behind the connection, or `uid 1234` of one that has none."""

    user: str

    def named(self, given: str) -> str:
        """Return who does something: the user, behind the name that was given, which proves nothing."""
        return self.user if given in ("", self.user) else f"{given} ({self.user})"


Handler = Callable[[Mapping[str, Any], Caller], Mapping[str, Any]]
"""Gets the request and who asks; answers at once, from memory; raises a TocsinError to refuse."""

REQUEST_BYTES = 64 * 1024
RESPONSE_BYTES = 4 * 1024 * 1024
EXCHANGE_SECONDS = 2.0
"""One connection is served at a time, and none for longer than this."""


class ControlServer:
    """Answers requests on a socket in the state directory, in a thread of its own."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._listener: socket.socket | None = None
        self._identity: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()  # set by stop(), read by the thread

    def start(self) -> None:
        """Open the socket and serve it; the file of a daemon that was killed is replaced.

        Raises StartError when another daemon answers there, or the socket cannot be made.
        """
        try:
            with _short(self._path) as address:
                if _is_served(address):
                    raise StartError(
                        f"state_dir: expected no other daemon, found one that answers at {self._path}"
                    )
                self._listener = _listening(address)
                self._identity = _identity(address)
        except OSError as error:
            raise StartError(
                f"state_dir: expected a directory that can hold {self._path.name}, found {_reason(error)}"
            ) from error
        # Blocks in accept() and, for EXCHANGE_SECONDS at most, on one client; woken by the listener's shutdown.
        self._thread = threading.Thread(
            target=self._serve, args=(self._listener,), name="control", daemon=True
        )
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Serve no longer and remove the socket's file, unless another daemon has replaced it."""
        if self._listener is None or self._thread is None:
            return
        self._stopping.set()
        with suppress(OSError):  # gone already, with its directory or by another's hand
            if _identity(self._path) == self._identity:
                self._path.unlink()
        with self._listener as listener:
            self._listener = None
            listener.shutdown(socket.SHUT_RDWR)
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            raise TimeoutError("the control socket's thread did not end in time")

    def _serve(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = listener.accept()
            except OSError as error:
                # While the process is out of descriptors this fails again and again.
                if not self._stopping.wait(1.0):
                    log.warning("the control socket cannot accept", errno=error.errno)
                continue
            # A thread for each exchange, one at a time: a fault in a handler costs its caller the answer, and
            # nobody the door.
            exchange = threading.Thread(
                target=self._exchange, args=(client,), name="control-exchange", daemon=True
            )
            exchange.start()
            exchange.join()

    def _exchange(self, client: socket.socket) -> None:
        until = time.monotonic() + EXCHANGE_SECONDS
        with client, suppress(OSError):  # a client that left, or was too slow, has lost its answer
            answer = self._answer(_read_line(client, REQUEST_BYTES, until), _caller(client))
            client.settimeout(_left(until))
            client.sendall(json.dumps(answer).encode() + b"\n")

    def _answer(self, line: bytes, caller: Caller) -> dict[str, Any]:
        try:
            request = json.loads(line)
            json.dumps(
                request, ensure_ascii=False
            ).encode()  # raises for a lone surrogate: no text to be stored
            handler = self._handlers[request["command"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            known = ", ".join(sorted(self._handlers))
            return {"ok": False, "error": f"expected a request with a command among {known}, found another"}
        try:
            return {"ok": True, "result": handler(request, caller)}
        except TocsinError as error:
            return {"ok": False, "error": str(error), "wrong_usage": isinstance(error, InputError)}


def request(path: Path, command: str, timeout: float = 5.0, **arguments: Any) -> dict[str, Any]:
    """Ask the daemon whose socket is at `path`, and return its answer within `timeout` seconds.

    Raises a sentence for a person: InputError where it refuses what was asked, and ControlError for all else.
    """
    question = json.dumps({**arguments, "command": command}).encode() + b"\n"
    try:
        answer = json.loads(_asked(path, question, timeout))
        if answer["ok"]:
            return dict(answer["result"])
        refused = InputError if answer.get("wrong_usage") else ControlError
        refusal = refused(str(answer["error"]))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise ControlError(f"expected a running daemon at {path}, found none") from error
    except PermissionError as error:
        raise ControlError(
            f"expected to be let in at {path}, found permission denied: ask as the daemon's user or as root"
        ) from error
    except TimeoutError as error:
        raise ControlError(
            f"expected an answer at {path} within {timeout:g} s, found none; it may do later what was asked"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ControlError(f"expected an answer at {path}, found a broken one") from error
    raise refusal


def _asked(path: Path, question: bytes, timeout: float) -> bytes:
    until = time.monotonic() + timeout
    with _short(path) as address, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        client.connect(str(address))
        client.sendall(question)
        return _read_line(client, RESPONSE_BYTES, until)


def _caller(connection: socket.socket) -> Caller:
    """Return who is at the other end, as the kernel knows it (SO_PEERCRED, unix(7))."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    try:
        return Caller(pwd.getpwuid(user).pw_name)
    except KeyError:
        return Caller(f"uid {user}")


@contextmanager
def _short(path: Path) -> Iterator[Path]:
    """Yield another name of the path, through a descriptor of its directory.

    The kernel takes at most 107 bytes for a socket's address.
    """
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{directory}") / path.name
    finally:
        os.close(directory)


def _is_served(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, suppress(FileNotFoundError, ConnectionRefusedError):
        probe.settimeout(EXCHANGE_SECONDS)
        probe.connect(str(address))
        return True
    return False


def _listening(address: Path) -> socket.socket:
    """Return a socket that listens at the address, in the place of whatever file was there."""
    draft = address.with_name(address.name + ".new")
    listener = socket.socket(socket.AF_UNIX)
    try:
        # On Linux the file gets the mode of its socket. A umask belongs to the whole process, and a chmod after
        # bind() would come a moment too late.
        os.fchmod(listener.fileno(), 0o600)
        draft.unlink(missing_ok=True)
        listener.bind(str(draft))
        listener.listen(8)
        draft.rename(address)  # at no moment is there a file that nobody listens on
    except OSError:
        listener.close()
        raise
    return listener


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino


def _read_line(connection: socket.socket, limit: int, until: float) -> bytes:
    """Read a line; raises TimeoutError at that monotonic time, and ConnectionError when there is no line's end."""
    received = bytearray()
    while not received.endswith(b"\n"):
        connection.settimeout(_left(until))
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("the other side left in the middle of a line")
        received += more
        if len(received) > limit:
            raise ConnectionError(f"the line is longer than {limit} bytes")
    return bytes(received)


def _left(until: float) -> float:
    """Return the seconds until a monotonic time, and a little when it has passed: 0 would mean not to block."""
    return max(0.001, until - time.monotonic())


def _reason(error: OSError) -> str:
    return (error.strerror or "an unknown fault").lower()
