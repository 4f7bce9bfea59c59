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


def on_gpu(values: int) -> Budget:
    """Budget of a model of which each token leaves so many values for the backward pass."""
    rows = GPU_BYTES // (GPU.width * values * BYTES)
    return Budget(width=GPU.width, rows=max(1, min(GPU.rows, rows)))
