"""Configuration files gone wrong, as many as one likes: none may end in anything but a sentence.

python tests/fuzz.py --files 100000 --seed 1
"""

import argparse
import random
import secrets
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from support.mutation import mutated, wrong_about


def main() -> None:
    """Run, print the count, and end with an error at the first file that did not end well."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--files", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    asked = options.parse_args()
    print(f"{asked.files} files, --seed {asked.seed}", flush=True)
    chance = random.Random(asked.seed)
    slowest = 0.0
    for number in range(asked.files):
        content = mutated(chance)
        began = time.perf_counter()
        try:
            wrong = wrong_about(content)
        except Exception:  # noqa: BLE001  whatever it is, it is what was looked for
            wrong = traceback.format_exc()
        slowest = max(slowest, time.perf_counter() - began)
        if wrong:
            sys.stdout.buffer.write(content + b"\n")
            sys.exit(f"file {number}: {wrong}")
    print(f"each gave a configuration or faults in words; the slowest took {slowest * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
