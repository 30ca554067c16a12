"""Links by which an alarm is answered: made for one alarm, for a time, and for nothing else."""

import time
from urllib.parse import parse_qs, urlsplit

import pytest

from tocsin.endpoint.invitations import Invitations
from tocsin.evidence.link import Link, new_key, path_of, piece_of

KEY = new_key()
ALARM = "alarm_019a8b7c6d5e7f008123456789abcdef"
OTHER = "alarm_019a8b7c6d5e7f008123456789abcdee"
BASE = "https://cams.example"


@pytest.fixture
def invitations() -> Invitations:
    return Invitations(KEY, BASE, 3600.0)


def asked(url: str) -> tuple[str, str, str]:
    """What a request for a link says: the identity, the end and the signature."""
    parts = urlsplit(url)
    query = parse_qs(parts.query, strict_parsing=True)
    assert set(query) == {"expires", "signature"}
    return parts.path.removeprefix("/alarm/"), query["expires"][0], query["signature"][0]


def test_a_link_is_good_for_its_alarm_and_its_time(invitations: Invitations) -> None:
    """It names where the endpoint is, and when it will be over."""
    offered = invitations.offer(ALARM)
    assert offered["url"].startswith(f"{BASE}/alarm/{ALARM}?expires=")
    alarm_id, expires, signature = asked(offered["url"])
    now = time.time()
    assert int(expires) == pytest.approx(now + 3600, abs=60)
    assert invitations.is_good(alarm_id, expires, signature, now)
    assert invitations.is_good(alarm_id, expires, signature, int(expires) - 0.001)
    assert not invitations.is_good(alarm_id, expires, signature, int(expires))
    assert Invitations(KEY, "http://elsewhere", 1.0).is_good(alarm_id, expires, signature, now), "a restart"


def test_what_is_altered_is_no_link(invitations: Invitations) -> None:
    """Another alarm, a later end, another installation's signature, a part of one, and nonsense."""
    alarm_id, expires, signature = asked(invitations.offer(ALARM)["url"])
    theirs = asked(Invitations(new_key(), BASE, 3600.0).offer(ALARM)["url"])
    assert theirs[2] != signature
    for altered in (
        (OTHER, expires, signature),
        (alarm_id, str(int(expires) + 1), signature),
        (alarm_id, f"+{expires}", signature),
        (alarm_id, "٣" * 10, signature),
        (alarm_id, "9" * 5000, signature),
        (alarm_id, "", signature),
        (alarm_id, expires, signature[:-1]),
        (alarm_id, expires, signature.upper() if signature != signature.upper() else ""),
        (alarm_id, expires, ""),
        (alarm_id, expires, "\udcff"),
        (alarm_id.upper(), expires, signature),
        (f"{alarm_id}\n", expires, signature),
        ("../evidence", expires, signature),
        theirs,
    ):
        assert not invitations.is_good(*altered, now=0.0), altered


def test_a_link_to_a_picture_is_none_to_a_verdict(invitations: Invitations) -> None:
    """Its signature, its key and what it signs are in a domain of their own, and the other way round."""
    _, expires, _ = asked(invitations.offer(ALARM)["url"])
    for piece in (piece_of(ALARM, "frame", KEY), ALARM, f"link.{ALARM}", f"form.{ALARM}"):
        signature = asked(path_of(Link(piece, int(expires)), KEY))[2]
        assert not invitations.is_good(ALARM, expires, signature, now=0.0)
    assert not invitations.is_good(ALARM, expires, piece_of(ALARM, expires, KEY), now=0.0)
    assert not invitations.is_good(ALARM, expires, invitations.token(ALARM, expires), now=0.0)


def test_a_form_is_good_for_the_user_that_it_was_shown_to(invitations: Invitations) -> None:
    """Whoever has the link, and another login, has not seen this user's page."""
    token = invitations.token(ALARM, "anna")
    assert invitations.is_token(ALARM, "anna", token)
    assert not invitations.is_token(ALARM, "bob", token)
    assert not invitations.is_token(OTHER, "anna", token)
    assert not invitations.is_token(ALARM, "anna", "")
    signature = asked(invitations.offer(ALARM)["url"])[2]
    assert not invitations.is_token(ALARM, "anna", signature)


def test_what_is_read_again_holds_for_links_from_then_on(invitations: Invitations) -> None:
    """Those that were given out stay good."""
    before = asked(invitations.offer(ALARM)["url"])
    invitations.adopt("https://new.example", 60.0)
    after = invitations.offer(ALARM)["url"]
    assert after.startswith("https://new.example/alarm/")
    assert int(asked(after)[1]) < int(before[1])
    assert invitations.is_good(*before, now=0.0)
