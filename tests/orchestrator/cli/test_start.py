"""Commands start at once: heavy packages load where they are used, in a process of its own each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.builders import a_result, launched

HEAVY = {
    "huggingface_hub",
    "jinja2",
    "matplotlib",
    "mlx",
    "mlx_lm",
    "numpy",
    "pandas",
    "pyarrow",
    "pyarrow.compute",
    "pydantic",
    "ray",
    "rich",
    "scipy",
    "scipy.stats",
    "tokenizers",
    "transformers",
}
RUN = """\
import sys
from orchestrator.cli import main
try:
    main()
finally:
    names = {name.partition(".")[0] for name in sys.modules}
    names |= {"pyarrow.compute", "scipy.stats"} & sys.modules.keys()
    print("loaded", *sorted(names), file=sys.stderr)
"""
SWEEP = """\
name: s
model: m
grid:
  condition: [rho-guided]
  rho_weight: [0.1]
  margin: [0.1]
  seed: [1, 2]
"""
GROUPS = ("cluster", "import", "judge")
PLANS = {"numpy", "pyarrow", "pyarrow.compute", "pydantic", "scipy"}
COUNTS = {"tokenizers", "transformers", "jinja2", "huggingface_hub"}
"""What counting tokens needs once: the model's own tokenizer and chat template."""


def loaded_by(*args: object, **environment: str) -> set[str]:
    """The heavy packages that a command has loaded when it ends."""
    ran = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, args)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    last = ran.stderr.splitlines()[-1].split()
    assert last[0] == "loaded", ran.stderr
    return HEAVY & set(last)


def commands() -> list[tuple[str, ...]]:
    """Every command, and every command of a group."""
    from typer.main import get_command

    from orchestrator.cli.app import app

    found: list[tuple[str, ...]] = []
    for name, command in get_command(app).commands.items():
        found += [(name, below) for below in command.commands] if name in GROUPS else [(name,)]
    return found


@pytest.fixture
def folder(tmp_path) -> Path:
    store, expansion = launched(tmp_path / "s", SWEEP)
    for spec in expansion.all:
        store.commit(a_result(spec), attempts=2, ray=None)
        for n in (1, 2):
            row = {"cell_id": spec.cell_id, "attempt": n, "started_at": n + 0.5, "outcome": "ok"}
            store.write_attempt(row)
    store.flush()
    return store.folder


@pytest.mark.slow
@pytest.mark.parametrize("args", [["version"], ["presets"], ["--help"], ["judge", "--help"]])
def test_what_only_reads_text_loads_nothing_heavy(args):
    assert loaded_by(*args) == set()


@pytest.mark.slow
def test_help_of_every_command_loads_nothing_heavy():
    code = RUN.replace(
        "    main()\n",
        f"    for words in {commands()!r}:\n"
        "        sys.argv = ['rho-sweep', *words, '--help']\n"
        "        try: main()\n"
        "        except SystemExit: pass\n",
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ran.stdout.count("Usage: rho-sweep") == len(commands()) > 20
    assert HEAVY & set(ran.stderr.split()) == set()


def test_a_completion_loads_nothing_heavy():
    asked = {
        "_RHO_SWEEP_COMPLETE": "complete_bash",
        "COMP_WORDS": "rho-sweep st",
        "COMP_CWORD": "1",
    }
    assert loaded_by(**asked) == set()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a Mac's numpy has no OpenBLAS")
@pytest.mark.parametrize(("asked", "threads"), [({}, 1), ({"OPENBLAS_NUM_THREADS": "2"}, 2)])
def test_numpy_starts_no_threads_that_nobody_asked_for(asked, threads):
    code = (
        "import os; from orchestrator.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "import numpy; print('threads', len(os.listdir('/proc/self/task')))"
    )
    ours = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    ran = subprocess.run(
        [sys.executable, "-c", code, "version"],
        env=ours | asked,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"threads {min(threads, os.cpu_count() or 1)}" in ran.stdout, ran.stderr


def test_stop_loads_nothing_heavy(folder):
    assert loaded_by("stop", folder) == set()


@pytest.mark.slow
@pytest.mark.parametrize("args", [["status"], ["logs", "baseline"]])
def test_status_and_logs_load_arrow_and_no_more_than_arrow_loads(folder, args):
    command, *rest = args
    assert loaded_by(command, folder, *rest) <= {"pyarrow", "numpy"}


@pytest.mark.slow
def test_results_without_a_finished_cell_load_no_more(tmp_path):
    begun = launched(tmp_path / "s", SWEEP)[0].folder
    assert loaded_by("status", begun) <= {"pyarrow", "numpy"}
    assert loaded_by("plan", "quickstart", "--results", tmp_path / "q") <= PLANS | COUNTS


def test_the_list_of_cells_loads_no_statistics(folder):
    assert loaded_by("logs", folder) <= {"pyarrow", "numpy", "rich"}


@pytest.mark.slow
def test_a_plan_draws_nothing_and_a_second_one_counts_no_token_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # nothing is remembered yet
    first, second = (loaded_by("plan", "quickstart", "--results", tmp_path / "q") for _ in range(2))
    assert first & COUNTS
    assert first <= PLANS | COUNTS
    assert second <= PLANS


@pytest.mark.slow
def test_a_launch_says_what_it_will_do_before_it_loads_ray(tmp_path):
    code = (
        "import sys; from orchestrator.execution.display import PlainDisplay;"
        "from orchestrator.cli import main; sys.argv[1:] = ['launch', 'quickstart', '--results',"
        f" {str(tmp_path / 'q')!r}]\n"
        "def begin(*_, **__): print('loaded', *sorted(sys.modules)); raise KeyboardInterrupt\n"
        "PlainDisplay.begin = begin\n"
        "main()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    loaded = set(ran.stdout.split())
    assert "loaded" in loaded, ran.stderr
    assert HEAVY & loaded <= PLANS | COUNTS
    assert "interrupted" in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("rho-sweep plan quick", {"quickstart"}),
        ("rho-sweep launch abl", {"ablation"}),
        ("rho-sweep init dose", {"dose-response"}),
        ("rho-sweep status ", {"results/a", "results/b"}),
        ("rho-sweep report results/b", {"results/b"}),
        ("rho-sweep stress ./results/", {"results/a", "results/b"}),
        ("rho-sweep analyze ", {"results/a", "results/b"}),
        ("rho-sweep compare results/a res", {"results/a", "results/b"}),
        ("rho-sweep judge run results/b", {"results/b"}),
        ("rho-sweep status nowhere/", set()),
    ],
)
def test_presets_and_results_are_completed(tmp_path, typed, offered):
    for name in ("a", "b"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "sweep.yaml").touch()
    (tmp_path / "results" / "no-results").mkdir()
    asked = {
        "_RHO_SWEEP_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
        "PYTHONPATH": str(ROOT),
    }
    ran = subprocess.run(
        [sys.executable, "-m", "orchestrator"],
        cwd=tmp_path,
        env=os.environ | asked,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert {line.removeprefix("./") for line in ran.stdout.split()} == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_a_shell(tmp_path, shell):
    home = {"HOME": str(tmp_path), "SHELL": f"/bin/{shell}", "PYTHONPATH": str(ROOT)}
    code = (
        "import shellingham, sys; from orchestrator.cli import main;"
        f"shellingham.detect_shell = lambda *_: ({shell!r}, '/bin/{shell}');"
        "sys.argv = ['rho-sweep', '--install-completion']; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert f"{shell} completion installed in {tmp_path}" in ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("bash", {"COMP_WORDS": "rho-sweep logs {} {}", "COMP_CWORD": "3"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "rho-sweep logs {} {}"}),
        (
            "fish",
            {
                "_TYPER_COMPLETE_ARGS": "rho-sweep logs {} {}",
                "_TYPER_COMPLETE_WORD_TO_COMPLETE": "{1}",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
        ),
    ],
)
def test_cells_of_the_results_are_completed_in_each_shell(tmp_path, shell, asked):
    store, expansion = launched(tmp_path / "s", SWEEP)
    cell = expansion.all[1].cell_id
    words = {name: text.format(store.folder, cell[:12]) for name, text in asked.items()}
    ran = subprocess.run(
        [sys.executable, "-m", "orchestrator"],
        env=os.environ | words | {"_RHO_SWEEP_COMPLETE": f"complete_{shell}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert cell in ran.stdout, ran.stderr
    assert expansion.all[0].cell_id not in ran.stdout
