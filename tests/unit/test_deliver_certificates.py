"""When certificates end, and what is said of it."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.deliver.certificates import Validity, doubt, validities

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PEM = b"""text before it
-----BEGIN CERTIFICATE-----
MHcwXqADAgECAgEHMAoGCCqGSM49BAMCMBIxEDAOBgNVBAMMB3ByaXZhdGUwIBcNMjYwMTAxMDAw
MDAwWhgPMjA1MjAxMDEwMDAwMDBaMBIxEDAOBgNVBAMMB3ByaXZhdGUwCgYIKoZIzj0EAwIDCQAA
AAAAAAAAAA==
-----END CERTIFICATE-----
"""


def days(begin: float, end: float) -> Validity:
    return Validity(NOW + timedelta(days=begin), NOW + timedelta(days=end))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], None),
        ([days(-10, 90)], None),
        ([days(-10, 29.5)], "the certificate expires on 2026-12-21, in 29 days"),
        ([days(-10, -1)], "the certificate has expired on 2026-11-20"),
        ([days(1, 90)], "the certificate is not valid before 2026-11-22"),
        ([days(-10, -1), days(-10, 90)], None),
    ],
    ids=["none", "sound", "soon over", "over", "not yet", "one of two is sound"],
)
def test_a_doubt_is_about_the_one_that_is_valid_longest(found: list[Validity], said: str | None) -> None:
    """A file of several authorities is as good as the best of them."""
    assert doubt(found, NOW) == said


def test_both_ways_to_write_a_time_are_read() -> None:
    """Two digits of a year are of this century up to 49, later ones have four."""
    (found,) = validities(PEM)
    assert found == Validity(datetime(2026, 1, 1, tzinfo=UTC), datetime(2052, 1, 1, tzinfo=UTC))


@given(st.binary(max_size=200))
def test_what_is_no_certificate_has_no_validity(content: bytes) -> None:
    """Garbage between the lines of a certificate is passed over, and so is a file without any."""
    block = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(content) + b"-----END CERTIFICATE-----\n"
    assert validities(block) == ()
    assert len(validities(block + PEM)) == 1
    assert validities(content) == ()
