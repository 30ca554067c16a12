"""The words of options that several commands have; loaded with the command line, so it imports nothing heavy."""

from enum import StrEnum
from typing import Annotated

import typer


class LightMode(StrEnum):
    """How the light is treated: the words of `streams[].light.mode`."""

    GUIDED = "guided"
    DACOT = "dacot"
    OFF = "off"


def light_mode(text: str) -> LightMode:
    """Return the mode of that word; raises typer.BadParameter, for typer's own sentence shows how it is made."""
    if text not in set(LightMode):
        raise typer.BadParameter(f"expected one of {', '.join(LightMode)}, found {text}")
    return LightMode(text)


ModeOption = Annotated[
    LightMode | None,
    typer.Option(
        parser=light_mode,
        metavar="|".join(LightMode),
        help="How the light is treated.",
        show_default="guided",
    ),
]

BrighterThanOption = Annotated[
    float | None,
    typer.Option(min=0, max=255, help="dacot: the mean luma above which it acts.", show_default="150"),
]

StreamOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The stream in it; needed where there are several.")
]
"""Beside an option that names a configuration."""
