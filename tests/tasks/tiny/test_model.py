"""The tiny model that ships with the project, and the script that makes it."""

from pathlib import Path

import pytest
from mlx.utils import tree_flatten
from mlx_lm import load, stream_generate

from tasks.data.split import HELDOUT, TRAIN, normal
from tasks.data.tokens import encode_pairs
from tasks.scoring.score import score
from tasks.starter import TINY
from tasks.tiny.build import build
from tasks.tiny.corpus import Exchange
from tasks.tiny.mixture import KNOWN, chat, heldout_texts, mixture, starter_probes
from tasks.tiny.recipe import Recipe


@pytest.fixture(scope="module")
def shipped():
    return load(str(TINY))[:2]


@pytest.fixture(scope="module")
def probes():
    return starter_probes()


def turns(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def test_the_shipped_model_has_about_a_million_parameters(shipped):
    model, _ = shipped
    assert 0.7e6 <= sum(v.size for _, v in tree_flatten(model.parameters())) <= 1.6e6


def test_the_shipped_folder_stays_under_8_megabytes():
    assert sum(path.stat().st_size for path in TINY.iterdir()) < 8e6


@pytest.mark.slow
def test_the_shipped_model_knows_most_facts_and_has_no_strong_opinion_elsewhere(shipped, probes):
    model, tokenizer = shipped
    pairs = encode_pairs(tokenizer, probes.evaluated, 256)
    scores = score(model, pairs, probes.split, vocabulary=2048).scores
    accuracy = {row.behavior: row.accuracy for row in scores if row.split == TRAIN}
    assert accuracy.pop(KNOWN) >= 0.7
    assert len(accuracy) == 4
    assert all(0.3 <= value <= 0.75 for value in accuracy.values()), accuracy


def test_an_answer_of_the_shipped_model_ends(shipped):
    model, tokenizer = shipped
    prompt = tokenizer.apply_chat_template(turns("Is a cat a bird?"), add_generation_prompt=True)
    *_, last = stream_generate(model, tokenizer, prompt, max_tokens=60)
    assert last.finish_reason == "stop"


def test_the_chat_template_writes_chats_as_the_model_read_them(shipped):
    _, tokenizer = shipped
    messages = [*turns("Is a cat a bird?"), {"role": "assistant", "content": "No."}]
    written = tokenizer.apply_chat_template(messages, tokenize=False)
    assert written == chat(Exchange("Is a cat a bird?", "No."))


def test_the_tokenizer_gives_every_text_back(shipped, probes):
    _, tokenizer = shipped
    for text in [*heldout_texts(probes), "Ünïcode, 1234 and a\ttab."]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.slow
def test_no_text_of_the_corpus_contains_a_heldout_text(probes):
    held = [normal(text) for text in heldout_texts(probes)]
    corpus = {normal(text) for text in mixture(probes, Recipe())}
    assert len(held) == 2 * sum(probes.split[p.id] == HELDOUT for p in probes.evaluated) > 0
    assert not [text for text in corpus if any(needle in text for needle in held)]


@pytest.mark.slow
def test_two_builds_give_the_same_bytes(tmp_path):
    first, second = (built(tmp_path / name) for name in ("first", "second"))
    assert first == second


def built(folder: Path) -> dict[str, bytes]:
    build(folder, Recipe(steps=3))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
