"""Write the dashboard: `python tests/dashboard.py`.

config/grafana/tocsin.json is made of `support.board`; edit that, not the JSON.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from support import grafana

grafana.FILE.write_text(grafana.text(), encoding="utf-8")
print(f"wrote {grafana.FILE}")
