"""Gradients that a small cell has none of, to compare machines by their bits."""

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten

from tasks.contract.cell import CellSpec, TrainSpec
from tasks.data.seeding import stream
from tasks.model.keeper import gpu_name
from tasks.model.machine import describe, family
from tasks.model.model import BaseModel, Models, attached, tensors_hash
from tasks.passes.budget import GPU
from tasks.passes.layout import pack
from tasks.passes.losses import Goal
from tasks.passes.packed import packed
from tasks.passes.trie import Term, grow

BRANCHES = 10
"""Tokens that one row predicts."""


def drill(cell: CellSpec) -> list[str]:
    """Digests of gradients of the cell's model: as stored, in bf16, and in 4 bits.

    One row predicts `BRANCHES` tokens, and the pass is as wide as a pass on a GPU may be: the one
    needs sums whose order a GPU would choose, the other needs kernels that short rows do not.
    """
    found = []
    for base in precisions(cell).values():
        drawn = stream(0, "drill").permutation(base.vocabulary)[: GPU.width].tolist()
        head, tails = tuple(drawn[: -4 * BRANCHES]), np.reshape(drawn[-4 * BRANCHES :], (-1, 4))
        texts = [(*head, *tail) for tail in tails.tolist()]
        (chunk,) = pack([grow(Term(text, 0, 1 / len(texts)) for text in texts)], GPU)
        with attached(base, cell.train or TrainSpec(), seed=0), packed(base.model) as ready:
            done = ready.gradient(chunk, Goal.of([0]), np.ones(1))
            found.append(tensors_hash(dict(tree_flatten(done.gradient))))
    return found


def precisions(cell: CellSpec) -> dict[str, BaseModel]:
    """The cell's model as stored, in bf16, and in 4 bits."""
    found = {kind: Models().get(cell.model) for kind in ("stored", "bf16", "4 bits")}
    found["bf16"].model.set_dtype(mx.bfloat16)
    nn.quantize(found["4 bits"].model, group_size=64, bits=4)
    return found


def family_here() -> str:
    """Machines that should give these digests: by MLX's name of the GPU on Metal, else by chip."""
    machine = describe()
    return family(gpu_name() or machine.chip, machine.os)
