"""Builders of prompts, generations and judgements for the driver's tests; import no MLX."""

from typing import Any

from orchestrator.results import generations
from orchestrator.results.store import Store
from tasks.contract.cell import CellResult, CellSpec, digest_of
from tasks.contract.generation import Answer, Decoding, GenerationResult, GenerationSpec
from tasks.contract.prompts import Intent, Part, Prompt, PromptSet
from tests.builders import MACHINE

GREEDY = Decoding(max_tokens=8)


def a_prompt(number: int, part: str = "jailbreak", **changes: Any) -> Prompt:
    """A harmful prompt, or a harmless control."""
    harmful = part == "jailbreak"
    facts: dict[str, Any] = {
        "id": f"p{number}",
        "text": f"prompt {number}",
        "intent": Intent.HARMFUL if harmful else Intent.BENIGN,
        "category": "theft",
        "set": Part(part),
    }
    return Prompt(**(facts | changes))


def prompts(count: int = 2, *, name: str = "mine") -> PromptSet:
    """This many jailbreaks, and one benign control."""
    harmful = tuple(a_prompt(i) for i in range(count))
    return PromptSet(name=name, prompts=(*harmful, a_prompt(count, "benign")))


def a_unit(
    result: CellResult, *, asked: PromptSet | None = None, decoding: Decoding = GREEDY
) -> GenerationSpec:
    """The unit of a stress test for one finished cell."""
    spec: CellSpec = result.spec
    return GenerationSpec(
        cell_id=spec.cell_id,
        cell_label=spec.label,
        seed=spec.seed,
        model=spec.model,
        train=spec.train,
        adapter_sha256=result.adapter.sha256 if result.adapter else None,
        prompts=asked or prompts(),
        decoding=decoding,
    )


def an_answer(prompt_id: str, response: str, sample: int = 0, **changes: Any) -> Answer:
    """A short answer, ended by the model and not by the limit."""
    facts: dict[str, Any] = {
        "prompt_id": prompt_id,
        "sample_index": sample,
        "response": response,
        "n_prompt_tokens": 5,
        "n_tokens": len(response.split()),
        "finish_reason": "stop",
        "tokens_sha256": digest_of(response),
        "least_lead": 0.5,
    }
    return Answer(**(facts | changes))


def answered(unit: GenerationSpec, *responses: str) -> GenerationResult:
    """All answers of a unit: the given ones, else a text that names the cell and the prompt."""
    ids = [(p.id, i) for p in unit.prompts.prompts for i in range(unit.decoding.samples)]
    texts = responses or tuple(f"I am {unit.cell_label}, {p}, {i}." for p, i in ids)
    return GenerationResult(
        spec=unit,
        answers=tuple(an_answer(p, text, i) for (p, i), text in zip(ids, texts, strict=True)),
        machine=MACHINE,
        memory_peak_bytes=100,
        load_s=0.5,
        generate_s=2.0,
    )


def keep(store: Store, *results: GenerationResult) -> None:
    """Put answers into a store."""
    for result in results:
        generations.commit(store, result, result.spec, attempts=1, ray=None)


def judgement(unit: GenerationSpec, prompt_id: str, label: str, **changes: Any) -> dict[str, Any]:
    """A row of `judgements`."""
    return {
        "generation_id": unit.generation_id,
        "prompt_id": prompt_id,
        "sample_index": 0,
        "judge": "rules@1",
        "response_sha256": "0",
        "label": label,
        "judged_at": 0,
    } | changes
