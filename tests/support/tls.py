"""TLS in front of a fake camera, and certificates that are good, expired, or for somebody else."""

import asyncio
import ssl
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from support.counterpart import need
from support.loop import LoopThread


class Certificates:
    """An authority of our own in a folder, made by the `openssl` command, and what it signs."""

    def __init__(self, folder: Path) -> None:
        need("openssl", "install OpenSSL's command: apt-get install openssl")
        self._folder = folder
        self.authority = folder / "authority.crt"
        base = folder / "authority"
        _openssl(*_new_key(base), "-x509", "-subj", "/CN=an authority", "-out", self.authority)
        self.self_signed = folder / "authority.pem"
        self.self_signed.write_text(self.authority.read_text() + base.with_suffix(".key").read_text())

    def sign(self, name: str, valid_for: str = "IP:127.0.0.1,DNS:camera.test", days: int = 2) -> Path:
        """Return a file with a certificate and its key; one of a negative number of days has expired."""
        base = self._folder / name
        request, signed, both = (base.with_suffix(end) for end in (".csr", ".crt", ".pem"))
        names = ("-addext", f"subjectAltName={valid_for}")
        _openssl(*_new_key(base), "-subj", f"/CN={name}", *names, "-out", request)
        authority = ("-CA", self.authority, "-CAkey", self._folder / "authority.key", "-CAcreateserial")
        copied = ("-copy_extensions", "copy", "-days", str(days), "-out", signed)
        _openssl("x509", "-req", "-in", request, *authority, *copied)
        both.write_text(signed.read_text() + base.with_suffix(".key").read_text())
        return both


def _new_key(base: Path) -> tuple[str | Path, ...]:
    elliptic = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return ("req", "-new", *elliptic, "-nodes", "-keyout", base.with_suffix(".key"))


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class TlsFront:
    """Takes connections by TLS on a free port of 127.0.0.1 and passes them on to another port as they are.

    `refused` counts the handshakes that the client broke off; FFmpeg breaks off only after its end.
    """

    def __init__(self, port: int, certificate: Path) -> None:
        self._behind = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._loop = LoopThread("TLS front")
        self._writers: set[asyncio.StreamWriter] = set()  # touched in the loop's thread only
        self.refused = 0
        self.port = 0

    def __enter__(self) -> Self:
        self._loop.start()
        self._loop.call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call(self._close())
        self._loop.stop()

    async def _listen(self) -> None:
        self._server, self.port = await self._loop.listen(self._serve)

    async def _close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            writer.transport.get_protocol()._over_ssl = True  # type: ignore[attr-defined]  # Python 3.11 forgets it
            await writer.start_tls(self._context)
        except (OSError, ConnectionError):
            self.refused += 1
            writer.transport.abort()
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers.add(inner_writer)
        try:
            await asyncio.gather(_pass(reader, inner_writer), _pass(inner_reader, writer))
        finally:
            writer.transport.abort()
            inner_writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    except (OSError, ConnectionError):
        pass  # one side went away; the other is told by the end
    writer.close()
