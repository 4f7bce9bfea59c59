"""Every field of a sweep file: its type, range, default, and the conditions that use it."""

import difflib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.contract.cell import Condition, TrainSpec
from tasks.contract.generation import GREEDY

Uses = Callable[[Condition], bool]
TRAIN = TrainSpec()
_MISSING = object()


def _always(_: Condition) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field.

    Attributes:
        kind: `int`, `float`, `flag`, `text`, `choice` or `texts` (a list of texts).
        low, high: Inclusive bounds of a number.
        open_low: Whether `low` itself is excluded.
        open_high: Whether `high` itself is excluded.
        choices: Allowed values of a `choice`.
        default: Used where the file says nothing; `required` fields have none.
        optional: Whether `null` is a value.
        uses: Whether a condition's outcome can depend on the field.
        axis: Whether a grid may vary it.
    """

    kind: str
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()
    default: Any = _MISSING
    optional: bool = False
    uses: Uses = _always
    axis: bool = True

    @property
    def required(self) -> bool:
        """Whether the file must give a value."""
        return self.default is _MISSING

    def complaint(self, value: Any) -> str | None:
        """What is wrong with a value, or None."""
        if value is None:
            return None if self.optional else f"must be {self._wanted()}, got null"
        match self.kind:
            case "texts":
                return self._texts(value)
            case "text":
                return None if _is_text(value) else f"must be a text, got {show(value)}"
            case "choice":
                return self._choice(value)
            case "flag":
                return (
                    None
                    if isinstance(value, bool)
                    else f"must be {self._wanted()}, got {show(value)}"
                )
            case _:
                return self._number(value)

    def clean(self, value: Any) -> Any:
        """A valid value in its canonical form."""
        match self.kind:
            case "float" if value is not None:
                return float(value) + 0.0  # -0.0 is 0.0, also in a digest
            case "texts":
                return tuple(sorted(value))
            case _:
                return value

    def _wanted(self) -> str:
        return {
            "int": "a whole number",
            "float": "a number",
            "texts": "a list of texts",
            "text": "a text",
            "flag": "true or false",
            "choice": f"one of {', '.join(self.choices)}",
        }[self.kind]

    def _texts(self, value: Any) -> str | None:
        if not isinstance(value, list) or not all(_is_text(v) for v in value):
            return f"must be a list of texts, got {show(value)}"
        if not value:
            return "must not be empty"
        if len(set(value)) < len(value):
            return "names something twice"
        return None

    def _choice(self, value: Any) -> str | None:
        if value in self.choices:
            return None
        return f"must be {self._wanted()}; got {show(value)}{hint(str(value), self.choices)}"

    def _number(self, value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be {self._wanted()}, got {show(value)}"
        if not abs(value) <= sys.float_info.max:
            return f"must be finite, got {show(value)}"
        if self.kind == "int" and not isinstance(value, int):
            return f"must be a whole number, got {value}"
        if value < self.low or (self.open_low and value == self.low):
            return f"must be {'>' if self.open_low else '>='} {self.low:g}, got {value:g}"
        if value > self.high or (self.open_high and value == self.high):
            return f"must be {'<' if self.open_high else '<='} {self.high:g}, got {value:g}"
        return None


def _trains(condition: Condition) -> bool:
    return condition.trains


def _has_sft(condition: Condition) -> bool:
    return condition.has_sft


def _has_hinge(condition: Condition) -> bool:
    return condition.has_hinge


FIELDS: dict[str, Field] = {
    "condition": Field(kind="choice", choices=tuple(Condition)),
    "rho_weight": Field(kind="float", low=0, default=None, optional=True, uses=_has_hinge),
    "margin": Field(kind="float", low=0, default=None, optional=True, uses=_has_hinge),
    "seed": Field(kind="int", low=0, high=2**63 - 1, default=None, optional=True, uses=_trains),
    "model": Field(kind="text"),
    "model_revision": Field(kind="text", default=None, optional=True),
    "train.lora_rank": Field(kind="int", low=1, default=TRAIN.lora_rank, uses=_trains),
    "train.lora_alpha": Field(
        kind="float", low=0, open_low=True, default=TRAIN.lora_alpha, uses=_trains
    ),
    "train.lora_keys": Field(kind="texts", default=list(TRAIN.lora_keys), uses=_trains),
    "train.lora_dropout": Field(
        kind="float", low=0, high=1, open_high=True, default=TRAIN.lora_dropout, uses=_trains
    ),
    "train.learning_rate": Field(
        kind="float", low=0, open_low=True, default=TRAIN.learning_rate, uses=_trains
    ),
    "train.weight_decay": Field(kind="float", low=0, default=TRAIN.weight_decay, uses=_trains),
    "train.warmup_fraction": Field(
        kind="float", low=0, high=1, open_high=True, default=TRAIN.warmup_fraction, uses=_trains
    ),
    "train.grad_accumulation": Field(
        kind="int", low=1, default=TRAIN.grad_accumulation, uses=_trains
    ),
    "train.batch_size": Field(kind="int", low=1, default=TRAIN.batch_size, uses=_trains),
    "train.epochs": Field(kind="int", low=1, default=TRAIN.epochs, uses=_trains),
    "train.pairs_per_step": Field(kind="int", low=1, default=None, optional=True, uses=_has_hinge),
    "train.max_length": Field(kind="int", low=8, default=256),
    "train.clip_norm": Field(
        kind="float", low=0, open_low=True, default=TRAIN.clip_norm, uses=_trains
    ),
    "data.sft": Field(kind="text", default="starter", uses=_has_sft),
    "data.size": Field(kind="int", low=1, default=None, optional=True, uses=_trains),
    "data.trap_fraction": Field(kind="float", low=0, high=1, default=0.0, uses=_trains),
    "data.refusal_fraction": Field(kind="float", low=0, high=1, default=0.0, uses=_trains),
    "data.template": Field(
        kind="choice", choices=("chat", "plain"), default=None, optional=True, uses=_has_sft
    ),
    "probes.pack": Field(kind="text", default="starter"),
    "probes.train": Field(
        kind="texts", default=["bias", "factual", "sycophancy", "toxicity"], uses=_trains
    ),
    "probes.evaluate": Field(
        kind="texts", default=["bias", "factual", "refusal", "sycophancy", "toxicity"]
    ),
    "probes.heldout": Field(kind="float", low=0, high=1, open_high=True, default=0.25),
    "stress.prompts": Field(kind="texts", default=["starter"], axis=False),
    "stress.samples": Field(kind="int", low=1, default=1, axis=False),
    "stress.temperature": Field(kind="float", low=0, default=GREEDY, axis=False),
    "stress.max_tokens": Field(kind="int", low=1, default=256, axis=False),
    "stress.seed": Field(kind="int", low=0, high=2**63 - 1, default=0, axis=False),
    "stress.judge": Field(kind="text", default="rules", axis=False),
    "run.slots": Field(kind="int", low=1, default=None, optional=True, axis=False),
    "run.recycle_after": Field(kind="int", low=1, default=25, axis=False),
    "run.retries": Field(kind="int", low=0, default=3, axis=False),
    "run.grad_checkpoint": Field(kind="flag", default=False, axis=False),
    "run.silence_s": Field(kind="float", low=10, default=180.0, axis=False),
    "run.checkpoint_s": Field(kind="float", low=0, default=60.0, axis=False),
    "run.notify": Field(kind="text", default=None, optional=True, axis=False),
    "run.notify_failures": Field(kind="float", low=0, high=1, default=0.1, axis=False),
}
SECTIONS = ("train", "data", "probes", "stress", "run")
GRID_ONLY = ("condition", "rho_weight", "margin", "seed")
TOP_LEVEL = (
    "name",
    "description",
    "model",
    "model_revision",
    "grid",
    "grids",
    "analysis",
    *SECTIONS,
)
AXES = tuple(name for name, field in FIELDS.items() if field.axis)


def hint(word: str, known: tuple[str, ...]) -> str:
    """`; did you mean "..."?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def show(value: Any) -> str:
    """A value as people wrote it, shortened."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
