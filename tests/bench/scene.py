"""How soon a frozen and a covered camera are told, and what is told of living ones: `python
tests/bench/scene.py`, with `frozen`, `living`, `covered` or `cost` for one table alone.

Tests nothing. Frozen: a picture of the bundled clip or a drawn corridor in Gaussian noise, with and without
temporal denoising, through an encoder; it lives for 40 s, is frozen for 40 s (of some with a clock drawn over it)
and lives again for 15 s. Living: quiet scenes for 120 s, and such as become quiet after 60 s. Covered: the clip
looped at 5 pictures a second, for 60 s as it is, 30 s under one condition, 20 s as it is. Light is simulated; the
noise is drawn from a bank of 16 fields.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.eyesight.covered import CoverVigil
from tocsin.eyesight.frozen import FreezeVigil
from tocsin.eyesight.impairment import ImpairmentVigil
from tocsin.frame import Scene
from tocsin.light.measure import measure
from tocsin.light.structure import measure_structure
from tocsin.resources import find

Luma = NDArray[np.float32]
Show = Callable[[float], Luma]
"""What a sensor shows at a time, in seconds."""
Change = Callable[[Luma, float], Luma]

WIDTH, HEIGHT = 640, 360
LIVES, STANDS, AGAIN = 40.0, 40.0, 15.0
CHANCE = np.random.default_rng(0)
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)


@dataclass(frozen=True, slots=True)
class Coding:
    """How pictures are coded; `options` are x264's, or for MJPEG its quantiser."""

    options: dict[str, str]
    fps: int = 10
    interval: int = 20
    codec: str = "libx264"


@dataclass(frozen=True, slots=True)
class Case:
    """A camera that freezes: its scene, its noise (and the share of a new picture in a denoised one), its
    coding."""

    dark: bool
    sigma: float
    fresh: float
    coding: Coding
    clock: bool = False


class Camera:
    """Codes pictures and decodes them again."""

    def __init__(self, coding: Coding) -> None:
        jpeg = coding.codec == "mjpeg"
        self._encoder = av.CodecContext.create(coding.codec, "w")
        self._encoder.width, self._encoder.height = WIDTH, HEIGHT
        self._encoder.pix_fmt = "yuvj420p" if jpeg else "yuv420p"
        self._encoder.time_base = Fraction(1, coding.fps)
        self._encoder.framerate = Fraction(coding.fps)
        self._encoder.thread_count = 1
        params = {} if jpeg else {"preset": "veryfast", "tune": "zerolatency"}
        if not jpeg:
            params["x264-params"] = f"scenecut=0:keyint={coding.interval}"
        self._encoder.options = {**params, **coding.options}
        self._decoder = av.CodecContext.create("mjpeg" if jpeg else "h264", "r")
        self._picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        self._count = 0
        self.keyframes = 0

    def show(self, luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the I420 picture that comes out."""
        self._picture[:HEIGHT] = luma
        frame = av.VideoFrame.from_ndarray(self._picture, format=self._encoder.pix_fmt)
        frame.pts, self._count = self._count, self._count + 1
        decoded = [
            one
            for packet in self._encoder.encode(frame)
            for one in self._decoder.decode(av.Packet(bytes(packet)))
        ]
        self.keyframes += sum(one.key_frame for one in decoded)
        return np.asarray(decoded[-1].reformat(format="yuv420p").to_ndarray(), np.uint8)


class Noise:
    """Gaussian noise that differs from picture to picture, denoised over time as cameras do it."""

    def __init__(self, sigma: float, fresh: float = 1.0) -> None:
        self._bank = CHANCE.normal(0, sigma, (16, HEIGHT, WIDTH)).astype(np.float32)
        self.fresh = fresh
        self._state = self._bank[0]

    def next(self) -> Luma:
        drawn = np.roll(self._bank[CHANCE.integers(16)], tuple(CHANCE.integers(0, 300, 2)), (0, 1))
        self._state = self._state * (1 - self.fresh) + drawn * self.fresh
        return self._state


def pictures(every: int = 1) -> list[Luma]:
    """Return pictures of the clip."""
    with av.open(str(find("assets/pedestrians.mp4"))) as container:
        return [
            cv2.resize(frame.to_ndarray(format="gray"), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(
                np.float32
            )
            for number, frame in enumerate(container.decode(video=0))
            if number % every == 0
        ]


def softened(luma: Luma) -> Luma:
    """Return a picture not of whole luma steps: little noise would leave such a one as it is."""
    return np.asarray(cv2.GaussianBlur(luma, (0, 0), 0.6), np.float32)


def corridor() -> Luma:
    """Return a smooth and plain scene, a lamp at its end."""
    lamp = 40 * np.exp(-((COLUMNS - WIDTH / 2) ** 2 + (ROWS - HEIGHT / 3) ** 2) / (WIDTH * 60))
    luma = 90 + lamp + 10 * (np.abs(COLUMNS - WIDTH / 2) < np.abs(ROWS - HEIGHT / 3) * 0.9)
    luma[HEIGHT // 3 : HEIGHT // 2, WIDTH * 3 // 8 : WIDTH * 5 // 8] = 70
    return np.asarray(luma, np.float32)


def told(case: Case, still: Luma) -> list[tuple[float, str]]:
    """Return what is told of a camera that freezes, with the seconds from its beginning."""
    noise, last = Noise(case.sigma, case.fresh), still

    def show(at: float) -> Luma:
        nonlocal last
        if not LIVES <= at < LIVES + STANDS:
            last = still + noise.next()
        return last

    return heard(case.coding, show, LIVES + STANDS + AGAIN, clock=case.clock)


def heard(coding: Coding, show: Show, seconds: float, *, clock: bool = False) -> list[tuple[float, str]]:
    """Return what is told of a camera that shows that for so long."""
    camera, vigil = Camera(coding), FreezeVigil()
    said: list[tuple[float, str]] = []
    last = -1.0
    for number in range(round(seconds * coding.fps)):
        at = number / coding.fps
        luma = np.clip(np.rint(show(at)), 16, 235).astype(np.uint8)
        shown = camera.show(_with_clock(luma, at) if clock else luma)
        if at - last < 0.5 - 1e-6:
            continue
        last = at
        cells = measure_structure(_shrunk(shown)[:234])
        assert cells is not None, "416x234 is large enough"
        notice = vigil.update(Scene(at, camera.keyframes, cells), 0.5, 0.5)
        if notice is not None:
            said.append((at, "over" if notice.over else "frozen"))
    return said


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture[:HEIGHT], (416, 234), interpolation=cv2.INTER_AREA), np.uint8)


def _with_clock(luma: NDArray[np.uint8], at: float) -> NDArray[np.uint8]:
    shown = luma.copy()
    cv2.rectangle(shown, (8, 6), (8 + WIDTH * 2 // 5, 28), 30, -1)
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(1.79e9 + at))
    cv2.putText(shown, text, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 220, 1, cv2.LINE_AA)
    return shown


def cases() -> Iterator[tuple[str, list[Case]]]:
    """Yield groups of cameras by their encoder."""
    noises = [(0.5, 1.0), (0.5, 0.1), (2.0, 1.0), (4.0, 0.1)]
    qualities = [Coding({"crf": crf}) for crf in ("23", "30", "38")]
    yield (
        "constant quality, a keyframe every 2 s",
        [Case(dark, *noise, one) for one in qualities for noise in noises for dark in (False, True)],
    )
    often = [(25, 25), (12, 24), (25, 50), (5, 10)]
    yield "1 and 4 Mbit/s on average, every 1 to 2 s", _averaged(("1M", "4M"), often)
    yield "0.3 Mbit/s on average, every 1 to 2 s", _averaged(("300k",), often)
    yield "0.3 to 4 Mbit/s on average, every 10 s", _averaged(("300k", "1M", "4M"), [(10, 100), (25, 250)])
    yield "the same, no keyframes", _averaged(("300k", "1M", "4M"), [(10, 1000)])
    bound = [
        Coding({"b": rate, "maxrate": rate, "bufsize": rate}, 15, interval)
        for rate in ("300k", "1500k")
        for interval in (30, 60)
    ]
    yield "0.3 and 1.5 Mbit/s at most, every 2 to 4 s", _seen(bound)
    jpegs = [Coding({"qmin": q, "qmax": q}, 10, 1, "mjpeg") for q in ("2", "10", "31")]
    plain = [Case(False, *noise, one) for one in jpegs for noise in noises]
    yield "MJPEG", [*plain, *(Case(False, 0.5, 1.0, one, clock=True) for one in jpegs)]


def _averaged(rates: tuple[str, ...], timings: list[tuple[int, int]]) -> list[Case]:
    return _seen([Coding({"b": rate}, fps, interval) for rate in rates for fps, interval in timings])


def _seen(codings: list[Coding]) -> list[Case]:
    cases = [Case(False, *noise, one) for one in codings for noise in ((1.0, 0.1), (2.0, 1.0))]
    return cases + [Case(False, 1.0, 0.1, one, clock=True) for one in codings]


def freeze() -> None:
    """Print how many are told, falsely and in time, and how soon."""
    clip, drawn = softened(pictures()[40]), corridor()
    print("| encoder | cameras | false | within 15 s | told | after, s | over after, s |")
    print("|---|--:|--:|--:|--:|---|---|")
    for name, group in cases():
        false = 0
        begun: list[float] = []
        ended: list[float] = []
        for case in group:
            scene = clip if case.sigma != 0.5 else drawn
            said = told(case, 16 + (scene - 16) * 0.25 if case.dark else scene)
            false += sum(word == "frozen" and not LIVES < at < LIVES + STANDS for at, word in said)
            found = [at - LIVES for at, word in said if word == "frozen" and LIVES < at < LIVES + STANDS]
            begun += found[:1]
            ended += [at - LIVES - STANDS for at, word in said[-1:] if word == "over" and found]
        soon = sum(after <= 15 for after in begun)
        row = (name, len(group), false, soon, len(begun), _spread(begun), _spread(ended))
        print(f"| {' | '.join(str(one) for one in row)} |", flush=True)


def _spread(values: list[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}" if values else "-"


def lives() -> Iterator[tuple[str, Show]]:
    """Yield living scenes, quiet all the time or from the 60th second on."""
    drawn, clip = corridor(), [softened(one) for one in pictures(every=2)]
    street = clip[20]
    for sigma, fresh in ((0.3, 1.0), (0.5, 0.1), (1.0, 0.1), (1.0, 0.03), (2.0, 1.0), (4.0, 0.1)):
        yield f"corridor, noise {sigma} x {fresh}", _noisy(lambda _: drawn, sigma, fresh)
    for sigma, fresh in ((0.5, 0.1), (2.0, 1.0)):
        yield f"street, noise {sigma} x {fresh}", _noisy(lambda _: street, sigma, fresh)
        yield f"dark, noise {sigma} x {fresh}", _noisy(lambda _: 16 + (drawn - 16) * 0.25, sigma, fresh)
    for sigma in (0.5, 1.0):
        yield f"wind that drops, noise {sigma} x 0.1", _noisy(lambda at: _swayed(street, at), sigma, 0.1)
    for sigma, fresh, adapts in (
        (1, 1, False),
        (1, 0.1, False),
        (1, 0.03, True),
        (2, 0.1, True),
        (0.5, 0.03, True),
    ):
        yield (
            f"street that empties, noise {sigma} x {fresh}",
            _emptied(clip, street, Noise(sigma), fresh, adapts),
        )
    for stops, sigma in ((-1, 0.5), (-3, 0.2), (-6, 0.1), (-3, 3.0)):
        yield f"lights go {stops} EV, noise {sigma} x 0.3", _dimmed(drawn, stops, sigma)


def _noisy(scene: Show, sigma: float, fresh: float) -> Show:
    noise = Noise(sigma, fresh)
    return lambda at: scene(at) + noise.next()


def _emptied(clip: list[Luma], street: Luma, noise: Noise, fresh: float, adapts: bool) -> Show:
    """Return a street that empties; a camera that adapts denoises what moves less, as soon as nothing does."""

    def show(at: float) -> Luma:
        noise.fresh = max(fresh, math.exp(-max(0.0, at - 60) / 0.7)) if adapts else fresh
        return (clip[int(at * 5) % len(clip)] if at < 60 else street) + noise.next()

    return show


def _dimmed(luma: Luma, stops: float, sigma: float) -> Show:
    bright, dark = _noisy(lambda _: luma, 1.0, 0.3), _noisy(lambda _: exposed(stops)(luma, 0.0), sigma, 0.3)
    return lambda at: bright(at) if at < 60 else dark(at)


def _swayed(luma: Luma, at: float) -> Luma:
    width = 3.0 * max(0.0, min(1.0, (64 - at) / 4))
    shift = np.array([[1, 0, width * math.sin(2.1 * at)], [0, 1, width * math.cos(1.7 * at)]], np.float32)
    return np.asarray(
        cv2.warpAffine(luma, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def live() -> None:
    """Print what is told of living cameras, which should be nothing."""
    codings = {
        "crf 23, every 2 s": Coding({"crf": "23"}),
        "crf 30, every 4 s": Coding({"crf": "30"}, 10, 40),
        "crf 38, every 10 s": Coding({"crf": "38"}, 10, 100),
        "0.3 Mbit/s, every 4 s": Coding({"b": "300k"}, 10, 40),
        "1 Mbit/s, every 10 s": Coding({"b": "1M"}, 10, 100),
        "4 Mbit/s, every 2 s": Coding({"b": "4M"}, 10, 20),
        "qp 34 that skips what it can, every 10 s": Coding({"qp": "34", "deadzone-inter": "32"}, 10, 100),
        "MJPEG": Coding({"qmin": "10", "qmax": "10"}, 10, 1, "mjpeg"),
    }
    print("\n| encoder | living cameras | told to be frozen |\n|---|--:|---|")
    for name, coding in codings.items():
        scenes = dict(lives())
        false = [scene for scene, show in scenes.items() if heard(coding, show, 120.0)]
        print(f"| {name} | {len(scenes)} | {'; '.join(false) or '-'} |", flush=True)


def exposed(stops: float) -> Change:
    return lambda luma, _: _gamma(_linear(luma) * 2.0**stops)


def veiled(share: float, seconds: float = 0.0) -> Change:
    def change(luma: Luma, at: float) -> Luma:
        now = share * min(1.0, at / seconds) if seconds else share
        return luma * (1 - now) + 218 * now

    return change


def blurred(sigma: float) -> Change:
    return lambda luma, _: np.asarray(cv2.GaussianBlur(luma, (0, 0), sigma), np.float32)


def occluded(share: float, level: float) -> Change:
    """Return something smooth, a hand or a bag, before so much of the lens from the right."""
    mask = cv2.GaussianBlur((WIDTH * (1 - share) <= COLUMNS).astype(np.float32), (0, 0), 18)
    skin = level + 18 * np.sin(COLUMNS / 140 + 1) + 12 * np.cos(ROWS / 130)
    return lambda luma, at: luma * (1 - mask) + (skin + 1.5 * math.sin(2 * at)) * mask


def sprayed(share: float) -> Change:
    field = cv2.GaussianBlur(CHANCE.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 27)
    mask = cv2.GaussianBlur((field > np.quantile(field, 1 - share)).astype(np.float32), (0, 0), 6)
    return lambda luma, _: luma * (1 - mask) + 190 * mask


def woven(blur: float) -> Change:
    """Return a cloth with a pattern."""
    cloth = 110 + 40 * np.sign(np.sin(COLUMNS / 9) * np.sin(ROWS / 9))
    cloth = np.asarray(cv2.GaussianBlur(cloth.astype(np.float32), (0, 0), blur), np.float32)
    return lambda luma, _: cloth + 0 * luma


def lit(stops: float, lamp: float, radius: float) -> Change:
    """Return the scene with so much of its light, and a lamp before it."""
    glow = lamp * np.exp(-((COLUMNS - WIDTH * 0.6) ** 2 + (ROWS - HEIGHT * 0.5) ** 2) / (2 * radius**2))
    return lambda luma, _: _gamma(_linear(luma) * 2.0**stops + glow)


def infrared(luma: Luma, _: float) -> Luma:
    glow = np.exp(-((COLUMNS - WIDTH / 2) ** 2 + (ROWS - HEIGHT / 2) ** 2) / (2 * 230**2))
    return _gamma(_linear(255 - 0.5 * (255 - luma)) * glow * 0.9)


def hunting(luma: Luma, at: float) -> Luma:
    return _gamma(_linear(luma) * 2.0 ** (2.5 * math.sin(at)))


def passing(luma: Luma, at: float) -> Luma:
    """Somebody who walks by close to the lens for four seconds."""
    left = WIDTH * (at / 4 * 2 - 1)
    return np.where((left <= COLUMNS) & (left + WIDTH >= COLUMNS) & (ROWS > 20), np.float32(70), luma)


def raining(luma: Luma, _: float) -> Luma:
    streaks = np.zeros((HEIGHT, WIDTH), np.float32)
    for x, y in zip(CHANCE.integers(0, WIDTH, 400), CHANCE.integers(0, HEIGHT, 400), strict=True):
        cv2.line(streaks, (int(x), int(y)), (int(x) + 3, int(y) + 21), 0.4, 1)
    return np.asarray(cv2.GaussianBlur(luma, (0, 0), 1.0) * (1 - streaks) + 200 * streaks, np.float32)


def _linear(luma: Luma) -> Luma:
    return (np.clip(luma - 16, 0, 219) / 219) ** 2.2


def _gamma(light: Luma) -> Luma:
    return np.asarray(16 + 219 * np.clip(light, 0, 1) ** (1 / 2.2), np.float32)


TAMPERING: dict[str, Change] = {
    **{f"blur {sigma} of 640 px": blurred(sigma) for sigma in (2, 3, 4, 6, 12, 24)},
    **{f"a hand before {share:.0%}": occluded(share, 90) for share in (0.6, 0.8, 0.9, 1.0)},
    "a white bag": occluded(1.0, 190),
    "a dark bag": occluded(1.0, 22),
    "spray on 70 %": sprayed(0.7),
    "spray on 90 %": sprayed(0.9),
    "cloth in focus": woven(1.0),
    "cloth out of focus": woven(12.0),
    **{f"flash light, radius {radius}": lit(0, 2.5, radius) for radius in (90, 180, 300)},
}
LIGHT: dict[str, Change] = {
    **{f"{stops:+d} EV": exposed(stops) for stops in (-5, -3, -1, 1, 3, 4)},
    **{f"a veil of {share:.0%} at once": veiled(share) for share in (0.5, 0.75, 0.9)},
    "fog of 90 % in 30 s": veiled(0.9, 30),
    "half the lamps off, one stays": lit(-2, 0.3, 60),
    "lights out, a lamp stays": lit(-8, 0.8, 60),
    "lights out": lit(-9, 0, 60),
    "infrared": infrared,
    "exposure hunts": hunting,
    "somebody passes": passing,
    "rain": raining,
}


def cover(crf: int) -> None:
    """Print what is told under each condition, by the vigils together as the daemon asks them."""
    clip = pictures(every=2)
    print(f"\nx264 at crf {crf}\n\n| condition | told (s after its beginning or end) |\n|---|---|")
    for name, change in {**TAMPERING, **LIGHT}.items():
        print(f"| {name} | {', '.join(_told_of(change, clip, crf)) or '-'} |", flush=True)


def _told_of(change: Change, clip: list[Luma], crf: int) -> list[str]:
    camera, noise = Camera(Coding({"crf": str(crf)}, 5, 10)), Noise(1.0)
    covers, lights, said = CoverVigil(), ImpairmentVigil(), []
    for number in range(110 * 5):
        at = number / 5
        luma = clip[number % len(clip)]
        luma = (change(luma, at - 60) if 60 <= at < 90 else luma) + noise.next()
        shown = camera.show(np.clip(np.rint(luma), 16, 235).astype(np.uint8))
        small = np.vstack([_shrunk(shown), np.full((117, 416), 128, np.uint8)])
        light, cells = measure(small).light, measure_structure(small[:234])
        assert cells is not None, "416x234 is large enough"
        scene, impaired = Scene(at, camera.keyframes, cells), lights.impaired is not None
        told = covers.update(scene, light.noise, 0.5, 0.2, impaired) if number % 3 == 0 else None
        dim = lights.update(light, at, 0.2, 0.2) if impaired or covers.tamper is None else None
        for one in (told, dim):
            if one is not None:
                begun, word = (90, "end of ") if one.over else (60, "")
                said += [f"{word}{one.reason.value} {at - begun:.0f}"]
    return said


def cost() -> None:
    """Print what a sample takes in the worker."""
    for size in ((416, 234), (640, 360), (640, 640)):
        luma = CHANCE.integers(16, 235, size[::-1]).astype(np.uint8)
        measure_structure(luma)
        began = time.perf_counter()
        for _ in range(500):
            measure_structure(luma)
        print(f"{size[0]}x{size[1]}: {(time.perf_counter() - began) * 2:.3f} ms")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    asked = sys.argv[1:] or ["cost", "frozen", "living", "covered"]
    if "cost" in asked:
        cost()
    if "frozen" in asked:
        freeze()
    if "living" in asked:
        live()
    for quantiser in (28, 37) if "covered" in asked else ():
        cover(quantiser)
