"""The prompt sets of a stress test: found, checked, each once."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from orchestrator.cells import tokenised
from orchestrator.config.stress_block import SECTION
from orchestrator.config.sweep_file import Sweep
from orchestrator.errors import Problem
from tasks.contract.cell import NodeError
from tasks.contract.generation import Decoding
from tasks.contract.prompts import PromptSet
from tasks.data.limits import demand_prompts, limits_of
from tasks.data.prompts import load_prompts
from tasks.data.rendering import rendered_digest
from tasks.judges.names import demand_judge
from tasks.sources.hub import NotHereError
from tasks.sources.model_files import ModelFiles, shapes_of


def load_sets(names: tuple[str, ...], *, download: bool) -> tuple[PromptSet, ...]:
    """Sets by name; two names of the same prompts are one set.

    Raises:
        NodeError: One is missing or malformed.
    """
    found = [load_prompts(name, download=download) for name in names]
    return tuple({s.digest: s for s in reversed(found)}.values())[::-1]


def sets_here(sweep: Sweep) -> tuple[PromptSet, ...]:
    """The sets of a sweep that are on this machine."""
    found = []
    for name in sweep.stress.prompts if sweep.stress else ():
        try:
            found.append(load_prompts(name, download=False))
        except NotHereError:
            continue
    return tuple(found)


def prompt_problems(sweep: Sweep, *, download: bool) -> Iterator[Problem]:
    """Everything about the sets and the judge of a sweep that does not fit.

    A set that may be fetched later fits.

    Args:
        sweep: With or without a stress test.
        download: Whether files of a hub may be fetched.
    """
    if sweep.stress is None:
        return
    try:
        demand_judge(sweep.stress.judge)
    except NodeError as error:
        yield sweep.document.problem((SECTION, "judge"), str(error))
    for name in sweep.stress.prompts:
        try:
            load_prompts(name, download=download)
        except NotHereError as error:
            if download:
                yield sweep.document.problem((SECTION, "prompts"), str(error))
        except NodeError as error:
            yield sweep.document.problem((SECTION, "prompts"), str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What a model makes of a set of prompts; the attributes are as in `GenerationSpec`."""

    rendered: str | None = None
    prompt_rule: str | None = None


def rendered_prompts(files: ModelFiles | None, prompts: PromptSet, decoding: Decoding) -> Rendered:
    """The token ids of a set as a unit will ask them, digested.

    Args:
        files: The model; None where it is not on this machine.
        prompts: The set.
        decoding: How answers are drawn.

    Raises:
        NodeError: The model's template refuses a prompt, or one is too long for the model.
    """
    texts = [p.text for p in prompts.prompts]
    if files is None:
        return Rendered()
    rows = tokenised.prompts(files, texts, decoding.thinking)
    asked = ((p.id, p.text, ids) for p, ids in zip(prompts.prompts, rows, strict=True))
    demand_prompts(asked, limits_of(shapes_of(files.folder)), decoding.max_tokens)
    return Rendered(rendered=rendered_digest(rows), prompt_rule=tokenised.prompt_rule(files))


def unfit_prompts(sweep: Sweep, models: Iterable[ModelFiles]) -> Iterator[Problem]:
    """Sets of a sweep that one of its models cannot be asked."""
    if sweep.stress is None:
        return
    for files in models:
        for prompts in sets_here(sweep):
            try:
                rendered_prompts(files, prompts, sweep.stress.decoding)
            except NodeError as error:
                yield sweep.document.problem((SECTION, "prompts"), str(error))


def as_jsonl(prompts: PromptSet) -> str:
    """A set as a file that `load_prompts` reads, with the same digest."""
    return "".join(json.dumps(asdict(p)) + "\n" for p in prompts.prompts)
