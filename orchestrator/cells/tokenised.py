"""What a model's tokenizer makes of texts, as the cells will have them. Never loads MLX.

Loading a tokenizer takes more than a second, most of it transformers. So what it made is remembered
on this machine, for as long as the model's files, the libraries and the node's code are the same.
A cell tokenises for itself, and ends if its texts become others than were planned.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tasks.data import rendering, tokens
from tasks.data.general import EncodedItems, Item, encode_items
from tasks.data.limits import limits_of
from tasks.data.probe_packs import Pair
from tasks.data.rendering import load_tokenizer, text_ids
from tasks.data.sft import Mix
from tasks.data.tokens import EncodedPairs, Tokens, encode_pairs
from tasks.sources.model_files import ModelFiles, shapes_of
from tasks.sources.remembered import code_digest, remembered

LIBRARIES = ("transformers", "tokenizers", "jinja2")


def pairs(files: ModelFiles, given: Sequence[Pair], max_length: int) -> EncodedPairs:
    """Pairs as token ids.

    Raises:
        NodeError: The tokenizer cannot be loaded.
    """
    known = _known(files, {text for pair in given for text in (pair.positive, pair.negative)})
    return encode_pairs(known, given, max_length)


def items(files: ModelFiles, given: Sequence[Item], max_length: int) -> EncodedItems:
    """A multiple-choice set as token ids.

    Raises:
        NodeError: The tokenizer cannot be loaded, or the model cannot be fed the set.
    """
    known = _known(files, {text for item in given for text in (item.context, *item.texts)})
    return encode_items(known, given, max_length, limits_of(shapes_of(files.folder)))


def _known(files: ModelFiles, given: Collection[str]) -> Any:
    """What has the token ids of bare texts, in the place of a tokenizer."""
    texts = sorted(given)
    rows = _rows(files, "pairs", texts, lambda t: [text_ids(t, text) for text in texts])
    return SimpleNamespace(encode=dict(zip(texts, rows, strict=True)).__getitem__)


def records(files: ModelFiles, mix: Mix, template: str | None) -> list[Tokens]:
    """SFT texts as token ids, whole, as `tokens.render`.

    Raises:
        NodeError: The tokenizer cannot be loaded, or its template refuses a text.
    """
    given = [mix.digest, template]
    return _rows(files, "records", given, lambda t: tokens.render(t, mix.records, template))


def prompts(files: ModelFiles, texts: Sequence[str], thinking: str) -> list[Tokens]:
    """Prompts as token ids, as `rendering.prompt_ids`.

    Raises:
        NodeError: The tokenizer cannot be loaded, or its template refuses a prompt.
    """
    given = [list(texts), thinking]
    return _rows(
        files, "prompts", given, lambda t: [rendering.prompt_ids(t, x, thinking) for x in texts]
    )


def template_date(files: ModelFiles) -> str | None:
    """As `rendering.template_date`."""
    date: str | None = _remembered(files, "date", None, rendering.template_date, _is_word)
    return date


def takes_parts(files: ModelFiles) -> bool:
    """As `rendering.takes_parts`."""
    return bool(_remembered(files, "parts", None, rendering.takes_parts, lambda x: type(x) is bool))


def prompt_rule(files: ModelFiles) -> str | None:
    """As `rendering.prompt_rule`."""
    rule: str | None = _remembered(files, "rule", None, rendering.prompt_rule, _is_word)
    return rule


def sample(files: ModelFiles) -> str | None:
    """As `rendering.sample`, in this process and each time anew: it is compared with another's."""
    return rendering.sample(lambda: _tokenizer(files.folder, files.digest))


def _rows(
    files: ModelFiles, what: str, given: object, make: Callable[[Any], Sequence[Tokens]]
) -> list[Tokens]:
    def are_rows(value: Any) -> bool:
        return isinstance(value, list) and all(
            isinstance(row, list) and all(type(token) is int for token in row) for row in value
        )

    return [tuple(row) for row in _remembered(files, what, given, make, are_rows)]


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, str)


@cache
def _versions() -> tuple[str, ...]:
    return tuple(map(version, LIBRARIES))


def _remembered(
    files: ModelFiles,
    what: str,
    given: object,
    make: Callable[[Any], Any],
    fits: Callable[[Any], bool],
) -> Any:
    key = [files.digest, code_digest(), *_versions(), what, given]
    return remembered("tokens", key, lambda: make(_tokenizer(files.folder, files.digest)), fits)


@cache
def _tokenizer(folder: Path, _digest: str) -> Any:
    """A model's tokenizer, loaded once for each content of its folder."""
    return load_tokenizer(folder)
