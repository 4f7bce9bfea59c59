"""The records that cross the border: whole after a trip, documented, standard library only."""

import dataclasses
import hashlib
import inspect
import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract import cell as contract
from tasks.contract.cell import (
    Adapter,
    CellSpec,
    Condition,
    DataSpec,
    HingeSpec,
    ModelSpec,
    ProbeSpec,
    TrainSpec,
    digest_of,
)
from tests.builders import a_failure, a_result, a_spec, shuffled

texts = st.text(max_size=6)
numbers = st.floats(0, 1e6)
names = st.lists(texts, max_size=3).map(tuple)
counts = st.integers(0, 2**63)
specs = st.builds(
    CellSpec,
    condition=st.sampled_from(Condition),
    model=st.builds(ModelSpec, name=texts, revision=st.none() | texts, digest=st.none() | texts),
    probes=st.builds(
        ProbeSpec, pack=texts, train=names, evaluate=names, heldout=numbers, digest=texts
    ),
    max_length=counts,
    train=st.none()
    | st.builds(TrainSpec, lora_keys=names, learning_rate=numbers, lora_rank=counts),
    data=st.none()
    | st.builds(
        DataSpec,
        sft=texts,
        size=st.none() | counts,
        trap_fraction=numbers,
        refusal_fraction=numbers,
        template=st.none() | texts,
        revision=st.none() | texts,
        digest=texts,
    ),
    sft_records=st.none() | counts,
    hinge=st.none()
    | st.builds(
        HingeSpec,
        rho_weight=numbers,
        margin=numbers,
        pairs_per_step=counts,
        behaviors=names,
        pool_digest=texts,
    ),
    seed=st.none() | counts,
)
RECORDS = [
    value
    for _, value in inspect.getmembers(contract, inspect.isclass)
    if dataclasses.is_dataclass(value) and value.__module__ == contract.__name__
]
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)  # fmt: skip


@given(specs)
def test_a_spec_survives_a_trip_through_json(spec):
    again = CellSpec.from_dict(json.loads(json.dumps(dataclasses.asdict(spec))))
    assert again == spec
    assert (again.cell_id, again.arm_id, again.label) == (spec.cell_id, spec.arm_id, spec.label)


@pytest.mark.parametrize("record", [a_result(a_spec()), a_failure(a_spec()), a_spec("baseline")])
def test_whatever_crosses_the_border_can_be_pickled(record):
    assert pickle.loads(pickle.dumps(record)) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_every_field_of_a_record_is_documented(record):
    doc = inspect.getdoc(record) or ""
    section = doc.partition("Attributes:")[2]
    described = {
        name.strip()
        for names in re.findall(r"^ {4}([\w, ]+):", section, flags=re.MULTILINE)
        for name in names.split(",")
    }
    assert {f.name for f in dataclasses.fields(record)} == described


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_every_record_is_frozen(record):
    assert record.__dataclass_params__.frozen
    assert "__slots__" in vars(record)


def test_there_are_records_to_check():
    assert {CellSpec, HingeSpec, TrainSpec} <= set(RECORDS)
    assert len(RECORDS) >= 12


# identity


def test_ids_are_the_same_tomorrow():
    """A changed id orphans every result there is; raise RECIPE_VERSION if outcomes changed too."""
    found = {
        c: a_spec(c).cell_id for c in ("rho-guided", "sft-only", "contrastive-only", "baseline")
    }
    assert found == {
        "rho-guided": "d76108e0c98c2e13",
        "sft-only": "d7c6935a8b729450",
        "contrastive-only": "fcaeab53a8f20134",
        "baseline": "b3fe0c7d11f0ce7a",
    }
    assert a_spec(seed=1).arm_id == a_spec(seed=2).arm_id == "3622d4b94bab452a"


@given(specs)
def test_an_arm_is_a_cell_without_its_seed(spec):
    other = dataclasses.replace(spec, seed=(spec.seed or 0) + 1)
    assert other.arm_id == spec.arm_id
    assert other.cell_id != spec.cell_id
    assert spec.arm_id != spec.cell_id


def test_places_and_names_are_no_part_of_an_identity():
    spec = a_spec()
    moved = dataclasses.replace(
        spec,
        model=dataclasses.replace(spec.model, name="/elsewhere", revision="abc"),
        probes=dataclasses.replace(spec.probes, pack="/a/copy.jsonl", heldout=0.2501),
        data=dataclasses.replace(spec.data, sft="/a/copy.jsonl", size=None, trap_fraction=0.01),
    )
    assert moved.cell_id == spec.cell_id


def test_a_model_without_content_is_known_by_where_it_is_to_come_from():
    found = {ModelSpec(name=n, revision=r).identity for n in "ab" for r in (None, "1")}
    assert len(found) == 4
    assert ModelSpec(name="a", digest="x").identity == ModelSpec(name="b", digest="x").identity


@given(st.dictionaries(st.text(max_size=3), plain), st.integers(0, 2**32))
def test_a_digest_does_not_depend_on_key_order(value, seed):
    assert digest_of(dict(shuffled(list(value.items()), seed))) == digest_of(value)
    assert len(digest_of(value)) == 64


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, -float("inf")]])
def test_what_is_not_finite_has_no_digest(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of(value)


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        (a_spec(seed=42), "rho-guided w=0.2 m=0.1 seed=42"),
        (a_spec("sft-only", seed=7), "sft-only seed=7"),
        (a_spec("baseline"), "baseline"),
        (a_spec("contrastive-only", rho_weight=1.0, margin=0.0), "contrastive-only w=1 m=0 seed=1"),
    ],
)
def test_a_label_is_short_and_tells_cells_of_a_grid_apart(spec, label):
    assert spec.label == label


# conditions


@pytest.mark.parametrize(
    ("condition", "trains", "sft", "hinge"),
    [
        ("baseline", False, False, False),
        ("sft-only", True, True, False),
        ("rho-guided", True, True, True),
        ("contrastive-only", True, False, True),
        ("shuffled-pairs", True, True, True),
        ("inverted-pairs", True, True, True),
        ("dpo", True, True, True),
        ("simpo", True, True, True),
        ("unlikelihood", True, True, True),
    ],
)
def test_conditions_are_those_of_the_table(condition, trains, sft, hinge):
    found = Condition(condition)
    assert (found.trains, found.has_sft, found.has_pairs) == (trains, sft, hinge)


def test_a_condition_is_its_name_in_pickles_and_in_json():
    for condition in Condition:
        assert pickle.loads(pickle.dumps(condition)) is condition is Condition(str(condition))
        assert str(condition).encode() in pickle.dumps(condition)
    assert json.dumps(list(Condition)[:2]) == '["baseline", "sft-only"]'


def test_weight_0_leaves_sft_alone_and_no_weight_changes_nothing():
    for condition in Condition:
        assert condition.at_weight(0.2) is condition.at_weight(None) is condition
        expected = Condition.SFT_ONLY if condition.has_sft else condition
        assert condition.at_weight(0.0) is expected


def test_an_adapter_is_known_by_its_bytes():
    found = Adapter(weights=b"abc", config={"a": 1})
    assert found.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert found.sha256 == Adapter(weights=b"abc", config={}).sha256
