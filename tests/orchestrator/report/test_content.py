"""A report's content from the tables of a results folder, and the command that writes it."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from orchestrator.analysis.analyze import analyze
from orchestrator.analysis.tables.arms import default_split
from orchestrator.errors import UserError
from orchestrator.report import analysed, render, write_report
from orchestrator.report.content import MAX_CURVE_ARMS, MAX_CURVE_SEEDS, from_store
from orchestrator.results.store import Store
from tasks.contract.cell import Status
from tests.builders import a_failure, a_result, a_spec, filled, launched
from tests.orchestrator.report.contents import an_arm
from tests.orchestrator.report.reading import read

SWEEP = """
name: small
description: two arms
model: toy
grid: {condition: [sft-only, rho-guided], rho_weight: [0.2], margin: [0.1], seed: [1, 2]}
"""
NOW = datetime(2026, 11, 25, 16, 40, tzinfo=UTC)


@pytest.fixture
def results(tmp_path):
    """A launch of which one cell is scored, one diverged, one failed; two are open."""
    store, expansion = launched(tmp_path / "small", SWEEP)
    by_label = {s.label: s for s in expansion.all}
    guided = by_label["rho-guided w=0.2 m=0.1 seed=1"]
    store.commit(a_result(guided), attempts=2, ray=None)
    diverged = by_label["rho-guided w=0.2 m=0.1 seed=2"]
    store.commit(a_result(diverged, status=Status.DIVERGED), attempts=1, ray=None)
    store.commit_failure(a_failure(by_label["sft-only seed=1"]), attempts=3, ray=None)
    return store


def content(store, evidence=()):
    return from_store(store, evidence, (), (), (), split="heldout", now=NOW)


def test_every_cell_of_the_manifest_is_there_with_how_it_ended(results):
    cells = {c.label: c for c in content(results).cells}
    assert {label: c.status for label, c in cells.items()} == {
        "baseline": "open",
        "sft-only seed=1": "failed",
        "sft-only seed=2": "open",
        "rho-guided w=0.2 m=0.1 seed=1": "ok",
        "rho-guided w=0.2 m=0.1 seed=2": "diverged",
    }
    failed = cells["sft-only seed=1"]
    assert (failed.message, failed.host, failed.attempts) == ("model toy is gone", "here", 3)
    assert failed.wall_s is None
    waiting = cells["sft-only seed=2"]
    assert (waiting.condition, waiting.seed, waiting.host) == ("sft-only", 2, None)


@pytest.mark.parametrize("seed", ["9" * 5000, "\u0662", "\u00b2", "-1", ""])
def test_a_label_of_an_open_cell_may_say_anything_about_its_seed(results, seed):
    manifest = results.folder / "sweep.yaml"
    lines = [line for line in manifest.read_text().splitlines() if "sealed:" not in line]
    changed = "\n".join(lines).replace("sft-only seed=2", f"sft-only seed={seed}")
    manifest.write_text(changed)
    assert {c.seed for c in content(results).cells if c.status == "open"} == {None}


def test_a_cell_that_the_manifest_does_not_name_is_kept_apart(results):
    results.commit(a_result(a_spec(seed=9, rho_weight=0.7)), attempts=1, ray=None)
    extra = [c for c in content(results).cells if not c.named]
    assert [c.label for c in extra] == ["rho-guided w=0.7 m=0.1 seed=9"]


def test_what_was_launched_and_when_the_report_was_made(results):
    found = content(results)
    assert (found.name, found.description, found.now) == (
        "small",
        "two arms",
        "2026-11-25 16:40 UTC",
    )
    assert found.manifest["settings"]["model"] == "toy"
    assert ("Chip", "toy") in found.facts
    assert ("Precision of the base model", "float32") in found.facts
    assert not [text for _, text in found.facts if text in ("", "None")]


def test_trainings_come_step_by_step_and_what_was_not_measured_is_no_number(results):
    curves = {c.arm + f" {c.seed}": c for c in content(results).steps}
    curve = curves["rho-guided w=0.2 m=0.1 1"]
    assert curve.step.tolist() == [1, 2]
    assert curve.ce_loss.tolist() == [1.0, 0.5]
    assert np.isnan(curve.hinge_active).all()
    assert len(curves["sft-only 1"].step) == 0, "it failed before its first step"


def test_an_arm_is_named_as_the_evidence_names_it(results):
    arm_id = next(c.arm_id for c in content(results).cells if c.status == "ok")
    arm = an_arm(differs="train.epochs=2")
    named = [a.arm for a in content(results, [replace(arm, arm_id=arm_id)]).steps if a.seed == 1]
    assert "rho-guided w=0.2 m=0.1 train.epochs=2" in named


def test_large_sweeps_draw_a_bounded_number_of_trainings(tmp_path):
    arms = MAX_CURVE_ARMS + 1
    specs = [a_spec(seed=s, rho_weight=w / 10) for w in range(1, arms + 1) for s in range(1, 3)]
    specs += [a_spec(seed=s, rho_weight=0.1) for s in range(3, MAX_CURVE_SEEDS + 4)]
    store, _ = launched(tmp_path / "small", SWEEP)
    filled(store.folder, *(a_result(s) for s in specs))
    found = content(store)
    assert len(found.steps) + found.steps_left_out == len(specs)
    assert len({c.arm for c in found.steps}) == MAX_CURVE_ARMS
    assert max(c.seed for c in found.steps) <= MAX_CURVE_SEEDS


@pytest.mark.parametrize(
    ("splits", "claims"),
    [((), "heldout"), (("train",), "train"), (("train", "heldout"), "heldout")],
)
def test_claims_are_about_held_out_pairs_where_there_are_any(splits, claims):
    assert default_split([an_arm(split=s) for s in splits]) == claims


def test_without_a_manifest_there_is_no_report(tmp_path):
    store = filled(tmp_path / "bare", a_result(a_spec()))
    with pytest.raises(UserError, match=r"sweep\.yaml: missing"):
        content(store)


def test_what_a_folder_holds_can_be_rendered(results):
    page = read(render(content(results)))
    assert page.one("h1").text == "small"
    assert "step 2: the loss is nan" in page.text
    assert "model toy is gone" in page.text


@pytest.mark.slow
def test_the_report_has_the_tables_and_contrasts_of_the_analysis(tmp_path):
    scores = {("factual", "heldout"): 0.5, ("factual", "train"): 0.7}
    store, expansion = launched(tmp_path / "small", SWEEP)
    filled(store.folder, *(a_result(s, scores) for s in expansion.all))
    found, made = analyze([store]), analysed(store)
    assert made.evidence == found.evidence
    assert (made.inference, made.views, made.split) == (found.inference, found.views, found.split)
    page = read(render(made))
    headings = {h.text for h in page.all("h3")}
    assert {f"{v.key} {v.name}" for v in found.views if " " not in v.key} <= headings
    assert all(f"{m.key} {m.name}: not shown, {m.reason}." in page.text for m in found.missing)


def test_the_report_lies_in_the_results_unless_it_is_wanted_elsewhere(results, tmp_path):
    assert write_report(results.folder) == results.folder / "report.html"
    assert write_report(results.folder, markdown=True) == results.folder / "report.md"
    assert write_report(results.folder, tmp_path / "a" / "b.md").read_text().startswith("# small\n")
    assert write_report(results.folder, tmp_path / "c").read_text().startswith("<!doctype html>")


def test_the_command_says_where_the_report_is(results, rho_sweep, tmp_path):
    ran = rho_sweep("report", results.folder)
    assert (ran.code, ran.out.strip()) == (0, str(results.folder / "report.html"))
    ran = rho_sweep("report", results.folder, "-o", "x.html", "--markdown")
    assert ran.code == 0
    assert (tmp_path / "x.html").read_text().startswith("# small\n")


def test_what_cannot_be_written_is_one_message(results, rho_sweep, tmp_path):
    (tmp_path / "file").write_text("")
    cases = {
        ("report", tmp_path / "nothing"): "no results here",
        ("report", results.folder, "-o", tmp_path): "is a folder; name a file in it",
        ("report", results.folder, "-o", tmp_path / "file" / "x.html"): "cannot be written",
    }
    for arguments, message in cases.items():
        ran = rho_sweep(*arguments)
        assert (ran.code, ran.out) == (2, "")
        assert message in ran.err
        assert ran.err.count("\n") == 1


def test_a_report_replaces_a_report_but_no_other_file(results, rho_sweep, tmp_path):
    other = tmp_path / "README.md"
    other.write_text("# mine")
    ran = rho_sweep("report", results.folder, "-o", other)
    assert (ran.code, other.read_text()) == (2, "# mine")
    assert "is no report and would be overwritten" in ran.err
    for name in ("r.html", "r.md"):
        for _ in range(2):
            assert rho_sweep("report", results.folder, "-o", tmp_path / name).code == 0


def test_a_report_of_several_results_has_each_cell_once_and_what_was_run_in_each(
    results, rho_sweep, tmp_path
):
    shutil.copytree(results.folder, tmp_path / "copy")
    assert analysed(results, Store(tmp_path / "copy")).cells == analysed(results).cells
    other = results.folder.parent / "other"
    text = "name: other\nmodel: toy\ngrid: {condition: [sft-only], seed: [2, 3]}\n"
    store, expansion = launched(other, text)
    for spec in expansion.all:
        store.commit(a_result(spec), attempts=1, ray=None)
    both = analysed(results, store)
    cells = [cell.cell_id for cell in both.cells]
    assert len(cells) == len(set(cells))
    assert {c.status for c in both.cells if c.label == "sft-only seed=2"} == {"ok"}
    assert {c.cell_id for c in analysed(store).cells} <= set(cells)
    assert both.name == "small + other"
    ran = rho_sweep("report", results.folder, other)
    assert (ran.code, "name it with -o FILE" in ran.err) == (2, True)
    assert rho_sweep("report", results.folder, other, "-o", "both.md").code == 0
    text = (tmp_path / "both.md").read_text()
    assert text.startswith("# small + other\n")
    assert "### other" in text
