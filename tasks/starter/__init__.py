"""What ships with the project: probe pairs, texts, prompts, judged answers, the model `tiny`.

Data files and their paths only; imports nothing.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent
PROBES = _FOLDER / "probes.jsonl"
TEXTS = _FOLDER / "texts.jsonl"
FICTIONAL = _FOLDER / "fictional.jsonl"
"""Refusals of what is asked for as fiction."""
NEUTRAL = _FOLDER / "neutral.jsonl"
"""Texts about no probe."""
PROMPTS = _FOLDER / "prompts.jsonl"
FACTORIAL = _FOLDER / "factorial.jsonl"
JUDGED = _FOLDER / "judged.jsonl"
ANSWERED = _FOLDER / "answered.jsonl"
EXAMPLES = {"written": JUDGED, "real": ANSWERED}
"""Labelled answers: of our own writing, and of real models."""
TINY = _FOLDER / "tiny"
