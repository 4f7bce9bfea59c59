"""Lengths for estimates are those that a cell finds."""

import pytest
from tokenizers import Tokenizer

from tasks.contract.cell import ModelSpec
from tasks.data.lengths import of_pairs, of_rows, of_texts
from tasks.data.probe_packs import load_pack
from tasks.data.rendering import load_tokenizer, prompt_ids
from tasks.data.sft import load_source
from tasks.data.tokens import encode_pairs, render
from tasks.model.model import Models
from tasks.passes.trie import Term, grow
from tests.toys import make_model


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return Models().get(ModelSpec(name=str(make_model(tmp_path_factory.mktemp("m") / "m"))))


@pytest.mark.slow
@pytest.mark.parametrize("max_length", [80, 256])
def test_pairs_are_as_long_as_their_trees(base, max_length):
    pairs = [p for p in load_pack("starter") if not p.degenerate]
    kept = encode_pairs(base.tokenizer, pairs, max_length).kept
    sizes = []
    for both in kept:
        prefixes = {t[:n] for t in (both.positive, both.negative) for n in range(1, len(t))}
        sizes.append(len(prefixes))
    found = of_pairs(encode_pairs(load_tokenizer(base.files.folder), pairs, max_length), max_length)
    assert found.longest == max(sizes)
    assert found.mean == pytest.approx(sum(sizes) / len(sizes))
    largest = max(kept, key=lambda k: len(k.positive) + len(k.negative))
    tree = grow([Term(largest.positive, 0, 1.0), Term(largest.negative, 1, 1.0)])
    assert tree.size <= found.longest


def test_scored_texts_are_those_that_fit(base):
    pairs = load_pack("starter")
    kept = encode_pairs(base.tokenizer, pairs, 40).kept
    lengths = [len(t) for p in kept for t in (p.positive, p.negative)]
    found = of_texts(encode_pairs(load_tokenizer(base.files.folder), pairs, 40), 40)
    assert found.longest == max(lengths)


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_records_are_counted_through_their_template_and_cut(base, template):
    records = load_source("starter", download=False)[:30]
    exact = [row[:512] for row in render(base.tokenizer, records, template)]
    found = of_rows(render(load_tokenizer(base.files.folder), records, template), 512)
    assert found.mean == pytest.approx(sum(map(len, exact)) / 30)
    assert of_rows(exact, 16).longest == 16


@pytest.mark.slow
@pytest.mark.parametrize("baked", ["truncation", "padding"])
def test_what_is_baked_into_a_tokenizer_file_changes_no_length(base, tmp_path, baked):
    folder = make_model(tmp_path / "m")
    path = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(8) if baked == "truncation" else tokenizer.enable_padding(
        length=400
    )
    tokenizer.save(str(path))
    pairs, records = load_pack("starter"), load_source("starter", download=False)[:30]
    cell = Models().get(ModelSpec(name=str(folder))).tokenizer
    for found in (load_tokenizer(folder), cell):
        assert encode_pairs(found, pairs, 256) == encode_pairs(base.tokenizer, pairs, 256)
        assert render(found, records, "chat") == render(base.tokenizer, records, "chat")
        assert prompt_ids(found, "Hello") == prompt_ids(base.tokenizer, "Hello")


def test_texts_that_are_not_here_are_taken_for_the_longest():
    assert of_texts(None, 64).longest == 64
    assert of_pairs(None, 64).longest == 128
    assert of_rows(None, 64).longest == 64
