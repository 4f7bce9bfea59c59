"""Tokens of many answers at once, through mlx-lm's batched generation.

Answers advance side by side, one row each, in blocks of `ROWS`. A block begins when every row of
the one before has ended, so that an interrupted unit can go on with a block. Which rows share a
pass follows from the prompts alone, so that the same prompts give the same bits wherever chips
compute alike. A row is computed as it would be alone but for rounding: padding is
masked exactly, and matrix products of several rows may sum in another order than those of one. A
greedy answer with a choice so close that rounding could have made it is therefore drawn again
alone, where activations are float32; there such answers are rare. In half precision
they are the rule: there the batch decides, and `least_lead` tells.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx_lm.generate import BatchGenerator, generate_step

from tasks.contract.cell import digest_of
from tasks.contract.generation import GREEDY, READ, ROWS, Decoding
from tasks.data.seeding import entropy, stream
from tasks.data.tokens import Tokens
from tasks.model.keeper import Pieces

CLOSE = 2e-4
"""A lead that rounding could turn, nats: twice what it can move one log-probability by."""

TRIED = (2, 7, 4)
"""Tokens of the prompts with which a model is tried. Three rows: few layouts have three key heads,
so that a mask of one row for each is an error or a difference."""
APART = {True: 0.01, False: 0.5}
"""Largest difference of log-probabilities that rounding explains, nats; with float32 logits, and
in half precision. A wrong mask of a real model makes several nats, and one that stays below costs
nothing."""

KEYS = 256
"""Random keys that are made at once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer to draw.

    Attributes:
        tokens: The prompt as the model sees it; at least one.
        name: Names its random stream.
    """

    tokens: Tokens
    name: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """The tokens of one answer.

    Attributes:
        tokens: Without the one that ends it.
        finish_reason: `stop` or `length`.
        least_lead: As in `tasks.contract.generation.Answer`.
    """

    tokens: Tokens
    finish_reason: str
    least_lead: float | None


Block = list[Drawn]
"""Answers that were drawn side by side, or one that was drawn alone."""


@dataclass(slots=True)
class _Row:
    """An answer under way."""

    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""
    leads: list[float] = field(default_factory=list)


class Sampler:
    """Draws one answer's tokens from its own random stream, whatever shares its passes."""

    def __init__(self, decoding: Decoding, name: str) -> None:
        self._decoding, self._name = decoding, name
        self._step, self._keys = 0, mx.array([])

    def __call__(self, logprobs: mx.array) -> mx.array:
        """The next token; logprobs: (1, vocabulary)."""
        block, place = divmod(self._step, KEYS)
        if place == 0:  # a key for each of the next tokens; the same whatever `max_tokens` is
            seed = entropy(self._decoding.seed or 0, f"sample/{self._name}/{block}")
            self._keys = mx.random.split(mx.random.key(seed % 2**64), KEYS)
        self._step += 1
        scaled = logprobs * (1 / self._decoding.temperature)
        return mx.random.categorical(scaled, key=self._keys[place])


def decode(
    model: nn.Module,
    asked: Sequence[Asked],
    decoding: Decoding,
    ends: Sequence[int],
    tell: Callable[[int], None],
    kept: Pieces[Block] | None = None,
) -> list[Drawn]:
    """Draw all answers, block by block.

    Args:
        model: In evaluation mode, with its adapter.
        asked: What to draw; any order gives the same answers.
        decoding: Greedy or sampled, temperature, seed, most tokens.
        ends: Tokens that end an answer.
        tell: Called with the number of answers that are complete.
        kept: Blocks that need not be drawn, and what is told of those that are.

    Returns:
        One for each asked, in order.
    """

    def told(before: int, complete: int) -> None:
        tell(before + complete)

    kept = kept or Pieces()
    together = ROWS if shares_passes(model) else 1
    order = sorted(range(len(asked)), key=lambda i: (len(asked[i].tokens), asked[i].name))
    drawn: list[Drawn] = []
    for start in range(0, len(order), together):
        block = [asked[i] for i in order[start : start + together]]
        name = digest_of([decoding.facts, list(ends), together, [astuple(a) for a in block]])
        found = kept.earlier.get(name)
        if found is None:
            found = _draw(model, block, decoding, ends, partial(told, start), together)
            mx.clear_cache()  # the next block is longer, and needs other buffers
        kept.add(name, found)
        drawn += found
    by_place = dict(zip(order, drawn, strict=True))
    return [by_place[i] for i in range(len(asked))]


def shares_passes(model: nn.Module) -> bool:
    """Whether answers side by side are those of one at a time, tried with three short prompts.

    A layout of mlx-lm may take no mask for each row: Gemma 2 fails with most numbers of rows, and
    with as many rows as it has key heads it masks the wrong ones without an error.
    """
    known = model(mx.zeros((1, 1), mx.int32)).shape[-1]
    # tokens of many kinds: where all are alike, so are all values, and a wrong mask shows nowhere
    drawn = stream(0, "shares passes").integers(0, known, sum(TRIED)).tolist()
    prompts = [[drawn.pop() for _ in range(n)] for n in TRIED]
    batch = BatchGenerator(model, max_tokens=1)
    try:
        ids = batch.insert(prompts)
        found = {s.uid: s.logprobs for s in batch.next_generated()}
    except (ValueError, TypeError):  # shapes that do not fit, or a cache that cannot be merged
        return False
    finally:
        batch.close()
    apart = []
    for uid, prompt in zip(ids, prompts, strict=True):
        logits = model(mx.array([prompt]))[0, -1]
        expected = logits - mx.logsumexp(logits)
        apart.append(mx.abs(found[uid].astype(mx.float32) - expected.astype(mx.float32)).max())
    return float(mx.stack(apart).max()) < APART[logits.dtype == mx.float32]


def _draw(
    model: nn.Module,
    block: Sequence[Asked],
    decoding: Decoding,
    ends: Sequence[int],
    tell: Callable[[int], None],
    together: int,
) -> Block:
    if together == 1:
        drawn = [alone(model, one, decoding, ends) for one in block]
        tell(len(drawn))
        return drawn
    rows = _advance(model, block, decoding, ends, tell)
    return [_finish(model, a, r, decoding, ends) for a, r in zip(block, rows, strict=True)]


def alone(model: nn.Module, asked: Asked, decoding: Decoding, ends: Sequence[int]) -> Drawn:
    """Draw one answer with nothing beside it: what `decode` is compared with."""
    sampler = None if decoding.temperature == GREEDY else Sampler(decoding, asked.name)
    tokens: list[int] = []
    leads: list[mx.array] = []
    steps = generate_step(
        mx.array(asked.tokens), model, max_tokens=decoding.max_tokens, sampler=sampler
    )
    finish_reason = "length"
    for token, logprobs in steps:
        leads.append(_leads(logprobs[None], [token]))
        if token in ends:
            finish_reason = "stop"
            break
        tokens.append(token)
    least = float(mx.concatenate(leads).min()) if sampler is None else None
    return Drawn(tuple(tokens), finish_reason, least)


def _advance(
    model: nn.Module,
    asked: Sequence[Asked],
    decoding: Decoding,
    ends: Sequence[int],
    tell: Callable[[int], None],
) -> list[_Row]:
    greedy = decoding.temperature == GREEDY
    batch = BatchGenerator(
        model,
        stop_tokens=[[token] for token in ends],
        completion_batch_size=ROWS,
        prefill_batch_size=ROWS,
        prefill_step_size=READ,
    )
    samplers = None if greedy else [Sampler(decoding, a.name) for a in asked]
    limits = [decoding.max_tokens] * len(asked)
    ids = batch.insert([list(a.tokens) for a in asked], limits, samplers=samplers)
    rows = {i: _Row() for i in ids}
    leads: list[tuple[list[int], mx.array]] = []
    try:
        while steps := batch.next_generated():
            if greedy:
                of_step = _leads(mx.stack([s.logprobs for s in steps]), [s.token for s in steps])
                # begun now and read at the end, so that answers need not wait for it
                mx.async_eval(of_step)  # type: ignore[no-untyped-call]  # MLX has no stub
                leads.append(([s.uid for s in steps], of_step))
            for step in steps:
                rows[step.uid].finish_reason = step.finish_reason or ""
                if step.finish_reason != "stop":
                    rows[step.uid].tokens.append(step.token)
            if any(step.finish_reason for step in steps):
                tell(sum(bool(r.finish_reason) for r in rows.values()))
    finally:
        batch.close()
    for owners, of_step in leads:
        for owner, lead in zip(owners, np.asarray(of_step), strict=True):
            rows[owner].leads.append(float(lead))
    return list(rows.values())


def _leads(logprobs: mx.array, chosen: list[int]) -> mx.array:
    """Distance of each row's choice to the best other token, nats; logprobs: (rows, vocabulary)."""
    index = mx.array(chosen)[:, None]
    best = mx.take_along_axis(logprobs, index, axis=1)
    others = mx.put_along_axis(logprobs, index, mx.array(-mx.inf, logprobs.dtype), axis=1)
    return (best[:, 0] - others.max(axis=1)).astype(mx.float32)


def _finish(
    model: nn.Module, asked: Asked, row: _Row, decoding: Decoding, ends: Sequence[int]
) -> Drawn:
    least = min(row.leads, default=None)
    if least is not None and least < CLOSE:
        # only in float32 does rounding stay far below what tells tokens apart
        exact = model(mx.zeros((1, 1), mx.int32)).dtype == mx.float32
        if exact:
            return alone(model, asked, decoding, ends)
    return Drawn(tuple(row.tokens), row.finish_reason, least)
