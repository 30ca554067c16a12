"""The page on which a guard answers: what it says, and that nobody's words become more than words."""

import base64
import hashlib
import re
from dataclasses import replace
from datetime import timedelta, timezone
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from support.events import ALARM, NOON, ended_alarm, judged, open_alarm
from tocsin.deliver.act import Via
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.judging import Case, Said
from tocsin.deliver.verdict import Verdict
from tocsin.endpoint.answerpage import POLICY, Form, Notice, Tone, page

NOW = NOON.astimezone(timezone(timedelta(hours=1), "CET")) + timedelta(minutes=3)
PICTURE = {
    "url": "https://cams.example/evidence/aa?expires=1&signature=2",
    "corrected": "https://cams.example/evidence/bb?expires=1&signature=3",
    "crop": "https://cams.example/evidence/cc?expires=1&signature=4",
    "first": "https://cams.example/evidence/dd?expires=1&signature=5",
    "clip": "https://cams.example/evidence/ee?expires=1&signature=6",
    "expires": "2026-11-24T12:00:00.000Z",
}
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "p",
        "b",
        "h1",
        "ol",
        "li",
        "br",
        "small",
    ),
    *("figure", "a", "img", "figcaption", "form", "div", "button", "label", "span", "input", "textarea"),
}
NASTY = st.sampled_from(
    ["<script>alert(1)</script>", "\" onerror='x'", "'><img src=//evil>", "</textarea>", "&lt;"]
)
WORDS = NASTY | st.text(max_size=20)


class Read(HTMLParser):
    """A page as a browser reads it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def pictured(record: AlarmRecord) -> AlarmRecord:
    return replace(record, alarm=replace(record.alarm, picture=PICTURE))


def test_it_says_what_where_when_and_who_said_what() -> None:
    """By the clock on the wall, and how long ago; the latest verdict first and in the title."""
    said = (Said(judged(Verdict.REJECTED), Via.LINK), Said(judged(Verdict.CONFIRMED, "bob", ""), None))
    record = ended_alarm()
    record = replace(record, alarm=replace(record.alarm, judged=judged(Verdict.REJECTED), test=True))
    text = page(Case(record, said), NOW, Form())
    assert "<title>Rejected: person at entrance</title>" in text
    assert "<h1>person at entrance / doorway</h1>" in text
    assert "intruder, 13:00:00 CET (3 min ago)" in text
    assert "Not seen since 13:01:00 CET." in text
    assert text.index("rejected</b> by anna <small>3 min ago, by link</small><br>a mop") < text.index(
        "confirmed</b> by bob <small>3 min ago</small></li>"
    )
    assert "<b>test</b>" in text
    silent = page(Case(open_alarm(), ()), NOW + timedelta(days=1), Form())
    assert "Nobody has said anything about it yet." in silent
    assert "Sat 21 Nov 2026, 13:00:00 CET (24 h ago)</p><p>It is still open. Alarm " in silent
    assert "<b>test</b>" not in silent


def test_pictures_are_shown_from_where_the_page_is() -> None:
    """By whatever name the page was found, and by the links of their own, each escaped."""
    read = Read(page(Case(pictured(open_alarm()), ()), NOW, Form()))
    assert [one["src"] for one in read.all("img")] == [
        "/evidence/cc?expires=1&signature=4",
        "/evidence/aa?expires=1&signature=2",
    ]
    assert [str(one["href"])[:12] for one in read.all("a")] == [f"/evidence/{c}{c}" for c in "cadbe"]
    without = page(Case(open_alarm(), ()), NOW, Form())
    assert "No picture is kept of this alarm." in without
    clip = {"url": PICTURE["clip"], "expires": PICTURE["expires"]}
    alone = Read(page(Case(replace(open_alarm(), alarm=replace(ALARM, picture=clip)), ()), NOW, Form()))
    assert (len(alone.all("img")), len(alone.all("a"))) == (0, 1)


def test_three_buttons_send_a_verdict_and_the_enter_key_sends_none() -> None:
    """The first button of the form is the one that the key would press, and it is disabled."""
    read = Read(page(Case(open_alarm(), ()), NOW, Form(by="anna", why="a mop")))
    first, *buttons = read.all("button")
    assert "disabled" in first
    assert [(one["name"], one["value"]) for one in buttons] == [("verdict", word) for word in Verdict]
    assert read.all("form") == [{"method": "post"}], "to the very address of the page"
    (field,) = read.all("input")
    assert (field["name"], field["value"], "required" in field) == ("by", "anna", True)
    assert "a mop" in read.text


def test_who_is_logged_in_is_not_asked_for_a_name() -> None:
    """The form has what only a page that was shown to him has."""
    read = Read(page(Case(open_alarm(), ()), NOW, Form(user="anna", token="t0k3n")))
    (field,) = read.all("input")
    assert (field["name"], field["type"], field["value"]) == ("token", "hidden", "t0k3n")


def test_the_browser_is_told_to_load_nothing_else() -> None:
    """The style that is allowed is the one in the page, by its digest; no script is."""
    text = page(Case(pictured(open_alarm()), ()), NOW, Form())
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules == {
        "default-src": "'none'",
        "img-src": "'self'",
        "style-src": f"'sha256-{digest}'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert " style=" not in text
    assert "http" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


@given(st.lists(WORDS, min_size=8, max_size=8), st.sampled_from(Tone))
def test_words_stay_words(words: list[str], tone: Tone) -> None:
    """Whatever a class, zone, name, reason, address or field holds: no tag and no attribute comes of it."""
    class_name, zone, by, why, address, field, reason, severity = words
    picture = {**PICTURE, "crop": f"https://cams.example/evidence/x?{address}"}
    alarm = replace(ALARM, class_name=class_name, zone=zone, picture=picture, severity=severity)
    case = Case(replace(open_alarm(), alarm=alarm), (Said(judged(Verdict.REJECTED, by, why), Via.LINK),))
    form = Form(user=None if tone is Tone.DONE else field, token=field, by=field, why=field)
    read = Read(page(case, NOW, form, Notice(tone, reason)))
    assert {tag for tag, _ in read.tags} <= TAGS
    known = {
        "charset",
        "name",
        "content",
        "lang",
        "class",
        "role",
        "method",
        "href",
        "src",
        "alt",
        "type",
        "value",
    }
    known |= {
        "disabled",
        "hidden",
        "maxlength",
        "required",
        "autocomplete",
        "autocapitalize",
        "enterkeyhint",
        "rows",
    }
    assert {name for _, attributes in read.tags for name in attributes} <= known
    assert all(str(one["src"]).startswith("/evidence/") for one in read.all("img"))
