"""What answers mean, how long to wait after them, and what an open circuit lets through."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.deliver.circuit import Circuit
from tocsin.deliver.schedule import Outcome, Schedule, Scope, judge, remaining, retry_after, scope

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MIDDLE = 0.5  # the chance that leaves a wait as it is


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ((200, 201, 202, 204, 299), Outcome.DELIVERED),
        ((301, 302, 303, 307, 308), Outcome.REDIRECT),
        ((400, 402, 405, 409, 413, 422), Outcome.REFUSED),
        ((401, 403, 404), Outcome.DENIED),
        ((408, 425, 429), Outcome.THROTTLED),
        ((410,), Outcome.GONE),
        ((500, 502, 503, 504, 599), Outcome.FAILING),
        ((100, 101, 0, 600, 999), Outcome.PROTOCOL),
    ],
)
def test_a_status_has_one_meaning(statuses: tuple[int, ...], outcome: Outcome):
    """Each status means what the policy says."""
    assert {judge(status) for status in statuses} == {outcome}


def test_only_a_refused_body_waits_alone():
    """Every failure keeps the whole webhook back, but for a 4xx about this one body."""
    alone = {outcome for outcome in Outcome if scope(outcome) is Scope.DELIVERY}
    assert alone == {Outcome.REFUSED}


def test_the_waits_are_the_documented_ones():
    """A receiver that is away is tried after 1, 2, 5, 10, 30 and 60 s, 2, 5 and 10 min, then every 15 min."""
    waits = [Schedule().wait(n, Outcome.UNREACHABLE, None, MIDDLE) for n in range(1, 13)]
    assert waits == [1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 900, 900]


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.DENIED, Outcome.REDIRECT])
def test_what_a_person_must_mend_is_tried_slowly(outcome: Outcome):
    """Refusals are tried again after 5 and 30 s, then after 5, 15 and 60 min, and every hour from then on."""
    waits = [Schedule().wait(n, outcome, None, MIDDLE) for n in range(1, 8)]
    assert waits == [5, 30, 300, 900, 3600, 3600, 3600]


@given(
    failures=st.integers(1, 400),
    outcome=st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.DELIVERED]),
    chance=st.floats(0, 1),
)
def test_jitter_stays_within_its_share(failures: int, outcome: Outcome, chance: float):
    """A wait is at most a fifth shorter or longer than its step."""
    step = Schedule(jitter=0).wait(failures, outcome, None, chance)
    assert 0.8 * step <= Schedule().wait(failures, outcome, None, chance) * (1 + 1e-9)
    assert Schedule().wait(failures, outcome, None, chance) <= 1.2 * step * (1 + 1e-9)


@given(
    asked=st.floats(1, 3600),
    chance=st.floats(0, 1),
    outcome=st.sampled_from([Outcome.THROTTLED, Outcome.FAILING]),
)
def test_no_attempt_comes_before_the_time_that_was_asked_for(asked: float, chance: float, outcome: Outcome):
    """Retry-After is obeyed: chance makes the wait longer only, and never by more than a fifth."""
    assert asked <= Schedule().wait(7, outcome, asked, chance) <= asked * 1.2 * (1 + 1e-9)


def test_only_busy_receivers_set_the_time():
    """A Retry-After beside a refusal changes nothing."""
    assert Schedule().wait(1, Outcome.REFUSED, 2.0, MIDDLE) == 5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 1),
        ("86400", 3600),
        ("9" * 5000, 3600),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(days=9), usegmt=True), 1),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 3600),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_is_read(text: str, seconds: float | None):
    """Seconds and dates are understood and brought between 1 s and 1 h; anything else is as if it was not sent."""
    assert retry_after(text, NOW) == seconds


@given(
    text=st.text(max_size=60)
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,9} [A-Z][a-z]{2} [0-9]{1,9} [0-9:]{1,12}")
)
def test_no_retry_after_breaks_anything(text: str):
    """Whatever a receiver writes into the header, the answer is within the bounds or none."""
    seconds = retry_after(text, NOW)
    assert seconds is None or 1 <= seconds <= 3600


@pytest.mark.parametrize(
    ("shift", "expected"),
    [(0, 60), (30, 30), (86_400, 0), (-86_400, 60), (-31_536_000, 60)],
    ids=["clock kept", "half the wait is over", "set a day ahead", "set back a day", "set back a year"],
)
def test_a_clock_that_was_set_neither_stalls_nor_storms(shift: float, expected: float):
    """A wait of 60 s that another life planned takes from 0 to 60 s, whatever happened to the clock."""
    assert remaining(stored=1_000_060, planned=60, now=1_000_000 + shift) == expected


STEPS = (1.0, 2.0)


def test_a_closed_circuit_admits_up_to_the_limit():
    """While all is well, attempts run side by side."""
    circuit = Circuit()
    assert [circuit.admits(running, limit=4, now=0) for running in range(6)] == [True] * 4 + [False] * 2


def test_an_open_circuit_admits_one_probe_at_each_step():
    """After a failure nothing goes before the step is over, and one attempt alone then."""
    circuit = Circuit()
    assert circuit.fail(1, began=circuit.round, row=STEPS)
    circuit.postpone(due=10)
    assert not circuit.admits(0, limit=4, now=9.9)
    assert circuit.admits(0, limit=4, now=10)
    assert not circuit.admits(1, limit=4, now=10)


def test_attempts_that_fail_together_count_once():
    """Four attempts that began before the circuit opened are one failure."""
    circuit = Circuit()
    began = circuit.round
    assert [circuit.fail(number, began, STEPS) for number in range(4)] == [True, False, False, False]
    assert circuit.failures == 1


def test_success_closes_the_circuit():
    """Once the receiver has accepted something the count starts afresh, also for attempts of the time before."""
    circuit = Circuit()
    circuit.fail(1, circuit.round, STEPS)
    probe = circuit.round
    assert circuit.succeed()
    assert circuit.closed
    assert not circuit.fail(1, probe, STEPS)
    assert not circuit.succeed()


def test_another_kind_of_failure_starts_from_its_first_step():
    """A receiver that was away for long and answers 404 once is not left alone for an hour."""
    circuit = Circuit()
    for _ in range(9):
        circuit.fail(1, circuit.round, STEPS)
    circuit.fail(1, circuit.round, (300.0, 900.0))
    assert circuit.failures == 1


def test_one_delivery_alone_does_not_convict_the_receiver():
    """A delivery that fails again and again is the suspect, until another one fails as well."""
    circuit = Circuit()
    for _ in range(3):
        circuit.fail(7, circuit.round, STEPS)
        assert circuit.suspect == 7
    circuit.fail(8, circuit.round, STEPS)
    assert circuit.suspect is None
    circuit.fail(8, circuit.round, STEPS)
    assert circuit.suspect is None
    circuit.succeed()
    circuit.fail(9, circuit.round, STEPS)
    assert circuit.suspect == 9
