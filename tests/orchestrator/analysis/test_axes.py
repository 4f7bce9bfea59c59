"""Contrasts over any axis of a grid: what can be planned is tested, and both say the same why."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from orchestrator.analysis.analyze import Analysis, analyze_frame
from orchestrator.cells.choose import arms_of
from orchestrator.config.contrast_kinds import Compared, Kind, Subject
from orchestrator.config.sweep_file import as_text, load
from orchestrator.errors import SweepError
from orchestrator.inspection.plan_power import Power, power_of
from orchestrator.results.registration import Registration, begin
from tasks.contract.cell import CellResult, CellSpec
from tests.builders import a_result, a_spec, expanded, parsed
from tests.orchestrator.analysis.test_answers import NO, ask, stressed
from tests.orchestrator.analysis.test_frame import frame_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEEDS = [1, 2, 3, 4, 5, 6]
HINGE = {"rho_weight": [0.2], "margin": [0.1]}
GUIDED = {"condition": "rho-guided"}
PLAIN = {"condition": "sft-only"}


def sweep(contrasts: list[dict[str, Any]], **axes: Any) -> str:
    grid = {"condition": ["sft-only", "rho-guided"], **HINGE, "seed": SEEDS, **axes}
    top: dict[str, Any] = {"name": "s", "grid": grid, "analysis": {"contrasts": contrasts}}
    top["probes"] = {"evaluate": ["bias", "factual"], "train": ["bias", "factual"]}
    return yaml.safe_dump(top if "model" in axes else top | {"model": "m"})


def effect_of(spec: CellSpec) -> float:
    """Epochs, hinge, model and refusals each move the score; seeds differ a little."""
    found = 0.3 if spec.model.name == "other" else 0.0
    if spec.train is not None:
        found += 0.1 * spec.train.epochs + 1e3 * spec.train.learning_rate
        found += 0.02 * np.sin(int(spec.cell_id[:6], 16))
    if spec.data is not None:
        found += spec.data.refusal_fraction + (0.7 if spec.data.sft == "alpaca" else 0.0)
    return found + (0.5 if spec.hinge else 0.0)


def finished(spec: CellSpec, rho: Callable[[CellSpec], float] = effect_of) -> CellResult:
    splits = ("train", "heldout") if spec.probes.heldout else ("train",)
    scores = {(b, s): rho(spec) for b in spec.probes.evaluate for s in splits}
    result = a_result(spec, scores)
    key = None if spec.seed is None else f"seed {spec.seed} of {spec.model.name}"
    return replace(result, measurements=replace(result.measurements, pairing_key=key))


def registered(text: str) -> Registration:
    return begin(None, parsed(text).questions, arms_of(expanded(text).all), seen=(), now=NOW)


def analyzed(text: str) -> Analysis:
    asked = registered(text)
    return analyze_frame(frame_of(*(finished(s) for s in expanded(text).all)), asked)


def planned(text: str) -> list[Power]:
    return power_of(parsed(text).questions, expanded(text).all)


def difference(a: dict[str, Any], b: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "q", "kind": "mean_diff", "a": a, "b": b, "behaviors": ["bias"]} | more


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "values", "expected"),
    [
        ("train.epochs", (4, 1), 0.3),
        ("train.learning_rate", (3e-4, 1e-4), 0.2),
        ("data.refusal_fraction", (0.2, 0.1), 0.1),
        ("data.sft", ("alpaca", "starter"), 0.7),
    ],
)
def test_two_values_of_an_axis_are_compared(field, values, expected):
    text = sweep([difference(*(GUIDED | {field: v} for v in values))], **{field: list(values)})
    (row,) = analyzed(text).inference
    assert row.status == "ok"
    assert row.estimate == pytest.approx(expected, abs=0.06)
    assert row.verdict == "supported"
    assert [f"{field}=" in label for label in (row.arm_a, row.arm_b)] == [True, True]


def test_two_models_are_compared_by_their_changes_and_the_row_says_so():
    text = sweep(
        [difference(GUIDED | {"model": "other"}, GUIDED | {"model": "m"})], model=["m", "other"]
    )
    found = analyzed(text)
    (row,) = found.inference
    assert row.estimate == pytest.approx(0.0, abs=0.06)  # the models differ, their changes do not
    assert "change from its own untrained model" in row.notes[0]
    labels = {e.label for e in found.evidence if not e.condition.trains}
    assert labels == {"baseline model=m", "baseline model=other"}


def test_without_a_baseline_of_each_model_the_row_says_whose_is_missing():
    text = sweep(
        [difference(GUIDED | {"model": "other"}, GUIDED | {"model": "m"})], model=["m", "other"]
    )
    asked = registered(text)
    cells = [s for s in expanded(text).all if s.condition.trains or s.model.name == "m"]
    (row,) = analyze_frame(frame_of(*map(finished, cells)), asked).inference
    assert row.notes[0].startswith("no score of the untrained model of rho-guided")
    assert "model=other" in row.notes[0]


def test_only_what_the_contrast_does_not_vary_must_agree():
    asked = difference(GUIDED | {"train.epochs": 4}, PLAIN | {"train.epochs": 1})
    text = sweep([asked], **{"train.epochs": [1, 4], "train.learning_rate": [1e-4, 3e-4]})
    rows = analyzed(text).inference
    assert [r.which for r in rows] == ["train.learning_rate=0.0001", "train.learning_rate=0.0003"]
    assert [r.estimate for r in rows] == pytest.approx([0.8, 0.8], abs=0.06)


def test_each_of_several_arms_has_its_name_in_row_plan_claim_and_figure():
    text = sweep([difference(GUIDED, PLAIN)], **{"train.epochs": [1, 4]})
    found = analyzed(text)
    names = ["q [train.epochs=1]", "q [train.epochs=4]"]
    assert [r.name for r in found.inference] == names
    assert [p.name for p in planned(text)] == names
    claims = next(v for v in found.views if v.name == "claims")
    assert [r["contrast_ids"] for r in claims.rows] == names
    assert [r["claim"].rpartition(" ")[2] for r in claims.rows] == [
        "[train.epochs=1]",
        "[train.epochs=4]",
    ]


def test_a_reason_says_which_setting_has_no_partner():
    text = yaml.safe_dump(
        {
            "name": "s",
            "model": "m",
            "grids": [
                {"condition": "rho-guided", **HINGE, "seed": SEEDS, "train.epochs": [4]},
                {"condition": "sft-only", "seed": SEEDS, "train.epochs": [1]},
            ],
            "analysis": {"contrasts": [difference(GUIDED, PLAIN)]},
        }
    )
    (row,), (power,) = analyzed(text).inference, planned(text)
    assert row.notes == ("no scored cell has condition=sft-only with a's train.epochs=4",)
    assert power.warning == row.notes[0].replace("scored", "planned")


def test_a_reason_says_what_would_name_one_arm_only():
    text = sweep([difference(PLAIN, GUIDED)], rho_weight=[0.1, 0.2])
    (row,) = analyzed(text).inference
    assert row.notes == ("2 arms have condition=rho-guided; name rho_weight",)


def test_an_arm_is_compared_with_the_untrained_model_by_another_kind():
    text = sweep(
        [difference(GUIDED, {"condition": "baseline"})], condition=["rho-guided", "baseline"]
    )
    (row,), (power,) = analyzed(text).inference, planned(text)
    assert "one_sample" in row.notes[0]
    assert row.verdict == "not_testable"
    assert power.warning == row.notes[0]


def test_behaviours_that_train_nothing_do_not_keep_arms_apart():
    text = sweep(
        [
            difference(GUIDED, PLAIN),
            difference(
                PLAIN | {"probes.train": ["bias"]}, GUIDED | {"probes.train": ["bias"]}, id="r"
            ),
        ],
        **{"probes.train": [["bias"], ["factual"]]},
    )
    rows = analyzed(text).inference
    assert [r.name for r in rows] == ["q [probes.train=bias]", "q [probes.train=factual]", "r"]
    assert all(r.status == "ok" for r in rows)


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["train.epochs", "data.refusal_fraction"])
@pytest.mark.parametrize("kind", ["trend", "strict_monotone", "linearity"])
def test_doses_lie_along_any_ordered_axis(kind, axis):
    values = {"train.epochs": [1, 3, 8], "data.refusal_fraction": [0, 0.3, 0.9]}[axis]
    asked = {"id": "q", "kind": kind, "a": PLAIN, "over": axis, "behaviors": ["bias"]}
    if kind != "linearity":
        asked["alternative"] = "greater"
    (row,) = analyzed(sweep([asked], **{axis: values})).inference
    assert len(row.arms) == 3
    assert row.verdict == ("supported" if kind != "linearity" else "inconclusive")


def test_a_mix_that_takes_all_texts_is_a_dose_by_their_number():
    asked = {"id": "q", "kind": "trend", "a": PLAIN, "over": "data.size", "behaviors": ["bias"]}
    text = sweep([asked], **{"data.size": [20, 50, None]})
    found = analyzed(text)
    (row,) = found.inference
    assert (row.status, len(row.arms)) == ("ok", 3)
    assert "data.size=None" in row.arm_b  # the builders' source has 100 texts


def test_an_axis_without_order_has_no_doses():
    asked = {"id": "q", "kind": "trend", "a": PLAIN, "over": "data.sft"}
    with pytest.raises(SweepError, match=r"over .*must be one of rho_weight, margin, train"):
        parsed(sweep([asked]))


def test_a_null_that_stands_for_another_value_names_no_arm():
    with pytest.raises(SweepError, match="null names no arm"):
        parsed(sweep([difference(GUIDED | {"train.pairs_per_step": None}, PLAIN)]))


def test_paths_in_a_contrast_are_taken_from_the_files_folder(tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"text": "x"}\n')
    (tmp_path / "models" / "one").mkdir(parents=True)
    text = sweep(
        [
            difference(
                *(
                    GUIDED | {"data.sft": d, "model": "models/one"}
                    for d in ("mine.jsonl", "starter")
                )
            )
        ],
        **{"data.sft": ["mine.jsonl", "starter"], "model": ["models/one"]},
    )
    path = tmp_path / "s.yaml"
    path.write_text(text)
    found = load(str(path))
    (contrast,) = found.questions.contrasts
    assert dict(contrast.a)["data.sft"] == str(tmp_path / "mine.jsonl")
    assert dict(contrast.a)["model"] == str(tmp_path / "models" / "one")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "s.yaml").write_text(as_text(found))
    assert load(str(elsewhere / "s.yaml")).questions == found.questions


def test_refusals_of_two_values_of_an_axis_are_compared(tmp_path):
    answers = []
    for epochs, texts in ((1, ["yes", "yes", "yes", NO, "yes"]), (2, [NO, NO, NO, NO, "yes"])):
        spec = a_spec("rho-guided", epochs=epochs)
        scores = {("refusal", "heldout"): 0.1}
        answers.append((a_result(spec, scores, weights=f"{epochs}".encode()), texts))
    a, b = (GUIDED | {"train.epochs": e} for e in (2, 1))
    row = ask(stressed(tmp_path / "r", answers), kind="prop_diff", a=a, b=b)
    assert (row.estimate, row.test) == (pytest.approx(0.75), "mcnemar_exact")


AXES = {
    "train.epochs": [1, 2],
    "data.size": [20, None],
    "data.refusal_fraction": [0.0, 0.5],
    "probes.train": [["bias"], ["factual"]],
    "rho_weight": [0.1, 0.2],
    "model": ["m", "other"],
    "probes.evaluate": [["bias"], ["bias", "factual"]],
    "probes.heldout": [0.0, 0.25],
}
KINDS = [kind for kind in Kind if kind.rules.about is Subject.SCORES]
CONDITIONS = ["baseline", "sft-only", "rho-guided", "contrastive-only"]


@st.composite
def questions(draw: st.DrawFn) -> str:
    """A small grid, and contrasts that name some of its axes."""
    axes = draw(st.lists(st.sampled_from(sorted(AXES)), max_size=3, unique=True))
    grid = {a: draw(st.lists(st.sampled_from(AXES[a]), min_size=1, unique_by=str)) for a in axes}
    conditions = draw(st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=3, unique=True))

    def arm() -> dict[str, Any]:
        named = draw(st.lists(st.sampled_from(axes), unique=True)) if axes else []
        values = {a: draw(st.sampled_from(grid[a])) for a in named}
        return {"condition": draw(st.sampled_from(conditions)), **values}

    def contrast(number: int) -> dict[str, Any]:
        kind = draw(st.sampled_from(KINDS))
        rules = kind.rules
        found: dict[str, Any] = {"id": f"q{number}", "kind": str(kind)}
        found |= {key: arm() for key in ("a", "b") if key in rules.needed}
        if "sesoi" in rules.needed:
            found["sesoi"] = 0.1
        if "over" in rules.needed:
            found["over"] = draw(st.sampled_from(["train.epochs", "rho_weight", "data.size"]))
        if rules.compares is Compared.TWO_PAIRS:
            axis = draw(st.sampled_from(sorted(AXES)))
            found["between"] = {axis: AXES[axis]}
        if rules.compares is Compared.BEHAVIORS:
            found["between"] = {"behavior": ["factual", "bias"]}
        if len(rules.alternatives) == 2:
            found["alternative"] = draw(st.sampled_from(sorted(map(str, rules.alternatives))))
        if "population" in rules.allowed:
            found["population"] = draw(st.sampled_from(sorted(map(str, rules.populations))))
        return found | draw(st.sampled_from([{}, {"split": "train"}, {"split": "heldout"}]))

    asked = [contrast(i) for i in range(draw(st.integers(1, 3)))]
    return sweep(asked, condition=conditions, **({"seed": [1, 2]} | grid))


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much],
)
@given(questions())
def test_what_is_planned_is_what_is_tested_or_both_say_the_same_reason(text):
    try:
        parsed(text)
    except SweepError:
        reject()
    before = {(p.name, p.behavior): (p.arms, p.problem) for p in planned(text)}
    after = {
        (r.name, r.behavior): (r.arms, r.notes[0] if r.status == "missing" else None)
        for r in analyzed(text).inference
    }
    assert before.keys() == after.keys()
    for key, (arms, problem) in before.items():
        assert arms == after[key][0]
        assert (problem or "").replace("planned", "scored") == (after[key][1] or "")
