"""Finds the files that Tocsin ships: models and configuration, which lie outside the package, and its assets."""

from pathlib import Path

from tocsin.errors import TocsinError

_PACKAGE = Path(__file__).resolve().parent


def find(relative: str) -> Path:
    """Return the path of a shipped file or folder, such as `models/manifest.yaml` or `assets/pedestrians.mp4`.

    An installation carries `models` and `config` inside the package, in `shipped`; in a checkout they lie beside
    `daemon`. The installation's comes first. Raises TocsinError where neither holds it.
    """
    for root in _roots(relative.split("/", 1)[0]):
        if (root / relative).exists():
            return root / relative
    raise TocsinError(
        f"expected {relative} in the installation or the checkout of tocsin, found it in neither"
    )


def _roots(folder: str) -> list[Path]:
    roots = [_PACKAGE if folder == "assets" else _PACKAGE / "shipped"]
    checkout = _PACKAGE.parent.parent
    # site-packages may lie two levels below anything: only a folder that is a source tree counts as one
    if (checkout / "pyproject.toml").is_file() and (checkout / folder).is_dir():
        roots.append(checkout)
    return roots
