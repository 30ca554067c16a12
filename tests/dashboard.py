"""Write the dashboard, and with --picture draw it too, from five minutes of a site in which things go wrong.

python tests/dashboard.py [--picture]

config/grafana/tocsin.json is made of `support.board`; edit that, not the JSON.
"""

import argparse
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from support import grafana
from support.board import ROWS
from support.drawing import Look, draw
from support.showcase import SECONDS, five_minutes

PICTURE = grafana.FILE.with_suffix(".png")


def main() -> None:
    """Write what was asked for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--picture", action="store_true", help="takes six minutes, and needs Prometheus")
    grafana.FILE.write_text(grafana.text(), encoding="utf-8")
    print(f"wrote {grafana.FILE}")
    if options.parse_args().picture:
        _draw()
        print(f"wrote {PICTURE}")


def _draw() -> None:
    street = files("tocsin") / "assets" / "pedestrians.mp4"
    with (
        as_file(street) as clip,
        tempfile.TemporaryDirectory() as folder,
        five_minutes(clip, Path(folder)) as prometheus,
    ):
        draw(ROWS, Look(prometheus, SECONDS, "yard"), PICTURE)


if __name__ == "__main__":
    main()
