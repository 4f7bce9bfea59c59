"""Every command ends with the codes of the table in docs/cli.md, in real calls."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from orchestrator.cells.resolve import FileResolver
from orchestrator.execution.terminal import FAILED, FIXABLE, INTERRUPTED
from orchestrator.results.store import Store
from tasks.contract.cell import Status
from tasks.starter import TEXTS
from tests import ROOT
from tests.builders import a_failure, a_result, launched
from tests.orchestrator.cli.test_start import commands
from tests.orchestrator.cluster.hostile import a_scene
from tests.orchestrator.stress.layouts import campaign, inspect_log, lm_eval

SWEEP = """\
name: s
model: tiny
grid: {condition: [sft-only], seed: [1]}
data: {size: 20}
"""
CLUSTER = "cluster.yaml"


def scored(place: Path) -> Store:
    """The results of a launch all of whose cells have scores; `launch` finds nothing to do."""
    store, expansion = launched(place / "s", SWEEP, FileResolver(download=False))
    for spec in expansion.all:
        store.commit(a_result(spec), attempts=1, ray=None)
    return store


def diverged(place: Path) -> Store:
    """As `scored`, but the trained cell has diverged."""
    store, expansion = launched(place / "s", SWEEP, FileResolver(download=False))
    baseline, trained = expansion.all
    store.commit(a_result(baseline), attempts=1, ray=None)
    store.commit(a_result(trained, status=Status.DIVERGED), attempts=1, ray=None)
    return store


def untrained(place: Path) -> Store:
    """The baseline has scores; it can answer prompts, for it needs no adapter."""
    store, expansion = launched(place / "s", SWEEP, FileResolver(download=False))
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    return store


def failed(place: Path) -> Store:
    """Results with a failed cell and an open one."""
    store, expansion = launched(place / "s", SWEEP)
    store.commit_failure(a_failure(expansion.all[0]), attempts=1, ray=None)
    return store


def damaged(place: Path) -> Store:
    store = scored(place)
    next((store.folder / "scores").glob("*.arrow")).write_bytes(b"")
    return store


def nothing(place: Path) -> None:
    """No results."""


def broken_mlx(place: Path) -> None:
    (place / "mlx").mkdir()
    (place / "mlx/__init__.py").write_text("raise ImportError('no Metal here')")


def measured(place: Path) -> None:
    """As `scored`, beside files of other tools."""
    store = scored(place)
    adapter = next(r["adapter_sha256"] for r in store.rows("cells") if r["adapter_sha256"])
    (place / "lm.json").write_text(json.dumps(lm_eval(adapter)))
    (place / "log.json").write_text(json.dumps(inspect_log(adapter)))
    (place / "alignment.json").write_text(json.dumps(campaign()))


LAUNCH = "launch s.yaml --inline --results s"
SCORE = "score s --inline --pack starter --behavior factual"
STRESS = "stress s --inline --prompts one.jsonl --max-tokens 1"
# command -> code -> [(what is there, the call)]
CALLS = {
    "launch": {0: [(scored, LAUNCH)], 1: [(diverged, LAUNCH)]},
    "score": {0: [(untrained, SCORE)], 1: [(scored, SCORE)]},
    "stress": {0: [(untrained, STRESS)], 1: [(scored, STRESS)]},
    "analyze": {
        0: [(scored, "analyze s"), (failed, "analyze s"), (nothing, "analyze --published")]
    },
    "import lm-eval": {0: [(measured, "import lm-eval lm.json s")]},
    "import inspect": {0: [(measured, "import inspect log.json s")]},
    "import rho-eval": {0: [(measured, "import rho-eval . --results new")]},
    "judge run": {0: [(scored, "judge run s")]},
    "judge validate": {0: [(nothing, "judge validate --half dev")]},
    "presets": {0: [(nothing, "presets")]},
    "init": {0: [(nothing, "init quickstart"), (nothing, "init quickstart -o -")]},
    "schema": {0: [(nothing, "schema"), (nothing, "schema --cluster")]},
    "plan": {0: [(nothing, "plan s.yaml"), (failed, "plan s.yaml --json")]},
    "results": {0: [(scored, "results ."), (damaged, "results . --json")]},
    "status": {0: [(scored, "status s"), (failed, "status s"), (failed, "status s --watch")]},
    "logs": {0: [(failed, "logs s baseline")]},
    "stop": {0: [(scored, "stop s")]},
    "serve": {2: [(nothing, "serve s")]},
    "report": {0: [(scored, "report s --markdown"), (failed, "report s --markdown")]},
    "export": {0: [(scored, "export s"), (failed, "export s --to csv")]},
    "card": {0: [(scored, "card s"), (failed, "card s -o new")]},
    "check": {0: [(untrained, "check s")], 1: [(damaged, "check s"), (damaged, "check s --json")]},
    "compare": {
        0: [(scored, "compare s s")],
        1: [(scored, "compare s other"), (scored, "compare other s --json")],
    },
    "doctor": {0: [(nothing, "doctor")], 1: [(broken_mlx, "doctor")]},
    "version": {0: [(nothing, "version")]},
    "cluster install": {1: [(nothing, f"cluster install {CLUSTER}")]},
    "cluster prefetch": {
        0: [(nothing, f"cluster prefetch {CLUSTER} s.yaml")],
        1: [(nothing, f"cluster prefetch {CLUSTER} s.yaml --set data.sft=texts.jsonl")],
    },
    "cluster doctor": {1: [(nothing, f"cluster doctor {CLUSTER}")]},
    "cluster up": {2: [(nothing, f"cluster up {CLUSTER}")]},
    "cluster status": {1: [(nothing, f"cluster status {CLUSTER}")]},
    "cluster down": {1: [(nothing, f"cluster down {CLUSTER}")]},
}
FIXED = [
    pytest.param(code, arrange, call, id=f"{call} after {arrange.__name__} is {code}")
    for codes in CALLS.values()
    for code, calls in codes.items()
    for arrange, call in calls
]


def documented() -> dict[str, set[int]]:
    """Command -> its codes beside 2 and 130, from the table in docs/cli.md."""
    text = (ROOT / "docs/cli.md").read_text()
    rows = re.findall(r"^\| `([a-z -]+)` \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    return {name: {n for n, said in enumerate(row) if said.strip() != "-"} for name, *row in rows}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with a sweep, a cluster whose host does not answer, and other results."""
    place = a_scene(tmp_path, monkeypatch).root / "work"
    (place / "s.yaml").write_text(SWEEP)
    (place / "one.jsonl").write_text(
        '{"id": "1", "text": "Hello", "intent": "benign", "category": "c"}\n'
    )
    shutil.copy(TEXTS, place / "texts.jsonl")
    store, expansion = launched(place / "other", SWEEP)
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    monkeypatch.setenv("PYTHONPATH", f"{place}:{ROOT}")
    return place


@pytest.fixture
def at_the_place(rho_sweep, place, monkeypatch):
    monkeypatch.chdir(place)
    return rho_sweep


def test_every_command_has_a_row_and_every_code_of_it_a_call():
    here = documented()
    assert set(here) == {" ".join(words) for words in commands()} == set(CALLS)
    for name, codes in here.items():
        # what needs real hosts, tests/lab holds: that a cluster's commands end well, and that
        # `up` names a host that is off (test_a_host_that_is_off_is_named_and_the_others_go_on)
        lab = {0, 1} if name == "cluster up" else {0} if name.startswith("cluster ") else set()
        assert codes - lab <= set(CALLS[name]) <= codes | {FIXABLE}, name


@pytest.mark.slow
@pytest.mark.parametrize(("code", "arrange", "call"), FIXED)
def test_a_call_ends_with_the_code_of_the_table(at_the_place, place, code, arrange, call):
    arrange(place)
    ran = at_the_place(*call.split())
    assert ran.code == code, ran


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_what_no_command_understands_is_code_2(at_the_place, name):
    for words in (("--no-such-option",), ("no", "such", "words", "here")):
        ran = at_the_place(*name.split(), *words)
        assert (ran.code, ran.out) == (FIXABLE, ""), ran
        assert ran.err.count("error:") == 1


class Interrupted:
    """A stream whose reader presses Ctrl-C at the first word."""

    pressed = False

    def write(self, text: str) -> int:
        if not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt
        return len(text)

    def __getattr__(self, name):
        return getattr(sys.__stdout__, name)


# `launch` and `stress` are interrupted for real in test_chaos, test_start and the tests of stress;
# `cluster up` has nothing to say here before its error; nor has `serve`, which ends no other way
STARTS = {"launch", "score", "stress", "cluster up", "serve"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CALLS.keys() - STARTS))
def test_an_interrupted_command_is_code_130(at_the_place, place, name, monkeypatch):
    arrange, call = next(iter(CALLS[name].values()))[0]
    arrange(place)
    monkeypatch.setattr(sys, "stdout", Interrupted())
    monkeypatch.setattr(sys, "stderr", Interrupted())
    assert at_the_place(*call.split()).code == INTERRUPTED


def test_a_live_page_ends_with_code_130(at_the_place, place, monkeypatch):
    scored(place)
    monkeypatch.setattr(sys, "stdout", Interrupted())
    assert at_the_place("serve", "s").code == INTERRUPTED


def test_the_codes_have_the_numbers_of_the_documentation():
    assert (FAILED, FIXABLE, INTERRUPTED) == (1, 2, 130)
