"""Choosing among the rows of a table by what is asked for."""

Criterion = tuple[str, object, *tuple[object, ...]]
"""Words of SQL, and what stands in their places; where the first of that is None, nothing is asked for."""


def condition(*criteria: Criterion) -> tuple[str, tuple[object, ...]]:
    """Return the words of SQL by which rows meet all of these, and what stands in their places."""
    asked = [one for one in criteria if one[1] is not None]
    words = " AND ".join(word for word, *_ in asked)
    return words or "1", tuple(value for _, *values in asked for value in values)
