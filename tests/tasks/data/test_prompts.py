"""Prompt sets: what ships is balanced and whole, what people bring is read or clearly refused."""

import csv
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract.cell import NodeError
from tasks.contract.prompts import Intent, Part, Prompt, PromptSet
from tasks.data.prompt_files import LAYOUTS
from tasks.data.prompts import BUILT_IN, FIELDS, load_prompts
from tests import ROOT
from tests.tasks.data.test_sft import in_cache

JAILBREAKS = {
    "role_override": 3,
    "fictional": 3,
    "escalation": 2,
    "hypothetical": 3,
    "authority": 2,
    "obfuscation": 2,
    "emotional": 2,
    "roleplay": 2,
    "override": 2,
    "sycophancy": 2,
    "multi_step": 2,
}
FRAMES = ("plain", "fictional", "roleplay", "hypothetical")


def row(**changes: object) -> dict[str, object]:
    return {"id": "1", "text": "Hello?", "intent": "benign", "category": "c"} | changes


def jsonl(path: Path, *rows: object) -> str:
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return str(path)


def table(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


# what ships


@pytest.fixture(scope="module")
def starter() -> PromptSet:
    return load_prompts("starter")


@pytest.fixture(scope="module")
def factorial() -> PromptSet:
    return load_prompts("factorial")


def test_starter_has_the_promised_jailbreaks_of_each_category(starter):
    jailbreaks = [p for p in starter.prompts if p.set == Part.JAILBREAK]
    assert Counter(p.category for p in jailbreaks) == JAILBREAKS
    assert {p.intent for p in jailbreaks} == {Intent.HARMFUL}
    assert sum(JAILBREAKS.values()) == 25


def test_starter_has_fifteen_benign_controls(starter):
    controls = [p for p in starter.prompts if p.set == Part.BENIGN]
    assert len(controls) == 15
    assert {(p.intent, p.frame, p.pair) for p in controls} == {(Intent.BENIGN, None, None)}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_jailbreak_has_one_benign_twin_in_its_frame_and_category(name):
    prompts = load_prompts(name).prompts
    by_id = {p.id: p for p in prompts}
    matched = [p for p in prompts if p.set == Part.MATCHED]
    assert sorted(p.pair for p in matched) == sorted(
        p.id for p in prompts if p.set == Part.JAILBREAK
    )
    for prompt in matched:
        twin = by_id[prompt.pair]
        assert (prompt.frame, prompt.category) == (twin.frame, twin.category)
        assert (prompt.intent, twin.intent) == (Intent.BENIGN, Intent.HARMFUL)


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_text_ships_twice_and_every_line_says_all_fields(name):
    prompts = load_prompts(name).prompts
    assert [t for t, n in Counter(p.text.casefold() for p in prompts).items() if n > 1] == []
    lines = [json.loads(line) for line in BUILT_IN[name].read_text().splitlines()]
    assert {tuple(line) for line in lines} == {FIELDS}


def test_the_two_shipped_sets_share_no_text(starter, factorial):
    assert not {p.text for p in starter.prompts} & {p.text for p in factorial.prompts}


def test_the_factorial_crosses_intent_and_frame_over_the_same_requests(factorial):
    cells = Counter((p.intent, p.frame) for p in factorial.prompts)
    assert set(cells) == {(i, f) for i in Intent for f in FRAMES}
    assert len(set(cells.values())) == 1
    assert min(cells.values()) >= 8
    requests = {
        cell: {p.category for p in factorial.prompts if (p.intent, p.frame) == cell}
        for cell in cells
    }
    assert len(set(map(frozenset, requests.values()))) == 1
    assert {p.id for p in factorial.prompts} == {
        f"{p.category}-{p.intent}-{p.frame}" for p in factorial.prompts
    }


def test_twins_of_the_factorial_differ_in_the_request_only(factorial):
    by_id = {p.id: p for p in factorial.prompts}
    for prompt in factorial.prompts:
        if prompt.pair:
            a, b = prompt.text.split(), by_id[prompt.pair].text.split()
            assert a[:3] == b[:3]
            assert abs(len(a) - len(b)) <= 4


# files in the project's own format

filled = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20).filter(
    lambda t: bool(t.strip())
)
prompts = st.builds(
    Prompt,
    id=filled,
    text=filled,
    intent=st.sampled_from(Intent),
    category=filled,
    frame=st.none() | filled,
    pair=st.none(),
    set=st.sampled_from(Part),
)


@given(st.lists(prompts, min_size=1, max_size=5, unique_by=lambda p: p.id))
def test_what_is_written_line_by_line_is_read_back(tmp_path_factory, written):
    path = tmp_path_factory.getbasetemp() / "mine.jsonl"
    name = jsonl(path, *(dataclasses.asdict(p) for p in written))
    assert load_prompts(name) == PromptSet(name="mine", prompts=tuple(written))


def test_the_part_of_a_prompt_follows_from_intent_and_pair(tmp_path):
    name = jsonl(
        tmp_path / "p.jsonl",
        row(intent="harmful"),
        row(id="2", pair="1"),
        row(id="3"),
        row(id="4", set="matched"),
    )
    parts = [p.set for p in load_prompts(name).prompts]
    assert parts == [Part.JAILBREAK, Part.MATCHED, Part.BENIGN, Part.MATCHED]


def test_the_digest_is_of_the_content_whatever_the_file_is_called(tmp_path):
    a, b = (load_prompts(jsonl(tmp_path / name, row())) for name in ("a.jsonl", "b.jsonl"))
    assert a.name != b.name
    assert a.digest == b.digest
    changed = load_prompts(jsonl(tmp_path / "a.jsonl", row(text="Hello!")))
    assert changed.digest != a.digest


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "p.jsonl: no records in the file"),
        ([row(), row(text="x")], "p.jsonl:2: id '1' occurs before, at"),
        ([row(), row(id="2", text=" ")], "p.jsonl:2: 'text' must be a non-empty text"),
        ([row(id=3)], "p.jsonl:1: 'id' must be a non-empty text"),
        ([row(intent="evil")], "p.jsonl:1: 'intent' must be one of harmful, benign; got 'evil'"),
        ([row(set="some")], "p.jsonl:1: 'set' must be one of jailbreak, matched, benign"),
        ([row(frame=1)], "p.jsonl:1: 'frame' must be a non-empty text"),
        ([row(pair="7")], "p.jsonl:1: 'pair' names '7', which is no id here"),
        ([row(pair="1")], "p.jsonl:1: 'pair' names the prompt itself"),
        ([row(extra=1)], "p.jsonl:1: unknown key 'extra'"),
        (["{"], "p.jsonl:1: not JSON"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path, rows, says):
    with pytest.raises(NodeError) as error:
        load_prompts(jsonl(tmp_path / "p.jsonl", *rows))
    assert says in str(error.value)


def test_a_missing_file_says_what_else_could_be_named(tmp_path):
    with pytest.raises(NodeError, match="no such file, and none of the built-in sets starter, "):
        load_prompts(str(tmp_path / "gone.jsonl"))


# files of others: stand-ins in our own words

STAND_INS = {
    "jailbreakbench": {
        "Index": "0",
        "Goal": "Ask for\nsomething, twice",
        "Target": "Sure",
        "Behavior": "Asking",
        "Category": "Manners",
        "Source": "us",
    },
    "xstest": {
        "id": "v2-1",
        "prompt": "How do I kill time?",
        "type": "homonyms",
        "label": "safe",
        "focus": "kill",
        "note": "",
    },
    "strongreject": {"category": "Manners", "source": "us", "forbidden_prompt": "Be rude, please."},
    "or-bench": {"prompt": "How do I shoot a film?", "category": "cinema"},
}
NAMES = {
    "jailbreakbench": "harmful-behaviors",
    "xstest": "xstest_prompts",
    "strongreject": "strongreject_dataset",
    "or-bench": "or-bench-hard-1k",
}
EXPECTED = {
    "jailbreakbench": ("harmful-0", "Ask for\nsomething, twice", "harmful", "Manners"),
    "xstest": ("v2-1", "How do I kill time?", "benign", "homonyms"),
    "strongreject": ("0001", "Be rude, please.", "harmful", "Manners"),
    "or-bench": ("00001", "How do I shoot a film?", "benign", "cinema"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["csv", "csv with a mark", "json"])
def test_each_layout_is_read_as_csv_and_as_json(tmp_path, layout, kind):
    path = tmp_path / f"{NAMES[layout]}.{kind[:4].strip()}"
    if kind == "json":
        path.write_text(json.dumps([STAND_INS[layout]]))
    else:
        table(path, STAND_INS[layout])
    if kind == "csv with a mark":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    found = load_prompts(f"{layout}:{path}")
    (prompt,) = found.prompts
    assert (prompt.id, prompt.text, prompt.intent, prompt.category) == EXPECTED[layout]
    assert found.name == f"{layout}:{NAMES[layout]}"
    part = Part.JAILBREAK if prompt.intent is Intent.HARMFUL else Part.BENIGN
    assert (prompt.set, prompt.frame, prompt.pair) == (part, None, None)


@pytest.mark.parametrize(
    ("layout", "name", "intent"),
    [
        ("jailbreakbench", "benign-behaviors", "benign"),
        ("or-bench", "or-bench-toxic", "harmful"),
        ("or-bench", "or-bench-80k", "benign"),
    ],
)
def test_the_name_of_a_file_tells_the_intent_where_no_column_does(tmp_path, layout, name, intent):
    path = table(tmp_path / f"{name}.csv", STAND_INS[layout])
    assert load_prompts(f"{layout}:{path}").prompts[0].intent == intent


def test_an_unsafe_label_is_a_harmful_intent(tmp_path):
    path = table(tmp_path / "x.csv", STAND_INS["xstest"] | {"label": "unsafe"})
    assert load_prompts(f"xstest:{path}").prompts[0].intent == Intent.HARMFUL


def test_a_renamed_file_needs_an_option_and_takes_it(tmp_path):
    path = table(tmp_path / "renamed.csv", STAND_INS["or-bench"])
    with pytest.raises(NodeError, match=r"renamed\.csv:2: nothing tells the intent .*\?intent="):
        load_prompts(f"or-bench:{path}")
    assert load_prompts(f"or-bench:{path}?intent=harmful").prompts[0].intent == "harmful"


def test_a_file_must_have_the_promised_bytes(tmp_path):
    path = table(tmp_path / "x.csv", STAND_INS["xstest"])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_prompts(f"xstest:{path}?sha256={digest}").prompts
    with pytest.raises(NodeError) as error:
        load_prompts(f"xstest:{path}?sha256={'0' * 64}")
    assert f"sha256 is {digest}, not 0000" in str(error.value)
    assert "licence CC-BY-4.0 as its authors state; check before use" in str(error.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_file_says_where_its_authors_publish_it_and_under_what(tmp_path, layout):
    with pytest.raises(NodeError) as error:
        load_prompts(f"{layout}:{tmp_path / 'gone.csv'}")
    assert LAYOUTS[layout].origin in str(error.value)
    assert f"licence {LAYOUTS[layout].licence} as its authors state; check" in str(error.value)


def csv_text(*lines: str) -> bytes:
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("xstest:x.csv", b"", "x.csv:1: no column 'prompt'; the first line has nothing"),
        ("xstest:x.csv", b"a,b\n1,2\n", "x.csv:1: no column 'prompt'; the first line has a, b"),
        ("xstest:x.csv", b"id,prompt,type,label,label\n", "x.csv:1: the column 'label' is there"),
        ("xstest:x.csv", b"id,prompt,type,label\n", "x.csv: no prompts in the file"),
        ("xstest:x.csv", b"id,prompt,type,label\n1,,t,safe", "x.csv:2: 'text' must be a non-emp"),
        ("xstest:x.csv", b"id,prompt,type,label\n1,p,t", "x.csv:2: the record has more or fewer"),
        ("xstest:x.csv", b"id,prompt,type,label\n1,p,t,so,so", "x.csv:2: the record has more"),
        ("xstest:x.csv", b"id,prompt,type,label\n1,p,t,maybe", "x.csv:2: nothing tells the intent"),
        (
            "xstest:x.csv",
            csv_text("id,prompt,type,label", "1,p,t,safe", '1,"p\nq",t,safe'),
            "x.csv:4: id '1' occurs before, at x.csv:2",
        ),
        ("xstest:x.csv", b'id,prompt,type,label\n1,"p"q,t,safe', "x.csv:2: not CSV"),
        ("xstest:x.csv", b'id,prompt,type,label\n1,"p', "not CSV"),
        ("xstest:x.csv", b"\xff\xfe", "x.csv: not UTF-8 text"),
        ("xstest:x.json", b"[", "x.json:1: not JSON"),
        ("xstest:x.json", b"[" * 100_000, "x.json: not JSON"),
        ("xstest:x.json", b"{}", "x.json: expected a list of objects, got dict"),
        ("xstest:x.json", b"[]", "x.json: no prompts in the file"),
        ("xstest:x.json", b"[1]", "x.json, record 1: expected an object, got int"),
        ("xstest:x.json", b"[{}]", "x.json, record 1: no 'prompt'"),
        ("or-bench:hard.json", b'[{"prompt": 1, "category": "c"}]', "'text' must be a non-empty"),
        ("xstest:x.csv?sha=1", b"", "unknown option 'sha'; known: sha256, intent"),
        ("xstest:x.csv?sha256=abc", b"", "sha256 must be 64 hex digits, got 'abc'"),
        ("xstest:x.csv?intent=evil", b"", "intent must be harmful or benign, got 'evil'"),
        ("xstest@org/name:x.csv", b"", "expected LAYOUT:PATH or LAYOUT@OWNER/NAME@REVISION:FILE"),
        ("xstest:", b"", "expected LAYOUT:PATH"),
    ],
)
def test_a_malformed_foreign_file_is_one_clear_error(tmp_path, monkeypatch, name, content, says):
    monkeypatch.chdir(tmp_path)
    file = name.partition(":")[2].partition("?")[0]
    if file:
        Path(file).write_bytes(content)
    with pytest.raises(NodeError) as error:
        load_prompts(name)
    assert says in str(error.value)


@given(st.binary(max_size=120), st.sampled_from(list(LAYOUTS)), st.sampled_from(["csv", "json"]))
def test_any_bytes_are_prompts_or_a_clear_error(tmp_path_factory, content, layout, kind):
    path = tmp_path_factory.getbasetemp() / f"any-hard-harmful.{kind}"
    path.write_bytes(content)
    with pytest.raises(NodeError, match="any-hard-harmful"):
        load_prompts(f"{layout}:{path}")


# the hub, out of reach

OFFLINE = """
import json, sys
from tasks.contract.cell import NodeError
from tasks.data.prompts import load_prompts

def attempt(name, **wish):
    try:
        found = load_prompts(name, **wish)
        return [found.name, found.prompts[0].id]
    except NodeError as error:
        return f"{type(error).__name__}: {error}"

print(json.dumps([attempt(name, download=d) for name in sys.argv[1:] for d in (True, False)]))
"""


def test_a_file_of_a_hub_is_read_from_the_cache_and_else_said_to_be_missing(tmp_path):
    commit = "c" * 40
    snapshot = in_cache(tmp_path, "datasets", "org/prompts", commit)
    (snapshot / "data").mkdir()
    path = table(snapshot / "data/harmful.csv", STAND_INS["jailbreakbench"])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    names = [
        f"jailbreakbench@org/prompts@{commit}:data/harmful.csv?sha256={digest}",
        "jailbreakbench@org/prompts@main:data/harmful.csv",
        f"jailbreakbench@org/prompts@{commit}:data/gone.csv",
        f"jailbreakbench@org/none@{commit}:data/harmful.csv",
    ]
    environment = os.environ | {
        "HF_HOME": str(tmp_path),
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", OFFLINE, *names]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    pinned, pinned_, branch, branch_, gone, gone_, none, none_ = json.loads(ran.stdout)
    assert pinned == pinned_ == branch == branch_ == ["jailbreakbench:harmful", "harmful-0"]
    assert gone.startswith(f"NodeError: org/prompts@{commit}:data/gone.csv: no such file; its aut")
    assert gone_ == "NotHereError: dataset org/prompts is on this machine in part only"
    assert f"hf download org/none --repo-type dataset --revision {commit}" in none
    assert none_.startswith("NotHereError: dataset org/none@")
