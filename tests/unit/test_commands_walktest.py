"""What the one who walks through the picture reads while a walk test goes on, and when it is over."""

from typing import Any

import pytest

from tocsin.commands.walktest import Course


def answer(*alarms: dict[str, Any], analysed: int = 0, seen: int = 0, cooling: int = 0) -> dict[str, Any]:
    withheld = [{"rule": "visit", "reason": "cooldown", "count": cooling}] if cooling else []
    return {
        "alarms": list(alarms),
        "analysed": analysed,
        "sightings": {"visit": seen},
        "withheld": withheld,
        "left_seconds": 60.0,
    }


def alarm(number: int = 1, **fates: list[str]) -> dict[str, Any]:
    told = {"rule": "visit", "class": "person", "score": 0.81, "silenced": False, "after_seconds": 0.52}
    none: dict[str, list[str]] = {"accepted": [], "waiting": [], "given_up": []}
    return {
        "alarm_id": f"alarm_{number}",
        "opened": f"2026-11-21T12:00:0{number}.000Z",
        **told,
        **none,
        **fates,
    }


def course(*answers: dict[str, Any]) -> Course:
    one = Course("yard", answer(analysed=500, seen=40, cooling=2))
    for each in answers:
        one.see(each)
    return one


def test_each_alarm_and_each_acceptance_is_a_line_once() -> None:
    """In the order in which they are known."""
    one = Course("yard", answer())
    lines = one.see(answer(alarm(waiting=["room"])))
    assert [line[19:] for line in lines] == ["  visit: person 0.81, 0.5 s after it was first seen"]
    assert not one.settled
    assert [line.strip() for line in one.see(answer(alarm(accepted=["room"])))] == ["accepted by room"]
    assert one.settled
    assert one.see(answer(alarm(accepted=["room"]))) == []
    assert len(one.see(answer(alarm(accepted=["room"]), alarm(2, given_up=["room"])))) == 2


def test_counts_are_those_of_the_test() -> None:
    """What was before does not count, and a daemon that was restarted meanwhile begins anew."""
    one = course(answer(analysed=510, seen=43, cooling=3), answer(analysed=7, seen=2, cooling=1))
    assert (one.analysed, one.sightings, one.withheld) == (17, {"visit": 5}, {"cooldown": 2})


@pytest.mark.parametrize(
    ("alarms", "passed", "first"),
    [
        ([], False, "no alarm was raised: something was seen, but not for long enough"),
        ([alarm(accepted=["room"])], True, "1 alarm raised, all accepted by room"),
        (
            [alarm(n, accepted=["room", "phone"]) for n in (1, 2, 3)],
            True,
            "3 alarms raised, all accepted by phone and room",
        ),
        (
            [alarm(1, accepted=["room"], waiting=["phone"]), alarm(2, accepted=["room"], given_up=["phone"])],
            False,
            "2 alarms raised; phone: waits for 1, given up 1; room: accepted 2",
        ),
        ([alarm()], False, "1 alarm raised, and no webhook wants them"),
        ([alarm() | {"silenced": True}], False, "1 alarm raised, silenced and so told to nobody"),
    ],
)
def test_it_is_summed_up(alarms: list[dict[str, Any]], passed: bool, first: str) -> None:
    """In a sentence; the numbers behind it follow."""
    one = course(answer(*alarms, analysed=600, seen=52, cooling=4))
    assert one.passed is passed
    assert one.summary() == [
        first,
        "100 frames of yard were analysed; sightings: visit 12",
        "alarms that were withheld: cooldown 2",
    ]
    told = one.as_json({"id": "test_1"})
    assert (told["passed"], told["analysed"], told["sightings"]) == (passed, 100, {"visit": 12})


def test_why_there_was_no_alarm_is_said_where_it_is_known() -> None:
    """Nobody walked, the stream was down, or another alarm was open."""
    assert Course("yard", answer()).summary()[0] == "no alarm was raised: nothing of yard was looked at"
    looked = course(answer(analysed=600, seen=40, cooling=2))
    assert looked.summary()[0] == "no alarm was raised: is somebody walking through the zone?"
    hindered = Course("yard", answer(), ["an alarm of the rule visit is open"])
    hindered.see(answer(analysed=60, seen=12))
    assert hindered.summary()[0].endswith("something was seen, but an alarm of the rule visit is open")
