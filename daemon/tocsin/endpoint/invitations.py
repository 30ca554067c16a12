"""The link by which whoever gets an alarm answers it: it opens the page of this one alarm, for a time.

Links to pictures are signed with the same installation's key; here another one is derived from it, so that no
signature that was given out for a picture is ever good for a verdict.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from tocsin.deliver.notation import stamp

PATH = "/alarm/"

_ID = re.compile(r"alarm_[0-9a-f]{32}")
_DOMAIN = b"tocsin: the guard's answer, 1"
_SIGNED = 32  # hexadecimal digits: 128 bits of an HMAC-SHA256


class Invitations:
    """Makes links and knows them again. `key` is the installation's; links are good for `seconds`.

    May be used by any thread.
    """

    def __init__(self, key: bytes, base_url: str, seconds: float) -> None:
        self._key = hmac.digest(key, _DOMAIN, hashlib.sha256)
        self._terms = base_url, seconds  # replaced whole

    def adopt(self, base_url: str, seconds: float) -> None:
        """Make links to this address, and for so long, from now on."""
        self._terms = base_url, seconds

    def offer(self, alarm_id: str) -> Mapping[str, str]:
        """Return what an event tells of the way to answer its alarm: an address, and how long it holds."""
        base_url, seconds = self._terms
        expires = int(time.time() + seconds)
        signature = self._sign("link", alarm_id, expires)
        url = f"{base_url}{PATH}{alarm_id}?expires={expires}&signature={signature}"
        return {"url": url, "expires": stamp(datetime.fromtimestamp(expires, UTC))}

    def is_good(self, alarm_id: str, expires: str, signature: str, now: float) -> bool:
        """Whether a request is by a link that was made here and still holds; outside all others are the same."""
        if not (_ID.fullmatch(alarm_id) and expires.isascii() and expires.isdecimal() and len(expires) <= 12):
            return False
        # Compared before the time is looked at, and in constant time: an answer tells nothing about a signature.
        genuine = _same(self._sign("link", alarm_id, int(expires)), signature)
        return genuine and now < int(expires)

    def token(self, alarm_id: str, user: str) -> str:
        """Return what only a page shown to this user holds.

        A browser adds the user's password to whatever another site has it send, but shows that site no page.
        """
        return self._sign("form", alarm_id, user)

    def is_token(self, alarm_id: str, user: str, token: str) -> bool:
        """Whether a form came from a page that was shown to this user."""
        return _same(self.token(alarm_id, user), token)

    def _sign(self, purpose: str, alarm_id: str, about: str | int) -> str:
        message = f"{purpose}.{alarm_id}.{about}".encode(errors="surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_SIGNED]


def _same(known: str, given: str) -> bool:
    return hmac.compare_digest(known.encode(), given.encode("utf-8", "replace"))
