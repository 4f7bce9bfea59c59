"""Sweeps and their cells, checked against the models, packs and data that this machine has."""

from collections.abc import Sequence

from orchestrator.cells.expand import Expansion, expand, unresolved
from orchestrator.cells.prompt_sets import prompt_problems, unfit_prompts
from orchestrator.cells.resolve import FileResolver
from orchestrator.config import sweep_file
from orchestrator.config.sweep_file import Sweep
from orchestrator.config.yaml_lines import raise_problems
from orchestrator.errors import Problem


def load(sweep: str, settings: Sequence[str] = ()) -> Sweep:
    """Read a sweep file or preset, as `sweep_file.load`.

    Models, packs, data and prompts are looked at only if the file itself has problems, so that one
    message has all; for a file without problems `resolve` does it.

    Raises:
        SweepError: Everything that is wrong with the file.
    """
    return sweep_file.load(sweep, settings, _more_problems)


def _more_problems(sweep: Sweep) -> list[Problem]:
    """What does not fit of what this machine has, in a sweep that has other problems."""
    found = unresolved(sweep, FileResolver(download=False))
    return [*found, *prompt_problems(sweep, download=False)]


def resolve(sweep: Sweep, *, download: bool) -> tuple[Expansion, FileResolver]:
    """The cells of a sweep, checked against models, packs and data.

    Reads, digests and tokenises all of them in this process, without MLX; writes no results.

    Args:
        sweep: The sweep.
        download: Whether what is missing here is fetched from the hub.

    Raises:
        SweepError: All that is wrong or missing, in one message.
    """
    resolver = FileResolver(download=download)
    expansion, problems = expand(sweep, resolver)
    problems += prompt_problems(sweep, download=download)
    problems = problems or list(unfit_prompts(sweep, resolver.models.values()))
    raise_problems(sweep.document, problems)
    return expansion, resolver
