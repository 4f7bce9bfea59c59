"""The tables of one or more results as columns, grouped by arm, behaviour and split.

Nothing here loops over rows of `probe_scores`: a campaign has millions of them.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.analysis.evidence.arms import OWN_ZERO, ArmEvidence, Batch, label_of
from orchestrator.cells.facts import Facts, facts
from orchestrator.cells.settings import differing, settings
from orchestrator.config.contrasts import step_of
from orchestrator.config.foreign_json import shown
from orchestrator.errors import UserError
from orchestrator.results.schema import STEP
from orchestrator.results.store import ADVICE, advice, spec_of
from orchestrator.results.values import LARGEST
from orchestrator.stats.records import Summary
from tasks.contract.cell import Condition, Status
from tasks.contract.measures import MEASURES
from tasks.data.split import HELDOUT

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Row = Mapping[str, Any]
CELL_COLUMNS = (
    "cell_id",
    "arm_id",
    "condition",
    "rho_weight",
    "margin",
    "seed",
    "model",
    "model_digest",
    "base_precision",
    "status",
    "message",
    "spec",
    "data_version",
    "probes_version",
    "code_version",
    "pairing_key",
    "adapter_sha256",
    "chip",
    "backend",
    "mlx",
    "mlx_lm",
    *(column for measure in MEASURES for column in measure.columns),
)
SCORE_COLUMNS = ("cell_id", "behavior", "split", "rho", "accuracy", STEP)
IMPORTED_COLUMNS = ("cell_id", "measurement", "value")
PROBE_COLUMNS = ("cell_id", "behavior", "split", "probe_id", "gap", "cluster", STEP)
BASELINE = str(Condition.BASELINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Gaps of one arm on the pairs of one behaviour and split.

    Attributes:
        seeds: S seeds, ascending.
        probe_ids: P pairs with a finite gap in every seed, ascending.
        gaps: (S, P), nats per token.
        clusters: P names; pairs of one name are not independent.
    """

    seeds: tuple[int, ...]
    probe_ids: tuple[str, ...]
    gaps: Floats
    clusters: tuple[str, ...]

    @property
    def table(self) -> Floats:
        """(S, C): one column a cluster, in nats per token; the mean of a row is that of all pairs.

        With m the mean of all, a cluster of n of the P pairs whose mean is m + d has m + d n C / P:
        as a ratio of sums is linearised, so that clusters of unlike size count by their pairs.
        """
        names, place = np.unique(self.clusters, return_inverse=True)
        if len(names) == len(self.clusters) or not self.seeds:
            return self.gaps
        mean: float = self.gaps.mean()
        apart = np.zeros((len(self.seeds), len(names)))
        np.add.at(apart.T, place, (self.gaps - mean).T)
        by_cluster: Floats = mean + apart * (len(names) / len(place))
        return by_cluster

    def of(self, seeds: Sequence[int], probe_ids: Sequence[str]) -> Floats:
        """Gaps of some seeds and pairs, in the order given."""
        rows = [self.seeds.index(s) for s in seeds]
        return self.gaps[np.ix_(rows, self._places(probe_ids))]

    def clusters_of(self, probe_ids: Sequence[str]) -> tuple[str, ...]:
        """Cluster of each of some pairs."""
        return tuple(self.clusters[i] for i in self._places(probe_ids))

    def _places(self, probe_ids: Sequence[str]) -> list[int]:
        places = {p: i for i, p in enumerate(self.probe_ids)}
        return [places[p] for p in probe_ids]


class Frame:
    """Cells, scores and probe scores of some results.

    Attributes:
        cells: Cell id -> the columns of `CELL_COLUMNS`, of every committed cell.
        unscored: Those that diverged or failed.
        differing: Settings in which trained arms differ, beside condition, weight and margin. Arms
            that differ in none, but in moments or in the content of texts, are told apart by id.
    """

    def __init__(
        self,
        cells: pa.Table,
        scores: pa.Table,
        probe_scores: pa.Table,
        imported: pa.Table | None = None,
    ) -> None:
        self._cells = cells.select(CELL_COLUMNS)
        rows = self._cells.to_pylist()
        self.cells: dict[str, dict[str, Any]] = {r["cell_id"]: r for r in rows}
        ok = str(Status.OK)
        self.unscored = [r for r in rows if r["status"] != ok]
        self._arms = _arms(r for r in rows if r["status"] == ok)
        for row in (rows[0] for rows in self._arms.values()):
            if row["condition"] not in tuple(Condition):
                raise UserError(
                    f"cells/{row['cell_id']}.arrow: unknown condition {shown(row['condition'])}",
                    ADVICE,
                )
        self._specs = {arm: spec_of(rows[0]) for arm, rows in self._arms.items()}
        keys = {
            arm: _baseline_key(rows[0], self._specs[arm])
            for arm, rows in self._arms.items()
            if rows[0]["condition"] == BASELINE
        }
        self._untrained = {
            (k, _items_of(self._specs[a])): self._arms[a][0] for a, k in keys.items()
        }
        self._baseline_arms = {key: arm for arm, key in keys.items()}
        self._facts: dict[str, Facts] = {arm: facts(spec) for arm, spec in self._specs.items()}
        untrained = set(keys)
        self.differing = differing(f for a, f in self._facts.items() if a not in untrained)
        trained = {arm: f for arm, f in self._facts.items() if arm not in untrained}
        same = Counter(map(str, trained.values()))
        self._alike = {arm for arm, f in trained.items() if same[str(f)] > 1}
        self._differing_baselines = differing(self._facts[a] for a in untrained)
        self._scores = scores.select(SCORE_COLUMNS)
        self._probe_scores = probe_scores.select(PROBE_COLUMNS)
        self._imported = imported
        self._of_others: dict[str, dict[str, float]] = defaultdict(dict)
        for row in imported.to_pylist() if imported is not None else ():
            self._of_others[row["measurement"]][row["cell_id"]] = row["value"]
        self._groups: dict[int | None, _Groups] = {}
        self._evidence: dict[int | None, list[ArmEvidence]] = {}

    def evidence(self) -> list[ArmEvidence]:
        """One record per arm, behaviour and split that has a scored cell; arms in order.

        Raises:
            UserError: A batch split inside an arm, or a score that is not finite.
        """
        return self._evidence_at(None)

    def moments(self) -> list[ArmEvidence]:
        """As `evidence`, of arms that were scored within their training, at every moment.

        Ascending; at the end of training `step` is None. Labels name the step.
        """
        steps = sorted(pc.unique(self._scores[STEP].drop_null()).to_pylist())
        within = [e for step in steps for e in self._evidence_at(step)]
        arms = {e.arm_id for e in within}
        ends = [e for e in self.evidence() if e.arm_id in arms]
        lasts = {arm: step_of(f["train.epochs"], f) for arm in arms if (f := self._facts[arm])}
        found = [(e, e.step or lasts[e.arm_id]) for e in (*within, *ends)]
        return [
            replace(
                e, differs=f"{e.differs} {STEP}={at}".strip(), settings={**e.settings, STEP: at}
            )
            for e, at in found
        ]

    @cached_property
    def imported(self) -> frozenset[str]:
        """Names of measurements of other tools; none of them is that of a scored behaviour."""
        scored = pc.unique(self._scores["behavior"]).to_pylist()
        return frozenset(self._of_others.keys() - set(scored))

    def general(self) -> list[ArmEvidence]:
        """One record per trained arm and measurement that has one; the measurement is `behavior`.

        Without that of the untrained model, what another tool measured has no `delta`.

        It is of no probe pair; its split is the held-out one, for no training saw the texts.
        """
        heads = {e.arm_id: e for e in reversed(self.evidence()) if e.condition.trains}
        found = []
        for arm, head in reversed(heads.items()):
            items = _items_of(self._specs[arm])
            untrained = self._untrained.get((head.baseline_key, items)) if items else None
            for measure in MEASURES:
                values = {r["seed"]: v for r in self._arms[arm] if (v := measure.of(r, untrained))}
                if values:
                    of_seeds = {seed: value for seed, (value, _) in values.items()}
                    base = next(iter(values.values()))[1]
                    found.append(_measured(head, measure.name, of_seeds, base))
            baseline = self._baseline_arms.get(head.baseline_key, "")
            untrained_ids = [r["cell_id"] for r in self._arms.get(baseline, [])]
            cells = {r["seed"]: r["cell_id"] for r in self._arms[arm]}
            for name in sorted(self.imported):
                numbers = self._of_others[name]
                of_seeds = {seed: numbers[cell] for seed, cell in cells.items() if cell in numbers}
                if of_seeds:
                    known = [numbers[cell] for cell in untrained_ids if cell in numbers]
                    found.append(_measured(head, name, of_seeds, next(iter(known), None)))
        return found

    def _evidence_at(self, step: int | None) -> list[ArmEvidence]:
        if step not in self._evidence:
            ends = _by_arm(_at(self._scores, None), self._arms)
            scored = ends if step is None else _by_arm(_at(self._scores, step), self._arms)
            baselines = {
                (key, behavior, split): float(rhos[0])
                for key, arm in self._baseline_arms.items()
                for (behavior, split), (_, rhos, _) in ends.get(arm, {}).items()
                if rhos.size
            }
            ranks = list(Condition)
            found = (e for arm, g in scored.items() for e in self._evidence_of(arm, g, baselines))
            self._evidence[step] = sorted(
                found if step is None else (replace(e, step=step) for e in found),
                key=lambda e: (
                    ranks.index(e.condition),
                    e.rho_weight or 0.0,
                    e.margin or 0.0,
                    e.differs,
                    e.arm_id,
                    e.behavior,
                    e.split,
                ),
            )
        return self._evidence[step]

    def _evidence_of(
        self, arm: str, scored: "Scored", baselines: Mapping[tuple[str, str, str], float]
    ) -> Iterator[ArmEvidence]:
        """One record per behaviour and split of an arm; `baselines` is by key, behaviour, split."""
        rows, spec = self._arms[arm], self._specs[arm]
        _demand_one_batch(rows)
        first = rows[0]
        condition, baseline_key = Condition(first["condition"]), _baseline_key(first, spec)
        batch = Batch(
            code_version=first["code_version"],
            data_version=first["data_version"],
            base_precision=first["base_precision"],
        )
        keys = {r["seed"]: r["pairing_key"] for r in rows if r["pairing_key"] is not None}
        names = self.differing if condition.trains else self._differing_baselines
        values, differs = self.setting(arm), settings(self._facts[arm], names)
        for (behavior, split), (seeds, rhos, accuracy) in scored.items():
            score = Summary.of(rhos) if rhos.size else None
            baseline = baselines.get((baseline_key, behavior, split))
            delta = None
            if score is not None and baseline is not None and condition.trains:
                # The baseline is a constant: it moves the mean and leaves the sd.
                delta = replace(score, mean=score.mean - baseline)
            yield ArmEvidence(
                arm_id=arm,
                condition=condition,
                rho_weight=first["rho_weight"],
                margin=first["margin"],
                differs=f"{differs} {arm[:8]}".strip() if arm in self._alike else differs,
                settings=values,
                behavior=behavior,
                split=split,
                scores={s: float(r) for s, r in zip(seeds, rhos, strict=True) if s is not None},
                score=score,
                delta=delta,
                baseline=baseline,
                baseline_key=baseline_key,
                keys=keys,
                batch=batch,
                accuracy=accuracy,
            )

    @property
    def arms(self) -> list[str]:
        """Ids of the arms that have a scored cell, the baselines' among them."""
        return list(self._arms)

    def within(self, cells: Collection[str]) -> "Frame":
        """The same for some trained cells only; baselines stay."""
        kept = [c for c, r in self.cells.items() if c in cells or r["condition"] == BASELINE]
        wanted = pa.array(kept, pa.string())
        tables = (self._cells, self._scores, self._probe_scores, self._imported)
        there = (t for t in tables if t is not None)
        return Frame(*(t.filter(pc.is_in(t["cell_id"], value_set=wanted)) for t in there))

    def cells_of(self, arm_ids: Iterable[str]) -> frozenset[str]:
        """Ids of the trained cells of some arms: one untrained model serves many sweeps."""
        cells = (r for arm in arm_ids for r in self._arms.get(arm, ()))
        rows = (r for r in cells if r["condition"] != BASELINE)
        return frozenset(r["cell_id"] for r in rows)

    def losses(self, arm: ArmEvidence) -> str:
        """Seeds of an arm without a score, e.g. `4 of 8 of sft-only (4 diverged)`, or nothing."""
        counts = Counter(self._unscored_by_arm.get(arm.arm_id, {}))
        scored = len(self._arms[arm.arm_id])
        if scored > arm.n:
            counts["without a score"] = scored - arm.n
        return _lost(counts, arm.n, arm.label)

    @cached_property
    def _unscored_by_arm(self) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for row in self.unscored:
            found[row["arm_id"]][row["status"]] += 1
        return found

    @cached_property
    def lost_arms(self) -> tuple[tuple[Facts, str], ...]:
        """(settings, text as of `losses`) of each trained arm that has no scored cell at all."""
        firsts = {r["arm_id"]: r for r in reversed(self.unscored) if r["condition"] != BASELINE}
        found = []
        for arm, row in firsts.items():
            if arm not in self._arms:
                mine = facts(spec_of(row))
                differs = settings(mine, self.differing)
                label = label_of(row["condition"], row["rho_weight"], row["margin"], differs)
                found.append((mine, _lost(self._unscored_by_arm[arm], 0, label)))
        return tuple(found)

    def facts(self, arm_id: str) -> Facts:
        """An arm's settings under the names of a sweep file."""
        return self._facts[arm_id]

    def setting(self, arm_id: str) -> dict[str, Any]:
        """An arm's values of the settings in which arms differ."""
        return {k: v for k, v in self._facts[arm_id].items() if k in self.differing}

    def probes(self, arm_id: str, behavior: str, split: str, step: int | None = None) -> Probes:
        """Gaps per seed and pair, as scored after a step; empty where there are none."""
        if step not in self._groups:
            self._groups[step] = _Groups(_at(self._probe_scores, step))
        seeds = sorted(
            ((r["seed"] if r["seed"] is not None else -1), r["cell_id"])
            for r in self._arms.get(arm_id, [])
        )
        columns = [self._groups[step].gaps(cell, behavior, split) for _, cell in seeds]
        common = set.intersection(*(set(c) for c in columns)) if columns else set()
        ids = sorted(common)
        gaps = np.array([[c[p] for p in ids] for c in columns], dtype=np.float64)
        named = self._groups[step].clusters(seeds[0][1], behavior, split) if ids else {}
        return Probes(
            seeds=tuple(s for s, _ in seeds),
            probe_ids=tuple(ids),
            gaps=gaps.reshape(len(columns), len(ids)),
            clusters=tuple(f"cluster {named[p]}" if p in named else f"pair {p}" for p in ids),
        )

    def difference(self, a: ArmEvidence, b: ArmEvidence, seeds: Sequence[int]) -> Probes:
        """Gaps of a minus gaps of b: the given seeds by the pairs that both arms have.

        Of arms that are compared by their deltas, the gaps of their untrained models are taken off.
        """
        one, two = (
            self.changes(e) if e.baseline_key == OWN_ZERO else self._gaps(e) for e in (a, b)
        )
        common = sorted(set(one.probe_ids) & set(two.probe_ids))
        return Probes(
            seeds=tuple(seeds),
            probe_ids=tuple(common),
            gaps=one.of(seeds, common) - two.of(seeds, common),
            clusters=one.clusters_of(common),
        )

    def _gaps(self, arm: ArmEvidence) -> Probes:
        return self.probes(arm.arm_id, arm.behavior, arm.split, arm.step)

    def changes(self, arm: ArmEvidence) -> Probes:
        """Gaps of an arm minus those of its untrained model, by the pairs that both have."""
        found, key = (
            self._gaps(arm),
            _baseline_key(self._arms[arm.arm_id][0], self._specs[arm.arm_id]),
        )
        base = self.probes(self._baseline_arms.get(key, ""), arm.behavior, arm.split)
        common = sorted(set(found.probe_ids) & set(base.probe_ids))
        # The one row of the untrained model is subtracted from the row of every seed.
        gaps = found.of(found.seeds, common) - base.of(base.seeds[:1], common)
        clusters = found.clusters_of(common)
        return Probes(seeds=found.seeds, probe_ids=tuple(common), gaps=gaps, clusters=clusters)


def _lost(counts: Counter[str], scored: int, label: str) -> str:
    if not counts:
        return ""
    why = ", ".join(f"{n} {status}" for status, n in counts.items())
    return f"{counts.total()} of {counts.total() + scored} of {label} ({why})"


def _arms(rows: Iterator[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Scored cells by arm; a seed twice in an arm is an error."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["arm_id"]].append(row)
    for arm, cells in found.items():
        seeds = [c["seed"] for c in cells]
        if len(set(seeds)) < len(seeds):
            twice = next(s for s in seeds if seeds.count(s) > 1)
            raise UserError(f"arm {arm}: seed {twice} occurs in more than one cell")
    return found


def _baseline_key(cell: Row, spec: Row) -> str:
    """What a cell and its baseline have in common."""
    return f"{cell['model_digest']}/{cell['probes_version']}/{spec['max_length']}"


def _measured(
    head: ArmEvidence, name: str, values: Mapping[int, float], base: float | None
) -> ArmEvidence:
    """An arm's values of a measurement, by seed, beside that of the untrained model."""
    score = Summary.of([*values.values()])
    return replace(
        head,
        behavior=name,
        split=HELDOUT,
        scores=dict(values),
        score=score,
        baseline=base,
        delta=None if base is None else replace(score, mean=score.mean - base),
        accuracy=None,
    )


def _items_of(spec: Row) -> str | None:
    """Digest of the multiple-choice set of a cell; None without one."""
    found: str | None = (spec.get("capability") or {}).get("digest")
    return found


def _demand_one_batch(rows: Sequence[Row]) -> None:
    """Raises: UserError: Cells of one arm are of different code, precision or probes."""
    for name in ("code_version", "base_precision", "probes_version"):
        values = sorted({str(r[name]) for r in rows})
        if len(values) > 1:
            cells = {v: next(r["cell_id"] for r in rows if str(r[name]) == v) for v in values}
            listing = ", ".join(f"{v} (e.g. cell {c})" for v, c in cells.items())
            raise UserError(
                f"arm {rows[0]['arm_id']} ({rows[0]['condition']}) mixes batches: {name} is "
                f"{listing}; delete the cells of one of them and launch again"
            )


def _at(table: pa.Table, step: int | None) -> pa.Table:
    """Rows that were scored after an optimizer step; None: at the end of training."""
    column = table[STEP]
    return table.filter(pc.is_null(column) if step is None else pc.equal(column, step))


Scored = dict[tuple[str, str], tuple[list[int | None], Floats, float | None]]


def _by_arm(scores: pa.Table, arms: Mapping[str, Sequence[Row]]) -> dict[str, Scored]:
    """Arm -> (behaviour, split) -> seeds, rhos and mean accuracy of cells with a score.

    Seeds are ascending; the untrained model's, which is None, comes first.

    Raises:
        UserError: A score that is not finite.
    """
    places = {r["cell_id"]: (arm, r["seed"]) for arm, rows in arms.items() for r in rows}
    grouped: dict[str, dict[tuple[str, str], list[tuple[Any, ...]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for cell, behavior, split, rho, accuracy in zip(
        *(scores[name].to_pylist() for name in SCORE_COLUMNS if name != STEP), strict=True
    ):
        place = places.get(cell)
        if place is not None:
            seed = place[1] if place[1] is not None else -1
            grouped[place[0]][behavior, split].append((seed, rho, accuracy))
    found: dict[str, Scored] = {arm: {} for arm in grouped}
    for arm, groups in grouped.items():
        for place, rows in groups.items():
            # A cell without a score is absent, never 0.
            present = sorted((r for r in rows if r[1] is not None), key=lambda r: r[0])
            rhos = np.array([r[1] for r in present], dtype=np.float64)
            if not (np.abs(rhos) < LARGEST).all():
                raise UserError("scores: a rho is no number that was measured", advice("scores"))
            shares = [r[2] for r in present if r[2] is not None]
            accuracy = float(np.mean(shares)) if shares else None
            seeds = [None if r[0] == -1 else r[0] for r in present]
            found[arm][place] = seeds, rhos, accuracy
    return found


class _Groups:
    """Rows of `probe_scores` sorted by cell, behaviour and split, found by bisection."""

    def __init__(self, table: pa.Table) -> None:
        table = table.filter(pc.is_valid(table["gap"]))
        self._names: list[list[str]] = []
        self._index: list[dict[str, int]] = []
        codes = []
        for column in ("cell_id", "behavior", "split"):
            encoded = table[column].combine_chunks().dictionary_encode()
            names = encoded.dictionary.to_pylist()
            self._index.append({name: i for i, name in enumerate(names)})
            codes.append(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64))
        self._sizes = [max(1, len(i)) for i in self._index]
        key = (codes[0] * self._sizes[1] + codes[1]) * self._sizes[2] + codes[2]
        order = np.argsort(key, kind="stable")
        self._key = key[order]
        self._probes = table["probe_id"].combine_chunks().dictionary_encode()
        self._probe_codes = self._probes.indices.to_numpy(zero_copy_only=False)[order]
        self._gaps = table["gap"].combine_chunks().to_numpy(zero_copy_only=False)[order]
        named = table["cluster"].combine_chunks().dictionary_encode()
        self._clusters = [None, *named.dictionary.to_pylist()]
        codes_of = named.indices.cast(pa.int64()).fill_null(-1)
        self._cluster_codes = codes_of.to_numpy(zero_copy_only=False)[order] + 1

    def gaps(self, cell: str, behavior: str, split: str) -> dict[str, float]:
        """Probe id -> gap of one cell."""
        rows = self._rows(cell, behavior, split)
        return dict(zip(self._ids(rows), self._gaps[rows].tolist(), strict=True))

    def clusters(self, cell: str, behavior: str, split: str) -> dict[str, str]:
        """Probe id -> cluster of one cell, of those pairs that have one."""
        rows = self._rows(cell, behavior, split)
        named = (self._clusters[i] for i in self._cluster_codes[rows])
        return {p: c for p, c in zip(self._ids(rows), named, strict=True) if c is not None}

    def _ids(self, rows: slice) -> list[str]:
        found: list[str] = self._probes.dictionary.take(
            pa.array(self._probe_codes[rows])
        ).to_pylist()
        return found

    def _rows(self, cell: str, behavior: str, split: str) -> slice:
        found = [i.get(v) for i, v in zip(self._index, (cell, behavior, split), strict=True)]
        if any(v is None for v in found):
            return slice(0, 0)
        a, b, c = (int(v) for v in found if v is not None)
        key = (a * self._sizes[1] + b) * self._sizes[2] + c
        low, high = np.searchsorted(self._key, [key, key + 1])
        return slice(int(low), int(high))
