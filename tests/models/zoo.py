"""Every layout of users' models, at toy size, built from mlx-lm's own classes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.toys import SIZES, make_model

MAMBA = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 16,
    "mamba_d_conv": 4,
    "mamba_n_groups": 1,
}
GEMMA_3 = {
    "head_dim": 8,
    "query_pre_attn_scalar": 8,
    "sliding_window": 16,
    "sliding_window_pattern": 2,
}
LLAMA_3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
EIGHT = {"group_size": 64, "bits": 8}
MIXED = {
    "v_proj": {"group_size": 32, "bits": 6},
    "layers.1.mlp.down_proj": {"group_size": 32, "bits": 6},
    "layers.0.self_attn.o_proj": False,
}
"""As mlx-lm's recipes write it: some matrices with more bits, one not quantized."""
OF_EXPERTS = {
    "shared_expert.up_proj": {"group_size": 32, "bits": 8},
    "switch_mlp.down_proj": {"group_size": 32, "bits": 8},
}
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4}


def _layout(arch: str, **changed: Any) -> Callable[[Path], Path]:
    return partial(make_model, arch=arch, **changed)


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "Llama 2, untied": _layout("llama", tie=False),
    "Llama 3, rope scaled": _layout("llama", rope_scaling=LLAMA_3, rope_theta=500000.0),
    "Mistral": _layout("llama", model_type="mistral", sliding_window=16, tie=False),
    "Ministral, sliding window": _layout(
        "llama", layer_types=["sliding_attention", "full_attention"], sliding_window=16
    ),
    "Mixtral": _layout("mixtral", tie=False, **EXPERTS),
    "Qwen 2, tied": _layout("qwen2"),
    "Qwen 2.5, untied": _layout("qwen2", tie=False),
    "Qwen 2 MoE": _layout("qwen2_moe", tie=False),
    "Qwen 3": _layout("qwen3", head_dim=16),
    "Qwen 3 MoE": _layout("qwen3_moe", tie=False),
    "Gemma": _layout("gemma"),
    "Gemma 2": _layout("gemma2", head_dim=8, query_pre_attn_scalar=8),
    "Gemma 3, text": _layout("gemma3_text", **GEMMA_3),
    "Gemma 3, multimodal": _layout(
        "gemma3", text_config=SIZES | GEMMA_3 | {"model_type": "gemma3_text", "vocab_size": 400}
    ),
    "Phi 3": _layout("phi3"),
    "GPT-2": _layout("gpt2"),
    "GPT-NeoX": _layout(
        "gpt_neox", layer_norm_eps=1e-5, rotary_emb_base=10000, rotary_pct=0.25, tie=False
    ),
    "OLMo 2": _layout("olmo2"),
    "SmolLM 3": _layout("smollm3", no_rope_layer_interval=2),
    "Granite": _layout(
        "granite",
        logits_scaling=2.0,
        attention_multiplier=0.25,
        embedding_multiplier=4.0,
        residual_multiplier=0.5,
        attention_bias=False,
        mlp_bias=False,
    ),
    "Cohere": _layout("cohere", layer_norm_eps=1e-5, logit_scale=0.25),
    "DeepSeek 2": _layout(
        "deepseek_v2",
        tie=False,
        moe_intermediate_size=32,
        n_shared_experts=1,
        n_routed_experts=4,
        num_experts_per_tok=2,
        kv_lora_rank=16,
        q_lora_rank=None,
        qk_rope_head_dim=8,
        v_head_dim=8,
        qk_nope_head_dim=8,
        first_k_dense_replace=1,
        topk_method="greedy",
        n_group=1,
        topk_group=1,
        num_key_value_heads=4,
        rope_scaling={"type": "yarn", "factor": 1.0, "original_max_position_embeddings": 1024},
    ),
    "Falcon H1, state space": _layout(
        "falcon_h1", head_dim=8, mamba_d_ssm=64, projectors_bias=False, **MAMBA
    ),
    "Granite 4, hybrid": _layout(
        "granitemoehybrid",
        attention_bias=False,
        embedding_multiplier=4.0,
        attention_multiplier=0.25,
        logits_scaling=2.0,
        residual_multiplier=0.5,
        layer_types=["mamba", "attention"],
        mamba_proj_bias=False,
        mamba_conv_bias=True,
        shared_intermediate_size=32,
        **EXPERTS,
        **MAMBA,
    ),
    "3 bits": _layout("qwen2", bits=3),
    "4 bits": _layout("llama", bits=4, tie=False),
    "6 bits": _layout("qwen2", bits=6),
    "8 bits": _layout("qwen2", bits=8),
    "4 and 6 bits, one as it was": _layout("qwen2", bits=4, mixed=MIXED),
    "4 and 8 bits, untied": _layout("llama", bits=4, mixed={"lm_head": EIGHT}, tie=False),
    "Qwen 3 MoE, 4 bits": _layout("qwen3_moe", bits=4, tie=False),
    "Qwen 2 MoE, 4 and 8 bits": _layout("qwen2_moe", bits=4, mixed=OF_EXPERTS, tie=False),
    "in 3 files": _layout("llama", shards=3, tie=False),
    "4 and 6 bits in 2 files": _layout("qwen2", bits=4, mixed=MIXED, shards=2),
}
"""Name -> makes such a model in a folder."""
