"""Named random streams of a seed. Nothing in the project uses global random state."""

import hashlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """An independent generator for one purpose of one seed.

    Args:
        seed: The cell's seed.
        name: The purpose, e.g. `batches` or `pairs/toxicity`.
    """
    return np.random.Generator(np.random.PCG64(entropy(seed, name)))


def entropy(seed: int, name: str) -> int:
    """128 bits derived from a seed and a purpose by hashing."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16], "big")
