"""One's own tables with the notes' numbers beside."""

import pytest

from orchestrator.analysis.published.against import against
from orchestrator.analysis.published.tables import published_tables
from orchestrator.analysis.tables.build import Material, tables
from orchestrator.analysis.tables.invariants import check
from orchestrator.analysis.tables.view import View
from tests.orchestrator.analysis.arms import an_arm

SCORES = [0.1, 0.2, 0.35, 0.15]


@pytest.fixture(scope="module")
def beside():
    evidence = [
        arm
        for behavior in ("toxicity", "tact")
        for arm in (
            an_arm("sft-only", SCORES, behavior=behavior),
            *(
                an_arm(scores=[s + w + i / 97 for i, s in enumerate(SCORES)], rho_weight=w, **more)
                for w in (0.1, 0.2, 0.3)
                for more in ({"behavior": behavior},)
            ),
        )
    ]
    found = against(tables(Material(evidence=evidence)), published_tables())
    check(found, evidence)
    return {v.name: v for v in found}


@pytest.mark.slow
def test_means_have_those_of_the_notes_where_the_arm_is_there(beside):
    rows = {r["arm"]: r for r in beside["ablation_means"].rows}
    assert rows["sft-only"]["notes_toxicity"] == pytest.approx(-0.003)
    assert rows["rho-guided w=0.2 m=0.1"]["notes_toxicity"] == pytest.approx(0.766)
    assert "notes_toxicity" not in rows["rho-guided w=0.3 m=0.1"]
    assert "notes_toxicity" in beside["ablation_means"].fields


def test_effects_have_d_and_p_as_printed_and_not_as_computed(beside):
    by = {(r["rho_weight_a"], r["behavior"]): r for r in beside["effects"].rows}
    assert by[0.2, "toxicity"]["notes_cohens_d"] == 10.82
    column = next(c for c in beside["effects"].columns if c.fields == ("notes_p",))
    assert column.text(by[0.2, "toxicity"]) == "<0.0001"
    assert column.text(by[0.2, "tact"]) == ""


def test_doses_have_means_and_sds_of_the_notes(beside):
    rows = {r["rho_weight"]: r for r in beside["dose_response"].rows}
    assert (rows[0.1]["notes_toxicity_mean"], rows[0.1]["notes_toxicity_sd"]) == (0.394, 0.121)
    assert (rows[0.0]["notes_toxicity_mean"], rows[0.0]["notes_toxicity_sd"]) == (-0.148, 0.066)
    assert rows[0.3].get("notes_toxicity_mean") is None


def test_a_note_counts_the_counterparts_and_names_the_model(beside):
    note = beside["dose_response"].notes[-1]
    assert note.startswith("Notes: 3 of 4 rows have a counterpart")
    assert "Qwen2.5-7B-Instruct" in note


def test_own_columns_stay_as_they_are(beside):
    for view in beside.values():
        if isinstance(view, View):
            names = [f for f in view.fields if f.startswith("notes_")]
            assert view.fields[len(view.fields) - len(names) :] == tuple(names)


@pytest.mark.slow
def test_the_notes_beside_themselves_are_the_same_numbers():
    published = published_tables()
    for view in against(published, published):
        if isinstance(view, View) and view.name in ("ablation_means", "dose_response"):
            for row in view.rows:
                noted = [f for f in view.fields if f.startswith("notes_")]
                assert noted
                assert [row[f] for f in noted] == [row[f.removeprefix("notes_")] for f in noted]
