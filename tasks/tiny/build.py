"""Builds the `tiny` model that ships with the project: `python -m tasks.tiny.build`.

Two runs on one machine give the same bytes: every random draw comes from a named stream of the
recipe's seed, numpy draws the initial weights, and the CPU adds in a fixed order (with OpenBLAS on
one thread, or without OpenBLAS in both runs). Another processor may round differently.

On two shared cores the 1500 steps took 3.6 minutes (3.1 of processor time), `--steps 50` 18 s.
"""

import argparse
import dataclasses
from pathlib import Path

from tasks import starter
from tasks.model.blas import prefer_fast_blas
from tasks.tiny.recipe import Recipe


def build(folder: Path, recipe: Recipe) -> None:
    """Train the tokenizer and the model, and write both into a folder.

    Everything runs on the CPU: a GPU may add in another order and give other bytes.
    """
    prefer_fast_blas()  # before the first import of MLX
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
        train(
            model,
            tokens,
            recipe,
            report=lambda step, loss: print(
                f"step {step:5d}  {loss:.3f} nats per token", flush=True
            ),
        )
        save(folder, model, tokenizer, config)


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description="Build the tiny model.")
    parser.add_argument("--out", type=Path, default=starter.TINY, help="folder to write into")
    parser.add_argument("--steps", type=int, default=Recipe().steps, help="optimizer steps")
    arguments = parser.parse_args()
    build(arguments.out, dataclasses.replace(Recipe(), steps=arguments.steps))


if __name__ == "__main__":
    main()
