"""One unit of generation from its spec to its result: load, attach, encode, decode."""

import json
import time
from collections.abc import Mapping
from dataclasses import astuple

from tasks.model.blas import prefer_fast_blas
from tasks.model.open_files import import_mlx_lm

prefer_fast_blas()  # before anything imports MLX
import_mlx_lm()

import mlx.core as mx  # noqa: E402 - see above

from tasks.contract.cell import NodeError, Progress, digest_of  # noqa: E402
from tasks.contract.checkpoint_envelope import NO_SAVING, Saving  # noqa: E402
from tasks.contract.generation import (  # noqa: E402
    GENERATION_RECIPE,
    Answer,
    GenerationResult,
    GenerationSpec,
)
from tasks.contract.phases import Phases, Report  # noqa: E402
from tasks.data.limits import demand_prompts  # noqa: E402
from tasks.data.rendering import prompt_ids, rendered_digest  # noqa: E402
from tasks.data.thoughts import CUT, is_cut, marks_of, opens  # noqa: E402
from tasks.generation.decode import Asked, Block, Drawn, decode  # noqa: E402
from tasks.model.keeper import Keeper, Pieces  # noqa: E402
from tasks.model.machine import describe  # noqa: E402
from tasks.model.model import BaseModel, Models, demand_adapter, restored  # noqa: E402


def run(
    spec: GenerationSpec,
    models: Models,
    report: Report,
    phases: Phases,
    saving: Saving = NO_SAVING,
) -> GenerationResult:
    """Answer every prompt with one cell's adapter, or with the base model for the baseline.

    Args:
        spec: What to do, with the adapter's bytes.
        models: Keeps the base model between the units of a process.
        report: Called at every phase, and as answers are complete.
        phases: Filled as the unit goes on; names the phase that an error came from.
        saving: Where its checkpoints come from and go to.

    Raises:
        NodeError: The model or the adapter is missing or not the one that the spec names.
    """
    mx.reset_peak_memory()
    with phases.phase("load", report):
        adapter = demand_adapter(spec)
        base = models.get(spec.model)
    kept, before_s = _blocks(spec, report, saving)
    if adapter is None or spec.train is None:
        answers = _answers(spec, base, report, phases, kept)
    else:
        with restored(base, spec.train, adapter):
            answers = _answers(spec, base, report, phases, kept)
    return GenerationResult(
        spec=spec.bare(),
        answers=answers,
        machine=describe(),
        memory_peak_bytes=mx.get_peak_memory(),
        load_s=phases.seconds["load"],
        generate_s=before_s + phases.seconds["generate"],
        resumed_answers=_resumed(kept),
    )


def _blocks(spec: GenerationSpec, report: Report, saving: Saving) -> tuple[Pieces[Block], float]:
    """The blocks of answers that its checkpoint has, and the seconds that they took.

    A checkpoint is made after a block, if one is due.
    """

    def read(body: bytes) -> tuple[dict[str, Block], float]:
        facts = json.loads(body)
        blocks = {
            name: [Drawn(tuple(tokens), reason, lead) for tokens, reason, lead in block]
            for name, block in facts["blocks"].items()
        }
        return blocks, facts["elapsed_s"]

    def note(text: str) -> None:
        report(Progress(stage="generate", note=text))

    keeper = Keeper(spec.generation_id, GENERATION_RECIPE, saving)
    earlier, before_s = keeper.take_up(read, note) or ({}, 0.0)
    begun = time.perf_counter()

    def look(done: Mapping[str, Block]) -> None:
        def body() -> bytes:
            blocks = {name: [astuple(one) for one in block] for name, block in done.items()}
            elapsed_s = before_s + time.perf_counter() - begun
            return json.dumps({"blocks": blocks, "elapsed_s": elapsed_s}).encode()

        keeper.look(sum(map(len, done.values())), body)

    if earlier:
        note(f"goes on from its checkpoint after {sum(map(len, earlier.values()))} answers")
    return Pieces(earlier, look), before_s


def _resumed(kept: Pieces[Block]) -> int:
    """Answers that earlier attempts have drawn."""
    return sum(len(block) for name, block in kept.done.items() if name in kept.earlier)


def _answers(
    spec: GenerationSpec, base: BaseModel, report: Report, phases: Phases, kept: Pieces[Block]
) -> tuple[Answer, ...]:
    with phases.phase("generate", report):
        prompts = {
            p.id: prompt_ids(base.tokenizer, p.text, spec.decoding.thinking)
            for p in spec.prompts.prompts
        }
        if spec.rendered not in (None, rendered_digest(list(prompts.values()))):
            raise NodeError(
                f"the prompts {spec.prompts.name} give other tokens here than on the driver; "
                "install the same versions of transformers, tokenizers and jinja2 on both"
            )
        demand_prompts(
            ((p.id, p.text, prompts[p.id]) for p in spec.prompts.prompts),
            base.limits,
            spec.decoding.max_tokens,
        )
        places = [(p, i) for p in prompts for i in range(spec.decoding.samples)]
        owner = spec.adapter_sha256 or "baseline"
        asked = [Asked(prompts[p], f"{owner}/{p}/{i}") for p, i in places]

        def tell(complete: int) -> None:
            resumed = _resumed(kept)
            report(Progress(stage="generate", step=complete, steps=len(asked), resumed=resumed))

        ends = sorted(base.tokenizer.eos_token_ids)
        drawn = decode(base.model, asked, spec.decoding, ends, tell, kept)
    marks = marks_of(base.tokenizer)
    answers = []
    for (prompt, index), a, d in zip(places, asked, drawn, strict=True):
        response, finish_reason = base.tokenizer.decode(list(d.tokens)), d.finish_reason
        if marks and opens(base.tokenizer.decode(list(a.tokens)), marks):
            response = marks[0] + response
        if marks and is_cut(response):
            finish_reason = CUT
        answers.append(
            Answer(
                prompt_id=prompt,
                sample_index=index,
                response=response,
                n_prompt_tokens=len(a.tokens),
                n_tokens=len(d.tokens),
                finish_reason=finish_reason,
                tokens_sha256=digest_of(list(d.tokens)),
                least_lead=d.least_lead,
            )
        )
    return tuple(answers)
