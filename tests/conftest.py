"""Fixtures that more than one test module needs; the machinery behind them is in `support`."""

import signal
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import hypothesis
import pytest

from support import blockmodel

# what is imported here, pytest takes for this file's own
from support.canary import (  # noqa: F401
    inspected_commands,
    pytest_runtest_makereport,
    pytest_sessionfinish,
    pytest_testnodedown,
)
from support.parallel import (  # noqa: F401
    pytest_cmdline_main,
    pytest_collection_modifyitems,
    pytest_runtest_protocol,
)
from support.receiver import Receiver

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Tests that a shell runs in the background do not heed Ctrl-C, and the programs that they start would not.
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("tocsin", deadline=None)  # a machine under load proves nothing
hypothesis.settings.load_profile("tocsin")


@pytest.fixture(scope="session")
def block_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny detector that reports bright blocks as class "block"."""
    return blockmodel.build(tmp_path_factory.mktemp("models") / "blocks.onnx")


@pytest.fixture(scope="session")
def clip() -> Iterator[Path]:
    """The surveillance clip that the package carries: persons on a path, 768 x 576, 10 pictures a second."""
    with as_file(files("tocsin") / "assets" / "pedestrians.mp4") as path:
        assert path.is_file(), f"the package carries no clip at {path}"
        yield path


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook receiver that answers 204 until it is told otherwise."""
    with Receiver() as running:
        yield running
