"""Whether a model on this machine is one that a cell could load, before any cell is started."""

import json
import subprocess
import sys
from importlib.metadata import version

from orchestrator.cells import tokenised
from orchestrator.visible import last_line
from tasks.contract.cell import NodeError
from tasks.model import children
from tasks.sources.model_files import SHIPPED, ModelFiles
from tasks.sources.remembered import code_digest, remembered

LIBRARIES = ("mlx", "mlx-lm")
LONGEST_S = 600
"""For mlx-lm to set a model up: it takes seconds, and no weight is read."""
OTHER_ORDER = {"PYTHONHASHSEED": "1"}
"""Sets of words are in another order in that process than here."""


def demand_builds(files: ModelFiles) -> None:
    """Check that sizes, shapes and settings of a model fit together, as its cells do.

    mlx-lm sets the model up without reading the weights, in a process of its own where this one has
    not loaded it; there the chat template has to write what it writes here. What passed is
    remembered on this machine, for as long as the files, the libraries and the node's code are the
    same.

    Raises:
        NodeError: A cell could not load it, for the reason given.
    """
    if files.folder in SHIPPED.values():
        return
    given = [files.digest, code_digest(), *map(version, LIBRARIES)]
    remembered("builds", given, lambda: _build(files), lambda found: found is True)


def _build(files: ModelFiles) -> bool:
    if "mlx_lm" in sys.modules:  # e.g. a notebook that has run a cell: it need not be loaded again
        from tasks.model.build import demand_build

        demand_build(files.folder)
        return True
    try:
        command = children.python("-m", "tasks.model.build", str(files.folder))
        done = children.ran(command, OTHER_ORDER, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        raise NodeError(
            f"{files.folder}: mlx-lm had not set this model up after {LONGEST_S} s; "
            "check its config.json, or choose another model"
        ) from None
    if done.returncode:
        raise NodeError(last_line(done.stderr, f"exit code {done.returncode}"))
    if json.loads(done.stdout.splitlines()[-1]) != tokenised.sample(files):
        raise NodeError(
            f"{files.folder}: its chat template writes another text in each process, such as the "
            "order of a set or an address in memory; no cell can be repeated with it; choose "
            "another model"
        )
    return True
