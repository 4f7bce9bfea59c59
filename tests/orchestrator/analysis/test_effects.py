"""Effects against effects: interactions, two behaviours, and the best of several doses."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.inference.rows import inferences
from orchestrator.cells.choose import arms_of
from orchestrator.errors import SweepError
from orchestrator.results.registration import Registration, begin
from orchestrator.stats.beside.designs import Outlook, Reach
from tasks.contract.cell import CellResult, CellSpec
from tests.builders import a_result, expanded, parsed
from tests.orchestrator.analysis.test_axes import GUIDED, NOW, PLAIN, analyzed, planned, sweep
from tests.orchestrator.analysis.test_frame import frame_of, redrawn, tables_of

Rho = Callable[[CellSpec, str], float]
INTERACTION: dict[str, Any] = {
    "id": "q",
    "kind": "interaction",
    "a": GUIDED,
    "b": PLAIN,
    "between": {"train.epochs": [4, 1]},
    "behaviors": ["bias"],
}


@cache
def cells_of(text: str) -> tuple[CellSpec, ...]:
    return expanded(text).all


@cache
def registered(text: str) -> Registration:
    return begin(None, parsed(text).questions, arms_of(cells_of(text)), seen=(), now=NOW)


def scored_cells(text: str, rho: Rho, key: Callable[[CellSpec], str] | None) -> list[CellResult]:
    """Results of a sweep whose scores follow from cell and behaviour; paired by `key`."""
    cells = []
    for spec in cells_of(text):
        scores = {(b, s): rho(spec, b) for b, s in scores_of(spec)}
        result = a_result(spec, scores)
        named = key(spec) if key and spec.seed is not None else None
        cells.append(replace(result, measurements=replace(result.measurements, pairing_key=named)))
    return cells


def scores_of(spec: CellSpec) -> list[tuple[str, str]]:
    return [(b, s) for b in spec.probes.evaluate for s in ("train", "heldout")]


def rows_of(text: str, rho: Rho, key: Callable[[CellSpec], str] | None) -> list[Inference]:
    """The rows of such a sweep."""
    return list(inferences(frame_of(*scored_cells(text, rho, key)), registered(text), ()))


def drawn(random: np.random.Generator, effect: float = 0.0) -> Rho:
    """Noise of every seed, which all arms share in part; `effect` where hinge and 4 epochs meet."""
    shared: dict[int | None, float] = {}

    def rho(spec: CellSpec, _: str) -> float:
        common = shared.setdefault(spec.seed, float(random.normal(0, 0.2)))
        both = spec.hinge is not None and spec.train is not None and spec.train.epochs == 4
        own = 0.0 if spec.seed is None else float(random.normal(0, 0.1))
        return common + own + (effect if both else 0.0)

    return rho


def remembered(rho: Rho) -> tuple[Rho, dict[tuple[bool, int, int], float]]:
    """The same scores, and a note of them by hinge, epochs and seed."""
    seen: dict[tuple[bool, int, int], float] = {}

    def told(spec: CellSpec, behavior: str) -> float:
        if spec.train is None or spec.seed is None:
            return rho(spec, behavior)
        place = (spec.hinge is not None, spec.train.epochs, spec.seed)
        return seen.setdefault(place, rho(spec, behavior))

    return told, seen


KEYS: dict[str, Callable[[CellSpec], str] | None] = {
    "paired": lambda spec: f"{spec.seed}",
    "halves": lambda spec: f"{spec.seed} {spec.train and spec.train.epochs}",
    "other halves": lambda spec: f"{spec.seed} {spec.condition}",
    "none": None,
}


@pytest.mark.parametrize("pairing", KEYS)
def test_an_interaction_is_a_difference_of_differences(pairing):
    text = sweep([INTERACTION], **{"train.epochs": [1, 4]})
    rho, seen = remembered(drawn(np.random.default_rng(3), effect=1.0))
    (row,) = rows_of(text, rho, KEYS[pairing])
    a4, b4, a1, b1 = (
        np.array([seen[hinge, epochs, s] for s in range(1, 7)])
        for hinge, epochs in ((True, 4), (False, 4), (True, 1), (False, 1))
    )
    match pairing:
        case "paired":
            expected = stats.ttest_rel(a4 - b4, a1 - b1).pvalue
        case "halves":
            expected = stats.ttest_ind(a4 - b4, a1 - b1, equal_var=False).pvalue
        case "other halves":
            expected = stats.ttest_ind(a4 - a1, b4 - b1, equal_var=False).pvalue
        case _:
            parts = [x.var(ddof=1) / 6 for x in (a4, b4, a1, b1)]
            t = (a4 - b4 - a1 + b1).mean() / np.sqrt(sum(parts))
            df = sum(parts) ** 2 / sum(v**2 / 5 for v in parts)
            expected = 2 * stats.t.sf(abs(t), df)
    assert row.p == pytest.approx(expected)
    assert row.estimate == pytest.approx((a4 - b4 - a1 + b1).mean())
    assert (row.arm_a.count("minus"), row.arm_b.count("minus")) == (1, 1)
    assert row.verdict == "supported"
    assert len(row.arms) == 4
    assert row.mde_low < row.mde_80 < row.mde_high
    assert row.n_for_80 is not None


def test_the_effect_on_two_models_is_compared():
    asked = INTERACTION | {"between": {"model": ["other", "m"]}, "alternative": "greater"}
    text = sweep([asked], model=["m", "other"])

    def rho(spec: CellSpec, _: str) -> float:
        hinge = 0.5 if spec.hinge else 0.0
        own = 0.01 * np.sin(int(spec.cell_id[:6], 16))
        return own + (3 * hinge + 7 if spec.model.name == "other" else hinge)

    (row,) = rows_of(text, rho, lambda spec: f"{spec.seed} {spec.model.name}")
    assert (row.test, row.verdict) == ("welch", "supported")
    assert row.estimate == pytest.approx(1.0, abs=0.02)


def test_two_behaviours_of_an_arm_are_compared_with_and_without_b():
    asked = {"id": "q", "kind": "between_behaviors", "a": GUIDED}
    asked["between"] = {"behavior": ["factual", "bias"]}
    text = sweep([asked, asked | {"id": "r", "b": PLAIN}])

    def rho(spec: CellSpec, behavior: str) -> float:
        own = 0.05 * np.sin(int(spec.cell_id[:6], 16) + len(behavior))
        hinge = (1.0 if behavior == "factual" else 0.2) if spec.hinge else 0.0
        trained = 0.3 if spec.seed is not None else 0.0
        return hinge + trained + (own if spec.seed is not None else 0.0)

    alone, against = rows_of(text, rho, KEYS["paired"])
    assert [r.behavior for r in (alone, against)] == ["factual vs bias"] * 2
    assert [r.estimate for r in (alone, against)] == pytest.approx([0.8, 0.8], abs=0.06)
    assert [r.pairing for r in (alone, against)] == ["paired", "paired"]
    assert alone.verdict == against.verdict == "supported"
    assert (len(alone.arms), len(against.arms)) == (1, 2)


BEST: dict[str, Any] = {
    "id": "q",
    "kind": "best_of",
    "a": GUIDED,
    "b": PLAIN,
    "over": "rho_weight",
    "alternative": "greater",
    "behaviors": ["bias"],
}
WEIGHTS = [0.1, 0.2, 0.4, 0.8]


def dosed(random: np.random.Generator, effects: dict[float, float]) -> Rho:
    shared = drawn(random)

    def rho(spec: CellSpec, behavior: str) -> float:
        weight = spec.hinge.rho_weight if spec.hinge else 0.0
        return shared(spec, behavior) + effects.get(weight, 0.0)

    return rho


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_the_best_dose_pays_for_the_choice(alternative):
    text = sweep([BEST | {"alternative": alternative}], rho_weight=WEIGHTS)
    sign = -1 if alternative == "less" else 1
    seen: dict[tuple[float, int], float] = {}
    rho = dosed(np.random.default_rng(5), {0.4: 0.4 * sign})

    def told(spec: CellSpec, behavior: str) -> float:
        weight = spec.hinge.rho_weight if spec.hinge else 0.0
        return seen.setdefault((weight, spec.seed or 0), rho(spec, behavior))

    (row,) = rows_of(text, told, KEYS["paired"])
    arms = {w: np.array([seen[w, s] for s in range(1, 7)]) for w in (0.0, *WEIGHTS)}
    expected = stats.ttest_rel(arms[0.4], arms[0.0], alternative=alternative)
    wide = stats.ttest_rel(arms[0.4], arms[0.0]).confidence_interval(1 - 0.05 / 4)
    assert row.p == pytest.approx(4 * expected.pvalue)
    assert (row.ci_low, row.ci_high) == pytest.approx((wide.low, wide.high))
    assert "rho_weight=0.4" in row.notes[0]
    assert "w=0.4" in row.arm_a
    assert (row.arm_b, row.verdict) == ("sft-only", "supported")
    sd = (arms[0.4] - arms[0.0]).std(ddof=1)
    limit = stats.t.isf(0.05 / 4 / (2 if alternative == "two-sided" else 1), 5)
    found = stats.nct.sf(limit, 5, row.mde_80 / sd * 6**0.5)
    assert found == pytest.approx(0.8, abs=2e-3)


def test_no_dose_is_above_when_every_dose_is_below():
    text = sweep([BEST], rho_weight=WEIGHTS)
    down = dict.fromkeys(WEIGHTS, -0.6)
    (row,) = rows_of(text, dosed(np.random.default_rng(5), down), KEYS["paired"])
    assert row.verdict == "contradicted"
    mixed = down | {0.2: 0.0}
    (row,) = rows_of(text, dosed(np.random.default_rng(6), mixed), KEYS["paired"])
    assert row.verdict == "inconclusive"


def test_a_dose_that_b_names_is_the_reference_and_no_dose():
    asked = BEST | {"b": GUIDED | {"rho_weight": 0.1}}
    text = sweep([asked], rho_weight=WEIGHTS)
    (row,) = rows_of(text, dosed(np.random.default_rng(5), {0.4: 0.4}), KEYS["paired"])
    assert (row.arm_b.split()[1], row.verdict) == ("w=0.1", "supported")
    assert row.notes[0].startswith("the best of 3 doses is rho_weight=0.4")
    assert len(row.arms) == 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"between": {"train.epochs": [4]}}, "needs two values"),
        ({"between": {"train.epochs": [4, 1], "model": ["a", "b"]}}, "one field with two values"),
        ({"between": {"behavior": ["bias", "factual"]}}, "must be a field of the arms"),
        ({"between": {"condition": ["sft-only", "baseline"]}}, "no field that an arm"),
        ({"between": {"train.epochs": [4, 2]}}, "no cell of the grids has"),
        ({"kind": "between_behaviors", "behaviors": None}, "must be behavior"),
        ({"kind": "best_of", "over": "train.epochs"}, "between .*is not used by best_of"),
        ({"population": "new_probes"}, "interaction knows new_seeds only"),
    ],
)
def test_what_is_wrong_is_said(change, expected):
    asked = {k: v for k, v in (INTERACTION | change).items() if v is not None}
    with pytest.raises(SweepError, match=expected):
        parsed(sweep([asked], **{"train.epochs": [1, 4]}))


@pytest.mark.slow
def test_new_kinds_are_planned_as_they_are_tested():
    asked = [INTERACTION, BEST | {"id": "r"}]
    asked.append(INTERACTION | {"id": "s", "between": {"probes.train": [["bias"], ["factual"]]}})
    text = sweep(
        asked,
        **{
            "train.epochs": [1, 4],
            "rho_weight": [0.1, 0.2],
            "probes.train": [["bias"], ["factual"]],
        },
    )
    before = {(p.name, p.arms, p.problem) for p in planned(text)}
    after = {
        (r.name, r.arms, r.notes[0] if r.status == "missing" else None)
        for r in analyzed(text).inference
    }
    assert before == after
    assert any("ask mean_diff" in (problem or "") for *_, problem in after)


def test_an_interaction_survives_the_manifest():
    text = sweep([INTERACTION], **{"train.epochs": [1, 4]})
    (one,) = parsed(text).questions.contrasts
    again = type(one).from_dict(yaml.safe_load(yaml.safe_dump(one.plain())))
    assert again == one
    assert one.claim.endswith("is other with train.epochs=4 than with train.epochs=1")


@pytest.mark.slow
@pytest.mark.parametrize("pairing", ["paired", "halves", "none"])
@pytest.mark.parametrize("kind", ["interaction", "best_of"])
def test_new_kinds_are_calibrated_on_noise(kind, pairing, monkeypatch):
    # the seeds that a claim would need decide nothing here, and take most of the time
    monkeypatch.setattr(Outlook, "reach", lambda *_: Reach())
    runs = 400
    text = sweep([INTERACTION], **{"train.epochs": [1, 4]})
    if kind == "best_of":
        text = sweep([BEST], rho_weight=WEIGHTS)
    random = np.random.default_rng(11)
    tables = tables_of(*scored_cells(text, lambda *_: 0.0, KEYS[pairing]))
    found = []
    for _ in range(runs):
        rho = drawn(random)
        rhos = [rho(spec, behavior) for spec in cells_of(text) for behavior, _ in scores_of(spec)]
        (row,) = inferences(redrawn(tables, rhos), registered(text), ())
        found.append(row.p)
    rate = np.mean([p is not None and p <= 0.05 for p in found])
    assert rate <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)
