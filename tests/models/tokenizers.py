"""Every kind of tokenizer that users' models have, at toy size, from the libraries' classes."""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tasks.data.probe_packs import load_pack

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
SPECIAL = [UNKNOWN, BEGIN, END]
SPACE = "\u2581"
VOCABULARY = 700
"""Tokens of the largest of them; a model that is to take any of them needs as many."""


@cache
def _texts() -> tuple[str, ...]:
    return tuple(p.positive for p in load_pack("starter"))


def _adding(tokenizer: Tokenizer, begin: str | None, end: str | None) -> Tokenizer:
    """The tokenizer, now adding begin and end tokens to every text by itself."""
    around = [t for t in (begin, end) if t]
    if around:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=" ".join(t for t in (begin, "$A", end) if t),
            special_tokens=[(t, tokenizer.token_to_id(t)) for t in around],
        )
    return tokenizer


def byte_level(begin: str | None = None, end: str | None = None) -> Tokenizer:
    """As in GPT-2, Qwen and Llama 3: byte-level BPE, for which no text is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return _adding(tokenizer, begin, end)


def stripping() -> Tokenizer:
    """Byte-level, with added tokens that swallow the spaces on their left, right, or both."""
    tokenizer = byte_level()
    tokenizer.add_tokens(
        [
            AddedToken("<|left|>", lstrip=True),
            AddedToken("<|right|>", rstrip=True),
            AddedToken("<|both|>", lstrip=True, rstrip=True),
            AddedToken("word", single_word=True),
        ]
    )
    tokenizer.add_special_tokens([AddedToken("<|im_end|>", rstrip=True)])
    return tokenizer


def byte_fallback(*, leading_space: bool = True, begin: str | None = BEGIN) -> Tokenizer:
    """As in Llama 2 (with a leading space) and Gemma (without): pieces, and bytes for the rest."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", SPACE)
    trained.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    as_bytes = [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[*SPECIAL, *as_bytes], show_progress=False
    )
    trained.train_from_iterator(_texts(), trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(m) for m in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(
            vocab=model["vocab"],
            merges=merges,
            unk_token=UNKNOWN,
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.add_special_tokens(SPECIAL)
    replace = normalizers.Replace(" ", SPACE)
    parts = [normalizers.Prepend(SPACE), replace] if leading_space else [replace]
    tokenizer.normalizer = normalizers.Sequence(parts)
    back = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(
        [*back, decoders.Strip(" ", 1, 0)] if leading_space else back
    )
    return _adding(tokenizer, begin, None)


def unigram(scheme: str, special: tuple[str, ...] = tuple(SPECIAL)) -> Tokenizer:
    """As in T5: SentencePiece's Unigram with a leading space, an end token, unknown characters."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(r" {2,}", " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=list(special), unk_token=UNKNOWN, show_progress=False
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return _adding(tokenizer, None, END)


def word_piece() -> Tokenizer:
    """As in BERT: lower case, pieces of words, a special token at both ends."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(_texts(), trainer)
    return _adding(tokenizer, BEGIN, END)


FAMILIES: dict[str, tuple[Callable[[], Tokenizer], str]] = {
    "byte-level, none added": (byte_level, "Qwen2Tokenizer"),
    "byte-level, begin added": (partial(byte_level, BEGIN), "PreTrainedTokenizerFast"),
    "byte-level, end added": (partial(byte_level, None, END), "PreTrainedTokenizerFast"),
    "byte-level, both added": (partial(byte_level, BEGIN, END), "PreTrainedTokenizerFast"),
    "GPT-2": (byte_level, "GPT2Tokenizer"),
    "added tokens that strip": (stripping, "PreTrainedTokenizerFast"),
    "Llama 2": (byte_fallback, "LlamaTokenizer"),
    "Llama 2, generic class": (byte_fallback, "PreTrainedTokenizerFast"),
    "Gemma": (partial(byte_fallback, leading_space=False), "GemmaTokenizer"),
    "byte fallback, none added": (
        partial(byte_fallback, leading_space=False, begin=None),
        "PreTrainedTokenizerFast",
    ),
    "T5": (partial(unigram, "always", ("<pad>", END, UNKNOWN)), "T5Tokenizer"),
    "Unigram, space at every part": (partial(unigram, "always"), "PreTrainedTokenizerFast"),
    "Unigram, space at the first word": (partial(unigram, "first"), "PreTrainedTokenizerFast"),
    "BERT": (word_piece, "PreTrainedTokenizerFast"),
}
"""Name -> makes the tokenizer, and the class that its config names."""
LOSSLESS = [name for name in FAMILIES if name.startswith(("byte", "GPT", "Llama 2,", "Gemma"))]
"""Those that lose nothing of a text."""


def bring(folder: Path, family: str, **config: Any) -> Path:
    """Replace a model directory's tokenizer; `config` goes into its tokenizer_config.json."""
    make, kind = FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    _made(make).save(str(folder / "tokenizer.json"))
    facts = {
        "tokenizer_class": kind,
        "bos_token": None if kind == "T5Tokenizer" else BEGIN,
        "eos_token": END,
        "unk_token": UNKNOWN,
        "pad_token": "<pad>" if kind == "T5Tokenizer" else UNKNOWN,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(facts | config))
    return folder


@cache
def _made(make: Callable[[], Tokenizer]) -> Tokenizer:
    return make()
