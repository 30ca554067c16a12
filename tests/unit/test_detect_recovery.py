"""What is done about a detector that fails, and when it is said."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.detect.recovery import (
    GARBAGE,
    IN_A_ROW,
    LAST_RESORT,
    LASTING,
    OVER_AFTER,
    Recovery,
    Remedy,
    Seat,
    Spell,
    Trouble,
)
from tocsin.errors import InferenceFault

FAULTS = {
    "r": InferenceFault.RUNTIME,
    "d": InferenceFault.DEADLINE,
    "o": InferenceFault.OOM,
    "n": InferenceFault.NONFINITE,
    "s": InferenceFault.SHAPE,
    "i": InferenceFault.IMPLAUSIBLE,
}
SIGNS = {
    Remedy.NONE: "-",
    Remedy.HALVE: "H",
    Remedy.REOPEN: "R",
    Remedy.FALL_BACK: "F",
    Remedy.GIVE_UP: "G",
}


def play(
    batches: str, seat: Seat, recovery: Recovery | None = None, start: float = 0.0, rows: int = 1
) -> str:
    """Finish one batch a second, `.` with a result, a letter of FAULTS without; return a sign for each remedy."""
    recovery = recovery or Recovery()
    told = ""
    for number, batch in enumerate(batches):
        faults = [FAULTS[batch]] if batch in FAULTS else []
        remedy = recovery.finished(faults, results=not faults, now=start + number, seat=seat, rows=rows)
        told += SIGNS[remedy]
        seat = Seat.CPU if remedy is Remedy.FALL_BACK else seat
    return told


@pytest.mark.parametrize(
    ("batches", "seat", "told"),
    [
        pytest.param("..rr.rr.", Seat.CPU, "--------", id="two failures in a row are borne with"),
        pytest.param("rrr", Seat.CPU, "--R", id="three are not"),
        pytest.param("rnd", Seat.LEAVABLE, "--R", id="of whatever kind"),
        pytest.param("ooo", Seat.CPU, "--R", id="one view that does not fit is a failure like any other"),
        pytest.param("rrrrrr", Seat.CPU, "--R--G", id="opened anew in vain, the CPU is given up"),
        pytest.param("dddddd", Seat.CPU, "--R--G", id="a deadline is a failure like any other"),
        pytest.param("rrrrrr", Seat.ACCELERATOR, "--R--G", id="so is a device that was asked for by name"),
        pytest.param("rrrrrr", Seat.LEAVABLE, "--R--F", id="auto falls back to the CPU"),
        pytest.param("rrrrrrrrr", Seat.LEAVABLE, "--R--F--G", id="and is given up where the CPU fails too"),
        pytest.param("rrr.rrr", Seat.CPU, "--R---G", id="health that does not last heals nothing"),
        pytest.param("nnnnnnnnn", Seat.CPU, "--R------", id="garbage on a CPU never ends the process"),
        pytest.param("nsinsinsi", Seat.CPU, "--R------", id="whatever the garbage is"),
        pytest.param("nnnnnnrr", Seat.CPU, "--R-----", id="nor do two errors after it"),
        pytest.param("nnnnnnrrr", Seat.CPU, "--R-----G", id="but three do"),
        pytest.param("nnnrrnrrnrrr", Seat.CPU, "--R--------G", id="which have to be in a row"),
        pytest.param("nnnnnn", Seat.LEAVABLE, "--R--F", id="garbage may be the accelerator's"),
        pytest.param(
            "nnnnnnnnnnnn", Seat.LEAVABLE, "--R--F------", id="and is the model's when the CPU has it too"
        ),
        pytest.param("nnnnnn", Seat.ACCELERATOR, "--R--G", id="a named accelerator gets a new process"),
    ],
)
def test_stages(batches: str, seat: Seat, told: str) -> None:
    """Each stage comes once, in its order, with the third batch in a row that has no result."""
    assert play(batches, seat) == told


def test_memory_that_runs_out_halves_the_batch() -> None:
    """It is no failure as long as a batch can be smaller, whether or not some frames had a result."""
    recovery = Recovery()
    assert play("oooooooo", Seat.CPU, recovery, rows=2) == "HHHHHHHH"
    some = recovery.finished([InferenceFault.OOM], results=True, now=8.0, seat=Seat.CPU, rows=2)
    assert some is Remedy.HALVE
    assert play("oo", Seat.CPU, recovery, start=9.0) == "--", "nothing of it was counted"


def test_a_frame_that_fails_beside_others_is_no_failed_batch() -> None:
    """One stream's garbage says nothing about the device as long as another has results."""
    recovery = Recovery()
    for number in range(9):
        fault = [InferenceFault.NONFINITE]
        remedy = recovery.finished(fault, results=True, now=number, seat=Seat.CPU, rows=4)
        assert remedy is Remedy.NONE


@pytest.mark.parametrize(("lasting", "told"), [(LASTING, "--R"), (LASTING - 1, "--G")])
def test_it_may_be_opened_again_after_lasting_health(lasting: float, told: str) -> None:
    """Results for a minute since it was opened anew, and the next fault is a new one."""
    recovery = Recovery()
    assert play("rrr", Seat.CPU, recovery) == "--R"
    assert play(".", Seat.CPU, recovery, start=2 + lasting) == "-"
    assert play("rrr", Seat.CPU, recovery, start=2 + lasting + 1) == told


def test_a_long_time_without_a_result_is_no_health() -> None:
    """A session that failed since it was opened anew is not opened again because its streams are slow."""
    recovery = Recovery()
    play("rrr", Seat.CPU, recovery)
    assert play("rrr", Seat.CPU, recovery, start=10 * LASTING) == "--G"


@pytest.mark.parametrize(
    ("batches", "seat", "remedy"),
    [
        ("rrr", Seat.CPU, Remedy.GIVE_UP),
        ("nnn", Seat.CPU, Remedy.NONE),
        ("nnn", Seat.LEAVABLE, Remedy.FALL_BACK),
        ("rrr", Seat.LEAVABLE, Remedy.FALL_BACK),
        ("rrr", Seat.ACCELERATOR, Remedy.GIVE_UP),
    ],
)
def test_what_cannot_be_opened_anew_is_the_next_stage(batches: str, seat: Seat, remedy: Remedy) -> None:
    """The next remedy is tried at once; of garbage on a CPU there is none."""
    recovery = Recovery()
    assert play(batches, seat, recovery)[-1] == "R"
    assert recovery.cannot_open(4.0, seat) is remedy


def test_the_last_resort_is_total() -> None:
    """There is an answer for every trouble in every seat."""
    assert set(LAST_RESORT) == set(product(Trouble, Seat))
    assert Remedy.REOPEN not in LAST_RESORT.values()


BATCHES = st.lists(
    st.tuples(
        st.sampled_from("." * 8 + "rrrrdonsi"),
        st.sampled_from([0.04, 1.0, 30.0, 61.0]),
        st.sampled_from([1, 1, 2, 8]),
        st.booleans(),
    ),
    max_size=120,
)


@given(batches=BATCHES, begins=st.sampled_from(Seat))
def test_whatever_fails_ends_well(batches: list[tuple[str, float, int, bool]], begins: Seat) -> None:
    """At most one opening a minute, garbage never ends it on a CPU, and nothing fails on and on unattended."""
    recovery, seat, now = Recovery(), begins, 0.0
    reopened: float | None = None
    row: list[InferenceFault] = []  # the failed batches since the last result
    since_remedy = 0
    for sign, wait, rows, opens in batches:
        now += wait
        faults = [FAULTS[sign]] if sign in FAULTS else []
        remedy = recovery.finished(faults, results=not faults, now=now, seat=seat, rows=rows)
        assert (remedy is Remedy.HALVE) == (sign == "o" and rows > 1)
        if remedy is Remedy.HALVE:
            continue
        row = [*row, *faults] if faults else []
        since_remedy = since_remedy + 1 if faults else 0
        if remedy is Remedy.REOPEN:
            assert reopened is None or now - reopened >= LASTING
            reopened, since_remedy = now, 0
            if not opens:
                remedy = recovery.cannot_open(now, seat)
        if remedy is Remedy.FALL_BACK:
            assert seat is Seat.LEAVABLE
            seat, since_remedy = Seat.CPU, 0
        if remedy is Remedy.GIVE_UP:
            assert seat is not Seat.LEAVABLE
            assert seat is Seat.ACCELERATOR or GARBAGE.isdisjoint(row[-IN_A_ROW:])
            return
        garbage = not GARBAGE.isdisjoint(row[-IN_A_ROW:])
        assert since_remedy < IN_A_ROW or (seat is Seat.CPU and garbage), "nothing fails on and on unattended"


def test_a_bad_time_begins_with_the_third_failure_in_a_row() -> None:
    """It is said once, however many follow."""
    spell = Spell()
    assert [spell.failed() for _ in range(2)] == [False, False]
    assert not spell.succeeded(0.0)
    assert [spell.failed() for _ in range(5)] == [False, False, True, False, False]
    assert spell.lasts


def test_a_bad_time_ends_after_half_a_minute_without_a_failure() -> None:
    """One failure in between starts the half minute anew; the end, too, is said once."""
    spell = Spell()
    for _ in range(IN_A_ROW):
        spell.failed()
    assert not spell.succeeded(100.0)
    assert not spell.succeeded(100.0 + OVER_AFTER - 1)
    assert not spell.failed()
    assert not spell.succeeded(200.0)
    assert not spell.succeeded(199.0 + OVER_AFTER)
    assert spell.succeeded(200.0 + OVER_AFTER)
    assert not spell.succeeded(300.0)
    assert not spell.lasts
