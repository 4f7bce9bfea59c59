"""Saved adapters score another pack, with a stand-in for the node; and the commands about it."""

import json
from dataclasses import replace

import pytest

from orchestrator.analysis.analyze import Asked, analyze
from orchestrator.cli.notebook import Results
from orchestrator.errors import UserError
from orchestrator.execution.engines.base import InlineEngine
from orchestrator.inspection.check import check
from orchestrator.inspection.status import status, status_lines
from orchestrator.results.store import as_file
from orchestrator.stress import run as stressing
from orchestrator.stress import score as scoring
from tasks.contract.cell import Adapter, CellFailure, Point, ProbeSpec, Status
from tasks.contract.scoring import ScoringResult
from tasks.data.probe_packs import load_pack
from tasks.data.probes import prepare_probes
from tests.builders import MACHINE, a_result, a_score, a_spec, launched, probe_row

SWEEP = """\
name: s
model: tiny
grid:
  condition: [sft-only, rho-guided]
  rho_weight: [0.2]
  margin: [0.1]
  seed: [1, 2]
analysis:
  contrasts:
    - {id: C1, claim: c, kind: mean_diff, a: {condition: rho-guided}, b: {condition: sft-only},
       behaviors: [factual]}
"""


class Node:
    """Scores each behaviour 1.0, or fails where the label holds a word."""

    def __init__(self, fails_on: str = "") -> None:
        self.asked, self._fails_on = [], fails_on

    def execute(self, spec, beat, saving):
        self.asked.append(spec)
        if self._fails_on and self._fails_on in spec.label:
            return CellFailure(
                spec=spec.bare(), stage="load", message="gone", trace="T", machine=MACHINE
            )
        places = {(p.behavior, spec.pairs.split[p.id]): p.id for p in spec.pairs.pairs}
        return ScoringResult(
            spec=spec.bare(),
            scores=tuple(a_score(b, part, 1.0) for b, part in places),
            probe_scores=tuple(probe_row(b, part, 1.0) for b, part in places),
            machine=MACHINE,
        )


@pytest.fixture
def node(monkeypatch):
    """Makes every scoring use a stand-in; call it for another one."""

    def use(**how) -> Node:
        found = Node(**how)
        monkeypatch.setattr(stressing, "engine_of", lambda *_: InlineEngine(lambda: found))
        return found

    return use


@pytest.fixture
def results(tmp_path):
    """A baseline and four scored cells; one keeps an adapter from within its training."""
    store, expansion = launched(tmp_path / "s", SWEEP)
    for i, spec in enumerate(expansion.all):
        found = a_result(spec, {("factual", "heldout"): 0.1 * i}, weights=b"%d" % i)
        if i == 1:
            early = Adapter(weights=b"early", config={"rank": 8})
            found = replace(found, points=(Point(step=3, adapter=early),))
        store.commit(found, attempts=1, ray=None)
    return store


def a_pack(path, *rows: tuple[str, str]):
    """A file of pairs: (id, behaviour) of each."""
    path.parent.mkdir(exist_ok=True)
    lines = (
        {"id": key, "behavior": name, "positive": f"{key} is so", "negative": f"{key} is not"}
        for key, name in rows
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


MORE = (("a", "factual"), ("b", "humour"))


def problems(store) -> list[str]:
    """Files that a check finds wrong; adapters of these tests are none."""
    return [p.path for p in check(store).problems if not p.path.startswith("adapters/")]


def rows_of(store, pack: str) -> list[dict]:
    return [r for r in store.rows("scores") if r["pack"] == pack]


def test_every_saved_adapter_and_the_baseline_score_the_pack_under_its_name(
    results, node, rho_sweep, tmp_path
):
    there, pack = node(), a_pack(tmp_path / "else" / "more.jsonl", *MORE)
    own = [r for r in results.rows("scores") if r["pack"] is None]
    ran = rho_sweep("score", results.folder, "--pack", pack, "--inline")
    assert ran.code == 0, ran.err
    assert "6 of 6 units scored, 0 were before" in ran.out
    rows = rows_of(results, "more.jsonl")
    cells = {(r["cell_id"], r["step"]) for r in rows}
    assert {c for c, _ in cells} == set(results.statuses())
    assert [step for _, step in cells if step is not None] == [3]
    assert {r["behavior"] for r in rows} == {"factual", "humour"}
    assert [r for r in results.rows("scores") if r["pack"] is None] == own
    carried = {(s.seed, s.step, s.cell_label): s.adapter for s in there.asked}
    assert all((a is None) == (seed is None) for (seed, _, _), a in carried.items())
    assert [a.weights for (_, step, _), a in carried.items() if step == 3] == [b"early"]
    again = node()
    assert "6 were before" in rho_sweep("score", results.folder, "--pack", pack, "--inline").out
    assert again.asked == []


def test_a_behaviour_of_the_sweeps_name_in_another_pack_changes_no_claim(
    results, node, rho_sweep, tmp_path
):
    node()
    before = analyze([results]).to_json()
    pack = a_pack(tmp_path / "more.jsonl", *MORE)
    assert rho_sweep("score", results.folder, "--pack", pack, "--inline").code == 0
    assert analyze([results]).to_json() == before
    found = analyze([results], Asked(pack=str(pack)))
    assert {a.behavior for a in found.arms} == {"factual", "humour"}
    assert {a.mean for a in found.arms} == {1.0}
    assert found.inference
    assert not any(i.registered for i in found.inference)
    ran = rho_sweep("analyze", results.folder, "--pack", pack)
    said = " ".join(ran.out.split())  # lines are broken where a path is long
    assert (ran.code, "all of it is exploratory" in said) == (0, True), ran.err
    assert not (results.folder / "analysis").exists()


@pytest.mark.slow
def test_a_pack_that_changed_is_scored_anew_and_only_its_last_state_is_analysed(
    results, node, rho_sweep, tmp_path
):
    node()
    pack = a_pack(tmp_path / "more.jsonl", *MORE)
    assert rho_sweep("score", results.folder, "--pack", pack, "--inline").code == 0
    a_pack(pack, ("a", "wit"))
    again = node(fails_on="seed=2")
    ran = rho_sweep("score", results.folder, "--pack", pack, "--inline")
    assert (ran.code, len(again.asked)) == (1, 6)
    assert "more.jsonl has other pairs than before" in ran.err
    assert {r["behavior"] for r in rows_of(results, "more.jsonl")} == {"factual", "humour", "wit"}
    found = analyze([results], Asked(pack="more.jsonl"))
    assert {a.behavior for a in found.arms} == {"wit"}
    assert {a.n for a in found.arms if a.condition != "baseline"} == {1}


def test_a_failed_unit_says_why_and_the_same_command_goes_on(results, node, rho_sweep, tmp_path):
    node(fails_on="seed=2")
    pack = a_pack(tmp_path / "more.jsonl", *MORE)
    ran = rho_sweep("score", results.folder, "--pack", pack, "--inline")
    assert ran.code == 1
    assert "failed sft-only seed=2 on more.jsonl" in ran.err
    assert ": gone" in ran.err
    assert status(results)["scored"] == [{"pack": "more.jsonl", "total": 6, "ok": 4}]
    lines = status_lines(status(results))
    assert "pack more.jsonl: 4 of 6 units scored" in lines
    again = node()
    assert rho_sweep("score", results.folder, "--pack", pack, "--inline").code == 0
    assert {s.seed for s in again.asked} == {2}
    assert status(results)["scored"][0]["ok"] == 6
    assert not problems(results)


def test_an_adapter_that_is_gone_travels_as_missing_and_a_changed_one_as_it_is(
    results, node, rho_sweep, tmp_path
):
    rows = {(r["condition"], r["seed"]): r for r in results.rows("cells")}
    gone, changed = rows["sft-only", 1]["cell_id"], rows["sft-only", 2]["cell_id"]
    (results.adapter_folder(gone) / "adapters.safetensors").unlink()
    (results.adapter_folder(changed) / "adapters.safetensors").write_bytes(b"other")
    there, pack = node(), a_pack(tmp_path / "more.jsonl", *MORE)
    assert rho_sweep("score", results.folder, "--pack", pack, "--inline").code == 0
    by_cell = {s.cell_id: s for s in there.asked if s.step is None}
    assert by_cell[gone].adapter is None
    assert by_cell[changed].adapter.sha256 != by_cell[changed].adapter_sha256


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "no"),
        ('{"id": "a", "behavior": "b", "positive": "x", "negative": "x"}\n', "are the same"),
    ],
)
def test_a_pack_without_a_usable_pair_is_refused(results, node, rho_sweep, tmp_path, rows, said):
    pack = tmp_path / "empty.jsonl"
    pack.write_text(rows)
    ran = rho_sweep("score", results.folder, "--pack", pack, "--inline")
    assert (ran.code, said in ran.err) == (2, True), ran.err
    assert not (results.folder / "scored.json").exists()
    ran = rho_sweep("analyze", results.folder, "--pack", pack)
    assert (ran.code, "rho-sweep score" in ran.err) == (2, True)


def test_a_behaviour_that_the_pack_lacks_is_named(results, node, rho_sweep, tmp_path):
    there, pack = node(), a_pack(tmp_path / "more.jsonl", *MORE)
    ran = rho_sweep("score", results.folder, "--pack", pack, "--inline", "--behavior", "humor")
    assert (ran.code, 'did you mean "humour"?' in ran.err) == (2, True)
    words = ("--pack", pack, "--inline", "--behavior", "humour")
    assert rho_sweep("score", results.folder, *words).code == 0
    assert {p.behavior for s in there.asked for p in s.pairs.pairs} == {"humour"}


def test_rows_of_the_sweep_in_a_file_of_another_pack_are_refused(results):
    cell = next(iter(results.statuses()))
    own = results.read_cell("scores", cell).to_pylist()
    path = results.path("scores", f"{cell}.{'0' * 16}")
    path.write_bytes(as_file("scores", [dict(own[0], behavior="invented")]))
    with pytest.raises(UserError, match="another pack than its name says; delete it and run rho"):
        analyze([results])
    assert problems(results) == [f"scores/{path.name}"]


def test_a_notebook_shows_the_sweeps_own_scores_and_the_table_has_all(
    results, node, rho_sweep, tmp_path
):
    node()
    pack = a_pack(tmp_path / "more.jsonl", *MORE)
    assert rho_sweep("score", results.folder, "--pack", pack, "--inline").code == 0
    opened = Results(results.folder)
    assert set(opened.scores()["behavior"].to_pylist()) == {"factual"}
    assert set(opened.table("scores")["behavior"].to_pylist()) == {"factual", "humour"}


def test_pairs_of_the_sweep_keep_their_split_and_copies_of_what_was_trained_on_are_no_heldout(
    tmp_path,
):
    own = prepare_probes("starter", ("factual",), ("factual",), 0.25)
    probes = ProbeSpec(
        pack="starter", train=("factual",), evaluate=("factual",), heldout=0.25, digest=own.digest
    )
    spec = replace(a_spec(), probes=probes)
    guard = scoring._guard([spec])
    pairs = tuple(sorted(load_pack("starter"), key=lambda p: p.id))
    known, others = scoring._sets("starter", pairs, spec, guard)
    assert known.digest == own.digest
    assert {p.behavior for p in others.pairs} == {p.behavior for p in pairs} - {"factual"}
    assert set(others.split.values()) == {"heldout"}
    copied = replace(own.pool[0], id="copy")
    (alone,) = scoring._sets("more.jsonl", (copied,), spec, guard)
    assert (alone.name, alone.split) == ("more.jsonl", {"copy": "train"})
    lost = replace(spec, probes=replace(probes, digest="other"))
    assert scoring._guard([lost]) is None


def test_a_cell_that_is_run_anew_loses_what_its_old_adapter_scored(
    results, node, rho_sweep, tmp_path
):
    node()
    pack = a_pack(tmp_path / "more.jsonl", *MORE)
    assert rho_sweep("score", results.folder, "--pack", pack, "--inline").code == 0
    _, expansion = launched(results.folder, SWEEP)
    spec = next(s for s in expansion.all if s.seed == 2)
    results.commit(a_result(spec, status=Status.OK, weights=b"new"), attempts=1, ray=None)
    assert not [r for r in rows_of(results, "more.jsonl") if r["cell_id"] == spec.cell_id]
