"""One client's RTSP session with the fake camera (RFC 2326), over TCP-interleaved or UDP."""

import asyncio
import base64
import re
import socket
import struct
import time
from dataclasses import dataclass, field

from support.access import Login
from support.faults import Faults
from support.h264 import SPS, Encoder, parameter_sets
from support.rtp import HEADER_BYTES, PAYLOAD_TYPE, Packetizer
from support.scene import Projector, Scene

METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER"
REASONS = {
    200: "OK",
    401: "Unauthorized",
    404: "Not Found",
    454: "Session Not Found",
    461: "Unsupported Transport",
}
SESSION = "1234abcd"
DELIMITER = b"\x09\xf0"
"""A NAL unit that says that a picture may follow."""
FLAWED = b"\x06\x01\xc8\x01\x02\x03\x80"
"""A NAL unit of picture timing that says it has 200 bytes."""
POLL_S = 0.02
MAX_UNSENT_BYTES = 1 << 20
"""Pictures are left out while a slow client has so much to read, as in a camera whose send buffer is full."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came; header names are in lower case."""

    at: float
    method: str
    uri: str
    headers: dict[str, str]


@dataclass(slots=True)
class Traffic:
    """What all sessions of a camera did: written by the loop's thread, read by tests.

    `accepted` holds the monotonic time of each connection; `left_out` counts pictures that a slow client missed.
    """

    accepted: list[float] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    playing: int = 0
    left_out: int = 0


class Session:
    """Answers the requests of one connection and plays to it until either side ends it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        projector: Projector,
        faults: Faults,
        traffic: Traffic,
        login: Login | None,
        transports: tuple[str, ...],
        clock_ahead_s: float | None,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._projector, self._faults, self._traffic = projector, faults, traffic
        self._login, self._transports = login, transports
        self._clock_ahead_s = clock_ahead_s
        self._player: asyncio.Task[None] | None = None
        self._channel = 0
        self._udp: socket.socket | None = None
        self._udp_target: tuple[str, int] = ("", 0)

    async def run(self) -> None:
        """Serve until the client leaves or the session is cut."""
        self._traffic.accepted.append(time.monotonic())
        try:
            if self._faults.strikes("silent"):
                await self._hang()
            while await self._serve_one():
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, which is its right
        finally:
            if self._player:
                self._player.cancel()
            if self._udp:
                self._udp.close()
            self._writer.close()

    def cut(self, how: str) -> None:
        """End the connection: "fin" as a rebooting camera does, "reset" as a crashed one."""
        if how == "reset":
            # Linger on with time 0: the kernel answers with RST and throws away what is unsent.
            raw = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _hang(self) -> None:
        while await self._reader.read(65536):
            pass
        raise ConnectionResetError("the client gave up")

    async def _serve_one(self) -> bool:
        request = await self._read_request()
        self._traffic.requests.append(request)
        if request.method == self._faults.hang_on:
            self._faults.fired["hang_on"] += 1
            await self._hang()
        while self._faults.stall:
            await asyncio.sleep(POLL_S)
        status, headers, body = self._answer(request)
        await self._reply(status, request, headers, body)
        if request.method in ("PLAY", "PAUSE") and self._player:
            self._player.cancel()
        if request.method == "PLAY" and status == 200:
            if how := self._faults.cut_after_play:
                self._faults.fired["cut_after_play"] += 1
                self.cut(how)
                return False
            self._player = asyncio.create_task(self._play())
        return request.method != "TEARDOWN"

    async def _read_request(self) -> Request:
        # Between requests the client may send RTCP in frames that begin with a dollar sign.
        while (first := await self._reader.readexactly(1)) == b"$":
            length = int.from_bytes((await self._reader.readexactly(3))[1:], "big")
            await self._reader.readexactly(length)
        head = (first + await self._reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        method, uri, _ = line.split(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (row.partition(":") for row in rest)
        }
        await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Request(time.monotonic(), method, uri, headers)

    async def _reply(self, status: int, request: Request, headers: dict[str, str], body: str) -> None:
        reason = REASONS.get(status, "Error")
        lines = [f"RTSP/1.0 {status} {reason}", f"CSeq: {request.headers.get('cseq', '0')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body.encode())}"]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        await self._writer.drain()

    def _answer(self, request: Request) -> tuple[int, dict[str, str], str]:
        method = request.method
        if status := self._faults.status.get(method):
            self._faults.fired["status"] += 1
            return status, {}, ""
        if method == "OPTIONS":
            return 200, {"Public": METHODS}, ""
        if self._login and not self._login.admits(method, request.headers.get("authorization")):
            return 401, {"WWW-Authenticate": self._login.challenge()}, ""
        if method == "DESCRIBE":
            return 200, {"Content-Base": request.uri.rstrip("/") + "/"}, describe(self._projector.scene)
        if method == "SETUP":
            return self._set_up(request.headers.get("transport", ""))
        return 200, {"Session": f"{SESSION};timeout=60"}, ""

    def _set_up(self, transport: str) -> tuple[int, dict[str, str], str]:
        kind = "tcp" if "RTP/AVP/TCP" in transport else "udp"
        if kind not in self._transports:
            return 461, {}, ""
        if self._udp:  # what was agreed before is over
            self._udp.close()
            self._udp = None
        if kind == "tcp":
            channels = re.search(r"interleaved=(\d+)-(\d+)", transport)
            self._channel = int(channels[1]) if channels else 0
            answer = f"RTP/AVP/TCP;unicast;interleaved={self._channel}-{self._channel + 1}"
        else:
            ports = re.search(r"client_port=(\d+)-(\d+)", transport)
            if ports is None:
                return 461, {}, ""
            self._udp_target = (self._writer.get_extra_info("peername")[0], int(ports[1]))
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("127.0.0.1", 0))
            port = self._udp.getsockname()[1]
            answer = f"RTP/AVP;unicast;client_port={ports[1]}-{ports[2]};server_port={port}-{port + 1}"
        return 200, {"Transport": answer, "Session": f"{SESSION};timeout=60"}, ""

    async def _play(self) -> None:
        self._traffic.playing += 1
        try:
            await self._send_pictures()
        except ConnectionError:
            pass  # the reading side sees it too and ends the session
        finally:
            self._traffic.playing -= 1

    async def _send_pictures(self) -> None:
        encoder, packetizer = Encoder(self._projector.scene.fps), Packetizer(ssrc=0x70C51)
        shot, picture, is_gap = None, None, True
        while True:
            shot = await self._projector.after(shot)
            if self._faults.strikes("stall"):
                is_gap = True
                continue
            if self._writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                self._traffic.left_out += 1
                is_gap = True
                continue
            if picture is None or not self._faults.strikes("freeze"):
                picture = shot.draw()
            shift = self._faults.timestamp_shift_s if self._faults.strikes("timestamp_shift_s") else 0.0
            # A gap ends with a keyframe, so that the only damage in a picture is what a knob did.
            units = encoder.encode(picture, key=is_gap)
            if self._clock_ahead_s is not None and units[0][0] & 31 == SPS:
                wall = time.time() - time.monotonic() + shot.due + self._clock_ahead_s
                self._send_rtcp(packetizer.report(shot.due + shift, wall))
            if units[0][0] & 31 != SPS and self._faults.hits("missing"):
                continue
            if self._faults.strikes("hollow"):
                units = [DELIMITER]
            if self._faults.strikes("flawed"):
                units = [FLAWED, *units]
            for packet in packetizer.packets(units, shot.due + shift):
                self._send(packet)
            is_gap = False

    def _send_rtcp(self, packet: bytes) -> None:
        if self._udp:
            self._udp.sendto(packet, (self._udp_target[0], self._udp_target[1] + 1))
        else:
            self._writer.write(struct.pack("!cBH", b"$", self._channel + 1, len(packet)) + packet)

    def _send(self, packet: bytes) -> None:
        if self._faults.hits("loss"):
            return
        if self._faults.hits("corruption"):
            packet = self._faults.damage(packet, HEADER_BYTES + 2)
        if self._udp:
            if self._faults.strikes("udp_blocked"):
                return
            self._udp.sendto(packet, self._udp_target)
        else:
            self._writer.write(struct.pack("!cBH", b"$", self._channel, len(packet)) + packet)


def describe(scene: Scene) -> str:
    """The session description of a scene's stream."""
    sps, pps = parameter_sets(scene)
    sets = ",".join(base64.b64encode(unit).decode() for unit in (sps, pps))
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=fake camera",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"a=rtpmap:{PAYLOAD_TYPE} H264/90000",
        f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={sps[1:4].hex()};sprop-parameter-sets={sets}",
        f"a=framerate:{scene.fps:g}",
        "a=control:track1",
    ]
    return "\r\n".join(lines) + "\r\n"
