"""Each kind of contrast is declared once, and what a sweep file may say follows from it."""

import pytest
import yaml

from orchestrator.config.contrast_kinds import Compared, Kind, Margin, Subject
from orchestrator.errors import SweepError
from orchestrator.stats.records import Alternative
from tests.builders import parsed

HEAD = {
    "name": "s",
    "model": "tiny",
    "grid": {
        "condition": ["sft-only", "rho-guided"],
        "rho_weight": [0.1, 0.2],
        "margin": [0.1],
        "seed": [1, 2],
    },
}
VALUES = {
    "a": {"condition": "rho-guided", "rho_weight": 0.2},
    "b": {"condition": "sft-only"},
    "over": "rho_weight",
    "between": {"rho_weight": [0.1, 0.2]},
    "behaviors": ["toxicity"],
    "split": "train",
    "prompts": "benign",
    "population": "new_probes",
    "alternative": "greater",
    "sesoi": 0.02,
}
"""A value for each key that a kind may take or need."""


def complaint(**contrast) -> str:
    """What the parser says of a sweep with one contrast; empty where it accepts it."""
    try:
        parsed(yaml.safe_dump(HEAD | {"analysis": {"contrasts": [contrast]}}))
    except SweepError as error:
        return str(error)
    return ""


def everything(kind: Kind) -> dict:
    found = {"kind": str(kind)} | {k: v for k, v in VALUES.items() if k in kind.rules.allowed}
    match kind.rules.compares:
        case Compared.BEHAVIORS:
            found["between"] = {"behavior": ["toxicity", "bias"]}
        case Compared.TWO_PAIRS:
            a = {"condition": "rho-guided"}
            found |= {"a": a, "b": a}
    return found


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_takes_all_that_it_allows_and_no_other_key(kind):
    assert complaint(**everything(kind)) == ""
    for key in VALUES.keys() - kind.rules.allowed:
        assert f"is not used by {kind}" in complaint(**everything(kind), **{key: VALUES[key]})


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_misses_what_it_needs_and_nothing_else(kind):
    for key in VALUES.keys() & kind.rules.allowed:
        rest = {k: v for k, v in everything(kind).items() if k != key}
        assert ("is missing" in complaint(**rest)) == (key in kind.rules.needed)


@pytest.mark.parametrize("kind", Kind)
def test_a_null_is_no_arm(kind):
    for key in ("a", "b"):
        if key in kind.rules.needed:
            assert f"{key} (line" in complaint(**everything(kind) | {key: None})


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("alternative", Alternative)
def test_every_kind_has_a_sentence_for_a_claim_that_nobody_wrote(kind, alternative):
    if kind.rules.directed and alternative is Alternative.TWO_SIDED:
        return
    text = yaml.safe_dump(
        HEAD | {"analysis": {"contrasts": [everything(kind) | {"alternative": str(alternative)}]}}
    )
    (contrast,) = parsed(text).questions.contrasts
    assert "condition=rho-guided" in contrast.claim
    assert "{" not in contrast.claim
    assert "  " not in contrast.claim


def test_an_unknown_kind_is_the_only_complaint_about_its_keys():
    text = complaint(**everything(Kind.MEAN_DIFF) | {"kind": "mean_dif"})
    assert 'did you mean "mean_diff"?' in text
    assert "is not used" not in text


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_with_a_margin_is_about_scores_of_two_arms(kind):
    if kind.rules.margin is not Margin.OPTIONAL:
        assert kind.rules.about is Subject.SCORES
        assert {"a", "b", "sesoi"} <= kind.rules.needed
