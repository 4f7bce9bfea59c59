"""Means over seeds: one row per arm, behaviour and split, beside the untrained baseline."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from orchestrator.store import Store
from tasks.contract import Condition, Status

Row = Mapping[str, Any]
OWN_COLUMNS = {"condition", "seed", "hinge.rho_weight", "hinge.margin"}
DERIVED = {"data.digest", "data.revision", "hinge.pool_digest", "probes.digest", "model.digest"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmScore:
    """Rho of one arm on one behaviour and split, nats per token.

    Attributes:
        arm_id, condition, rho_weight, margin: Which arm.
        differs: Further settings in which the arms of these results differ, as text.
        behavior, split: What was scored.
        n: Seeds with a score; None is never counted as 0.
        mean, sd: Over seeds; sd (ddof 1) is None below two seeds.
        delta_mean, delta_sd: Of score minus baseline score; None without a baseline.
        baseline: Score of the untrained model on the same pairs.
        accuracy: Mean share of pairs with a positive gap.
    """

    arm_id: str
    condition: str
    rho_weight: float | None
    margin: float | None
    differs: str
    behavior: str
    split: str
    n: int
    mean: float | None
    sd: float | None
    delta_mean: float | None
    delta_sd: float | None
    baseline: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What `rho-sweep analyze` prints.

    Attributes:
        arms: One row per arm, behaviour and split.
        unscored: Cells that diverged or failed: cell id, label parts, message.
    """

    arms: tuple[ArmScore, ...]
    unscored: tuple[dict[str, Any], ...]

    def to_json(self) -> str:
        """Stable JSON; see docs/json.md."""
        body = {"arms": [asdict(a) for a in self.arms], "unscored": list(self.unscored)}
        return json.dumps(body, indent=2, allow_nan=False)


def analyze(store: Store) -> Analysis:
    """Summarise the committed cells of one results folder.

    Raises:
        UserError: A table is corrupted, or holds a key twice.
    """
    cells = {r["cell_id"]: r for r in store.rows("cells")}
    scored = {c: r for c, r in cells.items() if r["status"] == str(Status.OK)}
    scores = [r for r in store.rows("scores") if r["cell_id"] in scored]
    baselines = _baselines(scored, scores)
    differing = _differing(scored.values())
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in scores:
        groups[scored[row["cell_id"]]["arm_id"], row["behavior"], row["split"]].append(row)
    arms = [_arm(rows, scored, baselines, differing) for rows in groups.values()]
    unscored = [
        {
            k: r[k]
            for k in ("cell_id", "condition", "rho_weight", "margin", "seed", "status", "message")
        }
        for c, r in cells.items()
        if c not in scored
    ]
    return Analysis(arms=tuple(sorted(arms, key=_order)), unscored=tuple(unscored))


def _key(cell: Row) -> tuple[str, str, int]:
    """What a cell and its baseline have in common."""
    spec = json.loads(cell["spec"])
    return cell["model_digest"], cell["probes_version"], spec["max_length"]


def _baselines(
    cells: Mapping[str, Row], scores: Iterable[Row]
) -> dict[tuple[Any, ...], float | None]:
    return {
        (*_key(cells[r["cell_id"]]), r["behavior"], r["split"]): r["rho"]
        for r in scores
        if cells[r["cell_id"]]["condition"] == str(Condition.BASELINE)
    }


def _arm(
    rows: list[Row],
    cells: Mapping[str, Row],
    baselines: Mapping[tuple[Any, ...], float | None],
    differing: set[str],
) -> ArmScore:
    cell, first = cells[rows[0]["cell_id"]], rows[0]
    values = [r["rho"] for r in rows if r["rho"] is not None]
    baseline = baselines.get((*_key(cell), first["behavior"], first["split"]))
    deltas = [v - baseline for v in values] if baseline is not None else []
    trained = cell["condition"] != str(Condition.BASELINE)
    return ArmScore(
        arm_id=cell["arm_id"],
        condition=cell["condition"],
        rho_weight=cell["rho_weight"],
        margin=cell["margin"],
        differs=_settings(cell, differing) if trained else "",
        behavior=first["behavior"],
        split=first["split"],
        n=len(values),
        mean=_mean(values),
        sd=_sd(values),
        delta_mean=_mean(deltas) if trained else None,
        delta_sd=_sd(deltas) if trained else None,
        baseline=baseline,
        accuracy=_mean([r["accuracy"] for r in rows if r["accuracy"] is not None]),
    )


def _differing(cells: Iterable[Row]) -> set[str]:
    """Settings, beside those with columns of their own, that are not the same in all cells."""
    seen: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        if cell["condition"] != str(Condition.BASELINE):
            for name, value in _flat(json.loads(cell["spec"])).items():
                seen[name].add(json.dumps(value))
    return {k for k, values in seen.items() if len(values) > 1} - OWN_COLUMNS - DERIVED


def _flat(spec: Row, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name; a part that a condition lacks says nothing.

    Within a part, None is a setting like any other, e.g. a `data.size` that takes all texts.
    """
    found: dict[str, Any] = {}
    for name, value in spec.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is not None or prefix:
            found[prefix + name] = value
    return found


def _settings(cell: Row, names: set[str]) -> str:
    flat = _flat(json.loads(cell["spec"]))
    if "data.size" in flat:
        names = names - {"sft_records"}
    return " ".join(f"{n}={flat[n]}" for n in sorted(names) if n in flat)


def _order(arm: ArmScore) -> tuple[Any, ...]:
    rank = list(Condition).index(Condition(arm.condition))
    return (
        arm.behavior,
        arm.split,
        rank,
        arm.rho_weight or 0.0,
        arm.margin or 0.0,
        arm.differs,
        arm.arm_id,
    )


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _sd(values: list[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def tables(analysis: Analysis) -> list[Table]:
    """One table per behaviour and split."""
    groups: dict[tuple[str, str], list[ArmScore]] = defaultdict(list)
    for arm in analysis.arms:
        groups[arm.behavior, arm.split].append(arm)
    return [_table(behavior, split, arms) for (behavior, split), arms in groups.items()]


def _table(behavior: str, split: str, arms: list[ArmScore]) -> Table:
    note = "pairs that training could see" if split == "train" else "pairs no training text touched"
    table = Table(title=f"{behavior}, {split} split ({note}), nat/token", title_justify="left")
    table.add_column("condition", no_wrap=True)
    for name in ("weight", "margin", "seeds", "rho mean", "sd", "delta", "delta sd", "accuracy"):
        table.add_column(name, justify="right", no_wrap=True)
    differs = any(a.differs for a in arms)
    if differs:
        table.add_column("settings")
    for a in arms:
        row = [
            a.condition,
            _short(a.rho_weight),
            _short(a.margin),
            str(a.n),
            _signed(a.mean),
            _plain(a.sd),
            _signed(a.delta_mean),
            _plain(a.delta_sd),
            "" if a.accuracy is None else f"{a.accuracy:.1%}",
        ]
        table.add_row(*row, *([a.differs] if differs else []))
    return table


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
