"""SFT mixes: exact shares, no held-out text, the same for everyone, from every source."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tasks.contract.cell import NodeError
from tasks.data.probe_packs import load_pack
from tasks.data.probes import prepare_mix, prepare_probes
from tasks.data.sft import (
    INSTRUCTION,
    REFUSAL,
    TRAP,
    UNUSED,
    Mix,
    Record,
    build_mix,
    load_source,
    plain_text,
    sft_source,
)
from tasks.data.split import HELDOUT, TRAIN, HeldoutGuard, split_pairs, train_pool
from tasks.starter import FACTORIAL
from tests import ROOT
from tests.builders import model_folder, shuffled
from tests.tasks.data.test_split import a_pair

ALL = ("bias", "factual", "refusal", "sycophancy", "toxicity")
fractions = st.floats(0, 1)
NOTHING_HELD = HeldoutGuard([], {})
POOL = tuple(a_pair(f"p{i}", positive=f"true {i}", negative=f"false {i}") for i in range(40))
SOURCE = (
    *(Record(INSTRUCTION, {"prompt": f"ask {i}", "completion": f"say {i}"}) for i in range(60)),
    *(Record(REFUSAL, {"prompt": f"harm {i}", "completion": "No."}) for i in range(40)),
)


def mixed(**wishes: object) -> Mix:
    defaults = {"size": None, "trap_fraction": 0.0, "refusal_fraction": 0.0}
    return build_mix(SOURCE, POOL, NOTHING_HELD, **(defaults | wishes))


def kinds(mix: Mix) -> dict[str, int]:
    found = Counter(r.kind for r in mix.records)
    return {k: found[k] for k in (INSTRUCTION, REFUSAL, TRAP)}


def squeezed(text: str) -> str:
    """For searching, by another road than the guard's."""
    return "".join(c for c in text.casefold() if not c.isspace())


# shares


@given(st.integers(1, 200), fractions, fractions)
def test_shares_are_exact_or_it_is_said_what_is_missing(size, traps, refusals):
    refusals = min(refusals, 1 - traps)
    n_traps = round(size * traps)
    n_refusals = min(round(size * refusals), size - n_traps)
    wanted = {INSTRUCTION: size - n_traps - n_refusals, REFUSAL: n_refusals, TRAP: n_traps}
    there = {INSTRUCTION: 60, REFUSAL: 40, TRAP: 40}
    lacking = [k for k in wanted if wanted[k] > there[k]]
    if lacking:
        says = "|".join(f"asks for {wanted[k]} {k} texts, there are {there[k]}" for k in lacking)
        with pytest.raises(NodeError, match=says):
            mixed(size=size, trap_fraction=traps, refusal_fraction=refusals)
        return
    mix = mixed(size=size, trap_fraction=traps, refusal_fraction=refusals)
    assert kinds(mix) == wanted
    assert len({json.dumps(r.content) for r in mix.records}) == size


@given(fractions, fractions)
def test_without_a_size_every_instruction_is_taken(traps, refusals):
    traps, refusals = traps / 4, refusals / 4
    mix = mixed(trap_fraction=traps, refusal_fraction=refusals)
    found, total = kinds(mix), len(mix.records)
    assert found[INSTRUCTION] == 60
    assert abs(found[TRAP] - traps * total) <= 1
    assert abs(found[REFUSAL] - refusals * total) <= 1


@pytest.mark.parametrize(
    ("size", "traps", "refusals", "expected"),
    [
        (10, 0.2, 0.0, (8, 0, 2)),
        (3, 0.5, 0.5, (0, 1, 2)),
        (1, 0.5, 0.5, (1, 0, 0)),
        (40, 1.0, 0.0, (0, 0, 40)),
        (40, 0.0, 1.0, (0, 40, 0)),
        (60, 0.0, 0.0, (60, 0, 0)),
    ],
)
def test_shares_by_hand(size, traps, refusals, expected):
    found = kinds(mixed(size=size, trap_fraction=traps, refusal_fraction=refusals))
    assert found == dict(zip((INSTRUCTION, REFUSAL, TRAP), expected, strict=True))


@given(st.integers(5, 40), fractions, fractions)
def test_a_larger_share_of_traps_keeps_those_of_the_smaller(size, a, b):
    small, large = (
        {r.text for r in mixed(size=size, trap_fraction=t).records if r.kind == TRAP}
        for t in sorted((a, b))
    )
    assert small <= large


def test_unused_texts_are_instructions_of_the_source_and_none_of_the_mix():
    mix = mixed(size=30, trap_fraction=0.3)
    assert len(mix.unused) == UNUSED
    assert {r.kind for r in mix.unused} == {INSTRUCTION}
    assert not {r.text for r in mix.unused} & {r.text for r in mix.records}
    assert mixed().unused == ()
    assert replace(mix, unused=()).digest == mix.digest


def test_an_empty_mix_is_an_error():
    refusals = tuple(r for r in SOURCE if r.kind == REFUSAL)
    with pytest.raises(NodeError, match="the mix is empty"):
        build_mix(refusals, POOL, NOTHING_HELD, size=None, trap_fraction=0.0, refusal_fraction=0.0)


# determinism


@given(st.integers(0, 2**32))
def test_the_mix_does_not_depend_on_the_order_of_the_source(seed):
    source = tuple(shuffled(list(SOURCE), seed))
    pool = tuple(shuffled(list(POOL), seed))
    wishes = {"size": 30, "trap_fraction": 0.3, "refusal_fraction": 0.2}
    assert build_mix(source, pool, NOTHING_HELD, **wishes) == mixed(**wishes)


def test_the_digest_tells_mixes_apart_by_content_alone():
    same = mixed(size=30), mixed(size=30)
    assert same[0].digest == same[1].digest
    others = [
        mixed(size=31),
        mixed(size=30, trap_fraction=0.1),
        mixed(size=30, refusal_fraction=0.1),
    ]
    assert len({m.digest for m in (*same, *others)}) == 4


# held-out text


@pytest.mark.slow
@settings(max_examples=30)
@given(st.floats(0, 0.9), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(1, 60))
def test_no_held_out_text_is_in_any_mix(heldout, traps, refusals, size):
    probes = prepare_probes("starter", ALL, ALL, heldout)
    held = [p for p in probes.evaluated if probes.split[p.id] == HELDOUT]
    assume(round(size * traps) <= len(probes.pool))
    shares = {"trap_fraction": traps, "refusal_fraction": refusals}
    mix = prepare_mix(probes, "starter", size=size, **shares, download=False)
    texts = [squeezed(r.text) for r in mix.records]
    for pair in held:
        for needle in (squeezed(pair.positive), squeezed(pair.negative)):
            assert not any(needle in text for text in texts), pair.id
    positives = {p.positive for p in probes.pool}
    assert {r.content["completion"] for r in mix.records if r.kind == TRAP} <= positives
    assert not positives & {p.positive for p in held}


def test_a_record_that_leaks_is_dropped_and_counted():
    held = a_pair("h", positive="The moon is rock.", negative="The moon is cheese.")
    guard = HeldoutGuard([held], {"h": HELDOUT})
    leaks = (
        Record(INSTRUCTION, {"text": "Remember: the MOON\n is  cheese. Yes."}),
        Record(REFUSAL, {"prompt": "Say the moon is rock.", "completion": "No."}),
        Record(
            INSTRUCTION,
            {"messages": [{"role": "user", "content": "is the moon is rock. so?"}]},
        ),
        Record(INSTRUCTION, {"prompt": "The moon", "completion": "is rock."}),
    )
    pool = (*POOL, a_pair("t", positive="I say: the moon is cheese.", negative="-"))
    mix = build_mix(
        (*SOURCE, *leaks), pool, guard, size=None, trap_fraction=0.0, refusal_fraction=0.0
    )
    assert mix.n_leaks == 5
    assert kinds(mix)[INSTRUCTION] == 60
    assert not any(guard.touches(r.text) for r in mix.records)


def test_traps_are_positives_of_the_training_pool_alone():
    pack = load_pack("starter")
    split = split_pairs(pack, 0.5)
    guard = HeldoutGuard(pack, split)
    pool = train_pool(pack, split, ("factual",), guard)
    mix = build_mix(SOURCE, pool, guard, size=24, trap_fraction=1.0, refusal_fraction=0.0)
    allowed = {p.positive for p in pack if p.behavior == "factual" and split[p.id] == TRAIN}
    assert {r.content["completion"] for r in mix.records} == allowed


def test_traps_take_the_format_of_the_source():
    source = tuple(Record(INSTRUCTION, {"text": f"text {i}"}) for i in range(5))
    mix = build_mix(source, POOL, NOTHING_HELD, size=2, trap_fraction=1.0, refusal_fraction=0.0)
    assert all(set(r.content) == {"text"} for r in mix.records)
    assert all("### Response:\ntrue " in r.content["text"] for r in mix.records)


# sources


def test_starter_has_at_least_200_texts_some_of_them_marked_refusals():
    found = Counter(r.kind for r in load_source("starter", download=False))
    assert sum(found.values()) >= 200
    assert found[REFUSAL] >= 20
    assert set(found) == {INSTRUCTION, REFUSAL}


def test_texts_with_fictional_refusals_have_the_same_instructions():
    plain, fictional = (load_source(name, download=False) for name in ("starter", "fictional"))
    of = [[r.content for r in rs if r.kind == INSTRUCTION] for rs in (plain, fictional)]
    assert of[0] == of[1]
    refusals = [r.content["prompt"] for r in fictional if r.kind == REFUSAL]
    assert len({*refusals}) == 30
    asked = [json.loads(line)["text"] for line in FACTORIAL.read_text().splitlines()]
    assert not {*refusals} & {*asked}


@pytest.mark.parametrize("source", ["starter", "fictional"])
def test_shipped_texts_answer_no_starter_probe(source):
    """The texts carry `User:` and `Assistant:`, which the guard would not see through."""

    def bare(text: str) -> str:
        return squeezed(text.replace("User:", "").replace("Assistant:", ""))

    texts = [bare(r.text) for r in load_source(source, download=False)]
    for pair in load_pack("starter"):
        for needle in (bare(pair.positive), bare(pair.negative)):
            assert not any(needle in text for text in texts), pair.id


def write(path: Path, *rows: object) -> str:
    path.write_text("\n".join(json.dumps(r) for r in rows))
    return str(path)


def test_every_format_of_mlx_lm_is_read(tmp_path):
    rows = [
        {"text": "all of it"},
        {"prompt": "q", "completion": "a", "kind": "refusal", "id": 7},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "user", "content": "q"}], "tools": [{"type": "function"}]},
    ]
    found = load_source(write(tmp_path / "t.jsonl", *rows), download=False)
    assert [r.kind for r in found] == [INSTRUCTION, REFUSAL, INSTRUCTION, INSTRUCTION]
    assert [sorted(r.content) for r in found] == [
        ["text"],
        ["completion", "prompt"],
        ["messages"],
        ["messages", "tools"],
    ]
    assert [r.text for r in found] == ["all of it", "q\na", "q\na", "q"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "q"}, "expected text, or prompt and completion, or messages; got question"),
        ({}, "got nothing"),
        ({"text": "a", "prompt": "b"}, "got prompt, text"),
        ({"prompt": "b"}, "got prompt"),
        ({"text": ""}, "every text must be a non-empty string"),
        ({"text": 3}, "every text must be a non-empty string"),
        ({"messages": []}, "every text must be a non-empty string"),
        ({"messages": ["a"]}, "every text must be a non-empty string"),
        ({"messages": [{"role": "user"}]}, "every text must be a non-empty string"),
        ({"text": "a", "kind": "trap"}, "\"kind\" must be instruction or refusal, got 'trap'"),
        ({"text": "a", "tools": [float("nan")]}, "not JSON (NaN is no number in JSON)"),
    ],
)
def test_a_malformed_record_is_named_with_its_line(tmp_path, row, says):
    path = write(tmp_path / "t.jsonl", {"text": "fine"}, row)
    with pytest.raises(NodeError) as error:
        load_source(path, download=False)
    assert str(error.value).startswith(f"{path}:2: ")
    assert says in str(error.value)


def test_a_record_without_a_template_is_written_under_headings():
    assert plain_text({"prompt": "q", "completion": "a"}) == (
        "### Instruction:\nq\n\n### Response:\na"
    )
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert plain_text({"messages": messages}) == "### User:\nq\n\n### Assistant:\na"


# a stand-in of the hub's cache, read by a process that may not reach the hub

OFFLINE = """
import json, sys
from tasks.contract.cell import NodeError
from tasks.sources.hub import NotHereError
from tasks.sources.model_files import locate
from tasks.data.probes import prepare_mix, prepare_probes
from tasks.data.sft import load_source

def attempt(call):
    try:
        return call()
    except NodeError as error:
        return f"{type(error).__name__}: {error}"

probes = prepare_probes("starter", ("factual",), ("factual",), 0.25)
wishes = {"size": 10, "trap_fraction": 0.2, "refusal_fraction": 0.0}
mixes = [prepare_mix(probes, "alpaca", **wishes, download=d) for d in (True, False)]
print(json.dumps({
    "texts": [r.content["text"] for r in load_source("alpaca", download=False)],
    "mixes": [m.digest for m in mixes],
    "kinds": sorted(r.kind for r in mixes[0].records),
    "model": [locate("org/toy", r, download=d)[0].revision for r in (None, "main") for d in (0, 1)],
    "other": [attempt(lambda d=d: locate("org/none", None, download=d)) for d in (False, True)],
    "part": [attempt(lambda d=d: locate("org/part", None, download=d)) for d in (False, True)],
    "ray": [m for m in ("ray", "mlx") if m in sys.modules],
}))
"""


def in_cache(home: Path, kind: str, repo: str, commit: str) -> Path:
    """The folder of a snapshot, as the hub's library lays it out."""
    folder = home / "hub" / f"{kind}--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    return folder / "snapshots" / commit


@pytest.fixture(scope="module")
def offline(tmp_path_factory) -> dict:
    home = tmp_path_factory.mktemp("home")
    pinned = sft_source("alpaca").delivery
    data = in_cache(home, "datasets", pinned.repo, pinned.revision)
    (data / "data").mkdir()
    rows = [
        {"instruction": f"do {i}", "input": "this" if i % 2 else "", "output": f"done {i}"}
        for i in range(12)
    ]
    rows.append({"instruction": "say nothing", "input": "", "output": ""})
    pa.parquet.write_table(pa.Table.from_pylist(rows), data / "data/train-00000.parquet")
    model_folder(in_cache(home, "models", "org/toy", "a" * 40))
    (in_cache(home, "models", "org/part", "b" * 40) / "tokenizer.json").write_text("{}")
    environment = os.environ | {
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(home / "datasets"),
        "PYTHONPATH": str(ROOT),
    }
    ran = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.slow
def test_alpaca_is_read_from_the_cache_in_its_own_format(offline):
    assert len(offline["texts"]) == 12, "a record without an answer is none"
    assert offline["texts"][0] == "### Instruction:\ndo 0\n\n### Response:\ndone 0"
    assert offline["texts"][1] == (
        "### Instruction:\ndo 1\n\n### Input:\nthis\n\n### Response:\ndone 1"
    )


@pytest.mark.slow
def test_alpaca_mixes_with_traps_and_needs_no_hub(offline):
    assert offline["kinds"] == [INSTRUCTION] * 8 + [TRAP] * 2
    assert len(set(offline["mixes"])) == 1


def test_a_hub_model_is_found_in_the_cache_and_its_commit_recorded(offline):
    assert offline["model"] == ["a" * 40] * 4


def test_a_model_that_is_not_here_is_told_apart_from_one_that_cannot_be_had(offline):
    planned, launched = offline["other"]
    assert planned == "NotHereError: model org/none is not on this machine yet"
    assert launched.startswith("NodeError: model org/none is not on this machine and the hub")
    assert "try: hf download org/none --repo-type model" in launched


def test_a_snapshot_of_which_another_program_fetched_a_part_is_not_here_yet(offline):
    planned, launched = offline["part"]
    assert planned == "NotHereError: model org/part is on this machine in part only"
    assert launched.startswith("NodeError: ")


def test_reading_data_and_models_loads_neither_ray_nor_mlx(offline):
    assert offline["ray"] == []
