"""What the configuration says about light."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from tocsin.fields import Section
from tocsin.yamlfile import Fault


class LightSettings(Section):
    """`streams[].light`."""

    mode: Literal["off", "guided", "dacot"] = Field(
        default="guided",
        description="guided corrects only where contrast is lost; dacot darkens, then applies CLAHE, when bright",
    )
    brighter_than: float = Field(
        default=150.0,
        ge=0,
        le=255,
        description="dacot: the mean luma (0 to 255) above which it acts; 0 means always",
    )

    weighed: ClassVar[frozenset[str]] = frozenset({"mode", "brighter_than"})

    def conflicts(self) -> Iterator[Fault]:
        if self.changed("brighter_than") and self.mode != "dacot":
            yield Fault(
                ("brighter_than",), f"expected this key only with mode: dacot, found mode: {self.mode}"
            )
