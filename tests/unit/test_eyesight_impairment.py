"""When a stream that cannot be seen reliably is reported, and when it is over."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.pictures import light
from tocsin.eyesight.impairment import Impairment, ImpairmentVigil, Limits, Notice, judge
from tocsin.frame import Light

LIMITS = Limits()
DARK = light(mean=2.0, p1=0.0, p99=8.0)
BRIGHT = light(mean=250.0, p1=120.0, p50=255.0, p99=255.0)
FOG = light(mean=190.0, p1=185.0, p50=190.0, p99=195.0)
GOOD = light(mean=120.0, p1=20.0, p50=110.0, p99=230.0)
DUSK = light(mean=20.0, p1=2.0, p50=15.0, p99=47.0)
VEIL = light(mean=206.0, p1=180.0, p50=203.0, p99=236.0)
BETWEEN = light(mean=190.0, p1=183.0, p50=190.0, p99=198.0)
"""Good enough not to begin it, too bad to end it."""


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(DARK, Impairment.TOO_DARK, id="night without a lamp"),
        pytest.param(BRIGHT, Impairment.TOO_BRIGHT, id="the sun in the lens"),
        pytest.param(FOG, Impairment.NO_CONTRAST, id="fog"),
        pytest.param(light(mean=0.0), Impairment.TOO_DARK, id="black"),
        pytest.param(light(mean=255.0, p1=255.0, p50=255.0, p99=255.0), Impairment.TOO_BRIGHT, id="white"),
        pytest.param(
            light(mean=90.0, p1=90.0, p50=90.0, p99=90.0),
            Impairment.NO_CONTRAST,
            id="a cap on the lens, in the light",
        ),
        pytest.param(GOOD, None, id="day"),
        pytest.param(DUSK, None, id="dusk, which a correction brings back"),
        pytest.param(VEIL, None, id="a veil, which a correction brings back"),
        pytest.param(light(mean=10.0, p99=90.0), None, id="night with a lamp"),
        pytest.param(light(mean=224.0, p1=57.0, p50=244.0, p99=255.0), None, id="overexposed, and yet seen"),
        pytest.param(
            light(mean=math.nan, p1=math.nan, p50=math.nan, p99=math.nan), None, id="a light that is none"
        ),
    ],
)
def test_a_picture_is_judged_by_what_can_be_seen_in_it(seen: Light, expected: Impairment | None) -> None:
    """Each kind has its word, and what a correction brings back is none of them."""
    assert judge(seen, LIMITS.enter) is expected


def test_what_lies_between_the_edges_neither_begins_nor_ends_it() -> None:
    """The edge to leave asks for more than the edge to enter in every measure."""
    assert judge(BETWEEN, LIMITS.enter) is None
    assert judge(BETWEEN, LIMITS.leave) is Impairment.NO_CONTRAST
    assert LIMITS.leave.dark > LIMITS.enter.dark
    assert LIMITS.leave.white < LIMITS.enter.white
    assert LIMITS.leave.contrast > LIMITS.enter.contrast


@dataclass
class Camera:
    """Shows a vigil ten pictures a second, and keeps what it says and when."""

    vigil: ImpairmentVigil = field(default_factory=ImpairmentVigil)
    at: float = 1000.0
    said: list[tuple[float, Notice]] = field(default_factory=list)

    def show(self, seen: Light, seconds: float, silence: float = 0.1) -> None:
        """Show pictures of this light for so long; `silence` is that before the first of them."""
        for number in range(round(seconds * 10)):
            gap = silence if number == 0 else 0.1
            self.at += gap
            notice = self.vigil.update(seen, self.at, 0.1, gap)
            if notice is not None:
                self.said.append((self.at - 1000.0, notice))

    @property
    def words(self) -> list[str]:
        return [f"{'-' if notice.over else '+'}{notice.reason}" for _, notice in self.said]


def test_it_is_said_once_after_ten_seconds_and_once_when_it_is_over() -> None:
    """With the reason, the light, and for how long it lasted."""
    camera = Camera()
    camera.show(GOOD, 3)
    camera.show(DARK, 30)
    camera.show(GOOD, 20)
    (began, first), (ended, last) = camera.said
    assert began == pytest.approx(3.1 + LIMITS.enter_after)
    assert first == Notice(False, Impairment.TOO_DARK, DARK, pytest.approx(LIMITS.enter_after))
    assert ended == pytest.approx(33.1 + LIMITS.leave_after)
    assert last == Notice(True, Impairment.TOO_DARK, GOOD, pytest.approx(30.0 + LIMITS.leave_after))
    assert camera.vigil.impaired is None


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param([(GOOD, 60)], [], id="a good stream"),
        pytest.param([(DARK, 9.9), (GOOD, 60)], [], id="a hand before the lens"),
        pytest.param([(DARK, 9), (GOOD, 0.1), (DARK, 9), (GOOD, 9)], [], id="one good picture in between"),
        pytest.param([(GOOD, 9), (DARK, 0.1)] * 20, [], id="single dark pictures"),
        pytest.param([(DARK, 11), (GOOD, 0.1)] * 5, ["+too_dark"], id="single good pictures"),
        pytest.param([(DARK, 11), (GOOD, 4.9), (DARK, 0.1), (GOOD, 4.9)], ["+too_dark"], id="a headlight"),
        pytest.param([(FOG, 11), (BETWEEN, 600)], ["+no_contrast"], id="not much better"),
        pytest.param([(BETWEEN, 600)], [], id="not that bad"),
        pytest.param([(DARK, 5), (FOG, 6), (BRIGHT, 60)], ["+no_contrast"], id="one reason after another"),
        pytest.param([(BRIGHT, 11), (GOOD, 6)], ["+too_bright", "-too_bright"], id="it is over"),
    ],
)
def test_only_what_lasts_is_said(script: Iterable[tuple[Light, float]], said: list[str]) -> None:
    """A single picture changes nothing, nor does one at the edge."""
    camera = Camera()
    for seen, seconds in script:
        camera.show(seen, seconds)
    assert camera.words == said


def test_time_without_pictures_counts_for_nothing() -> None:
    """Over an outage it neither begins nor ends, and what was seen on both sides of it adds up."""
    camera = Camera()
    camera.show(DARK, 5)
    camera.show(DARK, 4.5, silence=3600.0)
    assert camera.said == []
    camera.show(DARK, 5)
    camera.show(GOOD, 3, silence=3600.0)
    camera.show(GOOD, 1.5, silence=3600.0)
    assert camera.words == ["+too_dark"]
    camera.show(GOOD, 1)
    assert camera.words == ["+too_dark", "-too_dark"]
    assert camera.said[1][1].lasted == pytest.approx(3 * 3600 + 18, abs=3), "the outages lie within it"


def test_an_outage_before_the_first_dark_picture_does_not_lie_within_it() -> None:
    """Nobody knows what was to be seen then."""
    camera = Camera()
    camera.show(GOOD, 3)
    camera.show(DARK, 11, silence=3600.0)
    assert camera.said[0][1].lasted == pytest.approx(LIMITS.enter_after)


@pytest.mark.parametrize(
    ("apart", "frames"),
    [
        pytest.param(0.5, 21, id="ten seconds of pictures"),
        pytest.param(1.0, 11, id="a picture a second"),
        pytest.param(4.0, 11, id="a detector that is slow: a picture speaks for its patience, a second"),
        pytest.param(3600.0, 11, id="a detector that failed for an hour: so does the picture after it"),
    ],
)
def test_a_picture_speaks_for_the_time_before_it(apart: float, frames: int) -> None:
    """Up to the patience of its stream, though pictures came all the while that nobody analysed."""
    vigil = ImpairmentVigil()
    notices = [vigil.update(DARK, number * apart, 0.1, 0.1) for number in range(frames)]
    assert [notice is not None for notice in notices] == [False] * (frames - 1) + [True]


def test_time_that_runs_backwards_counts_for_nothing() -> None:
    """The seam of a recording proves neither darkness nor light, and takes back nothing of what was seen."""
    vigil = ImpairmentVigil()
    assert [vigil.update(DARK, -float(at), 0.1, 0.1) for at in range(100)] == [None] * 100
    camera = Camera()
    camera.show(DARK, 6)
    camera.at -= 3600.0
    camera.show(DARK, 6)
    assert camera.words == ["+too_dark"]
    assert camera.said[0][1].lasted == pytest.approx(LIMITS.enter_after)


def test_a_light_that_comes_and_goes_all_night_is_no_flood() -> None:
    """Each return that does not last makes the next one harder to believe; one that lasts is believed as ever."""
    camera = Camera()
    for _ in range(360):  # almost ten hours, with a car each 96 s
        camera.show(DARK, 90)
        camera.show(GOOD, 6)
    assert camera.words == ["+too_dark", "-too_dark", "+too_dark"], "a car's six seconds are believed once"
    camera.show(GOOD, 2 * LIMITS.leave_after)
    assert camera.words[-1] == "-too_dark"
    camera.show(GOOD, LIMITS.relapse)
    camera.show(DARK, 11)
    camera.show(GOOD, LIMITS.leave_after + 0.2)
    assert camera.words[-2:] == ["+too_dark", "-too_dark"]


@given(
    st.lists(st.tuples(st.sampled_from([DARK, BRIGHT, FOG, GOOD, BETWEEN]), st.floats(0.1, 30)), max_size=40)
)
def test_beginning_and_end_alternate(script: list[tuple[Light, float]]) -> None:
    """Whatever is shown: an end follows its beginning, has its reason, and neither comes before its time."""
    camera = Camera()
    for seen, seconds in script:
        camera.show(seen, seconds)
    overs = [notice.over for _, notice in camera.said]
    assert overs == [bool(number % 2) for number in range(len(overs))]
    for (began, first), (ended, last) in zip(camera.said[::2], camera.said[1::2], strict=False):
        assert first.reason is last.reason
        assert ended - began >= LIMITS.leave_after - 1e-3
        assert last.lasted == pytest.approx(first.lasted + ended - began)
    assert (camera.vigil.impaired is not None) is bool(len(overs) % 2)
