"""A bad night by hand, as long as one likes; as root, for it mounts a small disk.

python tests/chaos.py --seconds 600 --seed 1
"""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from support.blockmodel import build
from support.chaos import Chaos


def main() -> None:
    """Run, print how it goes, and end with an error when something did not hold."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=120.0)
    options.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    options.add_argument("--log", type=Path, help="where to keep the daemon's log")
    asked = options.parse_args()
    print(f"a bad night of {asked.seconds:g} s, --seed {asked.seed}", flush=True)
    chaos = Chaos(asked.seconds, asked.seed, lambda line: print(line, flush=True))
    with tempfile.TemporaryDirectory() as folder:
        try:
            chaos.run(build(Path(folder) / "blocks.onnx"), Path(folder).resolve())
        finally:
            if asked.log:
                asked.log.write_text(chaos.daemon.log)


if __name__ == "__main__":
    main()
