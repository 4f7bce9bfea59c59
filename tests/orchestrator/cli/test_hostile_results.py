"""A results folder of another person: damaged or hostile records are one message or none."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from orchestrator.results import lock
from orchestrator.results.manifest import HEAD
from tests.builders import a_result, launched

SWEEP = """
name: s
model: m
grid: {condition: [rho-guided], rho_weight: [0.1], margin: [0.1], seed: [1, 2]}
"""
RECORDS = {
    "deep": b"[" * 20_000,
    "huge number": b"1" * 5_000,
    "binary": b"\xff\x00" * 100,
    "a list": b"[1]",
    "other keys": b"{}",
    "empty": b"",
    "UTF-16": '{"cells": {}}'.encode("utf-16"),
    "no number": b'{"cells": NaN}',
    "a key twice": b'{"cells": {}, "cells": {}}',
    "half a character": b'{"cells": {"\\ud800": "a"}}',
}
SPECS = [
    "",
    "[" * 20_000,
    "1" * 5_000,
    "[1]",
    "{}",
    "null",
    '{"condition": 7}',
    '{"condition": "nothing", "max_length": 1, "model": {}, "probes": {}, "train": null,'
    ' "data": null, "hinge": null}',
]
READERS = ["status", "analyze", "stress", "check", "report", "export", "logs"]


@pytest.mark.slow
@pytest.mark.parametrize("content", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("record", ["live.json", "stress.json", "sweep.yaml"])
def test_a_record_that_is_none_never_ends_status_with_a_traceback(
    tmp_path, rho_sweep, record, content
):
    store, expansion = launched(tmp_path / "s", SWEEP)
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    (store.folder / record).write_bytes(content)
    said = rho_sweep("status", store.folder)
    assert said.code == 0 or (said.code == 2 and f"{record}: cannot be read" in said.err)
    assert rho_sweep("results", tmp_path).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
def test_a_row_with_a_spec_that_is_none_is_one_sentence_of_every_command(
    tmp_path, rho_sweep, command, spec
):
    store, expansion = launched(tmp_path / "s", SWEEP)
    for cell in expansion.all:
        store.commit(a_result(cell), attempts=1, ray=None)
    rows = {row["cell_id"]: row | {"spec": spec} for row in store.rows("cells")}
    for cell, row in rows.items():
        store.write("cells", cell, [row])
    last = {"logs": ["baseline"], "report": ["--markdown"], "stress": ["--inline"]}
    said = rho_sweep(command, store.folder, *last.get(command, []))
    assert said.code in (0, 1, 2)
    # the last one is of another version, whose settings an analysis can show
    if command == "stress" or (command == "analyze" and spec != SPECS[-1]):
        assert said.code == 2
        assert "its spec is" in said.err
        assert "launch again" in said.err


@pytest.mark.parametrize("command", ["analyze", "report"])
@pytest.mark.parametrize("condition", ["", "rho-guided\x1b]0;owned\x07", "x" * 100_000])
def test_a_condition_that_is_none_is_one_sentence(tmp_path, rho_sweep, command, condition):
    store, expansion = launched(tmp_path / "s", SWEEP)
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    (row,) = store.rows("cells")
    store.write("cells", row["cell_id"], [row | {"condition": condition}])
    said = rho_sweep(command, store.folder)
    assert said.code == 2
    assert f"cells/{row['cell_id']}.arrow: unknown condition '" in said.err
    assert len(said.err) < 400


MIX = "{data.size: %s, data.trap_fraction: %s, data.refusal_fraction: 0}"
MANIFESTS = {
    "run": ["[1]", "x", "3", "{slots: -5}", "{slots: many}", "{silence_s: .nan}"],
    "stress": ["[1]", "x", "{judge: 3}", "{max_tokens: 1.0e+9}", "{prompts: 7}"],
    "settings": ["[1]", "x", MIX % ("many", "0.1"), MIX % ("[1]", "0.1"), MIX % ("9", ".inf")],
    "grids": ["abc", "[a, b]", "{a: 1}", "3"],
    "resolved": ["[1]", "x", "3"],
}
BESIDE = {"run": ["score", "--pack", "starter"], "stress": ["stress"]}


@pytest.mark.slow
@pytest.mark.parametrize(("key", "text"), [(k, t) for k, texts in MANIFESTS.items() for t in texts])
def test_a_part_of_the_manifest_of_another_kind_is_one_sentence_or_none(
    tmp_path, rho_sweep, key, text
):
    store, expansion = launched(tmp_path / "s", SWEEP)
    for cell in expansion.all:
        store.commit(a_result(cell), attempts=1, ray=None)
    path = store.folder / "sweep.yaml"
    content = yaml.safe_load(path.read_text()) | {key: yaml.safe_load(text)}
    path.write_text(HEAD + yaml.safe_dump(content))
    for command, *rest in [
        ["analyze", "--table", "all"], ["report", "--markdown"], ["status"], ["check"],
    ]:  # fmt: skip
        said = rho_sweep(command, store.folder, *rest)
        assert said.code in (0, 1) or "sweep.yaml: cannot be read" in said.err
    if key in BESIDE:
        command, *rest = BESIDE[key]
        said = rho_sweep(command, store.folder, *rest, "--inline")
        assert said.code == 2
        assert re.search(rf"sweep\.yaml: ({key}\.|cannot be read)", said.err), said.err


QUESTIONS = ["7", "[1]", "text", "{}", "{contrasts: 7, alpha: 1}", "{contrasts: [7], alpha: x}"]
QUESTIONS += ["{alpha: 0.05, contrasts: [{id: [1], kind: x}]}", "{alpha: 1, contrasts: {a: b}}"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["analyze", "report"])
@pytest.mark.parametrize("asked", QUESTIONS)
def test_questions_that_are_none_are_one_sentence(tmp_path, rho_sweep, command, asked):
    store, expansion = launched(tmp_path / "s", SWEEP)
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    path = store.folder / "sweep.yaml"
    path.write_text(
        re.sub(r"(?m)^analysis:.*\n(?:[ -].*\n)*", f"analysis: {asked}\n", path.read_text())
    )
    said = rho_sweep(command, store.folder)
    assert said.code == 2
    assert "sweep.yaml: what it registered cannot be read (" in said.err
    assert len(said.err) < 500
    assert "what it registered cannot be read (" in rho_sweep("results", tmp_path).out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("run: 7", "cannot be read (run must be keys and values, got 7)"),
        ("stress: [1]", "cannot be read (stress must be keys and values, got [1])"),
        pytest.param(
            "run: {silence_s: x}",
            'silence_s: must be a number, got "x"',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_settings_that_are_none_are_one_sentence(tmp_path, rho_sweep, settings, said):
    store, expansion = launched(tmp_path / "s", SWEEP.replace("model: m", "model: tiny"))
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    path, section = store.folder / "sweep.yaml", settings.partition(":")[0]
    kept = re.sub(rf"(?m)^{section}:.*\n(?:[ -].*\n)*", "", path.read_text())
    path.write_text(f"{kept}{settings}\n")
    ran = rho_sweep("stress", store.folder, "--inline")
    assert ran.code == 2
    assert said in ran.err


@pytest.mark.parametrize("record", ["stress.json", "scored.json"])
def test_a_unit_whose_key_is_no_id_leads_to_no_file(tmp_path, rho_sweep, record):
    store, _ = launched(tmp_path / "s", SWEEP)
    (store.folder / "logs").mkdir()
    (tmp_path / "private.log").write_text("secret")
    units = {"../../private": "first cell"}
    test = {"settings": {"temperature": 0, "max_tokens": 1}, "judge": "rules@1", "prompts": []}
    content = {
        "stress.json": test | {"units": {}, "earlier": [test | {"units": units}]},
        "scored.json": {"packs": {"p": {"digests": [], "units": units}}},
    }
    (store.folder / record).write_text(json.dumps(content[record]))
    said = rho_sweep("logs", store.folder, "first cell")
    assert said.code == 2
    assert f"{record}: cannot be read (" in said.err
    assert "must be an id, got '../../private'" in said.err


LOCKED = """\
import fcntl, sys, time
file = open(sys.argv[1], "rb")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("content", RECORDS.values(), ids=RECORDS)
def test_a_lock_that_is_held_and_says_nonsense_is_no_traceback(tmp_path, rho_sweep, content):
    store, _ = launched(tmp_path / "s", SWEEP)
    (store.folder / lock.NAME).write_bytes(content)
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCKED, store.folder / lock.NAME], stdout=subprocess.PIPE
    )
    try:
        holder.stdout.readline()
        for command in ("status", "stop"):
            assert rho_sweep(command, store.folder).code == 0
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
