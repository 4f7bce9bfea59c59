"""One unit of generation from its spec to its result: load, attach, encode, decode."""

from tasks.model.blas import prefer_openblas
from tasks.model.open_files import import_mlx_lm

prefer_openblas()  # before anything imports MLX
import_mlx_lm()

import mlx.core as mx  # noqa: E402 - see above

from tasks.contract.cell import Adapter, NodeError, Progress, digest_of  # noqa: E402
from tasks.contract.generation import Answer, GenerationResult, GenerationSpec  # noqa: E402
from tasks.contract.phases import Phases, Report  # noqa: E402
from tasks.data.limits import demand_prompts  # noqa: E402
from tasks.data.rendering import prompt_ids, rendered_digest  # noqa: E402
from tasks.data.thoughts import CUT, is_cut, marks_of, opens  # noqa: E402
from tasks.generation.decode import Asked, decode  # noqa: E402
from tasks.model.machine import describe  # noqa: E402
from tasks.model.model import BaseModel, Models, restored  # noqa: E402

ADVICE = "bring them back, or delete cells/{}.arrow and launch again: the cell is trained anew"


def run(spec: GenerationSpec, models: Models, report: Report, phases: Phases) -> GenerationResult:
    """Answer every prompt with one cell's adapter, or with the base model for the baseline.

    Args:
        spec: What to do, with the adapter's bytes.
        models: Keeps the base model between the units of a process.
        report: Called at every phase, and as answers are complete.
        phases: Filled as the unit goes on; names the phase that an error came from.

    Raises:
        NodeError: The model or the adapter is missing or not the one that the spec names.
    """
    mx.reset_peak_memory()
    with phases.phase("load", report):
        adapter = _demand_adapter(spec)
        base = models.get(spec.model)
    if adapter is None or spec.train is None:
        answers = _answers(spec, base, report, phases)
    else:
        with restored(base, spec.train, adapter):
            answers = _answers(spec, base, report, phases)
    return GenerationResult(
        spec=spec.bare(),
        answers=answers,
        machine=describe(),
        memory_peak_bytes=mx.get_peak_memory(),
        load_s=phases.seconds["load"],
        generate_s=phases.seconds["generate"],
    )


def _demand_adapter(spec: GenerationSpec) -> Adapter | None:
    """The adapter, exactly the one that the cell brought home; None for the baseline only."""
    if spec.adapter_sha256 is None:
        return None
    where = f"adapters/{spec.cell_id}"
    if spec.adapter is None:
        raise NodeError(f"{where}: files are missing; {ADVICE.format(spec.cell_id)}")
    if spec.adapter.sha256 != spec.adapter_sha256:
        raise NodeError(
            f"{where}/adapters.safetensors is not what the cell wrote: its sha256 is "
            f"{spec.adapter.sha256[:16]}, in the cells table {spec.adapter_sha256[:16]}; "
            f"{ADVICE.format(spec.cell_id)}"
        )
    return spec.adapter


def _answers(
    spec: GenerationSpec, base: BaseModel, report: Report, phases: Phases
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
            report(Progress(stage="generate", step=complete, steps=len(asked)))

        ends = sorted(base.tokenizer.eos_token_ids)
        drawn = decode(base.model, asked, spec.decoding, ends, tell)
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
