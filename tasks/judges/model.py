"""A language model on this machine as judge."""

from typing import Any

from mlx_lm.generate import stream_generate

from tasks.contract.cell import ModelSpec, NodeError
from tasks.judges import prompted as verdict
from tasks.judges.contract import Judgement
from tasks.model.model import BaseModel, Models
from tasks.sources.model_files import locate


class ModelJudge:
    """Asks a model with `verdict.question`, greedily; one answer at a time."""

    def __init__(self, name: str, revision: str | None, *, download: bool = True) -> None:
        """Find the model; it is loaded when the first answer is judged.

        Args:
            name: `tiny`, a directory, or a hub id.
            revision: Of a hub id; None for its default branch.
            download: Whether it may be fetched.

        Raises:
            NodeError: It is missing, incomplete or unsafe.
        """
        self._spec, _ = locate(name, revision, download=download)
        self._models = Models()

    @property
    def name(self) -> str:
        """The model, its content and the wording of the question."""
        return name_of(self._spec)

    def judge(self, prompt: str, response: str, finish_reason: str | None) -> Judgement:
        """The verdict on one answer.

        Raises:
            NodeError: The model cannot be loaded, or knows no chats.
        """
        base = self._models.get(self._spec)
        asked = _chat(base, verdict.question(prompt, response, finish_reason))
        text, last = "", None
        for last in stream_generate(base.model, base.tokenizer, asked, verdict.MAX_TOKENS):
            text += last.text
        return verdict.parse(text, last.finish_reason if last else None)


def name_of(spec: ModelSpec) -> str:
    """What a judge made of this model is called, e.g. `model:tiny:1a2b3c4d@5e6f7a8b`."""
    where = spec.name.rstrip("/").rsplit("/", 1)[-1]
    return f"model:{where}:{spec.identity[:8]}@{verdict.DIGEST}"


def _chat(base: BaseModel, text: str) -> Any:
    if not base.tokenizer.has_chat_template:
        raise NodeError(
            f"{base.files.folder}: this model has no chat template, so that it cannot be asked "
            "for a verdict; name one that is tuned to follow instructions"
        )
    messages = [{"role": "user", "content": text}]
    return base.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
