"""What a reload compares, refuses and exchanges; the detectors are stand-ins that nobody runs."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tocsin import reload
from tocsin.config.load import Config, load, loads
from tocsin.errors import ConfigError, ModelError
from tocsin.metrics import Reload
from tocsin.reload import Reloader, Running, differences, refuse_what_needs_a_restart

STREAMS = [{"name": name, "source": f"rtsp://{name}/1", "rules": ["visit"]} for name in ("yard", "gate")]
RULES = [{"name": name, "classes": ["person"]} for name in ("visit", "night")]
SITE: dict[str, Any] = {
    "detector": {"device": "cpu"},
    "streams": STREAMS,
    "rules": RULES,
    "state_dir": "/var/a",
}


def config(**changed: Any) -> Config:
    return loads(json.dumps({**SITE, **changed}).encode(), name="tocsin.yaml", folder=Path("/"))


@pytest.mark.parametrize(
    ("changed", "places"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"detector": {"device": "auto"}}, ["detector"], id="a section"),
        pytest.param(
            {"detector": {"device": "cpu", "max_batch": "auto"}}, [], id="a default that is written out"
        ),
        pytest.param(
            {"streams": [{**STREAMS[0], "max_fps": 3}, STREAMS[1]]}, ["streams.yard"], id="an entry"
        ),
        pytest.param({"streams": STREAMS[:1]}, ["streams.gate"], id="an entry that is gone"),
        pytest.param(
            {"rules": [*RULES, {**RULES[0], "name": "new"}]}, ["rules.new"], id="an entry that is new"
        ),
        pytest.param({"streams": STREAMS[::-1]}, ["the order of streams"], id="the order alone"),
        pytest.param(
            {
                "state_dir": "/var/b",
                "http": {"listen": "127.0.0.1:1"},
                "rules": RULES[:1],
                "streams": STREAMS[1:],
            },
            ["streams.yard", "rules.night", "http", "state_dir"],
            id="many, in the order of the sections",
        ),
    ],
)
def test_what_differs_is_named(changed: dict[str, Any], places: list[str]) -> None:
    """A section by its key, an entry of a list by its name."""
    assert differences(config(), config(**changed)) == places


def test_the_refusal_names_all_that_needs_a_restart() -> None:
    """The detector may change beside it and is not named."""
    other = config(detector={"device": "auto"}, rules=[], streams=[{**STREAMS[0], "rules": []}])
    with pytest.raises(ConfigError) as caught:
        refuse_what_needs_a_restart(config(), other)
    assert str(caught.value) == (
        "reload: expected changes of detector only, found changes of streams.yard, streams.gate, rules.visit and "
        "rules.night; restart for these"
    )
    refuse_what_needs_a_restart(config(), config(detector={"device": "auto"}))


@pytest.mark.parametrize(
    ("message", "place", "sentence"),
    [
        pytest.param("/a/b.yaml:6: x: y", "/a/b.yaml:6", "x: y", id="a line"),
        pytest.param("/a/b.yaml: found: nothing", "/a/b.yaml", "found: nothing", id="the file as a whole"),
        pytest.param("reload: x", None, "reload: x", id="elsewhere"),
    ],
)
def test_a_place_is_told_apart_from_what_is_wrong_there(
    message: str, place: str | None, sentence: str
) -> None:
    """A file that cannot be read has no line, and its sentence stays whole."""
    assert reload._split(message, Path("/a/b.yaml")) == (place, sentence)


@dataclass(eq=False)
class Stub:
    """A detector by its facts."""

    model_name: str
    degraded: str | None = None
    device: str = "cpu"
    provider: str = "CPUExecutionProvider"
    closed: bool = False
    blind: str | None = None

    def close(self) -> None:
        self.closed = True


@dataclass
class Kept:
    detector: Stub
    canary: "Kept | None" = None

    def __post_init__(self) -> None:
        self.canary = self

    def check(self, detector: Stub) -> str | None:
        """What the reference picture shows of it."""
        return detector.blind


@dataclass
class Rig:
    """A reloader, and all that it is told or tells."""

    file: Path
    detector: Stub
    opened: list[Any] = field(default_factory=list)
    heard: list[object] = field(default_factory=list)
    offers: list[tuple[Stub, Callable[[str], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reloader = Reloader(
            self.file, Running(load(self.file), (("a",),)), self, self._adopt, self, self, str
        )  # type: ignore[arg-type]

    @property
    def makeshift(self) -> bool:
        return self.detector.degraded is not None

    def replace(self, kept: Kept, on_rollback: Callable[[str], None]) -> None:
        self.offers.append((kept.detector, on_rollback))
        self.detector = kept.detector

    def take_back(self, offer: int, to: Stub) -> None:
        self.detector = to
        self.offers[offer][1]("it failed")

    def _adopt(self, config: Config, detector: Stub | None) -> None:
        self.heard.append((config.detector.max_batch, detector and detector.model_name))

    def reloaded(self, result: Reload, at: float) -> None:
        assert abs(at - time.time()) < 60
        self.heard.append(result)

    def model_reload_failed(self) -> None:
        self.heard.append("failed")

    def reloading(self, now: float) -> None:
        self.heard.append("reloading")

    def ready(self, status: str) -> None:
        self.heard.append("ready")

    def ask(self) -> list[object]:
        """Reload, and return what was heard of it."""
        self.heard.clear()
        assert self.reloader.begin()
        assert self.reloader._thread is not None
        self.reloader._thread.join(30)
        return list(self.heard)

    def write(self, **detector: Any) -> None:
        self.file.write_text(json.dumps({**SITE, "detector": {"device": "cpu", **detector}}))


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Files are what `rig.files` says, and each opening gives the next of `rig.opened` or raises it."""
    file = tmp_path / "tocsin.yaml"
    file.write_text(json.dumps(SITE))
    rig = Rig(file, Stub("first"))

    def open_next(_: Config) -> Kept:
        found = rig.opened.pop(0)
        if isinstance(found, Exception):
            raise found
        return Kept(found)

    monkeypatch.setattr(reload, "stamp", lambda _: (("a",),))
    monkeypatch.setattr(reload, "warm_detector", open_next)
    monkeypatch.setattr(reload, "complete", lambda _file, first, secrets_had: first)
    return rig


def test_a_model_that_is_the_same_is_left_alone(rig: Rig) -> None:
    """Nothing is opened, and the detector stays."""
    assert rig.ask() == ["reloading", ("auto", None), Reload.UNCHANGED, "ready"]


def test_a_file_that_changed_is_opened_though_the_section_did_not(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same path may hold another model."""
    monkeypatch.setattr(reload, "stamp", lambda _: (("b",),))
    rig.opened = [Stub("second")]
    assert rig.ask() == ["reloading", ("auto", "second"), Reload.APPLIED, "ready"]
    assert rig.ask() == ["reloading", ("auto", None), Reload.UNCHANGED, "ready"]


@pytest.mark.parametrize("still", ["no CUDA", None])
def test_a_degraded_detector_tries_its_device_again(rig: Rig, still: str | None) -> None:
    """It is exchanged only for one that is not."""
    rig.detector.degraded = "no CUDA"
    again = Stub("again", degraded=still)
    rig.opened = [again]
    result: list[object] = (
        [("auto", None), Reload.UNCHANGED] if still else [("auto", "again"), Reload.APPLIED]
    )
    assert rig.ask() == ["reloading", *result, "ready"]
    assert again.closed is bool(still)


@pytest.mark.parametrize("error", [ModelError("no model"), RuntimeError("a defect")])
def test_whatever_goes_wrong_the_old_one_stays_and_the_manager_hears_the_end(
    rig: Rig, error: Exception
) -> None:
    """Also an error that nobody expected ends that reload and nothing else."""
    rig.write(max_batch=2)
    rig.opened = [error, Stub("second")]
    known: list[object] = ["failed", Reload.REFUSED, "ready"]
    assert rig.ask() == [
        "reloading",
        *(known if isinstance(error, ModelError) else ["ready", Reload.REFUSED]),
    ]
    assert rig.offers == []
    assert rig.ask() == ["reloading", (2, "second"), Reload.APPLIED, "ready"]


def test_a_model_that_misses_what_its_reference_picture_shows_is_refused(rig: Rig) -> None:
    """It opens and runs, and still does not see: the old one stays, and the new one is closed."""
    rig.write(max_batch=2)
    blind = Stub("blind", blind="expected a person")
    rig.opened = [blind]
    assert rig.ask() == ["reloading", "failed", Reload.REFUSED, "ready"]
    assert (rig.offers, blind.closed) == ([], True)


def test_what_was_taken_back_is_tried_again_when_asked(rig: Rig) -> None:
    """The configuration goes back with the detector, and is still another than the file's."""
    first = rig.detector
    rig.write(max_batch=2)
    rig.opened = [Stub("second"), Stub("third")]
    rig.ask()
    rig.heard.clear()
    rig.take_back(0, first)
    assert rig.heard == [("auto", "first"), Reload.ROLLED_BACK]
    assert rig.ask() == ["reloading", (2, "third"), Reload.APPLIED, "ready"]


def test_two_that_fail_one_after_the_other_lead_back_to_the_one_that_worked(rig: Rig) -> None:
    """The second came before the first had proved itself: its own configuration is not the first's."""
    first = rig.detector
    rig.write(max_batch=2)
    rig.opened = [Stub("second"), Stub("third")]
    rig.ask()
    rig.write(max_batch=3)
    assert rig.ask() == ["reloading", (3, "third"), Reload.APPLIED, "ready"]
    rig.heard.clear()
    rig.take_back(1, first)
    assert rig.heard == [("auto", "first"), Reload.ROLLED_BACK]


def test_what_is_taken_back_too_late_changes_nothing(rig: Rig) -> None:
    """The engine may take a detector back in the moment in which the next one is offered: that one counts."""
    first = rig.detector
    rig.opened = [Stub("second"), Stub("third")]
    for batch in (2, 3):
        rig.write(max_batch=batch)
        rig.ask()
    rig.heard.clear()
    third = rig.detector
    rig.take_back(0, to=first)
    assert rig.heard == []
    rig.detector = third
    assert rig.ask() == ["reloading", (3, None), Reload.UNCHANGED, "ready"]


def test_a_stop_lets_what_loads_change_nothing(rig: Rig) -> None:
    """Neither the detector nor the service manager's view of a daemon that stops."""
    rig.write(max_batch=2)
    rig.opened = [Stub("second")]
    rig.reloader.stop()
    assert rig.ask() == ["reloading"]


def test_the_memory_of_a_detector_is_given_back_when_it_is_let_go(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: until the new one has proved itself the old one is kept."""
    trims: list[float] = []
    monkeypatch.setattr(reload, "trim", lambda: trims.append(time.monotonic()))
    kept = rig.detector
    rig.write(max_batch=2)
    rig.opened = [Stub("second")]
    rig.ask()
    assert len(trims) == 1, "what it took to load"
    rig.reloader.tidy()
    assert len(trims) == 1
    del kept
    rig.reloader.tidy()
    rig.reloader.tidy()
    assert len(trims) == 2
