"""What never moves raises an alarm once, keeps still, and is reported when it moves."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.alarm.candidates import Candidate
from tocsin.alarm.episode import Decision, State
from tocsin.alarm.judge import Judge
from tocsin.alarm.memory import NOTHING, Memory, Spot
from tocsin.alarm.moment import Moment
from tocsin.alarm.places import MOST
from tocsin.alarm.rule import Per, Rule

RULE = Rule(*("park", ("car",), 0.5, 3, 5, 3.0, 2.0), repeat_every=0.0, keep_score=0.25, still_after=20.0)
BOTH = pytest.mark.parametrize("rule", [RULE, replace(RULE, per=Per.OBJECT)], ids=["per frame", "per object"])
PERIOD = 0.5


def car(x: float = 0.5, y: float = 0.5, score: float = 0.75) -> Candidate:
    return Candidate("car", score, (x, y, x + 0.1, y + 0.1), None, (64.0, 64.0), 0)


class Yard:
    """A stream of two frames a second."""

    def __init__(self, rule: Rule, memory: Memory = NOTHING) -> None:
        self.judge = Judge(rule, memory=memory)
        self.at = 0.0
        self.told: list[tuple[str, float]] = []

    def show(self, seconds: float, *there: Candidate, muted: bool = False) -> "Yard":
        return self.film([there] * round(seconds / PERIOD), muted=muted)

    def film(self, frames: Iterable[Sequence[Candidate]], *, muted: bool = False) -> "Yard":
        for frame in frames:
            judged = self.judge.update(Moment(self.at, PERIOD, PERIOD, 1.5, muted=muted), frame)
            if judged.decision in (Decision.RAISED, Decision.ENDED, Decision.REPEATED):
                self.told.append((judged.decision.value, self.at))
            self.at += PERIOD
        return self


@BOTH
def test_a_parked_car_raises_once(rule: Rule) -> None:
    """The alarm ends when the car has stood for so long, and a day of it brings no other."""
    yard = Yard(rule).show(86400 / 4, car())
    assert yard.told == [("raised", 1.0), ("ended", 21.5)]


@BOTH
def test_it_is_reported_when_it_moves(rule: Rule) -> None:
    """By its k-th sighting off its place."""
    yard = Yard(rule).show(60, car())
    began = yard.at
    yard.film([[car(0.5 + 0.04 * step)] for step in range(1, 8)])
    assert yard.told[2:] == [("raised", began + 2 * PERIOD)]


@BOTH
def test_others_count_meanwhile(rule: Rule) -> None:
    """A car that comes while one is parked raises an alarm without delay, also when it drives past it."""
    yard = Yard(rule).show(60, car())
    yard.show(1.5, car(0.1, score=0.625), car())
    assert yard.told[2:] == [("raised", 61.0)]
    past = Yard(rule).show(60, car()).film([[car(), car(0.2 + 0.05 * n)] for n in range(12)])
    assert [word for word, _ in past.told] == ["raised", "ended", "raised"]


@BOTH
def test_it_is_remembered_when_it_was_hidden(rule: Rule) -> None:
    """Behind a lorry for a minute, or by the dark for a night; and forgotten after more than a day."""
    yard = Yard(rule).show(60, car()).show(60).show(60, car())
    assert len(yard.told) == 2
    for _ in range(2):
        yard.at += 3600 * 14
        assert len(yard.show(60, car()).told) == 2
    yard.at += 90000
    assert [word for word, _ in yard.show(60, car()).told[2:]] == ["raised", "ended"]


@BOTH
def test_nothing_keeps_still_that_was_not_reported(rule: Rule) -> None:
    """A car whose score is too low to raise an alarm does so when it is seen well, however long it has stood."""
    yard = Yard(rule).show(600, car(score=0.4))
    assert yard.told == []
    assert yard.show(30, car()).told[0] == ("raised", 601.0)


@BOTH
def test_nothing_keeps_still_of_which_nobody_heard(rule: Rule) -> None:
    """A car that parks while alarms are muted is reported afterwards, once, and keeps still from then on."""
    yard = Yard(rule).show(600, car(), muted=True)
    assert yard.told == [("raised", 1.0)]
    yard.judge.abandon()
    assert [word for word, _ in yard.show(600, car()).told[1:]] == ["raised", "ended"]


@BOTH
def test_a_place_that_was_left_is_forgotten(rule: Rule) -> None:
    """Whoever comes there later raises an alarm without having been seen on the way; who waits hidden does not."""
    yard = Yard(rule).show(60, car())
    leaving = [[car(0.5 + 0.04 * step)] for step in range(10)]
    yard.film(leaving).show(30)
    assert [word for word, _ in yard.told[2:]] == ["raised", "ended"]
    began = yard.at
    assert (yard.judge.memory.spots, yard.judge.changes) == ((), 2)
    assert yard.show(3, car()).told[4:] == [("raised", began + 2 * PERIOD)]


@BOTH
def test_a_place_is_left_by_what_two_boxes_were_around(rule: Rule) -> None:
    """As a detector draws them now and then: the second one is not there any more either."""
    double = [car(), car(0.505, 0.505, 0.6)]
    yard = Yard(rule).film([double] * 120)
    yard.film([[car(0.5 + 0.04 * step)] for step in range(10)]).show(30)
    assert yard.judge.memory.spots == ()


@BOTH
def test_a_place_is_not_left_by_who_is_taken_for_another(rule: Rule) -> None:
    """A car that hides the parked one for some seconds and drives on leaves it remembered."""
    yard = Yard(rule).show(60, car())
    began = yard.at
    yard.film([[car(0.5 + 0.03 * step)] for step in range(-8, 9)]).show(60, car())
    assert [word for word, _ in yard.told[2:]] == ["raised", "ended"]
    assert yard.told[3][1] < began + 12, "as soon as the other is gone"
    assert yard.judge.changes == 1


@BOTH
def test_a_restart_remembers_it(rule: Rule) -> None:
    """What stands still keeps still in the next life, is reported when it moves, and forgotten after a day."""
    yard = Yard(rule).show(60, car())
    known = yard.judge.memory
    assert [(spot.box, spot.seen) for spot in known.spots] == [(car().box, 59.5)]
    assert yard.judge.changes == 1
    again = Yard(rule, known).show(600, car())
    assert again.told == []
    assert [word for word, _ in again.film([[car(0.5 + 0.04 * n)] for n in range(1, 8)]).told] == ["raised"]
    late = Memory(spots=(Spot(car().box, -90000.0),))
    assert [word for word, _ in Yard(rule, late).show(60, car()).told] == ["raised", "ended"]
    assert Yard(replace(rule, still_after=None), known).show(60, car()).told == [("raised", 1.0)]


@BOTH
def test_more_places_than_are_remembered(rule: Rule) -> None:
    """Of more, those stay at which something was seen last, and what is forgotten raises an alarm again."""
    known = Memory(spots=tuple(Spot(car(0.001 * n, -2.0).box, float(-n)) for n in range(MOST)))
    yard = Yard(rule, known).show(60, car())
    assert len(yard.judge.memory.spots) == MOST
    assert car().box in [spot.box for spot in yard.judge.memory.spots]
    assert known.spots[-1] not in yard.judge.memory.spots


@BOTH
@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf])
def test_a_frame_without_a_time_moves_and_parks_nothing(rule: Rule, at: float) -> None:
    """What stands still is told to by the frames around it."""
    yard = Yard(rule).show(5, car())
    yard.judge.update(Moment(at, PERIOD, PERIOD, 1.5), [car()])
    yard.judge.update(Moment(at, PERIOD, PERIOD, 1.5), [car(0.1)])
    yard.show(30, car())
    assert yard.told == [("raised", 1.0), ("ended", 21.5)]


@BOTH
def test_what_is_gone_does_not_park(rule: Rule) -> None:
    """A car that left before its time does not stand still at the end of it, while another keeps the alarm open."""
    yard = Yard(rule).show(18, car())
    yard.film([[car(0.1 + 0.02 * n)] for n in range(20)]).show(10, car())
    assert [word for word, _ in yard.told] == ["raised"]
    assert yard.judge.memory.spots == ()


def test_without_the_key_nothing_keeps_still() -> None:
    """The alarm lasts for as long as the car is seen."""
    assert Yard(replace(RULE, still_after=None)).show(600, car()).told == [("raised", 1.0)]


@BOTH
def test_who_walks_about_never_stands_still(rule: Rule) -> None:
    """However long: the alarm stays open."""
    walker = [[car(0.4 + 0.2 * math.sin(n / 10))] for n in range(1000)]
    assert [word for word, _ in Yard(rule).film(walker).told] == ["raised"]


@BOTH
def test_a_clock_that_runs_back_makes_nothing_stand_still(rule: Rule) -> None:
    """The time in one place starts afresh."""
    yard = Yard(rule).show(15, car())
    yard.at -= 3600
    assert yard.show(15, car()).judge.state is State.ACTIVE
    assert yard.show(15, car()).judge.state is State.QUIET


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([RULE, replace(RULE, per=Per.OBJECT)]), st.integers(0, 2**32))
def test_a_box_that_trembles_and_flickers_raises_once(rule: Rule, seed: int) -> None:
    """One alarm for a thing that does not move, whatever its scores and misses; then one when it moves."""
    chance = random.Random(seed)
    yard = Yard(rule).show(2, car())
    for number in range(400):
        shift = chance.uniform(-0.01, 0.01), chance.uniform(-0.01, 0.01)
        trembling = car(0.5 + shift[0], 0.5 + shift[1], chance.uniform(0.3, 1))
        # seen in every third frame at least: an alarm must not end before the thing stands still
        yard.film([[trembling] if number % 3 == 0 or chance.random() < 0.5 else []])
    assert [word for word, _ in yard.told] == ["raised", "ended"]
    assert [word for word, _ in yard.show(5, car(0.7)).told[2:]] == ["raised"]
