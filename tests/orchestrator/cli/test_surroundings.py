"""Real commands in odd surroundings: they work, or say in a sentence what is wrong."""

import json
import os
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.sources.remembered import cache_folder
from tests import ROOT
from tests.orchestrator.cluster.hostile import rho_sweep
from tests.toys import make_model

SWEEP = """\
name: c
model: tiny
grid: {condition: [sft-only], seed: [1]}
train: {epochs: 1, max_length: 64}
data: {sft: starter, size: 16, trap_fraction: 0.0}
probes: {pack: starter, train: [factual], evaluate: [factual], heldout: 0.25}
run: {slots: 1}
"""
DEAD = "http://127.0.0.1:9"
PROXIES = [f"{name}_proxy" for name in ("http", "https", "all", "grpc")]
RAY = {"RAY_ADDRESS": "10.9.9.9:6379", "RAY_AUTH_TOKEN": "another", "RAY_AUTH_MODE": "disabled"}
RAY |= {"RAY_USE_TLS": "1", "RAY_NAMESPACE": "x", "RAY_TMPDIR": "/no/such/folder"}
RAY |= {"RAY_CLIENT_MODE": "1", "RAY_OVERRIDE_JOB_RUNTIME_ENV": "{{}}", "RAY_LOGGER_LEVEL": "x"}
# with these Ray cannot be imported, or says a line as it is
NO_NUMBERS = {"RAY_LOG_MONITOR_MAX_OPEN_FILES": "x", "RAY_max_grpc_message_size": "x"}
NO_NUMBERS |= {"RAY_DEDUP_LOGS_AGG_WINDOW_S": "x"}
SURROUNDINGS = {
    "no folder for temporary files": {"TMPDIR": "/no/such/folder"},
    "a folder for temporary files where nothing can be written": {"TMPDIR": "/proc"},
    "a long folder for temporary files": {"TMPDIR": "{folder}/" + "x" * 150},
    "a folder for temporary files in which Ray cannot start": {"TMPDIR": "{folder}/it's é\\"},
    "no home": {"HOME": "", "XDG_STATE_HOME": "", "XDG_CACHE_HOME": ""},
    "a home where nothing can be written": {"HOME": "/proc/x"},
    "an unknown language": {"LANG": "xx_YY", "LC_ALL": "tlh_KX.ISO-8859-1", "TZ": "No/Such"},
    "a strict Python": {"PYTHONHASHSEED": "7", "PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error"},
    "dead proxies": {n: DEAD for p in PROXIES for n in (p, p.upper())} | {"no_proxy": ""},
    "settings of another Ray": RAY | NO_NUMBERS,
}


def launched(folder: Path, surroundings: dict[str, str], *options: str, files: int = 4096) -> str:
    """What a launch of two cells says, which has to end well."""
    (folder / "s.yaml").write_text(SWEEP)
    given = {name: text.format(folder=folder) for name, text in surroundings.items()}
    if given.get("TMPDIR", "").startswith(str(folder)):
        Path(given["TMPDIR"]).mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | given
    for name in [n for n, text in given.items() if text == ""]:
        del environment[name]
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "launch", "s.yaml", *options],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=250,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    assert "2 of 2 cells scored" in said
    assert "Traceback" not in said
    assert "warning" not in said.lower()
    return said


TOGETHER = [
    ("no folder for temporary files", "no home"),
    ("a folder for temporary files where nothing can be written", "an unknown language"),
    ("a long folder for temporary files", "a home where nothing can be written", "dead proxies"),
    (
        "a folder for temporary files in which Ray cannot start",
        "a strict Python",
        "settings of another Ray",
    ),
]
"""All of them; those in one line have different variables, and share a launch."""


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--inline", "--local"])
@pytest.mark.parametrize("names", TOGETHER, ids=" and ".join)
def test_cells_run(tmp_path, names, option):
    given = [SURROUNDINGS[name] for name in names]
    together = {key: text for one in given for key, text in one.items()}
    assert len(together) == sum(map(len, given))
    launched(tmp_path, together, option)


def test_every_surrounding_is_tried():
    assert sorted(name for names in TOGETHER for name in names) == sorted(SURROUNDINGS)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--inline", "--local"])
@pytest.mark.parametrize("files", [256, 1024])
def test_cells_run_with_few_open_files(tmp_path, option, files):
    launched(tmp_path, {}, option, files=files)


PLAIN = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
PLAIN["PYTHONCOERCECLOCALE"] = "0"
SHOW = r"""
from orchestrator.execution.console import Console
from orchestrator.visible import door
with door():
    print("caf\u00e9")
    Console().print("caf\u00e9")
"""


@pytest.mark.slow
def test_cells_run_where_text_is_ascii(tmp_path):
    launched(tmp_path, PLAIN, "--inline", "--results", "results/caf\u00e9")


def test_letters_that_the_terminal_has_not_are_shown_by_number():
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=os.environ | PLAIN, cwd=ROOT, capture_output=True
    )
    assert done.stdout == b"caf\\xe9\ncaf\\xe9\n", done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("field", ["model", "probes.pack", "data.sft", "stress.prompts"])
@pytest.mark.parametrize("text", ["~no-such-user/x.jsonl", "/a\0b", "a" * 300, "b/" * 2500])
def test_a_path_that_no_file_can_have_is_one_problem(tmp_path, capsys, field, text):
    (tmp_path / "s.yaml").write_text(SWEEP)
    value = json.dumps([text] if field == "stress.prompts" else text)
    assert rho_sweep("plan", str(tmp_path / "s.yaml"), "--set", f"{field}={value}") == 2
    assert f"1 problem\n  {field}: " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("field", ["model", "probes.pack", "data.sft", "evaluate.capability"])
def test_a_loop_of_links_is_one_problem(tmp_path, capsys, field):
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "s.yaml").write_text(SWEEP)
    value = str(tmp_path / "loop.jsonl")
    assert rho_sweep("plan", str(tmp_path / "s.yaml"), "--set", f"{field}={value}") == 2
    assert f"1 problem\n  {field}: " in capsys.readouterr().err


LIBRARIES = {
    "HF_HUB_ETAG_TIMEOUT": "from tasks.sources import hub; hub.commit_of('a/b', None)",
    "MPLBACKEND": "from orchestrator.report.figures import canvas; canvas._matplotlib_svg(None)",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_variable_that_a_library_does_not_understand_is_one_sentence(name):
    code = f"from tasks.contract.cell import NodeError\ntry:\n  {LIBRARIES[name]}\n"
    code += "except NodeError as error:\n  print(error)\n"
    env = os.environ | {name: "nonsense"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True
    )
    assert "cannot be loaded (ValueError: " in done.stdout, done.stderr
    assert "nonsense" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("the environment that it reads this from")


SHADOWS = ("orchestrator", "tasks", "mlx", "mlx_lm", "ray", "numpy", "safetensors", "json")
"""Names of modules that a working folder has too: a user's own `tasks/`, or a stranger's code."""


def shadowed(place: Path) -> Path:
    """A folder with modules of other people, each of which notes that it was run."""
    place.mkdir()
    for name in SHADOWS:
        (place / name).mkdir()
        note = place / f"ran-{name}"
        (place / name / "__init__.py").write_text(f"open({str(note)!r}, 'w').close()\n")
    return place


@pytest.mark.slow
def test_code_in_the_working_folder_is_never_run(tmp_path):
    make_model(tmp_path / "toy")
    place = shadowed(tmp_path / "place")
    (place / "s.yaml").write_text(SWEEP.replace("model: tiny", "model: ../toy"))
    commands = [
        ["plan", "s.yaml"],
        ["launch", "s.yaml"],
        ["launch", "s.yaml", "--inline", "--detach", "--results", "aside"],
        ["card", "results/c", "sft-only", "--fuse", "-o", "card"],
    ]
    for words in commands:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "orchestrator", *words],
            cwd=place,
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    while not (ended := "cells scored" in (place / "aside/launch.log").read_text()):
        time.sleep(0.2)
    assert ended
    assert not list(place.glob("ran-*"))


def test_other_processes_of_this_python_are_started_in_one_way():
    found = [
        str(path.relative_to(ROOT))
        for package in ("orchestrator", "tasks")
        for path in sorted((ROOT / package).rglob("*.py"))
        if "sys.executable" in path.read_text()
    ]
    assert found == ["tasks/model/children.py"]


def in_a_shell(command, folder) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_error(tmp_path, closed):
    command = f"{shlex.quote(sys.executable)} -m orchestrator presets {closed}"
    done = in_a_shell(command, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_working_folder_that_is_gone_is_named(tmp_path):
    command = (
        f"mkdir x; cd x; rmdir ../x; {shlex.quote(sys.executable)} -m orchestrator plan quickstart"
    )
    done = in_a_shell(command, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("error:") == 1
    assert "the working folder is gone" in done.stderr


def test_a_user_without_a_home_has_folders(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**30)
    assert cache_folder().parts[-2:] == (".cache", "rho-sweep")
