"""The control socket: who may open it, what it answers, and what its caller is told when it does not."""

import json
import os
import pwd
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.wait import until
from tocsin import control
from tocsin.control import ControlServer, request
from tocsin.errors import ControlError, InputError, StartError

HANDLERS: dict[str, control.Handler] = {
    "status": lambda asked, _: {"streams": {"yard": "up"}, "asked": dict(asked)},
    "caller": lambda _, caller: {"user": caller.user},
    "large": lambda *_: {"text": "x" * 1_000_000},
}


@contextmanager
def serving(path: Path, handlers: Mapping[str, control.Handler] = HANDLERS) -> Iterator[ControlServer]:
    server = ControlServer(path, handlers)
    server.start()
    try:
        yield server
    finally:
        server.stop(time.monotonic() + 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def test_a_request_is_answered(path: Path) -> None:
    """The handler gets the request with its arguments, and the caller gets the result."""
    with serving(path):
        assert request(path, "status", detail=2) == {
            "streams": {"yard": "up"},
            "asked": {"command": "status", "detail": 2},
        }
        assert len(request(path, "large")["text"]) == 1_000_000


def test_a_handler_knows_who_asks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells which of the system's users it is; one without a name has a number."""
    with serving(path):
        assert request(path, "caller") == {"user": pwd.getpwuid(os.getuid()).pw_name}
        monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
        assert request(path, "caller") == {"user": f"uid {os.getuid()}"}


def test_only_the_owner_may_open_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has mode 0600 from the moment it exists, whatever the umask is."""
    modes = []
    bind = socket.socket.bind

    def spying(self: socket.socket, address: str) -> None:
        bind(self, address)
        modes.append(Path(address).stat().st_mode & 0o777)

    monkeypatch.setattr(socket.socket, "bind", spying)
    before = os.umask(0)
    try:
        with serving(path):
            assert modes == [0o600]
            assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_a_path_may_be_longer_than_an_address(tmp_path: Path) -> None:
    """A state directory with a path of some hundred characters works for both sides."""
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    with serving(folder / "control.sock"):
        assert request(folder / "control.sock", "status")["streams"] == {"yard": "up"}


def test_the_socket_of_a_killed_daemon_is_replaced(path: Path) -> None:
    """A file on which nobody listens does not keep the next daemon from starting."""
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with pytest.raises(ControlError, match="found none"):
        request(path, "status")
    with serving(path):
        assert request(path, "status")["streams"] == {"yard": "up"}


def test_a_second_daemon_is_refused(path: Path) -> None:
    """Where a daemon answers, a second one does not start, and the first keeps its socket."""
    with serving(path):
        with pytest.raises(
            StartError, match="state_dir: expected no other daemon, found one that answers at"
        ):
            ControlServer(path, {}).start()
        assert request(path, "status")["streams"] == {"yard": "up"}


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """Without its directory the socket cannot be made, and the sentence says so."""
    with pytest.raises(StartError) as caught:
        ControlServer(tmp_path / "none" / "control.sock", {}).start()
    assert str(caught.value) == (
        "state_dir: expected a directory that can hold control.sock, found no such file or directory"
    )


def test_stopping_removes_the_file(path: Path) -> None:
    """After the stop there is no file, no thread, and a second stop does nothing."""
    with serving(path) as server:
        pass
    server.stop(time.monotonic() + 5)
    assert not path.exists()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("control")]


def test_stopping_leaves_the_file_of_another(path: Path) -> None:
    """A file that another daemon put there stays."""
    with serving(path):
        path.unlink()
        path.write_text("another's")
    assert path.exists()


def test_stopping_before_starting_does_nothing(path: Path) -> None:
    """A part that was never started can be stopped."""
    ControlServer(path, {}).stop(time.monotonic())


def refuse(_: Mapping[str, Any], __: control.Caller) -> Mapping[str, Any]:
    raise ControlError("expected a webhook that exists, found none named desk")


def test_a_refusal_is_the_daemons_own_sentence(path: Path) -> None:
    """What a handler refuses with is what the caller is told."""
    with (
        serving(path, {"retry": refuse}),
        pytest.raises(ControlError, match=r"^expected a webhook that exists, found none named desk$"),
    ):
        request(path, "retry")


def test_a_wrong_question_is_told_from_a_daemon_that_cannot(path: Path) -> None:
    """Who asked for what is not there gets another exit code than who may ask again."""

    def unknown(_: Mapping[str, Any], __: control.Caller) -> Mapping[str, Any]:
        raise InputError("expected one of the webhooks (hook), found hok")

    with serving(path, {"retry": unknown}), pytest.raises(InputError, match="found hok"):
        request(path, "retry")


def test_an_unknown_command_is_refused(path: Path) -> None:
    """The refusal lists what there is."""
    with (
        serving(path),
        pytest.raises(ControlError, match="a command among caller, large, status, found another"),
    ):
        request(path, "reboot")


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b"{}\n", b'{"command": []}\n', b"\xff\n", b"[" * 10000 + b"\n"]
)
def test_nonsense_is_refused(path: Path, line: bytes) -> None:
    """A request that is none gets a refusal, and the next one its answer."""
    with serving(path):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(line)
            assert json.loads(client.makefile().readline())["ok"] is False
        assert request(path, "status")["streams"] == {"yard": "up"}


@pytest.mark.parametrize("sent", [b"", b'{"command"'], ids=["nothing", "half a line"])
def test_a_silent_client_costs_the_next_one_a_moment(
    path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """A client that does not finish its line is dropped in time."""
    monkeypatch.setattr(control, "EXCHANGE_SECONDS", 0.3)
    with serving(path), socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        silent.sendall(sent)
        assert request(path, "status")["streams"] == {"yard": "up"}
        silent.settimeout(5)
        assert silent.recv(1) == b""


def test_a_dripping_client_is_dropped_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is for the whole exchange and not for each byte."""
    monkeypatch.setattr(control, "EXCHANGE_SECONDS", 0.5)
    with serving(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))

        def dropped() -> bool:
            try:
                client.sendall(b" ")
            except OSError:
                return True
            return False

        started = time.monotonic()
        until(dropped, 10, "the server to drop the client")
        assert time.monotonic() - started > 0.3


def test_a_long_request_is_dropped(path: Path) -> None:
    """No more than the limit is read."""
    with serving(path):
        with pytest.raises(ControlError, match="a broken one"):
            request(path, "status", text="x" * 10_000_000)
        assert request(path, "status")["streams"] == {"yard": "up"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_broken_handler_costs_one_answer(path: Path) -> None:
    """A fault in a handler leaves its caller without an answer, and the socket with all its others."""
    with serving(path, {**HANDLERS, "broken": lambda *_: {"no": 1 // 0}}):
        with pytest.raises(ControlError, match=r"expected an answer at .*, found a broken one"):
            request(path, "broken")
        assert request(path, "status")["streams"] == {"yard": "up"}


def test_without_a_daemon(tmp_path: Path) -> None:
    """Neither a missing socket nor a missing directory is a traceback."""
    for place in (tmp_path / "control.sock", tmp_path / "none" / "control.sock"):
        with pytest.raises(ControlError) as caught:
            request(place, "status")
        assert str(caught.value) == f"expected a running daemon at {place}, found none"


def test_a_daemon_that_does_not_answer(path: Path) -> None:
    """A daemon that hangs is waited for no longer than the caller asked."""
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(path))
        hung.listen()
        with pytest.raises(
            ControlError, match=r"expected an answer at .* within 0.2 s, found none; it may do later"
        ):
            request(path, "status", timeout=0.2)


@pytest.mark.parametrize("reply", [b"what?\n", b"{}\n", b'{"ok": true}\n', b"7\n", b'{"ok":', b""])
def test_a_daemon_that_answers_nonsense(path: Path, reply: bytes) -> None:
    """An answer that is none is one sentence too."""
    with ExitStack() as cleanup:
        daemon = cleanup.enter_context(socket.socket(socket.AF_UNIX))
        daemon.bind(str(path))
        daemon.listen()

        def answer() -> None:
            client, _ = daemon.accept()
            with client:
                client.recv(4096)
                client.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        cleanup.callback(thread.join)
        with pytest.raises(ControlError, match=r"expected an answer at .*, found a broken one"):
            request(path, "status")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_to_ask_as_the_daemons(path: Path) -> None:
    """Permission denied is a sentence that says what to do."""
    with serving(path):
        os.seteuid(65534)
        try:
            with pytest.raises(
                ControlError, match="found permission denied: ask as the daemon's user or as root"
            ):
                request(path, "status")
        finally:
            os.seteuid(0)
