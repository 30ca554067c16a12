"""A process that reads a camera may write so much and no more."""

import subprocess
import sys
from pathlib import Path

from tocsin.capture.allowance import LARGEST_FILE

WORKER = """
import resource, sys
from tocsin.capture import allowance
from tocsin.capture.order import Order, SourceOrder, ViewOrder
from tocsin.light.plan import Mode, Policy

source = SourceOrder("clip.mp4", None, None, "tcp", False)
allowance.bound(Order("yard", source, (ViewOrder(160, 160, True),), Policy(mode=Mode.OFF), 10.0))
print(*resource.getrlimit(resource.RLIMIT_FSIZE))
try:
    with open(sys.argv[1], "r+b") as file:
        file.seek(allowance.LARGEST_FILE - 1)
        file.write(b"xx")
except OSError as error:
    print(error.errno)
"""


def test_no_file_of_a_worker_fills_the_disk(tmp_path: Path) -> None:
    """Whatever a camera makes of it: it is told so by an error, and cannot ask for more."""
    path = tmp_path / "clip.mp4"
    path.touch()
    told = subprocess.run(
        [sys.executable, "-c", WORKER, str(path)], stdout=subprocess.PIPE, check=True, text=True
    )
    assert told.stdout.split() == [str(LARGEST_FILE), str(LARGEST_FILE), "27"]
    assert path.stat().st_size <= LARGEST_FILE
