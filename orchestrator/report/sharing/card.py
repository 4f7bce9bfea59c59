"""A model card beside an adapter, in Markdown: how it was made, how it scores, what that means."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from orchestrator import __version__
from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.columns import NAT, count, plain, signed, words
from orchestrator.analysis.tables.view import View
from orchestrator.cells.facts import facts
from orchestrator.cells.settings import value_text
from orchestrator.report.blocks import Facts, Note, Report, Section, Table
from orchestrator.report.content import ReportContent
from orchestrator.report.markdown import as_markdown
from orchestrator.report.sections.claims import claims_section
from orchestrator.results.store import spec_of
from tasks.sources.hub import HUB_ID

NAMED = ("model", "data.sft", "probes.pack")
"""Settings that may be paths."""
MACHINE = ("chip", "os", "mlx", "mlx_lm", "backend", "base_precision", "path")
LIMITS = (
    "One training with one seed: another seed gives another adapter; the table shows how far the "
    "arm's seeds lie apart.",
    "Rho is a mean difference of log-probabilities over probe pairs. It does not say what the "
    "model writes when it is asked.",
    "Scores on the train split are of pairs that training could see; only the held-out split "
    "tells about new pairs, and only about pairs like these.",
    "A claim is about the population that stands beside it. What was not registered before the "
    "results is a suggestion, no finding.",
)


def card(
    content: ReportContent,
    row: Mapping[str, Any],
    arm: str,
    files: Mapping[str, str],
    model_config: Mapping[str, Any],
) -> str:
    """The card of one cell's adapter.

    Args:
        content: Of the results that the cell is part of.
        row: Of the table `cells`.
        arm: Label of the cell's arm.
        files: Name of a folder beside the card -> what is in it.
        model_config: What mlx-lm is told of the base model beside its config.json.
    """
    base = public_name(str(row["model"]))
    evidence = [e for e in content.evidence if e.arm_id == row["arm_id"]]
    lost = [c for c in content.cells if c.arm_id == row["arm_id"] and c.message is not None]
    asked = tuple(i for i in content.inference if row["arm_id"] in i.arms)
    limits = [*LIMITS, *(f"No scores from {c.label}: {c.status}, {c.message}." for c in lost)]
    made = Facts(pairs=tuple(_made(row)))
    report = Report(
        title=f"{arm}, seed {row['seed']}",
        description=f"A LoRA adapter of the sweep {content.name}. {content.description}".strip(),
        summary=(
            ("Base model", base),
            ("Cell", str(row["cell_id"])),
            ("sha256 of the weights", str(row["adapter_sha256"])),
            *files.items(),
        ),
        sections=(
            Section(title="How it was made", blocks=(made,)),
            Section(title="Scores", blocks=(Table(view=_scores(evidence, row), keyed=False),)),
            claims_section(replace(content, inference=asked)),
            Section(title="Limits", blocks=tuple(Note(text=text) for text in limits)),
        ),
        made=f"Made {content.now} by rho-sweep {__version__}.",
    )
    head = {"base_model": base, "tags": ["rho-sweep", "lora", *files]}
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=False)
    return f"---\n{front}---\n\n{as_markdown(report)}\n## Use\n\n{_use(base, files, model_config)}"


def _made(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The cell's settings, then its machine."""
    for name, value in sorted(facts(spec_of(row)).items()):
        yield name, public_name(value) if name in NAMED else value_text(value)
    for name in ("model_digest", "data_version", "probes_version", "code_version", *MACHINE):
        if row[name] is not None:
            yield name, str(row[name])


def _scores(evidence: list[ArmEvidence], row: Mapping[str, Any]) -> View:
    rows = [
        {
            "behavior": e.behavior,
            "split": e.split,
            "own": e.scores.get(row["seed"]),
            "mean": e.score.mean if e.score else None,
            "sd": e.score.sd if e.score else None,
            "n": e.n,
            "baseline": e.baseline,
        }
        for e in sorted(evidence, key=lambda e: (e.split, e.behavior))
    ]
    return View(
        key="",
        name="scores",
        title="Rho of this adapter, of its arm over seeds, and of the untrained model",
        columns=(
            words("Behavior", "behavior"),
            words("Split", "split"),
            signed("This adapter", "own", NAT),
            signed("Mean of the arm", "mean", NAT),
            plain("sd", "sd", NAT),
            count("Seeds", "n"),
            signed("Untrained", "baseline", NAT),
        ),
        rows=tuple(rows),
    )


MLX = """\
```python
import mlx_lm

model, tokenizer = mlx_lm.load({base}, adapter_path="mlx"{told})
```
"""
PEFT = """
```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained({base})
model = PeftModel.from_pretrained(base, "peft")
```
"""


def _use(base: str, files: Mapping[str, str], model_config: Mapping[str, Any]) -> str:
    """Code that loads what is there; the name of the model is a string of Python."""
    text = MLX + (PEFT if "peft" in files else "")
    told = f", model_config={dict(model_config)!r}" if model_config else ""
    return text.format(base=json.dumps(base), told=told)


def public_name(model: str) -> str:
    """A model's hub id, or the name of its folder: where that lies is nobody's business."""
    return model if HUB_ID.fullmatch(model) else Path(model).name
