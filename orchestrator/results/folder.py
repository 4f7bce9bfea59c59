"""A results folder, before any table of it is read."""

from pathlib import Path

from orchestrator.errors import UserError


def demand_results(folder: Path) -> Path:
    """Check that a folder holds results; returns it.

    Raises:
        UserError: It does not.
    """
    if not (folder / "cells").is_dir() and not (folder / "sweep.yaml").is_file():
        raise UserError(f"{folder}: no results here; make some with: rho-sweep launch quickstart")
    return folder
