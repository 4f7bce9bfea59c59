"""How much goes into one pass. Standard library only: estimates need it without MLX."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much goes into one forward pass. Decides speed and memory, never a result.

    It depends on nothing that changes between two runs of one cell, free memory least of all:
    another layout would round differently.

    Attributes:
        width: Tokens in a row; attention costs its square. A larger tree gets a row to itself.
        rows: Rows in a pass.
    """

    width: int
    rows: int


CPU = Budget(width=192, rows=1)
"""Matrix products are at full speed from about 64 rows on; one row needs no padding."""
GPU = Budget(width=512, rows=8)
"""Many tokens per pass, since every pass reads all weights; fewer rows for a large model."""
GPU_BYTES = 8 << 30
"""What the activations of a pass may take, in the half precision of large models."""
BYTES = 2


CPU_HEAD_ROWS, GPU_HEAD_ROWS = 64, 512
"""Rows of which the head's logits are made at once: enough for a matrix product at full speed."""
TOKENS_PER_BATCH = 1024
"""Of texts that are scored plainly. Larger batches leave the cache of a CPU and gain nothing."""
LOGITS_PER_BATCH = 2**27
"""512 MiB of float32: the limit where the vocabulary is large."""


def on_gpu(values: int) -> Budget:
    """Budget of a model of which each token leaves so many values for the backward pass."""
    rows = GPU_BYTES // (GPU.width * values * BYTES)
    return Budget(width=GPU.width, rows=max(1, min(GPU.rows, rows)))
