"""A sweep file, checked: its settings, and its grids as points. Pure but for reading the file."""

import copy
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from orchestrator.config.condition_rules import Point
from orchestrator.config.contrasts import Questions, parse_questions, unanswerable
from orchestrator.config.fields import AXES, FIELDS, GRID_ONLY, SECTIONS, TOP_LEVEL, hint, show
from orchestrator.config.stress_block import StressSettings, stress_clashes, stress_settings
from orchestrator.config.yaml_lines import (
    Document,
    Route,
    assign,
    dump_yaml,
    parse_yaml,
    raise_problems,
)
from orchestrator.errors import Problem, UserError
from tasks.contract.cell import Condition, NodeError
from tasks.sources.jsonl import read_text

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PATHS = ("model", "data.sft", "probes.pack", "stress.prompts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A product of axes.

    Attributes:
        axes: Field -> values, in the order of the file.
        route: Where it stands in the file.
    """

    axes: dict[str, tuple[Any, ...]]
    route: Route

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Its conditions."""
        return tuple(Condition(c) for c in self.axes["condition"])


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How cells are run; none of it changes a result.

    Attributes:
        slots: Cells at once on this machine; None lets the program choose.
        recycle_after: Cells after which a worker process is replaced.
        retries: Attempts after the first for a cell whose process was lost.
        grad_checkpoint: Keep only the layers' inputs for the backward pass: less memory, more time.
        silence_s: A cell without a sign of life for so long is abandoned and run again.
        checkpoint_s: Seconds of training that a lost process may cost; 0 for no checkpoints.
        notify: Shell command that is run on events; see docs/sweep-file.md.
        notify_failures: Share of the cells that may fail before `notify` is run.
    """

    slots: int | None
    recycle_after: int
    retries: int
    grad_checkpoint: bool
    silence_s: float
    checkpoint_s: float
    notify: str | None
    notify_failures: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A valid sweep file.

    Attributes:
        name: Names the results folder.
        description: One line for people.
        base: Every field that is no axis, with its value.
        grids: One or more, concatenated.
        run: How cells are run.
        questions: The contrasts to be registered.
        stress: The test of generated answers that follows its cells; None for none.
        document: For messages that name lines.
    """

    name: str
    description: str
    base: dict[str, Any]
    grids: tuple[Grid, ...]
    run: RunSettings
    questions: Questions
    stress: StressSettings | None
    document: Document

    def points(self) -> Iterator[tuple[Grid, Point]]:
        """Every point of every grid: field -> value, nothing left out."""
        return _points(self.base, self.grids)

    @property
    def named(self) -> int:
        """Points of all grids, before anything is found to be the same."""
        return sum(1 for _ in self.points())


def presets() -> list[str]:
    """Names of the built-in sweeps."""
    folder = resources.files(__package__) / "presets"
    return sorted(
        p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")
    )


def preset_text(name: str) -> str:
    """The commented file of a built-in sweep.

    Raises:
        UserError: There is none of that name.
    """
    if name not in presets():
        known = ", ".join(presets())
        raise UserError(f"no preset {name!r}{hint(name, tuple(presets()))} (presets: {known})")
    return (resources.files(__package__) / "presets" / f"{name}.yaml").read_text()


def load(sweep: str, settings: Sequence[str] = ()) -> Sweep:
    """Read a sweep file or preset and check everything that needs no model or data.

    Args:
        sweep: Path of a YAML file, or a preset's name.
        settings: `key=value` texts that override the file.

    Raises:
        UserError: The file cannot be read; `SweepError` lists what is wrong in it.
    """
    if Path(sweep).is_file() or "/" in sweep or sweep.endswith((".yaml", ".yml")):
        try:
            text = read_text(Path(sweep))
        except NodeError as error:
            raise UserError(str(error)) from None
        document = parse_yaml(text, sweep, Path(sweep).resolve().parent)
    else:
        document = parse_yaml(preset_text(sweep), sweep, Path.cwd())
    for setting in settings:
        assign(document, setting)
    return parse(document)


def as_text(sweep: Sweep) -> str:
    """The sweep as a file that says the same wherever it lies."""
    content = copy.deepcopy(sweep.document.value)
    for name in PATHS:
        *sections, key = name.split(".")
        holder = content
        for section in sections:
            holder = holder.get(section, {})
        if key in holder:
            holder[key] = _anchored(name, holder[key], sweep.document.folder)
    for _, grid in _raw_grids(Document("", sweep.document.folder, content)):
        for name in PATHS:
            if name in grid:
                values = grid[name] if isinstance(grid[name], list) else [grid[name]]
                grid[name] = [_anchored(name, v, sweep.document.folder) for v in values]
    return dump_yaml(content)


def parse(document: Document) -> Sweep:
    """Check a document.

    Raises:
        SweepError: Everything that is wrong with it.
    """
    raw, problems = document.value, list(document.problems)
    problems += _unknown_keys(document)
    problems += _name(document)
    problems += _description(document)
    base = _base(document, problems)
    grids = _grids(document, problems)
    problems += _used(document, grids)
    questions = parse_questions(document, problems)
    if not problems:
        problems += _consistent(document, base, grids)
        problems += unanswerable(document, questions, (p for _, p in _points(base, grids)))
        problems += [document.problem(tuple(r.split(".")), m) for r, m in stress_clashes(base)]
    raise_problems(document, problems)
    return Sweep(
        name=raw["name"],
        description=raw.get("description", ""),
        base={k: v for k, v in base.items() if FIELDS[k].axis},
        grids=tuple(grids),
        run=RunSettings(**{k.partition(".")[2]: v for k, v in base.items() if k[:4] == "run."}),
        questions=questions,
        stress=stress_settings(base) if "stress" in raw else None,
        document=document,
    )


def _unknown_keys(document: Document) -> Iterator[Problem]:
    for key, value in document.value.items():
        if key in GRID_ONLY:
            yield document.problem((key,), "belongs under grid:")
        elif key not in TOP_LEVEL:
            yield document.problem((key,), f"unknown key{hint(key, TOP_LEVEL)}")
        elif key in SECTIONS:
            yield from _unknown_in_section(document, key, value)


def _unknown_in_section(document: Document, section: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield document.problem((section,), f"must hold keys and values, got {show(value)}")
        return
    known = tuple(f.partition(".")[2] for f in FIELDS if f.startswith(section + "."))
    for key in value:
        if key not in known:
            yield document.problem((section, key), f"unknown key{hint(key, known)}")


def _name(document: Document) -> Iterator[Problem]:
    name = document.value.get("name")
    if name is None:
        yield document.problem(("name",), "is missing; it names the results folder")
    elif not isinstance(name, str) or not NAME.fullmatch(name):
        yield document.problem(
            ("name",), f"must be letters, digits, dots and dashes, got {show(name)}"
        )


def _description(document: Document) -> Iterator[Problem]:
    text = document.value.get("description", "")
    if not isinstance(text, str):
        yield document.problem(("description",), f"must be a text, got {show(text)}")


def _base(document: Document, problems: list[Problem]) -> dict[str, Any]:
    """Value of every field outside the grids; problems are appended."""
    found: dict[str, Any] = {}
    for name, field in FIELDS.items():
        if name in GRID_ONLY:
            found[name] = None
            continue
        route: Route = tuple(name.split("."))
        value = _lookup(document.value, route)
        if value is _ABSENT:
            if field.required and not _is_axis(document, name):
                problems.append(document.problem(route, "is missing"))
            value = None if field.required else field.default
            found[name] = field.clean(value)
        elif complaint := field.complaint(value):
            problems.append(document.problem(route, complaint))
        else:
            found[name] = _anchored(name, field.clean(value), document.folder)
    return found


_ABSENT = object()


def _lookup(value: Any, route: Route) -> Any:
    for part in route:
        if not isinstance(value, dict) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _is_axis(document: Document, name: str) -> bool:
    grids = [raw for _, raw in _raw_grids(document)]
    return bool(grids) and all(isinstance(raw, dict) and name in raw for raw in grids)


def _raw_grids(document: Document) -> list[tuple[Route, Any]]:
    raw = document.value
    found: list[tuple[Route, Any]] = [(("grid",), raw["grid"])] if "grid" in raw else []
    if isinstance(raw.get("grids"), list):
        found += [(("grids", i), grid) for i, grid in enumerate(raw["grids"])]
    return found


@cache
def _built_in() -> frozenset[str]:
    """Names of models, packs, SFT sources and prompt sets, which are no paths."""
    from tasks.data import probe_packs, prompts, sft  # slow to load; only parsing needs them
    from tasks.sources import model_files

    packs, texts = ([s.name for s in group] for group in (probe_packs.PACKS, sft.SOURCES))
    return frozenset((*model_files.SHIPPED, *packs, *texts, *prompts.BUILT_IN))


def _anchored(name: str, value: Any, folder: Path) -> Any:
    """A relative path that exists beside the file, made absolute."""
    if isinstance(value, list | tuple):
        return type(value)(_anchored(name, v, folder) for v in value)
    if name in PATHS and isinstance(value, str) and value not in _built_in():
        path = Path(value).expanduser()
        looks_like_path = path.suffix in (".jsonl", ".json") or value.startswith((".", "~", "/"))
        if looks_like_path or (folder / path).exists():
            return str((folder / path).resolve())
    return value


def _grids(document: Document, problems: list[Problem]) -> list[Grid]:
    """All grids whose axes are valid; problems are appended."""
    raw = document.value
    if "grid" not in raw and "grids" not in raw:
        problems.append(document.problem(("grid",), "is missing; it names the cells"))
    if "grids" in raw and not (isinstance(raw["grids"], list) and raw["grids"]):
        problems.append(document.problem(("grids",), "must be a list of grids, not empty"))
    found = []
    for route, grid in _raw_grids(document):
        before = len(problems)
        axes = _axes(document, route, grid, problems)
        if len(problems) == before:
            found.append(Grid(axes=axes, route=route))
    return found


def _axes(
    document: Document, route: Route, grid: Any, problems: list[Problem]
) -> dict[str, tuple[Any, ...]]:
    if not isinstance(grid, dict):
        problems.append(document.problem(route, f"must hold axes and values, got {show(grid)}"))
        return {}
    if "condition" not in grid:
        problems.append(document.problem((*route, "condition"), "is missing"))
    axes = {}
    for name, values in grid.items():
        if name not in AXES:
            message = f"is no field that can be an axis{hint(name, AXES)}"
            problems.append(document.problem((*route, name), message))
            continue
        as_list = values if _is_list_of_values(name, values) else [values]
        problems += _values(document, (*route, name), name, as_list)
        axes[name] = tuple(
            _anchored(name, FIELDS[name].clean(v), document.folder)
            for v in as_list
            if FIELDS[name].complaint(v) is None
        )
    return axes


def _is_list_of_values(name: str, values: Any) -> bool:
    """A lone value is an axis of one; a `texts` field needs a list of lists to vary."""
    if FIELDS[name].kind == "texts":
        return isinstance(values, list) and (not values or isinstance(values[0], list))
    return isinstance(values, list)


def _values(document: Document, route: Route, name: str, values: list[Any]) -> Iterator[Problem]:
    field = FIELDS[name]
    if not values:
        yield document.problem(route, "is empty, so the grid has no cells")
    seen = []
    for i, value in enumerate(values):
        if complaint := field.complaint(value):
            yield document.problem((*route, i), complaint)
        elif field.clean(value) in seen:
            yield document.problem((*route, i), f"{show(value)} is listed twice")
        else:
            seen.append(field.clean(value))


def _used(document: Document, grids: list[Grid]) -> Iterator[Problem]:
    """Axes that no condition of their grid uses, and values that a condition lacks."""
    for grid in grids:
        for name in grid.axes:
            if not any(FIELDS[name].uses(c) for c in grid.conditions):
                names = ", ".join(grid.conditions)
                yield document.problem(
                    (*grid.route, name), f"no condition of the grid uses it: {names}"
                )
        for name in ("rho_weight", "margin", "seed"):
            needing = [c for c in grid.conditions if FIELDS[name].uses(c)]
            values = grid.axes.get(name, ())
            if needing and (not values or None in values):
                yield document.problem((*grid.route, name), f"{needing[0]} needs a value")
        weights = grid.axes.get("rho_weight", ())
        if weights == (0.0,) and len(grid.axes.get("margin", ())) > 1:
            yield document.problem((*grid.route, "margin"), "rho_weight 0 leaves no use for it")
        bare = [c for c in grid.conditions if c.trains and not c.has_sft]
        if bare and 0.0 in weights:
            yield document.problem(
                (*grid.route, "rho_weight", weights.index(0.0)),
                f"{bare[0]} with weight 0 would train on nothing",
            )


def _points(base: dict[str, Any], grids: Sequence[Grid]) -> Iterator[tuple[Grid, Point]]:
    for grid in grids:
        for values in itertools.product(*grid.axes.values()):
            yield grid, base | dict(zip(grid.axes, values, strict=True))


def _consistent(document: Document, base: dict[str, Any], grids: list[Grid]) -> Iterator[Problem]:
    """What only shows when fields are seen together."""
    seen: set[str] = set()
    for grid, point in _points(base, grids):
        for route, message in _clashes(point):
            if message not in seen:
                seen.add(message)
                yield document.problem(_home(grid, route), message)


def _home(grid: Grid, name: str) -> Route:
    return (*grid.route, name) if name in grid.axes else tuple(name.split("."))


def _clashes(point: Point) -> Iterator[tuple[str, str]]:
    if point["run.grad_checkpoint"] and point["train.lora_dropout"] > 0:
        yield "run.grad_checkpoint", "with train.lora_dropout the second pass would draw anew"
    share = point["data.trap_fraction"] + point["data.refusal_fraction"]
    if share > 1:
        yield "data.trap_fraction", f"together with data.refusal_fraction it is {share:g}, above 1"
    if share == 1 and point["data.size"] is None:
        yield "data.size", "is missing, and without instructions nothing else says how many texts"
    per_step, behaviors = point["train.pairs_per_step"], point["probes.train"]
    if per_step is not None and per_step % len(behaviors):
        yield (
            "train.pairs_per_step",
            f"must be a multiple of {len(behaviors)}, the trained behaviours; got {per_step}",
        )
