"""What the configuration says about where a stream's frames come from."""

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo

from tocsin.capture.decoder import Decode
from tocsin.fields import LocalPath, Name, Secret, Section, check_port, expected, resolve_path, text_of
from tocsin.yamlfile import Fault

_KINDS = "rtsp://, rtsps://, http:// or https:// and a host, /dev/video0, /dev/v4l/by-id/NAME or file:PATH"
_PATH = re.compile(r"(?!/dev/)(\.{0,2}/|~)?[^:@]*[^:@/]\.[A-Za-z0-9]{2,4}")
"""What is most probably a file, as it is typed for every other program."""

_DEVICE = re.compile(r"/dev/(video[0-9]{1,3}|v4l/by-(id|path)/[^/]+)")


def _check_source(source: str, info: ValidationInfo) -> str:
    if _DEVICE.fullmatch(source):
        return source
    scheme, _, rest = source.partition(":")
    scheme = scheme.lower()
    if scheme == "file" and rest and (not rest.startswith("//") or rest.startswith("///")):
        return f"file:{resolve_path(re.sub('^/+', '/', rest), info)}"
    if scheme in ("rtsp", "rtsps", "http", "https") and _has_host(source):
        return f"{scheme}:{rest}"
    if _PATH.fullmatch(source):
        raise expected("file: before the path of a video file")
    raise expected(_KINDS)


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:  # a broken IPv6 address
        return False
    if not parts.hostname or re.search(r"[\s#]", address):
        return False
    check_port(parts)
    return True


_USES = {
    "transport": ("rtsp",),
    "username": ("rtsp", "rtsps", "http", "https"),
    "password": ("rtsp", "rtsps", "http", "https"),
    "tls_verify": ("rtsps", "https"),
    "ca_file": ("rtsps", "https"),
    "realtime": ("file",),
    "loop": ("file",),
}
"""The kinds of source with which a key does anything; RTSP over TLS is always carried by TCP."""

Source = Annotated[str, AfterValidator(_check_source), text_of(_KINDS)]


class TileSettings(Section):
    """`streams[].views.tiles`: equal parts of the frame, each a view."""

    rows: int = Field(default=2, ge=1, le=8, description="tiles from top to bottom")
    columns: int = Field(default=3, ge=1, le=8, description="tiles from left to right")
    overlap: float = Field(
        default=0.2, ge=0.05, le=0.5, description="the share of a tile that its neighbour shows too"
    )

    weighed: ClassVar[frozenset[str]] = frozenset({"rows", "columns"})

    def conflicts(self) -> Iterator[Fault]:
        if self.rows * self.columns == 1:
            yield Fault((), "expected two tiles or more, found one, which is the whole frame")


class TiledSettings(Section):
    """`streams[].views` with tiles of another number or overlap."""

    tiles: TileSettings = Field(description="equal parts of the frame, each a view")


_WORD, _KEYS = "a word", "keys and values"  # no keys of a file, whose paths must not hold them

ViewSettings = Annotated[
    Annotated[Literal["full", "zones", "tiles"], Tag(_WORD)] | Annotated[TiledSettings, Tag(_KEYS)],
    Discriminator(lambda value: _KEYS if isinstance(value, dict | Section) else _WORD),
]


class SourceSettings(Section):
    """The part of `streams[]` that capture reads."""

    name: Name = Field(description="the stream's name in metrics, events and logs")
    source: Source = Field(
        description="rtsp(s)://..., http(s)://... (MJPEG), /dev/video0, /dev/v4l/by-id/... or file:clip.mp4",
    )
    username: str | None = Field(default=None, description="the user that the camera knows")
    password: Secret | None = Field(default=None, description="that user's password")
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="how RTSP carries the pictures")
    tls_verify: bool = Field(default=True, description="rtsps and https: check the camera's certificate")
    ca_file: LocalPath | None = Field(
        default=None, description="rtsps and https: certificates to trust instead of the system's"
    )
    # Not auto: a core decodes 200 and more frames of 1080p a second, and a stream then takes 46 MB of memory. Of a
    # GPU nothing could be measured, neither its speed nor what each worker's context takes of its memory.
    decode: Decode = Field(
        default="cpu",
        description="what decodes: cuda is NVIDIA's decoder, vaapi Intel's and AMD's; auto takes NVIDIA's where "
        "there is one; what cannot be had is decoded on the CPU",
    )
    max_fps: float = Field(default=10.0, gt=0, le=60, description="analysed frames a second at most")
    realtime: bool = Field(default=True, description="file: play at the speed it was recorded")
    loop: bool = Field(default=False, description="file: start again at the end")
    views: ViewSettings = Field(
        default="full",
        description="what the detector sees: full is the whole frame, shrunk; zones adds a view of each zone that "
        "the stream's rules name; tiles adds parts of the frame, or tiles: {rows: 2, columns: 3, overlap: 0.2}",
    )

    @property
    def tiles(self) -> TileSettings | None:
        """The tiles that are views; None where there are none."""
        if isinstance(self.views, TiledSettings):
            return self.views.tiles
        return TileSettings() if self.views == "tiles" else None

    @property
    def scheme(self) -> Literal["rtsp", "rtsps", "http", "https", "file", "device"]:
        """Which kind of source it is."""
        if self.source.startswith("/dev/"):
            return "device"
        return self.source.partition(":")[0]  # type: ignore[return-value]  # the validator admits no other

    weighed: ClassVar[frozenset[str]] = frozenset({"source", *_USES})

    def conflicts(self) -> Iterator[Fault]:
        """Keys that would do nothing with this kind of source."""
        for key, schemes in _USES.items():
            if self.changed(key) and self.scheme not in schemes:
                yield Fault(
                    (key,), f"expected this key only with {_listed(schemes)}, found it with {self._shown()}"
                )
        if self.password is not None and self.username is None:
            yield Fault(("password",), "expected a username beside the password, found none")
        if self.ca_file is not None and not self.tls_verify:
            yield Fault(("ca_file",), "expected tls_verify: true beside it, found false")

    def _shown(self) -> str:
        return "a device" if self.scheme == "device" else f"{self.scheme}:"


def _listed(schemes: tuple[str, ...]) -> str:
    *most, last = (f"{scheme}:" for scheme in schemes)
    return f"{', '.join(most)} or {last}" if most else last
