"""Records of a file, checked whole: every problem at once, in words that come from the schema."""

import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Any, TypeVar, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

from orchestrator.config.yaml_lines import Document, Route, raise_problems
from orchestrator.errors import Problem, hint, show

Schema = dict[str, Any]
LARGEST = 2**63 - 1
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"  # of 255 bytes; files beside it add to the name
NOT_BLANK = r"\S"
TYPES = {
    "integer": "be a whole number",
    "number": "be a number",
    "boolean": "be true or false",
    "array": "be a list",
    "object": "hold keys and values",
    "string": "be a text",
}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
PATTERNS = {NAME: "letters, digits, dots and dashes (200 at most)", NOT_BLANK: "a text"}
"""A pattern and what it asks for, in words; a module with patterns of its own adds them."""


class Checked(BaseModel):
    """A frozen record: no value is converted, no unknown key is accepted."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


Finding = tuple[Route, str, tuple[Route, ...]]
"""Where, what is wrong, and which other places it is about.

It is not reported where one of these places is wrong by itself.
"""


def complain(found: Iterable[Finding]) -> None:
    """Refuse a value in one of its validators.

    Raises:
        PydanticCustomError: There is at least one finding; places are relative to the value.
    """
    if listed := list(found):
        raise PydanticCustomError("findings", "see ctx", {"found": listed})


def _texts(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not all(
        isinstance(v, str) and v.strip() for v in value
    ):
        complain([((), f"must be a list of texts, got {show(value)}", ())])
    if not value:
        complain([((), "must not be empty", ())])
    if len(set(value)) < len(value):
        complain([((), "names something twice", ())])
    return tuple(sorted(value))


UNSET: Any = None
"""Default of a key that may be left out and may not be null."""
Text = Annotated[str, Field(pattern=NOT_BLANK)]
Name = Annotated[str, Field(pattern=NAME)]
Whole = Annotated[int, Field(le=LARGEST)]
UNSIGNED_ZERO = AfterValidator(lambda v: v + 0.0)
"""-0.0 is 0.0, also in a digest; stands after the bounds of a number."""
Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "pattern": NOT_BLANK},
            "minItems": 1,
            "uniqueItems": True,
        }
    ),
]


class _OneOrMany:
    """The JSON Schema of an axis: a value, or a list of values."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        many = handler(core) | {"minItems": 1, "uniqueItems": True}
        return {"anyOf": [many["items"], many]}


def axis_of(kind: Any) -> Any:
    """The type of an axis over values of a type: one value, or a list of distinct ones."""
    # a list of texts is one value, a list of lists are several
    nested = get_origin(getattr(kind, "__origin__", kind)) is tuple

    def values(value: Any) -> Any:
        many = isinstance(value, list) and not (nested and value and not isinstance(value[0], list))
        if many and not value:
            complain([((), "is empty, so the grid has no cells", ())])
        return tuple(value) if many else (_texts(value) if nested else value,)

    def distinct(found: tuple[Any, ...]) -> tuple[Any, ...]:
        first: dict[Any, int] = {}
        complain(
            ((i,), f"{show(value)} is listed twice", ())
            for i, value in enumerate(found)
            if first.setdefault(value, i) != i
        )
        return found

    checks = (BeforeValidator(values), AfterValidator(distinct), _OneOrMany())
    return Annotated[(tuple[kind, ...], *checks)]


M = TypeVar("M", bound=Checked)


def read(
    kind: type[M], document: Document, route: Route = ()
) -> tuple[M | None, list[Problem], set[Route]]:
    """Check a part of a document whole.

    What is wrong is left out and the rest is checked again, so that a check between fields finds
    its problems although other fields are wrong.

    Returns:
        The record of what is right, None if too little is; all problems; the places that are wrong.
    """
    raw: Any = document.value
    for part in route:
        raw = raw[part]
    wrong: set[Route] = set()
    problems: list[Problem] = []
    stand_ins: dict[str, Any] = {}
    schema: Schema | None = None
    while True:
        rest, kept = _without(raw, wrong)
        try:
            found = kind.model_validate(
                stand_ins | rest if stand_ins else rest, context=document.folder
            )
        except ValidationError as error:
            listed = error.errors(include_url=False)
            # pydantic counts only the right items of a list; a wrong one makes none too short
            caught = [e for e in listed if e["type"] != "too_short" or not e["input"]]
            caught.sort(key=lambda e: e["type"] != "extra_forbidden")  # first in their line
        else:
            return found, problems, wrong | {(k,) for k in stand_ins}
        schema = schema or schema_of(kind)
        fresh: set[Route] = set()
        known = len(stand_ins)
        for details in caught:
            home = _original(details["loc"], kept)
            for place, message, reads in _findings(details, home, schema):
                if not affected((place, *reads), wrong):
                    problems.append(document.problem((*route, *place), message))
                example = at(schema, place).get("examples")
                if details["type"] == "missing" and len(place) == 1 and example:
                    stand_ins[str(place[0])] = example[0]
                else:
                    fresh.add(
                        next(p for p in (place, place[:-1], home, ()) if _stays(raw, p, wrong))
                    )
        if () in fresh or (fresh <= wrong and len(stand_ins) == known):
            return None, problems, wrong | fresh
        wrong |= fresh


def demand(kind: type[M], document: Document) -> M:
    """The record of a document without problems.

    Raises:
        SweepError: Everything that is wrong with it.
    """
    found, problems, _ = read(kind, document)
    problems[:0] = document.problems
    raise_problems(document, problems)
    if found is None:
        raise AssertionError("what is not read has a problem")
    return found


def affected(places: Iterable[Route], wrong: Iterable[Route]) -> bool:
    """Whether one of the places, something in it, or what it is in, is wrong."""
    return any(p[: len(w)] == w[: len(p)] for w in wrong for p in places)


def _stays(raw: Any, place: Route, wrong: set[Route]) -> bool:
    """Whether a place is in a value and was not left out; the value itself always is."""
    if place in wrong:
        return False
    for part in place:
        known: Any = range(len(raw)) if isinstance(raw, list) else raw
        if not isinstance(raw, dict | list) or part not in known:
            return False
        raw = raw[part]  # type: ignore[index]  # a number in a list, a key in a mapping
    return True


def _without(raw: Any, wrong: set[Route]) -> tuple[Any, dict[Route, list[int]]]:
    """A copy without what is wrong, and for every list the old numbers of what stays."""
    kept: dict[Route, list[int]] = {}

    def copy(value: Any, here: Route) -> Any:
        if isinstance(value, dict):
            return {k: copy(v, (*here, k)) for k, v in value.items() if (*here, k) not in wrong}
        if isinstance(value, list):
            kept[here] = [i for i in range(len(value)) if (*here, i) not in wrong]
            return [copy(value[i], (*here, i)) for i in kept[here]]
        return value

    return copy(raw, ()), kept


def _original(loc: tuple[int | str, ...], kept: dict[Route, list[int]]) -> Route:
    """A place that pydantic names, as the file has it."""
    route: Route = ()
    for part in loc:
        old = kept.get(route, []) if isinstance(part, int) else []
        if part != "[key]":
            route = (*route, old[part] if isinstance(part, int) and part < len(old) else part)
    return route


def _findings(error: ErrorDetails, home: Route, schema: Schema) -> Iterator[Finding]:
    """What one of pydantic's errors says, in this project's words; `home` is the wrong place."""
    if error["type"] == "findings":
        for place, message, reads in error["ctx"]["found"]:
            yield (*home, *place), message, tuple((*home, *r) for r in reads)
    elif error["type"] == "extra_forbidden":
        key, node = str(home[-1]), at(schema, home[:-1])
        known = tuple(node["properties"])
        text = f"{node.get('x-unknown', 'unknown key')}{hint(key, known)}"
        for section in known if len(home) == 1 else ():  # at the top: a key without its section
            if key in at(schema, (section,)).get("properties", {}):
                text = f"belongs under {section}:"
                break
        yield home, text, ()
    else:
        yield home, _words(error, at(schema, home)), ()


def _words(error: ErrorDetails, node: Schema) -> str:
    """What is wrong with a value, in words."""
    value, bounds = error["input"], error.get("ctx", {})
    if error["type"] == "missing":
        meaning = node.get("description", "")
        if meaning.startswith("names "):
            return f"is missing; it {meaning}"
        return f"is missing: must {must(node)}"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if node.get("type") in ("integer", "number") and number:
        if not abs(value) <= sys.float_info.max:
            return f"must be finite, got {show(value)}"
        for name, sign in SIGNS.items():
            if name in bounds:
                return f"must be {sign} {bounds[name]:g}, got {value:g}"
    if "enum" in node:
        return f"must {must(node)}; got {show(value)}{hint(str(value), tuple(node['enum']))}"
    got = "null" if value is None and node.get("type") != "object" else show(value)
    example = node.get("examples", [None])[0]
    return f"must {must(node)}, got {got}" + (f"; e.g. {show(example)}" if example else "")


@cache
def schema_of(kind: type[Checked]) -> Schema:
    """The JSON Schema of a record, as an editor takes it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **kind.model_json_schema()}


def at(schema: Schema, route: Route) -> Schema:
    """The schema of what stands at a place; of several forms the first, null aside."""
    nodes = list(_forms(schema, schema))
    for part in route:
        inner = [
            node.get("items")
            if isinstance(part, int)
            else node.get("properties", {}).get(part, node.get("additionalProperties"))
            for node in nodes
        ]
        nodes = [form for node in inner if node for form in _forms(node, schema)]
    return nodes[0] if nodes else {}


def _forms(node: Schema, schema: Schema) -> Iterator[Schema]:
    """What a value may look like, references and alternatives written out."""
    rest = {k: v for k, v in node.items() if k not in ("$ref", "anyOf")}
    if "$ref" in node:
        yield from _forms(schema["$defs"][node["$ref"].rpartition("/")[2]] | rest, schema)
    elif "anyOf" in node and "properties" not in node:
        for form in node["anyOf"]:
            yield from _forms(rest | form, schema)
    elif node.get("type") != "null":
        yield node


def must(node: Schema) -> str:
    """What a value must be or hold, in words that follow `must`."""
    if "x-must" in node:
        return str(node["x-must"])
    if "enum" in node:
        return f"be one of {', '.join(map(str, node['enum']))}"
    if "const" in node:
        return f"be {node['const']}"
    if node.get("pattern") in PATTERNS:
        return f"be {PATTERNS[node['pattern']]}"
    if node.get("type") == "array" and node["items"].get("type") == "string":
        return "be a list of texts"
    return TYPES[node.get("type", "string")]
