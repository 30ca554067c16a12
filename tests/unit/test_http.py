"""The endpoint's pure parts: which name a request used, and what an answer says."""

import pytest

from tocsin.http import Health, PartHealth, host_name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:9464", "localhost"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[::1]:9464", "::1"),
        ("localhost:evil", "localhost:evil"),
        ("localhost:80:80", "localhost:80"),
        ("localhost@evil.example", "localhost@evil.example"),
        ("evil.example:9464", "evil.example"),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    """The port and the brackets go, and nothing else does."""
    assert host_name(header) == name


def test_health_names_each_part_and_its_state() -> None:
    """One part that is not well makes the whole unwell; facts stand beside the state."""
    detector = PartHealth("detector", ok=True, state="warm", facts={"device": "cpu"})
    outbox = PartHealth("outbox", ok=False, state="not open")
    assert Health((detector,)).ok
    assert Health((detector, outbox)).as_json() == {
        "ok": False,
        "parts": {
            "detector": {"ok": True, "state": "warm", "device": "cpu"},
            "outbox": {"ok": False, "state": "not open"},
        },
    }
