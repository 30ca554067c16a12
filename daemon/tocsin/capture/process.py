"""One capture worker as the daemon sees it: its process, its channel and its mailbox.

Workers are forked by a fork server that has the libraries loaded, so a worker costs only the memory it changes.
"""

import contextlib
import errno
import multiprocessing
import os
import resource
import select
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess

from tocsin.capture import mailbox
from tocsin.capture.order import Order
from tocsin.capture.reconnect import Outage
from tocsin.capture.wire import Command, encode
from tocsin.errors import WorkerError

_UNKNOWN = 255
"""What the library says of a process whose fork server is gone; our workers end with 0 or 1."""

NO_START = (OSError, EOFError, RuntimeError)
"""No descriptors or processes are left, or the fork server died at this moment: the next try starts a new one."""

_REAP = 1.0
"""Seconds for the fork server to notice a death, milliseconds mostly."""

_NEEDED = 6
"""Descriptors that a start takes in this process, one or two of them for its duration alone."""

_SPARE = 16
"""Descriptors that deliveries, the database and the endpoint keep, whatever the streams take."""

_SIGNALS = {one.value: one.name for one in signal.Signals}

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def prepare_fork_server() -> None:
    """Tell the fork server what to load; it starts with the first worker.

    One thread per native library and process: many streams share few cores. The variables must be set before the
    libraries load, hence before the fork server starts.
    """
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    multiprocessing.get_context("forkserver").set_forkserver_preload(["tocsin.capture.worker"])


def kill_fork_server() -> None:
    """Kill the fork server if there is one: its workers live on, and the next start brings a new one.

    Who waits for a fork gets a WorkerError. The library tells nobody which process it is.
    """
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # noqa: SLF001
    with contextlib.suppress(ProcessLookupError):
        if pid is not None:
            # our child until the next start reaps it: nothing else has its number
            os.kill(pid, signal.SIGKILL)


class WorkerProcess:
    """A running worker. The starter's thread makes it, the supervisor's uses it, but for `send`."""

    def __init__(self, order: Order, outage: Outage | None = None) -> None:
        """Start the worker, with the outage that the stream has. Raises WorkerError when that cannot be done."""
        # Guards the channel's descriptor, so that no thread sends into one that was closed and given out again;
        # held for one system call that never waits.
        self._sending = threading.Lock()
        with contextlib.ExitStack() as undo, _translated(order.stream):
            _leave_some_descriptors()
            self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(self.channel.close)
            with theirs:
                descriptor = mailbox.create(order.slot_bytes)
                try:
                    self.mailbox = mailbox.Mailbox(descriptor, order.slot_bytes)
                    self._process = _fork(order, theirs, outage)
                    # when anything fails from here on, the worker ends by itself: its channel is closed
                    self.pidfd = os.pidfd_open(self.pid)
                    undo.callback(os.close, self.pidfd)
                    socket.send_fds(self.channel, [b"mailbox"], [descriptor])
                finally:
                    os.close(descriptor)
            self.channel.setblocking(False)
            undo.pop_all()

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None, "a started process has a number"
        return self._process.pid

    def send(self, command: Command, descriptors: Sequence[int] = ()) -> None:
        """Send a message and open files, from any thread; a worker that is gone misses nothing.

        It never waits: at most three slots can be outstanding, and new views come seconds apart at least, far
        fewer messages than the socket holds.
        """
        with self._sending, contextlib.suppress(OSError):
            socket.send_fds(self.channel, [encode(command)], descriptors)

    def kill(self) -> None:
        """Kill the process; nothing else can have its number while the descriptor is open."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def dead(self, timeout: float = 0.0) -> bool:
        """Return whether the process has ended, waiting up to so many seconds."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def settle(self, timeout: float) -> None:
        """Wait until the process has ended and the fork server has noticed; up to so many seconds for each."""
        if self.dead(timeout):
            self._process.join(min(timeout, _REAP))

    def ending(self) -> str | None:
        """Return how the process ended, such as SIGSEGV; None while it lives or the fork server has not noticed."""
        code = self._process.exitcode if self.dead() else None
        if code is None:
            return None
        if code == _UNKNOWN:
            return "unknown, for the fork server died before"
        return f"exit code {code}" if code >= 0 else _SIGNALS.get(-code, f"signal {-code}")

    def close(self) -> None:
        """Give back the descriptors of a process that is dead; frames that lie in its mailbox stay valid."""
        with self._sending:
            self.channel.close()
        os.close(self.pidfd)
        with contextlib.suppress(ValueError):  # not reaped yet: the next start looks again and lets it go
            self._process.close()


def _leave_some_descriptors() -> None:
    """Raise OSError where a worker would take the last descriptors: alarms that nobody can send help nobody."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed - len(os.listdir("/proc/self/fd")) < _NEEDED + _SPARE:  # noqa: PTH208 - the names alone
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@contextlib.contextmanager
def _translated(stream: str) -> Iterator[None]:
    try:
        yield
    except NO_START as error:
        raise WorkerError(
            f"stream {stream}: expected a capture worker to start, found {why_not_started(error)}"
        ) from error


def why_not_started(error: Exception) -> str:
    """Return why no process could be started, as it stands in a sentence.

    What Python itself raises, such as of a temporary folder whose path is too long for a socket, has no code.
    """
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _fork(order: Order, theirs: socket.socket, outage: Outage | None) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    name = f"tocsin-{order.stream}"
    process = context.Process(target=_serve, args=(order, theirs, outage), name=name, daemon=True)
    process.start()
    return process


def _serve(order: Order, channel: socket.socket, outage: Outage | None) -> None:
    """Run in the worker's process; the import is here because the daemon's own process never needs FFmpeg."""
    from tocsin.capture.worker import main

    main(order, channel, outage)
