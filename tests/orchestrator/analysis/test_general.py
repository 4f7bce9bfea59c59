"""What else a training changed: claims about it, its table, and results that lack it."""

import hashlib
from dataclasses import replace

import pyarrow as pa
import pyarrow.ipc
import pytest

from orchestrator.analysis.analyze import analyze
from orchestrator.errors import SweepError
from tasks.contract.cell import Measurements, ProbeScoreRow
from tasks.contract.measures import MEASURES
from tests.builders import a_result, launched

SWEEP = """\
name: s
model: tiny
grid:
  condition: [sft-only, rho-guided]
  rho_weight: [0.2]
  margin: [0.1]
  seed: [1, 2, 3, 4]
probes: {{train: [factual], evaluate: [factual]}}
analysis:
  contrasts:
    - {{id: C1, claim: still speaks, kind: noninferiority, a: {{condition: rho-guided}},
       b: {{condition: sft-only}}, behaviors: [{name}], sesoi: 0.1{more}}}
"""
PACKS = {"pack", "pack_digest"}
LATER = {"right", "right_norm", "n_choice_items"}
SCORES = {("factual", "heldout"): 0.5}


def results(folder, losses: dict[str, float] | None, text: str = SWEEP):
    """A finished sweep; loss of each condition on neutral texts, None as older versions left it."""
    store, expansion = launched(folder, text.format(name="text-neutral", more=""))
    for spec in expansion.all:
        result = a_result(spec, SCORES, weights=spec.cell_id.encode())
        if losses is not None and spec.seed is not None:
            ce = losses[str(spec.condition)] + 0.001 * spec.seed * (2 if spec.hinge else 1)
            measured = replace(
                result.measurements,
                pairing_key=f"seed {spec.seed}",
                neutral_ce=ce,
                neutral_ce_base=2.0,
                neutral_kl=ce / 10,
            )
            result = replace(result, measurements=measured)
        store.commit(result, attempts=1, ray=None)
    return store


@pytest.mark.parametrize(("guided", "verdict"), [(2.05, "supported"), (2.5, "contradicted")])
def test_a_registered_claim_about_general_texts_has_a_verdict(tmp_path, guided, verdict):
    found = analyze([results(tmp_path / "s", {"sft-only": 2.0, "rho-guided": guided})])
    (row,) = found.inference
    assert (row.registered, row.behavior, row.n_pairs) == (True, "text-neutral", 4)
    assert row.estimate == pytest.approx(2.0 - guided - 0.0025)
    assert row.verdict == verdict
    view = next(v for v in found.views if v.key == "T15")
    by_condition = {r["condition"]: r for r in view.rows}
    assert by_condition["rho-guided"]["text-neutral"] == pytest.approx(2.0 - guided - 0.005)
    assert by_condition["rho-guided"]["text-neutral_untrained"] == pytest.approx(7.389, abs=1e-3)
    assert by_condition["rho-guided"]["text-unused"] is None
    assert not {m.name for m in MEASURES} & {a.behavior for a in found.arms}


def test_the_first_screen_and_the_report_say_what_else_changed(tmp_path, rho_sweep):
    store = results(tmp_path / "s", {"sft-only": 2.0, "rho-guided": 2.5})
    ran = rho_sweep("analyze", store.folder)
    assert (ran.code, "What else changed" in ran.out) == (0, True), ran.err
    assert "(primary, whole cells, new seeds)" in ran.out
    assert rho_sweep("report", store.folder, "--markdown", "-o", tmp_path / "r.md").code == 0
    text = (tmp_path / "r.md").read_text()
    assert "+65.7% on neutral texts in rho-guided, which lost most" in text
    assert "T15" in text
    assert "; on whole cells, about new seeds; " in text


def test_results_without_these_measurements_are_analysed_and_say_so(tmp_path):
    found = analyze([results(tmp_path / "s", None)])
    (row,) = found.inference
    assert row.estimate is None
    assert any("text-neutral is not scored" in note for note in row.notes)
    (missing,) = [m for m in found.missing if m.key == "T15"]
    assert "older versions" in missing.reason


def as_older_versions_left_it(store) -> None:
    """Files without the columns of these measurements and of packs scored later, and no seals."""
    new = {c for m in MEASURES for c in m.columns}
    for name, gone in (("scores", PACKS), ("probe_scores", PACKS), ("cells", new)):
        for path in (store.folder / name).glob("*.arrow"):
            found = pa.ipc.open_file(path.read_bytes()).read_all()
            kept = found.drop_columns(sorted((gone | LATER) & {*found.column_names}))
            rows = kept.to_pylist()
            for file in rows[0]["files"] if name == "cells" else ():
                content = (store.folder / file["name"]).read_bytes()
                file |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            with pa.ipc.new_file(path, kept.schema) as writer:
                writer.write_table(pa.Table.from_pylist(rows, schema=kept.schema))


@pytest.mark.slow
def test_files_of_older_versions_are_done_analysed_and_reported(tmp_path, rho_sweep):
    store = results(tmp_path / "s", {"sft-only": 2.0, "rho-guided": 2.1})
    before = analyze([store])
    as_older_versions_left_it(store)
    assert store.done() == set(store.statuses())
    assert len(store.done()) == 9
    found = analyze([store])
    assert found.arms == before.arms
    assert [m.key for m in found.missing if m.key == "T15"] == ["T15"]
    for words in (("analyze",), ("report", "--markdown"), ("export", "--to", "csv"), ("check",)):
        ran = rho_sweep(words[0], store.folder, *words[1:])
        assert ran.code == (1 if words == ("check",) else 0), ran.err  # adapters here are none


def test_a_claim_without_named_behaviours_is_not_about_them(tmp_path):
    text = SWEEP.replace("behaviors: [{name}], ", "")
    store = results(tmp_path / "s", {"sft-only": 2.0, "rho-guided": 2.1}, text)
    assert {row.behavior for row in analyze([store]).inference} == {"factual"}


def test_new_probes_cannot_be_asked_of_a_measurement_of_whole_cells(tmp_path):
    text = SWEEP.format(name="kl-neutral", more=", population: new_seeds_and_probes")
    with pytest.raises(SweepError, match="measured on whole cells"):
        launched(tmp_path / "s", text)


def test_every_measurement_has_its_columns():
    given = Measurements(base_precision="float32", path="packed", n_pairs_degenerate=0)
    row = {name: getattr(given, name) for m in MEASURES for name in m.columns}
    assert [m.of(row, row) for m in MEASURES] == [None] * len(MEASURES)
    full = [dict.fromkeys(m.columns, 1.5) for m in MEASURES]
    assert all(m.of(row, row) for m, row in zip(MEASURES, full, strict=True))
    assert [m.name for m, row in zip(MEASURES, full, strict=True) if not m.of(row, None)] == [
        "capability",
        "capability-norm",
    ]


def with_items(folder, guided: float):
    """A finished sweep whose cells answered a multiple-choice set; the untrained model got 0.6."""
    text = SWEEP.format(name="capability", more="") + "evaluate: {capability: /set.jsonl}\n"
    store, expansion = launched(folder, text)
    for spec in expansion.all:
        share = 0.6
        if spec.seed is not None:
            share = (guided if spec.hinge else 0.61) + 0.001 * spec.seed * (2 if spec.hinge else 1)
        result = a_result(spec, SCORES, weights=spec.cell_id.encode())
        measured = replace(
            result.measurements,
            pairing_key=spec.seed and f"seed {spec.seed}",
            choice_accuracy=share,
            choice_accuracy_norm=share,
        )
        item = replace(a_row(), right=1.0, right_norm=0.0)
        store.commit(replace(result, measurements=measured, items=(item,)), attempts=1, ray=None)
    return store


def a_row() -> ProbeScoreRow:
    return ProbeScoreRow(
        behavior="capability", split="choices", probe_id="q1", status="ok", gap=0.1
    )


@pytest.mark.parametrize(("guided", "verdict"), [(0.59, "supported"), (0.4, "contradicted")])
def test_a_claim_about_items_counts_from_the_untrained_models_own_cell(tmp_path, guided, verdict):
    store = with_items(tmp_path / "s", guided)
    found = analyze([store])
    (row,) = found.inference
    assert (row.registered, row.behavior, row.unit) == (True, "capability", "proportion of items")
    assert (row.estimate, row.verdict) == (pytest.approx(guided - 0.61 + 0.0025), verdict)
    view = next(v for v in found.views if v.key == "T15")
    one = next(r for r in view.rows if r["condition"] == "rho-guided")
    assert one["capability"] == pytest.approx(guided + 0.005 - 0.6)
    assert one["capability_accuracy"] == pytest.approx(guided + 0.005)
    assert one["capability-norm_untrained"] == 0.6
    assert {(a.behavior, a.split) for a in found.arms} == {("factual", "heldout")}
    rows = [r for r in store.rows("probe_scores") if r["split"] == "choices"]
    assert [(r["right"], r["right_norm"]) for r in rows] == [(1.0, 0.0)] * 9


def test_the_screen_and_the_report_tell_of_items_in_their_unit(tmp_path, rho_sweep):
    store = with_items(tmp_path / "s", 0.4)
    ran = rho_sweep("analyze", store.folder)
    assert "is -0.207 of the items" in " ".join(ran.out.split()), ran.out
    assert rho_sweep("report", store.folder, "--markdown", "-o", tmp_path / "r.md").code == 0
    text = (tmp_path / "r.md").read_text()
    assert "-19.5 points of accuracy in rho-guided, which lost most" in text


def test_a_claim_about_items_needs_a_set(tmp_path):
    with pytest.raises(SweepError, match=r"not measured: evaluate\.capability names no set"):
        launched(tmp_path / "s", SWEEP.format(name="capability-norm", more=""))
