"""What the pictures of `tocsin light` are made of: a sheet with places in inches, and the colours."""

import cv2
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tocsin.capture.resize import Plane
from tocsin.frame import Correction, Reason
from tocsin.lightcard.facts import Exhibit
from tocsin.lightcard.timeline import Moment

_COLOURS = {
    Correction.NONE: "#bdbdbd",
    Correction.STRETCH: "#009e73",
    Correction.STRETCH_DENOISE: "#005f45",
    Correction.LOCAL_STRETCH: "#cc79a7",
    Correction.LOCAL_STRETCH_DENOISE: "#7a3a5e",
    Correction.CLAHE: "#56b4e9",
    Correction.DARKEN: "#0072b2",
    Correction.DARKEN_CLAHE: "#d55e00",
    Correction.BRIGHTEN: "#e69f00",
}
"""After Okabe and Ito, who chose colours that the colour-blind tell apart; what also smooths is a darker one."""

_LEFT_ALONE = {Reason.UNIFORM.value: "#5c5c5c", Reason.OVEREXPOSED.value: "#8f8779"}
"""`none` because nothing can be done is not `none` because all is well."""

INK, FAINT, CLIPPED, ALERT = "#222222", "#666666", "#882255", "#b2182b"
MARGIN = 0.55
TITLE = 1.25
"""Inches from the upper edge to what follows the title."""


def colour_of(correction: Correction, reason: str = "") -> str:
    """Return the colour that stands for a correction, and for why nothing was done, wherever it is drawn."""
    return _LEFT_ALONE.get(reason, _COLOURS[correction])


def word_of(correction: Correction, reason: str) -> str:
    """Return the word that goes with the colour."""
    return f"{correction} ({reason.partition(':')[0]})" if reason in _LEFT_ALONE else correction.value


class Sheet:
    """A figure on which things are placed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes in that place."""
        place = (
            left / self.width,
            1 - (top + height) / self.height,
            width / self.width,
            height / self.height,
        )
        axes = self.figure.add_axes(place)
        axes.tick_params(labelsize=9, colors=FAINT)
        axes.spines[["top", "right"]].set_visible(False)
        return axes

    def text(self, left: float, top: float, words: str, size: float = 10, **more: object) -> None:
        """Write words whose upper left corner (or what `ha` and `va` say) is there."""
        looks = {"ha": "left", "va": "top", "color": INK, **more}
        self.figure.text(left / self.width, 1 - top / self.height, _drawable(words), size=size, **looks)  # type: ignore[arg-type]

    def chip(self, left: float, top: float, moment: Moment, size: float = 11) -> None:
        """Write what was done about a moment on its colour."""
        colour = colour_of(moment.correction, moment.reason)
        box = {"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": "none"}
        self.text(left, top, moment.correction.value, size, color=_ink_on(colour), weight="bold", bbox=box)

    def title(self, name: str, about: str) -> None:
        """Write what was looked at, and what is known about the whole of it."""
        self.text(MARGIN, 0.3, _shortened(" ".join(name.split()), round(self.width * 6)), 15, weight="bold")
        self.text(MARGIN, 0.65, _shortened(about, round(self.width * 11)), 10, color=FAINT)


def _drawable(words: str) -> str:
    """Return the words with a mark for each character that the font cannot draw; lines stay lines."""
    path = font_manager.findfont(font_manager.FontProperties())
    known = font_manager.get_font(path).get_charmap()
    return "".join(
        letter if ord(letter) in known or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in words
    )


def _shortened(words: str, length: int) -> str:
    """Leave out the middle of what is too long: the ends of file names tell most."""
    if len(words) <= length:
        return words
    half = (length - 1) // 2
    return f"{words[:half]}\N{HORIZONTAL ELLIPSIS}{words[-half:]}"


def _ink_on(colour: str) -> str:
    red, green, blue = to_rgb(colour)
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else INK


def luma_of(pixels: Plane) -> Plane:
    """Return the luma plane of an I420 picture, uint8 [h * 3 / 2, w]."""
    return pixels[: pixels.shape[0] * 2 // 3]


def height_of(exhibit: Exhibit, width: float, tallest: float) -> float:
    """Return the inches that a picture takes that is so many inches wide; a strip of a few lines gets some air."""
    shape: float = exhibit.before.shape[0] * 2 / 3 / exhibit.before.shape[1]
    return min(width * max(shape, 0.15), tallest)


_THIN = 0.05
"""A picture of less height for its width would disappear under the frame that shows its correction."""


def show(axes: Axes, pixels: Plane, frame: str | None = None) -> None:
    """Show an I420 picture in the colours that the detector gets, in a frame of that colour."""
    axes.imshow(cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_I420), interpolation="nearest")
    axes.set_anchor("NW")
    unmark(axes, frame if pixels.shape[0] > _THIN * pixels.shape[1] else None)


def unmark(axes: Axes, frame: str | None = None) -> None:
    """Take the marks of a scale away, which a picture has none of."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(frame is not None)
        spine.set_color(frame or "none")
        spine.set_linewidth(2.5)
