"""The files that Tocsin ships are found in an installation and in a checkout."""

from pathlib import Path

import pytest

from tocsin import resources
from tocsin.errors import TocsinError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package two levels below a folder, as in a checkout and as in site-packages."""
    root = tmp_path / "daemon" / "tocsin"
    root.mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", root)
    return root


def _write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


@pytest.mark.parametrize(
    "relative",
    [
        "models/manifest.yaml",
        "models/nanodet-coco-416.onnx",
        "models/nanodet-coco-416-int8.onnx",
        "assets/pedestrians.mp4",
    ],
)
def test_this_installation_has_what_it_needs(relative: str) -> None:
    """However the package under test is installed, its model and its clip are found."""
    assert resources.find(relative).is_file()


def test_a_checkout_keeps_its_folders_beside_daemon(package: Path) -> None:
    """In a source tree the folder at its top is used."""
    _write(package.parent.parent / "pyproject.toml")
    wanted = _write(package.parent.parent / "models" / "manifest.yaml")
    assert resources.find("models/manifest.yaml") == wanted


def test_an_installation_carries_them_inside(package: Path) -> None:
    """Without a source tree around it the package's own copy is used."""
    wanted = _write(package / "shipped" / "config" / "demo.yaml")
    assert resources.find("config/demo.yaml") == wanted


def test_the_installation_comes_first(package: Path) -> None:
    """A wheel that happens to lie in a source tree uses what it was built with."""
    _write(package.parent.parent / "pyproject.toml")
    _write(package.parent.parent / "models" / "manifest.yaml")
    wanted = _write(package / "shipped" / "models" / "manifest.yaml")
    assert resources.find("models/manifest.yaml") == wanted


def test_a_folder_above_that_is_no_source_tree_does_not_count(package: Path) -> None:
    """A `models` folder somewhere above site-packages is somebody else's."""
    _write(package.parent.parent / "models" / "manifest.yaml")
    with pytest.raises(TocsinError, match=r"^expected models/manifest\.yaml in the installation"):
        resources.find("models/manifest.yaml")
