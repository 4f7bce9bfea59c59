"""Compares a judge with people: how far its verdicts agree with labelled examples. Pure."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy.stats import binomtest, norm

from orchestrator.errors import UserError
from orchestrator.stats.records import LEVEL
from tasks.judges.contract import Judge, Judgement, Label
from tasks.sources.jsonl import read_objects

HALVES = ("dev", "heldback")
ALL = "all"
LABELS = tuple(Label)
REQUIRED = ("id", "prompt", "response", "label", "half")
PASSES = ("first", "second")
FIELDS = (*REQUIRED, "trap", "finish_reason", "source", *PASSES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One answer that a person has labelled.

    Attributes:
        id: Unique in its file.
        prompt, response: The question and the answer.
        label: The label that the person gave.
        half: `dev` may be used to tune a judge, `heldback` only to measure it.
        trap: What makes it hard to judge; None for a plain one.
        finish_reason: As `Judge.judge` takes it.
        source: The model that answered, and how it was asked; None where people wrote the answer.
        first, second: Labels of two blind passes, from which `label` was settled; None where there
            was one pass.
    """

    id: str
    prompt: str
    response: str
    label: Label
    half: str
    trap: str | None = None
    finish_reason: str | None = None
    source: str | None = None
    first: Label | None = None
    second: Label | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A proportion with its Wilson interval at `LEVEL`; value, low and high are None if n is 0.

    Attributes:
        k, n: Hits and trials.
        value, low, high: k / n and the interval.
    """

    k: int
    n: int
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, k: int, n: int) -> "Share":
        """The proportion k of n."""
        if n == 0:
            return cls(k=k, n=n, value=None, low=None, high=None)
        interval = binomtest(k, n).proportion_ci(LEVEL, "wilson")
        return cls(k=k, n=n, value=k / n, low=float(interval.low), high=float(interval.high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """An example on which judge and person differ.

    Attributes:
        id, trap: Those of the example.
        label: The person's label.
        judged: The judge's label.
        reason: The judge's reason.
    """

    id: str
    trap: str | None
    label: Label
    judged: Label
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """How well a judge agrees with people.

    Attributes:
        judge: Its name.
        half: The examples used: `dev`, `heldback` or `all`.
        n: Number of examples.
        n_unjudged: Verdicts `unjudged`; they count in `confusion` and `kappa`, and in neither
            numerator nor denominator of anything else.
        confusion: Person's label -> judge's label -> examples.
        kappa: Cohen's kappa over the five labels; None where it is not defined.
        kappa_interval: Its interval at `LEVEL`, see `kappa_interval`; None where kappa is.
        kappa_refusal: Cohen's kappa over refused or not, of examples where both labels say which.
        kappa_refusal_interval: Likewise.
        sensitivity: Share of answers that refuse, in full or in part, that the judge found so.
        specificity: Share of answers that do not refuse that the judge found so.
        labels: Label -> its own sensitivity and specificity: that label or any other.
        mistakes: Examples on which judge and person differ, in the order of the file.
    """

    judge: str
    half: str
    n: int
    n_unjudged: int
    confusion: dict[str, dict[str, int]]
    kappa: float | None
    kappa_interval: tuple[float, float] | None
    kappa_refusal: float | None
    kappa_refusal_interval: tuple[float, float] | None
    sensitivity: Share
    specificity: Share
    labels: dict[str, dict[str, Share]]
    mistakes: tuple[Mistake, ...]

    def to_json(self) -> str:
        """Stable JSON; see docs/json.md."""
        return json.dumps(asdict(self), indent=2, allow_nan=False, ensure_ascii=False)


def load_examples(path: Path, half: str = ALL) -> tuple[Example, ...]:
    """The examples of a file, or of one half of it.

    Raises:
        UserError: `half` is not one of the values, or has no example; or an example is malformed.
        NodeError: The file cannot be read.
    """
    if half not in (*HALVES, ALL):
        raise UserError(f"--half must be dev, heldback or all, got {half!r}")
    examples: dict[str, Example] = {}
    for number, row in read_objects(path):
        example = _example(f"{path}:{number}", row)
        if example.id in examples:
            raise UserError(f"{path}:{number}: id {example.id!r} occurs before")
        examples[example.id] = example
    chosen = tuple(e for e in examples.values() if half in (e.half, ALL))
    if not chosen:
        raise UserError(f"{path}: no example of half {half!r}")
    return chosen


def _example(where: str, row: dict[str, Any]) -> Example:
    if absent := [key for key in REQUIRED if row.get(key) is None]:
        raise UserError(f"{where}: {absent[0]!r} is missing")
    if unknown := sorted(set(row) - set(FIELDS)):
        raise UserError(f"{where}: unknown key {unknown[0]!r}")
    for key, value in row.items():
        if value is not None and not isinstance(value, str):
            raise UserError(f"{where}: {key!r} must be a text, got {value!r}")
    given = {key: row[key] for key in ("label", *PASSES) if row.get(key) is not None}
    for key, label in given.items():
        if label not in LABELS:
            raise UserError(f"{where}: {key} {label!r} is none of {', '.join(LABELS)}")
    if row["half"] not in HALVES:
        raise UserError(f"{where}: half must be dev or heldback, got {row['half']!r}")
    return Example(**(row | {key: Label(label) for key, label in given.items()}))


def validate(judge: Judge, examples: Sequence[Example], half: str) -> Validation:
    """Let a judge label the examples, and compare."""
    verdicts = [judge.judge(e.prompt, e.response, e.finish_reason) for e in examples]
    return compare(judge.name, examples, verdicts, half)


def compare(
    name: str, examples: Sequence[Example], verdicts: Sequence[Judgement], half: str
) -> Validation:
    """Compare verdicts with people's labels.

    Args:
        name: Name of the judge.
        examples: At least one.
        verdicts: One for each example.
        half: Recorded in the result.
    """
    pairs = [(e.label, v.label) for e, v in zip(examples, verdicts, strict=True)]
    counts = Counter(pairs)
    said = [(a, b) for a, b in ((p.refuses, j.refuses) for p, j in pairs) if None not in (a, b)]
    return Validation(
        judge=name,
        half=half,
        n=len(pairs),
        n_unjudged=sum(judged is Label.UNJUDGED for _, judged in pairs),
        confusion={str(p): {str(j): counts[p, j] for j in LABELS} for p in LABELS},
        kappa=kappa(pairs),
        kappa_interval=kappa_interval(pairs),
        kappa_refusal=kappa(said),
        kappa_refusal_interval=kappa_interval(said),
        **_rates(said),
        labels={str(c): _rates([(a is c, b is c) for a, b in pairs]) for c in LABELS},
        mistakes=tuple(
            Mistake(id=e.id, trap=e.trap, label=e.label, judged=v.label, reason=v.reason)
            for e, v in zip(examples, verdicts, strict=True)
            if e.label is not v.label
        ),
    )


def _rates(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Share]:
    """Sensitivity and specificity of (person, judge), each true or false."""
    return {
        "sensitivity": Share.of(pairs.count((True, True)), sum(a is True for a, _ in pairs)),
        "specificity": Share.of(pairs.count((False, False)), sum(a is False for a, _ in pairs)),
    }


def kappa(pairs: Sequence[tuple[Any, Any]]) -> float | None:
    """Cohen's kappa (Cohen 1960, unweighted): agreement beyond what the margins give by chance.

    None where it is not defined: no pairs, or both raters use one and the same category.
    """
    n = len(pairs)
    if n == 0:
        return None
    observed = sum(a == b for a, b in pairs) / n
    left, right = (Counter(column) for column in zip(*pairs, strict=True))
    chance = sum(left[c] * right[c] for c in left) / n**2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def kappa_interval(pairs: Sequence[tuple[Any, Any]]) -> tuple[float, float] | None:
    """Kappa's interval at `LEVEL` by its large-sample variance (Fleiss, Cohen, Everitt 1969).

    It takes the pairs to be independent; answers to one prompt are not quite. None where kappa is.
    """
    value, n = kappa(pairs), len(pairs)
    if value is None:
        return None
    left, right = (Counter(column) for column in zip(*pairs, strict=True))
    chance = sum(left[c] * right[c] for c in left) / n**2
    terms = [(a == b) - (right[a] + left[b]) / n * (1 - value) for a, b in pairs]
    variance = sum(t**2 for t in terms) / n - (value - chance * (1 - value)) ** 2
    half = norm.ppf((1 + LEVEL) / 2) * math.sqrt(max(variance, 0) / n) / (1 - chance)
    return float(value - half), float(min(value + half, 1))
