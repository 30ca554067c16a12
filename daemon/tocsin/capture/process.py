"""One capture worker as the daemon sees it: its process, its channel and its mailbox.

Workers are forked by a fork server that has the libraries loaded, so a worker costs only the memory it changes.
"""

import contextlib
import multiprocessing
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

from tocsin.capture import mailbox
from tocsin.capture.order import Order
from tocsin.capture.wire import Command, encode
from tocsin.errors import WorkerError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_REAP = 1.0


def prepare_fork_server() -> None:
    """Tell the fork server what to load; it starts with the first worker.

    One thread per native library and process: many streams share few cores. The variables must be set before the
    libraries load, hence before the fork server starts.
    """
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    multiprocessing.get_context("forkserver").set_forkserver_preload(["tocsin.capture.worker"])


class WorkerProcess:
    """A running worker. Everything here is called by the supervisor's thread, but for `send`."""

    def __init__(self, order: Order) -> None:
        """Start the worker. Raises WorkerError when the fork server cannot give one."""
        # Guards the channel's descriptor, so that no thread sends into one that was closed and given out again;
        # held for one system call that never waits.
        self._sending = threading.Lock()
        with contextlib.ExitStack() as undo, _translated(order.stream):
            self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(self.channel.close)
            with theirs:
                descriptor = mailbox.create(order.slot_bytes)
                try:
                    self.mailbox = mailbox.Mailbox(descriptor, order.slot_bytes)
                    self._process = _fork(order, theirs)
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

    def send(self, command: Command) -> None:
        """Send a message, from any thread; a worker that is gone misses nothing.

        It never waits: at most three slots can be outstanding, and new views come seconds apart at least, far
        fewer messages than the socket holds.
        """
        with self._sending, contextlib.suppress(OSError):
            self.channel.send(encode(command))

    def kill(self) -> None:
        """Kill the process; nothing else can have its number while the descriptor is open."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def dead(self, timeout: float = 0.0) -> bool:
        """Return whether the process has ended, waiting up to so many seconds."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def close(self) -> None:
        """Give back the descriptors of a process that is dead; frames that lie in its mailbox stay valid."""
        with self._sending:
            self.channel.close()
        os.close(self.pidfd)
        self._process.join(_REAP)
        with contextlib.suppress(
            ValueError
        ):  # the fork server has not reaped it yet: nothing depends on that
            self._process.close()


@contextlib.contextmanager
def _translated(stream: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, RuntimeError) as error:
        # No descriptors or processes left, or the fork server died at this moment: the next try starts a new one.
        found = type(error).__name__
        raise WorkerError(f"stream {stream}: expected a capture worker to start, found {found}") from error


def _fork(order: Order, theirs: socket.socket) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_serve, args=(order, theirs), name=f"tocsin-{order.stream}", daemon=True)
    process.start()
    return process


def _serve(order: Order, channel: socket.socket) -> None:
    """Run in the worker's process; the import is here because the daemon's own process never needs FFmpeg."""
    from tocsin.capture.worker import main

    main(order, channel)
