"""One run of `tocsin augment`: read the data set, make what is not there yet, write what a trainer takes."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tocsin.augment import coco, yolo
from tocsin.augment.dataset import Dataset, Loss, Losses, Source, label_target
from tocsin.augment.develop import Recipe
from tocsin.augment.manifest import NAME, Manifest, Record
from tocsin.augment.output import PART, prepare
from tocsin.augment.produce import Job, Workshop, digest_of, make_all, target, write_label
from tocsin.augment.spread import Spread
from tocsin.errors import InputError
from tocsin.fields import counted
from tocsin.footage.shown import shown
from tocsin.footage.simulate import AS_RECORDED, Condition

_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    `images` overrides where the paths in `data` start; with `follow` links may lead out of it. The pictures of
    `splits` are shown in the conditions of `spread`, all others as recorded. `options` decide the result and stand
    in the manifest.
    """

    data: Path
    out: Path
    images: Path | None
    follow: bool
    spread: Spread
    splits: tuple[str, ...]
    recipe: Recipe
    seed: int
    processes: int
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: every picture that now lies in the folder, how many of them are new, and what is not."""

    trainer_file: Path
    records: tuple[Record, ...]
    made: int
    sources: int
    losses: tuple[tuple[Loss, str], ...]

    def by(self, word: Callable[[Record], str]) -> Counter[str]:
        """Count the pictures by a word of their record."""
        return Counter(word(record) for record in self.records)


class Run:
    """Makes an augmented data set. `progress` hears how many pictures are done of how many, after each source."""

    def __init__(
        self,
        request: Request,
        losses: Losses,
        tell: Callable[[str], None],
        progress: Callable[[int, int], None],
    ) -> None:
        self._request = request
        self._losses = losses
        self._tell = tell
        self._progress = progress
        self._lost: set[str] = set()
        self.done = self.wanted = 0

    def run(self) -> Outcome:
        """Do all that is not done yet. Raises InputError and OutputError; what is done then stays valid."""
        request = self._request
        dataset = read(request.data, request.images, self._losses, follow=request.follow)
        _check_splits(request, dataset)
        for note in dataset.notes:
            self._tell(f"note: {note}")
        prepare(request.out, dataset.folders, NAME)
        with Manifest.open(request.out, request.options) as manifest:
            plans = self._plans(dataset.sources)
            jobs = list(self._jobs(plans, manifest.records))
            made = self._make(jobs, manifest)
            usable = [job for job in plans if job.source.name not in self._lost]
            records = _in_order(usable, manifest.records)
            if not records:
                raise InputError(f"{request.data}: expected pictures that can be used, found none")
            self._tell_of_strangers(plans, manifest.records)
            file = dataset.finish(request.out, records)
        every = tuple(record for found in records.values() for record in found)
        return Outcome(file, every, made, len(records), tuple(self._losses.sentences))

    def _plans(self, sources: Sequence[Source]) -> list[Job]:
        """Decide which conditions each source is shown in."""
        request, plans = self._request, []
        plain = Spread((Condition(AS_RECORDED),), (), 0)
        for source in sources:
            wanted = request.spread if source.split in request.splits else plain
            job = Job(source, wanted.of(source.name, request.seed))
            if any(_too_long(target(source, condition)) for condition in job.conditions):
                self._losses.add(Loss.PLACE, f"{shown(source.path)}: expected a shorter name")
            else:
                plans.append(job)
        return plans

    def _jobs(self, plans: Sequence[Job], records: Mapping[str, Record]) -> Iterator[Job]:
        """Yield what is left to do; where a picture is done, see to it that its labels are those of today."""
        out = self._request.out
        for job in plans:
            self.wanted += len(job.conditions)
            places = {condition: target(job.source, condition) for condition in job.conditions}
            old = [records.get(str(place)) for place in places.values()]
            changed = _changed(job.source, [record for record in old if record is not None], out)
            left = []
            for (condition, place), record in zip(places.items(), old, strict=True):
                if record is None or changed or not _is_there(out / place, record):
                    left.append(condition)
                else:
                    write_label(out, job.source, place)
                    self.done += 1
            if left:
                yield Job(job.source, tuple(left))

    def _make(self, jobs: Sequence[Job], manifest: Manifest) -> int:
        request, made = self._request, 0
        workshop = Workshop(request.out, request.recipe, request.seed)
        self._progress(self.done, self.wanted)
        with closing(make_all(jobs, workshop, request.processes)) as results:
            for result in results:
                if result.loss is not None:
                    self.wanted -= len(result.job.conditions)
                    self._lost.add(result.job.source.name)
                    self._losses.add(*result.loss)
                manifest.add(result.lines)
                made += len(result.lines)
                self.done += len(result.lines)
                self._progress(self.done, self.wanted)
        return made

    def _tell_of_strangers(self, plans: Sequence[Job], records: Mapping[str, Record]) -> None:
        planned = {str(target(job.source, condition)) for job in plans for condition in job.conditions}
        strange = len(records.keys() - planned)
        if strange:
            self._tell(
                f"note: {counted(strange, 'picture')} in {self._request.out} of sources that are gone: "
                "a trainer that takes whole folders still sees them"
            )


def read(data: Path, images: Path | None, losses: Losses, *, follow: bool) -> Dataset:
    """Read a data set of either format. Raises InputError."""
    if not data.exists():
        raise InputError(f"{data}: expected a data set: a COCO .json, a data.yaml or a folder, found nothing")
    if data.suffix.lower() == ".json":
        return coco.read(data, images, losses, follow=follow)
    return yolo.read(data, images, losses, follow=follow)


def _check_splits(request: Request, dataset: Dataset) -> None:
    has = sorted({source.split for source in dataset.sources})
    for split in request.splits:
        if has and split not in has:
            raise InputError(f"--splits: expected some of {', '.join(has)}, found {split}")


def _changed(source: Source, records: Sequence[Record], out: Path) -> bool:
    """Say whether a source is another than the one its pictures were made from.

    As a build tool sees it: another size, or written after them and with another content.
    """
    if not records:
        return False
    try:
        now, made = source.path.stat(), (out / records[0].picture).stat()
        if now.st_size != records[0].source_bytes:
            return True
        return now.st_mtime_ns > made.st_mtime_ns and digest_of(source.path) != records[0].sha256
    except OSError:
        return True  # whoever makes it will say what is wrong


def _is_there(path: Path, record: Record) -> bool:
    try:
        return path.stat().st_size == record.bytes
    except OSError:
        return False


def _too_long(place: PurePosixPath) -> bool:
    names = (place.name, label_target(place).name)
    return any(len(os.fsencode(name + PART)) > _LONGEST_NAME for name in names)


def _in_order(plans: Sequence[Job], records: Mapping[str, Record]) -> dict[str, list[Record]]:
    """Return the pictures that are there by source, in the order of the data set, however they were made."""
    found: dict[str, list[Record]] = defaultdict(list)
    for job in plans:
        for condition in job.conditions:
            record = records.get(str(target(job.source, condition)))
            if record is not None:
                found[job.source.name].append(record)
    return dict(found)
