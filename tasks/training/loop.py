"""The training loop of one cell."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten, tree_map
from numpy.typing import NDArray

from tasks.contract.cell import StepRow, TrainSpec
from tasks.data.seeding import entropy
from tasks.data.tokens import Tokens
from tasks.model.keeper import Keeper
from tasks.model.model import trainable
from tasks.passes.costs import Costs, Load, Needed, load_of_text
from tasks.passes.losses import PairBatch, PairTerm, objective, pad
from tasks.passes.packed import Packed
from tasks.passes.step import Outlook, Work, take_step
from tasks.training.checkpoint import State, dump
from tasks.training.order import MicroStep, Order, learning_rate


class DivergedError(Exception):
    """A loss or gradient stopped being a number.

    Attributes:
        step: Optimizer step, from 1.
        rows: Steps done before it.
    """

    def __init__(self, step: int, quantity: str, rows: tuple[StepRow, ...]) -> None:
        super().__init__(f"{quantity} is not finite at optimizer step {step}")
        self.step = step
        self.rows = rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a cell trains on, as tokens.

    Attributes:
        order: Which texts and pairs each micro-step sees.
        records: SFT texts; None for a condition without an SFT loss.
        pairs: (positive, negative) in the direction of training; empty without a loss of pairs.
        behaviors: Of every pair.
        reference: Of every pair that is trained on; empty where the loss has no use for one.
    """

    order: Order
    records: list[Tokens] | None
    pairs: tuple[tuple[Tokens, Tokens], ...]
    behaviors: tuple[str, ...]
    reference: Mapping[int, float] = field(default_factory=dict)

    def reference_of(self, pairs: Sequence[int]) -> list[float] | None:
        """Of some pairs, by position; None where there is none."""
        return [self.reference[i] for i in pairs] if self.reference else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Total:
    """An accumulation, added up; arrays may be lazy until the optimizer step is evaluated.

    Attributes:
        gradient: Of the mean objective over the micro-steps; None where it is exactly zero.
        ce: SFT loss of each micro-step.
        of_pairs: (P,) arrays, together the loss of each pair in order.
        skipped: Pairs without a backward pass.
        needed: What the losses and the gradient need at least; None to be counted from the pairs.
    """

    gradient: Any
    ce: Sequence[Any]
    of_pairs: Sequence[Any]
    skipped: int
    needed: Needed | None = None


def train(
    model: nn.Module,
    spec: TrainSpec,
    term: PairTerm | None,
    material: Material,
    seed: int,
    report: Callable[[int, int, float], None],
    packed: Packed | None = None,
    costs: Costs | None = None,
    start: State | None = None,
    keeper: Keeper | None = None,
    until: int | None = None,
) -> State:
    """Train the attached adapter; the model changes in place.

    Args:
        model: With trainable adapter parameters.
        spec: Optimisation.
        term: The loss of pairs; None without pairs.
        material: Tokens and their order.
        seed: Seeds dropout.
        report: Called with (step, steps, loss) after every optimizer step.
        packed: The same model, ready for packed passes; None for plain ones.
        costs: Of the model with its adapter; None leaves the operations uncounted.
        start: Go on from here; None begins with the first step.
        keeper: Looks after every step whether a checkpoint is due.
        until: Stop after so many optimizer steps, counted from the first; None: after the last.

    Returns:
        The state to go on from: what a checkpoint of this moment would hold.

    Raises:
        DivergedError: A loss or gradient is not finite.
    """
    optimizer = optim.AdamW(learning_rate=spec.learning_rate, weight_decay=spec.weight_decay)
    steps = material.order.steps
    start = start or State()
    rows, outlook = list(start.rows), Outlook(dict(start.outlook))
    if rows:
        start.restore(model, optimizer)
    begun = time.perf_counter()

    def state() -> State:
        return replace(
            start,
            adapter=trainable(model),
            optimizer=dict(tree_flatten(optimizer.state)),
            rows=tuple(rows),
            outlook=dict(outlook.share),
            elapsed_s=start.elapsed_s + time.perf_counter() - begun,
        )

    model.train()
    for index, micro_steps in enumerate(steps[len(rows) : until], len(rows)):
        started = time.perf_counter()
        optimizer.learning_rate = learning_rate(spec, index, len(steps))
        if packed is None:
            total = _accumulate(model, term, material, micro_steps, seed, index, spec)
        else:
            total = _step_packed(packed, term, material, micro_steps, outlook)
        gradient = total.gradient
        if gradient is None:
            gradient = tree_map(mx.zeros_like, model.trainable_parameters())
        gradient, norm = optim.clip_grad_norm(gradient, max_norm=spec.clip_norm)
        optimizer.update(model, gradient)
        mx.eval(model.trainable_parameters(), optimizer.state, norm, total.ce, total.of_pairs)
        mx.clear_cache()  # as mlx-lm's trainer does; steps differ in shape, and the cache grows
        row = _measure(
            total, term, material, micro_steps, float(norm), started, index, optimizer, costs
        )
        _demand_finite(row, rows)
        rows.append(row)
        weighted = term.weight * (row.hinge_loss or 0.0) if term else 0.0
        report(index + 1, len(steps), (row.ce_loss or 0.0) + weighted)
        if keeper is not None:
            keeper.look(start.passes + len(rows), lambda: dump(state()))
    return state()


def _step_packed(
    packed: Packed,
    term: PairTerm | None,
    material: Material,
    micro_steps: tuple[MicroStep, ...],
    outlook: Outlook,
) -> _Total:
    """Gradient of all micro-steps at once, packed; updates `outlook`."""
    records = material.records
    work = Work(
        texts=None if records is None else [[records[i] for i in m.records] for m in micro_steps],
        pairs=[[material.pairs[i] for i in m.pairs] for m in micro_steps],
        names=[material.behaviors[i] for m in micro_steps for i in m.pairs],
        term=term,
        reference=material.reference_of([i for m in micro_steps for i in m.pairs]),
    )
    done = take_step(packed, work, outlook, packed.budget)
    return _Total(
        gradient=done.gradient,
        ce=done.ce.tolist(),
        of_pairs=[done.of_pairs],
        skipped=done.skipped,
        needed=done.needed,
    )


def _accumulate(
    model: nn.Module,
    term: PairTerm | None,
    material: Material,
    micro_steps: tuple[MicroStep, ...],
    seed: int,
    index: int,
    spec: TrainSpec,
) -> _Total:
    """Mean gradient over the micro-steps; a last, shorter accumulation counts in full."""
    value_and_grad = nn.value_and_grad(model, objective)
    total: Any = None
    losses: list[mx.array] = []
    of_pairs: list[mx.array] = []
    share, records = 1 / len(micro_steps), material.records
    for k, micro in enumerate(micro_steps):
        if spec.lora_dropout > 0:
            # MLX's dropout reads MLX's global key: set it for this micro-step alone
            mx.random.seed(entropy(seed, f"dropout/{index}/{k}") % 2**63)
        pairs = [material.pairs[i] for i in micro.pairs]
        sft = pad([records[i] for i in micro.records]) if records is not None else None
        reference = material.reference_of(micro.pairs)
        contrast = PairBatch.of(term, pairs, reference) if term and pairs else None
        (_, ce, losses_of_pairs), gradient = value_and_grad(model, sft, contrast, term)
        scaled = tree_map(lambda g: g * share, gradient)
        total = scaled if total is None else tree_map(mx.add, total, scaled)
        losses.append(ce)
        of_pairs.append(losses_of_pairs)
        mx.async_eval(total, ce, losses_of_pairs)  # type: ignore[no-untyped-call]  # MLX has no stub
    return _Total(gradient=total, ce=losses, of_pairs=of_pairs, skipped=0)


def _measure(
    total: _Total,
    term: PairTerm | None,
    material: Material,
    micro_steps: tuple[MicroStep, ...],
    norm: float,
    started: float,
    index: int,
    optimizer: optim.Optimizer,
    costs: Costs | None,
) -> StepRow:
    records, used = material.records, [i for m in micro_steps for i in m.pairs]
    of_pairs = np.concatenate([np.asarray(losses) for losses in total.of_pairs])
    names = np.array([material.behaviors[i] for i in used])
    needed = total.needed or _needed(term, material, micro_steps, of_pairs)
    by_name = {str(name): of_pairs[names == name] for name in dict.fromkeys(names.tolist())}
    return StepRow(
        step=index + 1,
        ce_loss=sum(map(float, total.ce)) / len(total.ce) if records is not None else None,
        hinge_loss=float(of_pairs.mean()) if used else None,
        hinge_active=float((of_pairs > 0).mean()) if used else None,
        hinge_loss_by_behavior={k: float(v.mean()) for k, v in by_name.items()},
        hinge_active_by_behavior={k: float((v > 0).mean()) for k, v in by_name.items()},
        pairs_skipped=total.skipped if used else None,
        grad_norm=norm,
        learning_rate=float(optimizer.learning_rate),
        tokens=sum(len(t) for i in used for t in material.pairs[i])
        + sum(len(records[i]) for m in micro_steps for i in m.records if records is not None),
        flops=costs.of(needed) if costs else None,
        wall_s=time.perf_counter() - started,
    )


def _needed(
    term: PairTerm | None,
    material: Material,
    micro_steps: tuple[MicroStep, ...],
    of_pairs: NDArray[np.float64],
) -> Needed:
    """What an optimizer step needs without packing: each text by itself; of_pairs: (P,)."""
    records = material.records or []
    texts = [load_of_text(records[i]) for m in micro_steps for i in m.records if records]
    pairs = [
        sum((load_of_text(p.text, p.start) for p in term.parts(*material.pairs[i])), Load())
        for m in micro_steps
        for i in m.pairs
        if term
    ]
    active = [load for load, value in zip(pairs, of_pairs.tolist(), strict=True) if value > 0]
    sft = sum(texts, Load())
    return Needed(forward=sum(pairs, sft), backward=sum(active, sft))


def _demand_finite(row: StepRow, rows: list[StepRow]) -> None:
    measured = {
        "SFT loss": row.ce_loss,
        "loss of the pairs": row.hinge_loss,
        "gradient norm": row.grad_norm,
    }
    for quantity, value in measured.items():
        if value is not None and not math.isfinite(value):
            raise DivergedError(row.step, quantity, tuple(rows))
