"""From what was asked on the command line to the figures: footage, detector, rules, the pass, the progress."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tocsin.alarm.watch import Rule
from tocsin.assembly import whole
from tocsin.capture.order import ViewOrder
from tocsin.detect.detector import Detector, open_detector
from tocsin.detect.model import check_classes
from tocsin.errors import InputError
from tocsin.evaluate import labels as truth
from tocsin.evaluate import variants
from tocsin.evaluate.look import Plain
from tocsin.evaluate.outcome import Outcome, outcome
from tocsin.evaluate.report import Head
from tocsin.evaluate.rules import Setup, rule_for_each, setup_from, setup_without
from tocsin.evaluate.run import Asked, Recording, run
from tocsin.evaluate.scores import THRESHOLDS
from tocsin.footage.output import check_target
from tocsin.footage.pictures import expected_count
from tocsin.footage.shown import harmless
from tocsin.footage.simulate import conditions
from tocsin.footage.views import Kind, kind_from
from tocsin.resources import find

_CLIP, _CLIP_LABELS = "assets/pedestrians.mp4", "assets/pedestrians.coco.json"

_TOLD = 10
"""So many sentences about what was left out are printed; the others are counted."""


@dataclass(frozen=True, slots=True)
class Request:
    """What stands on the command line; None and empty where nothing does."""

    videos: tuple[Path, ...]
    folders: tuple[Path, ...]
    labels: tuple[Path, ...]
    model: str | None
    device: Literal["auto", "cuda", "cpu"]
    variants: str | None
    simulate: str | None
    score: float
    iou: float
    classes: str | None
    every: int
    alarms: bool | None
    config: Path | None
    stream: str | None
    negative: tuple[Path, ...]
    target: float | None
    plot: Path | None
    seed: int
    strict: bool
    views: str | None = None

    @property
    def watched(self) -> bool:
        """Whether rules watch the videos."""
        if self.alarms is not None:
            return self.alarms
        return self.every == 1 or self.config is not None or bool(self.negative)


def assess(request: Request, stop: threading.Event) -> tuple[Head, Outcome]:
    """Do what is asked, until done or `stop` is set, and return what was evaluated and every figure.

    Raises InputError for what cannot be used, ConfigError, ModelError and StartError as the daemon does.
    """
    footage = _footage(request)
    _refuse(request)
    setup = _setup(request)
    lit, chosen = conditions(request.simulate), variants.parse(request.variants or variants.DEFAULT)
    if request.views is not None:
        kind_from(request.views, ViewOrder(2, 2, keep_aspect=True))  # a slip is told before a model is opened
    detector = _detector(request, setup)
    views = _views(request, setup, detector)
    plain = Plain(lit, chosen, setup.policy, request.seed, views.orders)
    tell = Telling(request.strict)
    recordings = _recordings(footage, request, detector.labels, setup.max_fps, tell)
    classes = _classes(request, recordings, detector.labels)
    rules = _rules(request, setup, classes)
    asked = Asked(
        plain=plain,
        classes=frozenset(detector.labels.index(name) for name in classes),
        score=request.score,
        iou=request.iou,
        every=request.every,
        rules=rules,
        zones=setup.zones,
        max_fps=setup.max_fps,
        sweep=_sweeps(request),
    )
    with _progress(recordings, asked, tell) as step:
        results = run(recordings, asked, detector, detector.labels, tell=tell.tell, step=step, stop=stop)
    tell.finish()
    head = Head(
        model=detector.model_name,
        provider=detector.provider,
        device=detector.device,
        score=request.score,
        iou=request.iou,
        every=request.every,
        seed=request.seed,
        max_fps=setup.max_fps,
        views=views.name,
        rules_from=setup.source,
        labels=tuple(one.labels.description for one in recordings if one.labels is not None),
        classes=classes,
        variants=tuple(variant.name for variant in plain.variants),
        conditions=tuple(condition.name for condition in plain.conditions),
        target=request.target,
        warnings=tell.count,
    )
    return head, outcome(results, detector.labels, rules, request.seed, request.target)


Source = tuple[Path, Path, bool]
"""Footage, its labels, and whether it is a folder of images."""


def _footage(request: Request) -> list[Source]:
    """Pair footage with labels. Raises InputError."""
    paths = [*((video, False) for video in request.videos), *((folder, True) for folder in request.folders)]
    if not paths and not request.labels:
        return [(find(_CLIP), find(_CLIP_LABELS), False)]
    if len(paths) != len(request.labels):
        raise InputError(
            f"--labels: expected one for each --video and --images, which are {len(paths)},"
            f" found {len(request.labels)}"
        )
    return [(path, labels, still) for (path, still), labels in zip(paths, request.labels, strict=True)]


def _refuse(request: Request) -> None:
    """Raise InputError for options that cannot do what they were given for."""
    if request.target is not None and request.target <= 0:
        raise InputError(f"--target-false-alarms: expected more than 0 a day, found {request.target:g}")
    if request.target is not None and not request.negative:
        raise InputError("--target-false-alarms: expected --negative footage beside it, found none")
    if request.stream is not None and request.config is None:
        raise InputError("--stream: expected --rules beside it, found none")
    if request.negative and not request.watched:
        raise InputError("--negative: expected it without --no-alarms, found both")
    if request.plot is not None:
        read = *request.videos, *request.folders, *request.labels, *request.negative
        check_target("--plot", request.plot, ".png", read)


def _setup(request: Request) -> Setup:
    return setup_without() if request.config is None else setup_from(request.config, request.stream)


def _sweeps(request: Request) -> bool:
    return request.watched and (request.target is not None or request.plot is not None)


def _views(request: Request, setup: Setup, detector: Detector) -> Kind:
    """Return what the detector gets to see: the whole frame first, as the daemon orders it."""
    if request.views is None:
        return setup.views(detector)
    kind = kind_from(request.views, whole(detector))
    return Kind(kind.name, tuple(dict.fromkeys((whole(detector), *kind.orders))))


def _detector(request: Request, setup: Setup) -> Detector:
    asked = [request.score, *(rule.keeps for rule in setup.rules or ())]
    floor = min(THRESHOLDS) if request.plot is not None or request.target is not None else min(asked)
    detector = open_detector(request.model or setup.model, request.device, "auto", floor)
    detector.warm()
    return detector


def _recordings(
    footage: list[Source], request: Request, labels: tuple[str, ...], max_fps: float, tell: "Telling"
) -> list[Recording]:
    recordings = []
    for path, file, still in footage:
        if still and not path.is_dir():
            raise InputError(
                f"--images: expected a folder of images, found {'a file' if path.exists() else 'nothing'} at {path}"
            )
        known = truth.load(file, path, labels, strict=request.strict)
        for fault in known.faults:
            tell.tell(fault)
        recordings.append(Recording(str(path), path, known, path.is_dir()))
    for path in request.negative:
        rate = max_fps if path.is_dir() else None
        recordings.append(Recording(str(path), path, None, still=False, rate=rate))
    for recording in recordings:
        expected_count(recording.path)  # what cannot be opened is told before the work begins
    return recordings


def _classes(request: Request, recordings: list[Recording], labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes that are scored, in the model's order. Raises InputError."""
    labelled = {index for one in recordings if one.labels for index in one.labels.classes}
    known = tuple(labels[index] for index in sorted(labelled))
    if request.classes is None:
        return known
    asked = [name.strip() for name in request.classes.split(",") if name.strip()]
    for unknown in check_classes(labels, asked):
        raise InputError(f"--classes: {unknown}")
    if not set(asked) & set(known):
        raise InputError(
            f"--classes: expected some that are labelled ({', '.join(known)}), found {request.classes}"
        )
    return tuple(name for name in known if name in asked)


def _rules(request: Request, setup: Setup, classes: tuple[str, ...]) -> tuple[Rule, ...]:
    if not request.watched:
        return ()
    return rule_for_each(classes, request.score) if setup.rules is None else setup.rules


class Telling:
    """Says on stderr what is left out: the first of it at once, the rest as a count; `strict` makes it the end."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
        self.count = 0

    @property
    def console(self) -> Console:
        """Where it is said; progress is shown there too, so that neither tears the other."""
        return self._console

    def tell(self, sentence: str) -> None:
        """Say it. Raises InputError where it must be the end."""
        if self._strict:
            raise InputError(sentence)
        self.count += 1
        if self.count <= _TOLD:
            self._console.print(f"tocsin: warning: {harmless(sentence)}")

    def finish(self) -> None:
        """Say how many more there were."""
        if self.count > _TOLD:
            self._console.print(f"tocsin: warning: {self.count - _TOLD} more of these, {self.count} in all")


@contextmanager
def _progress(recordings: list[Recording], asked: Asked, tell: Telling) -> Iterator[Callable[[], None]]:
    """Show how far it is, on a terminal only; give what is called after each picture."""
    if not tell.console.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=tell.console, transient=True) as progress:
        task = progress.add_task("pictures", total=_count(recordings, asked))
        yield lambda: progress.advance(task)


def _count(recordings: list[Recording], asked: Asked) -> int | None:
    """Return how many pictures there are to be met; None where a file does not say."""
    total = 0
    for recording in recordings:
        if asked.rules and not recording.still:
            count = expected_count(recording.path)
        else:
            count = len(recording.labels.pictures) // asked.every if recording.labels else 0
        if count is None:
            return None
        total += count
    return total
