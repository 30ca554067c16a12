"""The page on which a guard looks at one alarm and says what it was: made for a telephone, at night, in a hurry.

Pure, and without a script. Every word that comes from elsewhere is escaped: classes come from models, names and
reasons from whoever had the link.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from html import escape
from urllib.parse import urlsplit

from tocsin.deliver.act import Via
from tocsin.deliver.alarmdata import AlarmData, AlarmRecord
from tocsin.deliver.judging import Case, Said
from tocsin.deliver.verdict import MOST_BY, MOST_WHY, Verdict, ago


class Tone(StrEnum):
    """How a notice looks: the word in the page."""

    DONE = "done"
    DOUBT = "doubt"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Notice:
    """What came of what the guard has just sent."""

    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class Form:
    """What stands in the form: the `user` is known by a password, or whoever it is says so `by` himself."""

    user: str | None = None
    token: str = ""
    by: str = ""
    why: str = ""


_BUTTONS = {
    Verdict.ACKNOWLEDGED: ("Acknowledge", "I look after it"),
    Verdict.CONFIRMED: ("Confirm", "it is real"),
    Verdict.REJECTED: ("Reject", "it is false"),
}
"""The mildest first: nobody hits the others by reaching for the nearest."""

_VIA = {
    Via.COMMAND: "at the machine",
    Via.LOGIN: "by password",
    Via.LINK: "by link",
    Via.DAEMON: "by itself",
}

_STYLE = """
:root{color-scheme:light dark;--page:#f3f4f6;--card:#fff;--ink:#15191f;--soft:#5b6472;--line:#d6dae1;
--critical:#b3121d;--warning:#9a4a00;--info:#1c5fbf;--confirmed:#b3121d;--rejected:#44505e;--acknowledged:#1c5fbf;
--done:#e2f3e6;--doubt:#fdf0d5;--refused:#fbe1e1}
@media(prefers-color-scheme:dark){:root{--page:#0e1217;--card:#181e26;--ink:#e9edf2;--soft:#9aa5b3;--line:#2d3642;
--critical:#c4323b;--warning:#a35a0c;--info:#2f6cc4;--confirmed:#c4323b;--rejected:#5b6878;--acknowledged:#3470c7;
--done:#173524;--doubt:#3d300f;--refused:#451c1e}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.4 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:40rem;margin:0 auto}
header{padding:.8rem 1rem;color:#fff;background:var(--info)}
header.critical{background:var(--critical)}header.warning{background:var(--warning)}
h1{margin:.1rem 0;font-size:1.35rem;line-height:1.2}
header p{margin:.1rem 0}
.tags{font-size:.8rem;font-weight:700;letter-spacing:.06em;text-transform:uppercase}
.tags b{margin-left:.6rem;padding:0 .45rem;border-radius:.3rem;background:#fff;color:#15191f}
.notice{margin:0;padding:.8rem 1rem;font-weight:600}
.done{background:var(--done)}.doubt{background:var(--doubt)}.refused{background:var(--refused)}
ol{margin:0;padding:0;list-style:none;background:var(--card)}
li{padding:.6rem 1rem;border-bottom:1px solid var(--line);border-left:.5rem solid var(--line)}
li.confirmed{border-left-color:var(--confirmed)}li.rejected{border-left-color:var(--rejected)}
li.acknowledged{border-left-color:var(--acknowledged)}
li:first-child b{text-transform:uppercase;letter-spacing:.04em}
li small,.soft{color:var(--soft)}
li small{white-space:nowrap}
figure{margin:0;background:#000;color:#c9d1db}
figure img{display:block;width:100%;max-height:45vh;min-height:5rem;object-fit:contain;font-size:.9rem;
text-align:center}
a:first-child>img{max-height:28vh}
figcaption{padding:.4rem 1rem .6rem;font-size:.9rem}
figure a{color:#9cc4ff}figcaption a{margin-right:1rem;display:inline-block;padding:.2rem 0}
.fields{padding:.8rem 1rem;background:var(--card)}
label{display:block;margin-bottom:.6rem;font-weight:600}
label span{font-weight:400;color:var(--soft)}
input,textarea{display:block;width:100%;margin-top:.2rem;padding:.6rem;border:1px solid var(--soft);
border-radius:.4rem;background:var(--page);color:var(--ink);font:inherit}
.buttons{position:sticky;bottom:0;display:flex;gap:.5rem;background:var(--card);border-top:1px solid var(--line);
padding:.6rem 1rem calc(.6rem + env(safe-area-inset-bottom))}
button{flex:1 1 auto;min-height:3.6rem;padding:.3rem;border:0;border-radius:.5rem;color:#fff;font:inherit;
font-size:.95rem;font-weight:700;overflow-wrap:normal}
button small{display:block;font-weight:400}
button.confirmed{background:var(--confirmed)}button.rejected{background:var(--rejected)}
button.acknowledged{background:var(--acknowledged)}
button:focus-visible,input:focus-visible,textarea:focus-visible,a:focus-visible{outline:3px solid #ffb000}
[hidden]{display:none}
"""

POLICY = (
    f"default-src 'none'; img-src 'self'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""What a browser may load and run of the page: its own style, pictures from here, and no script whatever."""


def page(case: Case, now: datetime, form: Form, notice: Notice | None = None) -> str:
    """Return the page; times are told by the clock of `now`'s zone."""
    alarm = case.record.alarm
    said = "".join(_said(one, now) for one in case.said)
    silent = '<li class="soft">Nobody has said anything about it yet.</li>'
    told = (
        "" if notice is None else f'<p class="notice {notice.tone}" role="status">{escape(notice.text)}</p>'
    )
    stands = "" if alarm.judged is None else f"{alarm.judged.verdict.capitalize()}: "
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex"><meta name="referrer" content="no-referrer">'
        f"<title>{escape(f'{stands}{alarm.class_name} at {alarm.stream}')}</title><style>{_STYLE}</style></head>"
        f"<body><main>{_head(case.record, now)}{told}<ol>{said or silent}</ol>"
        f'<form method="post">{_pictures(alarm)}{_fields(form)}{_buttons()}</form></main></body></html>\n'
    )


def _head(record: AlarmRecord, now: datetime) -> str:
    alarm = record.alarm
    where = " / ".join(part for part in (alarm.stream, alarm.zone) if part)
    tags = "".join(
        f"<b>{word}</b>" for word, is_so in (("test", alarm.test), ("silenced", alarm.silenced)) if is_so
    )
    over = "It is still open." if record.ended is None else f"Not seen since {_clock(record.ended, now)}."
    seconds = (now - record.opened).total_seconds()
    return (
        f'<header class="{escape(alarm.severity)}"><p class="tags">{escape(alarm.severity)}{tags}</p>'
        f"<h1>{escape(alarm.class_name)} at {escape(where)}</h1>"
        f"<p>{escape(alarm.rule)}, {_clock(record.opened, now)} ({ago(seconds)})</p>"
        f"<p>{over} Alarm {escape(alarm.alarm_id[-8:])}.</p></header>"
    )


def _said(said: Said, now: datetime) -> str:
    one = said.judgement
    seconds = (now - one.at).total_seconds()
    via = "" if said.via is None else f", {_VIA[said.via]}"
    why = f"<br>{escape(one.why)}" if one.why else ""
    return (
        f'<li class="{one.verdict}"><b>{one.verdict}</b> by {escape(one.by or "somebody")} '
        f"<small>{ago(seconds)}{via}</small>{why}</li>"
    )


def _pictures(alarm: AlarmData) -> str:
    """Return the crop and the frame, and links to the rest; the pictures of an alarm have links of their own."""
    kept = {kind: _here(url) for kind, url in (alarm.picture or {}).items() if kind != "expires"}
    if not kept:
        return '<p class="notice soft">No picture is kept of this alarm.</p>'
    if "crop" not in kept:  # a clip alone
        return f'<figure><figcaption><a href="{kept["url"]}">The clip</a></figcaption></figure>'
    what = escape(f"{alarm.class_name} at {alarm.stream}")
    shown = "".join(
        f'<a href="{kept[kind]}"><img src="{kept[kind]}" alt="{which} of {what}: not there, or not yet"></a>'
        for kind, which in (("crop", "The crop"), ("url", "The frame"))
    )
    others = (("first", "First sighting"), ("corrected", "In the detector's light"), ("clip", "Clip"))
    links = "".join(f'<a href="{kept[kind]}">{words}</a>' for kind, words in others if kind in kept)
    return f"<figure>{shown}<figcaption>{links}</figcaption></figure>"


def _here(url: str) -> str:
    """Return the address of a picture as seen from the page, whatever the name by which the page was found."""
    parts = urlsplit(url)
    return escape(f"{parts.path}?{parts.query}")


def _fields(form: Form) -> str:
    if form.user is None:
        who = (
            f'<label>Your name<input name="by" value="{escape(form.by)}" maxlength="{MOST_BY}" required '
            'autocomplete="name" autocapitalize="words" enterkeyhint="next"></label>'
        )
    else:
        who = f'<p>You are logged in as <b>{escape(form.user)}</b>.</p><input type="hidden" name="token" '
        who += f'value="{escape(form.token)}">'
    return (
        # Disabled, and first: a browser then sends nothing when Enter is pressed in a field.
        f'<div class="fields"><button type="submit" disabled hidden></button>{who}'
        f'<label>Why <span>(if you like)</span><textarea name="why" rows="2" maxlength="{MOST_WHY}">'
        f"{escape(form.why)}</textarea></label></div>"
    )


def _buttons() -> str:
    return (
        '<div class="buttons">'
        + "".join(
            f'<button class="{verdict}" name="verdict" value="{verdict}">{word}<small>{meaning}</small></button>'
            for verdict, (word, meaning) in _BUTTONS.items()
        )
        + "</div>"
    )


def _clock(at: datetime, now: datetime) -> str:
    """Return a time of the day, with the day where that is another one."""
    here, today = at.astimezone(now.tzinfo), now.date()
    return here.strftime("%H:%M:%S %Z" if here.date() == today else "%a %d %b %Y, %H:%M:%S %Z").strip()
