"""`analyze --json` keeps the promise of docs/analyze.schema.json."""

import json
from copy import deepcopy
from dataclasses import fields

import jsonschema
import pytest

from orchestrator.analysis.analyze import ArmScore, analyze
from orchestrator.analysis.inference.record import Inference
from orchestrator.results.store import Store
from tests import ROOT
from tests.builders import a_failure, a_spec, filled
from tests.orchestrator.analysis.asking import keyed, scored
from tests.orchestrator.analysis.test_registered import THEN, launch, run, sweep

SCHEMA = json.loads((ROOT / "docs/analyze.schema.json").read_text())


def valid(body: dict) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(body)


@pytest.fixture
def body(tmp_path) -> dict:
    cells = [scored("baseline", 0.25), a_failure(a_spec(seed=9))]
    for seed in range(1, 7):
        cells.append(keyed("sft-only", 0.1 * seed, seed))
        for weight in (0.1, 0.2, 0.5):
            rho = None if (seed, weight) == (3, 0.5) else seed / 10 + weight * (1 + seed / 50)
            cells.append(keyed("rho-guided", rho, seed, rho_weight=weight))
    return json.loads(analyze([filled(tmp_path / "r", *cells)]).to_json())


def test_real_output_is_valid(body):
    valid(body)
    assert body["inference"]
    assert body["tables"]
    assert body["unscored"][0]["seed"] == 9


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["looks: [4, 6]", "anytime: true"])
def test_results_of_a_launch_are_valid(tmp_path, rule):
    text = sweep(weights="0.2, 0.4").replace("kind:", "family: f, kind:")
    text = text.replace("analysis:\n", f"analysis:\n  sequential: {{{rule}}}\n")
    run(tmp_path, launch(tmp_path, text))
    launch(tmp_path, text.replace("greater", "less"), THEN)
    found = json.loads(analyze([Store(tmp_path)]).to_json())
    valid(found)
    assert [len(c["compared"]) for c in found["contrasts"]["contrasts"]] == [2, 2]


def test_results_without_cells_are_valid_too(tmp_path):
    valid(json.loads(analyze([filled(tmp_path / "r")]).to_json()))


def test_the_schema_names_every_field(body):
    properties = SCHEMA["properties"]
    assert set(properties["inference"]["items"]["properties"]) == {
        f.name for f in fields(Inference)
    }
    assert set(properties["arms"]["items"]["properties"]) == {f.name for f in fields(ArmScore)}
    assert set(properties) == set(body)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("arms", 0, "n"), -1),
        (("arms", 0, "mean"), "0.1"),
        (("inference", 0, "verdict"), "proven"),
        (("inference", 0, "p"), None),
        (("inference", 0, "p"), 1.5),
        (("contrasts", "contrasts", 0, "sha256"), "x"),
        (("tables", 0, "rows", 0), [1]),
    ],
)
def test_what_breaks_the_promise_is_found(body, path, value):
    valid(body)
    broken = deepcopy(body)
    place = broken
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        valid(broken)
