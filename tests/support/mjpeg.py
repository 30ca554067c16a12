"""A fake HTTP camera: Motion JPEG as multipart/x-mixed-replace, with the same scenes and knobs as the RTSP one."""

import asyncio
import re
import time
from types import TracebackType
from typing import Self

import cv2

from support.access import Login
from support.faults import Faults
from support.loop import LoopThread
from support.scene import Projector, Scene, Shot
from support.wait import until

BOUNDARY = "frame"
REASONS = {200: "OK", 401: "Unauthorized", 404: "Not Found", 503: "Service Unavailable"}


class FakeMjpegCamera:
    """A camera on a free port of 127.0.0.1; silent, status (by GET), stall, freeze and bloated matter here.

    JPEG carries full-range YUV: luma values differ a little from the scene's, numbers read the same.
    `heads` holds the requests as they came.
    """

    def __init__(self, scene: Scene | None = None, *, login: Login | None = None) -> None:
        self.faults = Faults()
        self.accepted: list[float] = []
        self.heads: list[str] = []
        self.playing = 0
        self.port = 0
        self._scene, self._login = scene or Scene(), login
        self._loop = LoopThread("fake MJPEG camera")
        self._writers: set[asyncio.StreamWriter] = set()  # touched in the loop's thread only

    def __enter__(self) -> Self:
        self._projector = Projector(self._scene)
        self._loop.start()
        self._loop.call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call(self._close())
        self._loop.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/video.mjpg"

    @property
    def zero(self) -> float:
        """The monotonic time at which the scene's own time is 0."""
        return self._projector.zero

    def restart_clock(self) -> float:
        """Let the scene begin again now; returns the new `zero`."""
        return self._projector.show()

    def wait_playing(self, clients: int = 1, timeout: float = 10.0) -> None:
        until(lambda: self.playing >= clients, timeout, f"{clients} clients of the MJPEG camera")

    def hang_up(self) -> int:
        """End every connection; returns how many there were."""
        count = self._loop.call(self._abort_all())
        assert count, "there was no connection to cut"
        self.faults.fired["fin"] += count
        return count

    async def _listen(self) -> None:
        self._server, self.port = await self._loop.listen(self._serve)

    async def _close(self) -> None:
        self._server.close()
        await self._abort_all()

    async def _abort_all(self) -> int:
        for writer in self._writers:
            writer.transport.abort()
        return len(self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append(time.monotonic())
        self._writers.add(writer)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, which is its right
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        if self.faults.strikes("silent"):
            await reader.read()
            return
        status = 200
        if "GET" in self.faults.status:
            self.faults.fired["status"] += 1
            status = self.faults.status["GET"]
        authorization = re.search(r"(?im)^authorization: *(.+?)\r?$", self.heads[-1])
        if self._login and not self._login.admits("GET", authorization[1] if authorization else None):
            challenge = f"WWW-Authenticate: {self._login.challenge()}\r\n"
            writer.write(f"HTTP/1.1 401 Unauthorized\r\n{challenge}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}" if status == 200 else "text/plain"
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        if status == 200:
            await self._play(writer)

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        self.playing += 1
        shot: Shot | None = None
        picture = b""
        try:
            while True:
                shot = await self._projector.after(shot)
                if self.faults.strikes("stall"):
                    continue
                if self.faults.strikes("bloated"):
                    await self._bloat(writer)
                if not picture or not self.faults.strikes("freeze"):
                    picture = _jpeg(shot)
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                writer.write(head.encode() + picture + b"\r\n")
                await writer.drain()
        finally:
            self.playing -= 1

    async def _bloat(self, writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {2 * 10**9}\r\n\r\n".encode()
        )
        while True:
            writer.write(bytes(2**20))
            await writer.drain()


def _jpeg(shot: Shot) -> bytes:
    colours = cv2.cvtColor(shot.draw(), cv2.COLOR_YUV2BGR_I420)
    _, encoded = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return encoded.tobytes()
