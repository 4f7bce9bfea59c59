"""Result files as other tools lay them out, with numbers of our own."""

BASE = {"factual": 0.6, "toxicity": 0.14, "reasoning": 0.0}


def lm_eval(adapter: str, acc: float = 0.5) -> dict:
    """A result file as lm-evaluation-harness lays it out."""
    return {
        "results": {
            "arc_easy": {
                "alias": "arc_easy",
                "acc,none": acc,
                "acc_stderr,none": 0.01,
                "acc_norm,none": 0.25,
                "acc_norm_stderr,none": "N/A",
            },
            "gsm8k": {"exact_match,strict-match": 0.125, "exact_match,flexible": float("nan")},
        },
        "versions": {"arc_easy": 1.0},
        "n-samples": {"arc_easy": {"original": 2376, "effective": 100}},
        "higher_is_better": {"arc_easy": {"acc": True}},
        "config": {"model": "hf", "model_args": f"pretrained=/models/q,peft={adapter},dtype=auto"},
        "lm_eval_version": "0.4.9",
    }


def inspect_log(adapter: str, status: str = "success", scorers: int = 1) -> dict:
    """A log as Inspect lays it out, without samples."""
    metrics = {
        "accuracy": {"name": "accuracy", "value": 0.75},
        "stderr": {"name": "stderr", "value": 0.05},
    }
    names = ("choice", "match")[:scorers]
    return {
        "version": 2,
        "status": status,
        "eval": {
            "task": "arc",
            "task_version": 3,
            "model": "hf/local",
            "model_args": {"model_path": "/models/q", "adapter": {"path": adapter}},
            "packages": {"inspect_ai": "0.3.9"},
        },
        "results": {
            "completed_samples": 40,
            "scores": [{"name": name, "scorer": name, "metrics": metrics} for name in names],
        },
        "samples": [{"id": 1, "input": "?"}],
    }


def campaign(experiment: str | None = None, seeds=(42, 123), shift: float = 0.0) -> dict:
    """A result file as the campaign's scripts lay it out."""
    runs = [
        {
            **({"condition": c} if experiment else {"rho_weight": w}),
            "seed": seed,
            "quick_scores": {
                "factual": 0.6 + w + seed / 1e4 + shift,
                "toxicity": w,
                "reasoning": 0.0,
            },
            "train_ce_loss": 5.5,
            "train_steps": 125,
            "elapsed_seconds": 433.6,
        }
        for c, w in (("sft-only", 0.0), ("rho-guided", 0.2))
        for seed in seeds
    ]
    config = {"sft_size": 1000, "epochs": 1, "lr": 2e-4, "lora_rank": 8, "margin": 0.1}
    if experiment:
        config |= {"rho_weight": 0.2}
    return {
        "model": "Qwen/Qwen2.5-7B-Instruct",
        **({"experiment": experiment} if experiment else {}),
        "baseline_quick": BASE,
        "config": config,
        "runs": runs,
        "timestamp": "2026-02-25T20:27:59.620298",
    }
