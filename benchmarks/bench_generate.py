"""65 prompts answered side by side against one by one, through mlx-lm in both cases.

python -m benchmarks.bench_generate [--model NAME] [--max-tokens N] [--repeats N]
"""

import argparse
import statistics
import time

from tasks.model.blas import prefer_openblas

prefer_openblas()

import mlx.core as mx
from mlx_lm.generate import generate_step

from tasks.contract.generation import Decoding
from tasks.data.prompts import load_prompts
from tasks.data.rendering import prompt_ids
from tasks.generation.decode import Asked, decode
from tasks.model.model import BaseModel, Models
from tasks.sources.model_files import locate


def one_by_one(base: BaseModel, asked: list[Asked], limit: int) -> list[tuple[int, ...]]:
    """Tokens of each answer, by mlx-lm's own loop and nothing else."""
    ends, found = base.tokenizer.eos_token_ids, []
    for a in asked:
        tokens = []
        for token, _ in generate_step(mx.array(a.tokens), base.model, max_tokens=limit):
            if token in ends:
                break
            tokens.append(token)
        found.append(tuple(tokens))
    return found


def batched(base: BaseModel, asked: list[Asked], limit: int) -> list[tuple[int, ...]]:
    decoding = Decoding(max_tokens=limit)
    drawn = decode(base.model, asked, decoding, base.tokenizer.eos_token_ids, lambda _: None)
    return [d.tokens for d in drawn]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    spec, _ = locate(options.model, None, download=False)
    base = Models().get(spec)
    prompts = load_prompts("starter").prompts
    asked = [Asked(prompt_ids(base.tokenizer, p.text), p.id) for p in prompts]
    seconds: dict[str, list[float]] = {"one by one": [], "batched": []}
    answers: dict[str, list[tuple[int, ...]]] = {}
    for way in (batched, one_by_one):  # once each before the clock runs
        way(base, asked[:8], 8)
    for _ in range(options.repeats):
        for name, way in (("one by one", one_by_one), ("batched", batched)):
            started = time.perf_counter()
            answers[name] = way(base, asked, options.max_tokens)
            seconds[name].append(time.perf_counter() - started)
    tokens = sum(map(len, answers["batched"]))
    print(f"{options.model} on {mx.default_device()}: {len(asked)} prompts, {tokens} tokens")
    for name, took in seconds.items():
        median = statistics.median(took)
        span = f"{min(took):.2f} to {max(took):.2f}"
        print(f"{name:<10}  median {median:6.2f} s ({span})  {tokens / median:7.0f} token/s")
    ratio = statistics.median(seconds["one by one"]) / statistics.median(seconds["batched"])
    equal = sum(a == b for a, b in zip(answers["batched"], answers["one by one"], strict=True))
    print(f"ratio       {ratio:.2f}; {equal} of {len(asked)} answers have equal tokens")


if __name__ == "__main__":
    main()
