"""What is lost is made again by a launch, or named by every command that reads the results."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from orchestrator.errors import UserError
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.launch import Options, launch
from orchestrator.inspection.check import check
from orchestrator.inspection.compare_results import compare
from orchestrator.results.folder import WEIGHTS, passed_over
from orchestrator.results.manifest import HEAD, load_manifest
from orchestrator.results.store import Store
from tasks.contract.cell import CellSpec
from tests.answers import a_unit, answered, judgement, keep
from tests.builders import a_failure, a_result, launched, parsed

SWEEP = """
name: losses
model: {model}
grids:
  - {{condition: [sft-only], seed: [1, 2]}}
  - {{condition: [rho-guided], rho_weight: [0.5], margin: [0.1], seed: [1, 2]}}
data: {{sft: starter, size: 8}}
train: {{max_length: 64, grad_accumulation: 2}}
run: {{checkpoint_s: 600}}
probes: {{train: [factual], evaluate: [factual]}}
analysis:
  contrasts:
    - id: helps
      claim: it helps
      kind: mean_diff
      a: {{condition: rho-guided}}
      b: {{condition: sft-only}}
      alternative: greater
"""


ASKED = """
name: s
model: m
grid: {condition: [sft-only], seed: [1, 2]}
"""


@pytest.fixture(scope="module")
def undisturbed(toy, tmp_path_factory) -> Store:
    """The results of a baseline and four trained cells."""
    folder = tmp_path_factory.mktemp("undisturbed") / "losses"
    launch(parsed(SWEEP.format(model=toy)), folder, Options(inline=True), PlainDisplay())
    return Store(folder)


@pytest.fixture
def results(undisturbed, toy, tmp_path) -> Store:
    """A copy of them, and its sweep file."""
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(model=toy))
    return Store(Path(shutil.copytree(undisturbed.folder, tmp_path / "results/losses")))


def a_trained_cell(store: Store) -> str:
    return next(
        r["cell_id"] for r in store.rows("cells") if r["seed"] == 2 and r["condition"] == "sft-only"
    )


@pytest.mark.slow
def test_a_launch_runs_a_cell_whose_scores_are_cut_as_the_message_says(
    results, undisturbed, rho_sweep
):
    cell = a_trained_cell(results)
    os.truncate(results.path("scores", cell), 200)
    said = rho_sweep("analyze", results.folder)
    assert said.code == 2
    assert f"scores/{cell}.arrow" in said.err
    results.path("scores", cell).unlink()  # delete it and launch again, says the message
    again = rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
    assert again.code == 0
    assert "5 of 5 cells scored, 4 were done before" in again.out
    assert f"seed=2: scores/{cell}.arrow is missing; the cell is run anew" in again.err
    assert compare(results, undisturbed).same == 5
    arms = json.loads(rho_sweep("analyze", results.folder, "--json").out)["arms"]
    assert {a["n"] for a in arms} == {1, 2}


@pytest.mark.slow
def test_a_launch_of_one_cell_runs_no_other(results, rho_sweep):
    cells = [r["cell_id"] for r in results.rows("cells") if r["condition"] == "sft-only"]
    for cell in cells:
        results.path("cells", cell).unlink()
    words = ("launch", "sweep.yaml", "--inline", "--results", results.folder, "--cell")
    ran = rho_sweep(*words, cells[0][:9])
    assert (ran.code, "4 of 4 cells scored, 3 were done before" in ran.out) == (0, True)
    assert cells[1] not in results.done()
    again = rho_sweep(*words, cells[0])
    assert "has ended before, and is not run again" in again.err
    unknown = rho_sweep(*words, "sft-ony seed=1")
    assert (unknown.code, "no cell of losses" in unknown.err) == (2, True)
    assert "to run: 1 open;" in rho_sweep("status", results.folder).out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scores/{}.arrow", "adapters/{}/adapters.safetensors"])
def test_a_launch_alone_mends_a_cell_that_lacks_a_file(results, undisturbed, rho_sweep, name):
    cell = a_trained_cell(results)
    os.truncate(results.folder / name.format(cell), 200)
    said = rho_sweep("status", results.folder)
    assert "4 of 5 cells scored, 1 incomplete" in said.out
    assert name.format(cell) in said.out
    assert "to run: 1 incomplete; launch the sweep again to go on" in said.out
    rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
    assert compare(results, undisturbed).same == 5
    assert "5 of 5 cells scored;" in rho_sweep("status", results.folder).out


def test_analyze_names_a_cell_that_has_a_row_and_no_scores(results, rho_sweep):
    cell = a_trained_cell(results)
    results.path("scores", cell).unlink()
    said = rho_sweep("analyze", results.folder)
    assert f"incomplete {cell}: scores/{cell}.arrow is missing; launch again" in said.err


READERS = ("analyze", "report", "export", "status")


@pytest.mark.slow
@pytest.mark.parametrize("command", READERS)
def test_every_reader_names_a_cell_that_has_a_row_and_no_scores(results, rho_sweep, command):
    cell = a_trained_cell(results)
    results.path("scores", cell).unlink()
    said = rho_sweep(command, results.folder)
    assert said.code == 0
    assert f"scores/{cell}.arrow is missing" in said.err + said.out


def test_a_claim_names_the_cells_of_its_arms_that_have_no_scores(results, rho_sweep):
    rows = {(r["condition"], r["seed"]): r["cell_id"] for r in results.rows("cells")}
    results.path("scores", rows["sft-only", 2]).unlink()
    spec = CellSpec.from_dict(json.loads(results.cells()[rows["rho-guided", 1]]["spec"]))
    results.commit_failure(a_failure(spec, "boom"), attempts=3, ray=None)
    said = rho_sweep("analyze", results.folder).out
    claims = said[said.index("claims") :]
    assert "without " in claims
    assert "rho-guided seed=1 (failed)" in claims
    assert "sft-only seed=2 (incomplete)" in claims
    report = rho_sweep("report", results.folder, "--markdown", "-o", "r.md")
    assert report.code == 0
    assert "sft-only seed=2 (incomplete)" in Path("r.md").read_text()


COMMANDS = (
    ("status", "results/losses"),
    ("logs", "results/losses", "baseline"),
    ("analyze", "results/losses", "--table", "all", "--json"),
    ("report", "results/losses", "-o", "r.md"),
    ("export", "results/losses", "--to", "csv", "-o", "out"),
    ("compare", "results/losses", "results/losses", "--json"),
    ("judge", "run", "results/losses"),
    ("plan", "sweep.yaml", "--json"),
    ("launch", "sweep.yaml", "--inline"),
)


@pytest.mark.slow
def test_what_desktops_and_editors_leave_changes_no_command(results, rho_sweep):
    rho_sweep("analyze", results.folder)  # makes results/losses/analysis
    before = [rho_sweep(*words) for words in COMMANDS]
    assert {ran.code for ran in before} == {0}
    (results.folder / "cells" / "fedcba9876543210.arrow").mkdir()
    folders = [f for f in results.folder.parent.rglob("*") if f.is_dir()]
    for folder in (results.folder.parent, *folders, Path("out")):
        for name in (".DS_Store", "._x.arrow", "x.arrow~", "#x#", "Icon\r", "Thumbs.db"):
            (folder / name).write_text("?")
    for words, earlier in zip(COMMANDS, before, strict=True):
        ran = rho_sweep(*words)
        assert (ran.code, ran.out) == (0, earlier.out)
        assert "passed over" not in earlier.err
    said = rho_sweep("status", results.folder).err
    assert said.startswith("passed over: ")
    assert "entries that are not ours (adapters/#x#, adapters/.DS_Store" in said


def test_check_of_sound_results_says_so(results, rho_sweep):
    said = rho_sweep("check", results.folder)
    assert (said.code, said.out) == (0, f"{results.folder}: 5 cells, nothing is wrong\n")
    assert json.loads(rho_sweep("check", results.folder, "--json").out)["problems"] == []
    assert rho_sweep("check", "nowhere").code == 2


def flip(path: Path) -> None:
    """Change one byte; the size stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, 200)


SEALED = (  # a row of `cells` keeps their digests
    "steps/{}.arrow",
    "probe_scores/{}.arrow",
    "adapters/{}/adapters.safetensors",
    "adapters/{}/adapter_config.json",
)
HARMS = [
    *((name, harm) for name in SEALED for harm in (flip, cut, Path.unlink)),
    *((name, harm) for name in ("cells/{}.arrow", "attempts/{}.1.arrow") for harm in (flip, cut)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "harm"), HARMS)
def test_what_check_says_to_do_makes_sound_results(results, rho_sweep, undisturbed, name, harm):
    path = results.folder / name.format(a_trained_cell(results))
    harm(path)
    said = rho_sweep("check", results.folder)
    problems = json.loads(rho_sweep("check", results.folder, "--json").out)["problems"]
    assert not any("launch again" in p["problem"] for p in problems)  # that is said in `then`
    assert said.code == 1
    assert f"{path.relative_to(results.folder)}: " in said.out
    for problem in problems:
        if problem["command"]:
            subprocess.run(problem["command"], shell=True, check=True)
    again = rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
    assert again.code == 0
    assert rho_sweep("check", results.folder).code == 0
    assert compare(results, undisturbed).same == 5


@pytest.mark.slow
@pytest.mark.parametrize("command", ["launch", "export", "logs", "check"])
def test_a_damaged_attempt_can_be_deleted_as_the_message_says(results, rho_sweep, command):
    cell = a_trained_cell(results)
    path = results.folder / f"attempts/{cell}.1.arrow"
    flip(path)
    results.commit_failure(
        a_failure(CellSpec.from_dict(json.loads(results.rows("cells")[0]["spec"]))),
        attempts=1,
        ray=None,
    )
    words = {
        "launch": ("sweep.yaml", "--inline", "--results", results.folder),
        "logs": (results.folder, cell),
    }.get(command, (results.folder,))
    said = rho_sweep(command, *words)
    assert said.code == (1 if command == "check" else 2)
    assert f"attempts/{cell}.1.arrow: has other bytes" in said.out + said.err
    assert "delete it; only the record of that attempt is lost" in said.out + said.err
    path.unlink()
    assert rho_sweep(command, *words).code == 0


def registered(store: Store) -> list[dict]:
    return load_manifest(store.folder)["analysis"]["contrasts"]


MANIFEST_HARMS = {
    "cut": (lambda text: text[: text.index("cells:") + 9], "is kept"),
    "not YAML": (lambda text: text.replace("name: losses", "name: [losses"), "is kept"),
    "cut in the questions": (lambda text: text[: text.index("alternative")], "is lost"),
    "questions that are none": (lambda text: text.replace("contrasts:", "contrastz:"), "is lost"),
    "a level that is gone": (lambda text: text.replace("  alpha:", "  alfa:"), "is lost"),
    "questions under another name": (
        lambda text: text.replace("analysis:", "analysit:"),
        "is lost",
    ),
    "empty": (
        lambda _: "# Written by rho-sweep launch: the sweep as it was resolved.\n",
        "is lost",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MANIFEST_HARMS)
def test_what_was_registered_survives_a_damaged_manifest_or_its_loss_is_told(
    results, rho_sweep, name
):
    damage, told = MANIFEST_HARMS[name]
    before, path = registered(results), results.folder / "sweep.yaml"
    damaged = damage(path.read_text())
    path.write_text(damaged)
    ran = rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
    assert ran.code == 0
    (line,) = [x for x in ran.err.splitlines() if "sweep.yaml was damaged" in x]
    assert told in line
    assert (results.folder / "sweep.damaged.yaml").read_text() == damaged
    if told == "is kept":
        assert registered(results) == before
    else:
        assert [r["registered_at"] for r in registered(results)] == [None]
    again = rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
    assert "sweep.yaml was" not in again.err
    assert rho_sweep("check", results.folder).code == 0


def test_a_refused_launch_loses_nothing_of_a_damaged_manifest(results, rho_sweep, tmp_path):
    path, file = results.folder / "sweep.yaml", tmp_path / "sweep.yaml"
    path.write_text(MANIFEST_HARMS["cut"][0](path.read_text()))
    file.write_text(file.read_text().replace("greater", "less"))
    for _ in range(2):
        ran = rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
        assert "claims changed or dropped after their results: helps" in ran.err
    assert [p.name for p in results.folder.glob("sweep.damaged*.yaml")] == ["sweep.damaged.yaml"]


def test_every_damaged_manifest_is_kept_and_none_is_a_foreign_file(results, rho_sweep):
    for number in range(1, 12):
        (results.folder / "sweep.yaml").write_text(f"{HEAD}[{number}")
        assert rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder).code == 0
    kept = sorted(p.read_text() for p in results.folder.glob("sweep.damaged*.yaml"))
    assert kept == sorted(f"{HEAD}[{number}" for number in range(1, 12))
    for name in ("sweep.damaged.1.yaml", "sweep.damaged.02.yaml", "sweep.damaged.x.yaml"):
        (results.folder / name).touch()
    assert passed_over(results.folder) == sorted(
        ["sweep.damaged.1.yaml", "sweep.damaged.02.yaml", "sweep.damaged.x.yaml"]
    )


def test_a_missing_manifest_is_told_and_its_questions_are_exploratory(results, rho_sweep):
    (results.folder / "sweep.yaml").unlink()
    ran = rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
    assert ran.code == 0
    assert "sweep.yaml was missing: what it had registered is lost" in ran.err
    assert [r["registered_at"] for r in registered(results)] == [None]


def test_a_new_folder_that_takes_all_its_cells_from_another_lost_nothing(results, rho_sweep):
    twin = results.folder.with_name("twin")
    ran = rho_sweep("launch", "sweep.yaml", "--inline", "--results", twin)
    assert ran.code == 0
    assert "0 to run" in ran.err
    assert "was missing" not in ran.err


def test_a_manifest_with_another_time_of_registration_is_told(results, rho_sweep):
    path = results.folder / "sweep.yaml"
    path.write_text(path.read_text().replace("registered_at: '20", "registered_at: '19"))
    ran = rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
    assert ran.code == 0
    assert "sweep.yaml was changed after it was written" in ran.err


@pytest.mark.parametrize("command", ["launch", "judge"])
def test_an_attempt_that_a_dead_driver_left_running_is_ended_with_nothing_to_do(
    results, rho_sweep, command
):
    cell = a_trained_cell(results)
    (row,) = results.attempts_of(cell)
    results.write_attempt(row | {"outcome": "running", "ended_at": None})
    results.flush()
    (results.folder / ".launch.lock").write_text('{"pid": 1, "host": "gone"}')
    words = {
        "launch": ("launch", "sweep.yaml", "--inline", "--results", results.folder),
        "judge": ("judge", "run", results.folder),
    }[command]
    assert rho_sweep(*words).code == 0
    assert [r["outcome"] for r in results.attempts_of(cell)] == ["ok"]
    assert (results.folder / ".launch.lock").read_text() == ""


@pytest.mark.parametrize("name", ["sweep.yaml", "stress.json"])
def test_check_names_a_record_that_cannot_be_read(results, rho_sweep, name):
    (results.folder / name).write_text("[")
    said = rho_sweep("check", results.folder)
    assert said.code == 1
    assert said.out.splitlines()[1].startswith(f"{name}: cannot be read")


def test_check_names_answers_of_another_adapter_and_labels_of_other_answers(tmp_path, rho_sweep):
    weights = save({"lora_a": np.zeros(4, np.float32)})
    store, expansion = launched(tmp_path / "s", ASKED)
    result = a_result(expansion.all[1], weights=weights)
    store.commit(result, attempts=1, ray=None)
    unit = a_unit(result)
    keep(store, answered(unit))
    labels = [judgement(unit, "p0", "compliance", response_sha256="0" * 64)]
    store.write("judgements", f"{unit.generation_id}.0123456789abcdef", labels)
    said = rho_sweep("check", "s").out
    assert "generations" not in said
    assert f"judgements/{unit.generation_id}.0123456789abcdef.arrow: labels answers" in said
    keep(store, answered(replace(unit, adapter_sha256="f" * 64)))
    assert "answers of another adapter" in rho_sweep("check", "s").out


def test_a_launch_with_nothing_to_do_reads_each_row_twice_and_no_other_table(results, rho_sweep):
    opened: list[Path] | None = []

    def hook(event: str, facts: tuple) -> None:
        if event == "open" and opened is not None and str(facts[0]).endswith(".arrow"):
            opened.append(Path(str(facts[0])))

    sys.addaudithook(hook)
    ran = rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
    found, opened = opened, None
    assert ran.code == 0
    counts = Counter(path.relative_to(results.folder).as_posix() for path in found)
    names = {f"cells/{cell}.arrow" for cell in results.done()}
    assert counts == dict.fromkeys(names, 2)  # the scan, and the summary at the end


def test_a_changed_sweep_under_the_same_name_asks_for_a_new_one(undisturbed, toy, tmp_path):
    folder = tmp_path / "losses"
    shutil.copytree(undisturbed.folder, folder)
    before = (folder / "sweep.yaml").read_bytes()
    text = SWEEP.format(model=toy)
    changed = {
        "finished cells that are not in this file: 2": text.replace("[0.1]", "[4]"),
        "claims changed or dropped after their results: helps": text.replace("greater", "less"),
    }
    for reason, other in changed.items():
        with pytest.raises(UserError, match=reason) as error:
            launch(parsed(other), folder, Options(inline=True), PlainDisplay())
        assert "--rename NAME" in error.value.advice
        assert (folder / "sweep.yaml").read_bytes() == before
    options = Options(inline=True, keep=True)
    launch(parsed(text.replace("greater", "less")), folder, options, PlainDisplay())
    kept = load_manifest(folder)["analysis"]["contrasts"]
    assert [(c["id"], c["alternative"], bool(c["registered_at"])) for c in kept] == [
        ("helps", "greater", True),
        ("helps.2", "less", False),
    ]
    launch(parsed(text.replace("greater", "less")), folder, Options(inline=True), PlainDisplay())


@pytest.mark.slow
def test_what_a_neighbour_keeps_to_himself_is_run_anew(results, undisturbed, tmp_path, capsys):
    # root reads every file, so that the refusals of the system stand in for another user's files
    cell = a_trained_cell(results)
    own, read, link = results.path("scores", cell), Path.read_bytes, os.link

    def may(path):
        if Path(path) == own:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: read(may(path)))
        patch.setattr(os, "link", lambda a, b: link(may(a), b))
        sweep = parsed((tmp_path / "sweep.yaml").read_text())
        summary = launch(sweep, tmp_path / "results/mine", Options(inline=True), PlainDisplay())
    said = capsys.readouterr().err
    assert f"{own}: cannot be read (Permission denied); the cell is run anew" in said
    assert "4 already done (4 in other sweeps), 1 to run" in said
    assert summary.unfinished == []
    assert compare(Store(tmp_path / "results/mine"), undisturbed).same == 5


@pytest.mark.slow
def test_damage_that_a_neighbour_shares_is_not_taken_over_and_the_advice_mends_it(
    results, undisturbed, tmp_path, capsys
):
    sweep, mine = parsed((tmp_path / "sweep.yaml").read_text()), tmp_path / "results/mine"

    def launched_again():
        launch(sweep, mine, Options(inline=True), PlainDisplay())
        return capsys.readouterr().err

    def flip(path):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)  # in place: both names of the file

    cell = a_trained_cell(results)
    scores, weights = results.path("scores", cell), results.adapter_folder(cell) / WEIGHTS
    flip(scores)
    said = launched_again()
    assert f"{scores}: has other bytes than when it was written; the cell is run anew" in said
    assert "4 already done (4 in other sweeps), 1 to run" in said
    assert check(Store(mine)).problems == ()
    shutil.rmtree(mine)
    scores.write_bytes(undisturbed.path("scores", cell).read_bytes())
    assert "5 already done (5 in other sweeps)" in launched_again()
    flip(weights)
    (problem,) = check(Store(mine)).problems
    subprocess.run(problem.command, shell=True, check=True)
    assert f"{weights}: has other bytes" in launched_again()
    assert check(Store(mine)).problems == ()
    assert compare(Store(mine), undisturbed).same == 5
