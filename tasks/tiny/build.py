"""Builds the `tiny` model that ships with the project: `python -m tasks.tiny.build`.

Two runs on one machine give the same bytes: every draw has a named stream of the recipe's seed,
weights are drawn by numpy, and the CPU does all sums in one order (OpenBLAS with one thread, or
without OpenBLAS both times). Another processor may round otherwise.

On two shared cores the 1500 steps took 3.6 minutes (3.1 of processor time), `--steps 50` 18 s.
"""

import argparse
import dataclasses
from pathlib import Path

from tasks import starter
from tasks.model.blas import prefer_openblas
from tasks.tiny.recipe import Recipe


def build(folder: Path, recipe: Recipe) -> None:
    """Make tokenizer and model and write them into a folder.

    All of it runs on the CPU, where sums have a fixed order.
    """
    prefer_openblas()  # before the first import of MLX
    import mlx.core as mx

    from tasks.tiny.mixture import mixture, starter_probes
    from tasks.tiny.saving import model_config, save
    from tasks.tiny.tokenizer import train_tokenizer
    from tasks.tiny.training import new_model, train

    texts = mixture(starter_probes(), recipe)
    tokenizer = train_tokenizer(texts)
    tokens = [tuple(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))]
    print(f"{len(texts)} texts ({len(set(texts))} distinct), {sum(map(len, tokens))} tokens")
    config = model_config(tokenizer)
    with mx.stream(mx.cpu):
        model = new_model(config, recipe)
        train(model, tokens, recipe, _print_loss)
        save(folder, model, tokenizer, config)


def _print_loss(step: int, loss: float) -> None:
    print(f"step {step:5d}  {loss:.3f} nats per token", flush=True)


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description="Build the tiny model.")
    parser.add_argument("--out", type=Path, default=starter.TINY, help="folder to write into")
    parser.add_argument("--steps", type=int, default=Recipe().steps, help="optimizer steps")
    arguments = parser.parse_args()
    build(arguments.out, dataclasses.replace(Recipe(), steps=arguments.steps))


if __name__ == "__main__":
    main()
