"""The least time that work takes on a Mac's GPU: its arithmetic, its memory, or its launches.

Nothing here was measured on a Mac. Full speed is what a chip cannot exceed; real work reaches a
part of it.
"""

from dataclasses import dataclass

from orchestrator.cells.memory import (
    ADAPTER_COPIES,
    METAL,
    Texts,
    adapter_size,
    gpu_budget,
    pass_bytes,
)
from orchestrator.cells.model_size import FLOAT, Sizes
from tasks.contract.cell import CellSpec, TrainSpec
from tasks.data.lengths import Lengths
from tasks.passes.budget import GPU_HEAD_ROWS, Budget
from tasks.passes.costs import Costs, Load, Needed
from tasks.sources.model_files import ModelFiles

LAUNCHES = 200
"""Of kernels for each layer, forward and backward, as MLX exports the graph of a packed gradient:
with fused kernels taken apart, so at most."""
LAUNCH_S = 3e-6
"""Seconds from one small kernel to the next: a guess, from reported speeds of small models."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A Mac's GPU, with all cores that the chip is sold with.

    Attributes:
        tflops: 10^12 float operations a second; 16 bits are no faster.
        gb_s: 10^9 bytes a second from memory.
    """

    tflops: float
    gb_s: float


CHIPS = {
    "Apple M1": Chip(2.6, 68),
    "Apple M1 Pro": Chip(5.2, 200),
    "Apple M1 Max": Chip(10.4, 400),
    "Apple M1 Ultra": Chip(20.8, 800),
    "Apple M2": Chip(3.6, 100),
    "Apple M2 Pro": Chip(6.8, 200),
    "Apple M2 Max": Chip(13.6, 400),
    "Apple M2 Ultra": Chip(27.2, 800),
    "Apple M3": Chip(4.1, 100),
    "Apple M3 Pro": Chip(7.4, 150),
    "Apple M3 Max": Chip(16.2, 400),
    "Apple M3 Ultra": Chip(32.4, 819),
    "Apple M4": Chip(4.6, 120),
    "Apple M4 Pro": Chip(9.2, 273),
    "Apple M4 Max": Chip(18.4, 546),
}
"""Bandwidth as Apple's technical specifications have it. Operations of M1 to M2 as Apple named
them, of M3 and M4 from public databases of GPUs, which count cores, lanes and clock; of M3 they
differ by a seventh, and the higher number stands here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a step or a cell takes.

    Attributes:
        flops: Float operations.
        bytes: Read from memory and written to it.
        launches: Of kernels.
    """

    flops: float
    bytes: float
    launches: float

    def __add__(self, other: "Effort") -> "Effort":
        return Effort(
            flops=self.flops + other.flops,
            bytes=self.bytes + other.bytes,
            launches=self.launches + other.launches,
        )

    def times(self, count: int) -> "Effort":
        """The same, several times."""
        return Effort(
            flops=count * self.flops, bytes=count * self.bytes, launches=count * self.launches
        )

    def least_s(self, chip: Chip) -> float:
        """Seconds at full speed, as if the three ran side by side."""
        arithmetic, memory = self.flops / (1e12 * chip.tflops), self.bytes / (1e9 * chip.gb_s)
        return max(arithmetic, memory, self.launches * LAUNCH_S)


def costs_by(sizes: Sizes, train: TrainSpec | None) -> Costs:
    """As `tasks.passes.flops.costs_of`, of a model that is not loaded."""
    matrices = {name: ins * outs for name, (ins, outs) in sizes.matrices.items()}
    layer, mlp = sum(matrices.values()), 3 * sizes.hidden * sizes.inner
    return Costs(
        token=2.0 * (layer * sizes.layers - mlp),
        adapter=2.0 * adapter_size(sizes, train) if train else 0.0,
        first=2.0 * layer,
        sight=4.0 * sizes.hidden * sizes.layers,
        scored=2.0 * (mlp + sizes.hidden * sizes.vocabulary),
    )


def step_effort(spec: CellSpec, sizes: Sizes, weight_bytes: int, texts: Texts) -> Effort:
    """Of a full optimizer step of a trained cell, packed, every pair active.

    Args:
        spec: The cell.
        sizes: Of its model.
        weight_bytes: Size of the model's weights.
        texts: How long its texts are; the means count.
    """
    train = spec.train
    if train is None:
        raise AssertionError("a cell that trains")
    budget, load = gpu_budget(sizes), Load()
    if texts.sft:
        load += _load(texts.sft.mean - 1, train.grad_accumulation * train.batch_size)
    if texts.pairs and spec.hinge:
        load += _load(texts.pairs.mean, train.grad_accumulation * spec.hinge.pairs_per_step)
    passes = _passes(load, budget)
    kept = pass_bytes(METAL, sizes, load.tokens, budget.width, head_rows=GPU_HEAD_ROWS)
    ways = 3 if spec.grad_checkpoint else 2
    adapter = ADAPTER_COPIES * FLOAT * adapter_size(sizes, train)
    return Effort(
        flops=costs_by(sizes, train).of(Needed(forward=load, backward=load)),
        bytes=ways * passes * weight_bytes + 2 * kept + adapter,
        launches=LAUNCHES * sizes.layers * passes,
    )


def cell_effort(spec: CellSpec, files: ModelFiles, texts: Texts) -> Effort | None:
    """Of a cell's training and scoring; None where the number of scored tokens is not known.

    A loss with a reference reads all training pairs once more; a short training fewer of them.
    """
    sizes = Sizes.of(files)
    read: list[tuple[Lengths, TrainSpec | None]] = [(texts.scored, spec.train)]
    if texts.items:
        read.append((texts.items, spec.train))
    if texts.pairs and spec.train and spec.condition.traits.pair_loss.referred:
        read.append((texts.pairs, None))
    found = Effort(flops=0, bytes=0, launches=0)
    for lengths, adapted in read:
        if lengths.total is None:
            return None
        load = _load(lengths.mean - 1, round(lengths.total / max(lengths.mean, 1)))
        passes = _passes(load, gpu_budget(sizes))
        found += Effort(
            flops=costs_by(sizes, adapted).of(Needed(forward=load)),
            bytes=passes * files.weight_bytes,
            launches=LAUNCHES / 3 * sizes.layers * passes,
        )
    if (train := spec.train) is None:
        return found
    micro_steps = train.epochs * -(-(spec.sft_records or 0) // train.batch_size)
    steps = -(-micro_steps // train.grad_accumulation)
    return found + step_effort(spec, sizes, files.weight_bytes, texts).times(steps)


def _load(fed: float, count: int) -> Load:
    """Of so many texts, with so many tokens fed of each."""
    tokens = round(count * fed)
    return Load(tokens, round(tokens * (fed + 1) / 2), tokens)


def _passes(load: Load, budget: Budget) -> int:
    return -(-load.tokens // (budget.width * budget.rows))
