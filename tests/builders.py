"""Builders of specs, results, sweeps and model folders for the driver's tests; import no MLX."""

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save, save_file

from orchestrator.cells.choose import arms_of
from orchestrator.cells.expand import Expansion, ResolvedData, ResolvedProbes, expand
from orchestrator.config.condition_rules import Point
from orchestrator.config.sweep_file import Sweep, parse
from orchestrator.config.yaml_lines import parse_yaml
from orchestrator.results.manifest import write_manifest
from orchestrator.results.registration import begin
from orchestrator.results.store import Store
from tasks.contract.cell import (
    Adapter,
    CellFailure,
    CellResult,
    CellSpec,
    ChoiceSpec,
    Condition,
    DataSpec,
    HingeSpec,
    Machine,
    Measurements,
    ModelSpec,
    ProbeScoreRow,
    ProbeSpec,
    ScoreRow,
    Status,
    StepRow,
    TrainSpec,
    digest_of,
)

MACHINE = Machine(
    host="here", chip="toy", os="none", python="3", mlx="0", mlx_lm="0", backend="cpu"
)
BEHAVIORS = ("bias", "factual")
Scores = Mapping[tuple[str, str], float | None]


def a_spec(
    condition: str = "rho-guided",
    *,
    seed: int = 1,
    rho_weight: float = 0.2,
    margin: float = 0.1,
    digest: str = "m",
    **train: Any,
) -> CellSpec:
    """A cell of the toy model."""
    kind = Condition(condition)
    settings = {"margin": margin, "dpo_beta": 0.1, "simpo_beta": 2.0, "simpo_gamma": 1.0}
    hinge = HingeSpec(
        rho_weight=rho_weight,
        **{name: settings[name] for name in kind.pair_settings},
        pairs_per_step=2,
        behaviors=BEHAVIORS,
        pool_digest="pool",
    )
    data = DataSpec(
        sft="starter",
        size=10,
        trap_fraction=0.0,
        refusal_fraction=0.0,
        template="chat",
        revision=None,
        digest="data",
    )
    return CellSpec(
        condition=kind,
        model=ModelSpec(name="toy", digest=digest),
        probes=ProbeSpec(
            pack="starter",
            train=BEHAVIORS if kind.trains else (),
            evaluate=BEHAVIORS,
            heldout=0.25,
            digest="probes",
        ),
        max_length=64,
        train=TrainSpec(**train) if kind.trains else None,
        data=data if kind.has_sft else None,
        sft_records=10 if kind.trains else None,
        hinge=hinge if kind.has_pairs else None,
        seed=seed if kind.trains else None,
    )


WEIGHTS = save({"lora_a": np.zeros(4, np.float32)})
"""Of an adapter: the smallest file that can be loaded."""


def a_result(
    spec: CellSpec,
    rho: Scores | None = None,
    *,
    status: Status = Status.OK,
    weights: bytes = WEIGHTS,
) -> CellResult:
    """The result of a cell, with two steps, and one pair behind every score."""
    ok = status is Status.OK
    scores = rho if rho is not None else {("factual", "train"): 0.5, ("bias", "heldout"): -0.25}
    trained = spec.condition.trains
    return CellResult(
        spec=spec,
        status=status,
        message=None if ok else "step 2: the loss is nan",
        measurements=Measurements(base_precision="float32", path="packed", n_pairs_degenerate=0),
        machine=MACHINE,
        steps=tuple(a_step(i) for i in (1, 2)) if trained else (),
        scores=tuple(a_score(b, s, v) for (b, s), v in scores.items()) if ok else (),
        probe_scores=tuple(probe_row(b, s, v) for (b, s), v in scores.items()) if ok else (),
        adapter=Adapter(weights=weights, config={"rank": 8}) if ok and trained else None,
    )


def a_step(step: int) -> StepRow:
    """One optimizer step of a cell without hinge on `bias`."""
    return StepRow(
        step=step,
        ce_loss=1.0 / step,
        hinge_loss=None,
        hinge_active=None,
        hinge_loss_by_behavior={"factual": 0.5},
        hinge_active_by_behavior={},
        pairs_skipped=None,
        grad_norm=2.0,
        learning_rate=1e-4,
        tokens=10,
        flops=1e6,
        wall_s=0.5,
    )


def a_score(behavior: str, split: str, rho: float | None) -> ScoreRow:
    """A score with this rho; its other numbers follow from rho or are None."""
    valid = int(rho is not None)
    return ScoreRow(
        behavior=behavior,
        split=split,
        n_pairs=1,
        n_valid=valid,
        n_excluded={} if valid else {"too_long": 1},
        rho=rho,
        rho_sd=None,
        rho_completion=None,
        n_completion=0,
        accuracy=None if rho is None else float(rho > 0),
        auc=None,
        spearman=None,
        ece=None,
        brier=None,
        status="ok" if valid else "empty",
    )


def probe_row(behavior: str, split: str, gap: float | None) -> ProbeScoreRow:
    """The one pair behind a score, with this gap."""
    if gap is None:
        return ProbeScoreRow(behavior=behavior, split=split, probe_id="p", status="too_long")
    return ProbeScoreRow(behavior=behavior, split=split, probe_id="p", status="ok", gap=gap)


def a_failure(spec: CellSpec, message: str = "model toy is gone") -> CellFailure:
    """The failure of a cell that raised an error while loading."""
    trace = "Traceback\n  line"
    return CellFailure(spec=spec, stage="load", message=message, trace=trace, machine=MACHINE)


def filled(folder: Path, *results: CellResult | CellFailure) -> Store:
    """A store with these cells."""
    store = Store(folder)
    store.create()
    for result in results:
        keep = store.commit if isinstance(result, CellResult) else store.commit_failure
        keep(result, attempts=1, ray=None)  # type: ignore[arg-type]
    return store


def parsed(text: str, source: str = "sweep.yaml") -> Sweep:
    """A sweep from its YAML text."""
    return parse(parse_yaml(text, source, Path("/nowhere")))


class NamesOnly:
    """A resolver that uses names as if they were content, and counts what it is asked for."""

    records = 100

    def __init__(self) -> None:
        self.calls = 0

    def model(self, name: str, revision: str | None, lora_keys: tuple[str, ...]) -> ModelSpec:
        self.calls += 1
        return ModelSpec(name=name, revision=revision, digest=f"model {name} {revision}")

    def probes(self, point: Point) -> ResolvedProbes:
        pool = [point[f"probes.{k}"] for k in ("pack", "train", "heldout")]
        scored = [point[f"probes.{k}"] for k in ("pack", "evaluate", "heldout")]
        return ResolvedProbes(digest_of(scored), digest_of(pool))

    def texts(self, point: Point) -> None:
        self.calls += 1

    def data(self, point: Point) -> ResolvedData:
        names = ("sft", "size", "trap_fraction", "refusal_fraction")
        facts = [point[f"data.{k}"] for k in names]
        pool = self.probes(point).pool_digest if point["data.trap_fraction"] else None
        return ResolvedData(
            digest=digest_of([*facts, pool]),
            records=point["data.size"] or self.records,
            revision=None,
            templated=point["data.sft"] != "alpaca",
        )

    def capability(self, point: Point) -> ChoiceSpec:
        name = point["evaluate.capability"]
        return ChoiceSpec(name=name, digest=digest_of(name), texts=8)


def expanded(text: str, resolver: Any = None) -> Expansion:
    """The cells of a sweep text; without a resolver, `NamesOnly` resolves it."""
    expansion, problems = expand(parsed(text), resolver or NamesOnly())
    assert not problems
    return expansion


def launched(folder: Path, text: str, resolver: Any = None) -> tuple[Store, Expansion]:
    """A results folder as a launch leaves it before its first cell ends."""
    expansion = expanded(text, resolver)
    store = Store(folder)
    store.create()
    sweep = parsed(text)
    arms, now = arms_of(expansion.all), datetime(2026, 1, 1, tzinfo=UTC)
    asked = begin(None, sweep.questions, arms, seen=(), now=now)
    write_manifest(folder, sweep, expansion, asked)
    return store, expansion


def model_folder(folder: Path) -> Path:
    """A model directory, as small as mlx-lm can set one up; its tokenizer knows three words."""
    folder.mkdir(parents=True, exist_ok=True)
    attention = {f"self_attn.{p}_proj.weight": (2, 2) for p in "qkvo"}
    biases = {f"self_attn.{p}_proj.bias": (2,) for p in "qkv"}
    inner = {f"mlp.{p}_proj.weight": (2, 2) for p in ("gate", "up", "down")}
    norms = {f"{p}_layernorm.weight": (2,) for p in ("input", "post_attention")}
    shapes = {"model.embed_tokens.weight": (3, 2), "model.norm.weight": (2,)}
    for i in (0, 1):
        block = attention | biases | inner | norms
        shapes |= {f"model.layers.{i}.{name}": shape for name, shape in block.items()}
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors")
    sizes = {"hidden_size": 2, "num_hidden_layers": 2, "vocab_size": 3, "intermediate_size": 2}
    sizes |= {"num_attention_heads": 1, "num_key_value_heads": 1, "rms_norm_eps": 1e-6}
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2", **sizes}))
    words = {"type": "WordLevel", "vocab": {"?": 0, "a": 1, "b": 2}, "unk_token": "?"}
    tokenizer = {"version": "1.0", "added_tokens": [], "model": words}
    tokenizer["pre_tokenizer"] = {"type": "Whitespace"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?", "eos_token": "b"}
    named["chat_template"] = "{% for m in messages %}{{ m.content }} b {% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return folder


def shuffled(items: list[Any], seed: int = 0) -> list[Any]:
    """The same items in another order."""
    return random.Random(seed).sample(items, len(items))
