"""Import transformers without reading the source of all its models twice, line by line."""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.contract.cell import importing

NAME = "transformers"
EXPORTS = "\n__all__"


def import_transformers() -> None:
    """Import transformers; call before any other import of it.

    While it is imported it searches the files of all its models for the names that they export:
    once for itself and once more for its `models`, and every line for one statement. Here each
    file is read once and searched as a whole, which finds the same names and saves 0.5 of 1.2 s of
    CPU in every process. A version that has no such functions is imported as it is.

    Raises:
        NodeError: It does not understand a setting of the environment.
    """
    if NAME in sys.modules:
        return
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # it misses PyTorch
    with suppress(Exception):
        _search_quickly()
    with importing(NAME):
        importlib.import_module(NAME)


def _search_quickly() -> None:
    """Load the module that searches, and only it: its package begins to search at once."""
    spec = importlib.util.find_spec(NAME)
    assert spec is not None
    package = importlib.util.module_from_spec(spec)
    vars(package)["__version__"] = importlib.metadata.version(NAME)  # its modules ask for it
    sys.modules[NAME] = package
    try:
        search: Any = importlib.import_module(f"{NAME}.utils.import_utils")
    except BaseException:
        for name in [name for name in sys.modules if name.startswith(f"{NAME}.")]:
            del sys.modules[name]
        raise
    finally:
        del sys.modules[NAME]
    exported, structure = search.fetch__all__, search.create_import_structure_from_path

    def found(text: str) -> list[str]:
        at = text.rfind(EXPORTS)
        return exported(text[at + 1 :]) if at >= 0 or text.startswith(EXPORTS[1:]) else []

    def of_folder(path: str | os.PathLike[str]) -> Any:
        here = Path(path)
        return structure(str(here.parent if here.is_file() else here))

    search.fetch__all__, search.create_import_structure_from_path = found, of_folder
