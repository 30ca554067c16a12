"""What the configuration file of a small site says, and how it changes at random."""

import json
import random
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

STREAMS = 3

Key = tuple[str, str]
"""A stream and a rule."""


@dataclass
class Site:
    """What the configuration file says, or shall say."""

    streams: dict[str, dict[str, Any]] = field(default_factory=dict)  # `camera`, `max_fps`, `rules`
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    hooks: dict[str, list[str]] = field(default_factory=dict)  # the types of event that each wants

    def watched(self) -> dict[Key, str]:
        """What is watched, and in which words: the same ones mean that nothing about it has changed."""
        return {
            (name, rule): json.dumps([{**one, "rules": None}, self.rules[rule]])
            for name, one in self.streams.items()
            for rule in one["rules"]
        }


def initial() -> Site:
    """All streams, rules and webhooks."""
    rule = {"classes": ["block"], "min_score": 0.5, "repeat_every": 0, "end_after": "1s"}
    return Site(
        {f"s{n}": {"camera": n, "max_fps": 8, "rules": ["visit", "stay"]} for n in range(STREAMS)},
        {
            "visit": {**rule, "confirm": {"hits": 3, "of": 5, "within": "1s"}},
            "stay": {
                **rule,
                "confirm": {"hits": 5, "of": 10, "within": "2s"},
                "severity": "warning",
                "repeat_every": "1s",
            },
        },
        {"near": ["alarm.*"], "far": ["alarm.*", "stream.*", "delivery.*"]},
    )


def _toggled(chance: random.Random, here: Collection[str], of: Collection[str]) -> str:
    """Return one to take out or to put in: what is not there comes back soon, or little would be watched."""
    missing = [name for name in of if name not in here]
    return chance.choice(missing if missing and chance.random() < 0.6 else list(of))


def _stream_comes_or_goes(chance: random.Random, site: Site) -> None:
    name = _toggled(chance, site.streams, initial().streams)
    if site.streams.pop(name, None) is None or not site.streams:
        site.streams[name] = initial().streams[name]


def _stream_changes(chance: random.Random, site: Site) -> None:
    chance.choice(list(site.streams.values()))["max_fps"] = chance.choice((5, 6, 8))


def _stream_moves(chance: random.Random, site: Site) -> None:
    chance.choice(list(site.streams.values()))["camera"] = chance.randrange(STREAMS)


def _rule_comes_or_goes(chance: random.Random, site: Site) -> None:
    one = chance.choice(list(site.streams.values()))
    name = _toggled(chance, one["rules"], site.rules)
    one["rules"] = [rule for rule in site.rules if (rule in one["rules"]) != (rule == name)]


def _rule_changes(chance: random.Random, site: Site) -> None:
    rule = site.rules[chance.choice(list(site.rules))]
    key, values = chance.choice(
        (
            ("end_after", ("1s", "2s")),
            ("min_score", (0.5, 0.6)),
            ("cooldown", (0, "1s")),
            ("repeat_every", (0, "5s")),
            ("severity", ("critical", "warning")),
        )
    )
    rule[key] = chance.choice(values)


def _hook_comes_or_goes(chance: random.Random, site: Site) -> None:
    name = _toggled(chance, site.hooks, initial().hooks)
    if site.hooks.pop(name, None) is None:
        site.hooks[name] = initial().hooks[name]


def _hook_changes(chance: random.Random, site: Site) -> None:
    if site.hooks:
        name = chance.choice(list(site.hooks))
        site.hooks[name] = chance.choice((["alarm.*"], ["alarm.raised", "alarm.ended", "delivery.*"]))


CHANGES = (
    _stream_comes_or_goes,
    _stream_changes,
    _stream_moves,
    _rule_comes_or_goes,
    _rule_changes,
    _hook_comes_or_goes,
    _hook_changes,
)
