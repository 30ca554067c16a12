"""Lines of processes that write in pieces."""

from tocsin.native import _LINE, _PROCESSES, Lines


def test_pieces_become_lines_of_their_process() -> None:
    """However they are cut, and whoever writes between; empty ones are none, and a CR ends one."""
    lines = Lines()
    assert lines.take(1, b"[h264] err") == []
    assert lines.take(2, b"two\n\n  \nthr") == ["two"]
    assert lines.take(1, b"or\r\nnext\r50%\r") == ["[h264] error", "next", "50%"]
    assert lines.take(2, b"ee\n") == ["three"]
    assert lines.rest() == []


def test_a_beginning_is_told_in_the_end() -> None:
    """A process that died in the middle of a line has said it."""
    lines = Lines()
    lines.take(1, b"free(): invalid poi")
    lines.take(2, b"\xff")
    assert lines.rest() == [(1, "free(): invalid poi"), (2, "�")]
    assert lines.rest() == []


def test_what_never_ends_is_bounded() -> None:
    """In length, and in the number of processes."""
    lines = Lines()
    told = [line for _ in range(1000) for line in lines.take(1, b"x" * 1000)]
    assert max(map(len, told)) <= _LINE + 1000
    for pid in range(10 * _PROCESSES):
        lines.take(pid, b"begun")
    assert len(lines._begun) <= _PROCESSES
