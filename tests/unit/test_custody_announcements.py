"""The pictures of an alarm are told once they are there: together, after the alarm, and to whoever asks."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from support.events import ALARM, NOON, alarm_event
from tocsin.custody.announcements import Announcements, finish, reading
from tocsin.custody.archive import Archive, Failure, Raised, Settings, Wanted
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.event import Event, EventType
from tocsin.deliver.letters import Letter
from tocsin.deliver.schedule import State
from tocsin.deliver.store import Change
from tocsin.evidence.link import new_key
from tocsin.evidence.shelf import FOLDER, Kind, Limits, Shelf

LINKS = {
    "url": "https://frame",
    "corrected": "https://corrected",
    "crop": "https://crop",
    "first": "https://first",
}
CLIP = {"clip": "https://clip", "expires": "2026-11-24T12:00:00Z"}
RAISED = Raised("entrance", "alarm_1", 5.0, 4.0, (0.1, 0.1, 0.2, 0.2), "person", 0.81)
PICTURES = (Kind.FRAME, Kind.CORRECTED, Kind.CROP)
WHY = "expected the packets of the picture, found them gone"


@dataclass
class Desk:
    """What was committed."""

    patterns: tuple[str, ...] = ("evidence.*",)
    picture: dict[str, str] = field(default_factory=lambda: {**LINKS, **CLIP})
    silenced: bool = False
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.announcements = Announcements(
            lambda change: self.events.extend(change.events), {"hook": self.patterns}
        )
        self.kept = lambda *kinds: self.announcements.kept(RAISED, kinds)

    def raised(self) -> None:
        alarm = replace(ALARM, picture=self.picture, silenced=self.silenced)
        self.announcements.commit(Change(events=(replace(alarm_event(), data=alarm),)))

    @property
    def told(self) -> list[tuple[str, list[str]]]:
        """The types and kinds of what was told of evidence."""
        news = [event for event in self.events if event.type.startswith("evidence.")]
        return [(event.type, event.data.payload()["kinds"]) for event in news]


MADE = ("evidence.made", ["frame", "corrected", "crop", "first"])
FILMED = ("evidence.filmed", ["clip"])


def test_the_pictures_are_told_together_and_the_clip_when_it_is_there() -> None:
    """Once all of them are made, with the links of the alarm; and then no more is known of it."""
    desk = Desk()
    desk.raised()
    desk.kept(*PICTURES)
    assert desk.told == []
    desk.kept(Kind.FIRST)
    assert desk.told == [MADE]
    desk.kept(Kind.CLIP)
    assert desk.told == [MADE, FILMED]
    payload = desk.events[1].data.payload()
    assert payload["picture"] == {**LINKS, **CLIP}
    told = ("alarm_id", "stream", "rule", "severity", "class", "zone", "test", "why")
    assert [payload[key] for key in told] == [
        *("alarm_1", "entrance", "intruder", "critical", "person", "doorway", False, None)
    ]
    assert desk.announcements._cases == {}


@dataclass
class Before:
    """What an earlier life of the daemon left of an alarm: the pieces that are whole, and what was told of them."""

    pieces: tuple[Kind, ...] = ()
    types: tuple[str, ...] = ()
    expires: str = "2999-11-24T12:00:00Z"

    def alarms(self, _: object) -> "Future[tuple[AlarmRecord, ...]]":
        alarm = replace(ALARM, picture={**LINKS, **CLIP, "expires": self.expires})
        return done((AlarmRecord(alarm, NOON, NOON),))

    def letters_of(self, *_: object) -> "Future[tuple[Letter, ...]]":
        letters = (
            Letter(1, "hook", State.DELIVERED, one, NOON, None, "m", 1, None, None) for one in self.types
        )
        return done(tuple(letters))

    def has(self, _: str, kind: Kind) -> bool:
        return kind in self.pieces

    def resume(self, _: str, kinds: set[Kind], tell: Callable[[set[Kind]], None]) -> None:
        tell(kinds & set(self.pieces))


def done(answer: Any) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_result(answer)
    return future


ALL = (*PICTURES, Kind.FIRST, Kind.CLIP)
ALONE = ("evidence.made", ["frame", "corrected", "crop"])


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (Before(), [("evidence.failed", ["frame", "corrected", "crop", "first", "clip"])]),
        (Before(types=("alarm.raised", "evidence.made")), [("evidence.failed", ["clip"])]),
        (Before(ALL[:4]), [MADE, ("evidence.failed", ["clip"])]),
        (Before(PICTURES), [ALONE, ("evidence.failed", ["first", "clip"])]),
        (Before(types=("evidence.made", "evidence.filmed")), []),
        (Before(types=("evidence.failed",)), []),
        (Before(ALL), []),
        (Before(expires="2026-11-20T12:00:00Z"), []),
    ],
    ids=["nothing", "pictures told", "no clip", "half", "removed since", "said", "whole", "long ago"],
)
def test_a_start_tells_what_a_killed_daemon_left_unfinished(
    before: Before, told: list[tuple[str, list[str]]]
) -> None:
    """Of each piece that a link was given out for it is told once whether it is there."""
    desk = Desk()
    finish(desk.announcements, before, before)  # type: ignore[arg-type]
    assert desk.told == told


def test_nothing_is_told_before_the_alarm() -> None:
    """However fast the worker is, or the failure: the alarm comes first in its lane."""
    desk = Desk()
    desk.kept(*PICTURES)
    desk.kept(Kind.FIRST)
    desk.announcements.failed(Failure(RAISED, (Kind.CLIP,), WHY))
    assert desk.events == []
    desk.raised()
    assert [event.type for event in desk.events] == ["alarm.raised", "evidence.made", "evidence.failed"]
    assert {event.alarm_id for event in desk.events} == {"alarm_1"}
    assert desk.announcements._cases == {}


@pytest.mark.parametrize(
    ("failing", "made"), [((Kind.FIRST,), ["frame", "corrected", "crop"]), (PICTURES, ["first"])]
)
def test_what_fails_is_told_at_once_and_holds_up_nothing(failing: tuple[Kind, ...], made: list[str]) -> None:
    """The rest is told without it."""
    desk = Desk()
    desk.raised()
    desk.announcements.failed(Failure(RAISED, failing, WHY))
    assert desk.told == [("evidence.failed", list(failing))]
    assert desk.events[-1].data.payload()["why"] == WHY
    desk.kept(*((Kind.FIRST,) if failing == PICTURES else PICTURES))
    assert desk.told[1:] == [("evidence.made", made)]


def test_where_all_pictures_fail_none_are_told() -> None:
    """Only that they failed."""
    desk = Desk()
    desk.raised()
    desk.announcements.failed(Failure(RAISED, PICTURES, WHY))
    desk.announcements.failed(Failure(RAISED, (Kind.FIRST,), WHY))
    assert [kind for kind, _ in desk.told] == ["evidence.failed"] * 2


def test_a_stream_that_keeps_clips_alone_tells_of_those() -> None:
    """Its `url` is the clip's."""
    desk = Desk(picture={"url": "https://clip", "expires": "2026-11-24T12:00:00Z"})
    desk.raised()
    desk.kept(Kind.CLIP)
    assert desk.told == [FILMED]
    assert desk.announcements._cases == {}


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        (("alarm.*",), []),
        (("evidence.made",), [MADE]),
        (("evidence.*/warning",), []),
        (("evidence.*/critical",), [MADE, FILMED]),
    ],
)
def test_what_nobody_asks_for_is_not_committed(patterns: tuple[str, ...], told: list[Any]) -> None:
    """By type, and by the severity of the alarm; no write is spent on it."""
    desk = Desk(patterns=patterns)
    desk.raised()
    desk.kept(*PICTURES)
    desk.kept(Kind.FIRST)
    desk.kept(Kind.CLIP)
    assert desk.told == told
    desk.announcements.adopt({"hook": ("evidence.*",)})
    desk.raised()
    desk.kept(Kind.CLIP)
    assert desk.told == [*told, FILMED], "a reload asks for it"


def test_what_is_silenced_is_told_to_nobody() -> None:
    """Neither the pictures nor that there are none."""
    desk = Desk(silenced=True)
    desk.raised()
    desk.kept(*PICTURES)
    desk.announcements.failed(Failure(RAISED, (Kind.FIRST,), WHY))
    assert desk.told == []


def test_alarms_that_are_never_told_are_forgotten() -> None:
    """Memory does not grow by them."""
    desk = Desk()
    for number in range(1_500):
        desk.announcements.kept(replace(RAISED, alarm_id=f"alarm_{number}"), PICTURES)
    assert len(desk.announcements._cases) == 1_000
    assert "alarm_1499" in desk.announcements._cases


def test_a_picture_is_read_from_the_shelf_as_far_as_it_may_be_sent(tmp_path: Path) -> None:
    """With its name and media type; nothing of what is larger, gone, or of another alarm."""
    deaf: Callable[..., Any] = lambda *_: None  # noqa: E731
    settings = Settings({"entrance": Wanted()}, Limits(60.0, 1, 0), "http://127.0.0.1:9464")
    archive = Archive(Shelf(tmp_path), new_key(), settings, deaf, deaf, deaf)
    piece = archive.piece("alarm_1", Kind.CROP)
    (tmp_path / FOLDER / f"{piece}.crop.jpg").write_bytes(b"x" * 100)
    assert reading(lambda: None)("alarm_1", "crop", 100) is None
    read = reading(lambda: archive)
    picture = read("alarm_1", "crop", 100)
    assert picture is not None
    assert (picture.kind, picture.name, picture.media_type) == ("crop", "crop.jpg", "image/jpeg")
    assert picture.content == b"x" * 100
    assert read("alarm_1", "crop", 99) is None
    assert read("alarm_1", "frame", 100) is None
    assert read("alarm_2", "crop", 100) is None


def test_severity_routes_evidence_as_alarms() -> None:
    """Who takes warnings alone gets no picture of what is critical."""
    desk = Desk()
    desk.raised()
    desk.kept(Kind.CLIP)
    filmed = desk.events[-1]
    assert filmed.type is EventType.EVIDENCE_FILMED
    assert filmed.wanted("evidence.*/critical")
    assert not filmed.wanted("evidence.*/warning")
    assert filmed.stream == "entrance"
