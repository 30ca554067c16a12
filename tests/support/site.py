"""Configurations of small sites, as an installer would write them."""

from pathlib import Path
from typing import Any

from support.receiver import Receiver

VISIT = {
    "name": "visit",
    "classes": ["block"],
    "min_score": 0.5,
    "confirm": {"hits": 3, "of": 5, "within": "1s"},
    "end_after": "1s",
    "repeat_every": 0,
}
"""Three sightings in five frames; the alarm ends a second after the last."""


def stream(name: str, source: str, **more: Any) -> dict[str, Any]:
    """A stream that the rule `visit` watches, its light left alone so that the block model sees what was drawn."""
    return {"name": name, "source": source, "light": {"mode": "off"}, "rules": ["visit"], **more}


def site(
    model: Path,
    receiver: Receiver,
    *streams: dict[str, Any],
    events: tuple[str, ...] = ("alarm.*",),
    **rule: Any,
) -> dict[str, Any]:
    """Some streams, one rule, one webhook."""
    return {
        "detector": {"model": str(model)},
        "streams": list(streams),
        "rules": [{**VISIT, **rule}],
        "webhooks": [webhook("hook", receiver, events=events)],
    }


def webhook(name: str, receiver: Receiver, *, events: tuple[str, ...] = ("alarm.*",)) -> dict[str, Any]:
    """A webhook that sends to a receiver, with the secret where a test may have it."""
    return {"name": name, "url": receiver.url, "secret": receiver.secret, "events": list(events)}
