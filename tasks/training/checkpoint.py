"""A training between two optimizer steps, as bytes and back.

Every random stream is derived from seed and step, so that the state is small: the adapter, the
optimizer's moments, the rows so far, and what `Outlook` has learned.
"""

import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from mlx import nn
from mlx.utils import tree_flatten, tree_map_with_path

from tasks.contract.cell import RECIPE_VERSION, CellSpec, StepRow
from tasks.contract.checkpoint_envelope import Envelope, Origin, Saving, UnusableError, seal, unseal
from tasks.model.machine import describe, family
from tasks.passes.step import Outlook
from tasks.sources.remembered import code_digest

ADAPTER, OPTIMIZER = "adapter/", "optimizer/"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A training between two optimizer steps.

    Attributes:
        adapter: Its tensors by name.
        optimizer: The optimizer's arrays by path.
        rows: One per step done; the next step is number `len(rows)`, from 0.
        outlook: Share of active pairs by behaviour.
        elapsed_s: Seconds of training so far, over all attempts that it is built on.
    """

    adapter: dict[str, mx.array]
    optimizer: dict[str, mx.array]
    rows: tuple[StepRow, ...]
    outlook: dict[str, float]
    elapsed_s: float

    def restore(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Put adapter and optimizer back, with the very bits they had."""
        model.load_weights(list(self.adapter.items()), strict=False)
        optimizer.init(model.trainable_parameters())
        optimizer.state = tree_map_with_path(lambda path, _: self.optimizer[path], optimizer.state)
        mx.eval(model.trainable_parameters(), optimizer.state)


class Keeper:
    """Makes a checkpoint as soon as more than `every_s` of training would be lost without it."""

    def __init__(self, origin: Origin, saving: Saving, start: State | None) -> None:
        self._origin, self._saving = origin, saving
        self._before_s = start.elapsed_s if start else 0.0
        self._started = self._kept = time.perf_counter()

    def look(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        rows: Sequence[StepRow],
        outlook: Outlook,
    ) -> None:
        """Hand a checkpoint to `saving.keep` if one is due; to be called after every step."""
        now = time.perf_counter()
        if not self._saving.every_s or now - self._kept < self._saving.every_s:
            return
        state = State(
            adapter=dict(tree_flatten(model.trainable_parameters())),
            optimizer=dict(tree_flatten(optimizer.state)),
            rows=tuple(rows),
            outlook=dict(outlook.share),
            elapsed_s=self._before_s + now - self._started,
        )
        self._saving.keep(dump(state, self._origin))
        self._kept = time.perf_counter()


def origin(spec: CellSpec) -> Origin:
    """What a checkpoint that this process makes of a cell depends on."""
    machine = describe()
    return Origin(
        cell_id=spec.cell_id,
        recipe=RECIPE_VERSION,
        code=code_digest(),
        mlx=machine.mlx,
        backend=machine.backend,
        family=family(machine.chip),
    )


def dump(state: State, made: Origin) -> bytes:
    """Checkpoint file: header (cell, recipe, code, MLX, chip) and SHA-256, then the state."""
    tensors = {ADAPTER + k: v for k, v in state.adapter.items()}
    tensors |= {OPTIMIZER + k: v for k, v in state.optimizer.items()}
    facts = {
        "rows": [asdict(row) for row in state.rows],
        "outlook": state.outlook,
        "elapsed_s": state.elapsed_s,
    }
    buffer = io.BytesIO()
    mx.save_safetensors(buffer, tensors, metadata={"facts": json.dumps(facts)})
    return seal(Envelope(origin=made, step=len(state.rows), body=buffer.getvalue()))


def load(sealed: bytes, here: Origin) -> State:
    """The state in these bytes.

    Raises:
        UnusableError: They are torn, or going on from them here would give other bits.
    """
    envelope = unseal(sealed)
    envelope.demand(here)
    try:
        found: Any = mx.load(io.BytesIO(envelope.body), format="safetensors", return_metadata=True)
        tensors, metadata = found
        mx.eval(tensors)
        facts = json.loads(metadata["facts"])
        adapter, optimizer = (
            {k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)}
            for part in (ADAPTER, OPTIMIZER)
        )
        return State(
            adapter=adapter,
            optimizer=optimizer,
            rows=tuple(StepRow(**row) for row in facts["rows"]),
            outlook=facts["outlook"],
            elapsed_s=facts["elapsed_s"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UnusableError(f"its content cannot be read ({error})") from error
