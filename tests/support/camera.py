"""A fake RTSP camera inside the test's process: H.264 of a scripted scene, with knobs for what can break."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self
from urllib.parse import quote

from support.access import Login
from support.faults import Faults
from support.loop import LoopThread
from support.rtsp import Request, Session, Traffic
from support.scene import Projector, Scene
from support.wait import until


class FakeCamera:
    """A camera on a free port of 127.0.0.1, for any number of clients at once, over TCP and UDP.

    Each client gets an encoder of its own and therefore begins with a keyframe; all see the same picture at the
    same time. With `clock_ahead_s` it tells its time in RTCP sender reports, so much ahead of the machine's. The
    scene's time 0 is the start of the camera, or the last `restart_clock`.

    >>> with FakeCamera(Scene(blocks=visits((2, 4)))) as camera:
    ...     open_stream(camera.url)
    ...     with camera.faults(stall=True):
    ...         see_it_stall()
    """

    def __init__(
        self,
        scene: Scene | None = None,
        *,
        login: Login | None = None,
        transports: tuple[str, ...] = ("tcp", "udp"),
        path: str = "stream1",
        clock_ahead_s: float | None = None,
    ) -> None:
        self.faults = Faults()
        self.traffic = Traffic()
        self._scene = scene or Scene()
        self._login, self._transports, self._path = login, transports, path
        self._clock_ahead_s = clock_ahead_s
        self._loop = LoopThread("fake camera")
        self._server: asyncio.Server | None = None
        self._sessions: set[Session] = set()  # touched in the loop's thread only
        self.port = 0

    def __enter__(self) -> Self:
        self._projector = Projector(self._scene)
        self._loop.start()
        self._loop.call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call(self._stop_listening())
        self._loop.call(self._cut_all("reset"))
        self._loop.stop()

    @property
    def url(self) -> str:
        """The address of the stream, without credentials."""
        return f"rtsp://127.0.0.1:{self.port}/{self._path}"

    @property
    def url_with_login(self) -> str:
        """The address with the right username and password in it."""
        assert self._login, "this camera asks for no password"
        name, password = quote(self._login.username, safe=""), quote(self._login.password, safe="")
        return self.url.replace("rtsp://", f"rtsp://{name}:{password}@")

    @property
    def zero(self) -> float:
        """The monotonic time at which the scene's own time is 0: the zero of a timeline."""
        return self._projector.zero

    @property
    def playing(self) -> int:
        """How many clients are being sent pictures."""
        return self.traffic.playing

    @property
    def accepted(self) -> list[float]:
        """The monotonic time of each connection so far."""
        return list(self.traffic.accepted)

    @property
    def requests(self) -> list[Request]:
        return list(self.traffic.requests)

    def restart_clock(self) -> float:
        """Let the scene begin again now; returns the new `zero`. Picture numbers go on rising."""
        return self._projector.show()

    def show(self, scene: Scene) -> float:
        """Show another scene (its size and rate may differ) from its time 0, which is now; returns `zero`."""
        return self._projector.show(scene)

    def wait_playing(self, clients: int = 1, timeout: float = 10.0) -> None:
        until(lambda: self.playing >= clients, timeout, f"{clients} clients of the camera")

    def hang_up(self) -> int:
        """End every connection in an orderly way (FIN), as a rebooting camera does; returns how many there were."""
        return self._cut("fin")

    def reset(self) -> int:
        """End every connection by RST; returns how many there were."""
        return self._cut("reset")

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """The port is closed for the length of the block, and so is every connection; then it is the same port."""
        self._loop.call(self._stop_listening())
        self._loop.call(self._cut_all("fin"))
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", self.port)) != 0, "the camera's port is still open"
        self.faults.fired["refused"] += 1
        try:
            yield
        finally:
            self._loop.call(self._listen())

    def _cut(self, how: str) -> int:
        count = self._loop.call(self._cut_all(how))
        assert count, "there was no connection to cut"
        self.faults.fired[how] += count
        return count

    async def _listen(self) -> None:
        self._server, self.port = await self._loop.listen(self._serve, self.port)

    async def _stop_listening(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    async def _cut_all(self, how: str) -> int:
        sessions = list(self._sessions)
        for session in sessions:
            session.cut(how)
        return len(sessions)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(
            reader,
            writer,
            projector=self._projector,
            faults=self.faults,
            traffic=self.traffic,
            login=self._login,
            transports=self._transports,
            clock_ahead_s=self._clock_ahead_s,
        )
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
