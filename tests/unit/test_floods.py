"""Which lines of a flood are written, and what the rest becomes."""

from tocsin.floods import _KNOWN, AT_ONCE, FAMILY, PERIOD, Floods


def test_the_first_are_written_and_the_rest_is_summed_up() -> None:
    """One sum for each minute, for as long as it lasts; and the first after it are written again."""
    floods: Floods[str] = Floods()
    written = [second for second in range(150) if floods.admit("kind", "family", f"at {second}", second)]
    assert written == [0, 1, 2, *range(60, 63), *range(120, 123)]
    floods = Floods()
    told = []
    for second in range(150):
        told += [(second, *one) for one in floods.due(second)]
        if floods.admit("kind", "family", f"at {second}", second):
            told.append((second, "at once", 1))
    assert told == [
        *((second, "at once", 1) for second in range(AT_ONCE)),
        (60, "at 59", 57),
        (120, "at 119", 60),
    ]


def test_what_was_not_withheld_is_not_summed_up() -> None:
    """Three lines in a minute are no flood, and nothing is due."""
    floods: Floods[str] = Floods()
    assert all(floods.admit("kind", "family", "line", 0.0) for _ in range(AT_ONCE))
    assert floods.next() is None
    assert floods.due(PERIOD) == []
    assert floods.admit("kind", "family", "line", PERIOD)


def test_a_sum_is_due_a_minute_after_the_first() -> None:
    """Whoever waits for it is told until when."""
    floods: Floods[str] = Floods()
    for second in range(10):
        floods.admit("kind", "family", "line", 5.0 + second)
    assert floods.next() == 5.0 + PERIOD
    assert floods.due(5.0 + PERIOD - 0.1) == []
    assert floods.due(5.0 + PERIOD) == [("line", 10 - AT_ONCE)]
    assert floods.next() is None


def test_kinds_do_not_silence_each_other() -> None:
    """A flood of one is no reason to withhold another of the same family."""
    floods: Floods[str] = Floods()
    for _ in range(1000):
        floods.admit("loud", "family", "loud", 0.0)
    assert floods.admit("quiet", "family", "quiet", 0.0)


def test_words_that_change_each_time_are_a_flood_too() -> None:
    """Of a family no more than a hundred are written in a minute; another family is untouched."""
    floods: Floods[int] = Floods()
    written = [number for number in range(1000) if floods.admit(number, "family", number, 0.0)]
    assert len(written) == FAMILY
    assert floods.admit(1000, "another", 1000, 0.0)
    assert floods.due(PERIOD) == [(999, 1000 - FAMILY)]


def test_what_is_remembered_is_bounded() -> None:
    """However many kinds and families there are."""
    floods: Floods[int] = Floods()
    for number in range(3 * _KNOWN):
        floods.admit(number, number, number, 0.0)
    assert len(floods._runs) <= _KNOWN
