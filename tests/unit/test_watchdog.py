"""Who is stuck, and what follows from it."""

import pytest
from structlog.testing import capture_logs

from tocsin.lifecycle import Pulses
from tocsin.watchdog import ABANDON, GIVE_UP, Watchdog


class Manager:
    """Writes down what it hears, and when."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.kicks: list[float] = []
        self.told: list[str] = []

    def watchdog(self) -> None:
        self.kicks.append(self.now)

    def status(self, text: str) -> None:
        self.told.append(text)


class Night:
    """An engine and an outbox that may rest ten seconds, and their watchdog, turned every half second."""

    def __init__(self, interval: float | None = 10.0) -> None:
        self.manager = Manager()
        self.moved = dict.fromkeys(("engine", "outbox"), self.manager.now)
        self.given_up: list[str] = []
        self.abandoned: list[float] = []
        pulses = Pulses()
        for name in self.moved:
            pulses.watch(name, lambda name=name: self.moved[name], 10.0)
        self._watchdog = Watchdog(
            pulses,
            self.manager,
            interval,
            lambda: "all is well",
            self.given_up.append,
            lambda: self.abandoned.append(self.manager.now),
        )
        self._watchdog.turn(self.manager.now)

    def go_on(self, seconds: float, *moving: str) -> None:
        """Let time pass in which these parts move."""
        for _ in range(round(seconds / 0.5)):
            self.manager.now += 0.5
            self.moved.update(dict.fromkeys(moving, self.manager.now))
            self._watchdog.turn(self.manager.now)

    def sleep(self, seconds: float) -> None:
        """Let time pass in which nothing runs, then one turn."""
        self.manager.now += seconds
        self._watchdog.turn(self.manager.now)


def test_the_watchdog_is_kicked_while_every_part_moves() -> None:
    """At its interval, with the daemon's line for the status."""
    night = Night()
    night.go_on(30.0, "engine", "outbox")
    assert night.manager.kicks == [1000.0, 1010.0, 1020.0, 1030.0]
    assert night.manager.told == ["all is well"] * 4


def test_without_a_watchdog_nobody_is_kicked() -> None:
    """A part that is stuck is named and given up all the same."""
    night = Night(interval=None)
    night.go_on(GIVE_UP + 1.0, "outbox")
    assert night.manager.kicks == []
    assert night.manager.told[0].startswith("engine has not moved for")
    assert night.given_up


def test_a_stuck_part_is_named_before_the_kicks_stop() -> None:
    """In the turn in which the next kick might be due, the name comes in its place, and again every ten seconds."""
    night = Night()
    with capture_logs() as logs:
        night.go_on(32.0, "outbox")
    assert night.manager.kicks == [1000.0, 1010.0]
    assert night.manager.told[2:] == [f"engine has not moved for {seconds} s" for seconds in (10, 20, 30)]
    assert [(line["event"], line["part"]) for line in logs] == [("a part is stuck", "engine")] * 3


def test_a_part_that_moves_again_is_forgiven() -> None:
    """The kicks go on, the log says that it is over, and the next time is named at once."""
    night = Night()
    night.go_on(15.0, "outbox")
    with capture_logs() as logs:
        night.go_on(1.0, "engine", "outbox")
        night.go_on(10.0, "engine", "outbox")
        assert night.manager.kicks[-1] > 1015.0
        night.go_on(11.0, "outbox")
    assert [line["event"] for line in logs] == ["every part moves again", "a part is stuck"]


def test_a_part_that_stays_stuck_ends_the_daemon() -> None:
    """First in order, and by force where the main thread does not hear of it."""
    night = Night()
    night.go_on(GIVE_UP, "outbox")
    assert night.given_up == []
    night.go_on(0.5, "outbox")
    assert night.given_up == ["engine has not moved for 46 s"]
    night.go_on(ABANDON - GIVE_UP - 0.5, "outbox")
    assert night.abandoned == []
    night.go_on(0.5, "outbox")
    assert night.abandoned == [1000.0 + ABANDON + 0.5]


@pytest.mark.parametrize("seconds", [4.0, 100.0, 86_400.0])
def test_nobody_is_blamed_for_the_time_that_the_process_stood_still(seconds: float) -> None:
    """After a suspended machine or a stopped process each part has its whole limit again."""
    night = Night()
    night.go_on(9.0, "outbox")
    night.sleep(seconds)
    night.go_on(9.5)
    assert night.given_up == []
    assert not any("has not moved" in line for line in night.manager.told)
    assert night.manager.kicks[-1] == pytest.approx(night.manager.now, abs=10.0)
    night.go_on(1.0)
    assert night.manager.told[-1] in {f"{name} has not moved for 10 s" for name in ("engine", "outbox")}
