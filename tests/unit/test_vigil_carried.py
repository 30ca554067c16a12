"""What was told about streams before a restart is told no second time, and cleared once."""

from datetime import timedelta

import pytest

from support.events import NOON, open_alarm
from tocsin.deliver.event import Event, EventType, StreamData
from tocsin.deliver.standing import Standing, begun
from tocsin.deliver.store import Change
from tocsin.vigil.carried import SEEN_AFTER, UP_AFTER, Carried

DOWN, UP = EventType.STREAM_DOWN, EventType.STREAM_UP
COVERED, RESTORED = EventType.STREAM_COVERED, EventType.STREAM_RESTORED


def event(kind: EventType, stream: str = "yard", reason: str | None = None, after: float = 0.0) -> Event:
    """Return an event so many seconds after noon."""
    return Event("msg_1", kind, NOON + timedelta(seconds=after), StreamData(stream, reason, 1.0))


def told(kind: EventType, stream: str = "yard", reason: str = "stall") -> Standing:
    standing = begun(event(kind, stream, reason))
    assert standing is not None
    return standing


class Box:
    """What comes through: the types and data of events."""

    def __init__(self, *standing: Standing) -> None:
        self.got: list[tuple[EventType, StreamData]] = []
        self.carried = Carried(standing, ("yard", "gate"), self.commit)

    def commit(self, change: Change) -> None:
        for each in change.events:
            assert isinstance(each.data, StreamData)
            self.got.append((each.type, each.data))

    def tell(self, *events: Event) -> list[EventType]:
        """Return what comes through of these events."""
        before = len(self.got)
        self.carried.commit(Change(events=events))
        return [kind for kind, _ in self.got[before:]]


def test_what_stands_is_told_no_second_time_and_its_end_is() -> None:
    """The end tells the whole time, over the restart; the next one is news."""
    box = Box(told(DOWN))
    assert box.tell(event(DOWN, reason="stall", after=100.0)) == []
    box.carried.turn(1000.0, {"yard": 5})
    box.carried.turn(1000.0 + SEEN_AFTER, {"yard": 500})
    assert box.got == [], "who sees it tells its end"
    assert box.tell(event(UP, after=300.0)) == [UP]
    assert box.got[0][1].lasted == 301.0
    assert box.tell(event(DOWN, reason="eof", after=400.0)) == [DOWN]


@pytest.mark.parametrize(
    ("kind", "end", "proof", "reason"),
    [(DOWN, UP, UP_AFTER, None), (COVERED, RESTORED, SEEN_AFTER, "covered")],
    ids=["a stream that was down", "a camera that was covered"],
)
def test_what_pictures_speak_against_is_over(
    kind: EventType, end: EventType, proof: float, reason: str | None
) -> None:
    """After some time of pictures of that stream, and once."""
    box = Box(told(kind, reason="covered"))
    for second in range(200):
        box.carried.turn(float(second), {"gate": second})
    assert box.got == [], "another stream proves nothing"
    box.carried.turn(200.0, {"yard": 1})
    box.carried.turn(200.0 + proof - 0.1, {"yard": 2})
    assert box.got == []
    box.carried.turn(200.0 + proof, {"yard": 3})
    box.carried.turn(500.0, {"yard": 4})
    assert [(type_, data.stream, data.reason) for type_, data in box.got] == [(end, "yard", reason)]


def test_what_was_wrong_with_a_stream_that_is_gone_is_over() -> None:
    """At the start, since nobody would ever see its end."""
    box = Box(told(DOWN, "garage"), told(COVERED, "garage", "covered"))
    assert [kind for kind, _ in box.got] == [UP, RESTORED]


def test_everything_else_comes_through() -> None:
    """Another stream, another reason, other events, and what is no event at all."""
    box = Box(told(DOWN), told(COVERED, reason="covered"))
    others = (
        event(DOWN, "gate", "stall"),
        event(COVERED, reason="defocused"),
        event(RESTORED, reason="defocused"),
        event(EventType.STREAM_FROZEN, reason="frozen"),
    )
    assert box.tell(*others) == [each.type for each in others]
    changes: list[Change] = []
    Carried((), (), changes.append).commit(Change(alarms=(open_alarm(),)))
    assert changes == [Change(alarms=(open_alarm(),))]


def test_what_stands_of_streams_that_are_gone_is_over() -> None:
    """It is told once, with its type and reason; of those that stay nothing is told."""
    box = Box()
    box.carried.adopt((told(DOWN, "barn"), told(COVERED, "barn", "dark"), told(DOWN)), ("yard",), {})
    assert [(kind, data.stream, data.reason) for kind, data in box.got] == [
        (UP, "barn", None),
        (RESTORED, "barn", "dark"),
    ]
    assert box.tell(event(DOWN)) == [DOWN], "nobody took the other one over"


def test_pictures_that_are_looked_at_anew_are_judged_as_after_a_restart() -> None:
    """What was told of them is told no second time, and is over when nobody sees it again."""
    box = Box()
    box.carried.adopt((told(COVERED, reason="dark"), told(DOWN)), ("yard", "gate"), {"yard": 0})
    assert box.tell(event(COVERED, reason="dark")) == []
    assert box.tell(event(DOWN)) == [DOWN], "who tells of outages has forgotten nothing"
    box.carried.adopt((told(COVERED, "gate", "dark"),), ("yard", "gate"), {"gate": 400})
    box.got.clear()
    for now in (0.0, SEEN_AFTER):
        box.carried.turn(now, {"gate": 400})
    assert box.got == [], "the other camera's pictures prove nothing of this one"
    box.carried.turn(1000.0, {"gate": 405})
    box.carried.turn(1000.0 + SEEN_AFTER, {"gate": 500})
    assert [(kind, data.stream) for kind, data in box.got] == [(RESTORED, "gate")]
