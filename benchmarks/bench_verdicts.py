"""How often verdicts are wrong: whole results on disk, from the store to the word.

    make bench-verdicts            # RUNS=500 results a scenario; ONLY=looks,drift for some of them

Each run draws scores, commits them as a launch does, reads the folder and judges the registered
claims. Scores of a seed are alike in all arms, as paired seeds are. A share that is known to be at
most its bound is shown with its Monte Carlo error; more than two of them above the bound is marked.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import sqrt
from pathlib import Path

import numpy as np

from orchestrator.analysis.evidence.launches import launch_drift
from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.inference.rows import inferences
from orchestrator.analysis.load import load_frame, load_manifests, registration_of
from orchestrator.inspection.plan_power import power_of
from orchestrator.results.attempts import Attempt
from orchestrator.results.store import Store
from orchestrator.stats.records import ALPHA
from tasks.contract.cell import CellSpec, ProbeScoreRow
from tests.builders import a_result, a_score, launched, parsed

SIX = ("a", "b", "c", "d", "e", "f")
SPLIT = "train"
SEED_SD, NOISE_SD = 0.05, 0.03
"""Nats per token: of what a seed does to all arms, and of one cell's own."""
MARGIN = 0.05
START = datetime(2026, 1, 1, tzinfo=UTC)
Drawn = Mapping[tuple[str, int, str], "float | np.ndarray | None"]
"""(condition, seed, behaviour) -> rho, or the gaps of its probes."""
Draw = Callable[[np.random.Generator], Drawn]
Event = Callable[[Sequence[Inference], Sequence[str]], bool]
"""Of the rows of all looks, and the warnings."""

HEAD = """\
name: {name}
model: toy
probes: {{evaluate: [{behaviors}], train: [a], heldout: 0}}
grid: {{condition: [sft-only, rho-guided], rho_weight: [0.2], margin: [0.1], seed: [{seeds}]}}
analysis:
  {sequential}
  contrasts:
"""
CLAIM = """\
    - {{id: {id}, kind: {kind}, a: {{condition: rho-guided}}, b: {{condition: sft-only}}{more}}}
"""


def said(word: str, contrast: str = "", behavior: str = "") -> Event:
    """Whether any row says so, of one contrast and behaviour where these are named."""
    return lambda rows, _: any(
        r.verdict == word
        and r.contrast_id == (contrast or r.contrast_id)
        and r.behavior == (behavior or r.behavior)
        for r in rows
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What is counted.

    Attributes:
        text: In words.
        event: Of one run.
        bound: The largest share that is right; None where any is.
        exact: Whether the share is to be the bound, to within 3 points.
    """

    text: str
    event: Event
    bound: float | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A sweep with its claims, and how its scores come about.

    Attributes:
        truth: What is true in it, in words.
        claims: Lines of contrasts.
        seeds: Of each arm.
        behaviors: That are scored.
        sequential: Of the sweep file, e.g. its looks.
        stages: Seeds that are in, each time that somebody looks.
        draw: Scores of one run.
        counts: What is counted.
    """

    truth: str
    claims: str
    draw: Draw
    counts: tuple[Count, ...]
    seeds: int = 6
    behaviors: tuple[str, ...] = SIX
    sequential: str = ""
    stages: tuple[int, ...] = ()

    def text(self, name: str) -> str:
        """The sweep file."""
        listed = ", ".join(map(str, range(1, self.seeds + 1)))
        behaviors = ", ".join(self.behaviors)
        head = HEAD.format(name=name, behaviors=behaviors, seeds=listed, sequential=self.sequential)
        return head + self.claims


def claim(kind: str = "mean_diff", contrast: str = "up", **more: object) -> str:
    """The line of a contrast of rho-guided with sft-only."""
    listed = "".join(f", {key}: {value}" for key, value in more.items())
    return CLAIM.format(id=contrast, kind=kind, more=listed)


def paired(
    seeds: int, behaviors: Sequence[str] = SIX, effects: Mapping[str, float] | None = None
) -> Draw:
    """Scores of two arms that share what a seed does; `effects` by behaviour."""

    def draw(random: np.random.Generator) -> Drawn:
        found: dict[tuple[str, int, str], float] = {}
        for behavior in behaviors:
            shared = SEED_SD * random.standard_normal(seeds)
            for arm in ("sft-only", "rho-guided"):
                effect = (effects or {}).get(behavior, 0.0) if arm == "rho-guided" else 0.0
                values = effect + shared + NOISE_SD * random.standard_normal(seeds)
                found |= {(arm, s + 1, behavior): float(v) for s, v in enumerate(values)}
        return found

    return draw


def with_probes(seeds: int, behaviors: Sequence[str], probes: int = 12) -> Draw:
    """Gaps of probes, on each of which the arm has an effect of its own that is 0 on average."""

    def draw(random: np.random.Generator) -> Drawn:
        found: dict[tuple[str, int, str], np.ndarray] = {}
        for behavior in behaviors:
            shared = random.standard_normal((seeds, 1)) + random.standard_normal((1, probes))
            own = 0.2 * random.standard_normal((1, probes))
            for arm in ("sft-only", "rho-guided"):
                gaps = shared + (own if arm == "rho-guided" else 0.0)
                gaps = gaps + 0.1 * random.standard_normal((seeds, 1))
                gaps = gaps + 0.2 * random.standard_normal((seeds, probes))
                found |= {(arm, s + 1, behavior): row for s, row in enumerate(gaps)}
        return found

    return draw


def dropped(draw: Draw, seeds: int, keep: int = 2) -> Draw:
    """The same without the behaviours that look worst, as of somebody who has seen them."""

    def worse(random: np.random.Generator) -> Drawn:
        found = dict(draw(random))
        t = {}
        for b in SIX:
            pairs = [
                (found["rho-guided", s, b], found["sft-only", s, b]) for s in range(1, seeds + 1)
            ]
            differences = np.subtract(*np.array(pairs, dtype=float).T)
            t[b] = differences.mean() / differences.std(ddof=1)
        lost = sorted(SIX, key=t.__getitem__)[:-keep]
        return {place: None if place[2] in lost else v for place, v in found.items()}

    return worse


def drifting(seeds: int, along: float) -> Draw:
    """One behaviour whose noise is alike from one cell of the launch to the next."""

    def draw(random: np.random.Generator) -> Drawn:
        noise, last = [], 0.0
        for innovation in random.standard_normal(2 * seeds):
            last = along * last + sqrt(1 - along**2) * innovation
            noise.append(NOISE_SD * last)
        shared = np.repeat(SEED_SD * random.standard_normal(seeds), 2)
        order = [(arm, s + 1, "a") for s in range(seeds) for arm in ("sft-only", "rho-guided")]
        return dict(zip(order, shared + noise, strict=True))

    return draw


def planned_effect(scenario: Scenario) -> float:
    """The smallest effect on the first behaviour that `plan` promises, nats per token."""
    with tempfile.TemporaryDirectory() as folder:
        text = scenario.text("s")
        _, expansion = launched(Path(folder), text)
        power = power_of(parsed(text).questions, expansion.all)[0]
    return (power.mde_sd or 0.0) * sqrt(2) * NOISE_SD


def scenarios() -> dict[str, Scenario]:
    """Name -> scenario."""
    greater, one = claim(alternative="greater"), ("a",)
    up, down = said("supported"), said("contradicted")
    none = Scenario(
        truth="no effect, 6 behaviours, 6 seeds",
        claims=greater,
        draw=paired(6),
        counts=(
            Count(text="any supported", event=up, bound=ALPHA),
            Count(text="any contradicted", event=down, bound=ALPHA / 2),
        ),
    )
    effect = planned_effect(none)
    looked = Count(text="supported at any look", event=up, bound=ALPHA)
    both = claim(contrast="both", population="new_seeds_and_probes", family="both")
    return {
        "noise": none,
        "promised": replace(
            none,
            truth="one of 6 behaviours has the effect that `plan` promises to find, 6 seeds",
            draw=paired(6, effects={"a": effect}),
            counts=(
                Count(
                    text="it is supported", event=said("supported", "", "a"), bound=0.8, exact=True
                ),
            ),
        ),
        "dropped": replace(
            none,
            truth="no effect, the 4 worst of 6 behaviours lose their scores, 6 seeds",
            draw=dropped(paired(6), 6),
        ),
        "margins": Scenario(
            truth="non-inferiority and equivalence at the margin, 6 behaviours each, 6 seeds",
            claims=claim("noninferiority", "kept", sesoi=MARGIN, family="kept")
            + claim("equivalence", "same", sesoi=MARGIN, family="same"),
            draw=paired(6, effects=dict.fromkeys(SIX, -MARGIN)),
            counts=tuple(
                Count(text=f"any {name} {word}", event=said(word, name), bound=bound)
                for name in ("kept", "same")
                for word, bound in (("supported", ALPHA), ("contradicted", ALPHA / 2))
            ),
        ),
        "looks": Scenario(
            truth="no effect, two-sided, looks at 4, 6 and 8 seeds",
            claims=claim(),
            sequential="sequential: {looks: [4, 6, 8]}",
            seeds=8,
            behaviors=one,
            stages=(4, 6, 8),
            draw=paired(8, one),
            counts=(looked,),
        ),
        "anytime": Scenario(
            truth="no effect, greater, a look after every one of 8 seeds (e-values)",
            claims=greater,
            sequential="sequential: {anytime: true}",
            seeds=8,
            behaviors=one,
            draw=paired(8, one),
            counts=(looked,),
        ),
        "probes": Scenario(
            truth="effects of sd 0.2 on 12 probes that are 0 on average, 3 behaviours, 6 seeds",
            claims=both + claim(contrast="seeds", family="seeds"),
            behaviors=SIX[:3],
            draw=with_probes(6, SIX[:3]),
            counts=(
                Count(
                    text="any supported for new seeds and probes",
                    event=said("supported", "both"),
                    bound=ALPHA,
                ),
                Count(
                    text="any supported for new seeds, same probes",
                    event=said("supported", "seeds"),
                ),
            ),
        ),
        "steady": Scenario(
            truth="no effect, a steady machine, 12 seeds",
            claims=claim(),
            seeds=12,
            behaviors=one,
            draw=drifting(12, 0.0),
            counts=(
                Count(
                    text="warned of drift, at 0.01 twice", event=lambda _, w: bool(w), bound=0.02
                ),
                Count(text="supported", event=up, bound=ALPHA),
            ),
        ),
        "drift": Scenario(
            truth="no effect, cells alike along the launch (correlation 0.7), 12 seeds",
            claims=claim(),
            seeds=12,
            behaviors=one,
            draw=drifting(12, 0.7),
            counts=(
                Count(text="warned of drift", event=lambda _, w: bool(w)),
                Count(text="supported", event=up),
                Count(text="supported without a warning", event=lambda r, w: up(r, w) and not w),
            ),
        ),
    }


def commit(store: Store, spec: CellSpec, drawn: Drawn) -> None:
    """Keep a cell with its drawn scores; the untrained model scores 0."""
    condition, seed = str(spec.condition), spec.seed or 0
    values = {b: drawn.get((condition, seed, b), 0.0) for b in spec.probes.evaluate}
    scores = {b: float(np.mean(v)) if v is not None else None for b, v in values.items()}
    result = a_result(spec, {})
    measured = result.measurements
    if spec.seed is not None:
        measured = replace(measured, pairing_key=f"seed {seed}")
    result = replace(
        result,
        measurements=measured,
        steps=(),
        adapter=None,
        scores=tuple(a_score(b, SPLIT, rho) for b, rho in scores.items()),
        probe_scores=tuple(
            ProbeScoreRow(
                behavior=b, split=SPLIT, probe_id=f"p{i:02d}", status="ok", gap=float(gap)
            )
            for b, v in values.items()
            for i, gap in enumerate(v if isinstance(v, np.ndarray) else ())
        ),
    )
    store.commit(result, attempts=1, ray=None)


def runs_of(
    scenario: Scenario, runs: int, folder: Path, seed: int = 1
) -> Iterator[tuple[str, ...]]:
    """What happened in each run: the texts of the counts whose event it was."""
    store, expansion = launched(folder, scenario.text(folder.name))
    cells, random = expansion.all, np.random.default_rng([seed, *folder.name.encode()])
    registration = registration_of([store], load_manifests([store]))
    watched = any("warn" in count.text for count in scenario.counts)
    for place, spec in enumerate(sorted(cells, key=lambda s: (s.seed or 0, s.hinge is not None))):
        began = START + timedelta(seconds=20 * place)
        attempt = Attempt(cell=spec.cell_id, number=1, host="here", started_at=began)
        store.write_attempt(attempt.row("ok", None, began + timedelta(seconds=19)))
    store.flush()
    for _ in range(runs):
        drawn, there = scenario.draw(random), 0
        for path in (store.folder / "cells").glob("*.arrow"):
            path.unlink()
        rows: list[Inference] = []
        warnings: list[str] = []
        for seeds in scenario.stages or (scenario.seeds,):
            for spec in cells:
                if (spec.seed is None and not there) or there < (spec.seed or 0) <= seeds:
                    commit(store, spec, drawn)
            there, frame = seeds, load_frame([store])
            rows += inferences(frame, registration, ())
            warnings += launch_drift([store], frame) if watched else ()
        yield tuple(c.text for c in scenario.counts if c.event(rows, warnings))


def measured(scenario: Scenario, happened: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows of the table: what was counted, its bound, its share and the share's error."""
    counts, n = Counter(text for run in happened for text in run), len(happened)
    for count in scenario.counts:
        share = counts[count.text] / n
        error = sqrt(share * (1 - share) / n)
        bound, far = "", False
        if count.bound is not None:
            bound = f"{count.bound:g}" if count.exact else f"at most {count.bound:g}"
            room = 2 * sqrt(count.bound * (1 - count.bound) / n)
            far = share > count.bound + room + 0.03 * count.exact
            far |= count.exact and share < count.bound - room - 0.03
        yield (
            f"| {scenario.truth} | {count.text} | {bound} | {share:.3f} ({error:.3f})"
            f"{' !' if far else ''} |"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scenarios; 1 if a share is off its bound."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--only", default="", help="names of scenarios, with commas")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(argv)
    chosen = [n for n in given.only.split(",") if n]
    known = {n: s for n, s in scenarios().items() if not chosen or n in chosen}
    if unknown := set(chosen) - set(known):
        parser.error(
            f"no scenario {', '.join(sorted(unknown))} (scenarios: {', '.join(scenarios())})"
        )
    print("| what is true | counted | right | share of the runs (error) |\n|---|---|---|---|")
    lines: list[str] = []
    for name, scenario in known.items():
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            happened = [*runs_of(scenario, given.runs, Path(folder) / name, given.seed)]
        lines += measured(scenario, happened)
        print("\n".join(lines[-len(scenario.counts) :]), flush=True)
        each = (time.process_time() - started) / given.runs
        print(f"{name}: {given.runs} runs, {each:.3f} s of CPU each", file=sys.stderr)
    return any(line.endswith("! |") for line in lines)


if __name__ == "__main__":
    sys.exit(main())
