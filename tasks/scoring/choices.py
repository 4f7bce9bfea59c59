"""Multiple-choice items by the log-probability of each choice, in passes as of probe texts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from mlx import nn

from tasks.contract.cell import ProbeScoreRow
from tasks.contract.scoring import Pair
from tasks.data.general import EncodedItem, EncodedItems
from tasks.data.tokens import EncodedPair, Tokens
from tasks.passes.costs import Load
from tasks.passes.packed import Packed
from tasks.passes.trie import Floats
from tasks.scoring.score import Passes, excluded_row, logprobs_of, pair_row

BEHAVIOR, SPLIT = "capability", "choices"
"""What the rows of items have in `probe_scores`; no pair of a pack has that split."""


def score_items(
    model: nn.Module,
    items: EncodedItems,
    vocabulary: int,
    packed: Packed | None,
    kept: Passes,
) -> tuple[tuple[ProbeScoreRow, ...], Load]:
    """A row for each item, ordered by id, and what went through the model.

    An item counts as right where the right choice has the highest log-probability, summed over its
    tokens, given the context; and once more by that sum for each character of the choice, as
    `acc_norm` of lm-evaluation-harness. Where n choices share the highest, each counts as 1/n.

    Args:
        model: With or without an adapter, in eval mode.
        items: Encoded, and those excluded with a reason.
        vocabulary: Tokens the model knows.
        packed: As in `score`.
        kept: Likewise.
    """
    texts = {text for one in items.kept for text in one.texts}
    found, load = logprobs_of(model, texts, vocabulary, packed, kept)
    rows = [_row(one, found) for one in items.kept]
    rows += [
        excluded_row(_pair(item.id, *item.texts[:2]), SPLIT, why) for item, why in items.excluded
    ]
    return tuple(sorted(rows, key=lambda row: row.probe_id)), load


def shares(rows: Sequence[ProbeScoreRow]) -> dict[str, Any]:
    """The fields of `Measurements` about items; none where no item was asked."""
    known = [row for row in rows if row.right is not None]

    def mean(values: Iterable[float | None]) -> float | None:
        return math.fsum(v for v in values if v is not None) / len(known) if known else None

    found = {
        "choice_accuracy": mean(row.right for row in known),
        "choice_accuracy_norm": mean(row.right_norm for row in known),
        "n_choice_items": len(known),
    }
    return found if rows else {}


def _row(one: EncodedItem, found: dict[Tokens, Floats]) -> ProbeScoreRow:
    item = one.item
    sums = [
        math.fsum(found[text][max(shared - 1, 0) :])  # entry i scores token i + 1
        for text, shared in zip(one.texts, one.shared, strict=True)
    ]
    norms = [value / len(choice) for value, choice in zip(sums, item.choices, strict=True)]
    others = [i for i in range(len(sums)) if i != item.right]
    best = max(others, key=lambda i: sums[i])
    pair = _pair(item.id, item.texts[item.right], item.texts[best])
    row = pair_row(EncodedPair(pair, one.texts[item.right], one.texts[best]), SPLIT, found)
    if not all(map(math.isfinite, sums)):
        return excluded_row(pair, SPLIT, "nonfinite")
    right, right_norm = (_share(item.right, values) for values in (sums, norms))
    return replace(row, right=right, right_norm=right_norm)


def _share(right: int, values: Sequence[float]) -> float:
    highest = max(values)
    return (values[right] == highest) / sum(value == highest for value in values)


def _pair(name: str, right: str, other: str) -> Pair:
    return Pair(id=name, behavior=BEHAVIOR, positive=right, negative=other, domain="", source="")
