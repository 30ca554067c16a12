"""Comparing passwords with bcrypt hashes, so that nobody learns anything from the time, or takes the CPU with it.

One comparison costs a core some 50 ms by design. It is done once for each password that is right, and then
remembered; wrong ones are compared one after another, with a pause after each.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from enum import StrEnum

import bcrypt

SHARE = 0.2
"""Of one core, that wrong passwords may take."""
REMEMBERED = 64
WAITING = 16
WAITING_EACH = 2
"""Comparisons that may wait in all, and for one address: more are answered at once, by a refusal to look."""
_LONGEST = 72
"""bcrypt knows no more bytes of a password, and neither do the tools that make the hashes."""


class Login(StrEnum):
    """What came of a name and a password."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    BUSY = "busy"


class Passwords:
    """Compares for one event loop, in a thread of its own choosing. `users` are bcrypt hashes by their names."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        # Digests of name, hash and password that belong together, the one used last at the end. The hash is part of
        # it, so a changed one is compared anew.
        self._right: OrderedDict[bytes, None] = OrderedDict()
        # One comparison at a time, in the order in which they were asked for; held through the pause after it.
        self._turn = asyncio.Lock()
        self._waiting: Counter[str] = Counter()

    async def check(self, address: str, user: str, password: bytes, users: Mapping[str, str]) -> Login:
        """Return whether the password is the user's; `address` is of who asks.

        For an unknown user another's hash is compared, and the result is no.
        """
        known = user in users
        stored = users[user] if known else max(users.values(), key=_cost)
        password = password[:_LONGEST]
        digest = self._digest(user, stored, password)
        if known and digest in self._right:
            self._right.move_to_end(digest)
            return Login.ACCEPTED
        if self._waiting[address] >= WAITING_EACH or self._waiting.total() >= WAITING:
            return Login.BUSY
        self._waiting[address] += 1
        try:
            async with self._turn:
                return await self._compare(digest, stored, password, known)
        finally:
            self._waiting -= Counter([address])  # and forget an address that has none

    async def _compare(self, digest: bytes, stored: str, password: bytes, known: bool) -> Login:
        if known and digest in self._right:  # the same was compared while this waited
            return Login.ACCEPTED
        began = time.monotonic()
        equal = await asyncio.to_thread(_equal, password, stored)
        if equal and known:
            self._right[digest] = None
            if len(self._right) > REMEMBERED:
                self._right.popitem(last=False)
            return Login.ACCEPTED
        await asyncio.sleep((time.monotonic() - began) * (1 / SHARE - 1))
        return Login.REFUSED

    def _digest(self, user: str, stored: str, password: bytes) -> bytes:
        """Return what stands for these three and no others: each is told with its length."""
        parts = (user.encode(errors="surrogatepass"), stored.encode(), password)
        told = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, told, hashlib.sha256)


def _cost(stored: str) -> int:
    return int(stored[4:6])


def _equal(password: bytes, stored: str) -> bool:
    """Compare; takes as long as the hash's cost says, and releases the interpreter meanwhile."""
    try:
        return bcrypt.checkpw(password, stored.encode())
    except ValueError:  # a NUL byte in the password
        return False
