"""In which order the outbox's thread does what it is handed: what is raised waits for nobody for long."""

import threading
from concurrent.futures import Future

import pytest

from tocsin.deliver.jobs import Job, Jobs


class Desk:
    """Jobs by name, and the order in which they are done."""

    def __init__(self) -> None:
        self.jobs = Jobs()
        self.jobs.open()
        self._names: dict[int, str] = {}

    def job(self, name: str) -> Job:
        job = Job(lambda _: None, Future())
        self._names[id(job)] = name
        return job

    def hand(self, kind: str, count: int = 1) -> None:
        for number in range(count):
            assert getattr(self.jobs, kind)(self.job(f"{kind} {number}"))

    def turn(self) -> list[str]:
        """Do what there is to do now; return the names."""
        turn = self.jobs.take(0.0, 0.0)
        assert turn is not None
        done = [*([turn.write] if turn.write else []), *turn.reads]
        if turn.write is not None:
            self.jobs.written(turn.write)
        for read in turn.reads:
            self.jobs.answered(read)
        return [self._names[id(job)] for job in done]


def test_an_acceptance_is_noted_first_and_a_raise_waits_for_one_alone() -> None:
    """However many deliveries of a long queue are accepted meanwhile."""
    desk = Desk()
    desk.hand("write", 2)
    desk.hand("mark", 4)
    done = [name for _ in range(6) for name in desk.turn()]
    assert done == ["mark 0", "write 0", "mark 1", "write 1", "mark 2", "mark 3"]


def test_what_may_wait_is_written_behind_all_that_may_not() -> None:
    """And has its turn between acceptances, so that it does not wait until a long queue is delivered."""
    desk = Desk()
    desk.hand("later", 2)
    desk.hand("write", 2)
    assert [desk.turn() for _ in range(3)] == [["write 0"], ["write 1"], ["later 0"]]
    desk.hand("mark", 3)
    assert [desk.turn() for _ in range(4)] == [["mark 0"], ["later 1"], ["mark 1"], ["mark 2"]]


def test_of_what_people_ask_one_thing_is_answered_in_a_turn() -> None:
    """All that deliveries wait for is, before it."""
    desk = Desk()
    desk.hand("ask", 3)
    desk.hand("read", 2)
    desk.hand("write", 2)
    assert desk.turn() == ["write 0", "read 0", "read 1", "ask 0"]
    desk.hand("read")
    assert desk.turn() == ["write 1", "read 0", "ask 1"]
    assert desk.turn() == ["ask 2"]


@pytest.mark.parametrize("kind", ["mark", "write", "later", "read", "ask"])
def test_nothing_is_left_undone_at_a_stop_that_has_the_time(kind: str) -> None:
    """Whatever kind it is of; and what there is no time for is given back."""
    desk = Desk()
    desk.hand(kind, 2)
    assert desk.jobs.stop(10.0)
    done = desk.turn()
    left = [job for jobs in desk.jobs.end() for job in jobs]
    assert (done, len(left)) == (([f"{kind} 0"], 1) if kind != "read" else (["read 0", "read 1"], 0))
    assert not getattr(desk.jobs, kind)(desk.job("too late"))
    assert not desk.jobs.stop(10.0)


@pytest.mark.parametrize("kind", ["mark", "write", "later", "read", "ask"])
def test_each_kind_wakes_the_one_who_waits(kind: str) -> None:
    """Long before it would look again by itself."""
    desk, taken = Desk(), []
    waits = threading.Thread(target=lambda: taken.append(desk.jobs.take(0.0, 60.0)), daemon=True)
    waits.start()
    desk.hand(kind)
    waits.join(10.0)
    assert taken
    assert taken[0] is not None


def test_how_many_wait_is_told_of_each_kind_of_write() -> None:
    """A crowd that looks at pictures leaves room for what is raised."""
    desk = Desk()
    desk.hand("later", 3)
    desk.hand("write", 2)
    assert (desk.jobs.waiting(), desk.jobs.waiting(later=True)) == (2, 3)
