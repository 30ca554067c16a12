"""Look at one picture in every light and with every variant, and run the detector on what differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from tocsin.capture.order import ViewOrder
from tocsin.capture.regions import Cut, cut
from tocsin.capture.shrink import Shrinker
from tocsin.evaluate.variants import Corrects, Variant
from tocsin.footage.pictures import Picture, from_rgb
from tocsin.footage.simulate import Condition, shifted
from tocsin.frame import Box, Correction, Detections, Frame, Light, View, fit
from tocsin.light.measure import measure
from tocsin.light.plan import Plan, Policy

Pixels = NDArray[np.uint8]


class Detects(Protocol):
    """The part of the detector that is used here."""

    input_width: int
    input_height: int
    keep_aspect: bool

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return what is seen in each frame, in their order. Raises InferenceError."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One variant under one condition, by their names."""

    condition: str
    variant: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What one lane did to a picture and saw in it; boxes relative to the picture as it was recorded."""

    correction: Correction
    detections: Detections


@dataclass(frozen=True, slots=True)
class Look:
    """One picture as every lane saw it; `lights` by condition, before any correction."""

    lights: Mapping[str, Light]
    sights: Mapping[Lane, Sight]


@dataclass(frozen=True, slots=True)
class Plain:
    """What decides how pictures are looked at: the same for every recording of one run.

    Of `views` the first is the whole frame, and none is that alone, at the detector's input.
    """

    conditions: tuple[Condition, ...]
    variants: tuple[Variant, ...]
    policy: Policy
    seed: int
    views: tuple[ViewOrder, ...] = ()

    @property
    def lanes(self) -> list[Lane]:
        return [
            Lane(condition.name, variant.name) for condition in self.conditions for variant in self.variants
        ]


class Looker:
    """Looks at the pictures of one recording in their order; for one thread.

    `still` pictures have nothing to do with each other: nothing that a variant keeps goes from one to the next.
    """

    def __init__(self, detector: Detects, plain: Plain, still: bool) -> None:
        self._detector = detector
        self._plain = plain
        self._still = still
        whole = ViewOrder(detector.input_width, detector.input_height, detector.keep_aspect)
        self._orders = plain.views or (whole,)
        self._shrinker = Shrinker(len(self._orders))
        self._correctors: dict[tuple[Lane, Box], Corrects] = {}

    def look(self, picture: Picture, *, glance: bool = False) -> Look:
        """Return what every lane sees. Raises InferenceError.

        Lanes whose corrected pixels are the same share one run of the detector. A `glance` is at a picture that
        the daemon would leave out: it is treated as if it came next, and changes nothing for the pictures after it.
        """
        if self._still:
            self._correctors.clear()
        lights: dict[str, Light] = {}
        views: dict[bytes, tuple[View, ...]] = {}
        seen: dict[Lane, tuple[bytes, Correction, tuple[int, int]]] = {}
        source = _Source(picture)
        for condition in self._plain.conditions:
            bases: dict[tuple[int, int], list[tuple[Box, Pixels]]] = {}
            for variant in self._plain.variants:
                if variant.shift not in bases:
                    bases[variant.shift] = self._small(source.lit(condition, self._plain.seed, variant.shift))
                parts = [(region, pixels.copy()) for region, pixels in bases[variant.shift]]
                if condition.name not in lights:
                    lights[condition.name] = measure(parts[0][1]).light
                lane = Lane(condition.name, variant.name)
                plans = [
                    self._corrector(lane, region, variant).correct(pixels, picture.at, glance=glance)
                    for region, pixels in parts
                ]
                content = b"".join(pixels.tobytes() for _, pixels in parts)
                seen[lane] = content, plans[0].correction, variant.shift
                views.setdefault(
                    content,
                    tuple(
                        _view(region, pixels, lights[condition.name], plan)
                        for (region, pixels), plan in zip(parts, plans, strict=True)
                    ),
                )
        found = dict(zip(views, self._detect(picture, list(views.values())), strict=True))
        size = picture.frame.width, picture.frame.height
        return Look(
            lights,
            {
                lane: Sight(correction, _moved_back(found[content], shift, size))
                for lane, (content, correction, shift) in seen.items()
            },
        )

    def _small(self, frame: VideoFrame) -> list[tuple[Box, Pixels]]:
        """Cut and shrink a picture as capturing does: each view that differs, and where it lies."""
        size = frame.width, frame.height
        cuts: dict[Cut, ViewOrder] = {}
        for order in self._orders:
            cuts.setdefault(cut(order, *size), order)
        whole = Cut(0, 0, *size)
        if cuts.keys() != {whole}:
            frame = self._shrinker.planar(frame)
        return [
            (part.region(*size), self._view_of(frame, order, None if part == whole else part))
            for part, order in cuts.items()
        ]

    def _view_of(self, frame: VideoFrame, order: ViewOrder, part: Cut | None) -> Pixels:
        shown = part or Cut(0, 0, frame.width, frame.height)
        width, height = fit(shown.width, shown.height, order.max_width, order.max_height, order.keep_aspect)
        pixels = np.empty((height * 3 // 2, width), np.uint8)
        self._shrinker.shrink(frame, pixels, part)
        return pixels

    def _corrector(self, lane: Lane, region: Box, variant: Variant) -> Corrects:
        """Return what corrects one view of a lane: each is treated for its own light."""
        if (lane, region) not in self._correctors:
            self._correctors[lane, region] = variant.start(self._plain.policy)
        return self._correctors[lane, region]

    def _detect(self, picture: Picture, looks: Sequence[tuple[View, ...]]) -> list[Detections]:
        size = picture.frame.width, picture.frame.height
        return self._detector.detect(
            [Frame("", picture.index, picture.at, 0.0, 0.0, *size, views) for views in looks]
        )


class _Source:
    """A recorded picture, and what it would be in another light; its colours are converted once."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._rgb: Pixels | None = None
        self._lit: tuple[str, Pixels] | None = None

    def lit(self, condition: Condition, seed: int, shift: tuple[int, int]) -> VideoFrame:
        if not condition.steps and shift == (0, 0):
            return self._picture.frame
        if self._rgb is None:
            self._rgb = self._picture.rgb()
        if self._lit is None or self._lit[0] != condition.name:
            # one seed for all conditions: the noise of two of them differs by its strength alone
            self._lit = condition.name, condition.apply(self._rgb, seed + self._picture.index)
        lit = self._lit[1]
        return from_rgb(lit if shift == (0, 0) else shifted(lit, shift))


def _moved_back(found: Detections, shift: tuple[int, int], size: tuple[int, int]) -> Detections:
    """Return the boxes where they would be in the picture that was not moved; `size` of it in pixels."""
    if shift == (0, 0):
        return found
    across, down = shift[0] / size[0], shift[1] / size[1]
    return replace(found, boxes=found.boxes - np.array([across, down] * 2, np.float32))


def _view(region: Box, pixels: Pixels, light: Light, plan: Plan) -> View:
    """Return a view; `light` is that of the whole picture, which no detector looks at."""
    height, width = pixels.shape[0] * 2 // 3, pixels.shape[1]
    return View(region, width, height, light, plan.correction, plan.reason, pixels)
