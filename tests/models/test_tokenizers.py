"""Every kind of tokenizer: the same tokens for driver and cell, and a border that loses nothing.

The definition of the border is in docs/data.md, under "Prompt and completion".
"""

import math
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.tokenizer_utils import load as mlx_lm_load
from tokenizers import Tokenizer

from tasks.contract.cell import ModelSpec
from tasks.data.probe_packs import Pair, load_pack
from tasks.data.rendering import load_tokenizer, prompt_ids, text_ids
from tasks.data.sft import Record
from tasks.data.tokens import encode_pairs, render
from tasks.model.model import Models
from tasks.scoring.score import score
from tests.models.matrix import PARITY, run
from tests.models.tokenizers import FAMILIES, LOSSLESS, VOCABULARY, bring
from tests.toys import CHAT, make_model

QUICK = settings(max_examples=25, deadline=None)
PARTS = [
    " ",
    "  ",
    "\n",
    "a",
    "b",
    "The",
    "Paris",
    "é",
    "日本",
    "🙂",
    "<|both|>",
    "</s>",
    "!",
    "word",
]
TEXT = st.lists(st.sampled_from(PARTS), max_size=6).map("".join) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=12
)


class Brought(NamedTuple):
    """A tokenizer as the tokenizers library, the driver and the cell have it."""

    raw: Tokenizer
    driver: object
    cell: object


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def brought(family, tmp_path_factory) -> Brought:
    folder = bring(tmp_path_factory.mktemp("tokenizer"), family)
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return Brought(raw, load_tokenizer(folder), mlx_lm_load(folder))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder: Path = make_model(tmp_path_factory.mktemp("model"), vocab_size=VOCABULARY)
    return Models().get(ModelSpec(name=str(folder))).model


@pytest.mark.slow
@QUICK
@given(text=TEXT)
def test_driver_and_cell_have_the_tokens_of_the_library(brought, family, text):
    found = text_ids(brought.driver, text)
    assert found == text_ids(brought.cell, text)
    if FAMILIES[family][1] == "PreTrainedTokenizerFast":  # others are rebuilt by transformers
        assert list(found) == brought.raw.encode(text).ids


@pytest.mark.slow
@QUICK
@given(text=TEXT)
def test_a_text_that_is_trained_on_has_one_begin_and_one_end_and_loses_nothing(
    brought, family, text
):
    tokenizer = brought.cell
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    inside = text_ids(tokenizer, text, add_special_tokens=False)
    if not text or end in inside or begin in inside:  # what the text brings itself is its own
        return
    (row,) = render(tokenizer, [Record("text", {"text": text})], None)
    assert row == (*(begin,) * adds_begin(family), *inside, end)
    if family in LOSSLESS:
        assert brought.raw.decode(list(inside), skip_special_tokens=False) == text


def adds_begin(family: str) -> bool:
    return any(word in family for word in ("begin", "both", "Llama", "Gemma", "BERT"))


@pytest.mark.slow
@QUICK
@given(text=TEXT)
def test_a_bare_prompt_is_the_text_without_an_end(brought, text):
    tokenizer = brought.cell
    whole = text_ids(tokenizer, text)
    end = tokenizer.eos_token_id
    kept = whole[:-1] if whole[-1:] == (end,) else whole
    if kept:
        assert prompt_ids(brought.cell, text) == prompt_ids(brought.driver, text) == kept


def border(first: list[int], second: list[int]) -> int:
    """The first place where the tokens differ; the end of the shorter text if there is none."""
    place = 0
    while place < min(len(first), len(second)) and first[place] == second[place]:
        place += 1
    return place


def logprobs(model, tokens: list[int]) -> list[float]:
    """Of every token but the first, one text at a time."""
    logits = model(mx.array([tokens[:-1]]))[0].astype(mx.float32)
    picked = (logits - mx.logsumexp(logits, axis=-1, keepdims=True))[
        mx.arange(len(tokens) - 1), mx.array(tokens[1:])
    ]
    return picked.tolist()


def demand_border(brought, model, positive: str, negative: str) -> None:
    """A scored pair against the definition."""
    pair = Pair(id="a", behavior="b", positive=positive, negative=negative, domain="", source="")
    encoded = encode_pairs(brought.cell, [pair], 64)
    texts = [list(text_ids(brought.driver, t)) for t in (positive, negative)]
    (row,) = score(model, encoded, {"a": "train"}, VOCABULARY).probe_scores
    if min(map(len, texts)) < 2:
        assert row.status == "too_short"
        return
    if texts[0] == texts[1]:
        assert row.status == "degenerate"
        return
    place = max(border(*texts), 1)
    means = []
    sides = (
        (row.n_tokens_positive, row.n_completion_positive, row.logprob_positive_sum),
        (row.n_tokens_negative, row.n_completion_negative, row.logprob_negative_sum),
    )
    for tokens, (n, n_completion, total) in zip(texts, sides, strict=True):
        values = logprobs(model, tokens)
        prompt, completion = values[: place - 1], values[place - 1 :]
        assert (n, n_completion) == (len(tokens) - 1, len(tokens) - place)
        assert len(prompt) + n_completion == n
        assert total == pytest.approx(sum(prompt) + sum(completion), abs=1e-4)
        means.append(math.fsum(completion) / len(completion) if completion else None)
    if None in means:
        assert row.gap_completion is None
    else:
        assert row.gap_completion == pytest.approx(means[0] - means[1], abs=1e-4)


@pytest.mark.slow
@QUICK
@given(prompt=TEXT, positive=TEXT, negative=TEXT)
def test_no_token_is_lost_or_counted_twice_at_the_border(
    brought, model, prompt, positive, negative
):
    demand_border(brought, model, prompt + positive, prompt + negative)


CLOSE = {
    "a word that goes on": ("The cat", "The cats"),
    "a space before": ("The cat", "The  cat"),
    "a space after": ("The cat", "The cat "),
    "the first letter": ("a cat", "b cat"),
    "one text is all of the other's beginning": ("Paris is", "Paris is the capital"),
    "bytes of one character": ("é", "è"),
    "characters that may be unknown": ("a 日 b", "a 本 b"),
    "case": ("The Cat", "the cat"),
    "an added token in the middle": ("a <|both|> b", "a <|both|> c"),
    "an end token in the text": ("a</s>b", "a</s>c"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("positive", "negative"), CLOSE.values(), ids=CLOSE)
def test_the_border_of_texts_that_differ_by_little(brought, model, positive, negative):
    demand_border(brought, model, positive, negative)
    demand_border(brought, model, negative, positive)


@pytest.mark.slow
def test_a_model_with_it_is_planned_trained_scored_and_asked(family, tmp_path):
    def make(folder: Path) -> Path:
        return bring(make_model(folder, vocab_size=VOCABULARY), family, chat_template=CHAT)

    seen = run(make, tmp_path)
    assert seen.parity < PARITY
    assert seen.answers == 2 * 65


@pytest.mark.slow
def test_the_border_of_the_shipped_pairs(brought, model):
    for pair in load_pack("starter")[::40]:
        demand_border(brought, model, pair.positive[:90], pair.negative[:90])
