"""Parts of `rho-sweep doctor --full` that compute with MLX, each in a process of its own.

python -m tasks.training.first_day PART < spec.json      prints JSON
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tasks.model.blas import prefer_fast_blas
from tasks.model.open_files import import_mlx_lm

prefer_fast_blas()  # before anything imports MLX
import_mlx_lm()

import mlx.core as mx  # noqa: E402 - see above
import numpy as np  # noqa: E402
from mlx import nn  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402
from mlx_lm.models import qwen2  # noqa: E402

from tasks.contract.cell import CellSpec, TrainSpec  # noqa: E402
from tasks.data.seeding import stream  # noqa: E402
from tasks.model.model import Models, attached  # noqa: E402
from tasks.passes.choose import choose  # noqa: E402
from tasks.passes.costs import Needed, load_of_trees  # noqa: E402
from tasks.passes.flops import costs_of, matmul_peak  # noqa: E402
from tasks.passes.layout import pack  # noqa: E402
from tasks.passes.losses import Goal  # noqa: E402
from tasks.passes.packed import packed  # noqa: E402
from tasks.passes.trie import Term, grow  # noqa: E402
from tasks.training.drill import drill, family_here, precisions  # noqa: E402

TIMES = 3
SHAPE: dict[str, Any] = {
    "model_type": "qwen2",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
ON_CPU = {"hidden_size": 192, "num_hidden_layers": 4, "intermediate_size": 512, "vocab_size": 8192}
ON_GPU = {
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "intermediate_size": 4864,
    "vocab_size": 151936,
}
"""Of Qwen2.5-0.5B: large enough to keep a GPU busy, and made in a second."""


def bits(cell: CellSpec) -> dict[str, Any]:
    """Digests of the drill's gradients, and the family that should give them."""
    return {"family": family_here(), "gradients": drill(cell)}


def parity(cell: CellSpec) -> dict[str, Any]:
    """`packed`, or why packed losses are not those of one text at a time, by precision."""
    return {kind: choose(base.model, base.vocabulary) for kind, base in precisions(cell).items()}


def step(cell: CellSpec) -> dict[str, Any]:
    """Seconds of a full pass with its gradient against its operations at the measured peak."""
    return {kind: _pass(cell, kind) for kind in ("float32", "bf16", "4 bits")}


def device(_: CellSpec) -> dict[str, Any]:
    """What MLX says of the device."""
    known = mx.device_info()
    wanted = ("architecture", "memory_size", "max_recommended_working_set_size")
    more = ("max_buffer_length", "resource_limit")
    return {key: known[key] for key in (*wanted, *more) if key in known}


def _pass(cell: CellSpec, kind: str) -> dict[str, Any]:
    on_gpu = mx.default_device() != mx.cpu
    heads = {"num_attention_heads": 14 if on_gpu else 6, "num_key_value_heads": 2}
    shape = SHAPE | heads | (ON_GPU if on_gpu else ON_CPU)
    model = qwen2.Model(qwen2.ModelArgs.from_dict(shape))
    model.set_dtype(mx.float32 if kind == "float32" else mx.bfloat16)
    if kind == "4 bits":
        nn.quantize(model, group_size=64, bits=4)
    model.freeze()
    mx.eval(model.parameters())
    weight_bytes = sum(value.nbytes for _, value in tree_flatten(model.parameters()))
    base = replace(Models().get(cell.model), model=model)
    mx.reset_peak_memory()
    with attached(base, cell.train or TrainSpec(), seed=0), packed(model) as ready:
        budget, size = ready.budget, shape["vocab_size"]
        drawn = stream(0, "step").integers(0, size, (budget.rows, budget.width + 1)).tolist()
        trees = [grow([Term(tuple(text), 0, 1 / budget.width)]) for text in drawn]
        (chunk,) = pack(trees, budget)
        goal, took = Goal.of([0]), []
        if (costs := costs_of(model, size)) is None:
            raise AssertionError("the matrices of Qwen2 are known")
        for _ in range(1 + TIMES):
            started = time.perf_counter()
            mx.eval(ready.gradient(chunk, goal, np.ones(1)).gradient)
            took.append(time.perf_counter() - started)
    load = load_of_trees(trees)
    seconds = statistics.median(took[1:])
    needed = costs.of(Needed(forward=load, backward=load))
    peak = matmul_peak(mx.float32 if kind == "float32" else mx.bfloat16)
    return {
        "tokens": load.tokens,
        "first_s": took[0],  # kernels are compiled in it
        "seconds": seconds,
        "operations": needed,
        "layers": len(model.layers),
        "weight_bytes": weight_bytes,
        "matmul_peak": peak,
        "share_of_peak": needed / seconds / peak,
        "memory_peak_bytes": mx.get_peak_memory(),
    }


PARTS: dict[str, Callable[[CellSpec], dict[str, Any]]] = {
    "device": device,
    "bits": bits,
    "parity": parity,
    "step": step,
}


def main() -> None:
    """Run one part with the cell of standard input."""
    print(json.dumps(PARTS[sys.argv[1]](CellSpec.from_dict(json.load(sys.stdin)))))


if __name__ == "__main__":
    main()
