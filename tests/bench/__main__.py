"""Every benchmark, one after another: `python tests/bench`."""

import subprocess
import sys
from pathlib import Path

for name in (
    "light",
    "capture",
    "memory",
    "isolation",
    "engine",
    "cpu",
    "views",
    "scene",
    "delivery",
    "evidence",
    "scrape",
    "demo",
):
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, str(Path(__file__).with_name(f"{name}.py"))], check=True)
