"""`launch --until decided` adds the seeds of the next registered look, where a claim needs them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.analysis.analyze import analyze
from orchestrator.analysis.undecided import aside
from orchestrator.errors import UserError
from orchestrator.execution import launch as launching
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.engines.base import InlineEngine
from orchestrator.execution.launch import Options, Summary, launch
from orchestrator.inspection.plan import describe, plan
from orchestrator.inspection.status import status, status_lines
from orchestrator.results.manifest import load_manifest, waiting_cells
from orchestrator.results.store import Store
from tasks.contract.cell import CellSpec
from tests.builders import a_failure, a_result, parsed

SWEEP = """\
name: looked
model: tiny
grid: {condition: [sft-only, rho-guided], rho_weight: [0.2, 0.5], margin: 0.1,
  seed: [1, 2, 3, 4, 5, 6, 7, 8]}
probes: {train: [factual], evaluate: [factual], heldout: 0}
data: {sft: starter, size: 8}
analysis:
  sequential: {looks: [4, 6, 8]}
  contrasts:
    - {id: strong, kind: mean_diff, a: {condition: rho-guided, rho_weight: 0.2},
       b: {condition: sft-only}, alternative: greater}
    - {id: weak, kind: mean_diff, a: {condition: rho-guided, rho_weight: 0.5},
       b: {condition: sft-only}, alternative: greater}
"""
ANYTIME = SWEEP.replace("looks: [4, 6, 8]", "anytime: true")


class Nodes:
    """Gives every cell a score at once; counts them, and does to some what it is told."""

    def __init__(self, effects: dict[float, float]) -> None:
        self.effects, self.ran = effects, list[CellSpec]()
        self.fails: set[tuple[float, int]] = set()
        self.stops_after = 10**9

    def execute(self, spec, beat, saving):
        if len(self.ran) >= self.stops_after:
            raise KeyboardInterrupt
        self.ran.append(spec)
        weight = spec.hinge.rho_weight if spec.hinge else 0.0
        if (weight, spec.seed) in self.fails:
            return a_failure(spec)
        seed = spec.seed or 0
        shared, own = 0.05 * (seed % 3), 0.013 * ((seed * 7 + int(37 * weight)) % 5 - 2)
        gain = self.effects.get(weight, 0.0) if spec.seed else 0.0
        result = a_result(spec, {("factual", "train"): gain + shared + own})
        key = None if spec.seed is None else f"seed {spec.seed}"
        return replace(result, measurements=replace(result.measurements, pairing_key=key))

    def seeds(self) -> Counter:
        """Weight -> cells that were run."""
        return Counter(s.hinge.rho_weight if s.hinge else 0.0 for s in self.ran if s.seed)


@pytest.fixture
def nodes(monkeypatch) -> Nodes:
    """In place of what trains."""
    found = Nodes({0.2: 0.5})
    monkeypatch.setattr(launching, "engine_of", lambda *_: InlineEngine(lambda: found))
    return found


@pytest.fixture
def folder(tmp_path) -> Path:
    """With nothing beside it whose cells could be linked."""
    return tmp_path / "looked"


def go(folder: Path, text: str = SWEEP) -> Summary:
    return launch(parsed(text), folder, Options(inline=True), PlainDisplay(), aside)


def verdicts(folder: Path) -> dict[str, tuple[str, int | None]]:
    rows = analyze([Store(folder)]).inference
    return {r.contrast_id: (r.verdict, r.n_pairs) for r in rows if r.registered}


@pytest.mark.slow
def test_only_arms_of_undecided_claims_get_the_seeds_of_the_next_look(folder, nodes, capsys):
    found = go(folder)
    assert nodes.seeds() == {0.0: 8, 0.2: 4, 0.5: 8}
    assert verdicts(folder) == {"strong": ("supported", 4), "weak": ("inconclusive", 8)}
    assert (found.unfinished, found.total) == ([], 21)
    told = [line for line in capsys.readouterr().err.splitlines() if "next look" in line]
    assert told == [
        "next look: strong at 4 seeds, weak at 4 seeds",
        "next look: weak at 6 seeds",
        "next look: weak at 8 seeds",
    ]
    order = [s.seed for s in nodes.ran if s.seed]
    assert max(order[:12]) == 4
    assert {max(order[12:16]), min(order[12:16])} == {5, 6}


@pytest.mark.slow
def test_a_launch_that_was_stopped_goes_on_where_it_was(folder, nodes):
    nodes.stops_after = 15
    with pytest.raises(KeyboardInterrupt):
        go(folder)
    nodes.stops_after = 10**9
    go(folder)
    assert nodes.seeds() == {0.0: 8, 0.2: 4, 0.5: 8}
    before = len(nodes.ran)
    go(folder)
    assert len(nodes.ran) == before


def test_when_all_is_decided_nothing_is_added_and_status_says_what_waits(folder, nodes):
    nodes.effects[0.5] = 0.7
    go(folder)
    assert nodes.seeds() == {0.0: 4, 0.2: 4, 0.5: 4}
    found = status(Store(folder))
    assert (found["open"], found["waiting"]) == (12, 12)
    lines = status_lines(found)
    assert "  12 cells wait: no undecided claim needs them (--until decided)" in lines
    assert not any("launch the sweep again" in line for line in lines)
    launch(parsed(SWEEP), folder, Options(inline=True), PlainDisplay())  # without: all of them
    assert nodes.seeds() == {0.0: 8, 0.2: 8, 0.5: 8}
    assert not waiting_cells(load_manifest(folder))
    assert status(Store(folder))["waiting"] == 0


@pytest.mark.slow
def test_a_claim_with_a_failed_cell_waits_at_its_look(folder, nodes):
    nodes.fails = {(0.5, 3)}
    assert len(go(folder).unfinished) == 1
    assert nodes.seeds() == {0.0: 4, 0.2: 4, 0.5: 4}
    nodes.fails = set()
    assert go(folder).unfinished == []
    assert nodes.seeds() == {0.0: 8, 0.2: 4, 0.5: 9}


@pytest.mark.slow
def test_after_every_seed_one_seed_is_added(folder, nodes):
    go(folder, ANYTIME)
    seeds = nodes.seeds()
    assert (seeds[0.0], seeds[0.5]) == (8, 8)
    decided, n = verdicts(folder)["strong"]
    assert (decided, n) == ("supported", seeds[0.2])
    assert 2 < n < 8


def test_a_claim_that_cannot_be_judged_early_goes_along_to_its_last_seed(folder, nodes):
    text = SWEEP.replace("id: weak, kind: mean_diff", "id: weak, kind: sd_ratio")
    go(folder, text)
    assert nodes.seeds() == {0.0: 8, 0.2: 4, 0.5: 8}


@pytest.mark.slow
def test_an_arm_of_no_claim_gets_the_seeds_of_the_first_look(folder, nodes):
    go(folder, SWEEP.replace("[0.2, 0.5]", "[0.2, 0.3, 0.5]"))
    assert nodes.seeds() == {0.0: 8, 0.2: 4, 0.3: 4, 0.5: 8}


@pytest.mark.slow
def test_a_plan_says_with_how_many_cells_it_begins(tmp_path, nodes):
    line = "claims   launch --until decided begins with 13 of 25 cells"
    assert line in describe(plan([parsed(SWEEP)], tmp_path))
    assert line.replace("13", "7") in describe(plan([parsed(ANYTIME)], tmp_path))
    assert not any("--until" in x for x in describe(plan([parsed(WITHOUT)], tmp_path)))


WITHOUT = SWEEP.replace("  sequential: {looks: [4, 6, 8]}\n", "")


@pytest.mark.parametrize("text", [WITHOUT, SWEEP.split("analysis:", maxsplit=1)[0]])
def test_without_a_rule_it_is_refused_before_anything_is_written(tmp_path, rho_sweep, text):
    (tmp_path / "sweep.yaml").write_text(text)
    ran = rho_sweep("launch", "sweep.yaml", "--inline", "--until", "decided")
    assert ran.code == 2
    assert "adds seeds by a registered rule, and this sweep has no claim with one" in ran.err
    assert not (tmp_path / "results").exists()


def test_a_rule_that_was_added_after_the_results_is_none(folder, nodes):
    launch(parsed(WITHOUT), folder, Options(inline=True), PlainDisplay())
    with pytest.raises(UserError, match="by a registered rule"):
        go(folder)


@pytest.mark.slow
def test_a_real_launch_ends_when_the_claims_are_decided(tmp_path, rho_sweep):
    text = SWEEP.replace("[4, 6, 8]", "[2, 3]").replace(", 4, 5, 6, 7, 8]", "]")
    (tmp_path / "sweep.yaml").write_text(text + "train: {max_length: 64, grad_accumulation: 2}\n")
    ran = rho_sweep("launch", "sweep.yaml", "--inline", "--until", "decided")
    assert ran.code == 0, ran.err
    assert "next look: strong at 2 seeds, weak at 2 seeds" in ran.err
    shown = rho_sweep("status", "results/looked").out
    assert "launch the sweep again" not in shown
    assert rho_sweep("analyze", "results/looked").code == 0
