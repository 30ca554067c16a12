"""The whole configuration, composed of its sections; `tocsin.config` loads it from a file."""

import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr

from tocsin.alarm.settings import Polygon, RuleSettings, ZoneSettings
from tocsin.capture.settings import SourceSettings
from tocsin.deliver.settings import WebhookSettings
from tocsin.detect.settings import DetectorSettings
from tocsin.evidence.settings import EvidenceSettings, StreamEvidenceSettings
from tocsin.fields import Duration, LocalPath, Name, Section, check_port, expected, text_of
from tocsin.light.settings import LightSettings
from tocsin.yamlfile import Document, Fault

__all__ = ["Config", "HttpSettings", "Origin", "StreamSettings"]


class StreamSettings(SourceSettings):
    """`streams[]`."""

    light: LightSettings = LightSettings()
    zones: tuple[ZoneSettings, ...] = Field(
        default=(), description="parts of this stream's picture; rules name them"
    )
    masks: tuple[Polygon, ...] = Field(
        default=(), description="polygons; what lies in them by half or more of its box counts for no rule"
    )
    private: tuple[Polygon, ...] = Field(
        default=(), description="polygons; black in every picture and clip that is kept"
    )
    evidence: StreamEvidenceSettings = StreamEvidenceSettings()
    rules: tuple[Name, ...] = Field(default=(), description="the rules that watch this stream")


_HOST_PORT = "HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464"
_HOST = "a host name in lower case or an address, without port"


def _check_listen(listen: str) -> str:
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:]+)):([0-9]+)", listen, re.ASCII)
    if match is None:
        raise expected(_HOST_PORT)
    if len(match[3]) > 5 or int(match[3]) > 65535:
        raise expected("a port from 0 to 65535", match[3][:10])
    if match[2] == "localhost":
        return listen
    if not _is_address(match[1] or match[2]):
        raise expected("an IP address or localhost, and a port")
    return listen


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_host(host: str) -> str:
    if _is_address(host):
        return host
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", host):
        raise expected(_HOST)
    return host


_ADDRESS = "http:// or https:// and a host, without a user, path or query"


def _check_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise expected(_ADDRESS)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise expected(_ADDRESS)
    check_port(parts)
    return url.rstrip("/")


class HttpSettings(Section):
    """`http`: the address of metrics and health, and of what links in alarms lead to."""

    listen: Annotated[
        str, AfterValidator(_check_listen), text_of('a text HOST:PORT such as "127.0.0.1:9464"')
    ] = Field(default="127.0.0.1:9464", description="address and port; port 0 takes a free one")
    allowed_hosts: tuple[Annotated[str, AfterValidator(_check_host), text_of(_HOST)], ...] = Field(
        default=(),
        description="names by which others may ask for it, beside localhost and the address itself",
    )
    public_url: Annotated[str, AfterValidator(_check_address), text_of(_ADDRESS)] | None = Field(
        default=None,
        description="where receivers of alarms reach it; links name its own address where this is not set",
    )
    web_config: LocalPath | None = Field(
        default=None,
        description="a file with TLS and users, as Prometheus' exporters have it; none by default",
    )
    insecure: bool = Field(
        default=False, description="must be true to listen beyond loopback where web_config protects nothing"
    )

    weighed: ClassVar[frozenset[str]] = frozenset({"listen", "insecure", "web_config"})

    @property
    def host(self) -> str:
        """The address without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which others may ask for it: whoever follows a link asks by that of `public_url`."""
        public = None if self.public_url is None else urlsplit(self.public_url).hostname
        return self.allowed_hosts if public is None else (*self.allowed_hosts, public)

    @property
    def is_exposed(self) -> bool:
        """Whether others than this machine can reach it."""
        return self.host != "localhost" and not ipaddress.ip_address(self.host).is_loopback

    @property
    def is_everywhere(self) -> bool:
        """Whether it listens on every address of this machine, and so names none that a link could lead to."""
        return self.host != "localhost" and ipaddress.ip_address(self.host).is_unspecified

    def conflicts(self) -> Iterator[Fault]:
        if self.is_exposed and not self.insecure and self.web_config is None:
            yield Fault(
                ("listen",),
                "expected a loopback address, or web_config with TLS or users beside it, or insecure: true, "
                f"found {self.host}",
            )


def _check_kept(seconds: float) -> float:
    if seconds < 86400:
        raise expected("a duration of 1d or more")
    return seconds


Kept = Annotated[Duration, AfterValidator(_check_kept)]


class HistorySettings(Section):
    """`history`: for how long it is remembered what happened, and who did what."""

    alarms: Kept = Field(
        default=90 * 86400.0, description="how long alarms that ended can be listed; 20,000 of them at most"
    )
    audit: Kept = Field(
        default=365 * 86400.0, description="how long it stays on record who did what; 50,000 entries at most"
    )


def _check_heartbeat(seconds: float) -> float:
    if 0 < seconds < 10:
        raise expected("0, or a duration of 10s or more")
    return seconds


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a configuration came from: its file, the digest of its bytes, what to warn about."""

    document: Document
    digest: str
    notes: tuple[Fault, ...]


class Config(Section):
    """The configuration of Tocsin."""

    detector: DetectorSettings = DetectorSettings()
    streams: tuple[StreamSettings, ...] = Field(min_length=1, description="the sources of frames")
    rules: tuple[RuleSettings, ...] = Field(default=(), description="what raises an alarm")
    webhooks: tuple[WebhookSettings, ...] = Field(default=(), description="where events are sent")
    http: HttpSettings = HttpSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    history: HistorySettings = HistorySettings()
    heartbeat: Annotated[Duration, AfterValidator(_check_heartbeat)] = Field(
        default=0.0,
        description="how often tocsin.heartbeat is sent to the webhooks that ask for it; 0 is never",
    )
    state_dir: LocalPath = Field(
        default="/var/lib/tocsin",
        description="where the outbox, evidence and the control socket live; no folder that everybody writes in",
    )

    _origin: Origin | None = PrivateAttr(default=None)

    def came_from(self, origin: Origin) -> Self:
        """Remember where this configuration came from, and return it."""
        self._origin = origin
        return self

    @property
    def origin(self) -> Origin | None:
        """Where it was loaded from; None for one that was built in code."""
        return self._origin

    @property
    def digest(self) -> str:
        """`sha256:...` of the file's bytes, or of the values where there is no file."""
        if self._origin is not None:
            return self._origin.digest
        return f"sha256:{hashlib.sha256(self.model_dump_json().encode()).hexdigest()}"
