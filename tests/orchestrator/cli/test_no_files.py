"""A pipe, socket, device, folder, or 5 GB in the place of a file: one sentence, and no waiting."""

import os
import socket

import pytest

from tests.builders import a_result, launched, model_folder

SWEEP = """\
name: s
model: ./model
grid: {condition: [sft-only], seed: [1]}
data: {size: 20}
"""
CLUSTER = "name: c\npython: /opt/python\nhosts: [{name: one, address: 127.0.0.1, port: 1}]\n"


def a_socket(path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # a whole path may be too long for one


def sparse(path) -> None:
    path.touch()
    os.truncate(path, 5 << 30)


KINDS = {
    "a pipe": os.mkfifo,
    "a socket": a_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "5 GB": sparse,
    "nothing": lambda path: path.touch(),
}
ON_RESULTS = ("status r", "analyze r", "check r", "stress r --inline", "logs r sft-only")
CALLS = {
    "s.yaml": ("plan s.yaml", "launch s.yaml --inline"),
    "cluster.yaml": ("cluster status cluster.yaml", "launch s.yaml --cluster cluster.yaml"),
    "texts.jsonl": ("plan s.yaml --set data.sft=texts.jsonl",),
    "pack.jsonl": ("plan s.yaml --set probes.pack=pack.jsonl",),
    "prompts.jsonl": ("stress r --inline --prompts prompts.jsonl",),
    "judged.jsonl": ("judge validate judged.jsonl",),
    "lm.json": ("import lm-eval lm.json r", "import inspect lm.json r"),
    "q.yaml": ("analyze r --questions q.yaml",),
    "model/config.json": ("plan s.yaml",),
    "model/tokenizer.json": ("plan s.yaml",),
    "model/tokenizer_config.json": ("plan s.yaml",),
    "model/model.safetensors": ("plan s.yaml",),
    "model/model.safetensors.index.json": ("plan s.yaml",),
    "model/chat_template.jinja": ("plan s.yaml",),
    "model/notes.txt": ("plan s.yaml",),
    "r/sweep.yaml": (*ON_RESULTS, "launch s.yaml --inline --results r"),
    "r/report.html": ("report r",),
    "r/stress.json": ON_RESULTS,
    "r/live.json": ON_RESULTS,
    "r/.launch.lock": (*ON_RESULTS, "stop r"),
    "r/logs/CELL.log": ON_RESULTS,
    "r/cells/CELL.arrow": ON_RESULTS,
    "r/scores/CELL.arrow": ON_RESULTS,
    "r/adapters/CELL/adapters.safetensors": ON_RESULTS,
}
SOMETIMES_FINE = {"a folder", "nothing"}


@pytest.fixture
def cell(tmp_path, monkeypatch) -> str:
    """Id of the trained cell of results `r`, beside a model and a sweep."""
    monkeypatch.chdir(tmp_path)
    model_folder(tmp_path / "model")
    (tmp_path / "s.yaml").write_text(SWEEP)
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    store, expansion = launched(tmp_path / "r", SWEEP)
    for spec in expansion.all:
        store.commit(a_result(spec), attempts=1, ray=None)
    (tmp_path / "r/logs").mkdir()
    return expansion.cells[0].cell_id


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_file_is_one_sentence_and_not_waited_for(
    tmp_path, rho_sweep, monkeypatch, cell, name, kind
):
    path = tmp_path / name.replace("CELL", cell)
    path.unlink(missing_ok=True)
    monkeypatch.chdir(path.parent)
    KINDS[kind](path)
    monkeypatch.chdir(tmp_path)
    for call in CALLS[name]:
        if call.startswith("launch") and name.startswith("r/") and kind in SOMETIMES_FINE:
            continue  # it writes the file anew and trains
        said = rho_sweep(*call.split())
        fine = kind in SOMETIMES_FINE or name.startswith("r/")
        assert said.code in ((0, 1, 2) if fine else (2,)), said
        assert said.err.count("error:") == (said.code == 2), said
        assert len(said.err) < 3_000


def which(path) -> tuple[int, ...]:
    """The file itself, without the time of its last reading, which following a link changes."""
    found = os.lstat(path)
    return found.st_ino, found.st_mode, found.st_mtime_ns, found.st_ctime_ns


@pytest.mark.slow
@pytest.mark.usefixtures("cell")
@pytest.mark.parametrize("call", ["init quickstart --force -o there", "report r -o there"])
@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a device"])
def test_nothing_takes_the_place_of_what_is_no_file(tmp_path, rho_sweep, call, kind):
    KINDS[kind](tmp_path / "there")
    before = which(tmp_path / "there")
    said = rho_sweep(*call.split())
    assert (said.code, said.out) == (2, "")
    assert "error: there: is a pipe or a device" in said.err
    assert which(tmp_path / "there") == before


@pytest.mark.usefixtures("cell")
@pytest.mark.parametrize(
    "call",
    [
        "export r -o r/cells",
        "export r -o r/cells/mine",
        "report r -o r/sweep.yaml",
        "report r -o r/../r/logs/mine.html",
        "analyze r -o r/scores",
        "card r -o r/adapters",
        "init quickstart --force -o r/sweep.yaml",
        "doctor --full -o r/live.json",
    ],
)
def test_nothing_is_written_among_the_data_of_results(tmp_path, rho_sweep, call):
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    said = rho_sweep(*call.split())
    assert (said.code, said.out) == (2, "")
    assert "is for results alone; choose another place" in said.err
    assert {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")} == before
