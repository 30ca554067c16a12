"""Cameras, delivery, endpoint and log in the fault matrix: a test injects each row, or it is said why none can.

A test of a row carries `@pytest.mark.fault(row)`, as a decorator or among the marks of a parameter.
"""

import ast
import functools
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

ROWS = {
    1: "the camera refuses the connection",
    2: "packets to the camera vanish",
    3: "the camera accepts and is silent",
    4: "the name servers do not answer",
    5: "the name is unknown",
    6: "the stream stalls",
    7: "the connection is half open",
    8: "the camera closes the connection",
    9: "the camera resets the connection",
    10: "the camera resets each connection after PLAY",
    11: "the password is refused",
    12: "the camera wants Digest with SHA-256",
    13: "the path or the transport is refused",
    14: "packets are lost over UDP",
    15: "packets are damaged",
    16: "the picture is frozen",
    17: "one picture comes a hundred times a second",
    18: "the stream trickles",
    19: "the consumer is slow",
    20: "the timestamps jump",
    21: "the resolution changes",
    22: "the picture is black, overexposed or covered",
    23: "eight cameras are dead and one lives",
    24: "a worker hangs in native code",
    25: "a worker crashes in native code",
    26: "the webcam is unplugged",
    35: "the receiver is away for an hour",
    36: "the receiver is in trouble and names a time",
    37: "the receiver asks for patience",
    38: "the receiver refuses for a while",
    39: "the receiver wants no more",
    40: "the receiver points elsewhere",
    41: "the answer drips",
    42: "the answer does not end",
    43: "one of two receivers fails",
    44: "the receiver's certificate is not to be trusted",
    45: "the answer is lost",
    48: "the disk is full",
    49: "a flush fails",
    50: "the disk takes seconds",
    51: "the database is damaged",
    52: "a queue overflows",
    53: "the clock is set by a day",
    54: "nobody keeps the clock right",
    55: "the configuration is broken at a reload",
    56: "the configuration is a bomb",
    57: "a hundred reloads are asked for in a second",
    58: "a part of the daemon does not move any more",
    59: "the stop comes during a delivery",
    60: "no more files may be opened",
    61: "there is too little memory, or no further thread",
    62: "clients of the endpoint are slow",
    63: "a foreign name leads to the endpoint",
    64: "somebody guesses at pictures",
    65: "a secret is written",
    66: "a text from outside is made to look like lines of the log",
}

BEYOND = frozenset({46, 47})
"""Rows of other parts of the matrix that carry the mark, too: crashes."""

CANNOT_BE_INJECTED: dict[int, str] = {}
"""Rows that no test can inject, each with the reason."""


def rows_in(source: str) -> list[int]:
    """Return the rows that the tests of a module carry; fails for a mark that names no number."""
    rows = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
            assert len(node.args) == 1, f"line {node.lineno}: expected one row"
            row = ast.literal_eval(node.args[0])
            assert isinstance(row, int), f"line {node.lineno}: expected the number of a row, found {row!r}"
            rows.append(row)
    return rows


@functools.cache
def _covered() -> frozenset[int]:
    return frozenset(row for path in TESTS.rglob("test_*.py") for row in rows_in(path.read_text()))


@pytest.mark.parametrize("row", ROWS, ids=[f"{row} {what}" for row, what in ROWS.items()])
def test_a_row_of_the_matrix_is_injected_or_it_is_said_why_not(row: int) -> None:
    """Nobody has to remember which fault is not tested."""
    assert row in _covered() | CANNOT_BE_INJECTED.keys()


def test_a_mark_names_a_row_that_can_be_injected() -> None:
    """A slip in a number is noticed, and so is an excuse that outlived its reason."""
    assert _covered() <= ROWS.keys() | BEYOND
    assert not _covered() & CANNOT_BE_INJECTED.keys()
    assert CANNOT_BE_INJECTED.keys() <= ROWS.keys()


def test_a_mark_is_found_wherever_it_stands() -> None:
    """As a decorator and among the marks of a parameter; words in a text are none."""
    source = '''
@pytest.mark.fault(3)
@pytest.mark.parametrize("a", [pytest.param(1, marks=pytest.mark.fault(25)), 2])
def test_it(a):
    """Not pytest.mark.fault(7)."""
'''
    assert sorted(rows_in(source)) == [3, 25]


@pytest.mark.parametrize("mark", ["fault()", "fault(1, 2)", "fault('7')"])
def test_a_mark_without_one_number_is_an_error(mark: str) -> None:
    """It would count for nothing."""
    with pytest.raises(AssertionError, match="line 1: expected"):
        rows_in(f"pytest.mark.{mark}")
