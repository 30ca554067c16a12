"""Comparing passwords: who is let in, what is remembered, and what guessing costs the machine."""

import asyncio
import itertools
import time

import bcrypt
import pytest

from tocsin.endpoint import passwords
from tocsin.endpoint.passwords import Login, Passwords

RIGHT = b"c0rrect horse"


def hashed(password: bytes, cost: int = 4) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


USERS = {"prometheus": hashed(RIGHT), "grafana": hashed(b"another one")}


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, str]]:
    """What was compared by bcrypt."""
    calls: list[tuple[bytes, str]] = []
    real = passwords._equal

    def equal(password: bytes, stored: str) -> bool:
        calls.append((password, stored))
        return real(password, stored)

    monkeypatch.setattr(passwords, "_equal", equal)
    return calls


@pytest.mark.parametrize(
    ("user", "password", "login"),
    [
        ("prometheus", RIGHT, Login.ACCEPTED),
        ("prometheus", b"wrong", Login.REFUSED),
        ("prometheus", b"", Login.REFUSED),
        ("prometheus", RIGHT + b"\0", Login.REFUSED),
        ("prometheus", b"another one", Login.REFUSED),
        ("Prometheus", RIGHT, Login.REFUSED),
        ("nobody", RIGHT, Login.REFUSED),
        ("nobody", b"another one", Login.REFUSED),
        ("\ud800", RIGHT, Login.REFUSED),
    ],
)
def test_the_user_s_own_password_is_accepted(user: str, password: bytes, login: Login) -> None:
    """And no other, for nobody else."""
    assert asyncio.run(Passwords().check("10.0.0.1", user, password, USERS)) is login


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_the_hashes_of_all_tools_are_understood(prefix: str) -> None:
    """htpasswd writes 2y, others 2a or 2b."""
    users = {"u": prefix + hashed(RIGHT)[4:]}
    assert asyncio.run(Passwords().check("", "u", RIGHT, users)) is Login.ACCEPTED


def test_a_long_password_is_compared_as_far_as_bcrypt_knows_it() -> None:
    """As the tools that make the hashes do."""
    users = {"u": hashed(b"x" * 72)}
    assert asyncio.run(Passwords().check("", "u", b"x" * 100, users)) is Login.ACCEPTED


def test_an_unknown_user_takes_as_long_as_a_known_one(compared: list[tuple[bytes, str]]) -> None:
    """One comparison with a hash of the highest cost is made for him, too."""
    users = {"cheap": hashed(b"a", 4), "dear": hashed(b"b", 6)}
    asyncio.run(Passwords().check("", "nobody", b"guess", users))
    assert compared == [(b"guess", users["dear"])]


def test_what_was_right_is_compared_once(compared: list[tuple[bytes, str]]) -> None:
    """And anew when the hash is another; what was wrong is compared each time."""

    async def play() -> None:
        one = Passwords()
        for _ in range(5):
            assert await one.check("", "prometheus", RIGHT, USERS) is Login.ACCEPTED
        assert len(compared) == 1
        changed = {"prometheus": hashed(b"changed")}
        assert await one.check("", "prometheus", RIGHT, changed) is Login.REFUSED
        assert await one.check("", "prometheus", RIGHT, changed) is Login.REFUSED
        assert len(compared) == 3
        assert await one.check("", "prometheus", RIGHT, {"grafana": USERS["prometheus"]}) is Login.REFUSED

    asyncio.run(play())


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("prometheus", USERS["prometheus"].encode() + RIGHT),
        ("prometheu", b"s" + RIGHT),
        ("prometheus" + USERS["prometheus"], RIGHT),
        ("prometheus\0", RIGHT),
        ("prometheusc0rrect", b" horse"),
    ],
    ids=[
        "a password that begins with the hash",
        "a user without its end",
        "a user that ends with the hash",
        "a user with a zero",
        "a user with half of the password",
    ],
)
def test_what_is_remembered_opens_for_nothing_else(user: str, password: bytes) -> None:
    """No other division of the same characters into name, hash and password is taken for it."""

    async def play() -> None:
        one = Passwords()
        assert await one.check("", "prometheus", RIGHT, USERS) is Login.ACCEPTED
        assert await one.check("", user, password, USERS) is Login.REFUSED

    asyncio.run(play())


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not used for the longest is forgotten first, and compared anew."""
    monkeypatch.setattr(passwords, "REMEMBERED", 2)

    async def play() -> None:
        one = Passwords()
        users = {name: hashed(RIGHT) for name in "abc"}
        for name in ("a", "b", "a", "c"):
            assert await one.check("", name, RIGHT, users) is Login.ACCEPTED
        kept = [one._digest(name, users[name], RIGHT) in one._right for name in "abc"]
        assert kept == [True, False, True]

    asyncio.run(play())


def test_guessing_takes_a_share_of_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time, and after each wrong one a pause of four times as long as it took."""
    spans: list[tuple[float, float]] = []

    def equal(_password: bytes, _stored: str) -> bool:
        began = time.monotonic()
        while time.monotonic() < began + 0.02:
            pass
        spans.append((began, time.monotonic()))
        return False

    monkeypatch.setattr(passwords, "_equal", equal)

    async def play() -> None:
        one = Passwords()
        guesses = [
            one.check(f"10.0.0.{number}", "u", b"%d" % number, {"u": "$2b$04$"}) for number in range(5)
        ]
        assert await asyncio.gather(*guesses) == [Login.REFUSED] * 5

    asyncio.run(play())
    assert len(spans) == 5
    assert all(later - end >= 3.9 * 0.02 for (_, end), (later, _) in itertools.pairwise(spans))


def test_who_guesses_waits_in_a_line_that_is_short() -> None:
    """Two at a time of one address; further ones are refused unseen. Who has a right password comes through."""

    async def play() -> None:
        one = Passwords()
        guesses = [asyncio.create_task(one.check("evil", "u", b"%d" % n, USERS)) for n in range(50)]
        await asyncio.sleep(0)
        friend = asyncio.create_task(one.check("friend", "prometheus", RIGHT, USERS))
        found = await asyncio.gather(*guesses)
        assert await friend is Login.ACCEPTED
        assert (found.count(Login.REFUSED), found.count(Login.BUSY)) == (2, 48)
        assert not one._waiting
        assert await one.check("evil", "prometheus", RIGHT, USERS) is Login.ACCEPTED

    asyncio.run(play())


def test_many_addresses_fill_the_line_and_no_more() -> None:
    """The line has an end, whoever stands in it; what is known already needs no place in it."""

    async def play() -> None:
        one = Passwords()
        assert await one.check("friend", "prometheus", RIGHT, USERS) is Login.ACCEPTED
        tasks = [asyncio.create_task(one.check(f"{n}", "u", b"%d" % n, USERS)) for n in range(40)]
        await asyncio.sleep(0)
        assert await one.check("friend", "prometheus", RIGHT, USERS) is Login.ACCEPTED
        found = await asyncio.gather(*tasks)
        assert found.count(Login.REFUSED) == passwords.WAITING

    asyncio.run(play())


def test_comparing_leaves_the_interpreter_to_others() -> None:
    """While bcrypt works in its thread, others run: the event loop turns meanwhile."""

    async def play() -> tuple[int, float]:
        stored = await asyncio.to_thread(hashed, RIGHT, 11)
        one, turns, began = Passwords(), 0, time.monotonic()
        check = asyncio.create_task(one.check("", "u", RIGHT, {"u": stored}))
        while not check.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert check.result() is Login.ACCEPTED
        return turns, time.monotonic() - began

    turns, took = asyncio.run(play())
    assert turns > 5, took
