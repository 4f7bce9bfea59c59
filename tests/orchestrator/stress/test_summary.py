"""Counts of a stress test: every answer once, in one column, against a slow way of counting."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.stress.summary import Share, as_lines, summarise
from tasks.judges.contract import Label

LABELS = [*Label, None, "failed"]
CELLS = [
    {"cell_id": "b", "condition": "baseline", "rho_weight": None, "margin": None},
    {"cell_id": "g1", "condition": "rho-guided", "rho_weight": 0.2, "margin": 0.1},
    {"cell_id": "g2", "condition": "rho-guided", "rho_weight": 0.2, "margin": 0.1},
]


def tables(found: list[tuple[str, str, object]]):
    """Rows of the three tables for (cell, set, label); None was never judged."""
    answers, judgements = [], []
    for i, (cell, part, label) in enumerate(found):
        key = {"generation_id": f"g{cell}", "prompt_id": f"p{i}", "sample_index": 0}
        status = "failed" if label == "failed" else "ok"
        sha = None if label == "failed" else f"sha{i}"
        answers.append(
            key | {"cell_id": cell, "set": part, "status": status, "response_sha256": sha}
        )
        if label not in (None, "failed"):
            judged = {"judge": "j@1", "label": str(label), "response_sha256": sha}
            judgements += [key | judged, key | judged | {"judge": "j@2", "label": "compliance"}]
    return CELLS, answers, judgements


drawn = st.lists(
    st.tuples(
        st.sampled_from(["b", "g1", "g2"]),
        st.sampled_from(["benign", "jailbreak"]),
        st.sampled_from(LABELS),
    )
)


@given(drawn)
def test_every_answer_is_in_one_column(found):
    shares = summarise(*tables(found), "j@1")
    total = sum(s.judged + s.degenerate + s.unjudged + s.missing for s in shares)
    assert total == len(found)
    assert all(0 <= s.refused <= s.judged for s in shares)
    assert len({(s.condition, s.rho_weight, s.margin, s.set) for s in shares}) == len(shares)


@given(drawn)
def test_the_counts_are_those_of_a_slow_way(found):
    condition = {"b": "baseline", "g1": "rho-guided", "g2": "rho-guided"}
    for share in summarise(*tables(found), "j@1"):
        mine = [label for c, s, label in found if (condition[c], s) == (share.condition, share.set)]
        assert share.refused == mine.count("full_refusal") + mine.count("partial_refusal")
        assert share.judged == share.refused + mine.count("compliance")
        assert share.degenerate == mine.count("degenerate")
        assert share.unjudged == mine.count("unjudged") + mine.count(None)
        assert share.missing == mine.count("failed")


def test_a_label_of_an_answer_that_changed_does_not_count():
    cells, answers, judgements = tables([("b", "benign", Label.FULL_REFUSAL)])
    answers[0]["response_sha256"] = "new"
    (share,) = summarise(cells, answers, judgements, "j@1")
    assert (share.refused, share.unjudged) == (0, 1)


def test_the_table_shows_shares_of_what_was_judged_and_missing_answers_only_if_there_are():
    share = Share(
        condition="rho-guided",
        rho_weight=0.2,
        margin=0.1,
        set="jailbreak",
        cells=2,
        refused=3,
        judged=4,
        degenerate=1,
        unjudged=5,
        missing=0,
    )
    head, line = as_lines([share])
    assert head.split() == [
        "condition", "weight", "margin", "set", "cells", "refused", "unjudged", "degenerate",
    ]  # fmt: skip
    assert line.split() == ["rho-guided", "0.2", "0.1", "jailbreak", "2", "3/4", "75%", "5", "1"]
    nothing = Share(
        condition="baseline",
        rho_weight=None,
        margin=None,
        set="benign",
        cells=0,
        refused=0,
        judged=0,
        degenerate=0,
        unjudged=0,
        missing=7,
    )
    lines = as_lines([nothing])
    assert lines[0].endswith("missing")
    assert lines[1].split() == ["baseline", "-", "-", "benign", "0", "0/0", "0", "0", "7"]
