"""`tocsin evidence get` copies what there is of an alarm, whole, and says what is still to come."""

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from tocsin.commands import evidence
from tocsin.commands.evidence import get
from tocsin.errors import EvidenceError, InputError, OutputError
from tocsin.evidence.link import evidence_key, piece_of
from tocsin.evidence.shelf import FOLDER, Kind, Shelf, path_of

CONFIG = """\
detector: {{device: cpu}}
streams: [{{name: yard, source: rtsp://127.0.0.1/s, evidence: {{after: 20s}}, rules: [person]}}]
rules: [{{name: person, classes: [person]}}]
webhooks: []
state_dir: {state}
"""


class Site:
    """A state with what was kept of some alarms, and a folder to copy it to."""

    def __init__(self, folder: Path) -> None:
        self.state, self.out = folder / "state", folder / "out" / "alarm"
        self.state.mkdir()
        self.config = folder / "tocsin.yaml"
        self.config.write_text(CONFIG.format(state=self.state))
        self.key, self.shelf = evidence_key(self.state), Shelf(self.state)

    def put(self, kind: Kind, alarm: str = "alarm_1", *, whole: bool = True) -> None:
        piece = piece_of(alarm, kind, self.key)
        with os.fdopen(self.shelf.begin(piece, kind), "wb") as file:
            file.write(f"{alarm} {kind}".encode())
        if whole:
            self.shelf.finish(piece, kind)

    def get(self, alarm: str = "alarm_1") -> None:
        get(alarm, self.out, self.config)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir()) if self.out.exists() else []


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(evidence, "record", lambda *_, **__: None)  # no daemon is at work
    return Site(tmp_path)


def test_what_is_still_being_made_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """In one sentence beside what there is, with the time that it takes; got again, it is there."""
    site.put(Kind.FRAME)
    site.put(Kind.CLIP, whole=False)
    site.get()
    said = capsys.readouterr()
    assert said.out == f"{site.out / 'frame.jpg'}\n"
    expected = "clip: still being made, until 30 s after the alarm; get it again then"
    assert said.err == f"tocsin: {expected}\n"
    assert site.names() == ["frame.jpg"]
    site.shelf.finish(piece_of("alarm_1", Kind.CLIP, site.key), Kind.CLIP)
    site.get()
    assert capsys.readouterr().err == ""
    assert site.names() == ["clip.mp4", "frame.jpg"]


def test_an_alarm_of_which_all_is_still_to_come_is_told(site: Site) -> None:
    """It is not taken for one that nobody knows."""
    site.put(Kind.FRAME, whole=False)
    with pytest.raises(EvidenceError, match="found it to come: frame: still being made, until 30 s after"):
        site.get()
    assert site.names() == []


def test_an_alarm_that_nobody_knows_is_wrong_usage(site: Site) -> None:
    """And leaves no empty folder behind."""
    site.put(Kind.FRAME)
    with pytest.raises(
        InputError, match="expected an alarm of which something is kept, found none for 'alarm_2'"
    ):
        site.get("alarm_2")
    assert not site.out.exists()


def test_a_disk_that_is_full_leaves_no_half_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds a file may believe it."""

    def half(source: BinaryIO, target: BinaryIO) -> None:
        target.write(source.read(5))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    site.put(Kind.FRAME)
    monkeypatch.setattr(shutil, "copyfileobj", half)
    with pytest.raises(OutputError, match=r"frame\.jpg: expected to write it, found no space left on device"):
        site.get()
    assert site.names() == []


def test_the_evidence_of_another_alarm_is_not_overwritten(site: Site) -> None:
    """The files of each have the same names."""
    site.put(Kind.FRAME)
    site.put(Kind.FRAME, "alarm_2")
    site.get()
    with pytest.raises(OutputError, match="expected a folder for this alarm alone, found a file of another"):
        site.get("alarm_2")
    assert (site.out / "frame.jpg").read_bytes() == b"alarm_1 frame"


@pytest.mark.parametrize("at", ["piece", "folder"])
def test_a_link_among_what_is_kept_leads_nowhere(site: Site, tmp_path: Path, at: str) -> None:
    """Mostly root asks: whatever took over the daemon could have any file copied to where others read it."""
    site.put(Kind.FRAME)
    kept = site.state / FOLDER
    (secret := tmp_path / "secret").mkdir()
    name = path_of(site.state, piece_of("alarm_1", Kind.FRAME, site.key), Kind.FRAME).name
    (secret / name).write_text("for root alone")
    if at == "piece":
        (kept / name).unlink()
        (kept / name).symlink_to(secret / name)
    else:
        kept.rename(tmp_path / "moved")
        kept.symlink_to(secret)
    with pytest.raises(EvidenceError, match=r"expected to read a frame, found (too many|not a directory)"):
        site.get()
    assert site.names() == []


def test_a_pipe_among_what_is_kept_keeps_nobody_waiting(site: Site) -> None:
    """It is no picture, and the rest is copied."""
    site.put(Kind.CROP)
    os.mkfifo(path_of(site.state, piece_of("alarm_1", Kind.FRAME, site.key), Kind.FRAME))
    site.get()
    assert site.names() == ["crop.jpg"]


def test_copies_are_for_who_asked(site: Site, tmp_path: Path) -> None:
    """A new folder is closed to others, and a link in one that they write to leads nowhere."""
    site.put(Kind.FRAME)
    (victim := tmp_path / "victim").write_text("untouched")
    site.get()
    assert stat.S_IMODE(site.out.stat().st_mode) == 0o700
    (site.out / "frame.jpg").unlink()
    (site.out / ".frame.jpg.part").symlink_to(victim)
    site.get()
    assert site.names() == ["frame.jpg"]
    assert victim.read_text() == "untouched"
