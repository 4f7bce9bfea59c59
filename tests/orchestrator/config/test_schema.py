"""The JSON Schema and the parser agree: presets pass both, wrong files pass neither."""

import jsonschema
import pytest

from orchestrator.config.checked import schema_of
from orchestrator.config.sweep_file import SweepFile, preset_text, presets
from orchestrator.config.yaml_lines import parse_yaml
from orchestrator.errors import SweepError
from tests.builders import parsed

GOOD = """\
name: good
model: m
grid:
  condition: [rho-guided]
  rho_weight: [0.1]
  margin: 0.1
  seed: [1]
  train.epochs: [1, 2]
"""
SCHEMA = jsonschema.Draft202012Validator(schema_of(SweepFile))
CONTRAST = "analysis: {contrasts: [{kind: KIND, a: {condition: rho-guided}}]}\n"
SEQUENTIAL = (
    "{}",
    "{anytime: false}",
    "{looks: [1, 5]}",
    "{spending: pocock}",
    "{anytime: true, spending: pocock}",
    "{anytime: true, looks: [4, 6]}",
)
WRONG = [
    *[GOOD.replace("good", n) for n in ("7", "../up", "[x]", "''")],
    *[GOOD.replace("model: m", t) for t in ("model: 3", "model: null", "modle: m", "model: ' '")],
    *[GOOD.replace("[rho-guided]", t) for t in ("[rho-guded]", "[]", "3", "[null]")],
    *[GOOD.replace("[0.1]", t) for t in ("[-0.1]", "[one]", "[true]", "yes")],
    *[GOOD.replace("seed: [1]", t) for t in ("seed: [-1]", "seed: [1.5]", "seed: [1, 1]")],
    *[GOOD.replace("train.epochs", t) for t in ("run.slots", "train.epoch", "stress.seed")],
    *[GOOD.replace("[1, 2]", t) for t in ("[0]", "1:30", "1_0", "[[1]]")],
    *[GOOD + f"train: {t}\n" for t in ("5", "{lora_rank: 0}", "{lora_rnk: 8}", "{lora_keys: []}")],
    *[GOOD + f"data: {t}\n" for t in ("{template: jinja}", "{size: 0}", "{trap_fraction: 2}")],
    *[GOOD + f"run: {t}\n" for t in ("{slots: 0}", "{grad_checkpoint: 1}", "{silence_s: 1}")],
    *[GOOD + CONTRAST.replace("KIND", t) for t in ("mean_diff", "trend", "tend", "one")],
    *[GOOD + f"analysis: {{sequential: {t}}}\n" for t in SEQUENTIAL],
    *["name: x\nmodel: m\n", "name: x\nmodel: m\ngrids: []\n", GOOD + "seed: 1\n"],
]


def refuses(text: str) -> bool:
    return not SCHEMA.is_valid(parse_yaml(text, "s.yaml", None).value)


@pytest.mark.parametrize("name", presets())
def test_every_preset_passes_the_schema(name):
    SCHEMA.validate(parse_yaml(preset_text(name), name, None).value)


def test_the_schema_is_one_and_a_right_file_passes_both():
    jsonschema.Draft202012Validator.check_schema(SCHEMA.schema)
    assert not refuses(GOOD)
    assert parsed(GOOD).named == 2
    assert len(WRONG) >= 30


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_refused_by_schema_and_parser(text):
    assert refuses(text)
    with pytest.raises(SweepError):
        parsed(text)
