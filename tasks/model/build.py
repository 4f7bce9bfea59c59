"""A model set up by mlx-lm, and whether it can compute.

Also a command:

    python -m tasks.model.build FOLDER

It loads a model lazily: its modules are set up, names and shapes of its weights are held against
them, and one pass is drawn up. No weight is read, and nothing is computed. It prints a digest of
what the model's chat template writes here, as JSON.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx

from tasks.contract.cell import NodeError, reason_of
from tasks.data.rendering import load_tokenizer, sample
from tasks.sources.earlier_words import earlier_words
from tasks.sources.jsonl import read_json
from tasks.sources.quick_import import import_transformers


def build(folder: Path, load: Callable[[str, dict[str, Any]], tuple[Any, ...]]) -> tuple[Any, ...]:
    """A loaded model, and what `load` gives beside it, once a pass can be drawn up with it.

    Args:
        folder: The model's.
        load: Makes it of the folder and of what to put over its config, the model first.

    Raises:
        NodeError: It cannot be loaded, or has settings with which it cannot compute.
    """
    path = folder / "config.json"
    config = earlier_words(path, read_json(path, lenient=True))
    try:
        loaded = load(str(folder), config)
        loaded[0](mx.zeros((1, 2), mx.int32))  # MLX computes nothing that nobody asks for
    except Exception as error:  # what mlx-lm meets in a config is not foreseen
        raise NodeError(
            f"{folder}: mlx-lm cannot load this model ({reason_of(error)}); "
            "check its config.json and weights, or choose another model"
        ) from error
    return loaded


def demand_build(folder: Path) -> None:
    """Check that a model can be set up, without reading its weights.

    Raises:
        NodeError: As `build`.
    """
    import_transformers()  # mlx-lm does, and slower
    from mlx_lm.utils import load_model

    build(folder, lambda where, config: load_model(Path(where), lazy=True, model_config=config))


if __name__ == "__main__":
    try:
        model = Path(sys.argv[1])
        demand_build(model)
        print(json.dumps(sample(partial(load_tokenizer, model))))
    except NodeError as wrong:
        sys.exit(str(wrong))
