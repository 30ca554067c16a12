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
    assert lanes.take_probe() is fresh
    assert lanes.take_probe() is poison
    assert lanes.take_probe() is None


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
        taken = lanes.take_probe() if data.draw(st.booleans()) else lanes.take(now)
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
