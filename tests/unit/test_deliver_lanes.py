"""Which delivery goes next: strict order within a lane, none between lanes."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from tocsin.deliver.event import EventType
from tocsin.deliver.lanes import Lanes, Waiting
from tocsin.deliver.store import Delivery


def waiting(number: int, lane: str, due: float = 0.0, attempts: int = 0, born: float = 0.0) -> Waiting:
    delivery = Delivery(
        number=number,
        webhook="hook",
        lane=lane,
        event_id=f"msg_{number}",
        type=EventType.ALARM_RAISED,
        at=0.0,
        alarm_id=lane,
        attempts=attempts,
        age=0.0,
        next_attempt=0.0,
        wait=0.0,
        outcome=None,
    )
    return Waiting(delivery, born=born, due=due, attempts=attempts)


def filled(*deliveries: Waiting) -> Lanes:
    lanes = Lanes()
    for each in deliveries:
        lanes.add(each)
    return lanes


def test_a_lane_gives_its_next_only_after_the_one_before():
    """The end of an alarm waits while its raise is under way, and while its raise is to be tried again."""
    raised, ended = waiting(1, "a"), waiting(2, "a")
    lanes = filled(raised, ended)
    assert lanes.take(now=0) is raised
    assert lanes.take(now=0) is None
    lanes.defer(raised, due=5)
    assert lanes.take(now=4.9) is None
    assert lanes.take(now=5) is raised
    lanes.settle(raised)
    assert lanes.take(now=5) is ended


def test_lanes_do_not_wait_for_each_other():
    """An alarm that has to wait keeps no other alarm back."""
    stuck, free = waiting(1, "a", due=100), waiting(2, "b")
    lanes = filled(stuck, free)
    assert lanes.take(now=0) is free
    assert lanes.next_due() == 100


def test_the_probe_is_what_was_tried_least():
    """A body that the receiver cannot stomach does not stay the probe, even when no other is due."""
    poison, fresh = waiting(1, "a", attempts=3), waiting(2, "b", due=900)
    lanes = filled(poison, fresh)
    assert lanes.take_probe(now=0, but=1) is None
    assert lanes.take_probe(now=900) is fresh
    assert lanes.take_probe(now=0) is poison
    assert lanes.take_probe(now=900) is None


def test_no_probe_comes_before_its_own_time():
    """A delivery that has to wait for itself is not sent to find out about the receiver."""
    poison, later = waiting(1, "a", due=600), waiting(2, "b", due=700)
    lanes = filled(poison, later)
    assert lanes.take_probe(now=599) is None
    assert (lanes.next_due(), lanes.next_due_but(1)) == (600, 700)
    assert lanes.take_probe(now=600) is poison
    assert lanes.next_due_but(2) is None


def held(*rounds: int | None) -> tuple[Lanes, list[Waiting]]:
    """Return lanes of one delivery each that failed in the given rounds and wait until 900."""
    each = [waiting(number, f"lane {number}") for number in range(len(rounds))]
    lanes = filled(*each)
    for one, outage in zip(each, rounds, strict=True):
        assert lanes.take(now=0) is one
        lanes.defer(one, due=900, outage=outage)
    return lanes, each


def test_a_success_releases_what_waits_for_the_receiver():
    """What failed before the accepted attempt began is due at once; what waits for itself alone is not."""
    lanes, (first, _, third) = held(1, None, 1)
    lanes.release(began=1, now=10, rest=900)
    assert [lanes.take(now=10), lanes.take(now=10), lanes.take(now=10)] == [first, third, None]
    assert lanes.next_due() == 900


def test_a_success_that_began_before_the_failure_proves_nothing():
    """An attempt under way when another failed releases nothing when it is accepted."""
    lanes, _ = held(2)
    lanes.release(began=1, now=10, rest=900)
    assert lanes.take(now=10) is None


def test_a_delivery_is_released_once_in_a_while():
    """One that fails again after its release keeps its own time, until the rest is over."""
    lanes, (poison,) = held(1)
    lanes.release(began=1, now=10, rest=900)
    assert lanes.take(now=10) is poison
    lanes.defer(poison, due=2000, outage=2)
    lanes.release(began=2, now=909, rest=900)
    assert lanes.take(now=909) is None
    lanes.release(began=2, now=910, rest=900)
    assert lanes.take(now=910) is poison


def test_order_within_a_lane_survives_a_release():
    """The end of an alarm is not released past its raise, whatever the two had to wait for."""
    raised, ended = waiting(1, "a", due=900), waiting(2, "a", due=900)
    lanes = Lanes()
    lanes.add(raised, outage=0)
    lanes.add(ended, outage=0)
    lanes.release(began=0, now=10, rest=900)
    assert lanes.take(now=10) is raised
    assert lanes.take(now=10) is None
    lanes.settle(raised)
    assert lanes.take(now=10) is ended


def test_failures_of_another_kind_count_from_one():
    """Strikes are counted along one row of waits and start afresh on another."""
    one = waiting(1, "a")
    counts = []
    for row in ((1.0, 2.0), (1.0, 2.0), (5.0, 30.0), (5.0, 30.0)):
        one.strike(row)
        counts.append(one.strikes)
    assert counts == [1, 2, 1, 2]


def test_aged_deliveries_can_be_taken_out_from_anywhere():
    """What is given up leaves its lane in order, and what is under way is left alone."""
    first, second, third = waiting(1, "a", born=5), waiting(2, "a", born=1), waiting(3, "a", born=9)
    running = waiting(4, "b", born=1)
    lanes = filled(first, second, third, running)
    lanes.take(now=0)
    lanes.take(now=0)
    lanes.defer(first, due=0)
    for old in lanes.aged(before=6):
        lanes.settle(old)
    assert lanes.take(now=0) is third


def test_empty_lanes_have_nothing_due():
    """Lanes are false and have no due time once everything is settled."""
    only = waiting(1, "a")
    lanes = filled(only)
    assert lanes
    lanes.settle(only)
    assert not lanes
    assert lanes.next_due() is None
    assert lanes.take(now=1e9) is None


@given(data=st.data(), names=st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_everything_is_delivered_once_and_in_order(data: st.DataObject, names: list[str]):
    """Whatever fails and in which order attempts end, each lane comes out complete and in its order."""
    lanes = filled(*(waiting(number, lane) for number, lane in enumerate(names)))
    running: list[Waiting] = []
    done: dict[str, list[int]] = defaultdict(list)
    now = 0.0
    for _ in range(200):
        if not lanes:
            break
        taken = lanes.take_probe(now) if data.draw(st.booleans()) else lanes.take(now)
        if taken is not None:
            assert taken.delivery.lane not in {other.delivery.lane for other in running}
            running.append(taken)
        if running and data.draw(st.booleans()):
            ended = running.pop(data.draw(st.integers(0, len(running) - 1)))
            if data.draw(st.integers(0, 3)):
                lanes.settle(ended)
                done[ended.delivery.lane].append(ended.delivery.number)
            else:
                lanes.defer(ended, due=now + data.draw(st.sampled_from([0.0, 1.0, 1.0, 3.0])))
        now += 0.5
    else:
        return  # chance never let it come to an end, which proves nothing
    assert dict(done) == {lane: [n for n, name in enumerate(names) if name == lane] for lane in set(names)}


def test_what_was_dropped_is_never_tried():
    """Deliveries that the outbox dropped leave their lanes, the next one moves up, and one under way stays."""
    lanes = filled(waiting(1, "a"), waiting(2, "a"), waiting(3, "a"), waiting(4, "b"))
    running = lanes.take(now=0.0)
    assert running is not None
    lanes.drop({running.delivery.number, 2, 4})
    lanes.settle(running)
    third = lanes.take(now=0.0)
    assert third is not None
    assert third.delivery.number == 3
    assert lanes.take(now=0.0) is None
