"""Draws what was seen of the light of a picture, or of a whole recording, as one PNG."""

import io
from collections.abc import Callable

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from tocsin.capture.resize import Plane
from tocsin.frame import Correction, Light
from tocsin.light.measure import BLACK, LEVELS, WHITE
from tocsin.lightcard.facts import Exhibit, Facts
from tocsin.lightcard.sheet import (
    ALERT,
    CLIPPED,
    FAINT,
    INK,
    MARGIN,
    TITLE,
    Sheet,
    colour_of,
    height_of,
    luma_of,
    show,
    unmark,
    word_of,
)
from tocsin.lightcard.sight import Unseen, unseen
from tocsin.lightcard.table import (
    Asked,
    about_picture,
    averages,
    circumstances,
    clock,
    extent,
    numbers,
    size_of,
    steadiness,
    unseen_words,
)
from tocsin.lightcard.timeline import Span

_BAND, _MEAN, _CONTRAST = "#cfd8dc", "#222222", "#aa4499"
DPI = 110


def draw(facts: Facts, asked: Asked) -> bytes:
    """Return a PNG.

    Of one picture: before and after, their histograms, the numbers and the decision; where the correction differs
    from place to place, also where and how much. Of a recording: a strip of moments, and the whole time with its
    light and its corrections.
    """
    return _png(
        lambda: _picture(facts.exhibits[0], asked) if facts.treated == 1 else _recording(facts, asked)
    )


def _png(draw: Callable[[], Figure]) -> bytes:
    """Draw with matplotlib's own defaults, whatever the user's are, and return the file."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["text.parse_math"] = False  # a file name may hold dollars
        mpl.rcParams["text.hinting"] = "none"  # hinted, small bold figures look like another font
        mpl.rcParams["hatch.linewidth"] = 0.6
        file = io.BytesIO()
        draw().savefig(file, format="png", dpi=DPI)
        return file.getvalue()


# One picture


SIDE = 4.9
_TALLEST = 6.0
GAP = 0.65
_NUMBERS = 3.5
_HISTOGRAM = 2.2
_LINE = 0.245


def _picture(exhibit: Exhibit, asked: Asked) -> Figure:
    pictures = 2 if exhibit.gains is None else 3
    high = height_of(exhibit, SIDE, _TALLEST)
    columns = [MARGIN + place * (SIDE + GAP) for place in range(pictures + 1)]
    top, below = TITLE + 0.35, TITLE + 0.35 + high + 0.75
    tall = max(
        below + _HISTOGRAM + 0.75,
        TITLE + 3.5 + _LINE * len(numbers(exhibit.moment.light, exhibit.light_after)),
    )
    sheet = Sheet(columns[-1] + _NUMBERS + MARGIN, tall)
    sheet.title(asked.recording.name, about_picture(exhibit, asked))
    words = ("before", "after", "where and how much")
    for left, word in zip(columns[:-1], words, strict=False):
        sheet.text(left, TITLE, word, 12, weight="bold")
    show(sheet.axes(columns[0], top, SIDE, high), exhibit.before)
    colour = colour_of(exhibit.moment.correction, exhibit.moment.reason)
    show(sheet.axes(columns[1], top, SIDE, high), exhibit.after, colour)
    if exhibit.gains is not None:
        _show_gains(sheet, columns[2], top, high, exhibit.after, exhibit.gains)
    histograms = [histogram(pixels) for pixels in (exhibit.before, exhibit.after)]
    ceiling = 1.15 * max(float(counts[BLACK + 1 : WHITE].max()) for counts in histograms) or 1.0
    tones = ("#8d99a6", colour)
    for left, counts, light, tone in zip(
        columns, histograms, (exhibit.moment.light, exhibit.light_after), tones, strict=False
    ):
        _draw_histogram(sheet.axes(left, below, SIDE, _HISTOGRAM), counts, light, tone, ceiling)
    _write_numbers(sheet, columns[-1], TITLE, exhibit)
    return sheet.figure


def histogram(pixels: Plane) -> NDArray[np.float64]:
    """Return the share of each luma value (0 to 255) among the pixels of an I420 picture."""
    luma = luma_of(pixels)
    return np.bincount(luma.ravel(), minlength=256) / luma.size


def _show_gains(
    sheet: Sheet, left: float, top: float, high: float, pixels: Plane, gains: NDArray[np.float32]
) -> None:
    """Lay the gains over the picture without its colours, with a scale to read them from."""
    luma = luma_of(pixels)
    high_pixels, wide_pixels = luma.shape
    axes = sheet.axes(left, top, SIDE, high)
    axes.imshow(luma, cmap="gray", vmin=BLACK, vmax=WHITE, interpolation="nearest")
    smooth = cv2.resize(
        np.ascontiguousarray(gains, np.float32), (wide_pixels, high_pixels), interpolation=cv2.INTER_LINEAR
    )
    most = max(float(gains.max()), 2.0)  # a gain that hardly differs from 1 looks like none
    over = axes.imshow(
        smooth, cmap="viridis", vmin=min(float(gains.min()), 1.0), vmax=most, alpha=0.55, aspect="equal"
    )
    axes.set_anchor("NW")
    unmark(axes)
    scale = sheet.axes(left, top + high + 0.75, SIDE, 0.18)
    bar = sheet.figure.colorbar(over, cax=scale, orientation="horizontal")
    bar.ax.xaxis.set_major_locator(MaxNLocator(5))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda gain, _: f"\N{MULTIPLICATION SIGN}{gain:.3g}"))
    bar.ax.tick_params(labelsize=9, colors=FAINT)
    bar.set_label("differences of luma grow by", size=9, color=FAINT)
    bar.outline.set_visible(False)


_END = 5.0
"""Levels that the bar of a clipped end is wide; it lies beside the scale."""

_TOLD = 0.0005
"""Clipped shares below this would read as 0.0 %."""

_READING = (
    "Half of the pixels do not exceed p50; 1 and 99 % of",
    "those that are not clipped do not exceed p1 and p99.",
    "Hatched: pixels at the ends of the scale, which are",
    "clipped; no correction brings them back.",
)


def _draw_histogram(
    axes: Axes, counts: NDArray[np.float64], light: Light, colour: str, ceiling: float
) -> None:
    between = slice(BLACK + 1, WHITE)
    axes.bar(LEVELS[between], counts[between], width=255 / (WHITE - BLACK), color=colour, linewidth=0)
    axes.set_xlim(-2 * _END, 255 + 2 * _END)
    axes.set_ylim(0, ceiling)
    axes.set_xticks([0, 64, 128, 192, 255])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("level of luma: 0 is black, 255 is white", size=9, color=FAINT)
    below = axes.get_xaxis_transform()
    for middle, share, side in ((-1.5, light.clipped_low, "left"), (1.5, light.clipped_high, "right")):
        if share >= _TOLD:
            place = middle * _END + (255 if middle > 0 else 0)
            axes.bar(place, min(share, ceiling), width=_END, color="none", edgecolor=CLIPPED, hatch="/////")
            edge, words = place + middle / 3 * _END, f"{share:.1%} clipped"
            axes.text(edge, -0.14, words, transform=below, size=9, color=CLIPPED, ha=side, va="top")
    _mark_percentiles(axes, light)


def _mark_percentiles(axes: Axes, light: Light) -> None:
    """Draw lines at the percentiles; their words stay apart however close the lines are."""
    marks = (
        (light.p1, "p1", "right", -3, 1.01),
        (light.p50, "p50", "center", 0, 1.09),
        (light.p99, "p99", "left", 3, 1.01),
    )
    for level, word, side, aside, height in marks:
        axes.axvline(level, ymax=height, color=INK, linewidth=1.1, linestyle=(0, (4, 2)), clip_on=False)
        axes.annotate(
            f"{word} {level:.0f}",
            (level, height),
            xycoords=axes.get_xaxis_transform(),
            xytext=(aside, 1),
            textcoords="offset points",
            size=9,
            color=INK,
            ha=side,
        )


def _write_numbers(sheet: Sheet, left: float, top: float, exhibit: Exhibit) -> None:
    first, second = left + 2.35, left + _NUMBERS - 0.1
    sheet.text(left, top, "decision", 12, weight="bold")
    sheet.chip(left + 0.06, top + 0.42, exhibit.moment, 13)
    reason = _wrapped(exhibit.moment.reason, 44)
    sheet.text(left, top + 0.85, "\n".join(reason), 10)
    alert = _wrapped(unseen_words(exhibit.moment), 44)
    sheet.text(left, top + 0.95 + 0.2 * len(reason), "\n".join(alert), 10, color=ALERT, weight="bold")
    top += 1.95 if alert[0] else 1.55
    sheet.text(left, top, "measured", 12, weight="bold")
    for right, word in ((first, "before"), (second, "after")):
        sheet.text(right, top + 0.03, word, 10, ha="right", color=FAINT)
    for line, (word, before, after) in enumerate(numbers(exhibit.moment.light, exhibit.light_after)):
        down = top + 0.34 + _LINE * line
        sheet.text(left, down, word, 10)
        sheet.text(first, down, before, 10, ha="right")
        sheet.text(second, down, after, 10, ha="right", weight="bold")
    sheet.text(left, down + 0.5, "\n".join(_READING), 9, color=FAINT, linespacing=1.5)


def _wrapped(words: str, width: int) -> list[str]:
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines[:3]


# A recording


_WIDEST = 15.6
_LABEL = 0.35
_STRIP_GAP = 0.12
_CURVES, _BARS = 2.5, 0.42


def _recording(facts: Facts, asked: Asked) -> Figure:
    exhibits = facts.exhibits
    side = min((_WIDEST - _LABEL - (len(exhibits) - 1) * _STRIP_GAP) / len(exhibits), 3.4)
    high = max(height_of(exhibit, side, 1.5 * side) for exhibit in exhibits)
    strip = TITLE + 0.62
    curves = strip + 2 * high + _STRIP_GAP + 0.75
    sheet = Sheet(_WIDEST + 2 * MARGIN, curves + _CURVES + 0.15 + _BARS + 1.25)
    mean, contrast = averages(facts)
    sheet.title(
        asked.recording.name, f"{extent(facts, asked)}; {size_of(exhibits[0])}; {circumstances(asked)}"
    )
    sheet.text(MARGIN, 0.88, f"{steadiness(facts)}; on average mean luma {mean:.0f}, contrast {contrast:.0f}")
    for place, word in enumerate(("before", "after")):
        middle = strip + high / 2 + place * (high + _STRIP_GAP)
        sheet.text(MARGIN, middle, word, 11, weight="bold", rotation=90, va="center")
    for place, exhibit in enumerate(exhibits):
        _strip(sheet, MARGIN + _LABEL + place * (side + _STRIP_GAP), strip, side, high, exhibit)
    wide = sheet.width - 2 * MARGIN - _LABEL
    above = sheet.axes(MARGIN + _LABEL, curves, wide, _CURVES)
    below = sheet.axes(MARGIN + _LABEL, curves + _CURVES + 0.15, wide, _BARS)
    _draw_curves(above, facts)
    _draw_bars(below, facts)
    return sheet.figure


def _strip(sheet: Sheet, left: float, top: float, side: float, high: float, exhibit: Exhibit) -> None:
    moment = exhibit.moment
    colour, found = colour_of(moment.correction, moment.reason), unseen(moment.light)
    sheet.text(left, top - 0.58, clock(moment.at, tenths=True), 10, weight="bold")
    sheet.text(left, top - 0.38, f"mean {moment.light.mean:.0f}, contrast {moment.light.contrast:.0f}", 8.5)
    sheet.text(left, top - 0.2, moment.correction.value, 8.5, color=FAINT)
    if found is not None:
        sheet.text(left + side, top - 0.2, found.value, 8.5, color=ALERT, weight="bold", ha="right")
    show(sheet.axes(left, top, side, high), exhibit.before)
    show(sheet.axes(left, top + high + _STRIP_GAP, side, high), exhibit.after, colour)


def _draw_curves(axes: Axes, facts: Facts) -> None:
    spans = facts.spans
    times = _edges(spans)
    means, lows, highs, contrasts = (
        _steps([getattr(span, name) for span in spans]) for name in ("mean", "p1", "p99", "contrast")
    )
    axes.fill_between(times, lows, highs, step="post", color=_BAND, linewidth=0, label="p1 to p99")
    axes.step(times, means, where="post", color=_MEAN, linewidth=1.6, label="mean")
    axes.step(
        times, contrasts, where="post", color=_CONTRAST, linewidth=1.4, linestyle="--", label="contrast"
    )
    for stretch in facts.impaired:
        _hatch(axes, stretch)
    for exhibit in facts.exhibits:
        axes.axvline(exhibit.moment.at, color=FAINT, linewidth=0.6, linestyle=":")
    axes.set_xlim(times[0], times[-1])
    axes.set_ylim(0, 255)
    axes.set_yticks([0, 64, 128, 192, 255])
    axes.set_ylabel("luma before", size=9, color=FAINT)
    axes.tick_params(bottom=False, labelbottom=False)  # the bars below have the scale
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, fontsize=9)
    axes.set_title("light and correction over time", loc="left", size=12, weight="bold", color=INK)


def _draw_bars(axes: Axes, facts: Facts) -> None:
    times = _edges(facts.spans)
    base = np.zeros(len(times))
    for word, (colour, those) in _shades(facts).items():
        shares = _steps(
            [sum(span.reasons.get(one, 0) for one in those) / span.pictures for span in facts.spans]
        )
        share = sum(facts.reasons[one] for one in those) / facts.treated
        top = base + shares
        axes.fill_between(
            times, base, top, step="post", linewidth=0, color=colour, label=f"{word} {share:.0%}"
        )
        base = top
    for number, stretch in enumerate(facts.impaired):
        word = "_" if number else "cannot be seen: stream.impaired"  # matplotlib lists no word that begins so
        _hatch(axes, stretch, word)
    axes.set_xlim(times[0], times[-1])
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(_ticks(times[-1] - times[0]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: clock(at)))
    axes.set_xlabel("time in the recording", size=9, color=FAINT)
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.75), ncols=6, frameon=False, fontsize=9.5)


def _hatch(axes: Axes, stretch: Unseen, word: str | None = None) -> None:
    axes.axvspan(
        stretch.begins,
        stretch.ends,
        facecolor="none",
        edgecolor=ALERT,
        linewidth=0,
        hatch="///",
        label=word,
    )


def _shades(facts: Facts) -> dict[str, tuple[str, list[tuple[Correction, str]]]]:
    """Return what is drawn in one colour: by its word that colour, and the corrections with their reasons."""
    shades: dict[str, tuple[str, list[tuple[Correction, str]]]] = {}
    vocabulary = list(Correction)
    for correction, reason in sorted(facts.reasons, key=lambda one: vocabulary.index(one[0])):
        word = word_of(correction, reason)
        shades.setdefault(word, (colour_of(correction, reason), []))[1].append((correction, reason))
    return shades


def _edges(spans: tuple[Span, ...]) -> list[float]:
    edges = [*(span.begins for span in spans), spans[-1].ends]
    return edges if edges[-1] > edges[0] else [edges[0], edges[0] + 1.0]


def _steps(values: list[float]) -> NDArray[np.float64]:
    """Return the values as steps need them: the last one again, for where the last step ends."""
    return np.array([*values, values[-1]])


def _ticks(seconds: float) -> MaxNLocator:
    """Return a locator that puts marks where clocks have round numbers."""
    steps = [1, 2, 5, 10] if seconds < 60 else [1, 1.5, 3, 6, 10]
    return MaxNLocator(10, steps=steps)
