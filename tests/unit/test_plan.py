"""What differs between two configurations, and what of it a running daemon cannot do."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin import assembly
from tocsin.config.load import loads, resolve_secrets
from tocsin.plan import Changes, Draft, Plan, changes, restarts

KEY = "whsec_" + "dG9jc2luLXRlc3RzLTAxMjM0NTY3ODktYWJjZGVm"
STREAMS = [{"name": name, "source": f"rtsp://{name}/1", "rules": ["visit"]} for name in ("yard", "gate")]
RULES = [{"name": name, "classes": ["person"]} for name in ("visit", "night")]
HOOK = {"name": "desk", "url": "https://desk.example/", "secret": KEY}
SITE: dict[str, Any] = {"streams": STREAMS, "rules": RULES, "webhooks": [HOOK], "state_dir": "/var/a"}

tables = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3))


def draft(**changed: Any) -> Draft:
    config = loads(json.dumps({**SITE, **changed}).encode(), name="tocsin.yaml", folder=Path("/"))
    return assembly.draft(config, resolve_secrets(config), ())


@given(tables, tables)
def test_changes_lead_from_any_entries_to_any_others(before: dict[str, int], after: dict[str, int]) -> None:
    """Done to the one they give the other, and each name is in one of them at most."""
    found = changes(before, after)
    done = {name: value for name, value in before.items() if name not in found.removed}
    done |= {name: after[name] for name in (*found.added, *found.changed)}
    assert done == after
    named = [*found.added, *found.removed, *found.changed]
    assert len(named) == len(set(named))
    assert bool(found) is (before != after)
    back = changes(after, before)
    assert (set(back.added), set(back.removed)) == (set(found.removed), set(found.added))
    assert set(back.changed) == set(found.changed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"detector": {"device": "cpu"}}, {"others": "detector"}, id="a section"),
        pytest.param({"detector": {"max_batch": "auto"}}, {}, id="a default that is written out"),
        pytest.param(
            {"streams": [{**STREAMS[0], "max_fps": 3}, STREAMS[1]]},
            {"streams_changed": "yard"},
            id="an entry",
        ),
        pytest.param({"streams": STREAMS[:1]}, {"streams_removed": "gate"}, id="an entry that is gone"),
        pytest.param(
            {"rules": [*RULES, {**RULES[0], "name": "new"}]},
            {"rules_added": "new"},
            id="an entry that is new",
        ),
        pytest.param({"streams": STREAMS[::-1]}, {"others": "the order of streams"}, id="the order alone"),
        pytest.param(
            {
                "webhooks": [{**HOOK, "url": "https://b.example/"}, {**HOOK, "name": "phone"}],
                "rules": RULES[:1],
            },
            {"rules_removed": "night", "webhooks_added": "phone", "webhooks_changed": "desk"},
            id="many",
        ),
    ],
)
def test_what_differs_is_named(changed: dict[str, Any], words: dict[str, str]) -> None:
    """A section by its key, an entry of a list by its name."""
    plan = Plan.between(draft(), draft(**changed))
    assert plan.words() == words
    assert bool(plan) is bool(words)


def test_a_secret_that_changed_where_it_is_kept_is_a_change(tmp_path: Path) -> None:
    """The file of the configuration is the same, and the plan shows no secret."""
    kept = tmp_path / "password"
    login = {**STREAMS[0], "username": "viewer", "password": {"file": str(kept)}}

    def now(text: str) -> Draft:
        kept.write_text(text)
        kept.chmod(0o600)
        return draft(streams=[login, STREAMS[1]])

    before, after = now("0ld-password"), now("n3w-password")
    plan = Plan.between(before, after)
    assert plan.streams == Changes(changed=("yard",))
    assert not plan.anew
    assert "password" not in f"{plan} {after.secrets}"
    assert not Plan.between(after, now("n3w-password"))


def test_certificates_are_compared_by_what_they_hold(tmp_path: Path) -> None:
    """A file that was written anew with the same is no change."""
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    copy = tmp_path / "ca.pem"
    parts = bundle.read_text().split("-----END CERTIFICATE-----\n")

    def now(count: int) -> Draft:
        copy.write_text("-----END CERTIFICATE-----\n".join([*parts[:count], ""]))
        return draft(webhooks=[{**HOOK, "ca_file": str(copy)}])

    assert not Plan.between(now(1), now(1))
    assert Plan.between(now(1), now(2)).webhooks == Changes(changed=("desk",))


def test_a_camera_that_is_another_is_looked_at_anew() -> None:
    """What was learned of one says nothing about the other; another speed or rule is no other camera."""
    moved = [{**STREAMS[0], "source": "rtsp://elsewhere/1"}, {**STREAMS[1], "max_fps": 3, "rules": []}]
    assert Plan.between(draft(), draft(streams=moved)).anew == {"yard"}


def test_what_needs_a_restart_is_named_with_its_place() -> None:
    """The port that is bound and the folder that is open; the names by which others may ask are neither."""
    other = draft(state_dir="/var/b", http={"listen": "127.0.0.1:1", "allowed_hosts": ["box.example"]})
    about = "restart for this change"
    assert restarts(draft().config, other.config) == [
        f"tocsin.yaml:1: state_dir: expected /var/a as at the start, found /var/b; {about}",
        f"tocsin.yaml:1: http.listen: expected 127.0.0.1:9464 as at the start, found 127.0.0.1:1; {about}",
    ]
    live = {"allowed_hosts": ["box.example"], "public_url": "https://cams.example"}
    assert restarts(draft().config, draft(http=live).config) == []
