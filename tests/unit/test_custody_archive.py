"""Evidence is asked for without waiting, kept when it is whole, and told when there is none."""

import errno
import os
import queue
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from support.wait import until
from tocsin.capture.wire import Develop, Film, Made
from tocsin.custody import archive as archives
from tocsin.custody.archive import Archive, Failure, Raised, Settings, Span, Wanted
from tocsin.evidence.link import new_key
from tocsin.evidence.note import Note
from tocsin.evidence.shelf import FOLDER, Came, Kind, Limits, Removal, Shelf

AT = time.monotonic() + 86_400.0  # later than any test: no deadline has passed
RAISED = Raised("yard", "alarm_1", AT, AT - 2.0, (0.1, 0.1, 0.2, 0.2), "person", 0.81)
LIMITS = Limits(3600.0, 1 << 30, 0)


FILM = b"....ftyp....free....moov...."


@dataclass
class Site:
    """An archive, and a worker that is played."""

    folder: Path
    wanted: dict[str, Wanted] = field(default_factory=lambda: {"yard": Wanted(clip=Span(5.0, 10.0))})
    limits: Limits = LIMITS
    is_there: bool = True
    tasks: list[Develop | Film] = field(default_factory=list)
    failures: "queue.SimpleQueue[Failure]" = field(default_factory=queue.SimpleQueue)
    counted: list[tuple[object, ...]] = field(default_factory=list)
    content: bytes = b"picture"

    def __post_init__(self) -> None:
        settings = Settings(self.wanted, self.limits, "http://127.0.0.1:9464")
        shelf = Shelf(self.folder)
        self.archive = Archive(shelf, new_key(), settings, self.ask, self.failures.put, self)

    def ask(self, stream: str, task: Develop | Film, descriptors: Sequence[int]) -> bool:
        assert stream == "yard"
        self.tasks.append(task)
        for descriptor in descriptors:
            os.write(descriptor, self.content)
        return self.is_there

    def evidence_made(self, stream: str, kind: Kind, outcome: Came) -> None:
        self.counted.append((kind, outcome))

    def evidence_ready(self, seconds: float) -> None:
        assert 0.0 <= seconds < 60.0

    def evidence_removed(self, reason: Removal, n: int) -> None:
        self.counted.append((reason, n))

    def answer(self, fault: str = "", stream: str = "yard") -> None:
        for task in self.tasks:
            self.archive.made(stream, Made(task.request, fault))

    def read(self, kind: Kind) -> bytes | None:
        found = self.archive.find(self.archive.piece("alarm_1", kind))
        if found is None:
            return None
        with os.fdopen(found[0], "rb") as file:
            assert found[1] is kind
            return file.read()

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.folder / FOLDER).iterdir())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.archive.start()
    yield site
    site.archive.stop(time.monotonic() + 5.0)


def expect(site: Site, tasks: int = 4) -> None:
    assert site.archive.expect(RAISED)
    until(lambda: len(site.tasks) == tasks, 5.0, f"{tasks} tasks")


def test_it_is_known_of_which_of_the_latest_alarms_a_piece_is(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a link says so; what was raised long ago has to be looked for."""
    monkeypatch.setattr(archives, "_REMEMBERED", 12)
    alarms = [f"alarm_{number}" for number in range(3)]
    for alarm_id in alarms:
        assert len(site.archive.expect(replace(RAISED, alarm_id=alarm_id))) == 6
    known = {one: {site.archive.alarm_of(site.archive.piece(one, kind)) for kind in Kind} for one in alarms}
    assert known == {"alarm_0": {None}, "alarm_1": {"alarm_1"}, "alarm_2": {"alarm_2"}}
    assert site.archive.alarm_of("0" * 32) is None


def test_an_alarm_has_its_pictures_and_its_clip_made(site: Site) -> None:
    """Of the frame that raised it, of the first one, and of the time around it; found when they are whole."""
    expect(site)
    *pictures, clip = site.tasks
    assert all(isinstance(one, Develop) and one.box == RAISED.box for one in pictures)
    assert [(one.at, one.kinds) for one in pictures] == [
        (AT, ("frame", "crop")),
        (AT, ("corrected", "plain")),
        (AT - 2.0, ("first",)),
    ]
    assert Note.read(pictures[1].note) == Note("alarm_1", "person", 0.81, RAISED.box)
    assert isinstance(clip, Film)
    assert (clip.since, clip.until) == (AT - 5.0, AT + 10.0)
    assert site.read(Kind.FRAME) is None
    assert site.archive.is_expected(site.archive.piece("alarm_1", Kind.FRAME))
    site.answer()
    until(lambda: site.read(Kind.CLIP), 5.0, "the clip")
    assert [site.read(kind) for kind in Kind] == [b"picture"] * len(Kind)
    assert not any(site.archive.is_expected(site.archive.piece("alarm_1", kind)) for kind in Kind)
    assert sorted(site.counted) == sorted((kind, Came.KEPT) for kind in Kind)


def test_what_people_look_at_first_waits_for_no_more_than_that_of_others(tmp_path: Path) -> None:
    """Of twenty alarms at once each has its picture before any has all of its own."""
    site = Site(tmp_path)
    for number in range(20):
        site.archive.expect(replace(RAISED, alarm_id=f"alarm_{number}"))
    site.archive.start()
    until(lambda: len(site.tasks) == 80, 5.0, "all tasks")
    assert [getattr(one, "kinds", ()) for one in site.tasks[:20]] == [("frame", "crop")] * 20
    site.archive.stop(time.monotonic() + 5.0)


def test_what_can_be_learned_from_a_judged_alarm_is_kept_for_longer(site: Site) -> None:
    """Its plain picture, and nothing else of it."""
    expect(site)
    site.answer()
    until(lambda: site.read(Kind.CLIP), 5.0, "the clip")
    site.archive.judged("alarm_1")

    def held() -> list[str]:
        folder = site.folder / FOLDER
        return [path.suffixes[0] for path in folder.iterdir() if path.stat().st_mode & 0o777 == 0o400]

    until(lambda: held() == [".plain"], 5.0, "it to be held")


def test_evidence_is_made_of_the_streams_that_keep_it(site: Site) -> None:
    """Of no other, and without a clip where none is wanted."""
    assert site.archive.expect(replace(RAISED, stream="gate")) == ()
    site.archive.settings = replace(site.archive.settings, wanted={"yard": Wanted()})
    assert site.archive.expect(RAISED) == (*archives.AT_ONCE, *archives.IN_TIME, Kind.FIRST)
    until(lambda: len(site.tasks) == 3, 5.0, "three tasks")
    assert not any(isinstance(task, Film) for task in site.tasks)
    assert not site.archive.is_expected(site.archive.piece("alarm_1", Kind.CLIP))
    site.archive.settings = replace(site.archive.settings, wanted={"yard": Wanted(False, Span(1.0, 1.0))})
    assert site.archive.expect(RAISED) == (Kind.CLIP,)


def test_what_fails_is_told_and_leaves_nothing(site: Site) -> None:
    """Once for what was asked for together, with the worker's reason."""
    expect(site)
    site.answer("expected the packets of the picture, found them gone")
    told = [site.failures.get(timeout=5) for _ in range(4)]
    assert [one.kinds for one in told] == [archives.AT_ONCE, archives.IN_TIME, (Kind.FIRST,), (Kind.CLIP,)]
    assert {one.why for one in told} == {"expected the packets of the picture, found them gone"}
    assert site.files() == []
    assert {outcome for _, outcome in site.counted} == {Came.FAILED}


def test_a_worker_that_is_gone_is_told(site: Site) -> None:
    """There is nobody who could make evidence."""
    site.is_there = False
    expect(site)
    assert site.failures.get(timeout=5).why == "expected the stream's worker, found none at work"


def test_no_worker_speaks_for_another_stream(site: Site) -> None:
    """What is not its own it cannot end."""
    expect(site)
    site.answer(stream="gate")
    site.answer()
    until(lambda: site.read(Kind.FRAME), 5.0, "the picture")
    assert site.failures.empty()


def test_a_worker_that_is_silent_is_waited_for_no_longer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pictures are given up; a clip that it had begun is kept, for it can be played."""
    monkeypatch.setattr(archives, "_ANSWER", -2 * 86_400.0)
    site.content = FILM
    expect(site)
    told = {site.failures.get(timeout=5).kinds for _ in range(3)}
    assert told == {archives.AT_ONCE, archives.IN_TIME, (Kind.FIRST,)}
    until(lambda: site.read(Kind.CLIP), 5.0, "the clip")


def test_a_film_that_shows_nothing_yet_is_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker died before there was a second of it."""
    monkeypatch.setattr(archives, "_ANSWER", -2 * 86_400.0)
    site.content = b"....ftyp....free"
    expect(site)
    told = {site.failures.get(timeout=5).kinds for _ in range(4)}
    assert told == {archives.AT_ONCE, archives.IN_TIME, (Kind.FIRST,), (Kind.CLIP,)}


def test_a_daemon_that_stops_keeps_the_film_that_is_being_made(site: Site) -> None:
    """And tells of what there will never be."""
    site.content = FILM
    expect(site)
    site.archive.stop(time.monotonic() + 5.0)
    assert site.read(Kind.CLIP) == FILM
    told = [site.failures.get(timeout=5) for _ in range(3)]
    assert {one.why for one in told} == {"expected the time to make it, found the daemon stopping"}
    assert [name.partition(".")[2] for name in site.files()] == ["clip.mp4"]


def test_a_reload_between_the_alarm_and_its_pictures_changes_nothing(tmp_path: Path) -> None:
    """Its event told the links already, and nobody waits for ever for what was promised."""
    site = Site(tmp_path)
    assert site.archive.expect(RAISED)
    site.archive.settings = replace(site.archive.settings, wanted={})
    site.archive.start()
    until(lambda: len(site.tasks) == 4, 5.0, "four tasks")
    site.answer()
    until(lambda: site.read(Kind.CLIP), 5.0, "the clip")
    site.archive.stop(time.monotonic() + 5.0)


def test_no_file_stays_open_where_another_cannot_be(site: Site) -> None:
    """A daemon that runs out of files must not run out of more by it."""
    site.archive.expect(RAISED)
    until(lambda: len(site.tasks) == 4, 5.0, "four tasks")
    (site.folder / FOLDER / f"{site.archive.piece('alarm_2', Kind.CROP)}.crop.jpg.part").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))
    site.archive.expect(replace(RAISED, alarm_id="alarm_2"))
    assert site.failures.get(timeout=5).why == "expected room for a crop, found file exists"
    until(lambda: len(site.tasks) == 7, 5.0, "the other tasks")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_oldest_makes_room_for_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and not at the next sweep: who was here last week is in no hurry."""
    site = Site(tmp_path, limits=replace(LIMITS, least_free=1000))
    shelf = Shelf(tmp_path)
    with os.fdopen(shelf.begin("1" * 32, Kind.FRAME), "wb") as file:
        file.write(b"picture")
    shelf.finish("1" * 32, Kind.FRAME)
    old = tmp_path / FOLDER / f"{'1' * 32}.frame.jpg"
    site.archive.start()
    until(lambda: site.archive._swept > 0, 5.0, "the first sweep")
    monkeypatch.setattr(archives, "_SWEEP_AGAIN", 0.0)
    monkeypatch.setattr(Shelf, "free", lambda _: 999 if old.exists() else 1000)
    expect(site)
    assert not old.exists()
    assert (Removal.DISK, 1) in site.counted
    site.archive.stop(time.monotonic() + 5.0)


def test_a_disk_that_fails_ends_nothing_but_evidence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive goes on, so that the daemon does."""

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(archives, "_SWEEP_EVERY", 0.0)
    monkeypatch.setattr(os, "scandir", broken)
    monkeypatch.setattr(os, "fstatvfs", broken)
    assert site.archive.expect(RAISED)
    found = "expected a disk to keep evidence on, found input/output error"
    assert {site.failures.get(timeout=5).why for _ in range(4)} == {found}
    monkeypatch.undo()
    expect(site)


def test_a_folder_that_was_removed_is_made_again(site: Site) -> None:
    """Somebody tidied up; the next alarm has its pictures."""
    shutil.rmtree(site.folder / FOLDER)
    expect(site)
    site.answer()
    until(lambda: site.read(Kind.CLIP), 5.0, "the clip")
    assert stat.S_IMODE((site.folder / FOLDER).stat().st_mode) == 0o700


def test_a_reason_is_no_longer_than_an_event_bears(site: Site) -> None:
    """A worker that was taken over says what it likes."""
    expect(site)
    site.answer("x" * 60_000)
    assert len(site.failures.get(timeout=5).why) == 200


def test_a_disk_that_is_nearly_full_gets_no_evidence(tmp_path: Path) -> None:
    """The room is for alarms."""
    site = Site(tmp_path, limits=replace(LIMITS, least_free=1 << 62))
    site.archive.start()
    assert site.archive.expect(RAISED)
    assert site.failures.get(timeout=5).why == "expected room on the disk, found it nearly full"
    assert site.tasks == []
    site.archive.stop(time.monotonic() + 5.0)


def test_what_was_left_over_is_swept_away_at_the_start(tmp_path: Path) -> None:
    """By a daemon that died; and what is too old."""
    shelf = Shelf(tmp_path)
    os.close(shelf.begin("0" * 32, Kind.CLIP))
    with os.fdopen(shelf.begin("1" * 32, Kind.FRAME), "wb") as file:
        file.write(b"picture")
    shelf.finish("1" * 32, Kind.FRAME)
    os.utime(tmp_path / FOLDER / f"{'1' * 32}.frame.jpg", (0, 0))
    site = Site(tmp_path)
    site.archive.start()
    until(lambda: site.files() == [], 5.0, "an empty folder")
    assert sorted(site.counted) == [(Removal.AGE, 1), (Removal.UNFINISHED, 1)]
    site.archive.stop(time.monotonic() + 5.0)


def test_the_identity_of_a_piece_needs_the_key(tmp_path: Path) -> None:
    """It follows from the alarm's, so that no table has to be kept, and from nothing that others know."""
    one, other = Site(tmp_path).archive, Site(tmp_path).archive
    pieces = {archive.piece("alarm_1", kind) for archive in (one, other) for kind in Kind}
    assert len(pieces) == 2 * len(Kind)
    assert one.piece("alarm_1", Kind.FRAME) == one.piece("alarm_1", Kind.FRAME)
    assert one.link("alarm_1", Kind.FRAME, 2000).startswith("http://127.0.0.1:9464/evidence/")


def test_an_event_tells_where_its_pictures_are_and_how_long(site: Site) -> None:
    """The frame first, as what a receiver shows; nothing where nothing is kept."""
    links = site.archive.links(RAISED)
    assert links is not None
    assert set(links) == {"url", "corrected", "crop", "plain", "first", "clip", "expires"}
    assert site.archive.piece("alarm_1", Kind.FRAME) in links["url"]
    assert links["expires"].endswith("Z")
    assert site.archive.links(replace(RAISED, stream="gate")) is None
