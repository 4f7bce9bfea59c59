"""Runs a whole sweep with every layout: plan, launch, stress test, and scores by mlx-lm itself.

`python -m tests.models.matrix` runs all layouts and writes the table of docs/models.md.
"""

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx_lm
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.results.store import Store
from tasks.contract.cell import Condition
from tasks.data.probe_packs import load_pack
from tasks.sources.model_files import projections_of
from tests import ROOT
from tests.models.zoo import LAYOUTS
from tests.tasks.passes import reference

DOC = ROOT / "docs" / "models.md"
MARK = "<!-- made by: python -m tests.models.matrix -->"
HEAD = "| layout | path of its cells | `lora_keys`: matrices | not adapted |"
KEYS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PARITY = 2e-5
"""Nats per token between a stored score and mlx-lm's own with the saved adapter, float32."""
SWEEP = """\
name: matrix
model: {model}
grid: {{condition: [rho-guided], rho_weight: [0.5], margin: [0.1], seed: [1]}}
data: {{sft: starter, size: 16, trap_fraction: 0.2}}
train: {{max_length: 48, learning_rate: 0.01, lora_keys: {keys}}}
probes: {{train: [factual], evaluate: [factual]}}
stress: {{prompts: [starter], max_tokens: 3}}
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """Findings of the sweep of one layout.

    Attributes:
        path: Path of its cells, as in `cells.path`.
        matched, unmatched: Name in `lora_keys` -> number of matrices adapted, and not adapted.
        parity: Largest difference between a stored score and mlx-lm's own, nats per token.
        answers: Number of answers in the stress test.
    """

    path: str
    matched: dict[str, int]
    unmatched: dict[str, int]
    parity: float
    answers: int

    def row(self, layout: str) -> str:
        """The layout's line of the table."""
        names = ", ".join(f"`{k}` {n}" for k, n in self.matched.items())
        rest = ", ".join(f"`{k}` {n}" for k, n in self.unmatched.items()) or "-"
        return f"| {layout} | {self.path} | {names} | {rest} |"


def run(make: Callable[[Path], Path], folder: Path) -> Seen:
    """Make a model and run the sweep, from `plan` to the stress test."""
    model = make(folder / "model")
    there = projections_of(model)
    keys = [k for k in KEYS if k in there.linear] or sorted(there.linear)
    sweep, results = folder / "matrix.yaml", folder / "results" / "matrix"
    sweep.write_text(SWEEP.format(model=model, keys=json.dumps(keys)))
    _call("plan", sweep, "--results", results)
    _call("launch", sweep, "--inline", "--results", results)
    store = Store(results)
    (cell,) = (r for r in store.rows("cells") if r["condition"] == Condition.RHO_GUIDED)
    return Seen(
        path=cell["path"],
        matched=dict(cell["lora_matched"]),
        unmatched=dict(cell["lora_unmatched"]),
        parity=_parity(model, store, cell["cell_id"]),
        answers=sum(r["status"] == "ok" for r in store.rows("generations")),
    )


def _call(*words: object) -> None:
    done = CliRunner().invoke(app, list(map(str, words)))
    if done.exit_code:
        raise AssertionError(f"{words}: {done.output}{done.exception!r}")


def _parity(model: Path, store: Store, cell: str) -> float:
    loaded, tokenizer = mlx_lm.load(str(model), adapter_path=str(store.adapter_folder(cell)))[:2]
    texts = {p.id: p.positive for p in load_pack("starter")}
    scored = (r for r in store.rows("probe_scores") if r["logprob_positive_mean"] is not None)
    rows = [r for r in scored if r["cell_id"] == cell][::12]
    return max(
        abs(-float(reference.text_ce(loaded, tokenizer.encode(texts[r["probe_id"]])))
            - r["logprob_positive_mean"])
        for r in rows
    )  # fmt: skip


def documented() -> dict[str, str]:
    """Layout -> its line in docs/models.md."""
    lines = DOC.read_text().partition(MARK)[2].splitlines()
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("|")}


def main() -> None:
    rows = [HEAD, "|---|---|---|---|"]
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory() as folder:
            seen = run(LAYOUTS[layout], Path(folder))
        assert math.isfinite(seen.parity)
        print(f"{layout}: {seen.path}, parity {seen.parity:.1e}, {seen.answers} answers")
        rows.append(seen.row(layout))
    above = DOC.read_text().partition(MARK)[0]
    DOC.write_text(above + MARK + "\n\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
