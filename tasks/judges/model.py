"""A judge that asks a language model on this machine."""

from mlx_lm.generate import stream_generate

from tasks.contract.cell import ModelSpec, NodeError
from tasks.data.rendering import chat_ids, has_template
from tasks.judges import prompted as verdict
from tasks.judges.contract import Judgement
from tasks.model import children
from tasks.model.model import Models
from tasks.sources.model_files import locate


class ModelJudge:
    """Asks a local model `verdict.question` with greedy decoding, one answer at a time."""

    def __init__(self, name: str, revision: str | None, *, download: bool = True) -> None:
        """Find the model's files; the weights are loaded for the first answer.

        Args:
            name: `tiny`, a directory, or a hub id.
            revision: Branch, tag or commit of a hub id; None for its default branch.
            download: Whether missing files may be fetched from the hub.

        Raises:
            NodeError: The model is missing, incomplete, or asks to run code of its own.
        """
        self._spec, _ = locate(name, revision, download=download)
        self._models = Models()

    @property
    def name(self) -> str:
        """See `name_of`."""
        return name_of(self._spec)

    @children.withheld()  # MLX starts a compiler
    def judge(self, prompt: str, response: str, finish_reason: str | None) -> Judgement:
        """The verdict on one answer.

        Raises:
            NodeError: The model cannot be loaded, or has no chat template.
        """
        base = self._models.get(self._spec)
        if not has_template(base.tokenizer):
            raise NodeError(
                f"{base.files.folder}: this model has no chat template, so that it cannot be asked "
                "for a verdict; name one that is tuned to follow instructions"
            )
        question = verdict.question(prompt, response, finish_reason)
        asked = chat_ids(
            base.tokenizer, [{"role": "user", "content": question}], add_generation_prompt=True
        )
        text, last = "", None
        for last in stream_generate(base.model, base.tokenizer, list(asked), verdict.MAX_TOKENS):
            text += last.text
        return verdict.parse(text, last.finish_reason if last else None)


def name_of(spec: ModelSpec) -> str:
    """`model:tiny:1a2b3c4d@5e6f7a8b`: the model, and digests of its files and of the question."""
    where = spec.name.rstrip("/").rsplit("/", 1)[-1]
    return f"model:{where}:{spec.identity[:8]}@{verdict.DIGEST}"
