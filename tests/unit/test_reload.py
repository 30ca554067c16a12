"""How reloads come one after the other and end; the detectors are stand-ins that nobody runs."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tocsin import assembly, reload
from tocsin.config.load import load, resolve_secrets
from tocsin.errors import ModelError
from tocsin.metrics import Reload
from tocsin.plan import Draft, Plan
from tocsin.reload import REST, Reloader

STREAMS = [{"name": name, "source": f"rtsp://{name}/1", "rules": ["visit"]} for name in ("yard", "gate")]
RULES = [{"name": name, "classes": ["person"]} for name in ("visit", "night")]
SITE: dict[str, Any] = {
    "detector": {"device": "cpu"},
    "streams": STREAMS,
    "rules": RULES,
    "state_dir": "/var/a",
}


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
    labels: tuple[str, ...] = ("person",)

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
        config = load(self.file)
        draft = assembly.draft(config, resolve_secrets(config), (("a",),))  # type: ignore[arg-type]
        self.now = 0.0
        self.reloader = Reloader(self.file, draft, self, self._adopt, self, self, lambda: "well")  # type: ignore[arg-type]

    @property
    def makeshift(self) -> bool:
        return self.detector.degraded is not None

    def replace(self, kept: Kept, on_rollback: Callable[[str], None]) -> None:
        self.offers.append((kept.detector, on_rollback))
        self.detector = kept.detector

    def take_back(self, offer: int, to: Stub) -> None:
        """Do as the engine's thread, and then as the main loop."""
        self.detector = to
        self.offers[offer][1]("it failed")
        self.reloader.turn()

    def _adopt(self, draft: Draft, detector: Stub, plan: Plan) -> None:
        self.heard.append((draft.config.detector.max_batch, detector.model_name))

    def reloaded(self, result: Reload, at: float) -> None:
        assert abs(at - time.time()) < 60
        self.heard.append(result)

    def model_reload_failed(self) -> None:
        self.heard.append("failed")

    def reloading(self, now: float) -> None:
        self.heard.append("reloading")

    def ready(self, status: str) -> None:
        assert status.endswith("; well")
        self.heard.append("ready")
        self.status = status

    def ask(self) -> list[object]:
        """Reload, and return what was heard of it."""
        self.heard.clear()
        self.now += 2 * REST
        assert self.reloader.begin(self.now)
        while self.reloader.busy:
            assert self.reloader._thread is not None
            self.reloader._thread.join(30)
            self.reloader.turn()
        return list(self.heard)

    def write(self, **detector: Any) -> None:
        self.file.write_text(json.dumps({**SITE, "detector": {"device": "cpu", **detector}}))


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Files are what `rig.files` says, and each opening gives the next of `rig.opened` or raises it."""
    file = tmp_path / "tocsin.yaml"
    file.write_text(json.dumps(SITE))
    rig = Rig(file, Stub("first"))

    def open_next(_: object) -> Kept:
        found = rig.opened.pop(0)
        if isinstance(found, Exception):
            raise found
        return Kept(found)

    monkeypatch.setattr(reload, "stamp", lambda _: (("a",),))
    monkeypatch.setattr(reload, "warm_detector", open_next)
    monkeypatch.setattr(reload, "complete", lambda _file, first, known: first)
    return rig


def test_a_model_that_is_the_same_is_left_alone(rig: Rig) -> None:
    """Nothing is opened, and the detector stays."""
    assert rig.ask() == ["reloading", ("auto", "first"), Reload.UNCHANGED, "ready"]


def test_a_file_that_changed_is_opened_though_the_section_did_not(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same path may hold another model."""
    monkeypatch.setattr(reload, "stamp", lambda _: (("b",),))
    rig.opened = [Stub("second")]
    assert rig.ask() == ["reloading", ("auto", "second"), Reload.APPLIED, "ready"]
    assert rig.ask() == ["reloading", ("auto", "second"), Reload.UNCHANGED, "ready"]


@pytest.mark.parametrize("still", ["no CUDA", None])
def test_a_degraded_detector_tries_its_device_again(rig: Rig, still: str | None) -> None:
    """It is exchanged only for one that is not."""
    rig.detector.degraded = "no CUDA"
    again = Stub("again", degraded=still)
    rig.opened = [again]
    result: list[object] = (
        [("auto", "first"), Reload.UNCHANGED] if still else [("auto", "again"), Reload.APPLIED]
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
    counted: list[object] = ["failed"] if isinstance(error, ModelError) else []
    assert rig.ask() == ["reloading", *counted, Reload.REFUSED, "ready"]
    assert rig.status.startswith("the reload was refused and changed nothing: ")
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
    assert rig.ask() == ["reloading", (3, "third"), Reload.UNCHANGED, "ready"]


def test_what_was_compared_with_a_configuration_that_is_taken_back_is_prepared_anew(rig: Rig) -> None:
    """The service manager hears one end of it, and nothing of what was ready before is used."""
    first = rig.detector
    rig.write(max_batch=2)
    rig.opened = [Stub("second"), Stub("unused"), Stub("third")]
    rig.ask()
    rig.write(max_batch=3)
    rig.heard.clear()
    rig.now += 2 * REST
    assert rig.reloader.begin(rig.now)
    thread = rig.reloader._thread
    assert thread is not None
    thread.join(30)
    rig.detector = first
    rig.offers[0][1]("it failed")
    rig.reloader._news.rotate()  # the detector was taken back while the thread was at it
    rig.reloader.turn()
    while rig.reloader.busy:
        rig.reloader.turn()
    assert rig.heard == [
        "reloading",
        ("auto", "first"),
        Reload.ROLLED_BACK,
        (3, "third"),
        Reload.APPLIED,
        "ready",
    ]


def test_a_storm_of_requests_is_one_reload_and_then_another(rig: Rig) -> None:
    """None begins while one is under way, nor within a moment of the beginning of the one before."""
    began = [rig.reloader.begin(tenth / 100) for tenth in range(100)]
    assert began == [True] + [False] * 99
    while rig.reloader.busy:
        rig.reloader.turn()
    assert not rig.reloader.begin(REST - 0.01)
    assert rig.reloader.begin(REST)


def test_a_change_that_needs_a_restart_is_refused_and_nothing_else_of_the_file_is_done(rig: Rig) -> None:
    """Each with its place; what could be done without a restart is not."""
    site = {**SITE, "state_dir": "/var/b", "rules": [], "streams": [{**STREAMS[0], "rules": []}]}
    rig.file.write_text(json.dumps({**site, "http": {"listen": "127.0.0.1:1"}}))
    assert rig.ask() == ["reloading", Reload.REFUSED, "ready"]
    assert "state_dir: expected /var/a as at the start, found /var/b; restart for this change" in rig.status


def test_a_class_that_the_model_does_not_know_is_refused(rig: Rig) -> None:
    """Though the model is not opened again."""
    rig.file.write_text(json.dumps({**SITE, "rules": [{**RULES[0], "classes": ["dragon"]}, RULES[1]]}))
    assert rig.ask() == ["reloading", Reload.REFUSED, "ready"]
    assert "expected a class of the model, found dragon" in rig.status


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
    rig.reloader.turn()
    assert len(trims) == 1
    del kept
    rig.reloader.turn()
    rig.reloader.turn()
    assert len(trims) == 2
