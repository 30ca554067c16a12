"""What a command makes is put in its place whole, or not at all."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tocsin.errors import InputError, OutputError
from tocsin.footage.output import check_target, write


@contextmanager
def nearly_full(room: int) -> Iterator[None]:
    """Let no file of this process grow beyond `room` bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_is_there(tmp_path: Path) -> None:
    """The file holds the bytes, nothing else is left, and others may read it as any new file."""
    write(tmp_path / "a.png", b"new")
    (tmp_path / "usual").touch()
    assert (tmp_path / "a.png").read_bytes() == b"new"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.png", "usual"]
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """Who linked the place elsewhere finds the file there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a.png").symlink_to("elsewhere/b.png")
    write(tmp_path / "a.png", b"new")
    assert (tmp_path / "a.png").is_symlink()
    assert (tmp_path / "elsewhere" / "b.png").read_bytes() == b"new"


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """The sentence names the place, the old file is whole, and no partial one is left."""
    (tmp_path / "a.png").write_bytes(b"old")
    with (
        nearly_full(1000),
        pytest.raises(OutputError, match=r"a\.png: expected to write 5000 bytes there, found"),
    ):
        write(tmp_path / "a.png", bytes(5000))
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]


def test_a_place_that_can_be_written_passes(tmp_path: Path) -> None:
    """A new file, an old one, and one whose name ends in capitals are fine."""
    (tmp_path / "old.png").write_bytes(b"old")
    for name in ("new.png", "old.png", "NEW.PNG"):
        check_target("--out", tmp_path / name, ".png", [tmp_path / "input.png"])


@pytest.mark.parametrize(
    ("out", "error", "sentence"),
    [
        pytest.param(
            "a.jpg", InputError, r"--out: expected a name that ends in \.png, found .*a\.jpg", id="a JPEG"
        ),
        pytest.param("a", InputError, r"--out: expected a name that ends in \.png", id="no ending"),
        pytest.param("in.png", InputError, r"--out: expected another file than what is read", id="the input"),
        pytest.param(
            "link.png", InputError, r"--out: expected another file than what is read", id="a link to it"
        ),
        pytest.param(
            "hard.png", InputError, r"--out: expected another file than what is read", id="its other name"
        ),
        pytest.param(
            "dir.png",
            InputError,
            r"--out: expected a file to write, found a folder: .*dir\.png",
            id="a folder",
        ),
        pytest.param("pipe.png", InputError, r"--out: .* found a device or a pipe: .*pipe\.png", id="a pipe"),
        pytest.param(
            "no/a.png",
            InputError,
            r"--out: expected a name in a folder that is there, found .*no/a\.png",
            id="no folder",
        ),
        pytest.param(
            "in.png/a.png", InputError, r"--out: expected a name in a folder that is there", id="below a file"
        ),
    ],
)
def test_a_place_that_cannot_be_written_is_told_first(
    tmp_path: Path, out: str, error: type[Exception], sentence: str
) -> None:
    """Each fault has its own sentence, and nothing is touched."""
    source = tmp_path / "in.png"
    source.write_bytes(b"the input")
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    (tmp_path / "dir.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(error, match=sentence):
        check_target("--out", tmp_path / out, ".png", [source])
    assert source.read_bytes() == b"the input"


@pytest.mark.parametrize("name", ["a.png", "new.png", "below/new.png", "link/new.png"])
def test_nothing_is_written_into_a_folder_that_is_read(tmp_path: Path, name: str) -> None:
    """Neither over one of its pictures nor beside them, where the next run would take it for one."""
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    (folder / "link").symlink_to(folder / "below")
    (folder / "a.png").write_bytes(b"a picture")
    with pytest.raises(InputError, match=r"--plot: expected a place outside .*images, which is read, found"):
        check_target("--plot", folder / name, ".png", [folder])
    check_target("--plot", tmp_path / "images.png", ".png", [folder])


def test_a_folder_that_is_closed_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission is asked for before the work begins."""
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere, and CI is root
    with pytest.raises(OutputError, match="permission denied"):
        check_target("--out", tmp_path / "a.png", ".png", [])


def test_a_loop_of_links_does_no_harm(tmp_path: Path) -> None:
    """A link that leads nowhere is replaced by the file."""
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    check_target("--out", loop, ".png", [])
    write(loop, b"new")
    assert loop.read_bytes() == b"new"
