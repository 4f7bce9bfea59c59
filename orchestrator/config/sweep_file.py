"""A sweep file, checked: its settings, and its grids as points. Pure but for reading the file."""

import copy
import functools
import itertools
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from orchestrator.config.anchors import PATHS, anchored
from orchestrator.config.checked import UNSET, Checked, Finding, Name, affected, read, schema_of
from orchestrator.config.condition_rules import Point
from orchestrator.config.contrasts import (
    Analysis,
    Contrast,
    Questions,
    anchored_arms,
    contrasts_of,
    questions_of,
    unanswerable,
)
from orchestrator.config.fields import (
    FIELDS,
    GRID_ONLY,
    OF_A_POINT,
    WITHIN,
    Base,
    Data,
    Evaluate,
    GridFields,
    Probes,
    RunSettings,
    StressSettings,
    Track,
    Train,
)
from orchestrator.config.preset_files import preset_text, presets
from orchestrator.config.yaml_lines import (
    Document,
    Route,
    assign,
    dump_yaml,
    parse_yaml,
    raise_problems,
)
from orchestrator.errors import Problem, SweepError, UserError
from tasks.contract.cell import NodeError
from tasks.sources.jsonl import read_text
from tasks.sources.paths import real

MOST_POINTS = 200_000
"""Of all grids of a file; a launch of so many cells would take years."""
__all__ = ["Sweep", "SweepFile", "as_text", "load", "parse", "preset_text", "presets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A product of axes.

    Attributes:
        axes: Field -> values, in the order of the file.
        route: Where it stands in the file.
    """

    axes: dict[str, tuple[Any, ...]]
    route: Route

    def place(self, field: str) -> Route:
        """Where the value of a field stands: in the grid, or outside."""
        return (*self.route, field) if field in self.axes else tuple(field.split("."))


class SweepFile(Base):
    """A sweep file of rho-sweep."""

    name: Name = Field(description="names the results folder, results/NAME", examples=["my-sweep"])
    description: str = Field(default="", description="one line for people")
    grid: GridFields = Field(
        default=UNSET, description="a product of axes; its points are the cells"
    )
    grids: list[GridFields] = Field(
        default=UNSET,
        min_length=1,
        description="several grids, concatenated",
        json_schema_extra={"x-must": "be a list of grids, not empty"},
    )
    train: Train = Field(default=Train(), description="optimisation of one adapter")
    data: Data = Field(default=Data(), description="the mix of SFT texts")
    probes: Probes = Field(default=Probes(), description="the probe pairs")
    evaluate: Evaluate = Field(
        default=Evaluate(), description="what is measured of every cell beside its probe pairs"
    )
    stress: StressSettings = Field(
        default=StressSettings(), description="a test of generated answers that ends a launch"
    )
    run: RunSettings = Field(
        default=RunSettings(), description="how cells are run; never changes a result"
    )
    track: Track = Field(
        default=Track(), description="trackers that each cell is written to; never changes a result"
    )
    analysis: Analysis | None = Field(
        default=None, description="questions asked before there are data"
    )

    model_config = ConfigDict(
        title="Sweep",
        json_schema_extra={
            "anyOf": [{"required": ["grid"]}, {"required": ["grids"]}],
            "if": {"not": {"required": ["model"]}},
            "then": {
                "properties": {
                    "grid": {"required": ["model"]},
                    "grids": {"items": {"required": ["model"]}},
                }
            },
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A valid sweep file.

    Attributes:
        name: Names the results folder.
        description: One line for people.
        base: Every field that is no axis, with its value.
        grids: One or more, concatenated.
        run: How cells are run.
        track: Trackers that cells are written to.
        questions: The contrasts to be registered.
        stress: The test of generated answers that follows its cells; None for none.
        document: For messages that name lines.
        wrong: Places that are wrong, while the problems of a file are being collected; else none.
    """

    name: str
    description: str
    base: dict[str, Any]
    grids: tuple[Grid, ...]
    run: RunSettings
    track: Track
    questions: Questions
    stress: StressSettings | None
    document: Document
    wrong: frozenset[Route] = frozenset()

    def points(self) -> Iterator[tuple[Grid, Point]]:
        """Every point of every grid: field -> value, nothing left out."""
        for grid in self.grids:
            for values in itertools.product(*grid.axes.values()):
                yield grid, self.base | dict(zip(grid.axes, values, strict=True))

    def is_sound(self, grid: Grid, fields: Iterable[str]) -> bool:
        """Whether none of some fields is wrong, as far as is known."""
        return not affected([grid.place(f) for f in fields], self.wrong)

    @property
    def named(self) -> int:
        """Points of all grids, before anything is found to be the same."""
        return sum(1 for _ in self.points())


Also = Callable[[Sweep], Iterable[Problem]]


def schema_text(kind: type[Checked]) -> str:
    """The JSON Schema of a file, as text."""
    return json.dumps(schema_of(kind), indent=2) + "\n"


def load(sweep: str, settings: Sequence[str] = (), also: Also | None = None) -> Sweep:
    """Read a sweep file or preset and check everything that needs no model or data.

    Args:
        sweep: Path of a YAML file, or a preset's name.
        settings: `key=value` texts that override the file.
        also: As in `parse`.

    Raises:
        UserError: The file cannot be read; `SweepError` lists what is wrong in it.
    """
    if Path(sweep).is_file() or "/" in sweep or sweep.endswith((".yaml", ".yml")):
        try:
            text = read_text(Path(sweep))
        except NodeError as error:
            raise UserError(str(error)) from None
        document = parse_yaml(text, sweep, real(sweep).parent)
    else:
        document = parse_yaml(preset_text(sweep), sweep, Path.cwd())
    for setting in settings:
        assign(document, setting)
    return parse(document, also)


def as_text(sweep: Sweep) -> str:
    """The sweep as a file that says the same wherever it lies."""
    content = copy.deepcopy(sweep.document.value)
    for name in PATHS:
        *sections, key = name.split(".")
        holder = content
        for section in sections:
            holder = holder.get(section, {})
        if key in holder:
            holder[key] = anchored(name, holder[key], sweep.document.folder)
    for _, grid in _raw_grids(Document("", sweep.document.folder, content)):
        for name in PATHS:
            if name in grid:
                values = grid[name] if isinstance(grid[name], list) else [grid[name]]
                grid[name] = [anchored(name, v, sweep.document.folder) for v in values]
    for contrast in (content.get("analysis") or {}).get("contrasts", []):
        contrast.update(anchored_arms(contrast, sweep.document.folder))
    return dump_yaml(content)


def parse(document: Document, also: Also | None = None) -> Sweep:
    """Check a document.

    Args:
        document: Content of a sweep file.
        also: Finds more problems of a sweep that has some; called with what is right of it, so that
            one report has them all.

    Raises:
        SweepError: Everything that is wrong with it.
    """
    raw = document.value
    found, problems, wrong = read(SweepFile, document)
    problems[:0] = document.problems
    if found is None:
        raise SweepError(document.source, problems)
    grids = tuple(_grids(found, document, wrong))
    if (points := sum(math.prod(map(len, grid.axes.values())) for grid in grids)) > MOST_POINTS:
        text = f"names {points:,} points; at most {MOST_POINTS:,} are planned: shorten an axis"
        raise_problems(document, [*problems, document.problem(grids[0].route, text)])
    base: dict[str, Any] = dict.fromkeys(GRID_ONLY)
    for name in FIELDS:
        if name not in GRID_ONLY:
            value = functools.reduce(getattr, name.split("."), found)
            base[name] = anchored(name, value, document.folder)
    stress = found.stress.model_copy(update={"prompts": base["stress.prompts"]})
    sweep = Sweep(
        name=found.name,
        description=found.description,
        base={k: v for k, v in base.items() if k in OF_A_POINT},
        grids=grids,
        run=found.run,
        track=found.track,
        questions=Questions() if wrong else questions_of(raw, document.folder),
        stress=stress if "stress" in raw else None,
        document=document,
        wrong=frozenset(wrong),
    )
    for place, message, reads in _together(sweep, contrasts_of(raw, document.folder, wrong)):
        if not affected((place, *reads), wrong):
            problems.append(document.problem(place, message))
            sweep = replace(sweep, wrong=sweep.wrong | {place})
    if problems:
        raise_problems(document, [*problems, *(also(sweep) if also else ())])
    return sweep


def _together(sweep: Sweep, contrasts: dict[int, Contrast]) -> Iterator[Finding]:
    """What only shows when parts of a file are seen together."""
    raw = sweep.document.value
    given = [grid for _, grid in _raw_grids(sweep.document)]
    if "grid" not in raw and "grids" not in raw:
        yield ("grid",), "is missing; it names the cells", ()
    if "model" not in raw and not (
        given and all(isinstance(g, dict) and "model" in g for g in given)
    ):
        yield ("model",), "is missing", ()
    seen: set[str] = set()
    for grid, point in sweep.points():
        for message, *fields in _clashes(point, sweep.run):
            if message not in seen:
                seen.add(message)
                home, *others = (grid.place(f) for f in fields)
                yield home, message, tuple(others)
    looks = sweep.questions.looks
    seeds = {point["seed"] for _, point in sweep.points()}
    if looks is not None and looks.ns and looks.ns[-1] > len(seeds):
        text = f"looks at {looks.ns[-1]} seeds; the grids have {len(seeds)}"
        yield ("analysis", "sequential", "looks"), text, (("grid",), ("grids",))
    if sweep.grids:
        yield from unanswerable(contrasts, (p for _, p in sweep.points()))


def _grids(found: SweepFile, document: Document, wrong: Collection[Route]) -> Iterator[Grid]:
    """The grids that are right, their axes in the order of the file."""
    checked = [found.grid] if found.grid else []
    checked += found.grids or []
    right = [(r, raw) for r, raw in _raw_grids(document) if not {r, r[:1]} & set(wrong)]
    for (route, raw), grid in zip(right, checked, strict=True):
        axes = grid.axes()
        yield Grid(
            axes={n: anchored(n, axes[n], document.folder) for n in raw if n in axes}, route=route
        )


def _raw_grids(document: Document) -> list[tuple[Route, Any]]:
    raw = document.value
    found: list[tuple[Route, Any]] = [(("grid",), raw["grid"])] if "grid" in raw else []
    if isinstance(raw.get("grids"), list):
        found += [(("grids", i), grid) for i, grid in enumerate(raw["grids"])]
    return found


def _clashes(point: Point, run: RunSettings) -> Iterator[tuple[str, ...]]:
    """Message and fields of every clash, the field that is named first."""
    if run.grad_checkpoint and point["train.lora_dropout"] > 0:
        yield (
            "with train.lora_dropout the second pass would draw anew",
            "run.grad_checkpoint",
            "train.lora_dropout",
        )
    for name in WITHIN:
        found, epochs = point[name], point["train.epochs"]
        if found is not None and found.unit == "epochs" and found.values[-1] > epochs:
            text = f"{found.values[-1]:g} epochs are more than the training has ({epochs})"
            yield text, name, "train.epochs"
    trap, refusal = "data.trap_fraction", "data.refusal_fraction"
    share = point[trap] + point[refusal]
    if share > 1:
        yield f"together with {refusal} it is {share:g}, above 1", trap, refusal
    if share == 1 and point["data.size"] is None:
        text = "is missing, and without instructions nothing else says how many texts"
        yield text, "data.size", trap, refusal
    per_step, behaviors = point["train.pairs_per_step"], point["probes.train"]
    if per_step is not None and per_step % len(behaviors):
        count = len(behaviors)
        text = f"must be a multiple of {count}, the trained behaviours; got {per_step}"
        yield text, "train.pairs_per_step", "probes.train"
