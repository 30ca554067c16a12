"""What is handed out: a wheel and a source distribution, with everything that the program needs."""

import email
import email.message
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from tocsin import __version__

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]


def build(source: Path, target: Path, *kinds: str) -> None:
    """Build with the backend that pyproject.toml names."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", *(f"-t{kind}" for kind in kinds), "-d", str(target)],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both."""
    folder = tmp_path_factory.mktemp("packages")
    build(ROOT, folder, "sdist", "wheel")
    return folder


@pytest.fixture(scope="module")
def wheel(packages: Path) -> Path:
    """The wheel."""
    return packages / f"tocsin-{__version__}-py3-none-any.whl"


def names(wheel: Path) -> set[str]:
    """The files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> email.message.Message:
    """What a package index would show."""
    with zipfile.ZipFile(wheel) as archive:
        return email.message_from_bytes(archive.read(f"tocsin-{__version__}.dist-info/METADATA"))


def test_the_wheel_holds_the_program_and_what_it_ships(wheel: Path) -> None:
    """Every module and asset, models and configuration, and nothing of the tests."""
    found = names(wheel)
    package = {
        f"tocsin/{path.relative_to(ROOT / 'daemon' / 'tocsin')}"
        for path in (ROOT / "daemon" / "tocsin").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {
        f"tocsin/shipped/{path.relative_to(ROOT)}"
        for folder in ("models", "config")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in found if ".dist-info/" not in name} == package | shipped
    assert {"tocsin/assets/pedestrians.mp4", "tocsin/shipped/models/nanodet-coco-416.onnx"} <= found
    assert {"tocsin/shipped/config/tocsin.schema.json", "tocsin/shipped/config/demo.yaml"} <= found


def test_the_source_distribution_builds_the_same_wheel(packages: Path, wheel: Path, tmp_path: Path) -> None:
    """It is complete: what is built from it alone has the same files, and its tests and unit come along."""
    with tarfile.open(packages / f"tocsin-{__version__}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / f"tocsin-{__version__}"
    assert (source / "systemd" / "tocsin.service").is_file()
    assert (source / "tests" / "acceptance" / Path(__file__).name).is_file()
    build(source, tmp_path / "again", "wheel")
    assert names(tmp_path / "again" / wheel.name) == names(wheel)


@pytest.mark.parametrize(
    ("machine", "wanted"),
    [("x86_64", "onnxruntime-gpu"), ("aarch64", "onnxruntime"), ("armv7l", "onnxruntime")],
)
def test_each_machine_gets_the_inference_that_exists_for_it(wheel: Path, machine: str, wanted: str) -> None:
    """One of the two builds of ONNX Runtime, and never both."""
    where = {**default_environment(), "sys_platform": "linux", "platform_machine": machine, "extra": ""}
    required = [Requirement(line) for line in metadata(wheel).get_all("Requires-Dist", [])]
    runtimes = [
        one.name
        for one in required
        if one.name.startswith("onnxruntime") and (one.marker is None or one.marker.evaluate(where))
    ]
    assert runtimes == [wanted]


def test_the_wheel_runs_the_demo_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, which borrows only the libraries: an alarm is raised and delivered."""
    home = tmp_path / "environment"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    packages = next((home / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # after its own: what is installed here in the same name is not what is meant
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [python, *arguments], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import tocsin; print(tocsin.__file__)").startswith(str(packages))
    assert run("-m", "tocsin", "--version") == f"tocsin {metadata(wheel)['Version']}\n"
    assert re.search(r"ALARM RAISED .* verified after", run("-m", "tocsin", "demo", "--seconds", "20"))
