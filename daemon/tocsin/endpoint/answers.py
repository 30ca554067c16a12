"""Where a guard answers an alarm by its link: a page to look at, and the verdict that is sent from it.

Looking changes nothing, for previews of messages and scanners of mail follow links, too.
"""

import asyncio
import json
import time
from collections import OrderedDict
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from tocsin.deliver.act import Via
from tocsin.deliver.judging import Case, Given, Statement
from tocsin.deliver.notation import Json, stamp
from tocsin.deliver.verdict import MOST_BY, MOST_WHY, verdict_of, words_of
from tocsin.endpoint.answerpage import POLICY, Form, Notice, Tone, page
from tocsin.endpoint.invitations import Invitations
from tocsin.errors import ControlError, InputError, OutboxError

BODY_BYTES = 16 * 1024
MOST_FIELDS = 16

BURST = 20
EACH = 2.0
"""Requests about one alarm that one person may make at once, and the seconds after which there is one more."""

SAID_BURST = 10
SAID_EACH = 60.0
"""The same of what is said: each word goes to every receiver, and into a record that drops its oldest entries."""

REMEMBERED = 1_000
"""Persons and alarms of which it is known how often they asked, those who asked last."""

HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


class Bench(Protocol):
    """Knows alarms and takes what is said about them; blocks for a second at most, and raises TocsinError."""

    def case(self, alarm_id: str) -> Case | None: ...
    def give(self, alarm_id: str, said: Statement) -> Given | None: ...


class Pace:
    """How often each may ask: as often as `burst` at once, and then every `each` seconds.

    Each is counted by himself, so that nobody keeps another out.
    """

    def __init__(self, burst: int = BURST, each: float = EACH) -> None:
        self._burst, self._each = burst, each
        self._even: OrderedDict[tuple[str, str], float] = (
            OrderedDict()
        )  # when each has asked too often no more

    def admits(self, alarm_id: str, who: str, now: float) -> bool:
        """Count a request at that monotonic time; False where it is one too many."""
        even = max(self._even.pop((alarm_id, who), now), now) + self._each
        admitted = even <= now + self._burst * self._each
        self._even[alarm_id, who] = even if admitted else even - self._each
        if len(self._even) > REMEMBERED:
            self._even.popitem(last=False)
        return admitted


class Answers:
    """Answers requests to the page of an alarm."""

    def __init__(self) -> None:
        self._open: tuple[Invitations, Bench] | None = None  # set once, before anything has a link
        self._pace, self._said = Pace(), Pace(SAID_BURST, SAID_EACH)

    def begin(self, invitations: Invitations, bench: Bench) -> None:
        """Show alarms to whoever has a link that was made there, and hand on what they say."""
        self._open = invitations, bench

    async def serve(self, request: Request) -> Response:
        """Answer a GET by the page and a POST by what came of it; 404 without a good link to an alarm.

        A POST is answered by 200 when the verdict is on the disk, and by 202 when it is on its way there.
        """
        response = await self._answer(request)
        response.headers.update(HEADERS)
        return response

    async def _answer(self, request: Request) -> Response:
        alarm_id, query = str(request.path_params["alarm_id"]), request.query_params
        given = alarm_id, query.get("expires", ""), query.get("signature", "")
        if self._open is None:  # at a start, and where there is no key
            return PlainTextResponse("answers are not taken now: try again\n", 503, {"retry-after": "5"})
        if not self._open[0].is_good(*given, now=time.time()):
            return _nothing()
        if not self._pace.admits(alarm_id, _who(request), time.monotonic()):
            return _wait(EACH)
        visit = _Visit(request, alarm_id, *self._open, self._said)
        try:
            return await (visit.take() if request.method == "POST" else visit.show())
        except (ControlError, OutboxError) as error:
            what = "this was not taken" if request.method == "POST" else "this cannot be shown"
            return PlainTextResponse(f"{what}, try again: {error}\n", 503, {"retry-after": "5"})
        except ClientDisconnect:
            return PlainTextResponse("", 400)  # nobody is there to read it


class _Visit:
    """One request by a good link; `pace` is that of what is said."""

    def __init__(
        self, request: Request, alarm_id: str, invitations: Invitations, bench: Bench, pace: Pace
    ) -> None:
        self._request = request
        self._alarm_id = alarm_id
        self._invitations = invitations
        self._bench = bench
        self._pace = pace
        self._user: str | None = getattr(request.state, "user", None)

    async def show(self) -> Response:
        return await self._shown(200)

    async def take(self) -> Response:
        """Take a verdict from a form or from JSON."""
        request = self._request
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return self._refused(403, "expected a form of this page, found one of another site")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (_FORM, _JSON):
            return self._refused(415, f"expected {_FORM} or {_JSON}, found another type")
        body = await self._body()
        if body is None:
            return self._refused(413, f"expected {BODY_BYTES} bytes at most, found more")
        told: Json = {}
        try:
            told = _read_form(body) if kind == _FORM else _read_json(body)
            if kind == _FORM and not self._is_from_page(told):
                return self._refused(403, "expected a form that this user was shown, found another")
            said = self._statement(told)
        except InputError as error:
            return await self._shown(400, told, Notice(Tone.REFUSED, str(error)))
        if not self._pace.admits(self._alarm_id, _who(request), time.monotonic()):
            return _wait(SAID_EACH)
        given = await asyncio.to_thread(self._bench.give, self._alarm_id, said)
        if given is None:
            return _nothing()
        status = 200 if given.durable else 202
        if not self._wants_page:
            return JSONResponse(given.as_json(), status)
        return await self._shown(status, {"by": said.by}, _notice(given, datetime.now().astimezone()))

    def _statement(self, told: Json) -> Statement:
        verdict, why = verdict_of(told.get("verdict")), words_of(told.get("why") or "", "why", MOST_WHY)
        if self._user is not None:
            return Statement(verdict, self._user, Via.LOGIN, why)
        by = words_of(told.get("by") or "", "by", MOST_BY)
        if not by:
            raise InputError("by: expected the name of who says so, found none")
        return Statement(verdict, by, Via.LINK, why)

    def _is_from_page(self, told: Json) -> bool:
        """Whether no other site has this user's browser send the form: it adds the password without being asked."""
        return self._user is None or self._invitations.is_token(
            self._alarm_id, self._user, told.get("token", "")
        )

    async def _shown(self, status: int, told: Json | None = None, notice: Notice | None = None) -> Response:
        """Return the page, or its facts for a program."""
        if notice is not None and notice.tone is Tone.REFUSED and not self._wants_page:
            return self._refused(status, notice.text)
        case = await asyncio.to_thread(self._bench.case, self._alarm_id)
        if case is None:
            return _nothing()
        if not self._wants_page:
            return JSONResponse(_facts(case), status)
        # JSON may hold half of a letter, with which no page can be sent
        said = {key: str((told or {}).get(key) or "") for key in ("by", "why")}
        filled = {key: text.encode(errors="replace").decode() for key, text in said.items()}
        token = "" if self._user is None else self._invitations.token(self._alarm_id, self._user)
        return HTMLResponse(
            page(case, datetime.now().astimezone(), Form(self._user, token, **filled), notice), status
        )

    def _refused(self, status: int, why: str) -> Response:
        return (
            PlainTextResponse(f"{why}\n", status)
            if self._wants_page
            else JSONResponse({"error": why}, status)
        )

    @property
    def _wants_page(self) -> bool:
        return "text/html" in self._request.headers.get("accept", "")

    async def _body(self) -> bytes | None:
        """Return what was sent, or None for too much of it."""
        received = bytearray()
        async for part in self._request.stream():
            received += part
            if len(received) > BODY_BYTES:
                return None
        return bytes(received)


def _read_form(body: bytes) -> Json:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InputError(
            f"expected {MOST_FIELDS} fields of a form at most, in UTF-8, found something else"
        ) from None
    return dict(pairs)


def _read_json(body: bytes) -> Json:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise InputError(
            'expected a JSON object such as {"verdict": "rejected", "by": "anna"}, found something else'
        )
    return told


def _facts(case: Case) -> Json:
    """Return what the page shows."""
    record = case.record
    facts = {key: value for key, value in record.alarm.payload().items() if key != "respond"}
    said = [
        {**one.judgement.as_json(), "via": None if one.via is None else one.via.value} for one in case.said
    ]
    return {**facts, "raised": stamp(record.opened), "said": said}


def _notice(given: Given, now: datetime) -> Notice:
    alarm, before = given.record.alarm, given.before
    assert alarm.judged is not None, "what was said stands"
    stood = "" if before is None else f" {before.sentence(now)}."
    if given.repeated:
        text = f"That was known:{stood} Nothing was sent again."
    else:
        text = f"Taken: {alarm.judged.verdict}." + (f" Before that{stood}" if stood else "")
    if given.durable:
        return Notice(Tone.DONE, text)
    return Notice(
        Tone.DOUBT, f"{text} It is not on the disk yet, and would be lost with the machine's power."
    )


def _who(request: Request) -> str:
    """Return the user, or where the request comes from: of IPv6 the network, for one machine has many addresses."""
    if (user := getattr(request.state, "user", None)) is not None:
        return f"user {user}"
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ip_network((address, 64), strict=False))


def _wait(seconds: float) -> Response:
    return PlainTextResponse("wait a moment, and try again\n", 429, {"retry-after": str(round(seconds))})


def _nothing() -> Response:
    return PlainTextResponse(
        "there is nothing here: a link is good whole, and for as long as pictures are kept\n", 404
    )
