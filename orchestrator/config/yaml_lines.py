"""YAML with line numbers: plain values, and the line of every path."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.resolver import Resolver

from orchestrator.errors import Problem, SweepError, UserError

Route = tuple[str | int, ...]


MAX_VALUES = 200_000
"""Values of one file at most, those that aliases repeat included: 50 bytes can mean billions."""
MAX_DEPTH = 50
"""Levels of one file at most, for every value is kept with its whole path."""

_INDEX = re.compile("0|[1-9][0-9]{0,5}")
_NUMBERS = {
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
_WORDS = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": ("~|null|Null|NULL|", "~nN"),
}


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema: `010` is 10, `2e-4` a number; `yes`, `1:30` and dates are texts."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own way to start from none


class _Dumper(yaml.SafeDumper):
    """Puts in quotes every text that YAML 1.1 or 1.2 would read as something else."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """A text; U+0085 is a line end to PyYAML, which writes it as it is unless in `"`."""
        style = '"' if "\x85" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)
for _tag, (_form, _first) in (_NUMBERS | _WORDS).items():
    _args = (f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_form})$"), [*_first])
    _Loader.add_implicit_resolver(*_args)
    _Dumper.add_implicit_resolver(*_args)
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])


def _loaders() -> tuple[type[Any], ...]:
    """libyaml, which is faster, where PyYAML was built with it; then PyYAML's own.

    What libyaml refuses is read once more, for messages that are the same everywhere. It only cuts
    the text into events: its own composer would overrun the stack where Python's says that a
    text is nested too deeply.
    """
    if not yaml.__with_libyaml__:
        return (_Loader,)
    from yaml._yaml import CParser

    class Quick(Composer, CParser, Resolver):
        yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            Composer.__init__(self)
            Resolver.__init__(self)

    return Quick, _Loader


LOADERS = _loaders()
_READ_OTHERWISE = re.compile("[\t!\ufeff]")
"""Characters that libyaml reads otherwise than PyYAML's own parser."""


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
        node = _composed(text)
        if not isinstance(node, yaml.MappingNode):
            raise UserError(f"{source}: expected keys and values", "see: rho-sweep init quickstart")
        document.value = _plain(node, (), document, count(1))
    except RecursionError:
        raise UserError(f"{source}: nested too deeply; a sweep needs three levels") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{source}{where}: not YAML ({error.problem})") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{source}:{line}: not YAML ({error.reason})") from None
    return document


def _composed(text: str) -> yaml.Node | None:
    *quick, last = LOADERS
    for loader in quick if not _READ_OTHERWISE.search(text) else ():
        with suppress(yaml.YAMLError, UnicodeEncodeError):
            return yaml.compose(text, Loader=loader)
    return yaml.compose(text, Loader=last)


def dump_yaml(value: Any) -> str:
    """A text from which `parse_yaml` reads the same value."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def _plain(node: yaml.Node, route: Route, document: Document, visits: Iterator[int]) -> Any:
    """The value of a node; `visits` counts, for keys given twice lead to one route often."""
    line = node.start_mark.line + 1
    if len(route) > MAX_DEPTH:
        raise RecursionError
    document.lines.setdefault(route, line)
    if next(visits) > MAX_VALUES:
        raise UserError(
            f"{document.source}:{line}: more than {MAX_VALUES:,} values, "
            "counting what aliases (*name) repeat",
            "write them out or split the file",
        )
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if node.tag not in (_Loader.DEFAULT_MAPPING_TAG, _Loader.DEFAULT_SEQUENCE_TAG):
        raise _unknown_tag(node)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*route, i), document, visits) for i, item in enumerate(node.value)]
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            mark = key_node.start_mark
            raise yaml.MarkedYAMLError(problem="a key must be one word", problem_mark=mark)
        key = str(key_node.value)
        document.lines[(*route, key)] = key_node.start_mark.line + 1
        if key in found:
            document.problems.append(document.problem((*route, key), "given twice"))
        found[key] = _plain(value_node, (*route, key), document, visits)
    return found


def _scalar(node: yaml.ScalarNode) -> Any:
    """A value; what has a number's tag and is none stays a text, for its field to judge."""
    text = str(node.value)
    match node.tag.rpartition(":")[2]:
        case "str" | "timestamp":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" | "float" as kind if re.fullmatch(_NUMBERS[kind][0], text):
            try:
                if kind == "float":
                    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
                number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
                str(number)
            except ValueError:  # Python reads and writes no number of more than 4,300 digits
                return text
            return number
        case "int" | "float":
            return text
        case _:
            raise _unknown_tag(node)


def _unknown_tag(node: yaml.Node) -> yaml.MarkedYAMLError:
    what = f"the tag {node.tag!r} has no meaning here"
    return yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)


def assign(document: Document, setting: str) -> None:
    """Apply one `--set key=value`; the value is YAML.

    Raises:
        UserError: There is no `=`, or the path leads nowhere.
    """
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise UserError(f"--set {setting}: expected key=value, e.g. --set probes.heldout=0")
    given = parse_yaml(f"v: {text}", f"--set {setting}", document.folder)
    if given.value.keys() != {"v"} or given.problems:
        raise UserError(f"--set {setting}: holds more than one value", "use --set once for each")
    value = given.value["v"]
    steps = tuple(int(p) if _INDEX.fullmatch(p) else p for p in path.split("."))
    # Inside a grid, the rest of the path is the name of one axis, as in `grid.train.epochs`.
    head = {"grid": 1, "grids": 2}.get(str(steps[0]), len(steps))
    axis = ".".join(str(p) for p in steps[head:])
    parts: Route = (*steps[:head], axis) if axis else steps
    target: Any = document.value
    for part in parts:
        holder = target
        if isinstance(holder, list) and isinstance(part, int) and part < len(holder):
            key: str | int = part
        elif isinstance(holder, dict):
            key = str(part)
            holder.setdefault(key, {})
        else:
            raise UserError(f"--set {setting}: the file has no such place")
        target = holder[key]
    holder[key] = value
    for known in [r for r in document.lines if r[: len(parts)] == parts]:
        del document.lines[known]
    document.lines[parts] = None


def raise_problems(document: Document, problems: list[Problem]) -> None:
    """Raise all findings at once, in order of their lines.

    Raises:
        SweepError: There is at least one.
    """
    if problems:
        ordered = sorted(problems, key=lambda p: (p.line is None, p.line or 0))
        raise SweepError(document.source, ordered)
