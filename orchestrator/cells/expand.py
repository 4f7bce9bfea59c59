"""Points of a sweep to canonical cells: what cannot affect a cell's outcome is dropped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from orchestrator.config.condition_rules import Point, condition_of
from orchestrator.config.fields import FIELD_OF, FIELDS, Moments
from orchestrator.config.sweep_file import Grid, Sweep
from orchestrator.errors import Problem
from tasks.contract.cell import (
    CellSpec,
    ChoiceSpec,
    Condition,
    DataSpec,
    HingeSpec,
    ModelSpec,
    NodeError,
    ProbeSpec,
    TrainSpec,
)
from tasks.contract.measures import CAPABILITY


@dataclass(frozen=True, slots=True)
class ResolvedData:
    """An SFT mix as far as a spec needs it.

    Attributes:
        digest: sha256 over the records.
        records: How many there are.
        revision: Commit of a hub data set.
        templated: Whether a template decides how the records become text.
        rendered, template_date, template_parts: As in `DataSpec`.
    """

    digest: str
    records: int
    revision: str | None
    templated: bool
    rendered: str | None = None
    template_date: str | None = None
    template_parts: bool = False


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

    def capability(self, point: Point) -> ChoiceSpec:
        """The multiple-choice set of a point that has one."""

    def texts(self, point: Point) -> None:
        """Check that the SFT source can be read."""


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
        """Every cell, baselines first: the order of the manifest. The schedule has its own."""
        return self.baselines + self.cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """Cells of a sweep that are not run now.

    Attributes:
        cells: Cells without a result: that no undecided claim needs yet, or that nobody named.
        told: Which claims are looked at next, or what was named in vain; for people.
    """

    cells: frozenset[str] = frozenset()
    told: str = ""


def expand(sweep: Sweep, resolver: Resolver) -> tuple[Expansion, list[Problem]]:
    """All cells, and everything about models, data and probes that does not fit."""
    cells: dict[str, CellSpec] = {}
    baselines: dict[str, CellSpec] = {}
    problems: dict[str, Problem] = {}
    for grid, point in sweep.points():
        try:
            specs = specs_of(point, resolver)
        except _UnresolvedError as error:
            _note(error, sweep, grid, problems)
            continue
        for spec in specs:
            if spec.condition.trains:
                kept = replace(spec, grad_checkpoint=sweep.run.grad_checkpoint)
                cells.setdefault(spec.cell_id, kept)
            else:
                baselines.setdefault(spec.cell_id, spec)
    expansion = Expansion(
        named=sweep.named, cells=tuple(cells.values()), baselines=tuple(baselines.values())
    )
    return expansion, list(problems.values())


def unresolved(sweep: Sweep, resolver: Resolver) -> list[Problem]:
    """What does not fit about models, probes and data of a sweep in which other things are wrong.

    Looks at what is named by fields that are right; without a grid that is right, at one of SFT
    alone.
    """
    problems: dict[str, Problem] = {}
    one = Grid(axes={"condition": (str(Condition.SFT_ONLY),)}, route=("grid",))
    for grid, point in replace(sweep, grids=sweep.grids or (one,)).points():
        try:
            _resolve(point, resolver, partial(sweep.is_sound, grid))
        except _UnresolvedError as error:
            _note(error, sweep, grid, problems)
    return list(problems.values())


class _UnresolvedError(Exception):
    """What does not fit about a point: (field, message) of every finding."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(message for _, message in found))
        self.found = found


def _note(error: _UnresolvedError, sweep: Sweep, grid: Grid, problems: dict[str, Problem]) -> None:
    for field, message in error.found:
        problems.setdefault(message, sweep.document.problem(grid.place(field), message))


def specs_of(point: Point, resolver: Resolver) -> tuple[CellSpec, ...]:
    """The baseline that goes with a point, and the point's own cell if it trains."""
    condition = condition_of(point)
    model, found, data, choices = _resolve(point, resolver)
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
        capability=choices,
    )
    if data is None:
        return (baseline,)
    train = TrainSpec(**{f: point[f"train.{f}"] for f in TrainSpec.__dataclass_fields__})
    records = data.records
    trained = CellSpec(
        condition=condition,
        model=model,
        probes=probes,
        max_length=point["train.max_length"],
        train=train,
        data=_data(point, data) if condition.has_sft else None,
        sft_records=records,
        hinge=_hinge(point, condition, found) if condition.has_pairs else None,
        seed=point["seed"],
        eval_steps=_steps("train.eval_at", point["train.eval_at"], train, records),
        keep_steps=_steps("train.keep_at", point["train.keep_at"], train, records),
        capability=choices,
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


MODEL = ("model", "model_revision", "train.lora_keys")
PROBES = ("probes.pack", "probes.train", "probes.evaluate", "probes.heldout")
DATA = (*PROBES, "data.sft", "data.size", "data.trap_fraction", "data.refusal_fraction")


def _resolve(
    point: Point, resolver: Resolver, sound: Callable[[tuple[str, ...]], bool] = bool
) -> tuple[ModelSpec, ResolvedProbes, ResolvedData | None, ChoiceSpec | None]:
    """Model, probes, where the point trains data, and the multiple-choice set if it has one.

    Args:
        point: Whose.
        resolver: Knows models, packs and texts.
        sound: Whether nothing is wrong with some fields; what they name is looked at only then.

    Raises:
        _UnresolvedError: Everything about them that does not fit.
    """
    found: list[tuple[str, str]] = []

    def ask(field: str, reads: tuple[str, ...], call: Callable[[], T]) -> T | None:
        try:
            return call() if sound(reads) else None
        except NodeError as error:
            found.append(_placed(field, str(error), point))
            return None

    name, revision, keys = (point[k] for k in MODEL)
    model = ask("model", MODEL, lambda: resolver.model(name, revision, keys))
    probes = ask("probes.pack", PROBES, lambda: resolver.probes(point))
    data = None
    if condition_of(point).trains:
        if probes is not None and sound(DATA):
            data = ask("data.sft", DATA, lambda: resolver.data(point))
        else:  # what the mix is made with is wrong; its source may be, too
            ask("data.sft", ("data.sft",), lambda: resolver.texts(point))
    choices = None
    if point[CAPABILITY] is not None:
        reads = (CAPABILITY, "train.max_length")
        choices = ask(CAPABILITY, reads, lambda: resolver.capability(point))
    if model is None or probes is None or found:
        raise _UnresolvedError(found)
    return model, probes, data, choices


def _placed(field: str, message: str, point: Point) -> tuple[str, str]:
    """A message that begins with a field, or is about behaviours, belongs to that field."""
    named, _, rest = message.partition(": ")
    if named in FIELDS:
        return named, rest
    for name in ("probes.train", "probes.evaluate"):
        if any(f'no behaviour "{b}"' in message for b in point[name]):
            return name, message
    return field, message


def _steps(field: str, moments: Moments | None, train: TrainSpec, records: int) -> tuple[int, ...]:
    """Optimizer steps of moments within a training; its end goes without saying.

    Raises:
        _UnresolvedError: A moment is after the end, or two are the same step.
    """
    last, places = train.step_at(train.epochs, records), dict[int, float]()
    for value in moments.values if moments else ():
        epochs = moments is not None and moments.unit == "epochs"
        step = train.step_at(value, records) if epochs else int(value)
        if step > last:
            text = f"step {step} is after the end of a training of {last} steps"
            raise _UnresolvedError([(field, text)])
        if step in places:
            text = f"{places[step]:g} and {value:g} epochs are the same optimizer step ({step})"
            raise _UnresolvedError([(field, text)])
        places[step] = value
    return tuple(step for step in places if step < last)


def template_of(point: Point) -> str:
    """How records without a `text` become one: `chat` or `plain`."""
    return point["data.template"] or "chat"


def _data(point: Point, found: ResolvedData) -> DataSpec:
    return DataSpec(
        sft=point["data.sft"],
        size=point["data.size"],
        trap_fraction=point["data.trap_fraction"],
        refusal_fraction=point["data.refusal_fraction"],
        template=template_of(point) if found.templated else None,
        revision=found.revision,
        digest=found.digest,
        rendered=found.rendered,
        template_date=found.template_date,
        template_parts=found.template_parts,
    )


def _hinge(point: Point, condition: Condition, found: ResolvedProbes) -> HingeSpec:
    behaviors = point["probes.train"]
    return HingeSpec(
        rho_weight=point["rho_weight"],
        **{name: point[FIELD_OF[name]] for name in condition.pair_settings},
        pairs_per_step=point["train.pairs_per_step"] or len(behaviors),
        behaviors=behaviors,
        pool_digest=found.pool_digest,
    )
