"""The strict timeline, on messages whose times are given."""

import pytest

from support import timeline as timelines
from support.inbox import Inbox, Message
from support.timeline import Timeline

ZERO = 1000.0


@pytest.fixture(autouse=True)
def _no_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """The windows are as they are written, however slow the machine is said to be."""
    monkeypatch.setattr(timelines, "SCALE", 1.0)


def message(
    id: str,  # noqa: A002 - the message's word
    type: str,  # noqa: A002
    at: float,
    *,
    answer: int | None = 204,
    raw: bytes = b"",
    **data: object,
) -> Message:
    return Message(id, type, {"type": type, "data": data}, raw or id.encode(), {}, ZERO + at, 0.0, answer)


def timeline(*messages: Message, now: float = 100.0, **options: object) -> Timeline:
    inbox = Inbox()
    for each in messages:
        inbox.put(each)
    return Timeline(inbox, ZERO, now=lambda: ZERO + now, **options)


def test_a_message_in_its_window_is_returned_and_claimed() -> None:
    """What came in time is handed back, and the block ends well when all is claimed."""
    with timeline(message("a", "alarm.raised", 3.0, stream="x"), message("b", "alarm.ended", 9.0)) as script:
        assert script.expect("alarm.raised", between=(2.5, 3.5), stream="x").id == "a"
        assert script.expect("alarm.ended", between=(8, 10)).id == "b"


def test_an_extra_message_fails_with_a_list_of_what_came() -> None:
    """A message that nobody expected fails the end of the block, which lists everything."""
    script = timeline(message("a", "alarm.raised", 3.0), message("b", "alarm.ended", 4.0, stream="yard"))
    with pytest.raises(AssertionError, match="nobody expected 1 of the messages") as failure, script:
        script.expect("alarm.raised", between=(2.5, 3.5))
    text = str(failure.value)
    assert "ok     3.00 s  alarm.raised" in text
    assert ">        4.00 s  alarm.ended        yard" in text


@pytest.mark.parametrize("at", [pytest.param(2.4, id="too early"), pytest.param(3.6, id="too late")])
def test_a_message_outside_its_window_fails_with_its_time(at: float) -> None:
    """Early and late messages fail with the time at which they came."""
    script = timeline(message("a", "alarm.raised", at))
    with pytest.raises(AssertionError, match=f"between 2.5 and 3.5 s, but it came at {at:.2f} s"):
        script.expect("alarm.raised", between=(2.5, 3.5))


def test_a_message_that_never_comes_fails_at_the_end_of_its_window() -> None:
    """Nothing by the end of the window is a failure that says so."""
    with pytest.raises(AssertionError, match="had not come by then\nnothing came"):
        timeline().expect("alarm.raised", between=(2.5, 3.5))


def test_data_tell_messages_of_one_type_apart() -> None:
    """Named data must be equal; the order in which streams report does not matter."""
    with timeline(
        message("a", "alarm.raised", 3.0, stream="x"), message("b", "alarm.raised", 3.1, stream="y")
    ) as script:
        assert script.expect("alarm.raised", between=(2, 4), stream="y").id == "b"
        assert script.expect("alarm.raised", between=(2, 4), stream="x").id == "a"


def test_one_message_satisfies_one_expectation() -> None:
    """A claimed message is not found again."""
    script = timeline(message("a", "alarm.raised", 3.0))
    script.expect("alarm.raised", between=(2, 4))
    with pytest.raises(AssertionError, match="had not come by then"):
        script.expect("alarm.raised", between=(2, 4))


def test_retries_after_a_refusal_are_one_message() -> None:
    """Requests that were refused or whose answer was lost, and the one that is accepted, are one message."""
    requests = [
        message("a", "alarm.raised", at, answer=answer) for at, answer in ((3, 503), (4, None), (6, 204))
    ]
    with timeline(*requests) as script:
        assert script.expect("alarm.raised", between=(2.5, 3.5)).at == ZERO + 3


def test_a_request_after_the_message_was_accepted_is_a_duplicate() -> None:
    """The same id after a 2xx fails, unless duplicates are allowed, and can be counted."""
    requests = [message("a", "alarm.raised", 3.0), message("a", "alarm.raised", 4.0)]
    with (
        pytest.raises(AssertionError, match="1 messages came again after they had been accepted"),
        timeline(*requests) as script,
    ):
        script.expect("alarm.raised", between=(2, 4))
    with timeline(*requests, duplicates=True) as script:
        script.expect("alarm.raised", between=(2, 4))
        assert [each.at for each in script.duplicates] == [ZERO + 4]


def test_one_id_with_two_bodies_fails_even_where_duplicates_are_allowed() -> None:
    """A body that changes between attempts is a broken promise."""
    requests = [message("a", "alarm.raised", 3.0, raw=b"1"), message("a", "alarm.raised", 4.0, raw=b"2")]
    with (
        pytest.raises(AssertionError, match="the id a came with two bodies"),
        timeline(*requests, duplicates=True) as script,
    ):
        script.expect("alarm.raised", between=(2, 4))


def test_ignored_types_are_no_extra() -> None:
    """Types that match a pattern of `ignore` are left aside."""
    with timeline(message("a", "stream.up", 1.0), ignore=("stream.*",)):
        pass


def test_expecting_nothing_fails_on_an_unclaimed_message() -> None:
    """Something where nothing was expected fails with what it is."""
    script = timeline(message("a", "alarm.raised", 3.0))
    with pytest.raises(AssertionError, match="expected nothing more until 8 s"):
        script.expect_nothing(until=8)


def test_a_failure_inside_the_block_is_not_hidden_by_the_extras() -> None:
    """When the block fails by itself, its own error is what is seen."""
    with pytest.raises(KeyError), timeline(message("a", "alarm.raised", 3.0)):
        raise KeyError("the test's own")
