"""A fake name server, and surroundings in which a process asks it and no other."""

import os
import random
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from support.counterpart import need

_HEADER = struct.Struct("!6H")
_ANSWER = struct.Struct("!HHHIH4s")
_A, _IN, _NO_SUCH_NAME = 1, 1, 3


class NameServer:
    """Answers on port 53 of a loopback address of its own what `addresses` says, and denies all other names.

    While `is_silent` it only counts. `asked` holds the monotonic time and the name of each question. Needs root.
    """

    def __init__(self, **addresses: str) -> None:
        need(
            _can_mount,
            "run it as root: a name server of its own takes port 53 and a mount of /etc/resolv.conf",
        )
        self.addresses = addresses
        self.is_silent = False
        self.asked: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0.1)
        self.address = f"127.53.{random.randrange(256)}.{random.randrange(1, 255)}"
        self._ending = threading.Event()
        # Answers until `_ending` is set, which it looks at ten times a second.
        self._thread = threading.Thread(target=self._serve, name="name server", daemon=True)

    def __enter__(self) -> Self:
        self._socket.bind((self.address, 53))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(10)
        self._socket.close()

    def surroundings(self, folder: Path) -> list[str]:
        """Return the command in which a program knows this name server alone; `folder` holds what it reads."""
        folder.mkdir(exist_ok=True)
        (folder / "resolv.conf").write_text(f"nameserver {self.address}\n")
        (folder / "nsswitch.conf").write_text("hosts: files dns\n")
        script = "for name in resolv nsswitch; do mount --bind $0/$name.conf /etc/$name.conf || exit 1; done"
        return ["unshare", "--mount", "sh", "-c", f'{script}; exec "$@"', str(folder)]

    def _serve(self) -> None:
        while not self._ending.is_set():
            try:
                question, client = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            name, kind, end = _parse(question)
            self.asked.append((time.monotonic(), name))
            if not self.is_silent:
                self._socket.sendto(self._answer(question[:end], name, kind), client)

    def _answer(self, question: bytes, name: str, kind: int) -> bytes:
        address = self.addresses.get(name.replace(".", "_"))
        number = _HEADER.unpack_from(question)[0]
        body = question[_HEADER.size :]
        if address is None:
            return _HEADER.pack(number, 0x8180 | _NO_SUCH_NAME, 1, 0, 0, 0) + body
        if kind != _A:
            return _HEADER.pack(number, 0x8180, 1, 0, 0, 0) + body
        answer = _ANSWER.pack(0xC00C, _A, _IN, 0, 4, socket.inet_aton(address))
        return _HEADER.pack(number, 0x8180, 1, 1, 0, 0) + body + answer


def _parse(question: bytes) -> tuple[str, int, int]:
    """Return the name and the type that are asked for, and where the question ends."""
    labels, at = [], _HEADER.size
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels).lower(), int.from_bytes(question[at + 1 : at + 3], "big"), at + 5


def _can_mount() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        return subprocess.run(["unshare", "--mount", "true"], capture_output=True, timeout=30).returncode == 0
    except FileNotFoundError:
        return False
