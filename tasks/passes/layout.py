"""Trees laid out side by side, as the arrays of one forward pass."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from tasks.passes.budget import Budget
from tasks.passes.trie import Floats, Tree


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

    @property
    def functionals(self) -> NDArray[np.int64]:
        """(F,) which functionals the trees' weights belong to, tree by tree."""
        return np.array([f for tree in self.trees for f in tree.functionals])

    @property
    def owners(self) -> NDArray[np.int64]:
        """(E,) the first functional of each scored token's tree."""
        return np.repeat([t.functionals[0] for t in self.trees], [len(t.rows) for t in self.trees])

    def by_tree(self, losses: Floats) -> Iterable[tuple[Tree, Floats]]:
        """Each tree with its part of an (E,) array."""
        stops = np.cumsum([len(tree.rows) for tree in self.trees])
        return zip(self.trees, np.split(losses, stops[:-1]), strict=True)

    def values(self, losses: Any) -> Any:
        """(F,) the functionals, from (E,) losses; a numpy or a lazy MLX array, like the losses."""
        if isinstance(losses, np.ndarray):
            return np.concatenate([tree.weights @ part for tree, part in self.by_tree(losses)])
        weights = np.zeros((len(self.functionals), len(self.rows)), np.float32)
        row = column = 0
        for tree in self.trees:
            rows, columns = tree.weights.shape
            weights[row : row + rows, column : column + columns] = tree.weights
            row, column = row + rows, column + columns
        return mx.array(weights) @ losses

    def weights(self, slopes: Floats) -> Floats:
        """(E,) what each token's loss weighs, from (F,) what each functional weighs."""
        return np.concatenate([part @ tree.weights for tree, part in self._slopes_by_tree(slopes)])

    def active_share(self, slopes: Floats) -> float:
        """Share of the tokens that lie in trees with a slope other than 0; slopes: (F,)."""
        active = sum(tree.size for tree, part in self._slopes_by_tree(slopes) if part.any())
        return active / sum(tree.size for tree in self.trees)

    def _slopes_by_tree(self, slopes: Floats) -> Iterable[tuple[Tree, Floats]]:
        stops = np.cumsum([len(tree.functionals) for tree in self.trees])
        return zip(self.trees, np.split(slopes, stops[:-1]), strict=True)


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
