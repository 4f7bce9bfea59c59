"""What a launch would do, without doing any of it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from orchestrator.cells import resolve as resolving
from orchestrator.cells.load import resolve
from orchestrator.cells.model_size import KNOWN, Sizes
from orchestrator.config.sweep_file import load
from orchestrator.errors import SweepError, UserError
from orchestrator.inspection import plan as planning
from orchestrator.inspection.plan import Plan, describe, plan
from orchestrator.results.manifest import HEAD
from tasks.contract.cell import Condition, NodeError, Status
from tasks.data import probe_packs
from tasks.sources.declared import HubFiles, Source
from tasks.sources.model_files import read_folder
from tasks.starter import TINY
from tests import ROOT
from tests.answers import a_unit, answered, keep
from tests.builders import a_result, a_spec, filled, model_folder, parsed
from tests.orchestrator.cluster.hostile import rho_sweep
from tests.toys import make_model

PUBLISHED = ("dose-response", "ablation", "no-margin")
SWEEP = """\
name: s
model: {model}
grid:
  condition: [rho-guided]
  rho_weight: [0.1, 0.2]
  margin: [0.1]
  seed: [1, 2, 3]
data: {{size: 20, trap_fraction: 0.2}}
run: {{slots: 2}}
"""


@pytest.fixture
def model(tmp_path) -> Path:
    return model_folder(tmp_path / "model")


@pytest.fixture
def text(model) -> str:
    return SWEEP.format(model=model)


def planned(text: str, root: Path) -> Plan:
    return plan([parsed(text)], root)


def everything_under(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.slow
@pytest.mark.usefixtures("no_hub")
def test_the_published_campaign_is_45_named_35_distinct_and_one_baseline(tmp_path):
    found = plan([load(name) for name in PUBLISHED], tmp_path)
    assert (found.named, len(found.cells), len(found.baselines)) == (45, 35, 1)
    assert describe(found)[0] == "cells    45 named, 35 distinct, plus 1 baseline"
    assert plan([load("published")], tmp_path).cells == found.cells


@pytest.mark.parametrize("harm", ["cells: {}\nanalysis: {contrasts: []}\n", "cells:\n", "[\n"])
def test_a_damaged_manifest_of_earlier_results_is_one_line_of_the_plan(text, tmp_path, harm):
    path = tmp_path / "results/s/sweep.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(HEAD + harm)
    (line,) = planned(text, tmp_path / "results").claims
    assert line.startswith(f"{path}: ")


def test_damaged_results_of_another_sweep_are_a_note_and_own_ones_an_error(text, tmp_path):
    root, spec = tmp_path / "results", a_spec()
    for name in ("other", "s"):
        path = filled(root / name, a_result(spec)).path("cells", spec.cell_id)
        path.write_bytes(b"garbage")
        if name == "other":
            assert any(n.startswith(f"passed over: {path}: ") for n in planned(text, root).notes)
        else:
            with pytest.raises(UserError, match=f"{path}: corrupted"):
                planned(text, root)


@pytest.mark.usefixtures("no_hub")
def test_what_is_not_here_is_said_and_its_cells_are_provisional(tmp_path):
    found = plan([load("dose-response")], tmp_path)
    assert [m.split()[1].split("@")[0] for m in found.missing] == [
        "Qwen/Qwen2.5-7B-Instruct",
        "tatsu-lab/alpaca",
    ]
    assert found.memory == {}
    assert all(c["provisional"] for c in json.loads(found.to_json())["cells"])
    lines = describe(found)
    assert any(line.endswith("launch fetches it (14.2 GiB)") for line in lines)
    (memory,) = (line for line in lines if line.startswith("memory   up to "))
    assert "GiB a cell (every text as long as train.max_length allows); " in memory
    assert any("of adapters, 14.2 GiB of models to download; " in line for line in lines)
    assert any("at 10 TFLOP/s the arithmetic alone takes at most" in line for line in lines)


@pytest.mark.usefixtures("no_hub")
def test_a_pack_of_the_hub_that_is_not_here_is_said_and_a_launch_asks_for_it_once(
    tmp_path, monkeypatch
):
    files = HubFiles(repo="me/pairs", revision="0" * 40, pattern="*.jsonl")
    mine = Source(name="mine", delivery=files, read=lambda _: ())
    monkeypatch.setattr(probe_packs, "PACKS", (*probe_packs.PACKS, mine))
    asked, find = [], HubFiles.find

    def watched(self, *, download):
        asked.append(download)
        if download:
            raise NodeError("the hub did not give it")
        return find(self, download=download)

    monkeypatch.setattr(HubFiles, "find", watched)
    text = "name: s\nmodel: tiny\nprobes: {pack: mine, train: [b], evaluate: [b]}\n"
    text += "grid: {condition: [rho-guided, sft-only], rho_weight: 1, margin: 0, seed: [1, 2]}\n"
    found = plan([parsed(text)], tmp_path)
    assert [m.split("@")[0] for m in found.missing] == ["dataset me/pairs"]
    assert all(c["provisional"] for c in json.loads(found.to_json())["cells"])
    assert describe(found)
    assert asked == [False]
    with pytest.raises(SweepError, match="the hub did not give it") as error:
        resolve(parsed(text), download=True)
    assert len(error.value.problems) == 1
    assert asked == [False, True]


def test_the_size_of_a_model_that_is_not_here_is_that_of_its_weights():
    """Embedding and head, and of each layer the projections, their biases and two norms."""
    for config, weight_bytes in KNOWN.values():
        size = {k: v for k, v in config.items() if isinstance(v, int)}
        hidden, inner = size["hidden_size"], size["intermediate_size"]
        keys = hidden // size["num_attention_heads"] * size["num_key_value_heads"]
        attention = 2 * hidden * (hidden + keys) + hidden + 2 * keys
        layer = attention + 3 * hidden * inner + 2 * hidden
        values = 2 * size["vocab_size"] * hidden + size["num_hidden_layers"] * layer + hidden
        assert weight_bytes == 2 * values


@pytest.mark.parametrize(("free", "says"), [(1 << 40, "2 at once fit here"), (1, "0 of 2 fit")])
def test_a_plan_says_how_many_cells_fit_into_the_memory(tmp_path, text, free, says):
    found = replace(planned(text, tmp_path), free=(free, 1 << 40), gpu=None)
    (memory,) = (line for line in describe(found) if line.startswith("memory"))
    assert says in memory
    (disk,) = (line for line in describe(found) if line.startswith("disk"))
    assert disk.endswith("of adapters; 1024.0 GiB free here")
    assert found.adapters > 0


def test_hours_at_full_speed_stand_in_until_a_cell_has_taught_better(tmp_path, monkeypatch, text):
    sweep = load("quickstart")
    assert json.loads(plan([sweep], tmp_path).to_json())["full_speed_s"] is None
    monkeypatch.setattr(planning, "chip", lambda: "Apple M1 Ultra")
    found = plan([sweep], tmp_path)
    full = found.full_speed_s("Apple M1 Ultra")
    assert 0 < full < found.full_speed_s("Apple M1")
    assert json.loads(found.to_json())["full_speed_s"] == full
    (line,) = (text for text in describe(found) if text.startswith("time "))
    assert line.endswith(f" at the full speed of this GPU, with {found.slots} at once")
    assert not any("full speed" in line for line in describe(replace(found, seconds=3.0)))
    mixture = text.replace(str(tmp_path / "model"), str(make_model(tmp_path / "x", "qwen3_moe")))
    assert planned(mixture, tmp_path).full_speed_s("Apple M1") is None  # of other matrices


def test_plan_touches_nothing(tmp_path, text):
    before = everything_under(tmp_path)
    planned(text, tmp_path / "results")
    assert everything_under(tmp_path) == before
    assert not (tmp_path / "results").exists()


def test_json_lists_every_cell_with_every_field(tmp_path, text):
    body = json.loads(planned(text, tmp_path).to_json())
    assert (body["named"], body["distinct"], body["baselines"], body["done"]) == (6, 6, 1, 0)
    assert (body["slots"], body["seeds_of_smallest_arm"]) == (2, 3)
    assert [c["condition"] for c in body["cells"]] == ["baseline"] + ["rho-guided"] * 6
    first = body["cells"][1]
    assert {"cell_id", "arm_id", "label", "done", "provisional", "train", "hinge", "seed"} <= set(
        first
    )
    assert (first["seed"], first["hinge"]["rho_weight"], first["provisional"]) == (1, 0.1, False)
    assert len({c["cell_id"] for c in body["cells"]}) == 7
    assert len({c["arm_id"] for c in body["cells"]}) == 3


def test_cells_done_anywhere_under_the_root_are_counted_once(tmp_path, text):
    cells = planned(text, tmp_path / "results").cells
    filled(tmp_path / "results/a", a_result(cells[0]), a_result(cells[1]))
    filled(tmp_path / "results/b", a_result(cells[1]), a_result(cells[2], status=Status.DIVERGED))
    found = planned(text, tmp_path / "results")
    assert found.done == {c.cell_id for c in cells[:3]}
    done = [c for c in json.loads(found.to_json())["cells"] if c["done"]]
    assert {c["cell_id"] for c in done} == found.done
    assert describe(found)[1] == "done     3 already have a result"


def test_time_left_follows_from_cells_of_the_same_model(tmp_path, text):
    first = planned(text, tmp_path / "results")
    assert first.left_s is None
    assert any("not known before a first cell" in line for line in describe(first))
    result = a_result(first.cells[0])
    object.__setattr__(result.measurements, "train_s", 100.0)
    filled(tmp_path / "results/a", result)
    found = planned(text, tmp_path / "results")
    assert found.left_s == pytest.approx(100.0 * 6 / 2)
    assert any("about 5 min with 2 at once" in line for line in describe(found))
    filled(tmp_path / "results/b", *(a_result(c) for c in (*first.cells, *first.baselines)))
    assert planned(text, tmp_path / "results").left_s == 0


@pytest.mark.parametrize(
    ("seeds", "p", "says"),
    [
        ("[1]", 1.0, "6 is the fewest"),
        ("[1, 2, 3, 4, 5]", 0.0625, "6 is the fewest for p < 0.05"),
        ("[1, 2, 3, 4, 5, 6]", 0.03125, "6 paired seeds cannot go below p = 0.03125"),
    ],
)
def test_the_smallest_attainable_p_follows_from_the_seeds(tmp_path, text, seeds, p, says):
    found = planned(text.replace("[1, 2, 3]", seeds), tmp_path)
    assert found.smallest_p == p
    assert says in describe(found)[-1]
    assert ("6 is the fewest" in describe(found)[-1]) == (p >= 0.05)


def test_baselines_alone_have_no_p(tmp_path, model):
    found = planned(f"name: b\nmodel: {model}\ngrid: {{condition: baseline}}\n", tmp_path)
    assert found.smallest_p is None
    assert json.loads(found.to_json())["smallest_attainable_p"] is None


def test_memory_grows_with_the_texts(tmp_path, text, model):
    shutil.rmtree(model)
    make_model(model)
    found = planned(text.replace("[rho-guided]", "[rho-guided, sft-only]"), tmp_path)
    by_condition = {c.condition: found.memory[c.cell_id] for c in found.cells}
    assert by_condition[Condition.RHO_GUIDED] >= by_condition[Condition.SFT_ONLY] > 0
    shorter = planned(text + "train: {max_length: 8}\n", tmp_path)
    assert max(shorter.memory.values()) < max(found.memory.values())


@pytest.mark.parametrize(
    "sizes",
    [
        {"d_model": 2, "n_layers": 2, "vocab_size": 3, "intermediate_size": [4, 8]},
        {"n_embd": 2, "n_layer": 2, "vocab_size": 3},
        {"text_config": {"hidden_size": 2, "num_hidden_layers": 2, "vocab_size": 3}},
        {"text_config": None, "hidden_size": 2, "num_hidden_layers": 2, "vocab_size": 3},
        {"text_config": {"hidden_size": 2, "num_hidden_layers": 2}},
        {},
    ],
)
def test_sizes_are_found_under_the_names_that_models_use(model, sizes):
    (model / "config.json").write_text(json.dumps({"model_type": "gptj"} | sizes))
    found = Sizes.of(read_folder(model))
    assert (found.hidden, found.layers, found.vocabulary) == (2, 2, 3)


@pytest.mark.parametrize("name", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_a_size_of_null_is_a_clear_error_whatever_the_tensors_say(tmp_path, text, model, name):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {name: None}))
    with pytest.raises(SweepError, match=rf"config\.json: no {name} in it"):
        planned(text, tmp_path)


def test_a_model_whose_size_is_unknown_is_a_clear_error(tmp_path, text, model):
    (model / "config.json").write_text('{"model_type": "gptj"}')
    names = (f"model.layers.0.self_attn.{p}_proj.weight" for p in "qkvo")
    save_file({n: np.zeros((2, 2), np.float32) for n in names}, model / "model.safetensors")
    with pytest.raises(SweepError, match=r"config.json: no hidden_size in it"):
        planned(text, tmp_path)


def test_a_model_that_changes_between_two_plans_is_read_anew(tmp_path):
    model = shutil.copytree(TINY, tmp_path / "model")
    text = f"name: s\nmodel: {model}\ngrid: {{condition: [sft-only], seed: [1]}}\n"
    path = model / "tokenizer_config.json"
    rendered = []
    for greeting in ("", "hello "):
        content = json.loads(path.read_text())
        content["chat_template"] = greeting + content["chat_template"]
        path.write_text(json.dumps(content))
        (cell,) = resolve(parsed(text), download=False)[0].cells
        rendered.append(cell.data.rendered)
    assert rendered[0] != rendered[1]


@pytest.mark.slow
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "2", [], [0], ["2", 2], {"a": 1}, 10**400])
@pytest.mark.parametrize("name", ["hidden_size", "num_attention_heads", "vocab_size"])
def test_a_size_that_is_none_is_named_with_its_value(tmp_path, text, model, name, value):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {name: value}))
    with pytest.raises(SweepError, match=rf"config.json: {name} must be a whole number above 0"):
        planned(text, tmp_path)


def test_a_model_without_a_tokenizer_is_refused_as_a_cell_would(tmp_path, text, model):
    for path in model.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(SweepError, match="get its tokenizer files anew") as refused:
        planned(text, tmp_path)
    assert str(model) in str(refused.value)


def test_more_layers_than_any_model_has_are_not_set_up(tmp_path, text, model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 100_000}))
    with pytest.raises(SweepError, match=r"num_hidden_layers must be a whole number .* got 100000"):
        planned(text, tmp_path)


@pytest.mark.parametrize("other", ["model-00002-of-00002.safetensors", "model.fp16.safetensors"])
def test_a_tensor_that_is_in_two_files_of_weights_is_named_with_both(tmp_path, text, model, other):
    twice = "model.layers.1.mlp.up_proj.weight"
    save_file({twice: np.ones((2, 2), np.float32)}, model / other)
    said = f"{twice} is in (model.safetensors and in {other}|{other} and in model.safetensors)"
    with pytest.raises(SweepError, match=rf"{said}; keep one of them"):
        planned(text, tmp_path)


@pytest.mark.parametrize(
    ("name", "size"), [("chat_template.jinja", 1 << 24), ("tokenizer.json", 1 << 29)]
)
def test_a_file_of_a_model_that_no_model_has_so_long_is_not_read(tmp_path, text, model, name, size):
    with (model / name).open("wb") as file:
        file.truncate(size)
    with pytest.raises(SweepError, match=rf"{name}: {size:,} bytes; at most [0-9,]+ are read"):
        planned(text, tmp_path)


def test_a_name_of_many_lines_in_a_file_of_a_model_stays_in_one_line(tmp_path, text, model, capsys):
    shards = {"weight_map": {"a": "x\nerror: all is well\n" * 50}}
    (model / "model.safetensors.index.json").write_text(json.dumps(shards))
    (tmp_path / "s.yaml").write_text(text)
    assert rho_sweep("plan", str(tmp_path / "s.yaml")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "is missing, which model.safetensors.index.json names" in lines[1]


WRITES_ALL = "{% for m in messages %}{{ m.content }}{% endfor %}"
KEYS = "{'alpha': 1, 'beta': 2, 'gamma': 3, 'delta': 4, 'epsilon': 5}.keys()"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chance", "code"),
    [
        (f"{{% for k in {KEYS} - [] %}}{{{{ k }}}}{{% endfor %}}", 2),
        (f"{{% for k in ({KEYS} - []) | sort %}}{{{{ k }}}}{{% endfor %}}", 0),
        ("{{ (cycler('a') | string)[-8:-1] }}", 2),
        ("{{ joiner('a') | string | upper }}", 2),
    ],
)
def test_a_template_that_writes_what_is_of_the_process_is_refused(tmp_path, text, chance, code):
    model = make_model(tmp_path / "toy")
    path = model / "tokenizer_config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"chat_template": WRITES_ALL + chance})
    )
    (tmp_path / "s.yaml").write_text(text.replace(str(tmp_path / "model"), str(model)))
    ran = subprocess.run(
        [sys.executable, "-m", "orchestrator", "plan", "s.yaml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == code, ran.stderr
    assert ("its chat template writes another text in each process" in ran.stderr) == (code == 2)


@pytest.mark.parametrize("value", [[1], 7, "x"])
def test_a_nested_text_model_that_is_no_record_is_named(tmp_path, text, model, value):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"text_config": value}))
    with pytest.raises(SweepError, match=r"config.json: text_config must be keys and values"):
        planned(text, tmp_path)


# the resolver


def problems(text: str) -> list[str]:
    with pytest.raises(SweepError) as error:
        resolve(parsed(text), download=False)
    return [str(p) for p in error.value.problems]


def test_a_model_is_known_by_its_content_and_not_by_its_place(tmp_path, text, model):
    other = model_folder(tmp_path / "other")
    (other / "README.md").write_text("says nothing about the weights")
    a, b = (planned(text.replace(str(model), str(m)), tmp_path) for m in (model, other))
    assert [c.cell_id for c in a.cells] == [c.cell_id for c in b.cells]
    weights = load_file(other / "model.safetensors")
    weights["model.embed_tokens.weight"] += 1
    save_file(weights, other / "model.safetensors")
    c = planned(text.replace(str(model), str(other)), tmp_path)
    assert {x.cell_id for x in a.cells} & {x.cell_id for x in c.cells} == set()


def test_every_wrong_projection_is_named_with_a_hint(text):
    (found,) = problems(text + "train:\n  lora_keys: [q_prj, zzz]\n")
    assert found.startswith("train.lora_keys (line 11): ")
    assert 'q_prj" is no projection of this model; did you mean "q_proj"?' in found
    assert found.endswith(
        '"zzz" is no projection of this model; '
        "it has down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
    )


@pytest.mark.parametrize(
    ("probes", "field", "names"),
    [
        ("{train: [factaul]}", "probes.train", ['"factaul"; it has bias']),
        ("{evaluate: [bias, courage, wit]}", "probes.evaluate", ['"courage"', '"wit"']),
    ],
)
def test_every_unknown_behaviour_is_named_where_it_stands(text, probes, field, names):
    (found,) = problems(f"{text}probes: {probes}\n")
    assert found.startswith(f"{field} (line 10): ")
    assert all(name in found for name in names)
    assert "it has bias, factual, refusal, sycophancy, toxicity" in found


def test_model_pack_and_data_are_complained_of_together(text, model):
    text = text.replace(str(model), "/no/model").replace("size: 20", "sft: /no/texts.jsonl")
    assert [p.split(":")[0] for p in problems(text)] == ["model (line 2)", "data.sft (line 8)"]
    found = problems(text + "probes: {pack: /no/pack.jsonl}\n")
    places = ["model (line 2)", "data.sft (line 8)", "probes.pack (line 10)"]
    assert [p.split(":")[0] for p in found] == places


def test_a_behaviour_without_any_training_pair_is_found_before_anything_runs(text):
    (found,) = problems(text + "probes: {heldout: 0.99}\n")
    assert found == (
        "probes.heldout (line 10): leaves no training pair of bias, factual, sycophancy, toxicity "
        "that is free of held-out text, got 0.99; lower it"
    )


def test_a_behaviour_of_degenerate_pairs_alone_is_found_before_anything_runs(text, tmp_path):
    pairs = [{"id": str(i), "behavior": "b", "positive": "x", "negative": "x"} for i in range(3)]
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(p) for p in pairs))
    pack = f"probes: {{pack: {tmp_path / 'p.jsonl'}, train: [b], evaluate: [b]}}\n"
    (found,) = problems(text + pack)
    assert 'both texts of every pair of "b" are the same' in found


def test_without_a_hinge_no_training_pair_is_needed(model):
    text = f"name: s\nmodel: {model}\ngrid: {{condition: sft-only, seed: 1}}\ndata: {{size: 20}}\n"
    text += "probes: {heldout: 0.99}\n"
    assert len(resolve(parsed(text), download=False)[0].cells) == 1
    weightless = text.replace("sft-only", "rho-guided, rho_weight: 0, margin: 0")
    assert len(resolve(parsed(weightless), download=False)[0].cells) == 1


def test_a_mix_is_read_once_however_many_cells_share_it(text, monkeypatch):
    calls = []
    real = resolving.prepare_mix
    monkeypatch.setattr(resolving, "prepare_mix", lambda *a, **k: calls.append(k) or real(*a, **k))
    resolve(parsed(text), download=False)
    assert len(calls) == 1


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("table", ["cells", "generations"])
def test_damaged_results_of_another_sweep_are_a_note(text, tmp_path, table):
    result = a_result(a_spec())
    store = filled(tmp_path / "r" / "other", result)
    keep(store, answered(a_unit(result)))
    (damaged,) = (store.folder / table).iterdir()
    damaged.write_bytes(b"ARROW1")
    lines = describe(
        planned(text + "stress: {prompts: [starter], max_tokens: 10}\n", tmp_path / "r")
    )
    assert any(line.startswith(f"note     passed over: {damaged}: ") for line in lines)
