"""Multiple-choice sets: forms of files, and shares against one text after the other."""

import json
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from tasks.contract.cell import ModelSpec, NodeError
from tasks.data.general import EncodedItems, Item, encode_items, items_digest, load_items
from tasks.data.limits import Limits
from tasks.model.model import Models
from tasks.passes.choose import passes
from tasks.scoring.choices import score_items, shares
from tasks.scoring.score import Passes

NO_LIMITS = Limits(vocabulary=None, positions=None)
ARC = {
    "id": "q1",
    "question": "What is cold?",
    "choices": {"text": ["ice", "fire", "a warm day in the sun"], "label": ["A", "B", "C"]},
    "answerKey": "A",
}
QUERY = {"query": "The sky is", "choices": ["blue", "made of stone", "blue"], "gold": 1}


def written(folder, *rows) -> str:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def base(toy):
    return Models().get(ModelSpec(name=str(toy)))


def answered(base, items, packed=True, max_length=256):
    encoded = encode_items(base.tokenizer, items, max_length, NO_LIMITS)
    with passes(base.model, base.path if packed else "plain: a test") as ready:
        return score_items(base.model, encoded, base.vocabulary, ready, Passes())[0]


def obvious(base, item: Item) -> tuple[list[float], list[float]]:
    """Log-probability of each choice after its context, one text after the other; by character."""
    sums = []
    context = base.tokenizer.encode(item.context)
    for choice in item.choices:
        ids = base.tokenizer.encode(f"{item.context} {choice}")
        assert ids[: len(context)] == context
        logits = np.asarray(base.model(mx.array([ids[:-1]]))[0].astype(mx.float32), np.float64)
        logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
        places = range(len(context) - 1, len(ids) - 1)
        sums.append(sum(logits[i, ids[i + 1]] for i in places))
    return sums, [s / len(c) for s, c in zip(sums, item.choices, strict=True)]


def random_items(n: int) -> list[Item]:
    rng = np.random.default_rng(3)
    words = ["one", "two", "three", "red", "blue", "green", "cold", "warm", "day", "night"]

    def some(most: int) -> str:
        return " ".join(rng.choice(words, rng.integers(1, most)))

    return [
        Item(
            id=f"i{k:02}",
            context=some(9),
            choices=tuple(some(9) for _ in range(rng.integers(2, 6))),
            right=0,
        )
        for k in range(n)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("packed", [True, False])
def test_shares_are_those_of_every_choice_scored_alone(base, packed):
    items = random_items(24)
    rows = answered(base, items, packed)
    assert [row.probe_id for row in rows] == [item.id for item in items]
    for item, row in zip(items, rows, strict=True):
        for values, found in zip(obvious(base, item), (row.right, row.right_norm), strict=True):
            best = [i for i, v in enumerate(values) if v > max(values) - 1e-4]
            assert found == pytest.approx((0 in best) / len(best)), item
        others = [s for i, s in enumerate(obvious(base, item)[0]) if i]
        margin = obvious(base, item)[0][0] - max(others)
        apart = row.logprob_positive_sum - row.logprob_negative_sum
        assert apart == pytest.approx(margin, abs=1e-3)
    found = shares(rows)
    assert 0 < found["choice_accuracy"] < 1
    assert found["choice_accuracy"] == pytest.approx(np.mean([r.right for r in rows]))
    assert found["choice_accuracy_norm"] != found["choice_accuracy"]
    assert found["n_choice_items"] == 24
    assert {(row.behavior, row.split) for row in rows} == {("capability", "choices")}


def test_choices_that_share_the_highest_score_count_in_parts(base):
    same = Item(id="a", context="The sky is", choices=("blue", "blue", "blue"), right=2)
    (row,) = answered(base, [same])
    assert (row.right, row.right_norm, row.gap) == (pytest.approx(1 / 3), pytest.approx(1 / 3), 0)


def test_items_that_are_too_long_are_left_out_and_counted_nowhere(base):
    items = [*random_items(3), Item(id="z", context="word " * 60, choices=("a", "b"), right=0)]
    rows = answered(base, items, max_length=40)
    assert [row.status for row in rows] == ["ok"] * 3 + ["too_long"]
    assert (rows[-1].right, shares(rows)["n_choice_items"]) == (None, 3)
    with pytest.raises(NodeError, match=r"none of its items fits into 8 tokens"):
        encode_items(base.tokenizer, items[-1:], 8, NO_LIMITS)
    with pytest.raises(NodeError, match=r"item i00: token id"):
        encode_items(base.tokenizer, items[:1], 40, Limits(vocabulary=1, positions=None))
    assert shares(()) == {}
    assert EncodedItems().kept == ()


def test_both_forms_are_read(tmp_path):
    one, two = load_items(written(tmp_path, ARC | {"more": 1}, QUERY), download=False)
    assert (one.id, one.context, one.right) == ("q1", "Question: What is cold?\nAnswer:", 0)
    assert one.texts[1] == "Question: What is cold?\nAnswer: fire"
    assert (two.id, two.choices, two.right) == ("2", ("blue", "made of stone", "blue"), 1)
    assert items_digest([one, two]) != items_digest([one, replace(two, right=0)])
    digits = {"text": ["a", "b"], "label": [1, 2]}
    (three,) = load_items(
        written(tmp_path, ARC | {"choices": digits, "answerKey": "2"}), download=False
    )
    assert three.right == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (ARC | {"answerKey": "D"}, "\"answerKey\" must be one of the labels A, B, C, got 'D'"),
        (ARC | {"question": " "}, "the question must be a non-empty text"),
        (ARC | {"choices": ["a", "b"]}, '"choices" must hold the lists "text" and "label"'),
        (
            ARC | {"choices": {"text": ["a", "b"], "label": ["A"]}},
            '"choices" must have a label of its own for every text',
        ),
        (
            ARC | {"choices": {"text": ["a", ""], "label": ["A", "B"]}},
            '"choices" must be two or more non-empty texts',
        ),
        (QUERY | {"choices": ["a"]}, '"choices" must be two or more non-empty texts'),
        (QUERY | {"gold": 3}, '"gold" must be the place of the right choice, from 0'),
        (QUERY | {"gold": True}, '"gold" must be the place of the right choice, from 0'),
        (QUERY | {"gold": "1"}, '"gold" must be the place of the right choice, from 0'),
        ({"text": "a"}, "expected question, choices and answerKey; or query, choices and gold"),
        (QUERY | {"id": "q1"}, "id 'q1' occurs before, at line 1"),
        (QUERY | {"id": [1]}, '"id" must be a text or a whole number, got [1]'),
        ([1], "expected a JSON object, got list"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, row, said):
    with pytest.raises(NodeError) as caught:
        load_items(written(tmp_path, ARC, row), download=False)
    assert f"set.jsonl:2: {said}" in str(caught.value)


def test_a_set_is_a_file_or_one_of_the_hub_at_a_commit(tmp_path, no_hub):
    with pytest.raises(NodeError, match=r"/nowhere\.jsonl: no such file"):
        load_items("/nowhere.jsonl", download=False)
    with pytest.raises(NodeError, match="main may mean another file tomorrow"):
        load_items("me/arc@main:test.jsonl", download=False)
    commit = "0123456789" * 4
    with pytest.raises(NodeError, match="is not on this machine yet"):
        load_items(f"me/arc@{commit}:data/test.jsonl", download=False)
    folder = no_hub / "datasets--me--arc" / "snapshots" / commit / "data"
    folder.mkdir(parents=True)
    written(folder, ARC)
    assert len(load_items(f"me/arc@{commit}:data/set.jsonl", download=False)) == 1
    with pytest.raises(NodeError, match="in part only"):
        load_items(f"me/arc@{commit}:data/test.jsonl", download=False)
