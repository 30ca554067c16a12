"""Kinds of views by the words of a command line."""

import re
from dataclasses import dataclass, replace

from tocsin.capture.order import ViewOrder
from tocsin.capture.regions import tiles
from tocsin.capture.settings import TileSettings
from tocsin.errors import InputError


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of view by its name, and the views that it consists of."""

    name: str
    orders: tuple[ViewOrder, ...]


def kind_from(word: str, whole: ViewOrder) -> Kind:
    """Return the kind of view for `full` or a word such as `tiles:2x3` or `tiles:3x5:0.3`.

    Tiles are without the view of the whole frame. Raises InputError.
    """
    if word == "full":
        return Kind(word, (whole,))
    found = re.fullmatch(r"tiles:([1-8])x([1-8])(?::(0?\.[0-9]{1,3}))?", word, re.ASCII)
    rows, columns = (int(found[1]), int(found[2])) if found else (0, 0)
    overlap = float(found[3]) if found and found[3] else TileSettings().overlap
    if rows * columns < 2 or not 0.05 <= overlap <= 0.5:
        raise InputError(
            "--views: expected full, or tiles:ROWSxCOLUMNS from 1x2 to 8x8 and perhaps an overlap from 0.05 to"
            f" 0.5 such as tiles:2x3:0.2, found {word}"
        )
    parts = tuple(replace(whole, region=region) for region in tiles(rows, columns, overlap))
    return Kind(f"tiles {rows}x{columns}", parts)
