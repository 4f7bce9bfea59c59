"""Every setting that the weights of the shipped model depend on."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Data and training of the tiny model.

    Attributes:
        seed: Seed of every random stream.
        steps: Optimizer steps.
        tokens_per_batch: Positions in a batch, with padding.
        peak_rate: Learning rate after the warmup; it then falls on a cosine to a tenth.
        warmup_steps: Steps over which the learning rate rises linearly.
        betas: AdamW's decay of the two moments.
        weight_decay: AdamW's decoupled decay.
        clip_norm: Global gradient norm is cut to this.
        init_scale: Standard deviation of the initial embeddings and projections.
        known_share: Share of the factual training positives among the texts; the others are left
            for a sweep to teach.
    """

    seed: int = 0
    steps: int = 1500
    tokens_per_batch: int = 512
    peak_rate: float = 3e-3
    warmup_steps: int = 50
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    init_scale: float = 0.08
    known_share: float = 0.75

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warmup_steps:
            return self.peak_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.peak_rate * (0.55 + 0.45 * math.cos(math.pi * done))
