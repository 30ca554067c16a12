"""Whether a configuration could run here: everything that speaks against it, without starting anything."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from tocsin import assembly
from tocsin.config.crosscheck import Parts
from tocsin.config.load import Config, Reading, messages, notes, study, told
from tocsin.config.places import fault_at
from tocsin.config.secrets import secret_faults
from tocsin.config.settings import HttpSettings
from tocsin.config.web import load_web
from tocsin.deliver.access import tls_context
from tocsin.deliver.address import is_loopback
from tocsin.deliver.certificates import Validity, doubt, validities
from tocsin.detect.detector import Detector, open_detector
from tocsin.detect.model import check_classes
from tocsin.detect.session import Placement
from tocsin.detect.settings import DetectorSettings
from tocsin.errors import ConfigError, ModelError, StartError, TocsinError
from tocsin.fields import counted
from tocsin.yamlfile import Fault, KeyPath, read


@dataclass(frozen=True, slots=True)
class DetectorFacts:
    """Which model it is and where it really runs."""

    model: str
    placement: Placement


@dataclass(frozen=True, slots=True)
class Checked:
    """A configuration that can run; `warnings` are messages with their places, in the order of the file."""

    config: Config
    detector: DetectorFacts
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        config, detector = self.config, self.detector
        parts = (
            counted(len(config.streams), "stream"),
            counted(len(config.rules), "rule"),
            counted(len(config.webhooks), "webhook"),
        )
        return f"valid: {', '.join(parts)}; {detector.model} runs on {detector.placement}"


@dataclass(frozen=True, slots=True)
class Known:
    """What a running daemon need not find out again.

    `variables` are as in `resolve_secrets`. `labels` are those of the model that the section `detector` makes, as
    long as its file is the same; None where it may be another.
    """

    variables: Mapping[str, str] = field(repr=False)
    detector: DetectorSettings
    labels: tuple[str, ...] | None


def check(path: str | os.PathLike[str]) -> Checked:
    """Check the configuration in the file at `path`, its secrets, its model and its folder for the state.

    Raises ConfigError with every fault, each with its place and in the order of the file, and StartError where
    all that is missing is the device that it asks for. Secrets that only the service manager could provide are
    left to the warnings. Opens the model, and no camera, port or outbox.
    """
    reading = _read(Path(path))
    return _judge(reading, secret_faults(reading.parts, skip_credentials=True))


def complete(
    path: str | os.PathLike[str],
    first: TocsinError,
    *,
    secrets_had: bool = False,
    known: Known | None = None,
) -> TocsinError:
    """Return an error with all that is wrong with the configuration at `path`, of which `first` came to light.

    That is `first` itself where nothing is wrong with the configuration. What the machine refused is told too,
    since `check` does not try it all: a port in use, say. With `secrets_had` secrets are not looked for again:
    the environment may have been cleared of them. What a running daemon has `known` saves time, too.
    """
    try:
        reading = _read(Path(path))
        variables = None if known is None else known.variables
        secrets = [] if secrets_had else secret_faults(reading.parts, skip_credentials=False, known=variables)
        _refuse(reading, secrets, _try_detector(reading.parts, known))
    except ConfigError as error:
        refused = str(first).splitlines() if isinstance(first, StartError) else []
        return ConfigError(*dict.fromkeys([*error.faults, *refused]))
    except StartError:
        return first
    return first


def _read(path: Path) -> Reading:
    return study(read(path), name=str(path), folder=path.absolute().parent)


def _judge(reading: Reading, secrets: list[Fault]) -> Checked:
    trial = _try_detector(reading.parts)
    _refuse(reading, secrets, trial)
    config = reading.config
    assert config is not None, "a configuration that is none has faults"
    assert trial.facts is not None, "a detector that does not open is a fault, and so is a model of no sense"
    doubts = [
        *notes(config),
        *_degraded(trial.facts.placement),
        *_what_may_mend(config),
        *_what_runs_out(config),
        *_gaps(config),
        *_private_links(config),
    ]
    return Checked(config, trial.facts, tuple(messages(config, doubts)))


def _refuse(reading: Reading, secrets: list[Fault], trial: "_Trial") -> None:
    """Raise ConfigError for faults, and StartError for what only this machine lacks."""
    tls = _tls_faults(reading.parts)
    faults = [*reading.faults, *secrets, *trial.faults, *tls, *_state_faults(reading.parts)]
    faults += _web_faults(reading.parts)
    if faults:
        raise ConfigError(*told(reading.document, [*faults, *trial.missing]))
    if trial.missing:
        raise StartError(*told(reading.document, trial.missing))


@dataclass(frozen=True, slots=True)
class _Trial:
    """What came of opening the detector; `missing` holds what this machine lacks and another might have."""

    facts: DetectorFacts | None = None
    faults: tuple[Fault, ...] = ()
    missing: tuple[Fault, ...] = ()


def _try_detector(parts: Parts, known: Known | None = None) -> _Trial:
    if parts.detector is None or not parts.detector.sound("model"):
        return _Trial()
    if known is not None and known.labels is not None and parts.detector.settings == known.detector:
        return _Trial(None, tuple(_unknown_classes(parts, known.labels)))
    faults: list[Fault] = []
    missing: list[Fault] = []
    settings = parts.detector.settings
    try:
        try:
            detector = _open(settings)
        except StartError as error:  # the model and its classes can be judged all the same
            missing.append(fault_at(("detector", "device"), str(error)))
            detector = _open(settings.model_copy(update={"device": "cpu"}))
        faults += _unknown_classes(parts, detector.labels)
        detector.warm()
    except ModelError as error:
        faults.append(fault_at(("detector", "model"), str(error)))
        return _Trial(None, tuple(faults), tuple(missing))
    facts = DetectorFacts(detector.model_name, detector.placement)
    return _Trial(facts, tuple(faults), tuple(missing))


def _open(settings: DetectorSettings) -> Detector:
    return open_detector(settings.model, settings.device, settings.max_batch, assembly.NOBODY_ASKS)


def _degraded(placement: Placement) -> Iterator[Fault]:
    if placement.degraded:
        yield fault_at(("detector", "device"), placement.degraded)


def _unknown_classes(parts: Parts, labels: tuple[str, ...]) -> Iterator[Fault]:
    for rule in parts.rules:
        if rule.sound("classes"):
            classes = rule.settings.classes
            for unknown in check_classes(labels, classes):
                yield Fault((*rule.path, "classes", classes.index(unknown.name)), str(unknown))
        if rule.settings.near is not None:
            for unknown in check_classes(labels, (rule.settings.near,)):
                yield Fault((*rule.path, "near"), str(unknown))


def _tls_faults(parts: Parts) -> Iterator[Fault]:
    """What is wrong with certificates and keys that can be read; those that cannot may be there at the start."""
    for entry in parts.webhooks:
        settings = entry.settings
        files = settings.ca_file, settings.cert_file, settings.key_file
        if not entry.sound("ca_file", "cert_file", "key_file") or any(
            _unreadable(Path(file)) for file in files if file is not None
        ):
            continue
        try:
            tls_context(*files)
        except ConfigError as error:
            key, _, sentence = str(error).partition(": ")
            yield Fault((*entry.path, key), sentence)


def _what_runs_out(config: Config) -> Iterator[Fault]:
    """Certificates that are over, not yet valid, or soon to be renewed."""
    now = datetime.now(UTC)
    authorities: list[tuple[KeyPath, str | None]] = [
        (("streams", number, "ca_file"), stream.ca_file) for number, stream in enumerate(config.streams)
    ]
    authorities += [
        (("webhooks", number, "ca_file"), webhook.ca_file) for number, webhook in enumerate(config.webhooks)
    ]
    for path, file in authorities:
        if file and (why := doubt(_validities(file), now)):
            yield Fault(path, why)
    for number, webhook in enumerate(config.webhooks):
        # Its first certificate is its own, those behind it are of whoever signed it.
        if webhook.cert_file and (why := doubt(_validities(webhook.cert_file)[:1], now)):
            yield Fault(("webhooks", number, "cert_file"), why)


def _validities(file: str) -> tuple[Validity, ...]:
    try:
        return validities(Path(file).read_bytes())
    except OSError:  # said elsewhere
        return ()


def _state_faults(parts: Parts) -> Iterator[Fault]:
    if parts.state_dir and (fault := state_dir_fault(parts.state_dir)):
        yield Fault(("state_dir",), fault)


def _web_faults(parts: Parts) -> list[Fault]:
    """What is wrong with the endpoint's own file, unless this user cannot read it or what it names."""
    http = parts.http
    if http is None or http.settings.web_config is None or not http.sound("web_config", "listen", "insecure"):
        return []
    path = ("http", "web_config")
    try:
        if any(_unreadable(Path(file)) for file in _web_files(http.settings)):
            return []
        assembly.web(http.settings).load()
    except ConfigError as error:
        return [Fault(path, fault) for fault in error.faults]
    return []


def _web_files(http: HttpSettings) -> list[str]:
    """The endpoint's own file and those that it names; raises ConfigError where it makes no sense."""
    if http.web_config is None or _unreadable(Path(http.web_config)):
        return [] if http.web_config is None else [http.web_config]
    return [http.web_config, *load_web(Path(http.web_config)).files()]


def _gaps(config: Config) -> Iterator[Fault]:
    """What others on the network can do to an endpoint that is not theirs alone."""
    files = _web_files(config.http)
    if config.http.is_exposed and files and not any(_unreadable(Path(file)) for file in files):
        gap = assembly.web(config.http).load().gap
        if gap is not None:
            yield Fault(("http", "web_config"), gap)


def _private_links(config: Config) -> Iterator[Fault]:
    """Links in alarms that lead nowhere on the machine that gets them."""
    http = config.http
    if http.public_url is not None or (http.is_exposed and not http.is_everywhere):
        return
    for webhook in config.webhooks:
        host = urlsplit(webhook.url).hostname if isinstance(webhook.url, str) else None
        if host is None or not is_loopback(host):
            sentence = (
                f"expected where webhook {webhook.name} reaches the endpoint, found none: links in alarms lead "
                f"to {http.host}, which is only for this machine"
            )
            yield Fault(("http", "public_url"), sentence)
            return


def state_dir_fault(path: Path) -> str | None:
    """Return why the state can never be at `path`, or None: no directory can be there, or it is everybody's.

    Who may write in it may put another outbox or socket in the place of ours, and so silence or invent alarms.
    """
    there = _nearest(path)
    try:
        if there.is_dir():
            if there == path and path.stat().st_mode & stat.S_IWOTH:
                return f"expected a directory that others cannot write in, found {path} writable by everyone"
            return None
    except PermissionError:  # a link to where this user may not look
        return None
    where = "" if there == path else f" above it, {there}"
    return f"expected a directory at {path}, found something else{where}"


def _nearest(path: Path) -> Path:
    """The path itself or the lowest folder above it that is there."""
    return next(one for one in (path, *path.parents) if os.path.lexists(one))


def _what_may_mend(config: Config) -> Iterator[Fault]:
    """What stands in the way now, as far as this user can see, and may be gone when the daemon starts."""
    files: list[tuple[KeyPath, str]] = []
    for number, stream in enumerate(config.streams):
        if stream.scheme == "file":
            files.append((("streams", number, "source"), stream.source.removeprefix("file:")))
        if stream.ca_file is not None:
            files.append((("streams", number, "ca_file"), stream.ca_file))
    for number, webhook in enumerate(config.webhooks):
        named = ((key, getattr(webhook, key)) for key in ("ca_file", "cert_file", "key_file"))
        files += [(("webhooks", number, key), file) for key, file in named if file is not None]
    files += [(("http", "web_config"), file) for file in _web_files(config.http)]
    for path, file in files:
        if why := _unreadable(Path(file)):
            yield Fault(path, why)
    state = Path(config.state_dir)
    there = _nearest(state)
    if not os.access(there, os.W_OK | os.X_OK):
        what = f"write in {state}" if there == state else f"make {state}"
        yield Fault(("state_dir",), f"this user is not allowed to {what}")


def _unreadable(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return f"there is no file {path} now"
    except OSError as error:
        return f"{path} cannot be read now: {(error.strerror or 'an error').lower()}"
    if stat.S_ISDIR(mode):
        return f"{path} is a directory now, and no file"
    return None if os.access(path, os.R_OK) else f"this user is not allowed to read {path}"
