"""Every label names the level that was computed: that of the analysis, not a usual one."""

import json
import re

import pytest
import yaml
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.inspection.plan import describe, plan
from orchestrator.report import analysed, render
from orchestrator.results.store import Store
from tests.builders import launched, parsed
from tests.orchestrator.analysis.asking import keyed, plain, scored

USUAL = re.compile(r"95 ?%|\b0\.05\b|\b0\.95\b")
ARM = {"condition": "rho-guided", "rho_weight": 0.2, "margin": 0.1}
ASKED = {"a": ARM, "b": plain(), "split": "train"}
TEXT = yaml.safe_dump(
    {
        "name": "s",
        "model": "toy",
        "grid": {
            "condition": ["sft-only", "rho-guided"],
            "rho_weight": [0.1, 0.2, 0.3],
            "margin": [0.1, 0.2],
            "seed": [1, 2, 3, 4],
        },
        "analysis": {
            "alpha": 0.01,
            "contrasts": [
                {"id": "up", "kind": "mean_diff", **ASKED},
                {"id": "kept", "kind": "noninferiority", "sesoi": 1.0, **ASKED},
                {"id": "spread", "kind": "sd_ratio", **ASKED},
                {"id": "moved", "kind": "one_sample", "a": plain(), "split": "train"},
            ],
        },
    }
)


def results(folder, text: str) -> Store:
    """Six seeds of every arm, beside what was registered."""
    found, _ = launched(folder, text)
    settings = [("sft-only", 0.0, {})]
    settings += [
        ("rho-guided", w, {"rho_weight": w, "margin": m})
        for w in (0.1, 0.2, 0.3)
        for m in (0.1, 0.2)
    ]
    found.commit(scored("baseline", 0.1), attempts=1, ray=None)
    for seed in range(1, 7):
        for condition, gain, spec in settings:
            rho = 0.11 + gain + 0.013 * ((seed * 7 + int(10 * gain)) % 4)
            found.commit(keyed(condition, rho, seed, **spec), attempts=1, ray=None)
    return found


@pytest.fixture
def store(tmp_path) -> Store:
    """Results whose questions were registered at a level of 0.01."""
    return results(tmp_path / "r", TEXT)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_analyze_names_no_other_level(store):
    shown = run("analyze", store.folder) + run("analyze", store.folder, "--table", "all")
    files = [p.read_text() for p in (store.folder / "analysis").glob("*.csv")]
    assert "99% CI" in shown
    assert USUAL.findall("".join([shown, *files])) == []


@pytest.mark.slow
def test_analyze_names_the_population_of_every_claim(store):
    shown = " ".join(run("analyze", store.folder).split())
    assert shown.count("(primary, train split, new seeds)") == 4


@pytest.mark.slow
def test_the_notes_beside_ones_own_tables_are_at_the_same_level(store):
    assert USUAL.findall(run("analyze", store.folder, "--against", "published")) == []


@pytest.mark.slow
def test_the_notes_alone_are_tested_at_the_level_that_is_asked_for(tmp_path):
    questions = tmp_path / "q.yaml"
    questions.write_text(yaml.safe_dump({"analysis": yaml.safe_load(TEXT)["analysis"]}))
    shown = run("analyze", "--published", "--questions", questions)
    assert "99% CI" in shown
    assert "95%" not in shown
    assert "95% CI" in run("analyze", "--published")


@pytest.mark.slow
def test_json_names_no_other_level_and_its_intervals_have_the_one_asked_for(store):
    found = json.loads(run("analyze", store.folder, "--json"))
    labels = [f["label"] for t in found["tables"] for f in t["fields"]]
    told = [t["title"] for t in found["tables"]] + [n for t in found["tables"] for n in t["notes"]]
    assert USUAL.findall("\n".join([*labels, *told])) == []
    levels = {row["contrast_id"]: row["ci_level"] for row in found["inference"]}
    assert levels["up"] == levels["spread"] == levels["moved"] == 0.99
    assert levels["kept"] == 0.98  # two one-sided tests at 0.01


@pytest.mark.slow
@pytest.mark.parametrize("markdown", [False, True])
def test_a_report_names_no_other_level(store, markdown):
    text = render(analysed(Store(store.folder)), markdown=markdown)
    assert "99% interval" in text
    assert "at most 0.01" in text
    assert USUAL.findall(re.sub(r"<(style|svg).*?</\1>", "", text, flags=re.DOTALL)) == []


def test_a_plan_names_no_other_level(tmp_path):
    lines = "\n".join(describe(plan([parsed(TEXT.replace("toy", "tiny"))], tmp_path)))
    assert "8 is the fewest for p < 0.01" in lines
    assert USUAL.findall(lines) == []


@pytest.mark.slow
def test_a_stricter_level_widens_intervals_and_asks_for_larger_effects(store, tmp_path):
    usual = results(tmp_path / "u", TEXT.replace("alpha: 0.01", "alpha: 0.05"))
    here, there = (
        {
            r["contrast_id"]: r
            for r in json.loads(run("analyze", s.folder, "--json"))["inference"]
            if r["behavior"] == "factual"
        }
        for s in (store, usual)
    )
    for name in ("up", "kept", "moved"):
        assert here[name]["mde_80"] > there[name]["mde_80"]
    for name in ("up", "kept", "spread", "moved"):
        assert here[name]["estimate"] == there[name]["estimate"]
        assert here[name]["ci_low"] < there[name]["ci_low"]
        assert here[name]["ci_high"] > there[name]["ci_high"]
