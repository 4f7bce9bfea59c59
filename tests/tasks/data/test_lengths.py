"""Lengths for estimates are those that a cell finds."""

import pytest

from tasks.contract.cell import ModelSpec
from tasks.data.lengths import of_pairs, of_records, of_texts
from tasks.data.probe_packs import load_pack
from tasks.data.sft import load_source
from tasks.data.tokens import encode_pairs, encode_records
from tasks.model.model import Models
from tasks.passes.trie import Term, grow
from tests.toys import make_model


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return Models().get(ModelSpec(name=str(make_model(tmp_path_factory.mktemp("m") / "m"))))


@pytest.mark.parametrize("max_length", [80, 256])
def test_pairs_are_as_long_as_their_trees(base, max_length):
    pairs = [p for p in load_pack("starter") if not p.degenerate]
    kept = encode_pairs(base.tokenizer, pairs, max_length).kept
    sizes = []
    for both in kept:
        prefixes = {t[:n] for t in (both.positive, both.negative) for n in range(1, len(t))}
        sizes.append(len(prefixes))
    found = of_pairs(base.files.folder, pairs, max_length)
    assert found.longest == max(sizes)
    assert found.mean == pytest.approx(sum(sizes) / len(sizes))
    largest = max(kept, key=lambda k: len(k.positive) + len(k.negative))
    tree = grow([Term(largest.positive, 0, 1.0), Term(largest.negative, 1, 1.0)])
    assert tree.size <= found.longest


def test_scored_texts_are_those_that_fit(base):
    pairs = load_pack("starter")
    kept = encode_pairs(base.tokenizer, pairs, 40).kept
    lengths = [len(t) for p in kept for t in (p.positive, p.negative)]
    assert of_texts(base.files.folder, pairs, 40).longest == pytest.approx(max(lengths), abs=1)


def test_records_are_cut(base):
    records = load_source("starter", download=False)[:30]
    exact, _ = encode_records(base.tokenizer, records, "plain", 512)
    found = of_records(base.files.folder, records, 512)
    assert found.mean == pytest.approx(sum(map(len, exact)) / 30, rel=0.02)
    assert of_records(base.files.folder, records, 16).longest == 16


def test_another_kind_of_tokenizer_means_the_longest(tmp_path):
    pairs, records = load_pack("starter"), load_source("starter", download=False)
    assert of_texts(tmp_path, pairs, 64).longest == 64
    assert of_pairs(tmp_path, pairs, 64).longest == 128
    assert of_records(tmp_path, records, 64).longest == 64
