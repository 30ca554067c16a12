"""The words of options that several commands have; loaded with the command line, so it imports nothing heavy."""

from enum import StrEnum

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
