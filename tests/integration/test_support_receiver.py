"""The webhook receiver, against requests as any client sends them."""

import datetime as dt
import http.client
import json
import time
import urllib.error
import urllib.request

import pytest
from standardwebhooks.webhooks import Webhook

from support.receiver import SECRET, Answer, Receiver
from support.wait import until

OTHER_SECRET = "whsec_" + "YW5vdGhlci1zZWNyZXQtMDEyMzQ1Njc4OQ=="


def send(receiver: Receiver, id: str = "msg_1", secret: str = SECRET) -> int:  # noqa: A002 - the header's word
    body = json.dumps({"type": "alarm.raised", "data": {"stream": "yard"}})
    now = dt.datetime.now(dt.UTC)
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, now, body),
    }
    request = urllib.request.Request(receiver.url, body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_signed_request_is_kept_and_answered_204(receiver: Receiver) -> None:
    """Headers, raw body, parsed body and both times of arrival are kept."""
    before = time.monotonic()
    assert send(receiver) == 204
    (message,) = receiver.accepted
    assert (message.id, message.type, message.data["stream"]) == ("msg_1", "alarm.raised", "yard")
    assert json.loads(message.raw) == message.body
    assert message.headers["webhook-signature"].startswith("v1,")
    assert before <= message.at <= time.monotonic()
    assert abs(message.wall - time.time()) < 10


def test_a_wrong_signature_is_answered_401_and_is_no_message(receiver: Receiver) -> None:
    """A request signed with another secret does not count; it is kept apart."""
    assert send(receiver, secret=OTHER_SECRET) == 401
    assert receiver.requests == []
    assert receiver.refused[0].why == "No matching signature found"


def test_a_request_without_a_signature_is_answered_401(receiver: Receiver) -> None:
    """Missing headers do not count as signed."""
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=5)
    connection.request("POST", "/hook", b"{}")
    assert connection.getresponse().status == 401
    connection.close()


def test_answers_follow_the_script_and_then_are_204(receiver: Receiver) -> None:
    """A list of answers is used up one by one; only 2xx counts as accepted."""
    receiver.answer([500, Answer(429, {"Retry-After": "7"})])
    assert [send(receiver) for _ in range(3)] == [500, 429, 204]
    assert [message.answer for message in receiver.requests] == [500, 429, 204]
    assert len(receiver.accepted) == 1


def test_an_answer_can_be_late_or_lost(receiver: Receiver) -> None:
    """A delay holds the answer back, and status None cuts the connection after the request was read."""
    receiver.answer([Answer(delay=0.2), Answer(None)])
    started = time.monotonic()
    assert send(receiver) == 204
    assert time.monotonic() - started >= 0.2
    with pytest.raises(http.client.RemoteDisconnected):
        send(receiver)
    assert [message.answer for message in receiver.requests] == [204, None]


def test_a_receiver_that_is_down_refuses_and_comes_back_on_the_same_port(receiver: Receiver) -> None:
    """Down closes the port and open connections, up opens the same port; what was kept stays."""
    port = receiver.port
    idle = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    idle.request("POST", "/hook", b"{}")
    idle.getresponse().read()
    receiver.down()
    assert idle.sock.recv(1) == b""
    idle.close()
    with pytest.raises(urllib.error.URLError, match="refused"):
        send(receiver)
    receiver.up()
    assert receiver.port == port
    assert send(receiver) == 204


def test_leaving_the_receiver_does_not_wait_for_a_delayed_answer() -> None:
    """An answer that is being held back ends with the receiver."""
    with Receiver() as receiver:
        receiver.answer(Answer(delay=60))
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=5)
        body = b'{"type": "alarm.raised"}'
        now = dt.datetime.now(dt.UTC)
        signature = Webhook(SECRET).sign("m", now, body.decode())
        headers = {
            "webhook-id": "m",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        connection.request("POST", "/hook", body, headers)
        until(lambda: receiver.requests, 5, "the request")
        started = time.monotonic()
    assert time.monotonic() - started < 5
    connection.close()


def test_a_timeline_of_real_requests_fails_on_an_extra_one(receiver: Receiver) -> None:
    """What comes over HTTP is judged as it is: the first is claimed, the second is one too many."""
    timeline = receiver.timeline(time.monotonic())
    send(receiver, "msg_1")
    send(receiver, "msg_2")
    timeline.expect("alarm.raised", between=(0, 5), stream="yard")
    with pytest.raises(AssertionError, match="nobody expected 1 of the messages that came"):
        timeline.check()
