"""Who may see a fake camera: Basic and Digest authentication from the server's side (RFC 7617, RFC 2617)."""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from support import canary

REALM = "camera"
NONCE = "6d2f81c0b3a94e57"
"""Always the same, so that a run can be repeated; a real camera draws it."""

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@dataclass(frozen=True, slots=True)
class Login:
    """The one account of a camera and how it wants to be shown the password."""

    username: str
    password: str
    scheme: Literal["Basic", "Digest"] = "Digest"
    algorithm: Literal["MD5", "SHA-256"] = "MD5"

    def __post_init__(self) -> None:
        canary.watch(self.password)

    def challenge(self) -> str:
        """The value of WWW-Authenticate."""
        if self.scheme == "Basic":
            return f'Basic realm="{REALM}"'
        return f'Digest realm="{REALM}", nonce="{NONCE}", algorithm={self.algorithm}'

    def admits(self, method: str, authorization: str | None) -> bool:
        """Whether the value of Authorization proves that the sender knows the password."""
        if authorization is None or not authorization.startswith(self.scheme):
            return False
        if self.scheme == "Basic":
            expected = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            return authorization.removeprefix("Basic").strip() == expected
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', authorization.removeprefix("Digest")))
        proof = self._proof(method, fields.get("uri", ""))
        return (fields.get("username"), fields.get("response")) == (self.username, proof)

    def _proof(self, method: str, uri: str) -> str:
        secret = self._hash(f"{self.username}:{REALM}:{self.password}")
        return self._hash(f"{secret}:{NONCE}:{self._hash(f'{method}:{uri}')}")

    def _hash(self, text: str) -> str:
        return _HASHES[self.algorithm](text.encode()).hexdigest()
