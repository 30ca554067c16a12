"""The page of an alarm on a real socket: who may answer, what is taken, and what everybody else gets."""

import base64
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import bcrypt
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from support import canary
from support.events import open_alarm
from tocsin.deliver.act import Via
from tocsin.deliver.judging import Case, Given, Statement, case_of, take
from tocsin.deliver.verdict import Verdict
from tocsin.endpoint.answers import BODY_BYTES, BURST, EACH, REMEMBERED, SAID_BURST, SAID_EACH, Pace
from tocsin.endpoint.invitations import Invitations
from tocsin.endpoint.terms import Web
from tocsin.errors import ControlError, OutboxError
from tocsin.evidence.link import Link, new_key, path_of
from tocsin.http import Endpoint, Health
from tocsin.metrics import Metrics, Names

ALARM = "alarm_019a8b7c6d5e7f008123456789abcdef"
FORGOTTEN = "alarm_019a8b7c6d5e7f008123456789abcdee"
PAGE = {"Accept": "text/html,application/xhtml+xml"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
PASSWORD = "gu4rd-me-4-what-is-new"
Answer = tuple[int, dict[str, str], str]


class Bench:
    """Knows one alarm, and remembers what was said about it."""

    def __init__(self) -> None:
        self.record = open_alarm(ALARM)
        self.said: list[Statement] = []
        self.durable = True
        self.trouble: Exception | None = None
        self._entries: list[Any] = []

    def case(self, alarm_id: str) -> Case | None:
        return case_of(self.record, self._entries[::-1]) if alarm_id == ALARM else None

    def give(self, alarm_id: str, said: Statement) -> Given | None:
        if self.trouble is not None:
            raise self.trouble
        if alarm_id != ALARM:
            return None
        taken = take(self.record, said, datetime.now(UTC))
        self.record = taken.record
        if taken.change is not None:
            self.said.append(said)
            self._entries += taken.change.audited
        return Given(taken.record, taken.before, taken.change is None, self.durable)


class Site:
    """An endpoint that takes answers, and whoever comes to it."""

    def __init__(self, web: Web | None = None) -> None:
        self.key = new_key()
        self.bench = Bench()
        self.invitations = Invitations(self.key, "http://127.0.0.1", 3600.0)
        registry = CollectorRegistry()
        self.metrics = Metrics(registry, Names(streams={"yard": []}, rules={}, webhooks=[]))
        well = Health(())
        self.endpoint = Endpoint(
            ("127.0.0.1", 0), registry, lambda: well, lambda: well, self.metrics, (), web
        )

    def path(self, alarm_id: str = ALARM) -> str:
        parts = urlsplit(self.invitations.offer(alarm_id)["url"])
        canary.watch(parts.query.rpartition("=")[2])
        return f"{parts.path}?{parts.query}"

    def ask(self, path: str, method: str = "GET", body: bytes | str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.endpoint.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, told, answer.read().decode()
        finally:
            connection.close()

    def post(self, headers: dict[str, str], path: str = "", **told: Any) -> Answer:
        """Send a verdict as a form or as JSON, as the headers say."""
        body = json.dumps(told) if headers["Content-Type"] == "application/json" else urlencode(told)
        return self.ask(path or self.path(), "POST", body, **headers)


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    site.endpoint.start()
    try:
        site.endpoint.hear(site.invitations, site.bench)
        yield site
    finally:
        site.endpoint.stop(time.monotonic() + 5)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as one:
        yield one


def test_looking_changes_nothing(site: Site) -> None:
    """A preview of a message or a scanner of mail follows the link; what is shown is for nobody else's eyes."""
    for method in ("GET", "HEAD"):
        status, headers, body = site.ask(site.path(), method, **PAGE)
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert ("person at entrance" in body) == (method == "GET")
    assert headers["content-security-policy"].startswith(
        "default-src 'none'; img-src 'self'; style-src 'sha256-"
    )
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
    status, _, body = site.ask(site.path())
    facts = json.loads(body)
    assert (facts["alarm_id"], facts["verdict"], facts["said"]) == (ALARM, None, [])
    assert "respond" not in facts
    assert site.bench.said == []


def test_a_form_s_verdict_is_taken_and_answered_by_a_page(site: Site) -> None:
    """With what stood before; the name stays for the next time, and the word is on the page."""
    status, _, body = site.post(FORM | PAGE, verdict="rejected", by="anna", why="a mop")
    assert status == 200
    assert "Taken: rejected." in body
    assert "Before that" not in body
    assert 'name="by" value="anna"' in body
    status, _, body = site.post(FORM | PAGE, verdict="confirmed", by="bob <b>", why="")
    assert status == 200
    assert "Taken: confirmed. Before that anna rejected it just now: a mop." in body
    assert "bob &lt;b&gt;" in body
    status, _, body = site.post(FORM | PAGE, verdict="confirmed", by="bob <b>", why="")
    assert "That was known: bob &lt;b&gt; confirmed it just now. Nothing was sent again." in body
    assert site.bench.said == [
        Statement(Verdict.REJECTED, "anna", Via.LINK, "a mop"),
        Statement(Verdict.CONFIRMED, "bob <b>", Via.LINK, ""),
    ]


def test_a_program_s_verdict_is_answered_by_facts(site: Site) -> None:
    """By JSON for JSON, and for a form whose sender does not ask for a page."""
    status, headers, body = site.post(JSON, verdict="rejected", by="anna", why="a mop")
    assert (status, headers["content-type"]) == (200, "application/json")
    told = json.loads(body)
    assert (told["verdict"], told["judged"]["by"], told["before"]) == ("rejected", "anna", None)
    assert (told["repeated"], told["durable"]) == (False, True)
    told = json.loads(site.post(FORM, verdict="acknowledged", by="bob")[2])
    assert told["before"]["why"] == "a mop"


def test_what_is_not_on_the_disk_yet_is_said_to_be_so(site: Site) -> None:
    """202, in words for a person; and where it was not taken at all, 503 and to try again."""
    site.bench.durable = False
    status, _, body = site.post(FORM | PAGE, verdict="rejected", by="anna")
    assert status == 202
    assert "It is not on the disk yet" in body
    status, _, body = site.post(JSON, verdict="rejected", by="anna")
    assert (status, json.loads(body)["durable"]) == (202, False)
    for trouble in (OutboxError("expected a disk"), ControlError("expected an answer")):
        site.bench.trouble = trouble
        status, headers, body = site.post(FORM | PAGE, verdict="confirmed", by="bob")
        assert (status, headers["retry-after"]) == (503, "5")
        assert body.startswith("this was not taken, try again: expected")


def test_nothing_but_a_whole_link_of_this_alarm_opens_anything(site: Site) -> None:
    """Forged, altered, expired, of a picture or of another alarm: as if nothing was there, to look and to say."""
    path = site.path()
    head, _, query = path.partition("?")
    expires, _, signature = query.removeprefix("expires=").partition("&signature=")
    piece = path_of(Link(ALARM, int(expires)), site.key).partition("?")[2]
    over = urlsplit(Invitations(site.key, "", -1.0).offer(ALARM)["url"])
    wrong = [
        head,
        f"{head}?{query[:-1]}",
        f"{head}?expires={int(expires) + 1}&signature={signature}",
        f"{head}?{piece}",
        f"{over.path}?{over.query}",
        f"/alarm/{FORGOTTEN}?{query}",
        f"/alarm/..%2fevidence?{query}",
        f"/alarm/%00?{query}",
        f"/alarm/?{query}",
        site.path(FORGOTTEN),  # the link is good, and the alarm is out of the history
    ]
    bodies = set()
    for each in wrong:
        status, _, body = site.ask(each, **PAGE)
        assert status == 404, each
        bodies.add(body)
        status, _, body = site.post(FORM | PAGE, each, verdict="rejected", by="anna")
        assert status == 404, each
        bodies.add(body)
    assert len(bodies - {"Not Found"}) == 1, "no answer tells why"
    piece_path = f"/evidence/{'a' * 32}?{query}"
    assert site.ask(piece_path)[0] == 404, "nor does it open a picture"
    assert site.bench.said == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_none(site: Site, method: str) -> None:
    """Whatever the link."""
    status, headers, _ = site.ask(site.path(), method)
    assert status == 405
    assert set(headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    ("headers", "body", "status", "sentence"),
    [
        (FORM, "verdict=maybe&by=anna", 400, "verdict: expected one of acknowledged, confirmed, rejected"),
        (FORM, "by=anna", 400, "verdict: expected one of"),
        (FORM, "verdict=rejected", 400, "by: expected the name of who says so, found none"),
        (FORM, "verdict=rejected&by=%E2%80%8B", 400, "by: expected the name of who says so, found none"),
        (FORM, f"verdict=rejected&by={'x' * 65}", 400, "by: expected 64 characters at most, found 65"),
        (FORM, f"verdict=rejected&by=a&why={'x' * 501}", 400, "why: expected 500 characters at most"),
        (FORM, "&".join(f"a{n}=1" for n in range(20)), 400, "expected 16 fields"),
        (FORM, b"verdict=rejected&by=%ff", 400, "in UTF-8, found something else"),
        (FORM, b"verdict=rejected&by=\xff", 400, "in UTF-8, found something else"),
        (FORM, b"", 400, "verdict: expected one of"),
        (JSON, "[]", 400, "expected a JSON object"),
        (JSON, "[" * 8000, 400, "expected a JSON object"),
        (JSON, '{"verdict": ["rejected"], "by": "anna"}', 400, "verdict: expected one of"),
        (JSON, '{"verdict": "rejected", "by": {"a": 1}}', 400, "by: expected a text"),
        (JSON, '{"verdict": "rejected", "by": "anna", "why": 7}', 400, "why: expected a text"),
        (JSON, " " * (BODY_BYTES + 1), 413, "expected 16384 bytes at most"),
        ({"Content-Type": "text/plain"}, "verdict=rejected&by=anna", 415, "expected application/x-www-form"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, "--x", 415, "expected application/x-www-form"),
        ({}, "verdict=rejected&by=anna", 415, "expected application/x-www-form"),
    ],
)  # fmt: skip
def test_what_is_no_verdict_is_refused_in_a_sentence(
    site: Site, headers: dict[str, str], body: str | bytes, status: int, sentence: str
) -> None:
    """To a program and on the page, and nothing is taken."""
    found, _, told = site.ask(site.path(), "POST", body, **headers)
    assert found == status
    assert sentence in json.loads(told)["error"]
    found, answered, told = site.ask(site.path(), "POST", body, **headers, **PAGE)
    assert (found, answered["referrer-policy"]) == (status, "no-referrer")
    assert sentence.partition("{")[0] in told
    assert site.bench.said == []


def test_what_a_guard_typed_is_not_lost_by_a_fault(site: Site) -> None:
    """The page comes back with his words in it."""
    _, _, body = site.post(FORM | PAGE, verdict="rejected", by="anna", why="x" * 501)
    assert 'value="anna"' in body
    assert "x" * 501 in body


def test_another_site_cannot_have_a_guard_s_browser_answer(site: Site) -> None:
    """Even one that knows the link, which it could not reach by itself."""
    for where in ("cross-site", "same-site"):
        status, _, _ = site.post(FORM | PAGE | {"Sec-Fetch-Site": where}, verdict="rejected", by="anna")
        assert status == 403
    assert site.bench.said == []
    status, _, _ = site.post(FORM | PAGE | {"Sec-Fetch-Site": "same-origin"}, verdict="rejected", by="anna")
    assert status == 200


def test_who_asks_too_often_waits_and_keeps_nobody_out(site: Site) -> None:
    """A flood from one address does not touch another one, nor another alarm, nor does one without a link count."""
    path = site.path()
    for _ in range(BURST + 5):
        site.ask(f"{path}0")
    found = [site.ask(path)[0] for _ in range(BURST + 3)]
    assert found[:BURST] == [200] * BURST
    assert 429 in found[BURST:]
    pace, now = Pace(), 1000.0
    assert [pace.admits("a", "1", now) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert pace.admits("a", "2", now)
    assert pace.admits("b", "1", now)
    assert not pace.admits("a", "1", now + EACH / 2)
    assert pace.admits("a", "1", now + EACH)
    assert not pace.admits("a", "1", now + EACH), "a refusal neither costs nor gives anything"
    for number in range(2 * REMEMBERED):
        pace.admits("a", f"x{number}", now)
    assert len(pace._even) == REMEMBERED


def test_who_says_too_much_waits_longer(site: Site) -> None:
    """Each word goes to every receiver, and a loop of them would push all else out of the record."""
    assert [site.post(FORM | PAGE, verdict="guilty", by="anna")[0] for _ in range(5)] == [400] * 5
    said = [site.post(FORM | PAGE, verdict="rejected", by=f"anna {n}") for n in range(SAID_BURST + 1)]
    assert [status for status, _, _ in said] == [200] * SAID_BURST + [429]
    assert said[-1][1]["retry-after"] == str(round(SAID_EACH))
    assert len(site.bench.said) == SAID_BURST
    assert site.ask(site.path(), **PAGE)[0] == 200, "the page is still shown"


@pytest.mark.parametrize("by", ["\ud800", "\udfffanna"])
def test_half_of_a_letter_is_refused_with_a_page(site: Site, by: str) -> None:
    """JSON may hold one, and a page cannot."""
    status, _, body = site.post(JSON | PAGE, verdict="guilty", by=by)
    assert status == 400
    assert "expected one of" in body


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Site]:
    """A site whose endpoint has users."""
    canary.watch(PASSWORD)
    known = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(
        f"basic_auth_users: {{anna: {known}, bob: {known}}}\n"
        "http_server_config: {headers: {Content-Security-Policy: \"default-src 'self'\"}}\n"
    )
    with serving(Site(Web(file, guarded=True))) as one:
        yield one


def login(name: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()}


def token_in(body: str) -> str:
    return body.partition('name="token" value="')[2].partition('"')[0]


def test_where_there_are_users_the_password_says_who_it_was(guarded: Site) -> None:
    """It is asked for before anything else, and what the form says about a name counts for nothing."""
    for method in ("GET", "POST"):
        assert guarded.ask(guarded.path(), method)[0] == 401
        assert guarded.ask("/alarm/nothing", method)[0] == 401
    status, headers, body = guarded.ask(guarded.path(), **PAGE, **login("anna"))
    assert status == 200
    assert "You are logged in as <b>anna</b>." in body
    assert "img-src 'self'" in headers["content-security-policy"], "the page's own, not that of the file"
    told = {"verdict": "rejected", "by": "the boss", "token": token_in(body)}
    status, _, body = guarded.post(FORM | PAGE | login("anna"), **told)
    assert status == 200
    assert guarded.bench.said == [Statement(Verdict.REJECTED, "anna", Via.LOGIN)]
    assert guarded.post(JSON | login("bob"), verdict="confirmed")[0] == 200
    assert guarded.bench.said[1:] == [Statement(Verdict.CONFIRMED, "bob", Via.LOGIN)]


def test_a_form_that_the_user_was_not_shown_is_refused(guarded: Site) -> None:
    """A browser adds the password to what another site has it send, but never what stands in a page of ours."""
    theirs = token_in(guarded.ask(guarded.path(), **PAGE, **login("bob"))[2])
    assert theirs
    for token in ({}, {"token": ""}, {"token": theirs}):
        status, _, body = guarded.post(FORM | PAGE | login("anna"), verdict="rejected", **token)
        assert (status, body) == (403, "expected a form that this user was shown, found another\n")
    assert guarded.bench.said == []


def test_before_anybody_takes_answers_a_guard_is_told_to_come_again() -> None:
    """While the daemon starts, and where there is no key: he is not told that there is nothing."""
    site = Site()
    site.endpoint.start()
    try:
        status, headers, _ = site.ask(site.path())
        assert (status, headers["retry-after"]) == (503, "5")
    finally:
        site.endpoint.stop(time.monotonic() + 5)


def test_links_stay_out_of_log_and_metrics(site: Site) -> None:
    """Whatever comes of them."""
    path = site.path()
    with capture_logs() as lines:
        for each in (path, f"{path}0"):
            site.ask(each)
            site.post(JSON, each, verdict="rejected", by="anna")
            site.post(JSON, each, verdict="maybe", by="anna")
        page = site.ask("/metrics")[2]
    signature = path.rpartition("=")[2]
    assert signature not in str(lines) + page
    assert ALARM not in page
