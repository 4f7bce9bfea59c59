"""Claims that may be judged after every seed: by e-values, in the planned order of the seeds."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from orchestrator.analysis.inference.rows import inferences
from orchestrator.cells.choose import arms_of
from orchestrator.errors import SweepError
from orchestrator.results.registration import Registration, begin
from orchestrator.results.store import Store
from orchestrator.stats.beside.designs import Outlook, Reach
from tests.builders import a_result, expanded, parsed
from tests.orchestrator.analysis.test_axes import GUIDED, NOW, PLAIN, difference
from tests.orchestrator.analysis.test_axes import sweep as asking
from tests.orchestrator.analysis.test_effects import KEYS, drawn
from tests.orchestrator.analysis.test_frame import redrawn, tables_of
from tests.orchestrator.analysis.test_registered import LOOKS, launch, one, rho, rows, run, sweep

ANYTIME = LOOKS.replace("looks: [4, 8]", "anytime: true")


@pytest.mark.slow
def test_at_any_time_a_claim_is_judged_on_the_first_seeds_that_are_in(tmp_path):
    text = sweep(seeds=[8, *range(1, 8)]).replace("analysis:\n", ANYTIME)
    cells = launch(tmp_path, text)
    run(tmp_path, cells, lambda s: s.seed in (None, 8, 1))
    assert one(rows(tmp_path)).verdict == "interim"
    run(tmp_path, cells, lambda s: s.seed in (2, 3, 4, 7), effect=0.1)
    early = one(rows(tmp_path))
    assert (early.verdict, early.n_pairs, early.test) == ("supported", 5, "paired_anytime")
    assert early.ci_low > 0
    run(tmp_path, cells, effect=-0.1)
    last = one(rows(tmp_path))  # what was decided stays so
    assert (last.verdict, last.n_pairs, last.p) == ("supported", 8, early.p)
    assert last.estimate < early.estimate


def test_a_missing_seed_stops_the_clock(tmp_path):
    text = sweep(seeds=range(1, 9)).replace("analysis:\n", ANYTIME)
    run(tmp_path, launch(tmp_path, text), lambda s: s.seed != 1)
    found = one(rows(tmp_path))
    assert (found.verdict, found.p) == ("interim", None)


@pytest.mark.slow
def test_at_any_time_the_interval_and_the_p_agree_two_sided(tmp_path):
    text = sweep(seeds=range(1, 9)).replace("analysis:\n", ANYTIME)
    text = text.replace("alternative: greater", "alternative: two-sided")
    for name, effect in (("a", 0.1), ("b", 0.0)):
        run(tmp_path / name, launch(tmp_path / name, text), effect=effect)
        found = one(rows(tmp_path / name))
        assert (found.ci_low > 0 or found.ci_high < 0) == (found.p <= 0.05)
    assert found.verdict == "inconclusive"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noninferiority", "equivalence"])
@pytest.mark.parametrize("effect", [0.0, -0.5])
def test_at_any_time_a_margin_has_its_own_interval(tmp_path, kind, effect):
    text = sweep(seeds=range(1, 9)).replace("analysis:\n", ANYTIME)
    text = text.replace("alternative: greater", "sesoi: 0.05").replace("mean_diff", kind)
    run(tmp_path, launch(tmp_path, text), effect=effect)
    found = one(rows(tmp_path))
    assert found.verdict == ("supported" if effect == 0 else "contradicted")
    assert found.ci_level == 0.9
    inside = found.ci_low > -0.05 and (kind == "noninferiority" or found.ci_high < 0.05)
    assert inside == (found.p <= 0.05)


def test_at_any_time_an_arm_is_tested_against_its_baseline(tmp_path):
    text = sweep(seeds=range(1, 9)).replace("analysis:\n", ANYTIME)
    text = text.replace("kind: mean_diff", "kind: one_sample").replace(
        "b: {condition: sft-only}, ", ""
    )
    cells = launch(tmp_path, text)
    run(tmp_path, cells, lambda s: s.seed in (None, 1, 2, 3, 4, 5))
    found = one(rows(tmp_path))
    assert (found.verdict, found.n_a, found.test) == ("supported", 5, "one_sample_anytime")


def test_at_any_time_seeds_that_are_not_paired_have_no_test(tmp_path):
    text = sweep(seeds=range(1, 5)).replace("analysis:\n", ANYTIME)
    store = Store(tmp_path)
    for spec in launch(tmp_path, text):
        store.commit(a_result(spec, {("factual", "train"): rho(spec)}), attempts=1, ray=None)
    found = one(rows(tmp_path))
    assert (found.verdict, found.p, found.ci_low) == ("not_testable", None, None)
    assert "e-values are of paired seeds: no pairing key" in found.notes


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("anytime: true", "anytime: true, looks: [4, 8]", r"looks .*: is not used with anytime"),
        (
            "anytime: true",
            "anytime: true, spending: pocock",
            r"spending .*is not used with anytime",
        ),
        ("anytime: true", "anytime: false", r"anytime .*: must be True, got False"),
        ("anytime: true", "spending: pocock", r"sequential .*: needs looks, or anytime: true"),
        (
            "mean_diff",
            "sd_ratio",
            r"contrasts\[0\]\.kind .*: sd_ratio has no e-value; .*one_sample",
        ),
        ("id: up", "id: up, population: new_probes", r"population .*: must be new_seeds; .*paired"),
    ],
)
def test_what_cannot_be_asked_at_any_time_is_refused_with_the_reason(old, new, said):
    text = sweep().replace("analysis:\n", ANYTIME).replace(old, new)
    with pytest.raises(SweepError, match=said):
        parsed(text)


@pytest.mark.slow
def test_a_margin_pays_for_the_looks_before_it(tmp_path):
    text = sweep(seeds=range(1, 9)).replace("alternative: greater", "sesoi: 0.05")
    text = text.replace("mean_diff", "noninferiority")
    even, found = LOOKS.replace("8]", "8], spending: pocock"), {}
    for name, asked in (("one", text), ("two", text.replace("analysis:\n", even))):
        run(tmp_path / name, launch(tmp_path / name, asked), effect=-0.0554)
        found[name] = one(rows(tmp_path / name))
    assert (found["one"].verdict, found["two"].verdict) == ("contradicted", "inconclusive")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mean_diff", "noninferiority"])
def test_the_smallest_effect_pays_for_looking(tmp_path, kind):
    text = sweep(seeds=range(1, 9)).replace("mean_diff", kind)
    if kind == "noninferiority":
        text = text.replace("alternative: greater", "sesoi: 0.001")
    found = {}
    for name, rule in (("one", "analysis:\n"), ("looks", LOOKS), ("anytime", ANYTIME)):
        folder = tmp_path / name
        run(folder, launch(folder, text.replace("analysis:\n", rule)), effect=0.001)
        found[name] = one(rows(folder))
    assert found["one"].mde_80 < found["looks"].mde_80 < found["anytime"].mde_80
    assert all(r.mde_low < r.mde_80 < r.mde_high for r in found.values())
    assert found["one"].n_for_80 == found["looks"].n_for_80 < found["anytime"].n_for_80


def test_the_choice_is_registered_and_comes_back():
    text = sweep().replace("analysis:\n", ANYTIME)
    asked = begin(None, parsed(text).questions, arms_of(expanded(text).all), seen=(), now=NOW)
    plain = yaml.safe_load(yaml.safe_dump(asked.plain()))
    assert plain["contrasts"][0]["sequential"] == {"anytime": True}
    assert Registration.of({"analysis": plain}) == asked


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["two-sided", "greater", "one_sample", "noninferiority"])
def test_on_noise_a_claim_is_rarely_supported_after_any_seed(kind, monkeypatch):
    # the seeds that a claim would need decide nothing here, and take most of the time
    monkeypatch.setattr(Outlook, "reach", lambda *_: Reach())
    runs, seeds = 500, [*range(1, 13)]
    asked = difference(GUIDED, PLAIN, alternative=kind)
    if kind == "noninferiority":
        asked = difference(GUIDED, PLAIN, kind=kind, sesoi=0.1)
    elif kind == "one_sample":
        asked = difference(GUIDED, {}, kind=kind)
        del asked["b"]
    top = yaml.safe_load(asking([asked], seed=seeds))
    top["analysis"]["sequential"] = {"anytime": True}
    text = yaml.safe_dump(top)
    cells = expanded(text).all
    known = begin(None, parsed(text).questions, arms_of(cells), seen=(), now=NOW)
    results = []
    for spec in cells:
        result = a_result(spec, {("bias", split): 0.0 for split in ("train", "heldout")})
        key = None if spec.seed is None else KEYS["paired"](spec)
        measured = replace(result.measurements, pairing_key=key)
        results.append(replace(result, measurements=measured))
    tables, random, words = tables_of(*results), np.random.default_rng(17), []
    for _ in range(runs):
        draw, rhos = drawn(random), []
        for spec in cells:
            lower = 0.1 if kind == "noninferiority" and spec.hinge else 0.0
            alone = kind == "one_sample" and spec.seed is None
            rhos += [0.0 if alone else draw(spec, "bias") - lower] * 2
        (row,) = inferences(redrawn(tables, rhos), known, ())
        words.append(row.verdict)
    rate = np.mean([word == "supported" for word in words])
    assert rate <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)
    assert "not_testable" not in words
