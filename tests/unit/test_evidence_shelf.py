"""Evidence lies where only its own user finds it, for as long as it may and in as much room as it may."""

import errno
import os
import secrets
import stat
from pathlib import Path

import pytest

from tocsin.errors import EvidenceError
from tocsin.evidence.link import Link, evidence_key, new_key, opened, path_of
from tocsin.evidence.shelf import FOLDER, Kind, Limits, Removal, Shelf

ENOUGH = Limits(3600.0, 1 << 30, 0)
NOW = 1_700_000_000.0


def new_piece() -> str:
    """An identity as `piece_of` derives them."""
    return secrets.token_hex(16)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def put(shelf: Shelf, folder: Path, *, age: float = 0.0, size: int = 100, kind: Kind = Kind.FRAME) -> str:
    """A piece of that age and size."""
    piece = new_piece()
    with os.fdopen(shelf.begin(piece, kind), "wb") as file:
        file.write(bytes(size))
    shelf.finish(piece, kind)
    path = folder / FOLDER / f"{piece}.{kind}{kind.suffix}"
    os.utime(path, (NOW - age, NOW - age))
    return piece


def there(shelf: Shelf, piece: str, kind: Kind = Kind.FRAME) -> bool:
    descriptor = shelf.open(piece, kind)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


def test_what_is_kept_is_for_its_user_alone(shelf: Shelf, tmp_path: Path) -> None:
    """The folder and each file in it, whatever the umask."""
    before = os.umask(0)
    try:
        piece = put(shelf, tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / FOLDER / f"{piece}.frame.jpg").stat().st_mode) == 0o600


def test_a_piece_is_found_when_it_is_whole(shelf: Shelf) -> None:
    """A half-written picture is shown to nobody."""
    piece = new_piece()
    os.close(shelf.begin(piece, Kind.CROP))
    assert not there(shelf, piece, Kind.CROP)
    shelf.finish(piece, Kind.CROP)
    assert there(shelf, piece, Kind.CROP)
    assert not there(shelf, piece, Kind.FRAME)


def test_a_link_in_the_folder_is_not_followed(shelf: Shelf, tmp_path: Path) -> None:
    """Whoever gets one in there still reads nothing else through it."""
    piece = new_piece()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / FOLDER / f"{piece}.frame.jpg").symlink_to(tmp_path / "secret")
    assert not there(shelf, piece)


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Evidence goes nowhere else."""
    (tmp_path / FOLDER).symlink_to("/tmp")
    with pytest.raises(EvidenceError, match="expected a folder of this user's"):
        Shelf(tmp_path)


def test_what_is_too_old_goes(shelf: Shelf, tmp_path: Path) -> None:
    """And what is not stays."""
    old, young = put(shelf, tmp_path, age=3601.0), put(shelf, tmp_path, age=3599.0)
    assert shelf.sweep(NOW, ENOUGH, ()) == {Removal.AGE: 1}
    assert (there(shelf, old), there(shelf, young)) == (False, True)


def test_the_oldest_go_while_there_is_too_much(shelf: Shelf, tmp_path: Path) -> None:
    """No more of them than need be."""
    pieces = [put(shelf, tmp_path, age=60.0 - age, size=100) for age in range(5)]
    assert shelf.sweep(NOW, Limits(3600.0, 300, 0), ()) == {Removal.SIZE: 2}
    assert [there(shelf, piece) for piece in pieces] == [False, False, True, True, True]


def test_what_is_held_is_kept_for_longer(shelf: Shelf, tmp_path: Path) -> None:
    """By its own time, also after a restart; a longer time for all counts for it, too."""
    week = 7 * 86400.0
    held, other, older = (put(shelf, tmp_path, age=age) for age in (week - 1, week - 1, week + 1))
    shelf.hold(held, Kind.FRAME)
    shelf.hold(older, Kind.FRAME)
    shelf.hold(new_piece(), Kind.FRAME)
    assert Shelf(tmp_path).sweep(NOW, Limits(3600.0, 1 << 30, 0, week), ()) == {Removal.AGE: 2}
    assert [there(shelf, piece) for piece in (held, other, older)] == [True, False, False]
    assert not shelf.sweep(NOW, Limits(2 * week, 1 << 30, 0, 60.0), ())


def test_what_is_held_before_it_is_whole_stays_held(shelf: Shelf, tmp_path: Path) -> None:
    """A verdict may come while the picture is being made."""
    piece = new_piece()
    with os.fdopen(shelf.begin(piece, Kind.PLAIN), "wb") as file:
        file.write(b"picture")
    shelf.hold(piece, Kind.PLAIN)
    shelf.finish(piece, Kind.PLAIN)
    os.utime(tmp_path / FOLDER / f"{piece}.plain.jpg", (NOW - 7200, NOW - 7200))
    assert not shelf.sweep(NOW, Limits(3600.0, 1 << 30, 0, 1e6), ())


def test_what_is_held_goes_last_but_leaves_half_of_the_room(shelf: Shelf, tmp_path: Path) -> None:
    """Alarms of today are not without a picture since many of last week were judged."""
    held = [put(shelf, tmp_path, age=600.0 - age, size=100) for age in range(4)]
    for piece in held:
        shelf.hold(piece, Kind.FRAME)
    new = [put(shelf, tmp_path, age=60.0 - age, size=100) for age in range(4)]
    assert shelf.sweep(NOW, Limits(3600.0, 400, 0), ()) == {Removal.SIZE: 4}
    assert [there(shelf, piece) for piece in held] == [False, False, True, True]
    assert [there(shelf, piece) for piece in new] == [False, False, True, True]
    assert shelf.sweep(NOW, Limits(3600.0, 100, 0), ()) == {Removal.SIZE: 3}
    assert [there(shelf, piece) for piece in new] == [False, False, False, True]


def test_a_disk_that_is_nearly_full_sheds_evidence(shelf: Shelf, tmp_path: Path) -> None:
    """Alarms need the room."""
    put(shelf, tmp_path)
    assert shelf.sweep(NOW, Limits(3600.0, 1 << 30, shelf.free() * 2), ()) == {Removal.DISK: 1}


def test_what_a_dead_daemon_left_unfinished_goes(shelf: Shelf, tmp_path: Path) -> None:
    """What is being made now does not."""
    left, made = new_piece(), new_piece()
    for piece in (left, made):
        os.close(shelf.begin(piece, Kind.CLIP))
    assert shelf.sweep(NOW, ENOUGH, {made}) == {Removal.UNFINISHED: 1}
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [f"{made}.clip.mp4.part"]


def test_a_film_that_a_dead_daemon_left_is_kept(shelf: Shelf, tmp_path: Path) -> None:
    """Up to where it goes; of one that shows nothing, and of a picture, nothing is."""
    pieces = [new_piece() for _ in range(3)]
    kinds = (Kind.CLIP, Kind.CLIP, Kind.FRAME)
    for piece, kind, content in zip(pieces, kinds, (b"ftyp free moov", b"ftyp", b"\xff\xd8"), strict=True):
        with os.fdopen(shelf.begin(piece, kind), "wb") as file:
            file.write(content)
    assert shelf.sweep(NOW, ENOUGH, ()) == {Removal.UNFINISHED: 2}
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [f"{pieces[0]}.clip.mp4"]


def test_what_is_empty_is_no_picture(shelf: Shelf, tmp_path: Path) -> None:
    """The power went before the disk had what was written."""
    piece = put(shelf, tmp_path, size=0)
    assert shelf.sweep(NOW, ENOUGH, ()) == {Removal.UNFINISHED: 1}
    assert not there(shelf, piece)


def test_a_sweep_of_many_files_shows_that_it_moves(shelf: Shelf, tmp_path: Path) -> None:
    """A slow disk with very many is not taken for a daemon that hangs."""
    for _ in range(10):
        put(shelf, tmp_path)
    beats = []
    shelf.sweep(NOW, ENOUGH, (), lambda: beats.append(1))
    assert len(beats) >= 20


def test_the_key_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full at the first start is no reason to have none at the second; nor is a loss of power."""
    (tmp_path / "evidence.key").touch()  # what a file is whose content was never written
    with monkeypatch.context() as full:
        full.setattr(
            os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device"))
        )
        with pytest.raises(
            EvidenceError, match=r"evidence\.key: expected room for a key, found no space left"
        ):
            evidence_key(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["evidence.key"]
    key = evidence_key(tmp_path)
    assert len(key) == 32
    assert evidence_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "evidence.key").stat().st_mode) == 0o600


KEY = new_key()
LINK = Link(new_piece(), 2_000)


def query(path: str) -> tuple[str, str, str]:
    """The parts of a link's path."""
    head, _, rest = path.partition("?expires=")
    expires, _, signature = rest.partition("&signature=")
    return head.removeprefix("/evidence/"), expires, signature


def test_a_link_opens_what_it_was_made_for() -> None:
    """Until it expires."""
    assert opened(*query(path_of(LINK, KEY)), KEY, now=1_999.0) == LINK
    assert opened(*query(path_of(LINK, KEY)), KEY, now=2_000.0) is None


@pytest.mark.parametrize(
    "forged",
    [
        (new_piece(), "2000", query(path_of(LINK, KEY))[2]),
        (LINK.piece, "3000", query(path_of(LINK, KEY))[2]),
        (LINK.piece, "2000", "0" * 32),
        (LINK.piece, "2000", ""),
        (LINK.piece, "2000", "\ud800é"),
        (LINK.piece, "²⁰⁰⁰", query(path_of(LINK, KEY))[2]),
        (LINK.piece, "2000", query(path_of(LINK, new_key()))[2]),
        ("../" + LINK.piece, "2000", query(path_of(LINK, KEY))[2]),
        (LINK.piece.upper(), "2000", query(path_of(LINK, KEY))[2]),
    ],
)
def test_no_other_link_opens_anything(forged: tuple[str, str, str]) -> None:
    """Another piece, a later end, a guess, another daemon's key, and rubbish."""
    assert opened(*forged, KEY, now=1_000.0) is None
