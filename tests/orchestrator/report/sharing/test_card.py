"""`rho-sweep card`: an adapter for others, with what is known of it; results as a data set."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from mlx.utils import tree_map
from mlx_lm.utils import load as mlx_lm_load
from safetensors.numpy import load_file, save

from orchestrator.errors import UserError
from orchestrator.report.sharing.card import _use
from orchestrator.report.sharing.folder import _fuse
from orchestrator.report.sharing.peft import as_peft
from orchestrator.results.adapters import write_adapter
from orchestrator.results.schema import TABLES
from orchestrator.results.store import Store
from tasks.contract.cell import Adapter, Condition, TrainSpec
from tasks.model.model import Models, attached, save_adapter
from tasks.sources.earlier_words import earlier_words
from tasks.sources.model_files import locate
from tasks.starter import PROBES
from tests import ROOT
from tests.builders import a_failure, a_result, launched
from tests.orchestrator.cli.test_notebook import SWEEP
from tests.tasks.sources.stand_in import COMMIT, serving
from tests.toys import saved_twice

TORCH = os.environ.get("RHO_SWEEP_TORCH")
"""A Python with torch, transformers and peft."""
IDS = mx.arange(16)[None]
TRAINED = """\
name: handed-on
model: tiny
grids:
  - {condition: [sft-only], seed: [1]}
  - {condition: [rho-guided], rho_weight: [0.5], margin: [0.1], seed: [1]}
train: {epochs: 1, max_length: 64, learning_rate: 2e-3}
data: {sft: starter, size: 24, trap_fraction: 0.0}
probes: {pack: starter, train: [factual], evaluate: [factual], heldout: 0.25}
"""
CHILDREN_LOOK_IN = """\
import os, sys
from orchestrator.cli import main
os.environ["PYTHONPATH"] = sys.argv.pop(1)
main()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A real launch of two trainings."""
    place = tmp_path_factory.mktemp("handed")
    (place / "s.yaml").write_text(TRAINED)
    words = [sys.executable, "-m", "orchestrator", "launch", "s.yaml", "--inline"]
    around = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(words, cwd=place, env=around, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return place / "results/handed-on"


@pytest.mark.slow
def test_both_layouts_hold_the_same_matrices_and_the_card_says_how_they_score(
    trained, rho_sweep, tmp_path
):
    ran = rho_sweep("card", trained, "rho-guided w=0.5 m=0.1", "-o", tmp_path / "card", "--fuse")
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'card'}\n"), ran
    ours = load_file(tmp_path / "card/mlx/adapters.safetensors")
    theirs = load_file(tmp_path / "card/peft/adapter_model.safetensors")
    config = json.loads((tmp_path / "card/peft/adapter_config.json").read_text())
    scale = json.loads((tmp_path / "card/mlx/adapter_config.json").read_text())["lora_parameters"]
    assert len(theirs) == len(ours) > 0
    for name in config["target_modules"]:
        a, b = ours[f"{name}.lora_a"], ours[f"{name}.lora_b"]
        key = f"base_model.model.{name}.lora_"
        np.testing.assert_array_equal(theirs[f"{key}A.weight"], a.T)
        np.testing.assert_array_equal(theirs[f"{key}B.weight"], b.T)
    assert config["lora_alpha"] / config["r"] == pytest.approx(scale["scale"])
    text = (tmp_path / "card/README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front == {"base_model": "tiny", "tags": ["rho-sweep", "lora", "mlx", "peft", "fused"]}
    cells = [r for r in Store(trained).rows("cells") if r["condition"] == "rho-guided"]
    (score,) = [
        r["rho"]
        for r in Store(trained).rows("scores")
        if (r["cell_id"], r["split"]) == (cells[0]["cell_id"], "heldout")
    ]
    assert re.search(rf"\| factual \| heldout \| {score:+.3f} ".replace("+", r"\+"), text)
    assert (tmp_path / "card/fused/model.safetensors").is_file()
    assert "cards" not in rho_sweep("status", trained).err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code", "left"),
    [
        ("raise SystemExit('no room')", 2, set()),
        ("os.kill(os.getppid(), signal.SIGKILL)", -signal.SIGKILL, {"README.md", "mlx", "peft"}),
    ],
    ids=["failed", "killed"],
)
def test_a_card_that_was_not_ended_is_written_anew(trained, rho_sweep, tmp_path, end, code, left):
    (tmp_path / "broken/mlx_lm").mkdir(parents=True)
    (tmp_path / "broken/mlx_lm/__init__.py").touch()
    (tmp_path / "broken/mlx_lm/__main__.py").write_text(f"import os, signal\n{end}")
    words = ["card", str(trained), "rho-guided w=0.5 m=0.1", "-o", str(tmp_path / "card")]
    ran = subprocess.run(
        [sys.executable, "-c", CHILDREN_LOOK_IN, str(tmp_path / "broken"), *words, "--fuse"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran
    assert ("mlx_lm fuse failed: no room; leave out --fuse" in ran.stderr) == (code == 2)
    assert {p.name for p in (tmp_path / "card").iterdir()} == left
    if left:
        assert "not complete" in (tmp_path / "card/README.md").read_text()
    assert rho_sweep(*words).code == 0
    assert "not complete" not in (tmp_path / "card/README.md").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not TORCH, reason="RHO_SWEEP_TORCH names no Python with torch and peft")
def test_torch_scores_the_adapter_as_stored(trained, rho_sweep, tmp_path):
    arm = "rho-guided w=0.5 m=0.1"
    assert rho_sweep("card", trained, arm, "-o", tmp_path / "card").code == 0
    pairs = [p for p in PROBES.read_text().splitlines() if json.loads(p)["behavior"] == "factual"]
    (tmp_path / "pairs.jsonl").write_text("\n".join(pairs))
    words = [
        TORCH,
        "-m",
        "tests.orchestrator.report.sharing.peft_scores",
        ROOT / "tasks/starter/tiny",
    ]
    words += [tmp_path / "card/peft", tmp_path / "pairs.jsonl"]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    found = json.loads(ran.stdout.splitlines()[-1])
    store = Store(trained)
    (cell,) = [r["cell_id"] for r in store.rows("cells") if r["condition"] == "rho-guided"]
    rows = [r for r in store.rows("probe_scores") if r["cell_id"] == cell]
    assert len(rows) == len(pairs)
    for row in rows:
        stored = (row["logprob_positive_mean"], row["logprob_negative_mean"])
        assert found[row["probe_id"]] == pytest.approx(stored, abs=1e-4)


def an_adapter() -> Adapter:
    names = ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj")
    halves = {"lora_a": np.ones((6, 2), np.float32), "lora_b": np.ones((2, 4), np.float32)}
    tensors = {f"{n}.{half}": value for n in names for half, value in halves.items()}
    settings = {"rank": 2, "scale": 3.0, "dropout": 0.0}
    return Adapter(weights=save(tensors), config={"lora_parameters": settings})


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({}, "model.layers.0.self_attn.q_proj.weight is not there"),
        ({"model.layers.0.self_attn.q_proj.weight": (4, 1)}, "has the shape"),
        ({"model.layers.0.self_attn.q_proj.weight": (4, 6)}, "layers.1.self_attn.q_proj.weight is"),
    ],
    ids=["renamed", "quantised", "renamed in part"],
)
def test_a_layer_that_torch_would_not_find_is_named(shapes, said):
    with pytest.raises(Exception, match=said) as raised:
        as_peft(an_adapter(), "o/m", shapes)
    assert type(raised.value).__name__ == "UserError"


@pytest.fixture
def scored(tmp_path):
    store, expansion = launched(tmp_path / "s", SWEEP)
    for spec in expansion.all:
        if spec.seed == 4 and spec.condition is Condition.RHO_GUIDED:
            store.commit_failure(a_failure(spec), attempts=1, ray=None)
        else:
            scores = {(b, "train"): float(spec.seed or 0) for b in ("factual", "bias")}
            store.commit(a_result(spec, scores), attempts=1, ray=None)
    return store


def test_results_become_a_data_set_with_a_card_and_a_citation(scored, rho_sweep, tmp_path):
    ran = rho_sweep("card", scored.folder, "-o", tmp_path / "data")
    assert ran.code == 0, ran
    text = (tmp_path / "data/README.md").read_text()
    configs = yaml.safe_load(text.split("---")[1])["configs"]
    assert [c["config_name"] for c in configs] == list(TABLES)
    for config in configs:
        table = pq.read_table(tmp_path / "data" / config["data_files"])
        assert table.num_rows == scored.read(config["config_name"]).num_rows
        assert f"| {config['config_name'].replace('_', chr(92) + '_')} | {table.num_rows} |" in text
    cited = yaml.safe_load((tmp_path / "data/CITATION.cff").read_text())
    assert (cited["cff-version"], cited["type"]) == ("1.2.0", "dataset")
    again = rho_sweep("card", scored.folder, "-o", tmp_path / "data")
    assert again.code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonesuch"], "'nonesuch' names no arm"),
        (["rho-guidd w=0.2"], "did you mean"),
        (["rho-guided w=0.2 m=0.1", "--seed", "4"], "no scored cell with seed 4; its seeds are 1"),
        (["--seed", "1"], "name its arm"),
        (["--fuse"], "name its arm"),
        ([""], "names more than one arm"),
        (["sft-only", "-o", "full"], "full: holds other files"),
    ],
    ids=lambda w: " ".join(w) if isinstance(w, list) else "",
)
def test_what_cannot_be_handed_on_is_one_sentence(scored, rho_sweep, tmp_path, words, said):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("my own")
    ran = rho_sweep("card", scored.folder, *words)
    assert ran.code == 2
    assert said in ran.err


BROKEN = {
    "no settings": {"config": {}},
    "settings of a text": {"config": {"lora_parameters": "x"}},
    "a scale of a text": {"config": {"lora_parameters": {"rank": 2, "scale": "3", "dropout": 0}}},
    "no safetensors": {"weights": b"w"},
    "no lora_b": {"weights": save({"n.lora_a": np.ones((6, 2), np.float32)})},
    "one dimension": {"weights": save({f"n.lora_{x}": np.ones(6, np.float32) for x in "ab"})},
    "bfloat16": {
        "weights": save({f"n.lora_{x}": np.ones((6, 6), np.float16) for x in "ab"})
        .replace(b'"F16"', b'"BF16"')
        .replace(b"}}  ", b"}}")
    },
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_adapter_of_another_form_has_none_in_pefts_layout(broken):
    shapes = {f"model.layers.{i}.self_attn.q_proj.weight": (4, 6) for i in (0, 1)}
    with pytest.raises(UserError, match="no adapter in PEFT's layout"):
        as_peft(replace(an_adapter(), **broken), "o/m", shapes | {"n.weight": (6, 6)})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("adapters.safetensors", lambda was: was[:-1] + b"?"),
        ("adapter_config.json", lambda was: was.replace(b"8", b"9")),
        ("adapter_config.json", lambda _: b"{}"),
    ],
)
def test_a_changed_adapter_is_not_handed_on(scored, rho_sweep, name, change):
    for path in (scored.folder / "adapters").glob(f"*/{name}"):
        path.write_bytes(change(path.read_bytes()))
    ran = rho_sweep("card", scored.folder, "sft-only")
    assert ran.code == 2
    assert "not what the cell wrote; see: rho-sweep check" in ran.err


@pytest.mark.parametrize(
    "planted",
    ["fused/pytorch_model.bin", "mlx/adapters.safetensors/x", "steps.parquet", ".D[S]", ".a/b/c"],
)
def test_a_file_that_somebody_planted_in_a_card_reaches_no_hub(
    scored, rho_sweep, tmp_path, monkeypatch, planted
):
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    target = scored.folder / "cards/dataset"
    with serving(scored.folder / "cells", monkeypatch) as hub:
        assert rho_sweep("card", scored.folder).code == 0
        (target / planted).parent.mkdir(parents=True, exist_ok=True)
        (target / planted).write_bytes(b"planted")
        ran = rho_sweep("card", scored.folder, "--push", "o/m")
        assert ran.code == 0, ran
        assert sorted(hub.taken) == sorted(
            ["README.md", "CITATION.cff", *(f"{t}.parquet" for t in TABLES)]
        )
        assert b"planted" not in hub.taken.values()


@pytest.mark.parametrize("name", ["mlx", "fused", "cells.parquet"])
def test_a_folder_that_no_card_made_is_left_as_it_is(scored, rho_sweep, tmp_path, name):
    own = tmp_path / "own" / name
    own.mkdir(parents=True)
    (own / "weights").write_text("my own")
    (tmp_path / "own/README.md").write_text("# My models")
    ran = rho_sweep("card", scored.folder, "-o", tmp_path / "own")
    assert ran.code == 2
    assert f"holds other files ({name})" in ran.err
    assert (own / "weights").read_text() == "my own"
    assert (tmp_path / "own/README.md").read_text() == "# My models"


@pytest.mark.slow
def test_a_readme_of_any_length_is_not_read_to_its_end(scored, rho_sweep, tmp_path):
    (tmp_path / "own").mkdir()
    with (tmp_path / "own/README.md").open("wb") as file:
        file.truncate(1 << 40)  # no memory holds it
    ran = rho_sweep("card", scored.folder, "-o", tmp_path / "own")
    assert (ran.code, "holds other files (README.md)" in ran.err) == (2, True), ran


@pytest.mark.slow
def test_a_hub_gets_every_file_in_a_private_repository(scored, rho_sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    target = tmp_path / "data"
    with serving(scored.folder / "cells", monkeypatch) as hub:
        ran = rho_sweep("card", scored.folder, "-o", target, "--push", "o/m")
        assert ran.code == 0, ran
        assert ran.out.endswith(f"/o/m/commit/{COMMIT}\n")
        assert hub.taken == {p.name: p.read_bytes() for p in target.iterdir()}
        assert [(r["name"], r["type"], r["visibility"]) for r in hub.made] == [
            ("m", "dataset", "private")
        ]
        for fault in ("no token", "down"):
            hub.fault = fault
            ran = rho_sweep("card", scored.folder, "-o", target, "--push", "o/m")
            assert ran.code == 2
            assert "o/m: the hub did not take it (" in ran.err
            assert f"it is in {target}; to try again: hf auth login" in ran.err
            assert "hf_of_a_test" not in ran.err


@pytest.mark.slow
def test_a_base_that_transformers_saved_is_fused_and_loaded_as_it_was_computed(
    tmp_path, monkeypatch
):
    _, after = saved_twice(tmp_path, "qwen3_moe")
    spec, files = locate(str(after), None, download=False)
    base = Models().get(spec)
    told = earlier_words(after / "config.json", files.config)
    with attached(base, TrainSpec(lora_keys=("q_proj",), lora_rank=2), 1) as lora:
        base.model.update(tree_map(lambda half: half + 0.1, base.model.trainable_parameters()))
        write_adapter(tmp_path / "mlx", save_adapter(base, lora))
        computed = base.model(IDS)
    _fuse(files, told, tmp_path)
    fused, _ = mlx_lm_load(str(tmp_path / "fused"))
    monkeypatch.chdir(tmp_path)
    exec(_use(str(after), {}, told).split("```")[1].removeprefix("python"), names := {})
    assert mx.array_equal(names["model"](IDS), computed)
    assert mx.allclose(fused(IDS), computed, atol=1e-4)
    assert not mx.allclose(base.model(IDS), computed, atol=1e-4)
