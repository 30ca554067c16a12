"""Strangers' labels: what is carried along, what is refused, and how it is told."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.augment.dataset import Loss, Losses, finite, inside
from tocsin.augment.labellines import check
from tocsin.errors import InputError
from tocsin.footage.shown import shown

NAMES = {0: "knife", 1: "gun"}


@pytest.mark.parametrize(
    "label",
    [
        b"",
        b"\n\n",
        b"0 0.5 0.5 0.1 0.1\n1 0 0 1 1",
        b"0.0 0.5 0.5 0.1 0.1\r\n",
        b"0 0.1 0.1 0.2 0.1 0.2 0.2\n",
        b"1 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n",
        b"1 0.5 0.5 0.1 0.1 0.5 0.5 2 0.4 0.4 1\n",
        b"1 1.005 0.5 -0.005 0.1\n",
    ],
    ids=["empty", "blank", "boxes", "Windows", "polygon", "oriented", "key points", "a little outside"],
)
def test_sound_labels_pass(label: bytes) -> None:
    """Every kind of line that trainers of this family read."""
    assert check(label, NAMES) is None


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (b"0 0.5 0.5 0.1", "1: expected a class and four or more numbers, found 4 numbers"),
        (
            b"0 0.5 0.5 0.1 0.1\n\n0 a b c d",
            "3: expected a class and four or more numbers, found none in place 2",
        ),
        (b"0 nan 0.5 0.1 0.1", "1: expected a class and four or more numbers, found none in place 2"),
        (
            b"0 0.5 0.5 0.1 " + b"9" * 5000,
            "1: expected a class and four or more numbers, found none in place 5",
        ),
        (b"1e15 0.5 0.5 0.1 0.1", "1: expected the number of a class from 0 to 1, found 1e+15"),
        (b"2 0.5 0.5 0.1 0.1", "1: expected the number of a class from 0 to 1, found 2"),
        (b"-1 0.5 0.5 0.1 0.1", "1: expected the number of a class from 0 to 1, found -1"),
        (b"0.5 0.5 0.5 0.1 0.1", "1: expected the number of a class from 0 to 1, found 0.5"),
        (b"0 320 240 64 48", "1: expected shares of the picture from 0 to 1, found 320"),
        (b"\x00\xff\xfe\x1b[31m", "1: expected a class and four or more numbers, found none in place 1"),
        (
            b"\xef\xbb\xbf0 0.5 0.5 0.1 0.1",
            "1: expected a class and four or more numbers, found none in place 1",
        ),
    ],
)
def test_rubbish_is_told_with_its_line(label: bytes, sentence: str) -> None:
    """The line, what was expected and what was found."""
    assert check(label, NAMES) == sentence


@pytest.mark.parametrize("line", ["root:x:0:0:root:/root:/bin/bash", "0 hunter2 0.5 0.1 0.1", "hunter2"])
def test_no_text_of_a_file_that_is_none_is_shown(line: str) -> None:
    """Whatever lies in the place of labels may be private: only numbers of it are told."""
    wrong = check(line.encode(), NAMES)
    assert wrong is not None
    assert not [word for word in line.split() if not word.replace(".", "").isdigit() and word in wrong]


def test_long_numbers_are_told_in_short() -> None:
    """Six digits tell what is wrong with a number."""
    assert check(b"0 1234567890123 0.5 0.1 0.1", NAMES) == (
        "1: expected shares of the picture from 0 to 1, found 1.23457e+12"
    )


def test_a_class_that_no_data_set_has_is_refused() -> None:
    """Where nobody names the classes, the highest one decides how many names are made."""
    assert check(b"99999 0.5 0.5 0.1 0.1", {}) is None
    assert check(b"100000 0.5 0.5 0.1 0.1", {}) == "1: expected the number of a class, found 100000"


@pytest.mark.parametrize(
    ("value", "usable"),
    [
        (0, True),
        (-3.5, True),
        (2**53, True),
        (2**53 + 1, False),
        (10**400, False),
        (float("inf"), False),
        (float("nan"), False),
        (True, False),
        ("7", False),
        (None, False),
    ],
    ids=str,
)
def test_only_usable_numbers_are_reckoned_with(value: object, usable: bool) -> None:
    """None that a float does not hold, and nothing that only looks like one."""
    assert finite(value) is usable


@given(st.binary(max_size=200))
def test_no_label_file_breaks_the_reader(label: bytes) -> None:
    """Whatever stands there is sound or told in printable letters."""
    wrong = check(label, {})
    assert wrong is None or wrong.isprintable()


@pytest.mark.parametrize(
    ("text", "leads"),
    [
        ("a.jpg", "a.jpg"),
        ("./b/./a.jpg", "b/a.jpg"),
        ("..a/b..jpg", "..a/b..jpg"),
        ("../a.jpg", None),
        ("b/../../a.jpg", None),
        ("/etc/passwd", None),
        ("", None),
        (".", None),
        ("a\0.jpg", None),
        ("\ud800.jpg", None),
    ],
)
def test_a_path_stays_inside(text: str, leads: str | None) -> None:
    """What could lead out of the folder, or is no name at all, leads nowhere."""
    path = inside(text)
    assert (None if path is None else str(path)) == leads


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    """No text of a stranger moves the cursor of whoever reads the message, or fills the screen."""
    assert shown(text).isprintable()
    assert len(shown(text)) < 1500


def test_the_first_few_are_told_and_the_rest_counted() -> None:
    """A data set with a thousand faults gives a few sentences of each kind and a number."""
    told: list[str] = []
    losses = Losses(told.append, strict=False)
    for number in range(1000):
        losses.add(Loss.MISSING, f"{number}.jpg: not there")
    losses.add(Loss.LABEL, "a.txt:3: rubbish")
    losses.tell_rest()
    assert told[0] == "left out: 0.jpg: not there"
    assert told[-2:] == [
        "left out: a.txt:3: rubbish",
        "left out: 995 more, each for its missing picture",
    ]
    assert len(told) == 7
    assert losses.counts() == {Loss.MISSING: 1000, Loss.LABEL: 1}


class Sentences(list[tuple[Loss, str]]):
    """Counts how often somebody goes through all of them."""

    walks = 0

    def __iter__(self) -> Iterator[tuple[Loss, str]]:
        self.walks += 1
        return super().__iter__()


def test_a_loss_costs_the_same_however_many_there_are() -> None:
    """Nothing goes through all sentences again for each: a hundred thousand of them take no time."""
    losses = Losses(lambda sentence: None, strict=False)
    losses.sentences = sentences = Sentences()
    for _ in range(100):
        losses.add(Loss.MISSING, "a.jpg: not there")
    losses.tell_rest()
    assert losses.counts() == {Loss.MISSING: 100}
    assert sentences.walks == 0


def test_strict_makes_the_first_one_fatal() -> None:
    """Its sentence is the error."""
    with pytest.raises(InputError, match=r"^a.jpg: not there$"):
        Losses(print, strict=True).add(Loss.MISSING, "a.jpg: not there")
