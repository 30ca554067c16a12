"""What was seen of a recording's light, in words and numbers: for people and for programs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tocsin.eyesight.impairment import Impairment
from tocsin.frame import Light
from tocsin.lightcard.facts import Exhibit, Facts
from tocsin.lightcard.losses import Lost
from tocsin.lightcard.sight import unseen
from tocsin.lightcard.timeline import Change, Moment, Span

_CHANGES_PRINTED = 10
_WORDS = {
    "p50": "p50 (median)",
    "clipped_low": "clipped black",
    "clipped_high": "clipped white",
    "colour": "coloured",
    "infrared": "grey, as infrared",
}
_SHARES = frozenset({"clipped_low", "clipped_high", "colour"})
_UNTOUCHED = frozenset({"colour", "infrared"})
_LEVELS = frozenset({"mean", "p1", "p50", "p99"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What was looked at: the recording, in which mode, in which simulated light ("as-recorded" for none).

    `read` counts the pictures that were read; `lost` is what could not be.
    """

    recording: Path
    mode: str
    condition: str
    read: int
    lost: Lost


def numbers(before: Light, after: Light) -> list[tuple[str, str, str]]:
    """Return each measured number with its name, as a person reads them.

    The second is empty for what no correction changes, which are the colours.
    """
    written, later = [], _values(after)
    for name, value in _values(before).items():
        now = "" if name in _UNTOUCHED else _written(name, later[name])
        written.append((_WORDS.get(name, name), _written(name, value), now))
        if name == "p99":
            written.append(("contrast (p99 - p1)", f"{before.contrast:.0f}", f"{after.contrast:.0f}"))
    return written


def _values(light: Light) -> dict[str, bool | float]:
    """Return what was measured, and what follows from the colours, by its name in the vocabulary."""
    measured = {field.name: float(getattr(light, field.name)) for field in fields(light)}
    return {**measured, "infrared": light.infrared}


def _written(name: str, value: bool | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in _SHARES:
        return f"{value:.1%}"
    return f"{value:.0f}" if name in _LEVELS else f"{value:.1f}"


def clock(seconds: float, tenths: bool = False) -> str:
    """Return a time in a recording as a player shows it: 0:07.4, 12:30, 1:02:30; with `tenths` also 12:30.0."""
    minutes, rest = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    whole, tenth = divmod(rest, 10)
    second = f"{whole:02}.{tenth}" if tenth or tenths else f"{whole:02}"
    return f"{hours}:{minutes:02}:{second}" if hours else f"{minutes}:{second}"


def readable(path: Path) -> str:
    """Return a path as it can be printed: a file may have a name that is no text."""
    return str(path).encode(errors="replace").decode()


def size_of(exhibit: Exhibit) -> str:
    """Say how large the picture was and how large the detector gets it."""
    height, width = exhibit.before.shape[0] * 2 // 3, exhibit.before.shape[1]
    return f"{exhibit.width}x{exhibit.height}, the detector gets {width}x{height}"


_UNSEEN = {
    Impairment.TOO_DARK: "too dark to be seen",
    Impairment.TOO_BRIGHT: "too bright to be seen",
    Impairment.NO_CONTRAST: "too little contrast to be seen",
}


def unseen_words(moment: Moment) -> str:
    """Say that a picture cannot be seen, and what that would lead to; nothing for one that can."""
    found = unseen(moment.light)
    return "" if found is None else f"{_UNSEEN[found]}: lasting, it would be stream.impaired"


def circumstances(asked: Asked) -> str:
    """Say in which mode, and in which simulated light."""
    simulated = "" if asked.condition == "as-recorded" else f", simulated light: {asked.condition}"
    return f"light mode {asked.mode}{simulated}"


def about_picture(exhibit: Exhibit, asked: Asked) -> str:
    """Say what is known about one picture beside its light; of a recording, which of its frames it is."""
    of = f"1 of {asked.read} frames treated, at {clock(exhibit.moment.at)}" if asked.read > 1 else ""
    return "; ".join(
        part for part in (of, *asked.lost.words(), size_of(exhibit), circumstances(asked)) if part
    )


def picture_table(exhibit: Exhibit, asked: Asked) -> Iterator[str]:
    """Yield the lines that tell of one picture."""
    moment = exhibit.moment
    yield f"{readable(asked.recording)}: {about_picture(exhibit, asked)}"
    yield ""
    yield f"{'luma, 0 to 255':<22}{'before':>8}{'after':>8}"
    for word, before, after in numbers(moment.light, exhibit.light_after):
        yield f"{word:<22}{before:>8}{after:>8}".rstrip()
    yield ""
    yield f"correction: {moment.correction}{_because(moment.reason)}"
    if words := unseen_words(moment):
        yield words


def recording_table(facts: Facts, asked: Asked) -> Iterator[str]:
    """Yield the lines that tell of a recording."""
    yield f"{readable(asked.recording)}: {extent(facts, asked)}"
    yield f"{size_of(facts.exhibits[0])}; {circumstances(asked)}"
    yield ""
    yield f"{'correction':<23}{'frames':>8}{'share':>8}  reason"
    for (correction, reason), frames in sorted(facts.reasons.items(), key=lambda one: -one[1]):
        yield f"{correction:<23}{frames:>8}{frames / facts.treated:>8.1%}  {reason}".rstrip()
    yield ""
    yield from _unseen_lines(facts)
    mean, contrast = averages(facts)
    yield f"before, on average: mean luma {mean:.0f}, contrast {contrast:.0f}"
    yield steadiness(facts)
    for change in facts.changes[:_CHANGES_PRINTED]:
        yield f"  {clock(change.at, tenths=True):>9}  {change.before} -> {change.after}{_because(change.reason)}"
    if facts.change_count > _CHANGES_PRINTED:
        yield f"  and {facts.change_count - _CHANGES_PRINTED} more"


def _unseen_lines(facts: Facts) -> Iterator[str]:
    """Yield what cannot be seen of a recording, and what the daemon would send."""
    if not facts.unseen:
        return
    counted = ", ".join(f"{frames} {reason}" for reason, frames in facts.unseen.items())
    outcome = "" if facts.impaired else "; too few in a row for stream.impaired"
    yield f"frames that cannot be seen: {counted}{outcome}"
    for stretch in facts.impaired[:_CHANGES_PRINTED]:
        lasts = f"{clock(stretch.begins, tenths=True)} to {clock(stretch.ends, tenths=True)}"
        over = "" if stretch.restored is None else f", stream.restored at {clock(stretch.restored)}"
        yield f"  {lasts} {stretch.reason}: stream.impaired at {clock(stretch.reported)}{over}"
    if len(facts.impaired) > _CHANGES_PRINTED:
        yield f"  and {len(facts.impaired) - _CHANGES_PRINTED} more"
    yield ""


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def extent(facts: Facts, asked: Asked) -> str:
    """Say how long the recording is and how much of it was treated."""
    long = f"{clock(facts.spans[-1].ends)} long, {facts.treated} of {asked.read} frames treated"
    return "; ".join((long, *asked.lost.words()))


def steadiness(facts: Facts) -> str:
    """Say how often the correction changed."""
    most = f" (at most {facts.busiest} within ten seconds)" if facts.change_count > 1 else ""
    return f"changes of correction: {facts.change_count}{most}"


def averages(facts: Facts) -> tuple[float, float]:
    """Return the mean and the contrast before any correction, averaged over all treated pictures."""
    mean = sum(span.mean * span.pictures for span in facts.spans) / facts.treated
    contrast = sum(span.contrast * span.pictures for span in facts.spans) / facts.treated
    return mean, contrast


def picture_json(exhibit: Exhibit, asked: Asked) -> dict[str, Any]:
    """Return what is known of one picture, for a program."""
    return {
        **_asked_json(asked, exhibit),
        "before": _light_json(exhibit.moment.light),
        "after": _light_json(exhibit.light_after),
        "correction": exhibit.moment.correction.value,
        "reason": exhibit.moment.reason,
        "cannot_be_seen": unseen(exhibit.moment.light),
        "frames": _frames_json(asked, 1),
    }


def recording_json(facts: Facts, asked: Asked) -> dict[str, Any]:
    """Return what is known of a recording, for a program; times in seconds from its start."""
    return {
        **_asked_json(asked, facts.exhibits[0]),
        "seconds": facts.spans[-1].ends,
        "frames": _frames_json(asked, facts.treated),
        "corrections": [
            {"correction": correction.value, "reason": reason, "frames": frames}
            for (correction, reason), frames in facts.reasons.items()
        ],
        "cannot_be_seen": {
            "frames": {reason.value: frames for reason, frames in facts.unseen.items()},
            "impaired": [asdict(stretch) for stretch in facts.impaired],
        },
        "changes": {
            "count": facts.change_count,
            "most_in_ten_seconds": facts.busiest,
            "first": [_change_json(change) for change in facts.changes],
        },
        "timeline": [_span_json(span) for span in facts.spans],
    }


def _asked_json(asked: Asked, exhibit: Exhibit) -> dict[str, Any]:
    return {
        "recording": readable(asked.recording),
        "mode": asked.mode,
        "condition": asked.condition,
        "size": [exhibit.width, exhibit.height],
        "input": [exhibit.before.shape[1], exhibit.before.shape[0] * 2 // 3],
    }


def _frames_json(asked: Asked, treated: int) -> dict[str, Any]:
    lost = asked.lost
    return {
        "read": asked.read,
        "treated": treated,
        "skipped": lost.skipped,
        "damaged": lost.damaged,
        "gaps": lost.gaps,
        "seconds_in_gaps": round(lost.silent, 1),
        "seconds_missing": round(lost.missing, 1),
    }


def _light_json(light: Light) -> dict[str, Any]:
    return {**_values(light), "contrast": light.contrast}


def _change_json(change: Change) -> dict[str, Any]:
    return {"at": change.at, "from": change.before.value, "to": change.after.value, "reason": change.reason}


def _span_json(span: Span) -> dict[str, Any]:
    return {
        "from": span.begins,
        "to": span.ends,
        "mean": round(span.mean, 1),
        "p1": round(span.p1, 1),
        "p99": round(span.p99, 1),
        "contrast": round(span.contrast, 1),
        "corrections": {correction.value: frames for correction, frames in span.corrections.items()},
    }
