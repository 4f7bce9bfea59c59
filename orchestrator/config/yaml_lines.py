"""YAML with line numbers: plain values, and the line of every path."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import Problem, SweepError, UserError

Route = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.1, but 2e-4 is a number, as in YAML 1.2 and Python."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


@dataclass(slots=True)
class Document:
    """A parsed file.

    Attributes:
        source: File or preset name, for messages.
        folder: Relative paths in the file are relative to this.
        value: Plain dicts, lists and scalars.
        lines: Path -> line, from 1; None where `--set` gave the value.
        problems: What the file itself has wrong: keys given twice.
    """

    source: str
    folder: Path
    value: dict[str, Any]
    lines: dict[Route, int | None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, route: Route, message: str) -> Problem:
        """A finding at a path, with the line of the nearest path that has one."""
        line = next(
            (self.lines[route[:n]] for n in range(len(route), 0, -1) if route[:n] in self.lines),
            None,
        )
        return Problem(dotted(route), message, line)


def dotted(route: Route) -> str:
    """`("grid", "seed", 0)` as `grid.seed[0]`."""
    text = ""
    for part in route:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def parse_yaml(text: str, source: str, folder: Path) -> Document:
    """Read one YAML mapping.

    Raises:
        UserError: It is no YAML, or no mapping.
    """
    document = Document(source, folder, {})
    try:
        node = yaml.compose(text, Loader=_Loader)
        if not isinstance(node, yaml.MappingNode):
            raise UserError(f"{source}: expected keys and values; see: rho-sweep init quickstart")
        document.value = _plain(node, (), document, yaml.constructor.SafeConstructor())
    except RecursionError:
        raise UserError(f"{source}: nested too deeply; a sweep needs three levels") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{source}{where}: not YAML ({error.problem})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not YAML ({error})") from None
    return document


def _plain(
    node: yaml.Node, route: Route, document: Document, make: yaml.constructor.SafeConstructor
) -> Any:
    document.lines.setdefault(route, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            document.lines[(*route, key)] = key_node.start_mark.line + 1
            if key in found:
                document.problems.append(document.problem((*route, key), "given twice"))
            found[key] = _plain(value_node, (*route, key), document, make)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*route, i), document, make) for i, item in enumerate(node.value)]
    return _scalar(node, make)


def _scalar(node: yaml.Node, make: yaml.constructor.SafeConstructor) -> Any:
    """A value; what only looks like a number or date stays a text, for its field to judge."""
    text = str(node.value)
    try:
        match node.tag.rpartition(":")[2]:
            case "float":
                return float(re.sub(r"\.(?=inf|nan)", "", text.replace("_", "").lower()))
            case "timestamp":
                return text
            case _:
                return make.construct_object(node)
    except ValueError:
        return text


def assign(document: Document, setting: str) -> None:
    """Apply one `--set key=value`; the value is YAML.

    Raises:
        UserError: There is no `=`, or the path leads nowhere.
    """
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise UserError(f"--set {setting}: expected key=value, e.g. --set probes.heldout=0")
    value = parse_yaml(f"v: {text}", f"--set {setting}", document.folder).value["v"]
    parts = _parts(path)
    target: Any = document.value
    for part in parts[:-1]:
        target = _enter(target, part, setting)
    last = parts[-1]
    if isinstance(target, list) and isinstance(last, int) and last < len(target):
        target[last] = value
    elif isinstance(target, dict):
        target[str(last)] = value
    else:
        raise UserError(f"--set {setting}: the file has no such place")
    for known in [r for r in document.lines if r[: len(parts)] == parts]:
        del document.lines[known]
    document.lines[parts] = None


def _parts(path: str) -> Route:
    """Steps of a dotted path; inside a grid the rest is one axis, as in `grid.train.epochs`."""
    parts = tuple(int(p) if p.isdigit() else p for p in path.split("."))
    head = {"grid": 1, "grids": 2}.get(str(parts[0]), len(parts))
    rest = ".".join(str(p) for p in parts[head:])
    return (*parts[:head], rest) if rest else parts


def _enter(target: Any, part: str | int, setting: str) -> Any:
    if isinstance(target, list) and isinstance(part, int) and part < len(target):
        return target[part]
    if isinstance(target, dict):
        return target.setdefault(str(part), {})
    raise UserError(f"--set {setting}: the file has no such place")


def raise_problems(document: Document, problems: list[Problem]) -> None:
    """Raise all findings at once, in order of their lines.

    Raises:
        SweepError: There is at least one.
    """
    if problems:
        ordered = sorted(problems, key=lambda p: (p.line is None, p.line or 0))
        raise SweepError(document.source, ordered)
