"""The `analysis:` block of a sweep file: contrasts that are registered before there are data."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, Strict, model_validator

from orchestrator.config.anchors import anchored
from orchestrator.config.checked import (
    UNSET,
    Checked,
    Finding,
    Text,
    Texts,
    affected,
    complain,
    read,
)
from orchestrator.config.condition_rules import Point, condition_of, facts_of
from orchestrator.config.contrast_kinds import Compared, Kind, Population, Subject
from orchestrator.config.fields import (
    EPOCH,
    FIELDS,
    OF_MOMENTS,
    OF_PROMPTS,
    STEP,
    ArmFields,
    BetweenFields,
    Dose,
    Moments,
    Positive,
    uses,
)
from orchestrator.config.yaml_lines import Document, Route, raise_problems
from orchestrator.errors import hint, show
from orchestrator.stats.records import ALPHA, Alternative, Spending
from tasks.contract.cell import Condition, TrainSpec, digest_of
from tasks.contract.measures import MEASURED, Measure

Fields = tuple[tuple[str, Any], ...]
"""Fields and values that name an arm, by name."""
BEHAVIOR = "behavior"
"""Stands in `between` for two behaviours of the same arms."""
Split = Literal["train", "heldout"]
SPLITS: tuple[str, ...] = get_args(Split)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A question, asked of every behaviour it names.

    Attributes:
        id: Unique in the sweep; in tables, links and `--json`.
        claim: What a `supported` verdict would support, as a sentence.
        kind: What is asked.
        a, b: Fields and values that name an arm, e.g. condition and rho_weight; b is None where
            the kind has one arm, or takes the doses along `over`.
        over: The axis of the doses, or `step` for the moments of each training.
        between: A field of the arms, or `behavior`, and the two values between which the effects
            of a over b are compared: the first minus the second.
        behaviors: None for all that are evaluated.
        split: None for the held-out split where there is one.
        prompts: Set of a stress test, for the kinds about answers; None for jailbreaks.
        population: What the interval is to speak about.
        alternative: Of a - b.
        sesoi: Stated margin, nats per token (a proportion for `prop_diff`).
        family: Registered contrasts of one family are adjusted together; None for that of the
            sweep.
    """

    id: str
    claim: str
    kind: Kind
    a: Fields
    b: Fields | None = None
    over: str | None = None
    between: tuple[str, tuple[Any, Any]] | None = None
    behaviors: tuple[str, ...] | None = None
    split: str | None = None
    prompts: str | None = None
    population: Population = Population.NEW_SEEDS
    alternative: Alternative = Alternative.TWO_SIDED
    sesoi: float | None = None
    family: str | None = None

    @property
    def arms(self) -> list[tuple[str, Fields]]:
        """Where the file names an arm, and its fields; a and b for each value between."""
        named = [(name, arm) for name, arm in (("a", self.a), ("b", self.b)) if arm is not None]
        if self.between is None or self.between[0] == BEHAVIOR:
            return named
        field, values = self.between
        return [(n, _pairs({**dict(arm), field: v})) for n, arm in named for v in values]

    @property
    def within(self) -> bool:
        """Whether it asks about moments of a training, and not about its end alone."""
        named = {name for arm in (self.a, self.b or ()) for name, _ in arm}
        axes = (self.over, self.between[0] if self.between else None)
        return any(name in named or name in axes for name in OF_MOMENTS)

    @property
    def digest(self) -> str:
        """sha256 of the question; its id is only a name."""
        facts = {k: _listed(v) for k, v in asdict(self).items() if k != "id" and v is not None}
        return digest_of(facts)

    @property
    def question(self) -> str:
        """sha256 of what is tested: equal where only words, order or notation differ."""
        facts = json.loads(json.dumps(asdict(self)), parse_int=float)
        facts["behaviors"] = sorted(facts["behaviors"] or ())
        return digest_of({k: v for k, v in facts.items() if k not in ("id", "claim")})

    @property
    def explored(self) -> str:
        """As `question`, of an exploratory contrast: all of these are one family."""
        return replace(self, family=None).question

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
            between=_pairs(raw["between"])[0] if raw.get("between") else None,
            behaviors=tuple(raw["behaviors"]) if raw.get("behaviors") else None,
            split=raw.get("split"),
            prompts=raw.get("prompts"),
            population=Population(raw.get("population", Population.NEW_SEEDS)),
            alternative=Alternative(raw.get("alternative", Alternative.TWO_SIDED)),
            sesoi=raw.get("sesoi"),
            family=raw.get("family"),
        )

    def plain(self) -> dict[str, Any]:
        """As in a sweep file."""
        found = {k: v for k, v in asdict(self).items() if v is not None}
        for arm in ("a", "b"):
            if arm in found:
                found[arm] = {k: _listed(v) for k, v in found[arm]}
        if "between" in found:
            found["between"] = {found["between"][0]: _listed(found["between"][1])}
        if "behaviors" in found:
            found["behaviors"] = list(found["behaviors"])
        return found | {k: str(found[k]) for k in ("kind", "population", "alternative")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """When a sweep's claims may be judged before all planned seeds are in.

    Attributes:
        ns: Seeds an arm at each look, rising; empty for after every seed, by e-values.
        spending: How alpha is spent on them; means nothing to e-values.
    """

    ns: tuple[int, ...] = ()
    spending: Spending = Spending.OBRIEN_FLEMING

    @property
    def anytime(self) -> bool:
        """Whether one may look after every seed."""
        return not self.ns

    @property
    def when(self) -> str:
        """In words, e.g. `at 5, 8, 12 seeds`."""
        return "after every seed" if self.anytime else f"at {', '.join(map(str, self.ns))} seeds"

    def plain(self) -> dict[str, Any]:
        """As in a sweep file."""
        if self.anytime:
            return {"anytime": True}
        return {"looks": list(self.ns), "spending": str(self.spending)}

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None) -> "Looks | None":
        """The inverse of `plain`; None for nothing."""
        if not raw:
            return None
        spending = Spending(raw.get("spending", Spending.OBRIEN_FLEMING))
        return cls(ns=tuple(raw.get("looks", ())), spending=spending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What a sweep file asks.

    Attributes:
        alpha: Level of every test, after adjustment.
        contrasts: In the order of the file.
        looks: When they may be judged before all seeds are in; None for only then.
        level_named: Whether the file names alpha.
    """

    alpha: float = ALPHA
    contrasts: tuple[Contrast, ...] = ()
    looks: Looks | None = None
    level_named: bool = False


class ContrastEntry(Checked):
    """A contrast as a file has it."""

    id: Text = Field(
        default=UNSET, description="unique in the sweep; in tables and links; null: c1, c2, ..."
    )
    claim: Text = Field(
        default=UNSET,
        description="what a `supported` verdict would support; null: a sentence is made",
    )
    kind: Annotated[Kind, Strict(strict=False)] = Field(description="what is asked")
    a: ArmFields | None = Field(
        default=None,
        description="fields and values that name an arm, e.g. condition and rho_weight",
    )
    b: ArmFields | None = Field(default=None, description="the arm that a is compared with")
    over: Dose = Field(
        default=UNSET, description="the axis of the doses, or `step`: the moments of each training"
    )
    between: BetweenFields | None = Field(
        default=None,
        description="one field of the arms (or `behavior`) with two values, between which the "
        "effects of a over b are compared",
    )
    behaviors: Texts | None = Field(default=None, description="null: all that are evaluated")
    split: Split = Field(default=UNSET, description="null: the held-out split where there is one")
    prompts: Literal["jailbreak", "matched", "benign"] = Field(
        default=UNSET, description="set of a stress test, for kinds about answers; null: jailbreak"
    )
    population: Annotated[Population, Strict(strict=False)] = Field(
        default=Population.NEW_SEEDS, description="what the interval speaks about"
    )
    alternative: Annotated[Alternative, Strict(strict=False)] = Field(
        default=Alternative.TWO_SIDED, description="the direction of a - b"
    )
    sesoi: Positive | None = Field(
        default=None, description="stated margin, nats per token; a proportion for `prop_diff`"
    )

    family: Text = Field(
        default=UNSET, description="contrasts of one family are adjusted together; null: all"
    )

    model_config = ConfigDict(
        title="Contrast",
        json_schema_extra={
            "allOf": [  # for every kind, the keys that a contrast needs and may have
                {
                    "if": {"properties": {"kind": {"const": str(kind)}}, "required": ["kind"]},
                    "then": {
                        "required": [*sorted(kind.rules.needed)],
                        "propertyNames": {"enum": [*sorted(kind.rules.allowed)]},
                        "properties": {
                            "alternative": {"enum": [*sorted(kind.rules.alternatives)]},
                            "population": {"enum": [*sorted(kind.rules.populations)]},
                        },
                    },
                }
                for kind in Kind
            ]
        },
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "ContrastEntry":
        rules = self.kind.rules
        found: list[tuple[str, str]] = []
        for key in type(self).model_fields:
            if key in rules.needed and getattr(self, key) is None:
                found.append((key, f"is missing; {MISSING[key].format(kind=self.kind)}"))
            elif key in self.model_fields_set and key not in rules.allowed:
                found.append((key, f"is not used by {self.kind}"))
        for key, known in (("alternative", rules.alternatives), ("population", rules.populations)):
            if key in self.model_fields_set & rules.allowed and getattr(self, key) not in known:
                choice = " or ".join(sorted(known))
                found.append((key, f"{self.kind} knows {choice} only, got {getattr(self, key)}"))
        about_behaviors = rules.compares is Compared.BEHAVIORS
        if self.between is not None and (self.between.field[0] == BEHAVIOR) != about_behaviors:
            wanted = f"must be {BEHAVIOR}" if about_behaviors else "must be a field of the arms"
            found.append(("between", f"{wanted} for {self.kind}"))
        if self.over == STEP and not rules.within:
            text = f"{self.kind} takes doses as independent, which moments of one training are not"
            found.append(("over", text))
        complain(((key,), text, (("kind",),)) for key, text in found)
        scores = rules.about is Subject.SCORES
        about = "scores" if scores else "answers"
        complain(
            ((key, name), f"is not used by {self.kind}, which is about {about}", (("kind",),))
            for key, arm in (("a", self.a), ("b", self.b))
            for name in (OF_PROMPTS if scores else OF_MOMENTS)
            if arm and name in arm.model_fields_set
        )
        return self


class SequentialEntry(Checked):
    """When claims may be judged before all seeds are in, with an error that holds all the same."""

    looks: list[Annotated[int, Field(ge=2)]] = Field(
        default=UNSET,
        description="seeds an arm at each of two or more looks, rising; the last are all seeds",
    )
    spending: Annotated[Spending, Strict(strict=False)] = Field(
        default=Spending.OBRIEN_FLEMING, description="how looks spend alpha: late, or evenly"
    )
    anytime: Literal[True] = Field(
        default=UNSET, description="in place of looks: a look after every seed, by e-values"
    )

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["looks"]},
                {"required": ["anytime"], "not": {"required": ["spending"]}},
            ]
        }
    )

    @model_validator(mode="after")
    def _rise(self) -> "SequentialEntry":
        if self.anytime is None and self.looks is None:
            complain([((), "needs looks, or anytime: true", ())])
        if self.anytime is None and (len(self.looks) < 2 or self.looks != sorted(set(self.looks))):
            complain([(("looks",), f"must be two or more that rise, got {show(self.looks)}", ())])
        given = sorted(self.model_fields_set & {"looks", "spending"}) if self.anytime else []
        complain(((key,), "is not used with anytime", (("anytime",),)) for key in given)
        return self


class Analysis(Checked):
    """Questions that are registered before there are data."""

    alpha: Annotated[float, Field(gt=0, le=0.2)] = Field(
        default=ALPHA, description="level of every test, after adjustment"
    )
    population: Annotated[Population, Strict(strict=False)] = Field(
        default=Population.NEW_SEEDS,
        description="what the intervals of contrasts speak about that name none and can; a "
        "sentence about a method needs new_seeds_and_probes",
    )
    sequential: SequentialEntry | None = Field(
        default=None, description="looks before all seeds are in, see analysis.md"
    )
    contrasts: list[ContrastEntry] = Field(default=[], description="the questions, see analysis.md")

    @model_validator(mode="after")
    def _ids_are_distinct(self) -> "Analysis":
        ids = [c.id or f"c{i + 1}" for i, c in enumerate(self.contrasts)]
        complain(
            (("contrasts", i), f"the id {show(name)} is given twice", ())
            for i, name in enumerate(ids)
            if name in ids[:i]
        )
        return self

    @model_validator(mode="after")
    def _may_be_asked_at_any_time(self) -> "Analysis":
        if self.sequential is None or not self.sequential.anytime:
            return self
        kinds, about = ", ".join(k for k in Kind if k.rules.sequential), (("sequential",),)
        reason = "sequential.anytime is for the mean of paired seeds"
        complain(
            (("contrasts", i, "kind"), f"{c.kind} has no e-value; {reason} ({kinds})", about)
            for i, c in enumerate(self.contrasts)
            if not c.kind.rules.sequential
        )
        entries = enumerate(self.contrasts)
        named = [(("contrasts", i, "population"), c.population) for i, c in entries]
        complain(
            (place, f"must be {Population.NEW_SEEDS}; {reason}", about)
            for place, population in ((("population",), self.population), *named)
            if population is not Population.NEW_SEEDS
        )
        return self


def parse_questions(document: Document) -> Questions:
    """The `analysis:` block of a file that may hold nothing else.

    Raises:
        SweepError: Everything that is wrong with it.
    """
    if document.value.get("analysis") is None:
        return Questions()
    _, problems, _ = read(Analysis, document, ("analysis",))
    raise_problems(document, [*document.problems, *problems])
    return questions_of(document.value, document.folder)


def questions_of(raw: Mapping[str, Any], folder: Path) -> Questions:
    """What a file asks that has been checked and lies in a folder."""
    block = raw.get("analysis") or {}
    return Questions(
        alpha=float(block.get("alpha", ALPHA)),
        contrasts=tuple(contrasts_of(raw, folder).values()),
        looks=Looks.of(block.get("sequential")),
        level_named="alpha" in block,
    )


def contrasts_of(
    raw: Mapping[str, Any], folder: Path, wrong: Collection[Route] = ()
) -> dict[int, Contrast]:
    """Number -> contrast of a checked file, those aside in which something is wrong.

    Relative paths are taken from the file's folder, as in its grids.
    """
    if ("analysis",) in wrong or ("analysis", "contrasts") in wrong:
        return {}
    block = raw.get("analysis") or {}
    listed, about = block.get("contrasts", []), block.get("population", Population.NEW_SEEDS)
    return {
        i: _contrast(i, one | anchored_arms(one, folder), Population(about))
        for i, one in enumerate(listed)
        if not affected([("analysis", "contrasts", i)], wrong)
    }


def unanswerable(contrasts: Mapping[int, Contrast], points: Iterable[Point]) -> Iterator[Finding]:
    """Contrasts whose arms or behaviours no point of the grids has, or that ask the same."""
    facts = [facts_of(point) for point in points]
    known = {b for f in facts for b in f["probes.evaluate"]}
    grids: tuple[Route, ...] = (("grid",), ("grids",))
    asked: dict[str, str] = {}
    for i, contrast in contrasts.items():
        route: Route = ("analysis", "contrasts", i)
        if (first := asked.setdefault(contrast.digest, contrast.id)) != contrast.id:
            yield route, f"{show(contrast.id)} asks the same as {show(first)}", ()
        if contrast.within:
            yield from _unscored(contrast, route, facts)
        for name, arm in contrast.arms:
            if not any(matches(arm, f) for f in facts):
                sections = tuple((n.partition(".")[0],) for n, _ in arm)
                text = f"no cell of the grids has {describe(arm)}"
                yield (*route, name), text, (*grids, *sections)
        places = [((*route, "behaviors", k), b) for k, b in enumerate(contrast.behaviors or ())]
        if contrast.between and contrast.between[0] == BEHAVIOR:
            values = enumerate(contrast.between[1])
            places = [((*route, "between", BEHAVIOR, k), b) for k, b in values]
        for place, behavior in places:
            if behavior in MEASURED:
                yield from _unmeasured(contrast, route, place, MEASURED[behavior], facts)
            elif behavior not in known:
                near = hint(behavior, tuple(sorted(known)))
                text = f"{show(behavior)} is not evaluated{near}"
                yield place, text, (*grids, ("probes", "evaluate"))


def _unmeasured(
    contrast: Contrast, route: Route, place: Route, measure: Measure, facts: Sequence[Point]
) -> Iterator[Finding]:
    """A measurement that no cell makes, or of which something is asked that it cannot tell."""
    if measure.field and not any(f[measure.field] for f in facts):
        text = f"{show(measure.name)} is not measured: {measure.field} names no set"
        yield place, text, (tuple(measure.field.split(".")),)
    elif contrast.population is not Population.NEW_SEEDS:
        text = f"{show(measure.name)} is measured on whole cells, which have no probe pairs"
        yield (*route, "population"), text, (place,)


def _unscored(contrast: Contrast, route: Route, facts: Sequence[Point]) -> Iterator[Finding]:
    """Moments that a contrast names and at which no point of the grids is scored."""
    eval_at = ("train", "eval_at")
    for name, arm in contrast.arms:
        fitting = [f for f in facts if matches(arm, f)]
        moments: list[Moments] = [m for f in fitting if (m := f.get("train.eval_at"))]
        if fitting and not moments:
            text = "asks about moments of a training; train.eval_at names none"
            yield route, text, (eval_at,)
            return
        epoch = dict(arm).get(EPOCH)
        known = {v for m in moments for v in m.values} | {f["train.epochs"] for f in fitting}
        if epoch is not None and epoch not in known and all(m.unit == "epochs" for m in moments):
            there = ", ".join(f"{v:g}" for v in sorted(known))
            text = (
                f"nothing is scored after {epoch:g} epochs; train.eval_at and the end are {there}"
            )
            place = (*route, "between", EPOCH) if contrast.between else (*route, name, EPOCH)
            yield place, text, (eval_at,)


def anchored_arms(raw: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The arms of a contrast as a file has them, their relative paths made absolute."""
    return {
        key: {name: anchored(name, value, folder) for name, value in raw[key].items()}
        for key in ("a", "b", "between")
        if raw.get(key)
    }


def matches(arm: Fields, facts: Mapping[str, Any]) -> bool:
    """Whether an arm's facts are those that a contrast names.

    Prompts are no fact of an arm; a moment of its training is one where the facts have a step.
    """
    aside = OF_PROMPTS if STEP in facts else (*OF_PROMPTS, *OF_MOMENTS)
    return all(_has(facts, name, value) for name, value in arm if name not in aside)


def _has(facts: Mapping[str, Any], name: str, value: Any) -> bool:
    """Whether an arm has this value of a field.

    A field that its condition uses, and that is no fact of the arm, made no difference to it. An
    arm that takes all texts, or has no data but their number, is named by that number as well.
    """
    if name == "data.size" and facts.get(name) is None and value is not None:
        return bool(facts.get("sft_records") == value)
    if name == EPOCH:
        return bool(facts[STEP] == step_of(value, facts))
    if name in facts:
        return bool(facts[name] == value)
    return value is None or uses(name, Condition(facts["condition"]))


def step_of(epochs: float, facts: Mapping[str, Any]) -> int:
    """The optimizer step of a trained arm that ends so many epochs."""
    train = TrainSpec(
        batch_size=facts["train.batch_size"], grad_accumulation=facts["train.grad_accumulation"]
    )
    return train.step_at(epochs, facts["sft_records"])


def concerns(contrast: Contrast, facts: Mapping[str, Any]) -> bool:
    """Whether the results of a trained arm are part of the answer of a contrast."""
    if any(matches(fields, facts) for _, fields in contrast.arms):
        return True
    return contrast.over == "rho_weight" and facts["condition"] == Condition.SFT_ONLY


def describe(arm: Fields) -> str:
    """e.g. `condition=sft-only`."""
    return " ".join(f"{name}={value}" for name, value in arm)


MISSING = {
    "a": "it names an arm",
    "b": "{kind} compares a with b",
    "over": "{kind} needs an axis of doses",
    "between": "{kind} compares effects between two values",
    "sesoi": "{kind} means nothing without a stated margin",
}
"""Why a key is needed, of each key that some kind needs."""


def _contrast(index: int, raw: dict[str, Any], population: Population) -> Contrast:
    """The record of a valid entry.

    Arms are in canonical form, where weight 0 is sft-only. An entry without a claim gets a
    sentence made from its kind, one without a population that of its block, where its kind can
    speak about it.
    """
    given = {"id": f"c{index + 1}", **raw}
    for key in ("a", "b"):
        if raw.get(key) is None:
            continue
        record = ArmFields.model_validate(raw[key])
        arm = {name: getattr(record, name) for name in record.model_fields_set}
        condition = condition_of({"rho_weight": None} | arm)
        if condition != arm["condition"]:
            arm = {k: v for k, v in arm.items() if k not in FIELDS or uses(k, condition)}
        given[key] = arm | {"condition": str(condition)}
    first, second = "", ""
    if raw.get("between") is not None:
        name, values = BetweenFields.model_validate(raw["between"]).field
        given["between"] = {name: list(values)}
        first, second = (v if name == BEHAVIOR else describe(((name, v),)) for v in values)
    rules = Kind(given["kind"]).rules
    if rules.about is Subject.SCORES and population in rules.populations:
        given = {"population": population, **given}
    alternative = Alternative(given.get("alternative", Alternative.TWO_SIDED))
    claim = rules.claim.format(
        a=describe(_pairs(given.get("a", {}))) or "all cells",
        b=describe(_pairs(given["b"])) if given.get("b") else "the baseline",
        over=given.get("over"),
        first=first,
        second=second,
        sesoi=f"{given['sesoi']:g}" if given.get("sesoi") else "",
        alternative=alternative,
        relation=rules.relations[alternative] if rules.relations else "",
    )
    return Contrast.from_dict({"claim": claim, **given})


def _pairs(arm: Any) -> Fields:
    items = arm.items() if isinstance(arm, Mapping) else arm
    return tuple(sorted(((str(k), _tupled(v)) for k, v in items), key=lambda pair: pair[0]))


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list | tuple) else value


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value
