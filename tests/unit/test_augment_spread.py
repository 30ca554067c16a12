"""Which light each picture of a data set is shown in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.augment.spread import DEFAULT_RANGE, Spread, Step, dice, spread, tag
from tocsin.errors import InputError
from tocsin.footage.simulate import parse


def names(one: Spread, picture: str = "a.jpg", seed: int = 0) -> list[str]:
    return [condition.name for condition in one.of(picture, seed)]


def test_fixed_conditions_come_as_written_after_the_recorded_one() -> None:
    """Every picture is shown as recorded first, then in each condition."""
    assert names(spread("ev+2,veil0.5", "", 3, original=True)) == ["as-recorded", "ev+2", "veil0.5"]


def test_the_recorded_one_can_be_left_out() -> None:
    """It is then there only where it is written."""
    assert names(spread("ev+2", "", 3, original=False)) == ["ev+2"]
    assert names(spread("ev+2,as-recorded", "", 3, original=False)) == ["ev+2", "as-recorded"]


@pytest.mark.parametrize(
    ("conditions", "ranges", "expected"),
    [
        ("as-recorded,ev+2", "", ["as-recorded", "ev+2"]),
        ("ev+2", "ev+2", ["as-recorded", "ev+2"]),
        ("", "veil0.5", ["as-recorded", "veil0.5"]),
    ],
    ids=["the recorded one written too", "drawn what is fixed", "drawn three times the same"],
)
def test_no_condition_comes_twice(conditions: str, ranges: str, expected: list[str]) -> None:
    """Two pictures of the same light would be one file."""
    assert names(spread(conditions, ranges, 3, original=True)) == expected


def test_any_range_may_be_drawn_from_first() -> None:
    """With fewer draws than ranges, pictures do not all get the same kind of light."""
    one = spread("", "ev+1..ev+2,veil0.2..veil0.4", 1, original=False)
    kinds = {name[:2] for number in range(20) for name in names(one, f"{number}.jpg")}
    assert kinds == {"ev", "ve"}


def test_the_steps_of_a_mix_are_drawn_apart() -> None:
    """The darkest draw is not always the one with the most noise, nor always the one with the least."""
    one = spread("", "ev-4..ev-1/noise0.001..noise0.006", 2, original=False)
    orders = set()
    for number in range(20):
        (ev, noise), (other_ev, other_noise) = (name.split("/") for name in names(one, f"{number}.jpg"))
        orders.add((float(ev[2:]) < float(other_ev[2:])) == (float(noise[5:]) < float(other_noise[5:])))
    assert orders == {True, False}


def test_amounts_are_written_in_one_way() -> None:
    """With a sign where one end has one, and no minus before a zero."""
    assert Step("ev", -1.0, 1.0, signed=True, digits=2).at(0.499) == "ev+0.00"
    assert names(spread("", "ev1..+3", 1, original=False))[0].startswith("ev+")


@given(st.text(min_size=1, max_size=20), st.integers(0, 99), st.integers(1, 12))
def test_drawing_is_decided_by_seed_and_name(picture: str, seed: int, draws: int) -> None:
    """The same picture gets the same conditions whenever it is asked for, and each of them can be simulated."""
    one = spread("", DEFAULT_RANGE, draws, original=True)
    assert names(one, picture, seed) == names(one, picture, seed)
    assert len(names(one, picture, seed)) == len(set(names(one, picture, seed)))
    assert [condition.name for condition in parse(",".join(names(one, picture, seed)))]


def test_pictures_and_seeds_differ() -> None:
    """Another name or another seed is another draw."""
    one = spread("", "ev-3..ev+3", 3, original=False)
    assert len({tuple(names(one, f"{number}.jpg")) for number in range(20)}) == 20
    assert names(one, seed=1) != names(one, seed=2)


@given(st.integers(0, 999), st.integers(1, 8))
def test_draws_from_one_range_cover_it(seed: int, draws: int) -> None:
    """Each of so many equal parts of a range is drawn from once."""
    found = names(spread("", "ev-4..ev+4", draws, original=False), seed=seed)
    parts = sorted(min(int((float(name[2:]) + 4) / 8 * draws + 1e-9), draws - 1) for name in found)
    assert parts == pytest.approx(list(range(draws)), abs=1)
    assert len(found) == draws


@given(st.integers(0, 999))
def test_ranges_take_turns(seed: int) -> None:
    """With as many draws as ranges each is drawn from once."""
    found = names(spread("", "ev+1..ev+2,veil0.2..veil0.4,glare0.4..glare0.8", 3, original=False), seed=seed)
    assert sorted(name.rstrip("0123456789.+") for name in found) == ["ev", "glare", "veil"]


@given(st.integers(0, 999))
def test_amounts_lie_in_their_range(seed: int) -> None:
    """A mix draws each of its steps, and what is no range stays as it is written."""
    (found,) = names(spread("", "ev-5..-1/noise0.001..0.006/grey", 1, original=False), seed=seed)
    exposure, noise, grey = found.split("/")
    assert -5 <= float(exposure[2:]) <= -1
    assert 0.001 <= float(noise[5:]) <= 0.006
    assert grey == "grey"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ev+3..ev-3", "expected the lower end first"),
        ("ev+1..ev+1", "expected the lower end first"),
        ("ev..3", "expected a range such as ev-3..ev+3, found 'ev..3'"),
        ("fog0.1..0.2", "fog"),
        ("veil0.5..veil1.5", "veil"),
        ("ev+1..veil2", "expected a range such as"),
        ("ev+1,,ev+2", "''"),
    ],
)
def test_a_bad_range_is_told(text: str, sentence: str) -> None:
    """What no condition can come of is refused before any work, with what was found."""
    with pytest.raises(InputError, match=r"expected") as caught:
        spread("", text, 3, original=True)
    assert sentence in str(caught.value)


def test_two_spellings_of_one_name_are_refused() -> None:
    """Their pictures would have the same file name."""
    with pytest.raises(InputError, match=r"veil0\.5_ev\+1 once"):
        spread("veil0.5/ev+1,veil0.5 / ev+1", "", 1, original=True)


def test_nothing_to_show_is_refused() -> None:
    """A data set of no pictures is a mistake."""
    with pytest.raises(InputError, match="found none"):
        spread("", "", 3, original=False)


def test_a_tag_fits_into_a_file_name() -> None:
    """No slash and no blank remains."""
    assert [tag(one) for one in parse("ev-5/noise0.004,veil0.5 / grey")] == [
        "ev-5_noise0.004",
        "veil0.5_grey",
    ]


def test_dice_are_the_same_everywhere() -> None:
    """They hang on the seed and the words alone, so that every version of Python draws the same."""
    assert dice(0, "a.jpg") == 8222705565811082710
    assert dice(0, "a", "b") != dice(0, "ab")
    assert dice(0, "\udcff.jpg") != dice(0, "\udcfe.jpg"), "names of bytes that are no letters count, too"
