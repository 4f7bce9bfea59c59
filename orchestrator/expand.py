"""Points of a sweep to canonical cells: what cannot affect a cell's outcome is dropped."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from orchestrator.document import Route
from orchestrator.errors import Problem
from orchestrator.sweep import Grid, Point, Sweep
from tasks.contract import (
    CellSpec,
    Condition,
    DataSpec,
    HingeSpec,
    ModelSpec,
    NodeError,
    ProbeSpec,
    TrainSpec,
)


@dataclass(frozen=True, slots=True)
class ResolvedData:
    """An SFT mix as far as a spec needs it."""

    digest: str
    records: int
    revision: str | None


@dataclass(frozen=True, slots=True)
class ResolvedProbes:
    """A pack as far as a spec needs it."""

    digest: str
    pool_digest: str


T = TypeVar("T")


class Resolver(Protocol):
    """Turns names into content digests. Each call may raise `NodeError`."""

    def model(self, name: str, revision: str | None, lora_keys: tuple[str, ...]) -> ModelSpec:
        """Which model it is; checks the names of the projections."""

    def probes(self, point: Point) -> ResolvedProbes:
        """Digests of the evaluated pairs and of the training pool."""

    def data(self, point: Point) -> ResolvedData:
        """Digest and size of the SFT mix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """The cells of a sweep.

    Attributes:
        named: Points of the grids, before anything is found to be the same.
        cells: Distinct cells the grids name, in order, baselines aside.
        baselines: One untrained evaluation per (model, probes).
    """

    named: int
    cells: tuple[CellSpec, ...]
    baselines: tuple[CellSpec, ...]

    @property
    def all(self) -> tuple[CellSpec, ...]:
        """Everything to run, baselines first."""
        return self.baselines + self.cells


def expand(sweep: Sweep, resolver: Resolver) -> tuple[Expansion, list[Problem]]:
    """All cells, and everything about models, data and probes that does not fit."""
    cells: dict[str, CellSpec] = {}
    baselines: dict[str, CellSpec] = {}
    problems: dict[str, Problem] = {}
    for grid, point in sweep.points():
        try:
            for spec in specs_of(point, resolver):
                target = cells if spec.condition.trains else baselines
                target.setdefault(spec.cell_id, spec)
        except _UnresolvedError as error:
            problems.setdefault(
                str(error), sweep.document.problem(_route(grid, error.field), str(error))
            )
    expansion = Expansion(
        named=sweep.named, cells=tuple(cells.values()), baselines=tuple(baselines.values())
    )
    return expansion, list(problems.values())


class _UnresolvedError(Exception):
    """A `NodeError`, with the field it belongs to."""

    def __init__(self, field: str, error: NodeError) -> None:
        super().__init__(str(error))
        self.field = field


def _route(grid: Grid, field: str) -> Route:
    return (*grid.route, field) if field in grid.axes else tuple(field.split("."))


def specs_of(point: Point, resolver: Resolver) -> tuple[CellSpec, ...]:
    """The baseline that goes with a point, and the point's own cell if it trains."""
    keys = point["train.lora_keys"]
    model = _resolve(
        "model",
        lambda: resolver.model(point["model"], point["model_revision"], keys),
    )
    found = _resolve("probes.pack", lambda: resolver.probes(point))
    probes = ProbeSpec(
        pack=point["probes.pack"],
        train=point["probes.train"],
        evaluate=point["probes.evaluate"],
        heldout=point["probes.heldout"],
        digest=found.digest,
    )
    baseline = CellSpec(
        condition=Condition.BASELINE,
        model=model,
        probes=_untrained(probes),
        max_length=point["train.max_length"],
    )
    condition = _condition(point)
    if not condition.trains:
        return (baseline,)
    data = _resolve("data.sft", lambda: resolver.data(point))
    trained = CellSpec(
        condition=condition,
        model=model,
        probes=probes,
        max_length=point["train.max_length"],
        train=_train(point),
        data=_data(point, data) if condition.has_sft else None,
        sft_records=data.records,
        hinge=_hinge(point, found) if condition.has_hinge else None,
        seed=point["seed"],
    )
    return baseline, trained


def _untrained(probes: ProbeSpec) -> ProbeSpec:
    """A baseline has no trained behaviours; what they are cannot affect it."""
    return ProbeSpec(
        pack=probes.pack,
        train=(),
        evaluate=probes.evaluate,
        heldout=probes.heldout,
        digest=probes.digest,
    )


def _resolve(field: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except NodeError as error:
        raise _UnresolvedError(_field_of(str(error), field), error) from None


def _field_of(message: str, field: str) -> str:
    """Messages about projections and behaviours belong to those fields."""
    if message.startswith("train.lora_keys"):
        return "train.lora_keys"
    if "has no behaviour" in message:
        return "probes.evaluate"
    return field


def _condition(point: Point) -> Condition:
    """Weight 0 is sft-only, whatever the pairs were to be."""
    condition = Condition(point["condition"])
    if condition.has_hinge and condition.has_sft and point["rho_weight"] == 0:
        return Condition.SFT_ONLY
    return condition


def _train(point: Point) -> TrainSpec:
    names = TrainSpec.__dataclass_fields__
    return TrainSpec(**{name: point[f"train.{name}"] for name in names})


def _data(point: Point, found: ResolvedData) -> DataSpec:
    return DataSpec(
        sft=point["data.sft"],
        size=point["data.size"],
        trap_fraction=point["data.trap_fraction"],
        refusal_fraction=point["data.refusal_fraction"],
        template=point["data.template"] or ("plain" if point["data.sft"] == "alpaca" else "chat"),
        revision=found.revision,
        digest=found.digest,
    )


def _hinge(point: Point, found: ResolvedProbes) -> HingeSpec:
    behaviors = point["probes.train"]
    return HingeSpec(
        rho_weight=point["rho_weight"],
        margin=point["margin"],
        pairs_per_step=point["train.pairs_per_step"] or len(behaviors),
        behaviors=behaviors,
        pool_digest=found.pool_digest,
    )
