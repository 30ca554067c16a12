"""What a power cut may leave on a disk: the traced writes of a process, replayed with un-synced ones lost or torn.

After ALICE (Pillai et al., OSDI 2014), for one thread and one folder. A write is safe once its file was synced, a
name once its folder was. Before that each sector of it may be there or not, in whatever order it was written.
"""

import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.events import Notes
from support.outboxload import BOOK, OUTBOX, WEBHOOKS
from tocsin.deliver.outbox import Outbox

SECTOR = 512
_CALLS = "openat,pwrite64,write,ftruncate,fdatasync,fsync,unlink,rename"
_LINE = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_FILE = re.compile(r"\d+<([^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Create:
    """A name that was not there, or no longer, begins to mean a new file."""

    name: str


@dataclass(frozen=True, slots=True)
class Unlink:
    name: str


@dataclass(frozen=True, slots=True)
class Write:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """What is in the file is safe; without a name, the names in the folder are."""

    name: str | None


@dataclass(frozen=True, slots=True)
class Promise:
    """An event counts as committed from here on."""

    event_id: str


Op = Create | Unlink | Write | Truncate | Sync | Promise
Change = Write | Truncate
Image = tuple[tuple[str, bytes], ...]
"""The files of a folder and what is in them, by their names."""

Keep = Callable[[Change, bool], list[Change]]
"""Says which parts of a change are on the disk, given whether it was the last one of its file."""


def trace(folder: Path, events: int) -> list[Op]:
    """Let an outbox work in `folder` under strace, and return what its thread did to the disk."""
    command = [
        "strace",
        "-ff",
        "-y",
        "-xx",
        "-s",
        "1000000",
        "-e",
        f"trace={_CALLS}",
        "-o",
        str(folder / "trace"),
    ]
    load = [sys.executable, "-m", "support.outboxload", str(folder), str(events)]
    tests = Path(__file__).parents[1]
    subprocess.run([*command, *load], check=True, cwd=tests, capture_output=True, timeout=600)
    texts = [file.read_text() for file in folder.glob("trace.*")]
    word = "".join(f"\\x{byte:02x}" for byte in f"{OUTBOX}-wal".encode())
    (of_outbox,) = [text for text in texts if "pwrite64" in text and word in text]
    return list(_ops(of_outbox, folder))


def _ops(text: str, folder: Path) -> Iterator[Op]:
    known: set[str] = set()
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or match[3] == "-1":
            continue
        call, arguments = match[1], match[2]
        named = _TEXT.search(arguments)
        about = _FILE.match(arguments)
        path = Path(_decode(about[1] if about else named[1] if named else "").decode())
        if call == "openat":
            path = Path(_decode(named[1] if named else "").decode())
        if path == folder and call in ("fsync", "fdatasync"):
            yield Sync(None)
        if (
            path.parent != folder
            or not path.name.startswith((OUTBOX, BOOK))
            or path.name.endswith(("-shm", ".lock"))
        ):
            continue
        if path.name == BOOK:
            if call == "write":
                yield from (Promise(id_) for id_ in _decode(named[1] if named else "").decode().split())
            continue
        yield from _op(call, arguments, path.name, known)


def _op(call: str, arguments: str, name: str, known: set[str]) -> Iterator[Op]:
    assert call not in ("rename", "write"), f"a power cut within {call} of {name} is not modelled"
    if call == "openat" and "O_CREAT" in arguments and name not in known:
        known.add(name)
        yield Create(name)
    elif call == "unlink":
        known.discard(name)
        yield Unlink(name)
    elif call == "pwrite64":
        data = _TEXT.search(arguments)
        assert data, "a write has data"
        yield Write(name, int(arguments.rsplit(",", 1)[1]), _decode(data[1]))
    elif call == "ftruncate":
        yield Truncate(name, int(arguments.rsplit(",", 1)[1]))
    elif call in ("fsync", "fdatasync"):
        yield Sync(name)


def _decode(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass(slots=True)
class _File:
    safe: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.safe, change)
        self.pending.clear()

    def after(self, keep: Keep) -> bytes:
        content = bytearray(self.safe)
        for number, change in enumerate(self.pending):
            for part in keep(change, number == len(self.pending) - 1):
                _apply(content, part)
        return bytes(content)


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of cutting the power after each step of a trace.

    `lost` counts images in which a promised event was missing, `damaged` those that could not be opened as they
    were; `torn` is how many images differed from both the least and the most that could be there.
    """

    cuts: int
    images: int
    promises: int
    torn: int
    lost: int
    damaged: int

    def __str__(self) -> str:
        return (
            f"{self.cuts} power cuts, {self.images} images ({self.torn} of them torn), {self.promises} events"
            f" promised: {self.lost} images without one of them, {self.damaged} damaged"
        )


def replay(ops: Iterable[Op], folder: Path, *, every: int = 1, seed: int = 0) -> Replay:
    """Cut the power after each `every`th operation, in each of the ways of `Disk.images`, and open what is left."""
    chance, disk = random.Random(seed), Disk()
    promised: list[str] = []
    known: dict[Image, frozenset[str] | None] = {}
    cuts = images = torn = lost = damaged = 0
    for number, op in enumerate(ops):
        disk.do(op)
        if isinstance(op, Promise):
            promised.append(op.event_id)
        if number % every:
            continue
        cuts += 1
        least, most, *others = (tuple(sorted(image.items())) for image in disk.images(chance))
        for image in {least, most, *others}:
            if image not in known:
                known[image] = _reopen(image, folder)
            found = known[image]
            images += 1
            torn += image not in (least, most)
            damaged += found is None
            lost += found is not None and not found.issuperset(promised)
    return Replay(cuts, images, len(promised), torn, lost, damaged)


def _reopen(image: Image, folder: Path) -> frozenset[str] | None:
    """Return the events that the outbox has queued after it was started on an image; None if it was moved aside."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in image:
        (folder / name).write_bytes(content)
    outbox = Outbox(folder / OUTBOX, WEBHOOKS, Notes())
    moved = outbox.start()
    try:
        return (
            None
            if moved
            else frozenset(each.event_id for each in outbox.queued("hook", 0, 1_000_000).result(60))
        )
    finally:
        outbox.stop(time.monotonic() + 60)


class Disk:
    """A folder on a disk that forgets what was not synced."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._safe_names: dict[str, _File] = {}
        self._renamed: list[Create | Unlink] = []  # since the folder was synced
        self._born: dict[int, _File] = {}

    def do(self, op: Op) -> None:
        """Take in what the process did next."""
        match op:
            case Create(name):
                self._files[name] = _File()
                self._renamed.append(op)
                self._born[id(op)] = self._files[name]
            case Unlink(name):
                del self._files[name]
                self._renamed.append(op)
            case Write(name) | Truncate(name):
                self._files[name].pending.append(op)
            case Sync(None):
                self._safe_names = self._names(len(self._renamed))
                self._renamed.clear()
            case Sync(str(name)):
                self._files[name].sync()
            case Promise():
                pass

    def images(self, chance: random.Random) -> Iterator[dict[str, bytes]]:
        """Yield folders that a cut just now may leave: the least, the most, the last write torn, and any."""
        everything = len(self._renamed)
        for names, keep in (
            (0, _none),
            (everything, _whole),
            (everything, _torn(chance, last_alone=True)),
            (chance.randint(0, everything), _torn(chance, last_alone=False)),
        ):
            yield {name: file.after(keep) for name, file in self._names(names).items()}

    def _names(self, count: int) -> dict[str, _File]:
        """The names, were the first `count` changes of them on the disk."""
        names = dict(self._safe_names)
        for change in self._renamed[:count]:
            if isinstance(change, Create):
                names[change.name] = self._born[id(change)]
            else:
                names.pop(change.name, None)
        return names


def _whole(change: Change, _: bool) -> list[Change]:
    return [change]


def _none(_: Change, __: bool) -> list[Change]:
    return []


def _torn(chance: random.Random, *, last_alone: bool) -> Keep:
    """Keep each sector or not; of changes before the last one all, where it is the last one's fate alone."""

    def keep(change: Change, is_last: bool) -> list[Change]:
        if last_alone and not is_last:
            return [change]
        parts = [change] if isinstance(change, Truncate) else list(_sectors(change))
        return [part for part in parts if chance.random() < 0.5]

    return keep


def _sectors(write: Write) -> Iterator[Write]:
    start, end = write.offset, write.offset + len(write.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield Write(write.name, start, write.data[start - write.offset : stop - write.offset])
        start = stop


def _apply(content: bytearray, change: Change) -> None:
    if isinstance(change, Truncate):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    end = change.offset + len(change.data)
    content.extend(bytes(max(0, end - len(content))))
    content[change.offset : end] = change.data
