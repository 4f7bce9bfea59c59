"""One cell from its spec to its result: load, prepare, train, score."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tasks.model.blas import prefer_fast_blas
from tasks.model.open_files import import_mlx_lm

prefer_fast_blas()  # before anything imports MLX
import_mlx_lm()

import mlx.core as mx  # noqa: E402 - see above

from tasks.contract.cell import (  # noqa: E402
    PACKED,
    RECIPE_VERSION,
    Adapter,
    CellResult,
    CellSpec,
    Condition,
    DataSpec,
    Measurements,
    NodeError,
    Point,
    Progress,
    Status,
    StepRow,
    digest_of,
)
from tasks.contract.checkpoint_envelope import NO_SAVING, Saving  # noqa: E402
from tasks.contract.phases import Phases, Report  # noqa: E402
from tasks.data.general import (  # noqa: E402
    EncodedItems,
    encode_items,
    items_digest,
    load_items,
    neutral_texts,
    unused_texts,
)
from tasks.data.limits import demand_pairs, demand_records  # noqa: E402
from tasks.data.probes import Probes, prepare_mix, prepare_probes  # noqa: E402
from tasks.data.rendering import rendered_digest  # noqa: E402
from tasks.data.tokens import EncodedPairs, Tokens, encode_pairs, render  # noqa: E402
from tasks.model.keeper import Keeper, Pieces  # noqa: E402
from tasks.model.machine import describe  # noqa: E402
from tasks.model.model import (  # noqa: E402
    BaseModel,
    Models,
    attached,
    names_matched,
    save_adapter,
    tensors_hash,
    trainable,
)
from tasks.model.path import path_of_training, sentence  # noqa: E402
from tasks.passes.choose import passes  # noqa: E402
from tasks.passes.costs import Load, Needed  # noqa: E402
from tasks.passes.flops import costs_of, matmul_peak  # noqa: E402
from tasks.passes.losses import PairBatch, PairTerm, pair_numbers, term_of  # noqa: E402
from tasks.passes.step import reference_of  # noqa: E402
from tasks.passes.trie import Floats  # noqa: E402
from tasks.scoring.choices import score_items, shares  # noqa: E402
from tasks.scoring.moved import moved  # noqa: E402
from tasks.scoring.score import Passes, Scored, score  # noqa: E402
from tasks.training.checkpoint import State, dump, load  # noqa: E402
from tasks.training.loop import DivergedError, Material, train  # noqa: E402
from tasks.training.order import Order, is_swapped, lay_out  # noqa: E402


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """What training needs, prepared.

    Attributes:
        material: Tokens and their order.
        term: The loss of pairs; None without pairs.
        pool: Training pairs, and those excluded with a reason.
        n_truncated: SFT texts that were cut to the length; None without SFT texts.
        n_leaks: SFT texts dropped because they contain held-out text; None without SFT texts.
        unused: Texts of the source that are no part of the mix; none without SFT texts.
    """

    material: Material
    term: PairTerm | None
    pool: EncodedPairs
    n_truncated: int | None
    n_leaks: int | None
    unused: tuple[Tokens, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """What training left; without arguments: that there was none.

    Attributes:
        rows: One per optimizer step.
        adapter: None if it diverged.
        init_hash: Digest of the adapter before the first step.
        n_parameters: Trainable numbers.
        matched: As `names_matched` has it.
        diverged: Which quantity stopped being finite, and when; None if none did.
        start: The checkpoint it went on from, or nothing done.
        state: As it ended, its points among it; if it diverged, as of the last point before that.
        load: What went through the model to score at points.
        resumed: Passes of these scorings that an earlier attempt had made.
    """

    rows: tuple[StepRow, ...] = ()
    adapter: Adapter | None = None
    init_hash: str | None = None
    n_parameters: int | None = None
    matched: tuple[dict[str, int], dict[str, int]] = ({}, {})
    diverged: str | None = None
    start: State = field(default_factory=State)
    state: State = field(default_factory=State)
    load: Load = field(default_factory=Load)
    resumed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is scored.

    Attributes:
        pairs: Probe pairs.
        split: Of each.
        items: Of the multiple-choice set, which is scored at the end only.
    """

    pairs: EncodedPairs
    split: dict[str, str]
    items: EncodedItems = field(default_factory=EncodedItems)


_NOTHING = Scored(scores=(), probe_scores=(), load=Load(), resumed=0, passes=0)
"""Of a moment at which nothing is scored."""


def run(
    spec: CellSpec,
    models: Models,
    report: Report,
    phases: Phases,
    saving: Saving = NO_SAVING,
) -> CellResult:
    """Train and score one cell.

    Args:
        spec: What to do.
        models: Keeps the base model between the cells of a process.
        report: Called at every phase and optimizer step.
        phases: Filled as the cell goes on; names the phase that an error came from.
        saving: Where its checkpoints come from and go to.

    Returns:
        A result with status `ok`, or `diverged` when a loss or gradient stopped being finite.

    Raises:
        NodeError: Model, data or probes are missing, malformed, or not those of the launch.
    """
    mx.reset_peak_memory()
    with phases.phase("load", report):
        base = models.get(spec.model)
        path = path_of_training(base.path, spec.train)
        if path != PACKED:  # the slow way, which nobody should find out from a finished cell
            report(Progress(stage="load", note=sentence(spec.model.name, path)))
    with phases.phase("prepare", report):
        probes = _probes(spec)
        training = _prepare(spec, probes, base) if spec.train is not None else None
        scored = encode_pairs(base.tokenizer, probes.evaluated, spec.max_length)
        demand_pairs(scored, base.limits)
        asked = _Asked(pairs=scored, split=probes.split, items=_items(spec, base))
    keeper = Keeper(spec.cell_id, RECIPE_VERSION, saving)
    start = _take_up(spec, keeper, report)
    if spec.train is None or spec.seed is None or training is None:
        trained = _Trained(start=start, state=start)
        return _finish(spec, base, probes, asked, None, trained, phases, report, keeper)
    matched = names_matched(base.model, spec.train.lora_keys)
    with attached(base, spec.train, spec.seed) as lora:
        during = replace(asked, items=EncodedItems())
        trained = _train(spec, base, lora, training, during, phases, report, keeper, start)
        trained = replace(trained, matched=matched)
        phases.seconds["train"] += start.elapsed_s
        return _finish(spec, base, probes, asked, training, trained, phases, report, keeper)


def _probes(spec: CellSpec) -> Probes:
    wanted = spec.probes
    probes = prepare_probes(wanted.pack, wanted.train, wanted.evaluate, wanted.heldout)
    if probes.digest != wanted.digest:
        raise NodeError(f"probe pack {wanted.pack} is not the one of the launch")
    if spec.hinge is not None and probes.pool_digest != spec.hinge.pool_digest:
        raise NodeError(f"the training pairs of pack {wanted.pack} are not those of the launch")
    return probes


def _items(spec: CellSpec, base: BaseModel) -> EncodedItems:
    """The multiple-choice set that the cell answers; empty without one."""
    if spec.capability is None:
        return EncodedItems()
    items = load_items(spec.capability.name, download=True)
    if items_digest(items) != spec.capability.digest:
        raise NodeError(f"the items of {spec.capability.name} are not those of the launch")
    return encode_items(base.tokenizer, items, spec.max_length, base.limits)


def _prepare(spec: CellSpec, probes: Probes, base: BaseModel) -> _Training:
    if spec.train is None or spec.seed is None or spec.sft_records is None:
        raise NodeError("a trained cell needs train, seed and sft_records")
    behaviors = spec.hinge.behaviors if spec.hinge else ()
    pairs = [p for p in probes.pool if p.behavior in behaviors]
    pool = encode_pairs(base.tokenizer, pairs, spec.max_length)
    demand_pairs(pool, base.limits)
    kept = tuple(p.pair for p in pool.kept)
    for name in behaviors:
        if not any(p.behavior == name for p in kept):
            raise NodeError(
                f"no usable training pair of {name}: raise train.max_length or lower probes.heldout"
            )
    records, cut, leaks, unused = _records(spec.data, probes, base, spec.max_length)
    order = lay_out(spec.seed, spec.train, spec.sft_records, spec.hinge, kept)
    term = term_of(spec.condition, spec.hinge) if spec.hinge else None
    directed = _directed(spec.condition, spec.seed, pool)
    return _Training(
        material=Material(
            order=order,
            records=records,
            pairs=directed,
            behaviors=tuple(p.behavior for p in kept),
            reference=_reference(spec.condition, term, base, order, directed),
        ),
        term=term,
        pool=pool,
        n_truncated=cut,
        n_leaks=leaks,
        unused=unused,
    )


def _records(
    data: DataSpec | None, probes: Probes, base: BaseModel, max_length: int
) -> tuple[list[Tokens] | None, int | None, int | None, tuple[Tokens, ...]]:
    if data is None:
        return None, None, None, ()
    mix = prepare_mix(
        probes,
        data.sft,
        size=data.size,
        trap_fraction=data.trap_fraction,
        refusal_fraction=data.refusal_fraction,
        download=True,
    )
    if mix.digest != data.digest:
        raise NodeError(f"the SFT data {data.sft} are not those of the launch")
    rows = render(base.tokenizer, mix.records, data.template)
    if data.rendered not in (None, rendered_digest(rows)):
        raise NodeError(
            f"the SFT data {data.sft} give other tokens here than at the launch; install the same "
            "versions of transformers, tokenizers and jinja2 here as on the driver"
        )
    demand_records(mix.records, rows, base.limits, max_length)
    n_cut = sum(len(row) > max_length for row in rows)
    unused = unused_texts(base.tokenizer, mix.unused, data.template, base.limits, max_length)
    return [row[:max_length] for row in rows], n_cut, mix.n_leaks, unused


def _directed(
    condition: Condition, seed: int, pool: EncodedPairs
) -> tuple[tuple[Tokens, Tokens], ...]:
    """Pairs as their loss sees them: (should be likelier, should be less likely)."""
    return tuple(
        (p.negative, p.positive)
        if is_swapped(condition, seed, p.pair.id)
        else (p.positive, p.negative)
        for p in pool.kept
    )


def _reference(
    condition: Condition,
    term: PairTerm | None,
    base: BaseModel,
    order: Order,
    pairs: tuple[tuple[Tokens, Tokens], ...],
) -> dict[int, float]:
    """What the untrained model gives for each pair that is trained on; empty without a use for it.

    A cell that goes on from a checkpoint computes it again, to the same bits.
    """
    if term is None or not condition.traits.pair_loss.referred:
        return {}
    used = sorted({i for step in order.steps for micro in step for i in micro.pairs})
    with passes(base.model, base.path) as packed:
        if packed is not None:
            found = reference_of(packed, [pairs[i] for i in used], term)
        else:
            batches = (PairBatch.of(term, [pairs[i]]) for i in used)  # one at a time: small
            found = [float(pair_numbers(base.model, batch, term)[0]) for batch in batches]
    mx.clear_cache()
    return dict(zip(used, found, strict=True))


def _train(
    spec: CellSpec,
    base: BaseModel,
    lora: dict[str, Any],
    training: _Training,
    asked: _Asked,
    phases: Phases,
    report: Report,
    keeper: Keeper,
    start: State,
) -> _Trained:
    """Train from point to point of the training, and from the last one to the end.

    After a point the training goes on from its state as from a checkpoint, so that no bit of it
    depends on the points.
    """
    if spec.train is None or spec.seed is None:
        raise AssertionError("a trained cell has settings and a seed")
    path = path_of_training(base.path, spec.train)
    initial = trainable(base.model)
    resumed = len(start.rows)
    trained = _Trained(
        init_hash=tensors_hash(initial),
        n_parameters=sum(v.size for v in initial.values()),
        start=start,
        resumed=sum(point.passes for point in start.points),
    )

    def tell(step: int, steps: int, loss: float) -> None:
        report(Progress(stage="train", step=step, steps=steps, loss=loss, resumed=resumed))

    work = (base.model, spec.train, training.term, training.material, spec.seed)
    costs, state = costs_of(base.model, base.vocabulary), start
    passed = {point.step for point in start.points}
    for until in (*sorted({*spec.eval_steps, *spec.keep_steps} - passed), None):
        with phases.phase("train", report):
            try:
                with passes(base.model, path, checkpoint=spec.grad_checkpoint) as packed:
                    state = train(*work, tell, packed, costs, state, keeper, until)
            except DivergedError as end:
                return replace(trained, rows=end.rows, diverged=str(end), state=state)
        base.model.eval()
        adapter, found = save_adapter(base, lora), _NOTHING
        if until is None:
            return replace(trained, rows=state.rows, adapter=adapter, state=state)
        if until in spec.eval_steps:
            found = _score(base, asked, adapter, state, phases, report, keeper)
        point = Point(
            step=until,
            scores=found.scores,
            probe_scores=found.probe_scores,
            adapter=adapter if until in spec.keep_steps else None,
            passes=found.passes,
        )
        score_s = start.score_s + phases.seconds.get("score", 0.0)
        state = replace(state, points=(*state.points, point), scored={}, score_s=score_s)
        resumed_passes = trained.resumed + found.resumed
        trained = replace(trained, load=trained.load + found.load, resumed=resumed_passes)
    raise AssertionError("the last part of a training has no end")


def _take_up(spec: CellSpec, keeper: Keeper, report: Report) -> State:
    """The checkpoint to go on from, or a state with nothing done; the log says which and why."""
    stage = "train" if spec.train else "score"
    start = keeper.take_up(load, lambda why: report(Progress(stage=stage, note=why))) or State()
    if start.done:
        after = f"goes on from its checkpoint after step {len(start.rows)}"
        passes = f" and {len(start.scored)} passes of its scoring" if start.scored else ""
        report(Progress(stage=stage, note=after + passes))
    return start


def _finish(
    spec: CellSpec,
    base: BaseModel,
    probes: Probes,
    asked: _Asked,
    training: _Training | None,
    trained: _Trained,
    phases: Phases,
    report: Report,
    keeper: Keeper,
) -> CellResult:
    found = _NOTHING
    if trained.diverged is None:
        state = replace(trained.state, optimizer={})  # no step runs again
        found = _score(base, asked, trained.adapter, state, phases, report, keeper)
        ended = {row.status for row in found.probe_scores}
        if "nonfinite" in ended and "ok" not in ended:
            if trained.adapter is None:
                raise NodeError(
                    f"{base.files.folder}: no pair has a finite log-probability; its weights are "
                    "damaged, or its numbers are too large for their type"
                )
            said = "no pair has a finite log-probability after the last optimizer step"
            trained, found = replace(trained, diverged=said, adapter=None), _NOTHING
    phases.seconds["score"] = phases.seconds.get("score", 0.0) + trained.start.score_s
    measurements = _measurements(spec, base, probes, training, trained, phases)
    if trained.diverged is None:
        resumed = trained.resumed + found.resumed
        measurements = replace(measurements, resumed_passes=resumed, **shares(found.items))
    measurements = _utilised(measurements, base, trained, trained.load + found.load)
    if trained.diverged is None:
        with phases.phase("score", report):  # after what is told of the scoring's speed
            measurements = _general(measurements, spec, base, training)
        measurements = replace(measurements, score_s=phases.seconds["score"])
    mx.clear_cache()  # another process may need it before the next cell here does
    return CellResult(
        spec=spec,
        status=Status.DIVERGED if trained.diverged else Status.OK,
        message=trained.diverged,
        measurements=measurements,
        machine=describe(),
        steps=trained.rows,
        scores=found.scores,
        probe_scores=found.probe_scores,
        adapter=trained.adapter,
        points=trained.state.points,
        items=found.items,
    )


def _general(
    measured: Measurements, spec: CellSpec, base: BaseModel, training: _Training | None
) -> Measurements:
    """With what else changed, on texts that no probe is about."""
    texts = neutral_texts(base.tokenizer, base.limits, spec.max_length)
    neutral = moved(base.model, texts, base.vocabulary)
    unused = moved(base.model, training.unused if training else (), base.vocabulary)
    return replace(
        measured,
        neutral_ce=neutral.ce,
        neutral_ce_base=neutral.ce_base,
        neutral_kl=neutral.kl,
        unused_ce=unused.ce,
        unused_ce_base=unused.ce_base,
        unused_kl=unused.kl,
    )


def _score(
    base: BaseModel,
    asked: _Asked,
    adapter: Adapter | None,
    state: State,
    phases: Phases,
    report: Report,
    keeper: Keeper,
) -> Scored:
    """Score pairs and items with the model as it is; what a checkpoint has is not run again.

    Args:
        base: The model, with its adapter.
        asked: The pairs, and the items in passes of their own: what is scored together decides
            the last bit.
        adapter: That adapter; None for the untrained model.
        state: Of the cell at this moment; what checkpoints of the scoring add to.
        phases: Counts the seconds.
        report: Is told of the phase.
        keeper: Looks after every pass whether a checkpoint is due.
    """
    begun = time.perf_counter()

    def look(losses: Mapping[str, Floats]) -> None:
        score_s = state.score_s + time.perf_counter() - begun
        now = replace(state, scored=dict(losses), score_s=score_s)
        keeper.look(now.done, lambda: dump(now))

    owner = f"{adapter.sha256 if adapter else None} {base.path} {base.precision}"
    with phases.phase("score", report), passes(base.model, base.path) as packed:
        kept = Passes(owner, Pieces(state.scored, look))
        found = score(base.model, asked.pairs, asked.split, base.vocabulary, packed, kept)
        if not asked.items.kept:
            return found
        items, load = score_items(base.model, asked.items, base.vocabulary, packed, kept)
        return replace(
            found,
            items=items,
            load=found.load + load,
            resumed=kept.pieces.taken,
            passes=len(kept.pieces.done),
        )


def _measurements(
    spec: CellSpec,
    base: BaseModel,
    probes: Probes,
    training: _Training | None,
    trained: _Trained,
    phases: Phases,
) -> Measurements:
    order = training.material.order if training else None
    last = trained.rows[-max(1, len(trained.rows) // 10) :]
    dealt = sum(len(m.pairs) for step in order.steps for m in step) if order else 0
    skipped = sum(row.pairs_skipped or 0 for row in trained.rows)
    return Measurements(
        base_precision=base.precision,
        path=path_of_training(base.path, spec.train),
        n_pairs_degenerate=probes.n_degenerate,
        n_pairs_train=len(training.pool.kept) if training and training.term else None,
        n_pairs_train_excluded=training.pool.reasons if training else {},
        n_sft_truncated=training.n_truncated if training else None,
        n_sft_leaks=training.n_leaks if training else None,
        train_steps=len(trained.rows) if training else None,
        resumed_steps=len(trained.start.rows) if training else None,
        trainable_parameters=trained.n_parameters,
        lora_matched=trained.matched[0],
        lora_unmatched=trained.matched[1],
        ce_loss=_mean([r.ce_loss for r in last]),
        hinge_loss=_mean([r.hinge_loss for r in last]),
        hinge_active=_mean([r.hinge_active for r in last]),
        pairs_skipped=skipped / dealt if dealt else None,
        init_hash=trained.init_hash,
        sft_order_hash=order.sft_hash if order else None,
        contrast_order_hash=order.pairs_hash if order and training and training.term else None,
        pairing_key=_pairing_key(spec, order, trained),
        memory_peak_bytes=mx.get_peak_memory(),
        load_s=phases.seconds.get("load", 0.0),
        prepare_s=phases.seconds.get("prepare", 0.0),
        train_s=phases.seconds.get("train", 0.0),
        score_s=phases.seconds.get("score", 0.0),
    )


def _utilised(
    measured: Measurements, base: BaseModel, trained: _Trained, load: Load
) -> Measurements:
    """With the share of the measured peak that each phase used, where it can be counted."""
    costs = costs_of(base.model, base.vocabulary)
    if costs is None:
        return measured
    peak = matmul_peak(base.model(mx.zeros((1, 1), mx.int32)).dtype)
    training = sum(row.flops or 0.0 for row in trained.rows)
    scoring = costs.of(Needed(forward=load))
    return replace(
        measured,
        matmul_peak=peak,
        train_mfu=training / (measured.train_s * peak) if training else None,
        score_mfu=scoring / (measured.score_s * peak) if scoring else None,
    )


def _pairing_key(spec: CellSpec, order: Order | None, trained: _Trained) -> str | None:
    """Digest of initial adapter, batch order and dropout stream: the common random numbers."""
    if order is None or spec.train is None:
        return None
    dropout = [spec.seed, spec.train.lora_dropout]
    return digest_of([trained.init_hash, order.sft_hash, dropout])[:16]


def _mean(values: list[float | None]) -> float | None:
    present = [v for v in values if v is not None]
    return sum(present) / len(present) if present else None
