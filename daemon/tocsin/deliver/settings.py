"""What the configuration says about webhooks."""

import base64
import binascii
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from tocsin.deliver.access import header_name_fault, header_value_fault
from tocsin.deliver.address import Denial, Network, denial, is_denied_for_ever, is_loopback, literal
from tocsin.deliver.event import EventType
from tocsin.deliver.formats import picture_in, template_fault
from tocsin.fields import LocalPath, Name, Secret, Section, check_port, counted, expected, text_of
from tocsin.yamlfile import Fault

SIGNING_KEY = "whsec_ and base64 of 24 to 64 bytes"


def signing_key_fault(text: str) -> str | None:
    """Return what is wrong with a Standard Webhooks secret, or None; the text itself is never part of it."""
    prefix, _, encoded = text.partition("_")
    if prefix != "whsec":
        return f"expected {SIGNING_KEY}, found no whsec_ in front"
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        return f"expected {SIGNING_KEY}, found text that is not base64"
    return None if 24 <= size <= 64 else f"expected {SIGNING_KEY}, found {counted(size, 'byte')}"


_URL = "https://HOST/PATH, or http:// to this machine's loopback"
_NETWORK = "an address or a network such as 10.0.0.0/8"
_EVENTS = "a type of event such as alarm.raised, or all of a kind such as alarm.*"


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # a broken IPv6 address
        raise expected(_URL) from None
    if not parts.hostname or not url.isascii() or " " in url or parts.scheme not in ("https", "http"):
        raise expected(_URL)
    check_port(parts)
    if "@" in parts.netloc:
        raise expected("an address without user and password", "one with them")
    if parts.fragment:
        raise expected("an address without a fragment (#)", "one with it")
    return url


def _check_pattern(pattern: str) -> str:
    if pattern in set(EventType) or pattern in {f"{kind.partition('.')[0]}.*" for kind in EventType}:
        return pattern
    raise expected(_EVENTS)


def _check_network(text: str) -> str:
    try:
        network = ip_network(text)
    except ValueError:
        raise expected(_NETWORK) from None
    if is_denied_for_ever(network):
        raise expected("a network that a webhook may be in")
    return text


def _parse_url(value: object, info: ValidationInfo) -> object:
    """Return a text that is checked, or a reference to one, which is checked once it is known."""
    if isinstance(value, Secret | dict):
        return Secret.parse(value, info)
    if not isinstance(value, str):
        raise expected(_URL, f"the number {value}" if type(value) in (int, float) else None)
    return _check_url(value)


Url = Annotated[
    str | Secret,
    PlainValidator(_parse_url, json_schema_input_type=str | Secret),
    WithJsonSchema(Secret.json_schema()),
]
"""Where a receiver is; a reference where the address itself is the secret, as that of a chat's hook is."""


def _check_headers(headers: dict[str, Secret]) -> dict[str, Secret]:
    lower = [name.lower() for name in headers]
    for name in headers:
        if fault := header_name_fault(name):
            raise expected(fault.removeprefix("expected "), name[:64])
        if lower.count(name.lower()) > 1:
            raise expected("each header once", f"{name} again")
    return headers


def _check_template(template: str | dict[str, str]) -> str | dict[str, str]:
    for text in [template] if isinstance(template, str) else template.values():
        if fault := template_fault(text):
            what, _, found = fault.removeprefix("expected ").partition(", found ")
            raise expected(what, found)
    return template


Template = Annotated[dict[str, str] | str, AfterValidator(_check_template), text_of("texts, or one text")]
Headers = Annotated[dict[str, Secret], AfterValidator(_check_headers)]
NetworkText = Annotated[str, AfterValidator(_check_network), text_of(_NETWORK)]
Pattern = Annotated[str, AfterValidator(_check_pattern), text_of(_EVENTS)]


SEVERITIES: tuple[Literal["critical", "warning", "info"], ...] = ("critical", "warning", "info")
_SECRET_WORDS = ("auth", "key", "secret", "token")
_DENIED = {
    Denial.NEVER: "expected a receiver's address, found one that no webhook may have: link-local, "
    "a metadata service, multicast, reserved or IPv4 wrapped into IPv6",
    Denial.OUTSIDE: "expected an address in allow_networks, found another one",
}


class WebhookSettings(Section):
    """`webhooks[]`."""

    name: Name = Field(description="the webhook's name in metrics, events and logs")
    url: Url = Field(
        description="https://..., or http:// to this machine's loopback; given like a password where it is a secret"
    )
    secret: Secret | None = Field(
        default=None,
        description=f"the shared secret that signs each delivery: {SIGNING_KEY}; format tocsin needs it",
    )
    previous_secret: Secret | None = Field(
        default=None,
        description="the secret before it, which also signs until every receiver knows the new one",
    )
    format: Literal["tocsin", "cloudevents", "alertmanager", "template"] = Field(
        default="tocsin", description="the shape of the body"
    )
    template: Template = Field(
        default={},
        description="format template: the texts of a JSON object, or one plain text; with {summary} and others",
    )
    events: tuple[Pattern, ...] = Field(
        default=("alarm.*", "stream.*", "detector.*", "delivery.*", "outbox.*", "silence.*", "test.*"),
        min_length=1,
        description="types of event to send: a whole type, or all of a kind such as alarm.*; format alertmanager "
        "sends alarm.raised, alarm.verdict and alarm.ended",
    )
    severities: tuple[Literal["critical", "warning", "info"], ...] = Field(
        default=SEVERITIES,
        min_length=1,
        description="of alarms and their evidence, those of rules with these severities alone; no other event is "
        "concerned",
    )
    attach: Literal["none", "base64", "multipart"] = Field(
        default="none",
        description="how evidence.made and evidence.filmed bring the pictures and the clip along",
    )
    attach_bytes: int = Field(
        default=1_000_000,
        ge=1_000,
        le=20_000_000,
        description="what they may take of a body together, as sent",
    )
    headers: Headers = Field(default={}, description="further headers, each a text or given like a password")
    username: str | None = Field(default=None, description="the user for HTTP Basic")
    password: Secret | None = Field(default=None, description="that user's password")
    token: Secret | None = Field(default=None, description="what follows Bearer in Authorization")
    ca_file: LocalPath | None = Field(
        default=None, description="certificates to trust instead of the system's"
    )
    cert_file: LocalPath | None = Field(default=None, description="the certificate to show, in PEM")
    key_file: LocalPath | None = Field(
        default=None, description="its key, where the certificate's file does not hold it"
    )
    allow_insecure: bool = Field(default=False, description="allow plain http to other machines")
    allow_networks: tuple[NetworkText, ...] = Field(
        default=(), description="the only networks that the receiver's name may resolve to"
    )

    weighed: ClassVar[frozenset[str]] = frozenset(
        {
            "url",
            "secret",
            "previous_secret",
            "allow_insecure",
            "allow_networks",
            "headers",
            "username",
            "password",
            "token",
        }
        | {"ca_file", "cert_file", "key_file", "format", "template", "events", "attach", "attach_bytes"}
    )

    @property
    def patterns(self) -> tuple[str, ...]:
        """What selects the events that are queued for it, as `Event.wanted` reads it."""
        manager = self.format == "alertmanager"
        told = (EventType.ALARM_RAISED, EventType.ALARM_VERDICT, EventType.ALARM_ENDED)
        kinds = told if manager else self.events
        return tuple(
            f"{kind}{end}"
            for kind in kinds
            for end in (self._severities if kind.startswith(("alarm.", "evidence.")) else ("",))
        )

    @property
    def pictures_named(self) -> tuple[str, ...]:
        """The kinds of pictures that are fields of the template by themselves."""
        texts = () if isinstance(self.template, str) else self.template.values()
        return tuple(kind for text in texts if (kind := picture_in(text)))

    @property
    def _severities(self) -> tuple[str, ...]:
        """The ends of patterns that select alarms; an empty one where every severity is wanted."""
        return (
            ("",) if set(SEVERITIES) <= set(self.severities) else tuple(f"/{one}" for one in self.severities)
        )

    @property
    def networks(self) -> tuple[Network, ...]:
        """`allow_networks` as networks."""
        return tuple(ip_network(text) for text in self.allow_networks)

    def secrets(self) -> Iterator[tuple[tuple[str, ...], Secret]]:
        """Yield each secret with its path in this section."""
        given = {
            "url": self.url if isinstance(self.url, Secret) else None,
            "secret": self.secret,
            "previous_secret": self.previous_secret,
            "password": self.password,
            "token": self.token,
        }
        yield from (((key,), secret) for key, secret in given.items() if secret is not None)
        for name, value in self.headers.items():
            # A text as it stands is none, unless its name says so: masking `north` would riddle the log.
            if value.kind != "inline" or any(word in name.lower() for word in _SECRET_WORDS):
                yield ("headers", name), value

    def conflicts(self) -> Iterator[Fault]:
        secret = self.secret
        if secret is None and self.format == "tocsin":
            yield Fault(("secret",), "expected this key beside format: tocsin, found none")
        if secret is None and self.previous_secret is not None:
            yield Fault(("previous_secret",), "expected this key beside secret, found it alone")
        for key, each in (("secret", secret), ("previous_secret", self.previous_secret)):
            if each is not None and each.kind == "inline" and (fault := signing_key_fault(each.reference)):
                yield Fault((key,), fault)
        if self.changed("template") != (self.format == "template"):
            found = "none" if self.format == "template" else f"it with {self.format}"
            yield Fault(
                ("template",), f"expected this key with format: template and only there, found {found}"
            )
        if self.format == "alertmanager" and self.changed("events"):
            yield Fault(
                ("events",),
                "expected none with format: alertmanager, which takes raises, verdicts and ends, found some",
            )
        yield from self._attach_conflicts()
        for name, value in self.headers.items():
            if value.kind == "inline" and (fault := header_value_fault(value.reference)):
                yield Fault(("headers", name), fault)
        yield from self._place_conflicts()
        yield from self._access_conflicts()

    def secret_url_fault(self, url: str) -> str | None:
        """Return what is wrong with the address that `url` refers to, or None; the text is never part of it."""
        try:
            _check_url(url)
        except PydanticCustomError as error:
            context = error.context or {}
            found = context.get("found", "something else")
            return f"expected {context['what']}, found {found}"
        return next((fault.sentence for fault in self._faults_of_place(url)), None)

    def _place_conflicts(self) -> Iterator[Fault]:
        if isinstance(self.url, str):
            yield from self._faults_of_place(self.url)

    def _faults_of_place(self, url: str) -> Iterator[Fault]:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            if not self.allow_insecure and not is_loopback(host):
                yield Fault(
                    ("url",),
                    "expected https, or allow_insecure: true beside it, found http to another machine",
                )
            for key in ("ca_file", "cert_file"):
                if self.changed(key):
                    yield Fault((key,), "expected this key only with https:, found it with http:")
        address = literal(host)
        if address is not None and (denied := denial(address, host, self.networks)):
            yield Fault(("url",), _DENIED[denied])

    def _attach_conflicts(self) -> Iterator[Fault]:
        way = self.attach
        if way == "none":
            if self.changed("attach_bytes"):
                yield Fault(("attach_bytes",), "expected attach: base64 or multipart beside it, found none")
        elif self.format == "alertmanager":
            yield Fault(
                ("attach",), f"expected none with format: alertmanager, which takes links, found {way}"
            )
        elif self.format == "cloudevents" and way == "multipart":
            yield Fault(
                ("attach",), "expected base64 with format: cloudevents, which is one JSON, found multipart"
            )
        elif self.format == "template" and way == "base64":
            yield Fault(("attach",), "expected multipart with format: template, found base64")
        elif self.format == "template" and not self.pictures_named:
            yield Fault(
                ("template",),
                "expected a field that is {picture}, {crop} or {clip} beside attach: multipart, found none",
            )

    def _access_conflicts(self) -> Iterator[Fault]:
        if self.password is not None and self.username is None:
            yield Fault(("password",), "expected a username beside the password, found none")
        if self.username is not None and self.password is None:
            yield Fault(("username",), "expected a password beside the username, found none")
        if self.username is not None and ":" in self.username:
            yield Fault(("username",), "expected a user without a colon, found one with it")
        if self.key_file is not None and self.cert_file is None:
            yield Fault(("key_file",), "expected a cert_file beside the key, found none")
        named = [name for name in self.headers if name.lower() == "authorization"]
        ways = [key for key in ("username", "token") if self.changed(key)] + ["headers"] * bool(named)
        if len(ways) > 1:
            yield Fault((ways[-1],), f"expected one way to sign in, found {' and '.join(ways)}")
