"""The order of starting and stopping, and the watch over what must keep moving."""

import pytest
from structlog.testing import capture_logs

from tocsin.errors import StartError
from tocsin.lifecycle import Lifecycle, Overdue, Pulses


class Script:
    """Parts that write down what is done with them, and the clock that they use up."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.done: list[tuple[str, str, float]] = []

    def clock(self) -> float:
        return self.now

    def part(
        self,
        name: str,
        start: BaseException | None = None,
        stop: BaseException | None = None,
        takes: float = 0.0,
    ) -> "ScriptedPart":
        return ScriptedPart(self, name, start, stop, takes)

    def acts(self) -> list[str]:
        return [f"{act} {name}" for act, name, _ in self.done]


class ScriptedPart:
    def __init__(
        self, script: Script, name: str, start: BaseException | None, stop: BaseException | None, takes: float
    ) -> None:
        self.script, self.name, self.start_fault, self.stop_fault, self.takes = (
            script,
            name,
            start,
            stop,
            takes,
        )

    def start(self) -> None:
        self.script.done.append(("start", self.name, 0.0))
        if self.start_fault:
            raise self.start_fault

    def stop(self, deadline: float) -> None:
        self.script.done.append(("stop", self.name, deadline - self.script.now))
        self.script.now += self.takes
        if self.stop_fault:
            raise self.stop_fault


def test_parts_stop_in_reverse() -> None:
    """What was started last is stopped first."""
    script = Script()
    life = Lifecycle(script.clock)
    for name in ("outbox", "engine", "http"):
        life.start(name, script.part(name))
    assert life.stop(10.0) == ()
    assert script.acts() == [
        "start outbox",
        "start engine",
        "start http",
        "stop http",
        "stop engine",
        "stop outbox",
    ]


def test_a_failed_start_unwinds() -> None:
    """When a part cannot start, those before it are stopped and its error comes out."""
    script = Script()
    life = Lifecycle(script.clock)
    life.start("outbox", script.part("outbox"))
    life.start("engine", script.part("engine"))
    with pytest.raises(StartError, match="taken"):
        life.start("http", script.part("http", start=StartError("taken")))
    assert script.acts()[-3:] == ["start http", "stop engine", "stop outbox"]
    assert life.stop(10.0) == ()
    assert len(script.done) == 5


def test_an_interrupt_during_the_start_unwinds() -> None:
    """Ctrl-C in the middle of a start leaves nothing running."""
    script = Script()
    life = Lifecycle(script.clock)
    life.start("outbox", script.part("outbox"))
    with pytest.raises(KeyboardInterrupt):
        life.start("engine", script.part("engine", start=KeyboardInterrupt()))
    assert script.acts()[-1] == "stop outbox"


def test_stopping_twice_stops_once() -> None:
    """The second stop does nothing."""
    script = Script()
    life = Lifecycle(script.clock)
    life.start("outbox", script.part("outbox"))
    life.stop(10.0)
    life.stop(10.0)
    assert script.acts() == ["start outbox", "stop outbox"]


def test_all_parts_share_one_deadline() -> None:
    """What one part uses up is gone for the rest, and they are stopped all the same."""
    script = Script()
    life = Lifecycle(script.clock)
    for name, takes in (("outbox", 0.0), ("engine", 9.0), ("http", 3.0)):
        life.start(name, script.part(name, takes=takes))
    life.stop(10.0)
    assert [(name, left) for act, name, left in script.done if act == "stop"] == [
        ("http", 10.0),
        ("engine", 7.0),
        ("outbox", -2.0),
    ]


def test_every_failure_is_reported_and_none_raised() -> None:
    """A part that fails to stop is named in the log and the result, and does not keep the others from stopping."""
    script = Script()
    life = Lifecycle(script.clock)
    for name, fault in (("outbox", OSError("disk")), ("engine", None), ("http", TimeoutError("thread"))):
        life.start(name, script.part(name, stop=fault))
    with capture_logs() as logs:
        assert life.stop(10.0) == ("http", "outbox")
    assert [(line["event"], line["part"]) for line in logs] == [
        ("a part did not stop cleanly", "http"),
        ("a part did not stop cleanly", "outbox"),
    ]


def test_only_what_rests_too_long_is_overdue() -> None:
    """A part is overdue when its last move is older than its limit, and the longest silent comes first."""
    moves = {"engine": 90.0, "outbox": 99.0, "main": 70.0}
    pulses = Pulses()
    for name, limit in (("engine", 5.0), ("outbox", 5.0), ("main", 30.0)):
        pulses.watch(name, lambda name=name: moves[name], limit)
    assert pulses.overdue(100.0) == [("engine", 10.0)]
    assert pulses.overdue(110.0) == [("main", 40.0), ("engine", 20.0), ("outbox", 11.0)]
    moves.update(engine=109.0, outbox=109.0, main=109.0)
    assert pulses.overdue(110.0) == []


def test_a_part_at_its_limit_is_not_overdue() -> None:
    """The limit itself is allowed."""
    pulses = Pulses()
    pulses.watch("engine", lambda: 95.0, 5.0)
    assert pulses.overdue(100.0) == []
    assert pulses.overdue(100.1) != []


def test_ages_tell_each_parts_rest() -> None:
    """Each part is listed with the seconds since its move, and a move that is newer than `now` is no age."""
    pulses = Pulses()
    pulses.watch("engine", lambda: 90.0, 5.0)
    pulses.watch("outbox", lambda: 101.0, 5.0)
    assert pulses.ages(100.0) == {"engine": 10.0, "outbox": 0.0}


def test_an_overdue_part_says_so_in_a_sentence() -> None:
    """The sentence for the log and the service manager names the part and its silence."""
    assert str(Overdue("engine", 31.4)) == "engine has not moved for 31 s"
