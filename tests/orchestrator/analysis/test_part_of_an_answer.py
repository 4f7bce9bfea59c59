"""Claims along an axis, and questions asked twice: nothing is supported that was known before."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orchestrator.analysis.analyze import Asked, analyze
from orchestrator.analysis.inference.record import KNOWN_BEFORE, OTHER_WAY, PART_AGAIN, Inference
from orchestrator.cells.choose import arms_of
from orchestrator.cli.show.claims import claim_lines
from orchestrator.config.contrasts import parse_questions
from orchestrator.config.yaml_lines import parse_yaml
from orchestrator.results.registration import begin
from orchestrator.results.store import Store
from tasks.contract.cell import CellSpec
from tests.builders import a_result, expanded, parsed
from tests.orchestrator.analysis.test_registered import NOISE, THEN, launch, one, rows, run, sweep


def along(name: str, kind: str, **more: object) -> str:
    """A contrast over the weights, about factual pairs."""
    fields = {"kind": kind, "a": {"condition": "rho-guided"}, "over": "rho_weight"} | more
    asked = {"id": name, "claim": name, **fields, "behaviors": ["factual"]}
    return f"    - {yaml.safe_dump(asked, default_flow_style=True, width=1000)}"


def pair(name: str, **more: object) -> str:
    """A contrast of rho-guided with sft-only."""
    fields = {"kind": "mean_diff", "a": {"condition": "rho-guided"}, "b": {"condition": "sft-only"}}
    asked = {"id": name, "claim": name, **fields, "behaviors": ["factual"], **more}
    return f"    - {yaml.safe_dump(asked, default_flow_style=True, width=1000)}"


def only(contrasts: str, **grid: object) -> str:
    """The sweep with these contrasts alone."""
    return sweep(**grid).partition("    - ")[0] + contrasts


def weight(spec: CellSpec) -> float:
    return spec.hinge.rho_weight if spec.hinge else 0.0


def give(folder: Path, cells, rho, which=bool, precision: str = "float32") -> None:
    """Results whose factual rho is `rho(spec)`, of paired seeds."""
    store = Store(folder)
    for spec in cells:
        if which(spec) and spec.cell_id not in store.done():
            result = a_result(spec, {(b, "train"): rho(spec) for b in ("bias", "factual")})
            key = replace(
                result.measurements, pairing_key=f"seed {spec.seed}", base_precision=precision
            )
            store.commit(replace(result, measurements=key), attempts=1, ray=None)


def noisy(slope: float, size: float = 0.2):
    return lambda s: slope * weight(s) + size * NOISE[((s.seed or 0) + int(10 * weight(s))) % 8]


def said(folder: Path, text: str) -> list[str]:
    """What a second launch with this file says."""
    earlier = yaml.safe_load((folder / "sweep.yaml").read_text())
    cells, seen = expanded(text).all, Store(folder).done()
    found = begin(earlier, parsed(text).questions, arms_of(cells), seen=seen, now=THEN)
    return found.news(THEN)


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        along("new", "trend", alternative="greater"),
        along("new", "strict_monotone", alternative="greater"),
        along("new", "linearity"),
        along("new", "best_of", alternative="greater", b={"condition": "sft-only"}),
    ],
    ids=["trend", "strict_monotone", "linearity", "best_of"],
)
def test_one_more_dose_does_not_register_what_the_other_doses_have_answered(tmp_path, asked):
    up = pair("up", a={"condition": "rho-guided", "rho_weight": 0.2}, alternative="greater")
    give(tmp_path, launch(tmp_path, only(up, weights="0.1, 0.2")), noisy(0.5))
    later = only(up + asked, weights="0.1, 0.2, 0.001")
    assert said(tmp_path, later) == [
        "new is exploratory: arms that it compares have results already (18 cells)"
    ]
    give(tmp_path, launch(tmp_path, later, THEN), noisy(0.5))
    assert {r.contrast_id for r in rows(tmp_path) if r.registered} == {"up"}


@pytest.mark.slow
def test_a_trend_is_registered_while_half_of_its_doses_are_open_and_says_so(tmp_path):
    give(tmp_path, launch(tmp_path, only(pair("up"))), noisy(0.5))
    text = only(along("new", "trend", alternative="greater"), weights="0.2, 0.3, 0.4")
    assert "registered before their results: new" in said(tmp_path, text)
    give(tmp_path, launch(tmp_path, text, THEN), noisy(0.5))
    row = one(rows(tmp_path), registered=True, contrast_id="new")
    assert (row.verdict, f"{KNOWN_BEFORE}2 of 4 arms" in row.notes) == ("supported", True)


@pytest.mark.slow
@pytest.mark.parametrize("last", [0.2, 0.4])
def test_a_trend_cannot_be_turned_round_while_doses_are_open(tmp_path, last):
    weights = "0.1, 0.2, 0.3, 0.4, 0.5"
    rises = only(along("tr", "trend", alternative="greater"), weights=weights)
    give(tmp_path, launch(tmp_path, rises), noisy(-0.5), lambda s: weight(s) <= last)
    falls = rises.replace("greater", "less")
    give(tmp_path, launch(tmp_path, falls, THEN), noisy(-0.5))
    found = rows(tmp_path)
    assert one(found, alternative="greater").verdict == "contradicted"
    later = one(found, alternative="less")
    assert later.registered == any(n.startswith(KNOWN_BEFORE) for n in later.notes) == (last < 0.3)


@pytest.mark.parametrize("kind", ["trend", "strict_monotone"])
@pytest.mark.parametrize(("step", "word"), [(3e-6, "identical"), (3e-2, "supported")])
def test_rounding_that_rises_with_the_dose_supports_nothing(tmp_path, kind, step, word):
    text = only(along("tr", kind, alternative="greater"), weights="0.1, 0.2, 0.5")
    cells = launch(tmp_path, text)
    give(tmp_path, cells, lambda s: NOISE[(s.seed or 0) % 8] + noisy(step, step / 10)(s))
    assert one(rows(tmp_path)).verdict == word


def test_a_number_of_another_tool_is_not_rounding_in_nats_per_token():
    from orchestrator.analysis.inference.families import settle
    from orchestrator.analysis.inference.question import Tested
    from tests.orchestrator.analysis.arms import a_row

    row = a_row(estimate=-1.5e-3, ci_low=-1.6e-3, ci_high=-1.4e-3, p=1e-6, alternative="less")
    foreign = replace(row, imported=True, behavior="harness:ece")
    words = [r.verdict for r in settle([Tested(row=r, floor=2e-3) for r in (row, foreign)], 0.05)]
    assert words == ["identical", "supported"]


@pytest.mark.slow
def test_a_supported_rise_whose_means_fall_says_so_and_is_below_the_relevant_size(tmp_path):
    text = only(along("tr", "trend", alternative="greater", sesoi=0.05), seeds=range(1, 9))
    text = text.replace("[0.2]", "[0.1, 0.2, 0.3, 0.4, 0.5]")

    def rho(spec: CellSpec) -> float:
        outlier = 5 if weight(spec) == 0.5 and spec.seed == 3 else 0
        return 0.2 * weight(spec) - outlier

    give(tmp_path, launch(tmp_path, text), rho)
    row = one(rows(tmp_path))
    assert (row.verdict, row.estimate < 0) == ("supported_small", True)
    assert OTHER_WAY in row.notes


def test_what_is_said_of_the_weakest_step_is_said_of_that_step(tmp_path):
    text = only(along("fall", "strict_monotone", alternative="less"), weights="0.1, 0.2, 0.3")
    give(tmp_path, launch(tmp_path, text), noisy(-0.4, 0.02))
    found = analyze([Store(tmp_path)])
    lines = " ".join(str(line) for _, line in claim_lines(found.inference))
    assert "factual: the weakest step, 0" in lines
    assert "from sft-only to" not in lines
    (view,) = (v for v in found.views if v.key == "T6 tests")
    row = next(r for r in view.rows if r["behavior"] == "factual")
    assert (row["p_strict"] > 0.99, row["monotone"]) == (True, None)


@pytest.mark.slow
def test_a_two_sided_claim_is_not_contradicted_before_its_last_look(tmp_path):
    looks = "analysis:\n  sequential: {looks: [3, 5, 8]}\n"
    text = only(pair("two", sesoi=0.1), seeds=range(1, 9)).replace("analysis:\n", looks)
    cells = launch(tmp_path, text)
    for n, word in ((5, "interim"), (8, "contradicted")):
        give(tmp_path, cells, noisy(0.0, 0.3), lambda s, n=n: (s.seed or 0) <= n)
        assert one(rows(tmp_path)).verdict == word


def explored(folder: Path, *asked: str) -> list[Inference]:
    text = "analysis:\n  contrasts:\n" + "".join(asked)
    questions = parse_questions(parse_yaml(text, "q.yaml", folder))
    return [*analyze([Store(folder)], Asked(questions=questions)).inference]


def test_a_strong_question_that_is_asked_often_carries_no_weak_one(tmp_path):
    run(tmp_path, launch(tmp_path, only(pair("up", behaviors=["bias"]), weights="0.2, 0.4")))
    weak = pair("weak", alternative="less")
    strong = [pair(f"s{n}", claim=f"strong {n}", alternative="greater") for n in range(20)]
    parts = [pair("some", a={"condition": "rho-guided", "rho_weight": 0.2}, alternative="greater")]
    once = [r for r in explored(tmp_path, weak, strong[0]) if not r.registered]
    often = [r for r in explored(tmp_path, weak, *strong, *parts) if not r.registered]
    assert {r.family_size for r in often} == {r.family_size for r in once} == {4}
    assert [r.p_adjusted for r in often][:2] == [r.p_adjusted for r in once][:2]


def test_a_part_of_a_registered_claim_that_is_asked_again_says_so(tmp_path):
    run(tmp_path, launch(tmp_path, only(pair("up"), weights="0.2, 0.4")))
    part = pair("part", a={"condition": "rho-guided", "rho_weight": 0.2})
    row = one(explored(tmp_path, part), registered=False)
    assert PART_AGAIN in row.notes


def test_the_notes_p_is_two_sided_in_every_row(tmp_path):
    run(tmp_path, launch(tmp_path, sweep(alternative="less")))
    run(tmp_path, launch(tmp_path, sweep() + pair("two"), THEN))
    (view,) = (v for v in analyze([Store(tmp_path)]).views if v.key == "T5")
    found = [r for r in view.rows if r["behavior"] == "factual"]
    assert len(found) > 1
    assert len({r["p"] for r in found}) == 1
