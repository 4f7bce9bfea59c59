"""A cell between two optimizer steps, or between two passes of its scoring, as bytes and back.

Every random stream is derived from seed and step, so that the state is small: the adapter, the
optimizer's moments, the rows so far, and what `Outlook` has learned; then the losses of the passes
that are scored, and of the points of the training that are done all that is kept of them.
"""

import io
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn
from mlx.utils import tree_map_with_path

from tasks.contract.cell import Adapter, Point, ProbeScoreRow, ScoreRow, StepRow
from tasks.passes.trie import Floats

ADAPTER, OPTIMIZER, SCORED, KEPT = "adapter/", "optimizer/", "scored/", "kept/"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A cell between two optimizer steps, or between two passes of its scoring.

    Attributes:
        adapter: Its tensors by name; none for a baseline.
        optimizer: The optimizer's arrays by path; none once training has ended.
        rows: One per step done; the next step is number `len(rows)`, from 0.
        outlook: Share of active pairs by behaviour.
        elapsed_s: Seconds of training so far, over all attempts that it is built on.
        scored: Name of a pass of the scoring -> its losses.
        score_s: Seconds of scoring so far, over all attempts.
        points: Those of the training that are done.
    """

    adapter: dict[str, mx.array] = field(default_factory=dict)
    optimizer: dict[str, mx.array] = field(default_factory=dict)
    rows: tuple[StepRow, ...] = ()
    outlook: dict[str, float] = field(default_factory=dict)
    elapsed_s: float = 0.0
    scored: dict[str, Floats] = field(default_factory=dict)
    score_s: float = 0.0
    points: tuple[Point, ...] = ()

    @property
    def passes(self) -> int:
        """Passes of all scorings that need not run again."""
        return len(self.scored) + sum(point.passes for point in self.points)

    @property
    def done(self) -> int:
        """Optimizer steps and passes that need not run again; grows while the cell goes on."""
        return len(self.rows) + self.passes

    def restore(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Put adapter and optimizer back, with the very bits they had."""
        model.load_weights(list(self.adapter.items()), strict=False)
        if self.optimizer:
            optimizer.init(model.trainable_parameters())
            state = tree_map_with_path(lambda path, _: self.optimizer[path], optimizer.state)
            optimizer.state = state
        mx.eval(model.trainable_parameters(), optimizer.state)


def dump(state: State) -> bytes:
    """The content of a checkpoint; `load` is the inverse."""
    tensors = {ADAPTER + k: v for k, v in state.adapter.items()}
    tensors |= {OPTIMIZER + k: v for k, v in state.optimizer.items()}
    # MLX has no float64 on a GPU: the bits of losses travel as integers
    tensors |= {SCORED + k: mx.array(v.view(np.uint32)) for k, v in state.scored.items()}
    for point in state.points:
        if point.adapter is not None:
            tensors[f"{KEPT}{point.step}"] = mx.array(
                np.frombuffer(point.adapter.weights, np.uint8)
            )
    facts = {
        "rows": [asdict(row) for row in state.rows],
        "points": [_plain(point) for point in state.points],
        "outlook": state.outlook,
        "elapsed_s": state.elapsed_s,
        "score_s": state.score_s,
    }
    buffer = io.BytesIO()
    mx.save_safetensors(buffer, tensors, metadata={"facts": json.dumps(facts)})
    return buffer.getvalue()


def load(body: bytes) -> State:
    """The state in these bytes; whatever is wrong with them is an error of some kind."""
    found: Any = mx.load(io.BytesIO(body), format="safetensors", return_metadata=True)
    tensors, metadata = found
    mx.eval(tensors)
    facts = json.loads(metadata["facts"])
    adapter, optimizer, scored = (
        {k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)}
        for part in (ADAPTER, OPTIMIZER, SCORED)
    )
    return State(
        adapter=adapter,
        optimizer=optimizer,
        rows=tuple(StepRow(**row) for row in facts["rows"]),
        points=tuple(_point(raw, tensors) for raw in facts["points"]),
        outlook=facts["outlook"],
        elapsed_s=facts["elapsed_s"],
        scored={k: np.asarray(v).view(np.float64) for k, v in scored.items()},
        score_s=facts["score_s"],
    )


def _plain(point: Point) -> dict[str, Any]:
    """A point as JSON-ready values, without the weights of its adapter."""
    config = point.adapter and point.adapter.config
    return asdict(replace(point, adapter=None)) | {"adapter": config}


def _point(raw: dict[str, Any], tensors: dict[str, mx.array]) -> Point:
    """The inverse of `_plain`."""
    adapter = None
    if raw["adapter"] is not None:
        weights = np.asarray(tensors[f"{KEPT}{raw['step']}"]).tobytes()
        adapter = Adapter(weights=weights, config=raw["adapter"])
    return Point(
        step=raw["step"],
        scores=tuple(ScoreRow(**row) for row in raw["scores"]),
        probe_scores=tuple(ProbeScoreRow(**row) for row in raw["probe_scores"]),
        adapter=adapter,
        passes=raw["passes"],
    )
