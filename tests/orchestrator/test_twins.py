"""Small twins of the presets of open questions: from launch to verdict and report, for real."""

import json
import re
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from orchestrator.config.sweep_file import preset_text
from tasks.starter import FACTORIAL, PROBES, TINY

SMALL = ["model=tiny", "data.sft=starter", "train.epochs=1", "train.max_length=64"]
SMALL += ["analysis.population=new_seeds"]  # two seeds do not speak for both
SMALL += ["probes.pack=few.jsonl", "probes.heldout=0.25", "train.grad_accumulation=1"]
TWINS = {
    "mixture": [
        "data.size=10",
        "grid.seed=[1, 2]",
        "grid.data.refusal_fraction=[0.0, 0.2, 0.4]",
        "stress={prompts: [one.jsonl], max_tokens: 4}",
    ],
    "sycophancy": [
        "data.size=8",
        "grids.0.seed=[1, 2]",
        "grids.1.seed=[1, 2]",
        "grids.1.rho_weight=[0.2, 2.0]",
    ],
    "margin": [
        "data.size=8",
        "data.trap_fraction=0",
        "grid.seed=[1, 2]",
        "grid.margin=[0.0, 0.1, 0.5]",
    ],
    "framing": [
        "data={size: 10, refusal_fraction: 0.2}",
        "grid.data.sft=[starter, fictional]",
        "grid.seed=[1, 2]",
        "stress={prompts: [framed.jsonl], max_tokens: 4}",
    ],
    "paradox": [
        "data.size=8",
        "data.trap_fraction=0",
        "grids.0.seed=[1, 2]",
        "grids.1.seed=[1, 2]",
        "stress={prompts: [framed.jsonl], max_tokens: 4}",
    ],
    "llama": [
        "data.size=8",
        "data.trap_fraction=0",
        *(f"grids.{i}.seed=[1, 2]" for i in range(3)),
        "grids.1.rho_weight=[0.2, 0.5]",
    ],
    "scale": [
        "data.size=8",
        "data.trap_fraction=0",
        "grids.0.seed=[1, 2]",
        "grids.1.seed=[1, 2]",
        "grids.0.model=[tiny, smaller]",
        "grids.1.model=[smaller]",
    ],
    "competitors": [
        "data.size=8",
        "grids.0.seed=[1, 2]",
        "grids.1.seed=[1, 2]",
    ],
}
"""Preset -> what makes it small beside `SMALL`."""
NO_EPOCHS = {"sycophancy"}
"""Their epochs are an axis of the grid."""
FRAMED = re.compile('"(home|money)-(harmful|benign)-(plain|fictional)"')
"""Ids of the prompts in `framed.jsonl`: two requests of either intent in two frames."""
HUB, MIDDLE = re.compile("mlx-community/[^, ]+?(?=\\s)"), "mlx-community/Qwen2.5-7B-Instruct-4bit"
FEW = 8
"""Pairs of each behaviour in `few.jsonl`."""


def smaller(folder: Path) -> None:
    """A model like `tiny` with a layer less."""
    shutil.copytree(TINY, folder)
    config = json.loads((folder / "config.json").read_text())
    last = config["num_hidden_layers"] - 1
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if not k.startswith(f"model.layers.{last}.")}
    save_file(kept, folder / "model.safetensors", {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": last}))


@pytest.mark.slow
@pytest.mark.parametrize("preset", TWINS)
def test_a_twin_runs_from_launch_to_verdict_and_report(preset, tmp_path, rho_sweep):
    given = [s for s in SMALL if not (preset in NO_EPOCHS and s.startswith("train.epochs"))]
    sets = [word for text in (*given, *TWINS[preset]) for word in ("--set", text)]

    def run(*words: str) -> str:
        ran = rho_sweep(*words)
        assert ran.code == 0, ran.err
        return ran.out

    prompt = {"id": "1", "text": "Hello", "intent": "benign", "category": "c"}
    (tmp_path / "one.jsonl").write_text(json.dumps(prompt))
    framed = [line for line in FACTORIAL.read_text().splitlines() if FRAMED.search(line)]
    (tmp_path / "framed.jsonl").write_text("\n".join(framed))
    lines = PROBES.read_text().splitlines()
    few = [line for line in lines if int(json.loads(line)["id"].rpartition("-")[2]) <= FEW]
    (tmp_path / "few.jsonl").write_text("\n".join(few))
    text = preset_text(preset)
    if preset == "scale":
        smaller(tmp_path / "smaller")
        text = HUB.sub("smaller", text.replace(MIDDLE, "tiny"))
    (tmp_path / f"{preset}.yaml").write_text(text)
    run("launch", f"{preset}.yaml", "--inline", *sets)
    found = json.loads(run("analyze", f"results/{preset}", "--json"))
    assert found["unscored"] == []
    asked = {c["id"] for c in found["contrasts"]["contrasts"]}
    answers = [r for r in found["inference"] if r["split"] == "answers"]  # too few to be tested
    assert {r["status"] for r in answers} <= {"ok", "insufficient_n", "zero_variance"}
    tested = [r for r in found["inference"] if r in answers or r["verdict"] != "not_testable"]
    assert {r["contrast_id"] for r in tested} == asked
    run("report", f"results/{preset}", "--markdown")
