"""How much memory a cell will need: weights, adapter, and the larger of training and scoring.

What one pass keeps grows with its tokens, its attention and its logits. The multiples below were
fitted to measured peaks on a CPU (`make bench-memory` prints both); on Metal they are a guess.
"""

from dataclasses import dataclass, replace

from orchestrator.cells.model_size import FLOAT, Sizes, text_config
from tasks.contract.cell import PACKED as PACKED_PATH
from tasks.contract.cell import CellSpec, TrainSpec
from tasks.data.lengths import Lengths
from tasks.passes.budget import (
    CPU,
    CPU_HEAD_ROWS,
    GPU_HEAD_ROWS,
    LOGITS_PER_BATCH,
    TOKENS_PER_BATCH,
    Budget,
    on_gpu,
)
from tasks.sources.model_files import ModelFiles

RUNTIME_BYTES = 200 << 20
"""Python, MLX and the tokenizer before any weight is loaded; measured on Linux."""
ADAPTER_COPIES = 7
"""The adapter, its gradient twice, clipped, and the optimizer's two moments old and new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """How long the texts of a cell are, in tokens.

    Attributes:
        scored: Texts that are scored.
        sft: SFT texts; None without an SFT loss.
        pairs: Training pairs; None without a loss of pairs.
        items: Of the multiple-choice set; None without one.
    """

    scored: Lengths
    sft: Lengths | None
    pairs: Lengths | None
    items: Lengths | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeps:
    """Multiples of what a pass keeps at its peak.

    Attributes:
        hidden, inner: Of the hidden and MLP sizes, for each token and layer.
        sights: Of the attention weights of each head and layer.
        logits: Of the vocabulary, for each token.
        block: Of the vocabulary, for each row of the head's block.
        inputs: Of the hidden size for each token and layer, where `hidden` counts one layer.
    """

    hidden: float
    inner: float
    sights: float
    logits: float
    block: float = 0.0
    inputs: float = 0.0


PACKED = Keeps(hidden=35, inner=2.6, sights=2.0, logits=0.33, block=0.7)
PACKED_CHECKPOINTED = Keeps(hidden=17, inner=12, sights=8.4, logits=0.3, block=0.9, inputs=1)
PACKED_SCORING = Keeps(hidden=0, inner=8.8, sights=6.3, logits=0, block=0.7)
PLAIN = Keeps(hidden=11, inner=3.6, sights=1.1, logits=3.0)
PLAIN_CHECKPOINTED = Keeps(hidden=12, inner=6.6, sights=2.8, logits=3.9, inputs=1)
PLAIN_SCORING = Keeps(hidden=3, inner=2.8, sights=1.7, logits=1.05)
METAL = Keeps(hidden=18, inner=3.6, sights=2.0, logits=2.1, block=0.9)
METAL_SCORING = replace(PACKED_SCORING, logits=1.5, block=0.0)
"""A GPU's blocks of logits overlap, as all passes are put in line and none is waited for."""
HALF_ON_CPU = 4.3
"""Bytes of a value of a packed pass in 16 bits on a CPU, which computes most in float32 copies."""
HALF_LOGITS = 0.5
"""Added to `logits` of a plain pass in 16 bits: the loss has a float32 copy of them."""


def cell_memory(
    spec: CellSpec,
    files: ModelFiles,
    texts: Texts,
    *,
    metal: bool = False,
    path: str | None = None,
) -> int:
    """Estimated peak of a worker process that runs the cell, bytes.

    Args:
        spec: The cell.
        files: Its model.
        texts: How long its texts are.
        metal: Whether it runs on a Mac's GPU.
        path: How the model's passes go, `packed` or `plain: ...`; None where that is not known.
    """
    return RUNTIME_BYTES + mlx_peak(spec, files, texts, metal=metal, path=path)


def mlx_peak(
    spec: CellSpec,
    files: ModelFiles,
    texts: Texts,
    *,
    metal: bool = False,
    path: str | None = None,
) -> int:
    """The part of `cell_memory` that MLX allocates: what `cells.memory_peak` measures, bytes."""
    sizes, config = Sizes.of(files), text_config(files)
    # Where no cell has decided it yet: a sliding window makes every pass plain, as far as the
    # configuration tells of one. Dropout makes only the training passes plain.
    window = config.get("sliding_window") and config.get("use_sliding_window", True)
    plain = bool(window) if path is None else path != PACKED_PATH
    peak = _scoring(sizes, texts, plain=plain, metal=metal)
    if texts.items:
        items = replace(texts, scored=texts.items)
        peak = max(peak, _scoring(sizes, items, plain=plain, metal=metal))
    if texts.pairs and spec.condition.traits.pair_loss.referred:
        # the untrained model looks at the training pairs as at those that are scored
        pairs = replace(texts, scored=texts.pairs)
        peak = max(peak, _scoring(sizes, pairs, plain=plain, metal=metal))
    adapter_bytes = 0
    if spec.train is not None:
        plain = plain or spec.train.lora_dropout > 0
        peak = max(peak, _training(spec, spec.train, sizes, texts, plain=plain, metal=metal))
        adapter_bytes = ADAPTER_COPIES * FLOAT * adapter_size(sizes, spec.train)
    return files.weight_bytes + adapter_bytes + int(peak)


def adapter_size(sizes: Sizes, train: TrainSpec) -> int:
    """Numbers of an adapter."""
    usual = (sizes.hidden, sizes.hidden)
    sides = sum(sum(sizes.matrices.get(key, usual)) for key in train.lora_keys)
    return train.lora_rank * sizes.layers * sides


def _training(
    spec: CellSpec, train: TrainSpec, sizes: Sizes, texts: Texts, *, plain: bool, metal: bool
) -> float:
    """Bytes that the largest pass of a training step keeps at its peak.

    A plain micro-step pads SFT texts and pairs apart, and frees the logits of one before the
    other. A packed step puts all its texts in the rows of the budget, which a longer text widens.
    """
    per_step = spec.hinge.pairs_per_step if spec.hinge else 0
    longest_sft = texts.sft.longest if texts.sft else 0
    if plain:
        sft, pairs = train.batch_size * longest_sft, 2 * per_step * texts.scored.longest
        widest = max(longest_sft, texts.scored.longest if pairs else 0)
        keeps = PLAIN_CHECKPOINTED if spec.grad_checkpoint else PLAIN
        keeps, scored = _plainly(keeps, sizes), max(sft, pairs)
        return pass_bytes(keeps, sizes, sft + pairs, widest, scored=scored)
    micro_step = train.batch_size * texts.sft.mean if texts.sft else 0.0
    micro_step += per_step * texts.pairs.mean if texts.pairs else 0.0
    step = train.grad_accumulation * micro_step
    longest = max(longest_sft, texts.pairs.longest if texts.pairs else 0)
    budget = _budget(sizes, metal=metal)
    width = max(min(budget.width, step), longest)
    keeps = METAL if metal else PACKED
    if spec.grad_checkpoint:
        keeps = PACKED_CHECKPOINTED
    head_rows = GPU_HEAD_ROWS if metal else CPU_HEAD_ROWS
    tokens = min(width * budget.rows, max(step, longest))
    return pass_bytes(keeps, _packed(sizes, metal=metal), tokens, width, head_rows=head_rows)


def _scoring(sizes: Sizes, texts: Texts, *, plain: bool, metal: bool) -> float:
    """Bytes that the largest pass over scored texts keeps at its peak: those of one layer."""
    longest, total = texts.scored.longest, texts.scored.total
    if plain:
        most = min(TOKENS_PER_BATCH, LOGITS_PER_BATCH // sizes.vocabulary)
        tokens = max(longest, most if total is None else min(most, total))
        return pass_bytes(_plainly(PLAIN_SCORING, sizes), sizes, tokens, longest, layers=1)
    budget = _budget(sizes, metal=metal)
    width = max(budget.width, longest)
    keeps = METAL_SCORING if metal else PACKED_SCORING
    sizes = _packed(sizes, metal=metal)
    return pass_bytes(keeps, sizes, budget.rows * width, width, layers=1)


def _plainly(keeps: Keeps, sizes: Sizes) -> Keeps:
    half = HALF_LOGITS if sizes.value_bytes < FLOAT else 0.0
    return replace(keeps, logits=keeps.logits + half)


def _packed(sizes: Sizes, *, metal: bool) -> Sizes:
    half = sizes.value_bytes < FLOAT and not metal
    return replace(sizes, value_bytes=HALF_ON_CPU) if half else sizes


def _budget(sizes: Sizes, *, metal: bool) -> Budget:
    """Rows and tokens of a packed pass; on a GPU they depend on the values of the projections."""
    return gpu_budget(sizes) if metal else CPU


def gpu_budget(sizes: Sizes) -> Budget:
    """Rows and tokens of a packed pass on a GPU, as `Packed` has them."""
    return on_gpu(sum(map(sum, sizes.matrices.values())) * sizes.layers)


def pass_bytes(
    keeps: Keeps,
    sizes: Sizes,
    tokens: float,
    width: float,
    *,
    layers: int | None = None,
    scored: float | None = None,
    head_rows: int = CPU_HEAD_ROWS,
) -> float:
    """Bytes that a pass over so many tokens, in rows of `width`, keeps at its peak."""
    one_layer = keeps.inputs > 0 or layers == 1
    depth = 1 if one_layer else sizes.layers
    values = tokens * depth * (keeps.hidden * sizes.hidden + keeps.inner * sizes.inner)
    values += tokens * sizes.layers * keeps.inputs * sizes.hidden
    values += tokens * width * depth * keeps.sights * sizes.heads
    rows = min(tokens, head_rows)
    logits = sizes.vocabulary * (
        (tokens if scored is None else scored) * keeps.logits + rows * keeps.block
    )
    return sizes.value_bytes * values + FLOAT * logits
