"""Time and memory to analyse 100,000 synthetic cells (6 behaviours, 5 million probe rows).

Run: make bench-analyze. Also measures the scan of a launch that resumes. Prints seconds, peak
memory, and whether the goals were met:
20 s and 4 GB for the analysis, 2 s for the scan of 10,000 finished cells.
"""

import json
import resource
import statistics
import tempfile
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.analysis.analyze import analyze_frame
from orchestrator.analysis.evidence.frame import Frame
from orchestrator.config.contrasts import Contrast
from orchestrator.results.registration import Registered, Registration
from orchestrator.results.schema import TABLES, spec_row, versioned
from orchestrator.results.store import CHILDREN, Store, as_file
from tasks.contract.cell import (
    CellSpec,
    Condition,
    DataSpec,
    HingeSpec,
    ModelSpec,
    ProbeSpec,
    TrainSpec,
)

BEHAVIORS = ("bias", "deception", "factual", "refusal", "sycophancy", "toxicity")
SEEDS = range(8)
RATES = tuple(1e-5 * (i + 1) for i in range(50))
RANKS = tuple(range(1, 26))
ARMS = 10
"""Each rate and rank: sft-only, and rho-guided at nine weights."""
PROBES = 50
SCANNED = 10_000
GOAL_S, GOAL_BYTES, GOAL_SCAN_S = 20.0, 4 * 2**30, 2.0


def specs() -> list[CellSpec]:
    """One spec per arm; seeds are filled in later."""
    probes = ProbeSpec(
        pack="synthetic", train=BEHAVIORS, evaluate=BEHAVIORS, heldout=0.0, digest="probes"
    )
    data = DataSpec(
        sft="synthetic",
        size=100,
        trap_fraction=0.0,
        refusal_fraction=0.0,
        template=None,
        revision=None,
        digest="data",
    )
    first = CellSpec(
        condition=Condition.SFT_ONLY,
        model=ModelSpec(name="synthetic", digest="model"),
        probes=probes,
        max_length=64,
        data=data,
        sft_records=100,
        seed=0,
    )
    found = []
    for rate in RATES:
        for rank in RANKS:
            train = TrainSpec(learning_rate=rate, lora_rank=rank)
            found.append(replace(first, train=train))
            for i in range(1, ARMS):
                hinge = HingeSpec(
                    rho_weight=i / 10,
                    margin=0.1,
                    pairs_per_step=6,
                    behaviors=BEHAVIORS,
                    pool_digest="pool",
                )
                found.append(replace(found[-1], condition=Condition.RHO_GUIDED, hinge=hinge))
    return found


def baseline(spec: CellSpec) -> CellSpec:
    """The untrained model that all arms are relative to."""
    return replace(
        spec,
        condition=Condition.BASELINE,
        train=None,
        data=None,
        sft_records=None,
        hinge=None,
        seed=None,
    )


def tables() -> tuple[pa.Table, pa.Table, pa.Table]:
    """Cells, scores and probe scores; effects grow with the weight, seeds and probes vary."""
    random = np.random.default_rng(0)
    rows = [_cell(baseline(specs()[0]), None)]
    effects = [0.0]
    for spec in specs():
        shared = spec_row(spec)
        for seed in SEEDS:
            rows.append(_cell(replace(spec, seed=seed), seed, shared))
            effects.append(spec.hinge.rho_weight if spec.hinge else 0.0)
    cells = pa.Table.from_pylist(rows, schema=versioned("cells"))
    n, b = len(rows), len(BEHAVIORS)
    ids = cells["cell_id"].combine_chunks()
    of_score = np.repeat(np.arange(n), b)
    rho = np.asarray(effects)[of_score] + random.normal(0, 0.1, n * b)
    scores = _table(
        "scores",
        {
            "cell_id": ids.take(pa.array(of_score)),
            "behavior": pa.array(list(BEHAVIORS) * n),
            "split": pa.array(["train"] * (n * b)),
            "rho": pa.array(rho),
            "accuracy": pa.array(random.uniform(0, 1, n * b)),
            "step": pa.nulls(n * b, pa.int64()),
        },
    )
    of_probe = np.repeat(np.arange(n), PROBES)
    names = [f"toxicity-{i}" for i in range(PROBES)]
    probes = _table(
        "probe_scores",
        {
            "cell_id": ids.take(pa.array(of_probe)),
            "behavior": pa.array(["toxicity"] * (n * PROBES)),
            "split": pa.array(["train"] * (n * PROBES)),
            "probe_id": pa.array(names * n),
            "gap": pa.array(np.asarray(effects)[of_probe] + random.normal(0, 1, n * PROBES)),
            "cluster": pa.nulls(n * PROBES, pa.string()),
            "step": pa.nulls(n * PROBES, pa.int64()),
        },
    )
    return cells, scores, probes


def _cell(spec: CellSpec, seed: int | None, shared: dict[str, Any] | None = None) -> dict[str, Any]:
    row = dict(shared) if shared is not None else spec_row(spec)
    trained = seed is not None
    return row | {
        "cell_id": f"{row['arm_id']}-{seed}",
        "spec": json.dumps(asdict(spec), sort_keys=True) if shared is None else row["spec"],
        "seed": seed,
        "status": "ok",
        "backend": "cpu",
        "base_precision": "float32",
        "pairing_key": f"seed {seed}" if trained else None,
        "attempts": 1,
        "host": "h",
        "chip": "c",
        "os": "o",
        "python": "3",
        "mlx": "0",
        "mlx_lm": "0",
        "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
    }


def _table(name: str, columns: dict[str, pa.Array]) -> pa.Table:
    """A table with only the columns that an analysis reads."""
    fields = [TABLES[name].field(c) for c in columns]
    return pa.table(list(columns.values()), names=[f.name for f in fields])


def questions() -> Registration:
    """Contrasts at a corner of the grid: means, spread, trend, one over seeds and probes."""
    where = (("train.learning_rate", RATES[3]), ("train.lora_rank", RANKS[3]))
    guided = (("condition", "rho-guided"), *where)
    plain = (("condition", "sft-only"), *where)
    strong = tuple(sorted((*guided, ("rho_weight", 0.5))))
    raw: list[dict[str, Any]] = [
        {"kind": "mean_diff", "a": strong, "b": plain, "alternative": "greater"},
        {"kind": "sd_ratio", "a": strong, "b": plain},
        {"kind": "trend", "a": guided, "over": "rho_weight", "alternative": "greater"},
        {"kind": "strict_monotone", "a": guided, "over": "rho_weight", "alternative": "greater"},
        {
            "kind": "mean_diff",
            "a": strong,
            "b": plain,
            "behaviors": ["toxicity"],
            "population": "new_seeds_and_probes",
        },
    ]
    contrasts = [
        Contrast.from_dict({"id": f"q{i}", "claim": f"question {i}", **one})
        for i, one in enumerate(raw)
    ]
    return Registration(contrasts=tuple(Registered(contrast=c, at="2026-01-01") for c in contrasts))


def scan(times: int = 5) -> float:
    """Seconds of CPU until a launch knows which of 10,000 finished cells need not run; median."""
    spec = specs()[0]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.create()
        row, child = _cell(spec, 0), bytes(1000)
        for i in range(SCANNED):
            cell = f"{i:016x}"
            for name in CHILDREN:
                store.path(name, cell).write_bytes(child)
            files = [
                {"name": f"{name}/{cell}.arrow", "bytes": len(child), "sha256": "0" * 64}
                for name in CHILDREN
            ]
            shown = row | {"cell_id": cell, "files": files}
            store.path("cells", cell).write_bytes(as_file("cells", [shown]))
        seconds = []
        for _ in range(times):
            started = time.process_time()
            assert len(store.done()) == SCANNED
            seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def main() -> None:
    made = tables()
    print(f"cells {made[0].num_rows}, scores {made[1].num_rows}, probe rows {made[2].num_rows}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    started = time.perf_counter()
    found = analyze_frame(Frame(*made), questions())
    took_s = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"arms x behaviours {len(found.arms)}, tests {len(found.inference)}")
    print(
        f"analysed in {took_s:.1f} s (goal {GOAL_S:g}), peak {peak / 2**30:.2f} GiB "
        f"of the process, {before / 2**30:.2f} of it before (goal {GOAL_BYTES / 2**30:g})"
    )
    scan_s = scan()
    print(f"resume scan of {SCANNED} cells in {scan_s:.2f} s of CPU (goal {GOAL_SCAN_S:g})")
    met = took_s < GOAL_S and peak < GOAL_BYTES and scan_s < GOAL_SCAN_S
    print("goals met" if met else "goals missed")


if __name__ == "__main__":
    main()
