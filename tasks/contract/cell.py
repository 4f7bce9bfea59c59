"""The records that cross the border between driver and node. Standard library only.

A `CellSpec` goes out, a `CellResult` or a `CellFailure` comes back; `tasks.contract.generation` has
the same for answers to prompts. Both sides may be different processes on different machines, so
nothing here holds an open file, an array or a model.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Protocol, Self

from tasks.contract.columns import Column
from tasks.contract.conditions import Condition as Condition  # noqa: PLC0414 - a record's field

RECIPE_VERSION = 1
"""Part of every cell's identity; raised when the same spec would give other numbers."""
PACKED = "packed"
"""Value of `path` where passes are packed; otherwise it is `plain: ` and why they are not."""


class Spec(Protocol):
    """A unit of work: what is scheduled, tried again, and stored whole or not at all."""

    @property
    def key(self) -> str:
        """16 hex digits, like no other unit's."""
        ...

    @property
    def label(self) -> str:
        """A short name for people."""
        ...


class Status(StrEnum):
    """How a cell ended: `ok` has scores, `diverged` and `failed` have none."""

    OK = "ok"
    DIVERGED = "diverged"
    FAILED = "failed"


UNRESOLVED = "unresolved:"
"""Before what stands for a digest of content that is not on this machine yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A base model.

    Attributes:
        name: Hub id, absolute path of a directory, or `tiny`.
        revision: Commit of a hub model; None for a directory.
        digest: sha256 over the model's files; None while the model is not on this machine.
        told: sha256 over what mlx-lm is told of it beside its config.json; None where that is
            nothing. Version 1 of this program told nothing, and got other numbers.
    """

    name: str
    revision: str | None = None
    digest: str | None = None
    told: str | None = None

    @property
    def identity(self) -> str:
        """What makes two models the same: their content, or where it is to come from."""
        known = self.digest and "/".join(filter(None, (self.digest, self.told)))
        return known or f"{UNRESOLVED}{self.name}@{self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HingeSpec:
    """The loss of pairs: the hinge, or what the condition has in its place.

    Attributes:
        rho_weight: Multiplies the mean over the pairs; > 0.
        pairs_per_step: Pairs per micro-step, a multiple of the trained behaviours.
        behaviors: Behaviours whose training pairs it sees.
        pool_digest: sha256 over those pairs.
        margin: Separation that the hinge asks for, nats per token; >= 0. None in its absence, as
            are the settings of the other losses in theirs.
        dpo_beta: Multiplies the change of log-odds against the reference in DPO; 1 per nat.
        simpo_beta: Multiplies the gap in SimPO; tokens per nat.
        simpo_gamma: What SimPO asks of that product; >= 0.
    """

    rho_weight: float
    pairs_per_step: int
    behaviors: tuple[str, ...]
    pool_digest: str
    margin: float | None = None
    dpo_beta: float | None = None
    simpo_beta: float | None = None
    simpo_gamma: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """Optimisation of one adapter.

    Attributes:
        lora_rank: Rank of every adapted projection.
        lora_alpha: The update is scaled by lora_alpha / lora_rank.
        lora_keys: Names of the projections, e.g. `q_proj`; checked against the model.
        lora_dropout: Probability of dropping an input of the update.
        learning_rate: Peak, after the warmup.
        weight_decay: AdamW's decoupled decay.
        warmup_fraction: Share of the optimizer steps with rising learning rate.
        grad_accumulation: Micro-steps averaged into one optimizer step.
        batch_size: SFT texts per micro-step.
        epochs: Passes over the SFT texts.
        clip_norm: Global gradient norm is cut to this.
    """

    lora_rank: int = 8
    lora_alpha: float = 16.0
    lora_keys: tuple[str, ...] = ("q_proj", "k_proj", "o_proj")
    lora_dropout: float = 0.0
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    grad_accumulation: int = 4
    batch_size: int = 2
    epochs: int = 1
    clip_norm: float = 1.0

    def step_at(self, epochs: float, records: int) -> int:
        """The first optimizer step that ends so many passes over so many texts."""
        micro_steps = epochs * -(-records // self.batch_size)
        return math.ceil(round(micro_steps / self.grad_accumulation, 9))  # 0.1 * 30 is above 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """The mix of SFT texts.

    Attributes:
        sft: Of `tasks.data.sft.SOURCES`, or an absolute path of a JSONL file.
        size: Texts in the mix; None takes every text of the source.
        trap_fraction: Share that are positives of training pairs.
        refusal_fraction: Share that are marked refusals.
        template: `chat` (the model's own) or `plain`; None where all records are plain text.
        revision: Commit of a hub data set; None for files.
        digest: sha256 over the records of the mix, in order.
        rendered: sha256 over the token ids of the mix, in order; None while the model is not on
            this machine.
        template_date: The date that the model's chat template is told; None where it does not
            ask for one.
        template_parts: Whether the template is given each text as a part of its message.
    """

    sft: str
    size: int | None
    trap_fraction: float
    refusal_fraction: float
    template: str | None
    revision: str | None
    digest: str
    rendered: str | None = None
    template_date: str | None = None
    template_parts: bool = False

    @property
    def identity(self) -> list[str | None]:
        """What decides the tokens, beside the model.

        The model's files and these texts give the same tokens everywhere, unless its template
        asks for the date, or takes parts, which version 1 of this program left empty: then the
        tokens themselves count.
        """
        counts = self.template_date is not None or self.template_parts
        moving = [self.template_date, self.rendered] if counts else []
        return [self.digest, self.template, *moving]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSpec:
    """The probe pairs.

    Attributes:
        pack: Of `tasks.data.probe_packs.PACKS`, or an absolute path of a JSONL file.
        train: Behaviours whose training split is open to the hinge and the traps.
        evaluate: Behaviours that are scored.
        heldout: Share of each behaviour's pairs that no training text or pair may touch.
        digest: sha256 over the evaluated pairs and their splits.
    """

    pack: str
    train: tuple[str, ...]
    evaluate: tuple[str, ...]
    heldout: float
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceSpec:
    """A multiple-choice set that every cell answers.

    Attributes:
        name: An absolute path of a JSONL file, or `OWNER/NAME@COMMIT:FILE` of a hub's data set.
        digest: sha256 over its items, in order.
        texts: Choices of all items, for estimates of work.
    """

    name: str
    digest: str
    texts: int


class Digests:
    """Room for digests that are asked for often; no fields, so that a copy computes its own."""

    __slots__ = ("_arm_id", "_cell_id")
    _arm_id: str
    _cell_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSpec(Digests):
    """One unit of work, canonical: a field that cannot affect the outcome is None.

    Attributes:
        condition: What the cell trains on.
        model: The base model.
        probes: What is scored.
        max_length: Tokens of the longest text that is trained on or scored.
        train: None for the baseline.
        data: None where no SFT loss exists.
        sft_records: Texts of one epoch; sets the number of steps, also where `data` is None.
        hinge: None where there is no loss of pairs.
        seed: None for the baseline.
        grad_checkpoint: Keep only the layers' inputs for the backward pass. Changes memory and
            time, not the outcome, so it is no part of the identity.
        eval_steps: Optimizer steps before the last one after which the pairs are scored, too,
            ascending. They change no number of the cell; they are part of the identity where there
            are any, so that a cell has all the rows that its id promises.
        keep_steps: Likewise those after which the adapter is kept, too.
        capability: The multiple-choice set that is scored at the end; None for none. Part of the
            identity where there is one, likewise.
    """

    condition: Condition
    model: ModelSpec
    probes: ProbeSpec
    max_length: int
    train: TrainSpec | None = None
    data: DataSpec | None = None
    sft_records: int | None = None
    hinge: HingeSpec | None = None
    seed: int | None = None
    grad_checkpoint: bool = False
    eval_steps: tuple[int, ...] = ()
    keep_steps: tuple[int, ...] = ()
    capability: ChoiceSpec | None = None

    def identity(self) -> dict[str, Any]:
        """The facts that decide the outcome, as JSON-ready values."""
        facts: dict[str, Any] = {
            "recipe": RECIPE_VERSION,
            "condition": str(self.condition),
            "model": self.model.identity,
            "max_length": self.max_length,
            "probes": [self.probes.digest, sorted(self.probes.evaluate)],
            "seed": self.seed,
        }
        if self.train is not None:
            facts["train"] = asdict(self.train)
            facts["data"] = self.data and self.data.identity
            facts["sft_records"] = self.sft_records
            given = asdict(self.hinge) if self.hinge else {}
            facts["hinge"] = {k: v for k, v in given.items() if v is not None} or None
        if self.capability is not None:
            facts["capability"] = self.capability.digest
        points = {"eval_steps": self.eval_steps, "keep_steps": self.keep_steps}
        return facts | {name: list(steps) for name, steps in points.items() if steps}

    @property
    def last_step(self) -> int | None:
        """Optimizer steps of the whole training; None for the baseline."""
        if self.train is None or self.sft_records is None:
            return None
        return self.train.step_at(self.train.epochs, self.sft_records)

    @property
    def cell_id(self) -> str:
        """16 hex digits naming this cell wherever its results lie."""
        if not hasattr(self, "_cell_id"):
            object.__setattr__(self, "_cell_id", digest_of(self.identity())[:16])
        return self._cell_id

    @property
    def key(self) -> str:
        """As `Spec` has it."""
        return self.cell_id

    @property
    def arm_id(self) -> str:
        """As `cell_id`, without the seed: the replicates of one arm share it."""
        if not hasattr(self, "_arm_id"):
            found = digest_of(self.identity() | {"seed": None, "arm": True})[:16]
            object.__setattr__(self, "_arm_id", found)
        return self._arm_id

    @property
    def training_id(self) -> str:
        """As `cell_id`, without what is scored and when: the same weights, and so the same rho."""
        facts = self.identity()
        for name in ("probes", "eval_steps", "keep_steps", "capability"):
            facts.pop(name, None)
        return digest_of(facts)

    @property
    def label(self) -> str:
        """A short name for people, e.g. `rho-guided w=0.2 m=0.1 seed=42`."""
        parts = [str(self.condition)]
        if self.hinge is not None:
            parts.append(f"w={self.hinge.rho_weight:g}")
            if self.hinge.margin is not None:
                parts.append(f"m={self.hinge.margin:g}")
        if self.seed is not None:
            parts.append(f"seed={self.seed}")
        return " ".join(parts)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "CellSpec":
        """The inverse of `dataclasses.asdict`, also after a trip through JSON."""
        return cls(
            condition=Condition(raw["condition"]),
            model=ModelSpec(**raw["model"]),
            probes=ProbeSpec(**_tuples(raw["probes"])),
            max_length=raw["max_length"],
            train=TrainSpec(**_tuples(raw["train"])) if raw["train"] else None,
            data=DataSpec(**raw["data"]) if raw["data"] else None,
            sft_records=raw["sft_records"],
            hinge=HingeSpec(**_tuples(raw["hinge"])) if raw["hinge"] else None,
            seed=raw["seed"],
            grad_checkpoint=raw["grad_checkpoint"],
            eval_steps=tuple(raw.get("eval_steps", ())),
            keep_steps=tuple(raw.get("keep_steps", ())),
            capability=ChoiceSpec(**raw["capability"]) if raw.get("capability") else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """Measurements of one optimizer step.

    Attributes:
        step: From 1.
        ce_loss: SFT loss, nats per token, mean over micro-steps; None without SFT.
        hinge_loss: Mean hinge over the step's pairs, nats per token, or the mean of the loss that
            the condition has in its place; None without pairs.
        hinge_active: Share of the step's pairs whose loss is above zero; None without pairs.
        hinge_loss_by_behavior: The same per behaviour.
        hinge_active_by_behavior: The same per behaviour.
        grad_norm: Global norm before clipping.
        learning_rate: Used in this step.
        pairs_skipped: Pairs without a backward pass, for it would be zero; None without pairs.
        tokens: Tokens of SFT and pair texts.
        flops: Floating-point operations that the step needed at least; None where the model's
            kind is not counted.
        wall_s: Seconds of this step.
    """

    step: Annotated[int, Column(unit="optimizer step", required=True)]
    ce_loss: Annotated[float | None, Column(unit="nat/token")]
    hinge_loss: Annotated[float | None, Column(unit="nat/token")]
    hinge_active: Annotated[float | None, Column(unit="1")]
    hinge_loss_by_behavior: Annotated[dict[str, float], Column(unit="nat/token")]
    hinge_active_by_behavior: Annotated[dict[str, float], Column(unit="1")]
    pairs_skipped: Annotated[int | None, Column(unit="pair")]
    grad_norm: Annotated[float, Column(unit="1")]
    learning_rate: Annotated[float, Column(unit="1")]
    tokens: Annotated[int, Column(unit="token")]
    flops: Annotated[float | None, Column(unit="flop")]
    wall_s: Annotated[float, Column(unit="s")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeScoreRow:
    """Log-probabilities of one pair; every number is None when the pair was excluded.

    Attributes:
        behavior, split, probe_id: Where the pair belongs.
        status: `ok`, `too_long`, `too_short`, `degenerate` or `nonfinite`.
        logprob_positive_sum, logprob_negative_sum: Summed over all tokens but the first, nats.
        logprob_positive_mean, logprob_negative_mean: The same per token.
        n_tokens_positive, n_tokens_negative: Tokens that were scored.
        gap: logprob_positive_mean - logprob_negative_mean, nats per token.
        n_completion_positive, n_completion_negative: Tokens after the common prefix.
        gap_completion: As `gap`, over those tokens; None when one side has none.
        cluster: Pairs with the same name are not independent; None for a pair that stands alone.
        right: Of an item of a multiple-choice set, whose row pairs its right choice with the best
            other one; 1 where the right choice is the likeliest, 1/n where n share that, else 0.
            None for probe pairs.
        right_norm: The same with each log-probability divided by the choice's characters.
    """

    behavior: Annotated[str, Column(required=True)]
    split: Annotated[str, Column(required=True)]
    probe_id: Annotated[str, Column(required=True)]
    status: Annotated[str, Column(required=True)]
    logprob_positive_sum: Annotated[float | None, Column(unit="nat")] = None
    logprob_negative_sum: Annotated[float | None, Column(unit="nat")] = None
    logprob_positive_mean: Annotated[float | None, Column(unit="nat/token")] = None
    logprob_negative_mean: Annotated[float | None, Column(unit="nat/token")] = None
    n_tokens_positive: Annotated[int | None, Column(unit="token")] = None
    n_tokens_negative: Annotated[int | None, Column(unit="token")] = None
    gap: Annotated[float | None, Column(unit="nat/token")] = None
    n_completion_positive: Annotated[int | None, Column(unit="token")] = None
    n_completion_negative: Annotated[int | None, Column(unit="token")] = None
    gap_completion: Annotated[float | None, Column(unit="nat/token")] = None
    cluster: Annotated[str | None, Column()] = None
    right: Annotated[float | None, Column(unit="1")] = None
    right_norm: Annotated[float | None, Column(unit="1")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """Summary of one behaviour and split; a number that does not exist is None, never 0.

    Attributes:
        behavior, split: What is summarised.
        n_pairs: Pairs of the pack that are not degenerate; None, as are the other counts, in
            results of another program that does not say.
        n_valid: Pairs with a finite gap.
        n_excluded: Reason -> pairs left out for it.
        rho: Mean gap, nats per token.
        rho_sd: Standard deviation of the gaps over pairs (ddof 1).
        rho_completion: Mean gap over the tokens after the common prefix.
        n_completion: Pairs that have such tokens on both sides.
        accuracy: Share of pairs with a positive gap; ties count one half.
        auc: Chance that a random positive text outscores a random negative one.
        spearman: Rank correlation of the positive with the negative scores over pairs.
        ece: Expected calibration error of sigmoid(gap * tokens), ten bins.
        brier: Mean of (1 - sigmoid(gap * tokens))^2.
        status: `ok`, `partial` (some pairs excluded) or `empty`.
    """

    behavior: Annotated[str, Column(required=True)]
    split: Annotated[str, Column(required=True)]
    n_pairs: Annotated[int, Column(unit="pair")]
    n_valid: Annotated[int, Column(unit="pair")]
    n_excluded: Annotated[dict[str, int], Column(unit="pair")]
    rho: Annotated[float | None, Column(unit="nat/token")]
    rho_sd: Annotated[float | None, Column(unit="nat/token")]
    rho_completion: Annotated[float | None, Column(unit="nat/token")]
    n_completion: Annotated[int, Column(unit="pair")]
    accuracy: Annotated[float | None, Column(unit="1")]
    auc: Annotated[float | None, Column(unit="1")]
    spearman: Annotated[float | None, Column(unit="1")]
    ece: Annotated[float | None, Column(unit="1")]
    brier: Annotated[float | None, Column(unit="1")]
    status: Annotated[str, Column(required=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A trained adapter in mlx-lm's format.

    Attributes:
        weights: Content of `adapters.safetensors`.
        config: Content of `adapter_config.json`.
    """

    weights: bytes
    config: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Digest of the weights file."""
        return hashlib.sha256(self.weights).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSpec:
    """What every unit of work with a saved adapter, or with the untrained model, has.

    Attributes:
        cell_id: Whose adapter, or the baseline.
        cell_label: Its short name.
        seed: Of the cell; None for the baseline.
        model: The base model.
        train: How the adapter was made; None for the baseline.
        adapter_sha256: Of the adapter's weights as the cell brought them home; None for the
            baseline.
        step: Optimizer step of an adapter from within the training; None for the trained one.
        adapter: Read from the results shortly before the spec travels; None before, where the
            files are missing, and for the baseline. No part of the identity: its digest is.
    """

    cell_id: str
    cell_label: str
    seed: int | None
    model: ModelSpec
    train: TrainSpec | None
    adapter_sha256: str | None
    step: int | None = None
    adapter: Adapter | None = None

    def carrying(self, adapter: Adapter | None) -> Self:
        """With an adapter's bytes, to travel."""
        return replace(self, adapter=adapter)

    def bare(self) -> Self:
        """Without the adapter's bytes."""
        return replace(self, adapter=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What is kept of a training after one of its optimizer steps, before the last.

    Attributes:
        step: From 1.
        scores, probe_scores: Rows of the tables of those names; none where only the adapter is
            kept.
        adapter: None where only the scores are.
        passes: Passes of the scoring.
    """

    step: int
    scores: tuple[ScoreRow, ...] = ()
    probe_scores: tuple[ProbeScoreRow, ...] = ()
    adapter: Adapter | None = None
    passes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and with what a cell ran.

    Attributes:
        host: Name in the network.
        chip: e.g. `Apple M2 Ultra`.
        os: Name and release.
        python, mlx, mlx_lm: Versions.
        backend: `metal`; or `cpu` and the BLAS in front of MLX's own, e.g. `cpu, OpenBLAS`.
    """

    host: Annotated[str, Column()]
    chip: Annotated[str, Column()]
    os: Annotated[str, Column()]
    python: Annotated[str, Column()]
    mlx: Annotated[str, Column()]
    mlx_lm: Annotated[str, Column()]
    backend: Annotated[str, Column()]


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """What became of a model on one set of general texts; None where there are no such texts.

    Attributes:
        ce: Mean cross-entropy over all tokens, nats per token; its exponential is the perplexity.
        ce_base: The same of the untrained model.
        kl: Mean divergence of the model's next token from the untrained model's, KL(model || base),
            nats per token; 0 for the untrained model.
    """

    ce: float | None = None
    ce_base: float | None = None
    kl: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What one attempt measured beside the scores; None where the condition has no such thing.

    Attributes:
        base_precision: e.g. `float32`, `bfloat16`, `q4`.
        path: `packed`, or `plain: ` and why this cell's passes could not be packed.
        n_pairs_degenerate: Pairs of the pack dropped for identical texts.
        n_pairs_train: Pairs open to the hinge.
        n_pairs_train_excluded: Reason -> training pairs left out.
        pairs_skipped: Share of the pairs of all steps that needed no backward pass.
        n_sft_truncated: SFT texts cut at max_length.
        n_sft_leaks: SFT texts dropped because they contain held-out text.
        train_steps: Optimizer steps done.
        resumed_steps: Of those, taken over from a checkpoint of an earlier attempt.
        resumed_passes: Passes of the scoring that were taken over likewise.
        trainable_parameters: Of the adapter.
        lora_matched: Name of a projection -> matrices that were adapted.
        lora_unmatched: Name of a projection -> matrices of that name in a mixture's experts, which
            were not.
        ce_loss, hinge_loss: Mean over the last tenth of the steps, nats per token.
        hinge_active: Share of pairs with an active hinge over the last tenth of the steps.
        init_hash, sft_order_hash, contrast_order_hash: sha256 of what the seed decided.
        pairing_key: Equal in two cells only when they share init, batch order and dropout.
        neutral_ce, neutral_ce_base, neutral_kl: As `General`, on neutral texts of the project.
        unused_ce, unused_ce_base, unused_kl: As `General`, on texts of the SFT source that are no
            part of the mix.
        choice_accuracy, choice_accuracy_norm: Mean of `right` and of `right_norm` over the items of
            the multiple-choice set; None without one.
        n_choice_items: Items that these are means of.
        matmul_peak: Operations a second of a large matrix product in this process.
        train_mfu, score_mfu: Operations needed at least, over seconds of the phase and that peak.
        memory_peak_bytes: Peak of the MLX allocator during this cell.
        load_s, prepare_s, train_s, score_s: Seconds by phase; training and scoring count the
            seconds that lie behind the checkpoint, too.
    """

    base_precision: Annotated[str, Column()]
    path: Annotated[str, Column()]
    pairing_key: Annotated[str | None, Column()] = None
    init_hash: Annotated[str | None, Column()] = None
    sft_order_hash: Annotated[str | None, Column()] = None
    contrast_order_hash: Annotated[str | None, Column()] = None
    train_steps: Annotated[int | None, Column(unit="optimizer step")] = None
    resumed_steps: Annotated[int | None, Column(unit="optimizer step")] = None
    resumed_passes: Annotated[int | None, Column(unit="pass")] = None
    trainable_parameters: Annotated[int | None, Column(unit="parameter")] = None
    lora_matched: Annotated[dict[str, int], Column(unit="matrix")] = field(default_factory=dict)
    lora_unmatched: Annotated[dict[str, int], Column(unit="matrix")] = field(default_factory=dict)
    n_pairs_degenerate: Annotated[int, Column(unit="pair")]
    n_pairs_train: Annotated[int | None, Column(unit="pair")] = None
    n_pairs_train_excluded: Annotated[dict[str, int], Column(unit="pair")] = field(
        default_factory=dict
    )
    n_sft_truncated: Annotated[int | None, Column(unit="text")] = None
    n_sft_leaks: Annotated[int | None, Column(unit="text")] = None
    ce_loss: Annotated[float | None, Column(unit="nat/token")] = None
    hinge_loss: Annotated[float | None, Column(unit="nat/token")] = None
    hinge_active: Annotated[float | None, Column(unit="1")] = None
    pairs_skipped: Annotated[float | None, Column(unit="1")] = None
    neutral_ce: Annotated[float | None, Column(unit="nat/token")] = None
    neutral_ce_base: Annotated[float | None, Column(unit="nat/token")] = None
    neutral_kl: Annotated[float | None, Column(unit="nat/token")] = None
    unused_ce: Annotated[float | None, Column(unit="nat/token")] = None
    unused_ce_base: Annotated[float | None, Column(unit="nat/token")] = None
    unused_kl: Annotated[float | None, Column(unit="nat/token")] = None
    choice_accuracy: Annotated[float | None, Column(unit="1")] = None
    choice_accuracy_norm: Annotated[float | None, Column(unit="1")] = None
    n_choice_items: Annotated[int | None, Column(unit="item")] = None
    matmul_peak: Annotated[float | None, Column(unit="flop/s")] = None
    train_mfu: Annotated[float | None, Column(unit="1")] = None
    score_mfu: Annotated[float | None, Column(unit="1")] = None
    memory_peak_bytes: Annotated[int, Column(unit="byte", name="memory_peak")] = 0
    load_s: Annotated[float, Column(unit="s")] = 0.0
    prepare_s: Annotated[float, Column(unit="s")] = 0.0
    train_s: Annotated[float, Column(unit="s")] = 0.0
    score_s: Annotated[float, Column(unit="s")] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """Everything a finished cell brings home.

    Attributes:
        spec: What was asked for.
        status: `ok`, or `diverged` with no scores and no adapter.
        message: For `diverged`: which step and which number.
        measurements, machine: How it went and where.
        steps: Rows of the table of that name.
        scores, probe_scores: Likewise, of the end of training.
        adapter: None for the baseline and for a diverged cell.
        points: Scores and adapters from within the training, ascending; of a diverged cell those
            before that.
        items: Rows of `probe_scores` of the multiple-choice set, of the end of training.
    """

    spec: CellSpec
    status: Status
    message: str | None
    measurements: Measurements
    machine: Machine
    steps: tuple[StepRow, ...]
    scores: tuple[ScoreRow, ...]
    probe_scores: tuple[ProbeScoreRow, ...]
    adapter: Adapter | None
    points: tuple[Point, ...] = ()
    items: tuple[ProbeScoreRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFailure:
    """A cell, or a unit of another kind, that raised an error; or that the driver gave up.

    Attributes:
        spec: What was asked for.
        stage: Phase in which it failed: `load`, `prepare`, `train`, `score` or `generate`. The
            driver says `process` (no result from its process) or `placement` (no host can run it).
        message: One line for people.
        trace: The traceback; empty for a unit that was given up.
        machine: Where it failed; None for the stages `process` and `placement`.
        host: Name of the host, where no more is known of it: of the last attempt that was lost.
    """

    spec: Spec
    stage: str
    message: str
    trace: str
    machine: Machine | None
    host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a running unit is, as it tells it; `Beat` adds which unit and process.

    Attributes:
        stage: Current phase.
        step, steps: Optimizer step reached, or answers complete, and how many there are; 0 in the
            other phases.
        loss: Of that step, nats per token; None outside training.
        resumed: Steps or answers taken over from a checkpoint.
        note: Something worth a line in the log.
    """

    stage: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    resumed: int = 0
    note: str | None = None


class NodeError(Exception):
    """A problem the user can fix; its text names the thing, the value and the next step."""


def reason_of(error: BaseException) -> str:
    """An error of a library in one line of at most 200 characters, with its kind, without names."""
    text = without_names(" ".join(str(error).split()))[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def importing(library: str) -> Iterator[None]:
    """Import a library that reads settings of the user's environment as it is imported.

    Raises:
        NodeError: One of them is none that it knows.
    """
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        raise NodeError(
            f"{library} cannot be loaded ({reason_of(error)}); "
            "correct or unset the variable of the environment that it reads this from"
        ) from error


def without_names(text: str) -> str:
    """A text whose addresses hold no name or password of a user."""
    return re.sub(r"(?<=://)[^/\s@]*@", "***@", text)


def is_known(digest: str) -> bool:
    """Whether a digest is of content; until that is on this machine, names stand for it."""
    return not digest.startswith(UNRESOLVED)


def digest_of(value: Any) -> str:
    """sha256 of a JSON-ready value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _tuples(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
