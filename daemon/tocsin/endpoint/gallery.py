"""The page of a picture or clip: found by a link that was signed for it, and in no other way."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from tocsin.evidence.link import Link
from tocsin.evidence.shelf import Kind

PATIENCE = 3.0
"""Seconds for which who asks for a picture that is being made is kept waiting; a clip takes longer."""

_LOOK = 0.1


class Archive(Protocol):
    """Knows what is kept; from any thread, and from memory but for `find`."""

    def opened(self, piece: str, expires: str, signature: str, now: float) -> Link | None: ...
    def is_expected(self, piece: str) -> bool: ...
    def find(self, piece: str) -> tuple[int, Kind] | None: ...


@dataclass(frozen=True, slots=True)
class Read:
    """That a client was shown a piece, which was made at that Unix time; `user` is the name of its login."""

    piece: str
    kind: Kind
    made: float
    client: str
    user: str | None


class Gallery:
    """Answers requests for evidence; nothing of a request but a signed identity ever reaches the disk."""

    def __init__(self) -> None:
        self.archive: Archive | None = None  # set once, before anything has a link
        self.seen: Callable[[Read], None] = lambda _: None  # hears of each answer, and must not wait

    async def show(self, request: Request) -> Response:
        """Answer with the piece; 404 for everything that is not a good link to one, and 503 while it is made."""
        archive, query = self.archive, request.query_params
        if archive is None:
            return _nothing()
        given = request.path_params["piece"], query.get("expires", ""), query.get("signature", "")
        link = archive.opened(*given, time.time())
        if link is None:
            return _nothing()
        until = time.monotonic() + PATIENCE
        while archive.is_expected(link.piece) and time.monotonic() < until:
            await asyncio.sleep(_LOOK)
        found = await asyncio.to_thread(archive.find, link.piece)  # a disk that hangs holds up nobody else
        if found is not None:
            if request.method == "GET":
                self.seen(_read(request, link.piece, *found))
            return _Shown(*found)
        if archive.is_expected(link.piece):
            return PlainTextResponse("it is being made\n", 503, {"retry-after": "5"})
        return _nothing()


def _read(request: Request, piece: str, descriptor: int, kind: Kind) -> Read:
    client = "" if request.client is None else request.client.host
    return Read(piece, kind, os.fstat(descriptor).st_mtime, client, getattr(request.state, "user", None))


class _Shown(FileResponse):
    """A file that is open: it is read through its descriptor, whatever becomes of its name."""

    def __init__(self, descriptor: int, kind: Kind) -> None:
        name = f"{kind}{kind.suffix}"
        super().__init__(
            f"/proc/self/fd/{descriptor}",
            media_type=kind.media_type,
            filename=name,
            content_disposition_type="inline",
        )
        self._descriptor = descriptor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._descriptor)


def _nothing() -> Response:
    return PlainTextResponse(
        "there is nothing here: a link is good whole, and for as long as pictures are kept\n", 404
    )
