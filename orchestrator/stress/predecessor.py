"""Result files of rho-eval's campaign as read-only results; what they do not say stays unknown.

    {"model": ..., "config": {...}, "baseline_quick": {behaviour: rho, ...},
     "runs": [{"condition"?: ..., "rho_weight"?: ..., "seed": ..., "quick_scores": {...}}, ...]}

Files of other shapes are named and passed over: audits of rho-eval have rank correlations and
rates under the name rho, which are no nats per token.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.config.foreign_json import BadAnswerError, demand, fits
from orchestrator.errors import UserError
from orchestrator.results.manifest import write_imported
from orchestrator.results.schema import spec_row
from orchestrator.results.store import CHILDREN, Store
from orchestrator.visible import visible
from tasks.contract.cell import (
    CellSpec,
    Condition,
    DataSpec,
    HingeSpec,
    ModelSpec,
    NodeError,
    ProbeSpec,
    Status,
    TrainSpec,
)
from tasks.data.split import TRAIN
from tasks.sources.jsonl import read_json

UNKNOWN = "unknown"
ROUNDED = 5.1e-5
"""Copies of one number may differ by this: some files were rounded to four digits."""
TOLD = (
    "imported from rho-eval: pairs were trained on and scored, a seed decided neither the "
    "adapter's start nor the order of texts, and contrastive-only trained on SFT texts, too"
)
SETTINGS = {"epochs": "epochs", "lr": "learning_rate", "lora_rank": "lora_rank"}
"""Name in a file -> name in `TrainSpec`."""
Row = Mapping[str, Any]
_NUMBER = (None, float)
SHAPE = {
    "model": str,
    "experiment?": (None, str),
    "config": {
        **dict.fromkeys(("epochs?", "lr?", "lora_rank?", "margin?", "rho_weight?"), _NUMBER),
        "sft_size?": (None, int),
        "behaviors?": (None, [str]),
    },
    "baseline_quick": {},
    "runs": [
        {
            "condition?": str,
            "rho_weight?": float,
            "seed": int,
            "quick_scores": {},
            "train_steps?": (None, int),
        }
    ],
}
"""Of a file; other keys may be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One model that was scored, as a file has it.

    Attributes:
        spec: With None for what the file does not say.
        rho: Behaviour -> nats per token.
        trained: Behaviours of the training pairs; empty where the file does not say.
        steps, wall_s: None where the file does not say.
        file, at: Where it comes from, and when that file was written.
    """

    spec: CellSpec
    rho: dict[str, float]
    trained: tuple[str, ...]
    steps: int | None
    wall_s: float | None
    file: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What an import did.

    Attributes:
        folders: Results folder -> cells in it.
        notes: Files that were passed over, and behaviours left out, for people.
    """

    folders: dict[Path, int]
    notes: tuple[str, ...]


def bring(source: Path, root: Path) -> Brought:
    """Results folders, one for each model and kind of experiment, from the files of a folder.

    Raises:
        UserError: There is no such file, two files have other numbers for one seed of an arm, or
            results of that name are there.
    """
    if not source.is_dir():
        raise UserError(f"{source}: is no folder")
    notes: list[str] = []
    found: dict[str, list[Run]] = defaultdict(list)
    digests: dict[str, dict[str, str]] = defaultdict(dict)
    for path in sorted(source.glob("*.json")):
        try:
            raw = _campaign(read_json(path, lenient=True))
        except NodeError as error:
            raw = f"{path.name}: {str(error).removeprefix(f'{path}: ')}"
        if isinstance(raw, str):
            notes.append(f"{path.name}: passed over, {raw}")
            continue
        kind, model = str(raw.get("experiment") or "sweep"), raw["model"].rpartition("/")[2]
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"rho-eval-{kind}-{model}")
        found[name] += _runs(path, raw, notes)
        digests[name][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found:
        raise UserError("\n".join([f"{source}: no result file of rho-eval's campaign", *notes]))
    for name in found:
        if (root / name).exists():
            raise UserError(f"{root / name}: is there already", "move it away, or name --results")
    cells = {name: _once(runs) for name, runs in found.items()}
    for name, runs in cells.items():
        _write(Store(root / name), runs, digests[name])
    return Brought(folders={root / n: len(runs) for n, runs in cells.items()}, notes=tuple(notes))


def _campaign(raw: Any) -> Row | str:
    """The file, or why it is none of the campaign's."""
    try:
        demand(raw, SHAPE, "")
    except BadAnswerError as error:
        return str(error)
    for run in raw["runs"]:
        if run.get("condition", Condition.SFT_ONLY) not in tuple(Condition):
            return f"condition {visible(run['condition'][:40])} is unknown"
        if run.get("rho_weight", raw["config"].get("rho_weight")) is None:
            return "a run has no rho_weight"
    found: Row = raw
    return found


def _runs(path: Path, raw: Row, notes: list[str]) -> Iterator[Run]:
    """The untrained model and every run of a file."""
    scores = [raw["baseline_quick"], *(run["quick_scores"] for run in raw["runs"])]
    # what was not probed stands as 0.0 everywhere
    empty = {b for b in scores[0] if all(one.get(b, 0.0) == 0.0 for one in scores)}
    notes += [f"{path.name}: {visible(b)} is 0.0 in every run, and left out" for b in sorted(empty)]
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    if isinstance(stamp := raw.get("timestamp"), str):
        try:
            told = datetime.fromisoformat(stamp)
            at = told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            notes.append(f"{path.name}: its time {visible(stamp[:40])} is none")
    for run, rho in zip([{}, *raw["runs"]], scores, strict=True):
        steps, wall_s = run.get("train_steps"), run.get("elapsed_seconds")
        yield Run(
            spec=_spec(raw["model"], raw["config"], run),
            rho={b: float(v) for b, v in rho.items() if b not in empty and fits(v, float)},
            trained=tuple(sorted(map(str, raw["config"].get("behaviors") or ()))),
            steps=steps,
            wall_s=float(wall_s) if fits(wall_s, float) else None,
            file=path.name,
            at=at,
        )


def _spec(name: str, config: Row, run: Row) -> CellSpec:
    """A run's settings; None, or `unknown` in the place of a name, where its file has none."""
    unsaid: Any = None
    model = ModelSpec(name=name, digest=f"{UNKNOWN}:{name}")
    common: dict[str, Any] = {"model": model, "max_length": unsaid}
    evaluated = ProbeSpec(pack="rho-eval", train=(), evaluate=(), heldout=0.0, digest=UNKNOWN)
    if not run:
        return CellSpec(condition=Condition.BASELINE, probes=evaluated, **common)
    weight = run.get("rho_weight", config.get("rho_weight"))
    condition = Condition(run.get("condition", Condition.RHO_GUIDED)).at_weight(weight)
    known: dict[str, Any] = {ours: config.get(said) for said, ours in SETTINGS.items()}
    hinge = None
    if condition.has_pairs:
        hinge = HingeSpec(
            rho_weight=weight,
            margin=config.get("margin"),
            pairs_per_step=unsaid,
            behaviors=(UNKNOWN,),  # also where a file says: an arm's seeds may lie in several
            pool_digest=UNKNOWN,
        )
    data = DataSpec(
        sft=UNKNOWN,
        size=config.get("sft_size"),
        trap_fraction=unsaid,
        refusal_fraction=unsaid,
        template=None,
        revision=None,
        digest=UNKNOWN,
    )
    return CellSpec(
        condition=condition,
        probes=evaluated,
        train=TrainSpec(**{f.name: known.get(f.name, unsaid) for f in fields(TrainSpec)}),
        data=data if condition.has_sft else None,
        sft_records=config.get("sft_size"),
        hinge=hinge,
        seed=run["seed"],
        **common,
    )


def _once(runs: Sequence[Run]) -> list[Run]:
    """Each cell once: copies of one run agree, and the one with most digits stays."""
    kept: dict[str, Run] = {}
    clashes: list[str] = []
    for run in runs:
        other = kept.setdefault(run.spec.cell_id, run)
        shared = run.rho.keys() & other.rho.keys()
        if any(abs(run.rho[b] - other.rho[b]) > ROUNDED for b in shared):
            clashes.append(f"{run.spec.label}: {other.file} and {run.file} have other numbers")
        elif len(json.dumps(run.rho)) > len(json.dumps(other.rho)):
            kept[run.spec.cell_id] = run
    if clashes:
        raise UserError("\n".join(clashes), "import these files from folders of their own")
    return list(kept.values())


def _write(store: Store, runs: Sequence[Run], files: Mapping[str, str]) -> None:
    """The runs as cells, and last the manifest, in a folder of their own."""
    store.create()
    for run in runs:
        cell = run.spec.cell_id
        scores = [
            {"cell_id": cell, "behavior": name, "split": TRAIN, "rho": rho, "status": "ok"}
            for name, rho in sorted(run.rho.items())
        ]
        written = {
            table: store.write(table, cell, scores if table == "scores" else [])
            for table in CHILDREN
        }
        row = {
            **spec_row(run.spec),
            "code_version": f"rho-eval, version {UNKNOWN}",
            "git_revision": None,
            "status": str(Status.OK),
            "train_steps": run.steps,
            "wall_s": run.wall_s,
            "attempts": 0,
            "finished_at": run.at,
            "files": [
                {
                    "name": f"{table}/{cell}.arrow",
                    "bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
                for table, content in written.items()
            ],
        }
        store.write("cells", cell, [row])
    models = {run.spec.model.name for run in runs}
    content = {
        "name": store.folder.name,
        "description": TOLD,
        "settings": {
            "model": ", ".join(sorted(models)),
            "probes.train": sorted({b for run in runs for b in run.trained}) or UNKNOWN,
        },
        "resolved": {
            "models": [{"name": name, "digest": UNKNOWN} for name in sorted(models)],
            "probes": [{"pack": "rho-eval", "digest": UNKNOWN}],
            "data": [{"sft": UNKNOWN, "digest": UNKNOWN}],
        },
        "cells": {run.spec.cell_id: run.spec.label for run in runs},
    }
    write_imported(store.folder, content, "rho-eval", files)
