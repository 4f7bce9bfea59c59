"""Writes quickstart.json from a finished run: `python -m tests.golden.make results/quickstart`."""

import json
import sys
from pathlib import Path

from orchestrator.results.store import Store

FILE = Path(__file__).parent / "quickstart.json"


def scores(store: Store) -> dict[str, float]:
    """`label/behavior/split` -> rho of every cell."""
    labels = {r["cell_id"]: json.loads(r["spec"]) for r in store.rows("cells")}
    found = {}
    for row in store.rows("scores"):
        spec = labels[row["cell_id"]]
        weight = spec["hinge"] and spec["hinge"]["rho_weight"]
        key = f"{spec['condition']}/{weight}/{spec['seed']}/{row['behavior']}/{row['split']}"
        found[key] = row["rho"]
    return found


if __name__ == "__main__":
    text = json.dumps(scores(Store(Path(sys.argv[1]))), indent=0, sort_keys=True)
    FILE.write_text(text + "\n")
