"""All tables from the published figures alone, and the figures beside one's own tables."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.published.claims import MARGIN_STATED, effects_claims, other_claims
from orchestrator.analysis.published.figures import (
    MARGIN_BEHAVIORS,
    SPLIT,
    figures,
    printed_evidence,
)
from orchestrator.analysis.published.stress import printed_categories, printed_stress
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.columns import of_notes, p_value, signed
from orchestrator.analysis.tables.design.claims import claims
from orchestrator.analysis.tables.design.components import components
from orchestrator.analysis.tables.design.config import config_view, value_text
from orchestrator.analysis.tables.design.pairing import pairing
from orchestrator.analysis.tables.design.plan import plan
from orchestrator.analysis.tables.scores.dose import dose_response, doses_of
from orchestrator.analysis.tables.scores.dose_tests import dose_tests
from orchestrator.analysis.tables.scores.effects import effects
from orchestrator.analysis.tables.scores.margin import margin
from orchestrator.analysis.tables.scores.means import ablation_means
from orchestrator.analysis.tables.scores.refusal import refusal_buffer
from orchestrator.analysis.tables.scores.variance import variance
from orchestrator.analysis.tables.verdicts import Verdicts
from orchestrator.analysis.tables.view import Missing, Row, View, p_text
from orchestrator.stats.records import ALPHA
from tasks.contract.cell import Condition

SETTINGS = {
    "lambda_rho_grid": "rho_weight",
    "gamma": "margin",
    "lora_rank": "train.lora_rank",
    "lora_alpha": "train.lora_alpha",
    "learning_rate": "train.learning_rate",
    "weight_decay": "train.weight_decay",
    "warmup_fraction": "train.warmup_fraction",
    "gradient_accumulation_steps": "train.grad_accumulation",
    "sft_texts": "data.size",
    "epochs": "train.epochs",
    "contrast_pairs_per_step": "train.pairs_per_step",
    "max_seq_len": "train.max_length",
}
"""The notes' names of settings that a sweep file has too."""


def published_tables(alpha: float = ALPHA) -> tuple[View | Missing, ...]:
    """T1 to T13 as far as the printed figures fill them, each with the notes' own rows."""
    every = Arms(printed_evidence(), SPLIT, alpha)
    config, margins, by_dose, main = (
        figures()[name]
        for name in ("T9_config", "T2_margin", "T6_dose_response", "T4_ablation_means")
    )
    guided = (Condition.RHO_GUIDED, Condition.SFT_ONLY)
    at_margins = _only(
        lambda e: e.rho_weight in (margins["lambda_rho"], None) and e.condition in guided,
        set(MARGIN_BEHAVIORS),
        alpha,
    )
    at_doses = _only(
        lambda e: e.condition in guided and e.margin in (config["gamma"], None),
        set(by_dose["columns"]),
        alpha,
    )
    at_main = _only(_main, {e.behavior for e in printed_evidence()}, alpha)
    tests = dose_tests(at_doses)
    stress = printed_stress(alpha)
    printed = effects_claims(every)
    weights = [e.arm_id for e in doses_of(at_doses)[0].arms.values()]
    others = other_claims(every, tests, stress, weights) if isinstance(tests, View) else ()
    everything = (*printed, *others)
    verdicts = Verdicts(everything)
    return (
        refusal_buffer(_only(_main, {"refusal"}, alpha), MARGIN_STATED, verdicts),
        margin(at_margins, verdicts),
        variance(at_doses, _main, verdicts),
        ablation_means(_only(_main, set(main["columns"]), alpha)),
        _with_printed(effects(at_main, printed, more=False)),
        dose_response(at_doses),
        dose_tests(at_doses, verdicts),
        stress,
        printed_categories(),
        printed_config(),
        pairing(at_main),
        components(every, ()),
        plan(everything, stress, alpha=alpha),
        claims(everything),
    )


def printed_config() -> View:
    """The configuration that the notes print, under a sweep file's names where it has them."""
    printed = figures()["T9_config"]
    found = {SETTINGS.get(k, k): value_text(v) for k, v in printed.items()} | {
        "data.mix": f"{printed['sft_traps']} traps + {printed['sft_alpaca']} instructions",
        "hardware": f"{printed['unified_memory_gb']} GB of unified memory",
        "framework": f"mlx-lm {printed['mlx_lm']}",
    }
    rows = [{"sweep": "notes", "setting": k, "value": v} for k, v in found.items()]
    return config_view("Settings of the notes", rows)


def _only(keep: Callable[[ArmEvidence], bool], behaviors: set[str], alpha: float) -> Arms:
    found = [e for e in printed_evidence() if keep(e) and e.behavior in behaviors]
    return Arms(found, SPLIT, alpha)


def _main(arm: ArmEvidence) -> bool:
    """Arms of the notes' main weight and margin, and those without."""
    main = figures()["T4_ablation_means"]
    return (arm.rho_weight, arm.margin) in ((main["lambda_rho"], main["gamma"]), (None, None))


def _with_printed(view: View | Missing) -> View | Missing:
    """T5 with d and p as printed, beside those computed from the printed means and sds."""
    if isinstance(view, Missing):
        return view
    printed = figures()["T5_effect_sizes"]["rows"]
    rows = [
        {
            **row,
            "notes_cohens_d": one["cohens_d"],
            "notes_p": one["p"],
            "notes_p_text": p_text(0) if one["p_rel"] == "<" else p_text(one["p"]),
        }
        for row, one in zip(view.rows, printed, strict=True)
    ]
    columns = of_notes(
        signed("d as printed", "notes_cohens_d", digits=2),
        p_value("p as printed", "notes_p", instead="notes_p_text"),
    )
    return replace(view, columns=(*view.columns, *columns), rows=tuple(rows))


def printed_rows(views: Sequence[View | Missing]) -> dict[str, dict[tuple[Any, ...], Row]]:
    """Table -> what a row is about -> the notes' row."""
    return {
        v.name: {subject(v.name, row): row for row in v.rows} for v in views if isinstance(v, View)
    }


def subject(table: str, row: Row) -> tuple[Any, ...]:
    """What a row is about, in terms that sweeps share with the notes."""
    return tuple(row.get(field) for field in _SUBJECTS.get(table, ()))


_ARM = ("condition", "rho_weight", "margin")
_SIDES = tuple(f"{field}_{side}" for side in "ab" for field in _ARM)
_SUBJECTS: dict[str, tuple[str, ...]] = {
    "refusal_buffer": _ARM,
    "margin": _ARM,
    "variance": ("behavior", *_ARM),
    "ablation_means": _ARM,
    "effects": ("behavior", *_SIDES),
    "dose_response": _ARM,
    "stress": _ARM,
    "stress_by_category": ("category",),
    "config": ("setting",),
}
