"""What differs between the configuration that runs and another one, and which of it needs a restart. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from tocsin.config.load import Config, Secrets, messages
from tocsin.deliver.webhook import Webhook
from tocsin.detect.stamp import Stamp
from tocsin.yamlfile import Fault

LIVE_HTTP = frozenset({"allowed_hosts", "public_url"})
"""The keys of `http` that may change while the daemon runs: all others are about a port that is bound."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that the parts of a daemon are made of, but for the detector, which is made of its `model`.

    `receivers` are the webhooks in their order, and `certificates` tell one state of their TLS files from another.
    `sha256` is that of the model.
    """

    config: Config
    secrets: Secrets = field(repr=False)
    model: Stamp
    receivers: tuple[Webhook, ...] = field(repr=False)
    certificates: Mapping[str, str]
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """The names of entries that are new, gone, or other than they were; each in the order of its file."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class Plan:
    """What leads from one draft to another.

    `anew` are the streams whose name stays and whose camera is another; `others` what differs beside the entries:
    sections, and the order of entries.
    """

    streams: Changes
    rules: Changes
    webhooks: Changes
    anew: frozenset[str]
    others: tuple[str, ...]

    @classmethod
    def between(cls, before: Draft, after: Draft) -> Self:
        """Return the plan that leads from one draft to the other."""
        old, new = ({stream.name: stream for stream in one.config.streams} for one in (before, after))
        return cls(
            changes(_streams(before), _streams(after)),
            changes(_rules(before), _rules(after)),
            changes(_webhooks(before), _webhooks(after)),
            frozenset(name for name in old.keys() & new.keys() if old[name].source != new[name].source),
            tuple(_others(before, after)),
        )

    def __bool__(self) -> bool:
        return bool(self.streams or self.rules or self.webhooks or self.others)

    def words(self) -> dict[str, str]:
        """Return what there is to do, for a line of the log."""
        found = {
            f"{section}_{kind}": ",".join(getattr(getattr(self, section), kind))
            for section in ("streams", "rules", "webhooks")
            for kind in ("added", "removed", "changed")
        }
        return {name: value for name, value in {**found, "others": ",".join(self.others)}.items() if value}


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> Changes:
    """Return what leads from some named entries to others."""
    return Changes(
        tuple(name for name in after if name not in before),
        tuple(name for name in before if name not in after),
        tuple(name for name in after if name in before and before[name] != after[name]),
    )


def restarts(before: Config, after: Config) -> list[str]:
    """Return a message for each change that a running daemon cannot make."""
    faults = []
    if before.state_dir != after.state_dir:
        faults.append(_fixed(("state_dir",), before.state_dir, after.state_dir))
    for key in type(after.http).model_fields:
        old, new = getattr(before.http, key), getattr(after.http, key)
        if old != new and key not in LIVE_HTTP:
            faults.append(_fixed(("http", key), old, new))
    return messages(after, faults)


def _fixed(path: tuple[str, ...], old: object, new: object) -> Fault:
    return Fault(path, f"expected {old} as at the start, found {new}; restart for this change")


def _streams(draft: Draft) -> dict[str, object]:
    return {one.name: (one, draft.secrets.passwords.get(one.name)) for one in draft.config.streams}


def _rules(draft: Draft) -> dict[str, object]:
    return {one.name: one for one in draft.config.rules}


def _webhooks(draft: Draft) -> dict[str, object]:
    secrets = draft.secrets
    return {
        one.name: (
            one,
            secrets.signing_keys.get(one.name),
            secrets.credentials.get(one.name),
            draft.certificates.get(one.name),
        )
        for one in draft.config.webhooks
    }


def _others(before: Draft, after: Draft) -> list[str]:
    """Name the sections that differ, and those whose entries are the same in another order."""
    found = []
    for section in Config.model_fields:
        old, new = getattr(before.config, section), getattr(after.config, section)
        if isinstance(old, tuple):
            names, wanted = ([entry.name for entry in entries] for entries in (old, new))
            if names != wanted and set(names) == set(wanted):
                found.append(f"the order of {section}")
        elif old != new:
            found.append(section)
    return found
