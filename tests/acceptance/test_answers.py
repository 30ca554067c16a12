"""The guard's answer: an alarm's link opened, a verdict given, and everybody told, whatever happens next."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Answer, Receiver
from support.scene import Scene, visits
from support.site import site, stream, webhook
from support.wait import SCALE

pytestmark = pytest.mark.acceptance


@dataclass(frozen=True)
class Response:
    status: int
    text: str


def ask(url: str, body: bytes | None = None, **headers: str) -> Response:
    """What is at a link, or what comes of sending something there."""
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10 * SCALE) as answer:
            return Response(answer.status, answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return Response(error.code, error.read().decode(errors="replace"))


def say(url: str, **told: str) -> Response:
    """Press a button of the page."""
    return ask(url, urlencode(told).encode(), accept="text/html")


def test_a_guard_answers_by_the_link_and_everybody_hears_of_it(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """On a real alarm: the page with its pictures, a verdict, the event at two webhooks, and a second guard."""
    with (
        FakeCamera(Scene(fps=10)) as camera,
        Receiver() as chat,
    ):
        config = site(block_model, receiver, stream("yard", camera.url, evidence={"clip": False}))
        config["webhooks"].append(webhook("chat", chat))
        with Daemon(config, tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=5, stream="yard")
            camera.show(Scene(fps=10, blocks=visits((1.0, 3.0))))
            raised, ended = receiver.wait_for("alarm.raised"), receiver.wait_for("alarm.ended", timeout=20.0)
            url = raised.data["respond"]["url"]
            assert ended.data["respond"] == raised.data["respond"]
            seen = ask(url, accept="text/html")
            assert seen.status == 200
            for word in ("block at yard", "Nobody has said anything about it yet.", "Not seen since "):
                assert word in seen.text
            picture = urlsplit(raised.data["picture"]["crop"])
            assert f"{picture.path}?{picture.query}".replace("&", "&amp;") in seen.text
            assert [message.type for message in receiver.accepted] == ["alarm.raised", "alarm.ended"]

            said = say(url, verdict="rejected", by="anna", why="a mop")
            assert said.status == 200
            assert "Taken: rejected." in said.text
            for one in (receiver, chat):
                told = one.wait_for("alarm.verdict").data
                assert (told["alarm_id"], told["verdict"]) == (raised.data["alarm_id"], "rejected")
                assert (told["judged"]["by"], told["judged"]["why"]) == ("anna", "a mop")
                assert told["ended"] == ended.data["ended"]
            second = ask(url, accept="text/html")
            assert "<b>rejected</b> by anna" in second.text
            later = say(url, verdict="confirmed", by="bob", why="")
            assert "Before that anna rejected it" in later.text
            again = json.loads(
                ask(url, b'{"verdict":"confirmed","by":"bob"}', **{"content-type": "application/json"}).text
            )
            assert (again["repeated"], again["durable"]) == (True, True)
            assert receiver.wait_for("alarm.verdict", count=2).data["judged"]["by"] == "bob"
            assert daemon.metric("tocsin_http_requests_total", code="200") >= 5

            _nothing_else_opens_it(raised.data["respond"]["url"], raised.data["picture"]["url"])
            assert daemon.terminate() == 0
            signature = parse_qs(urlsplit(url).query)["signature"][0]
            assert signature not in daemon.log
    kinds = [message.type for message in receiver.accepted]
    assert kinds == ["alarm.raised", "alarm.ended", "alarm.verdict", "alarm.verdict"]


def _nothing_else_opens_it(url: str, picture: str) -> None:
    """Forged and expired links, and a picture's link in its place: 404 to look and to say."""
    head, _, query = url.partition("?")
    expires, _, signature = query.removeprefix("expires=").partition("&signature=")
    for wrong in (
        head,
        f"{head}?{picture.partition('?')[2]}",
        f"{head}?expires={int(time.time()) - 1}&signature={signature}",
        f"{head}?expires={int(expires) + 1}&signature={signature}",
        f"{head[:-1]}{'0' if head[-1] != '0' else '1'}?{query}",
        f"{picture.partition('?')[0]}?{query}",
    ):
        assert ask(wrong).status == 404
    assert say(f"{head}?{picture.partition('?')[2]}", verdict="confirmed", by="mallory").status == 404


def test_a_verdict_that_was_answered_outlives_a_kill(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Nobody had heard of it when the daemon died; the next life delivers it, and knows who said it."""
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera:
        config = site(block_model, receiver, stream("yard", camera.url, evidence={"clip": False}))
        with Daemon(config, tmp_path) as daemon:
            raised = receiver.wait_for("alarm.raised", timeout=30.0)
            url = raised.data["respond"]["url"]
            receiver.answer(lambda message: Answer(503) if message.type == "alarm.verdict" else 204)
            said = ask(url, b'{"verdict":"confirmed","by":"anna"}', **{"content-type": "application/json"})
            assert said.status == 200, said
            daemon.kill9()
            assert "alarm.verdict" not in [message.type for message in receiver.accepted], (
                "it was not told yet"
            )
            receiver.answer(204)
            daemon.start()
            told = receiver.wait_for("alarm.verdict", timeout=30.0).data
            assert (told["alarm_id"], told["judged"]["by"]) == (raised.data["alarm_id"], "anna")
            daemon.wait_ready()
            assert "<b>confirmed</b> by anna" in ask(url, accept="text/html").text
