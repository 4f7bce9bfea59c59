"""The `analysis:` block of a sweep file: contrasts that are registered before there are data."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.config.condition_rules import Point, facts_of
from orchestrator.config.contrast_kinds import Kind, Population
from orchestrator.config.fields import FIELDS, hint, show
from orchestrator.config.yaml_lines import Document, Route
from orchestrator.errors import Problem
from orchestrator.stats.records import (
    ALPHA,
    Alternative,
)
from tasks.contract.cell import Condition, digest_of

SPLITS = ("train", "heldout")
PROMPTS = ("jailbreak", "matched", "benign")
KEYS = (
    "id",
    "claim",
    "kind",
    "a",
    "b",
    "over",
    "behaviors",
    "split",
    "prompts",
    "population",
    "alternative",
    "sesoi",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A question, asked of every behaviour it names.

    Attributes:
        id: Unique in the sweep; in tables, links and `--json`.
        claim: What a `supported` verdict would support, as a sentence.
        kind: What is asked.
        a, b: Fields and values that name an arm, e.g. condition and rho_weight; b is None where
            the kind has one arm, or takes the doses along `over`.
        over: The axis of a trend.
        behaviors: None for all that are evaluated.
        split: None for the held-out split where there is one.
        prompts: Set of a stress test, for the kinds about answers; None for jailbreaks.
        population: What the interval is to speak about.
        alternative: Of a - b.
        sesoi: Stated margin, nats per token (a proportion for `prop_diff`).
    """

    id: str
    claim: str
    kind: Kind
    a: tuple[tuple[str, Any], ...]
    b: tuple[tuple[str, Any], ...] | None = None
    over: str | None = None
    behaviors: tuple[str, ...] | None = None
    split: str | None = None
    prompts: str | None = None
    population: Population = Population.NEW_SEEDS
    alternative: Alternative = Alternative.TWO_SIDED
    sesoi: float | None = None

    @property
    def digest(self) -> str:
        """sha256 of the question; its id is only a name."""
        facts = {k: _listed(v) for k, v in asdict(self).items() if k != "id" and v is not None}
        return digest_of(facts)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Contrast":
        """The inverse of `plain`."""
        return cls(
            id=raw["id"],
            claim=raw["claim"],
            kind=Kind(raw["kind"]),
            a=_pairs(raw.get("a", {})),
            b=None if raw.get("b") is None else _pairs(raw["b"]),
            over=raw.get("over"),
            behaviors=tuple(raw["behaviors"]) if raw.get("behaviors") else None,
            split=raw.get("split"),
            prompts=raw.get("prompts"),
            population=Population(raw.get("population", Population.NEW_SEEDS)),
            alternative=Alternative(raw.get("alternative", Alternative.TWO_SIDED)),
            sesoi=raw.get("sesoi"),
        )

    def plain(self) -> dict[str, Any]:
        """As in a sweep file."""
        found = {k: v for k, v in asdict(self).items() if v is not None}
        for arm in ("a", "b"):
            if arm in found:
                found[arm] = {k: _listed(v) for k, v in found[arm]}
        if "behaviors" in found:
            found["behaviors"] = list(found["behaviors"])
        return found | {k: str(found[k]) for k in ("kind", "population", "alternative")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What a sweep file asks.

    Attributes:
        alpha: Level of every test, after adjustment.
        contrasts: In the order of the file.
    """

    alpha: float = ALPHA
    contrasts: tuple[Contrast, ...] = ()


def parse_questions(document: Document, problems: list[Problem]) -> Questions:
    """The `analysis:` block; problems are appended."""
    raw = document.value.get("analysis")
    if raw is None:
        return Questions()
    if not isinstance(raw, dict):
        problems.append(document.problem(("analysis",), f"must hold keys, got {show(raw)}"))
        return Questions()
    for key in raw:
        if key not in ("alpha", "contrasts"):
            text = f"unknown key{hint(key, ('alpha', 'contrasts'))}"
            problems.append(document.problem(("analysis", key), text))
    alpha = raw.get("alpha", ALPHA)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha <= 0.2:
        text = f"must be above 0 and at most 0.2, got {show(alpha)}"
        problems.append(document.problem(("analysis", "alpha"), text))
        alpha = ALPHA
    contrasts = raw.get("contrasts", [])
    if not isinstance(contrasts, list):
        problems.append(document.problem(("analysis", "contrasts"), "must be a list"))
        contrasts = []
    found = [c for i, one in enumerate(contrasts) if (c := _contrast(document, i, one, problems))]
    problems += _same_ids(document, found)
    return Questions(alpha=float(alpha), contrasts=tuple(found))


def unanswerable(
    document: Document, questions: Questions, points: Iterable[Point]
) -> Iterator[Problem]:
    """Contrasts whose arms or behaviours no point of the grids has."""
    facts = [facts_of(point) for point in points]
    for i, contrast in enumerate(questions.contrasts):
        route: Route = ("analysis", "contrasts", i)
        for name, arm in (("a", contrast.a), ("b", contrast.b)):
            if arm is not None and not any(matches(arm, f) for f in facts):
                text = f"no cell of the grids has {describe(arm)}"
                yield document.problem((*route, name), text)
        known = {b for f in facts for b in f["probes.evaluate"]}
        for k, behavior in enumerate(contrast.behaviors or ()):
            if behavior not in known:
                near = hint(behavior, tuple(sorted(known)))
                text = f"{show(behavior)} is not evaluated{near}"
                yield document.problem((*route, "behaviors", k), text)


def matches(arm: tuple[tuple[str, Any], ...], facts: Mapping[str, Any]) -> bool:
    """Whether an arm's facts are those that a contrast names."""
    return all(facts.get(name) == value for name, value in arm)


def describe(arm: tuple[tuple[str, Any], ...]) -> str:
    """e.g. `condition=sft-only`."""
    return " ".join(f"{name}={value}" for name, value in arm)


MISSING = {
    "a": "it names an arm",
    "b": "{kind} compares a with b",
    "over": "{kind} needs an axis of doses",
    "sesoi": "{kind} means nothing without a stated margin",
}
"""Why a key is needed, of each key that some kind needs."""


def _contrast(document: Document, index: int, raw: Any, problems: list[Problem]) -> Contrast | None:
    route: Route = ("analysis", "contrasts", index)
    if not isinstance(raw, dict):
        problems.append(document.problem(route, f"must hold keys, got {show(raw)}"))
        return None
    before = len(problems)
    problems += [
        document.problem((*route, key), f"unknown key{hint(key, KEYS)}")
        for key in raw
        if key not in KEYS
    ]
    problems += _words(document, route, raw)
    problems += _arms(document, route, raw)
    problems += _fitting(document, route, raw)
    if len(problems) > before:
        return None
    arms = {k: _clean(raw[k]) for k in ("a", "b") if raw.get(k) is not None}
    given = {"id": f"c{index + 1}", **raw, **arms}
    return Contrast.from_dict({"claim": _claim(given), **given})


def _words(document: Document, route: Route, raw: dict[str, Any]) -> Iterator[Problem]:
    """Keys with a fixed set of values, and texts."""
    choices: dict[str, tuple[str, ...]] = {
        "kind": tuple(Kind),
        "population": tuple(Population),
        "alternative": tuple(Alternative),
        "split": SPLITS,
        "prompts": PROMPTS,
        "over": ("rho_weight", "margin"),
    }
    for key, known in choices.items():
        if key in raw and raw[key] not in known:
            text = f"must be one of {', '.join(known)}; got {show(raw[key])}"
            yield document.problem((*route, key), text + hint(str(raw[key]), known))
    if "kind" not in raw:
        yield document.problem((*route, "kind"), f"is missing: one of {', '.join(Kind)}")
    for key in ("id", "claim"):
        if key in raw and not (isinstance(raw[key], str) and raw[key].strip()):
            yield document.problem((*route, key), f"must be a text, got {show(raw[key])}")
    behaviors = raw.get("behaviors")
    if behaviors is not None and FIELDS["probes.evaluate"].complaint(behaviors):
        text = str(FIELDS["probes.evaluate"].complaint(behaviors))
        yield document.problem((*route, "behaviors"), text)
    sesoi = raw.get("sesoi")
    if sesoi is not None and (
        isinstance(sesoi, bool) or not isinstance(sesoi, int | float) or sesoi <= 0
    ):
        yield document.problem((*route, "sesoi"), f"must be a number > 0, got {show(sesoi)}")


def _arms(document: Document, route: Route, raw: dict[str, Any]) -> Iterator[Problem]:
    for key in ("a", "b"):
        arm = raw.get(key)
        if arm is None:
            continue
        if not isinstance(arm, dict) or "condition" not in arm:
            text = f"must name a condition, got {show(arm)}"
            yield document.problem((*route, key), text)
            continue
        for name, value in arm.items():
            if name not in FIELDS or name == "seed" or not FIELDS[name].axis:
                text = f"is no field of an arm{hint(name, tuple(FIELDS))}"
                yield document.problem((*route, key, name), text)
            elif complaint := FIELDS[name].complaint(value):
                yield document.problem((*route, key, name), complaint)


def _fitting(document: Document, route: Route, raw: dict[str, Any]) -> Iterator[Problem]:
    """What the kind asks of the other keys; nothing is known of an unknown kind."""
    if raw.get("kind") not in tuple(Kind):
        return
    kind = Kind(raw["kind"])
    for key in KEYS:
        if key in kind.rules.needed and raw.get(key) is None:
            text = f"is missing; {MISSING[key].format(kind=kind)}"
            yield document.problem((*route, key), text)
        elif key in raw and key not in kind.rules.allowed:
            yield document.problem((*route, key), f"is not used by {kind}")
    if kind.rules.directed and raw.get("alternative") == Alternative.TWO_SIDED:
        yield document.problem((*route, "alternative"), "a direction needs greater or less")


def _same_ids(document: Document, found: list[Contrast]) -> Iterator[Problem]:
    seen: set[str] = set()
    for contrast in found:
        if contrast.id in seen:
            text = f"the id {show(contrast.id)} is given twice"
            yield document.problem(("analysis", "contrasts"), text)
        seen.add(contrast.id)


def _clean(arm: dict[str, Any]) -> dict[str, Any]:
    """Values in canonical form; weight 0 is sft-only."""
    cleaned = {name: FIELDS[name].clean(value) for name, value in arm.items()}
    named = Condition(cleaned["condition"])
    condition = named.at_weight(cleaned.get("rho_weight"))
    if condition is not named:
        cleaned = {k: v for k, v in cleaned.items() if k not in ("rho_weight", "margin")}
    return cleaned | {"condition": str(condition)}


def _claim(raw: Mapping[str, Any]) -> str:
    """A sentence for a contrast whose author wrote none."""
    rules = Kind(raw["kind"]).rules
    alternative = Alternative(raw.get("alternative", Alternative.TWO_SIDED))
    return rules.claim.format(
        a=describe(_pairs(raw.get("a", {}))) or "all cells",
        b=describe(_pairs(raw["b"])) if raw.get("b") else "the baseline",
        over=raw.get("over"),
        margin=f" by more than {raw['sesoi']:g}" if raw.get("sesoi") else "",
        alternative=alternative,
        relation=rules.relations[alternative] if rules.relations else "",
    )


def _pairs(arm: Any) -> tuple[tuple[str, Any], ...]:
    items = arm.items() if isinstance(arm, Mapping) else arm
    return tuple(sorted((str(k), tuple(v) if isinstance(v, list) else v) for k, v in items))


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value
