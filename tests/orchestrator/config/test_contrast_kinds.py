"""Each kind of contrast is declared once, and what a sweep file may say follows from it."""

import pytest
import yaml

from orchestrator.config.contrast_kinds import Compared, Kind, Margin, Population, Subject
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
    "population": "new_seeds",
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
    said = VALUES | {"alternative": str(min(kind.rules.alternatives))}
    found = {"kind": str(kind)} | {k: v for k, v in said.items() if k in kind.rules.allowed}
    match kind.rules.compares:
        case Compared.BEHAVIORS:
            found["between"] = {"behavior": ["toxicity", "bias"]}
        case Compared.TWO_PAIRS:
            found |= {"a": {"condition": "rho-guided"}, "b": {"condition": "rho-guided"}}
    return found


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_refuses_a_population_or_a_direction_that_its_test_does_not_have(kind):
    known = {"population": (Population, kind.rules.populations)}
    known["alternative"] = (Alternative, kind.rules.alternatives)
    for key, (values, allowed) in known.items():
        for value in values if key in kind.rules.allowed else ():
            said = complaint(**everything(kind) | {key: str(value)})
            assert (f"{key} (line" in said) == (value not in allowed)


def test_what_speaks_about_seeds_only_is_declared():
    seeds_only = {k for k in Kind if k.rules.populations == {Population.NEW_SEEDS}}
    assert {Kind.SD_RATIO, Kind.TREND, Kind.STRICT_MONOTONE, Kind.LINEARITY} <= seeds_only
    assert Population.BOTH in Kind.NONINFERIORITY.rules.populations


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
    if alternative not in kind.rules.alternatives:
        return
    text = yaml.safe_dump(
        HEAD | {"analysis": {"contrasts": [everything(kind) | {"alternative": str(alternative)}]}}
    )
    (contrast,) = parsed(text).questions.contrasts
    assert "condition=rho-guided" in contrast.claim
    assert "{" not in contrast.claim
    assert "  " not in contrast.claim


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_says_what_its_estimate_is(kind):
    said = kind.rules.estimate.format(a="x", b="y", step="x to y")
    assert said
    assert "{" not in said


def test_an_unknown_kind_is_the_only_complaint_about_its_keys():
    text = complaint(**everything(Kind.MEAN_DIFF) | {"kind": "mean_dif"})
    assert 'did you mean "mean_diff"?' in text
    assert "is not used" not in text


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_with_a_margin_is_about_scores_of_two_arms(kind):
    if kind.rules.margin is not Margin.OPTIONAL:
        assert kind.rules.about is Subject.SCORES
        assert {"a", "b", "sesoi"} <= kind.rules.needed
