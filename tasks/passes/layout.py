"""Trees laid out side by side, as the arrays of one forward pass."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from tasks.passes.budget import CPU, Budget, on_gpu
from tasks.passes.trie import Floats, Tree

LINEAR = (nn.Linear, nn.QuantizedLinear)


def budget_of(model: nn.Module) -> Budget:
    """What goes into one pass of a model, on this machine's kind of device."""
    if mx.default_device() == mx.cpu:
        return CPU
    matrices = [m for _, m in model.named_modules() if isinstance(m, LINEAR)]
    return on_gpu(sum(sum(sides(m)) for m in matrices))


def sides(matrix: nn.Module) -> tuple[int, int]:
    """Inputs and outputs."""
    if isinstance(matrix, nn.QuantizedLinear):
        return matrix.scales.shape[1] * matrix.group_size, matrix.scales.shape[0]
    return matrix.weight.shape[1], matrix.weight.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """One forward pass of B rows of W tokens that must predict E tokens.

    Attributes:
        trees: What it holds.
        tokens: (B, W) int32 ids.
        positions: (B, W) int32 position of each token in its text.
        ends: (B, W) int32, one past the last column that may see each column.
        rows: (E,) int32 place, in the flattened (B, W), that predicts each scored token.
        targets: (E,) int32 the scored tokens, tree by tree.
    """

    trees: tuple[Tree, ...]
    tokens: mx.array
    positions: mx.array
    ends: mx.array
    rows: NDArray[np.int32]
    targets: mx.array

    def split(self, values: NDArray[np.float64]) -> Iterable[tuple[Tree, Floats]]:
        """Each tree with its part of an (E,) array."""
        stops = np.cumsum([len(tree.rows) for tree in self.trees])
        return zip(self.trees, np.split(values, stops[:-1]), strict=True)


def pack(trees: Iterable[Tree], budget: Budget) -> list[Chunk]:
    """Lay trees out in as few passes as the budget allows; empty trees need none."""
    rows = _fill([tree for tree in trees if tree.size], budget.width)
    parts = [rows[i : i + budget.rows] for i in range(0, len(rows), budget.rows)]
    return [_lay_out(part) for part in parts]


def _fill(trees: list[Tree], width: int) -> list[list[Tree]]:
    """First fit, largest first; the rows come out largest first, so neighbours pad little."""
    rows: list[list[Tree]] = []
    room: list[int] = []
    for tree in sorted(trees, key=lambda tree: -tree.size):
        found = next((i for i, free in enumerate(room) if free >= tree.size), None)
        if found is None:
            rows.append([tree])
            room.append(width - tree.size)
        else:
            rows[found].append(tree)
            room[found] -= tree.size
    return rows


def _lay_out(rows: Sequence[Sequence[Tree]]) -> Chunk:
    """Copy trees into rows; a padding column sees itself and is seen by nothing that counts."""
    width = max(sum(tree.size for tree in row) for row in rows)
    tokens = np.zeros((len(rows), width), np.int32)
    positions = np.zeros_like(tokens)
    ends = np.tile(np.arange(1, width + 1, dtype=np.int32), (len(rows), 1))
    places = []
    for number, row in enumerate(rows):
        start = 0
        for tree in row:
            columns = slice(start, start + tree.size)
            tokens[number, columns] = tree.tokens
            positions[number, columns] = tree.depths
            ends[number, columns] = tree.ends + start
            places.append(tree.rows + number * width + start)
            start += tree.size
    trees = tuple(tree for row in rows for tree in row)
    return Chunk(
        trees=trees,
        tokens=mx.array(tokens),
        positions=mx.array(positions),
        ends=mx.array(ends),
        rows=np.concatenate(places),
        targets=mx.array(np.concatenate([tree.targets for tree in trees])),
    )
