"""T10: which arms may be paired by seed, and why others may not."""

from itertools import product

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.comparison import PAIRED, brief
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.columns import count, signed, words
from orchestrator.analysis.tables.view import Missing, View

KEY, NAME = "T10", "pairing"


def pairing(arms: Arms) -> View | Missing:
    """Each arm and its sft-only arm, on each behaviour."""
    rows = []
    for head, behavior in product(arms.trained, arms.behaviors):
        a = arms.get(head, behavior)
        b = arms.reference(a) if a else None
        if a is None or b is None or a.arm_id == b.arm_id:
            continue
        found, source = arms.compare(a, b), "pairing_key of cells" if a.keys and b.keys else "none"
        rows.append(
            {
                "arm_a": arms.label(a),
                "arm_b": arms.label(b),
                "n_seeds_a": found.n_a,
                "n_seeds_b": found.n_b,
                "n_paired": found.n_pairs if found.pairing == PAIRED else 0,
                "key_source": source if a.scores and b.scores else "printed figures: none",
                "r_pair": found.r_pair,
                "batch_versions": _batches(a, b),
                "reason_if_unpaired": found.reason,
                "behavior": behavior,
            }
        )
    if not rows:
        return Missing(key=KEY, name=NAME, reason="no arm beside sft-only")
    return View(
        key=KEY,
        name=NAME,
        title=f"Pairing by seed, {arms.split} split",
        columns=(
            words("Arm a", "arm_a"),
            words("Arm b", "arm_b"),
            count("seeds a", "n_seeds_a"),
            count("seeds b", "n_seeds_b"),
            count("paired", "n_paired"),
            words("key from", "key_source"),
            signed("r within pairs", "r_pair", digits=2),
            words("batches", "batch_versions"),
            words("why not paired", "reason_if_unpaired"),
            words("Behavior", "behavior"),
        ),
        rows=tuple(rows),
    )


def _batches(a: ArmEvidence, b: ArmEvidence) -> str | None:
    """Code, data and precision of both arms; once where they agree."""
    if a.batch is None or b.batch is None:
        return None
    parts = []
    for name in ("code_version", "data_version", "base_precision"):
        values = dict.fromkeys(
            brief(v) for e in (a, b) if (v := getattr(e.batch, name)) is not None
        )
        parts.append(f"{name.split('_')[0]} {' / '.join(values) or 'none'}")
    return ", ".join(parts)
