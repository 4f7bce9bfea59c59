"""Which pairs are held out, and what may therefore be trained on."""

import hashlib
from collections.abc import Iterable

from tasks.data.probe_packs import Pair

TRAIN, HELDOUT = "train", "heldout"


def split_pairs(pairs: Iterable[Pair], heldout: float) -> dict[str, str]:
    """`train` or `heldout` for every pair, by id.

    Within each behaviour the pairs are ordered by the sha256 of their id and the first
    `round(heldout * n)` are held out. So the split depends on ids alone, not on the order of
    the file, and a larger share holds out a superset.
    """
    by_behavior: dict[str, list[str]] = {}
    for pair in pairs:
        by_behavior.setdefault(pair.behavior, []).append(pair.id)
    split: dict[str, str] = {}
    for ids in by_behavior.values():
        ordered = sorted(ids, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
        count = round(heldout * len(ordered))
        split |= {key: HELDOUT if i < count else TRAIN for i, key in enumerate(ordered)}
    return split


class HeldoutGuard:
    """Recognises texts that contain a held-out text, however it is cased or spaced."""

    def __init__(self, pairs: Iterable[Pair], split: dict[str, str]) -> None:
        held = [p for p in pairs if split[p.id] == HELDOUT]
        self._needles = sorted({normal(t) for p in held for t in (p.positive, p.negative)})

    def touches(self, text: str) -> bool:
        """Whether `text` contains a held-out text."""
        haystack = normal(text)
        return any(needle in haystack for needle in self._needles)


def train_pool(
    pairs: Iterable[Pair], split: dict[str, str], behaviors: tuple[str, ...], guard: HeldoutGuard
) -> tuple[Pair, ...]:
    """The pairs that training may see, ordered by id: of the train split, free of held-out text."""
    return tuple(
        sorted(
            (
                p
                for p in pairs
                if p.behavior in behaviors
                and split[p.id] == TRAIN
                and not guard.touches(p.positive)
                and not guard.touches(p.negative)
            ),
            key=lambda p: p.id,
        )
    )


def normal(text: str) -> str:
    """The text in lower case with single spaces."""
    return " ".join(text.lower().split())
