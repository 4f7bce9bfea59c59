"""Whatever a head answers, to every command: a sentence, no traceback, nothing outside changes."""

import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from orchestrator.cluster import ray as cluster_ray
from orchestrator.cluster import remote_sweep, ssh
from orchestrator.cluster.remote_sweep import Far
from orchestrator.cluster.ssh import remotes
from orchestrator.config.cluster_file import load_cluster
from orchestrator.errors import UserError
from orchestrator.results.store import Store
from tasks.data import probe_packs
from tests.orchestrator.cluster.hostile import Scene, a_scene, rho_sweep, some_results

COMMANDS = [
    ("status", "results/c"),
    ("logs", "results/c", "one"),
    ("stop", "results/c"),
    ("report", "results/c", "--markdown"),
    ("launch", "quickstart", "--cluster", "cluster.yaml", "--results", "results/c", "--detach"),
    ("stress", "results/c", "--prompts", "starter", "--cluster", "cluster.yaml"),
    ("score", "results/c", "--pack", "pairs.jsonl", "--cluster", "cluster.yaml"),
    ("cluster", "up", "cluster.yaml"),
    ("cluster", "status", "cluster.yaml"),
    ("cluster", "doctor", "cluster.yaml"),
    ("cluster", "prefetch", "cluster.yaml", "quickstart", "--set", "probes.pack=pairs.jsonl"),
    ("cluster", "install", "cluster.yaml"),
    ("cluster", "down", "cluster.yaml"),
]
ANSWERS = {
    "nothing": "true",
    "no JSON": "echo Welcome to mac1",
    "binary": "head -c 100000 /dev/urandom",
    "huge": "head -c 200000000 /dev/zero",
    "deep": "head -c 200000 /dev/zero | tr '\\0' '['",
    "null": "echo null",
    "a list": "echo '[[]]'",
    "wrong types": "cat {wrong}",
    "a traceback": "printf 'Traceback (most recent call last):\\n  x\\nKeyError: 1\\n' >&2; exit 1",
    "escapes": "printf '\\033]0;owned\\007\\n' >&2; exit 1",
    "a long line": "head -c 900000 /dev/zero | tr '\\0' x >&2; exit 3",
    "endless errors": "yes >&2",
}
KEYS = {
    *("files", "launch", "pid", "code", "said", "missing", "digest", "stopped", "alive", "token"),
    *cluster_ray.LOOK,
}


@pytest.fixture
def scene(tmp_path, monkeypatch) -> Scene:
    scene = a_scene(tmp_path, monkeypatch)
    pairs = Path(probe_packs.__file__).parents[1] / "starter/probes.jsonl"
    shutil.copy(pairs, "pairs.jsonl")
    some_results(scene.results)
    Far(load_cluster(Path("cluster.yaml")), scene.results).remember(Path("cluster.yaml"))
    return scene


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c[:2]))
def test_every_answer_is_a_sentence_to_every_command(scene, command, capsys):
    wrong = scene.root / "ssh/wrong"
    for what, script in ANSWERS.items():
        wrong.write_text(json.dumps({key: {"a": [1, {"b": None}]} for key in KEYS}))
        scene.answers("any", script.format(wrong=wrong))
        before = scene.digest()
        code = rho_sweep(*command)
        said = capsys.readouterr()
        assert code in (0, 1, 2), what
        assert "Traceback" not in said.err + said.out, what
        assert len(said.err) < 3000, what
        assert "mac1" in said.err + said.out, what
        assert scene.digest() == before, what
    assert scene.calls


def test_a_slow_head_has_a_deadline(scene, monkeypatch, capsys):
    monkeypatch.setattr(remote_sweep, "SHORT_S", 0.5)
    scene.answers("list", "while true; do printf ' '; sleep 0.1; done")
    started = time.monotonic()
    assert rho_sweep("status", "results/c") == 0
    assert time.monotonic() - started < 20
    assert "no answer within 0.5 s" in capsys.readouterr().err


def test_what_a_login_shell_prints_is_no_part_of_an_answer(scene):
    remote = remotes(load_cluster(Path("cluster.yaml")))[0]
    for noise in ("echo Welcome", "printf 'You have mail: '"):
        scene.answers("any", f"{noise}; mark=${{last#*echo }}; echo ${{mark%%;*}}; echo '{{}}'")
        assert remote.run("look", timeout_s=20).stdout == b"{}\n"


DEAF = {
    "takes nothing": ("exec sleep 60", "did not move for 1 s"),
    "complains slowly": ("while :; do echo . >&2 || exit; sleep 0.2; done", "did not move for 1 s"),
    "complains without end": ("exec yes >&2", "of complaints about a copy"),
    "takes all and does not end": ("cat >/dev/null; exec sleep 60", "did not move for 1 s"),
    "ends at once": ("echo no room >&2; exit 3", "no room"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", DEAF)
def test_a_head_that_takes_no_copy_or_never_ends_is_given_up(scene, monkeypatch, what):
    script, says = DEAF[what]
    (scene.root / "bin/ssh").write_text(f"#!/bin/sh\n{script}\n")
    monkeypatch.setattr(ssh, "STALL_S", 1.0)
    (scene.root / "big").write_bytes(bytes(4 << 20))
    remote = remotes(load_cluster(Path("cluster.yaml")))[0]
    with pytest.raises(UserError, match=f"mac1 .*{says}"):
        remote.copy_to(scene.root / "big", "~/x")


OURS = b"# Written by rho-sweep launch: the sweep as it was resolved.\n"
CONTENTS = [
    b"\xff\xfe\0",
    b"[" * 20_000,
    b"[[]]",
    b'{"running": 1, "at": {}, "left_s": "x", "units": 5, "cells": [], "judge": 1}',
    b'{"running": [{"label": 1}], "at": [], "left_s": [], "units": {"a": {}}, "judge": ""}',
    OURS + b"cells: {one: [1], 2: null}\n",
    OURS + b"cells: {../../x: /etc}\n",
]
READERS = [
    ("status", "results/c"),
    ("logs", "results/c", "one"),
    ("analyze", "results/c"),
    ("report", "results/c", "--markdown"),
    ("export", "results/c", "--to", "csv"),
    ("compare", "results/c", "results/c"),
    ("stress", "results/c", "--inline"),
    ("stop", "results/c"),
]
FILES = [
    "sweep.yaml",
    "live.json",
    "stress.json",
    "scored.json",
    "cells/{cell}.arrow",
    "scores/{cell}.arrow",
]


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_what_a_head_sends_is_data_to_every_command(scene, file, capsys):
    name = file.format(cell=next(iter(Store(scene.results).done())))
    before = scene.digest()
    for number, content in enumerate(CONTENTS):
        scene.says("list", {"files": {name: [len(content), number]}, "launch": [7, "mac1"]})
        scene.sends({name: content})
        assert Far.of(scene.results).pull().files == 1
        for command in READERS:
            code = rho_sweep(*command)
            said = capsys.readouterr()
            assert code in (0, 1, 2), (content, command)
            assert "Traceback" not in said.err + said.out, (content, command)
            assert scene.digest() == before, (content, command)


STRANGE = [
    "cells",
    "adapters/0123456789abcdef",
    "logs/0123456789abcdef.log",
    ".launch.lock",
    "launch.log",
    "analysis",
    "live.json",
]


@pytest.mark.slow
@pytest.mark.parametrize("place", STRANGE)
def test_links_pipes_and_sockets_in_a_results_folder_are_named(scene, place, capsys):
    path = scene.results / place
    if path.is_dir():
        path.rename(scene.results / "away")
    path.parent.mkdir(exist_ok=True)
    outside = scene.root / "outside"
    for make in (
        lambda: path.symlink_to(outside),
        lambda: path.symlink_to(outside / "victim.txt"),
        lambda: os.mkfifo(path),
        lambda: os.mknod(path, stat.S_IFSOCK | 0o600),
    ):
        make()
        before = scene.digest()
        for command in (*READERS, ("launch", "quickstart", "--inline", "--results", "results/c")):
            assert rho_sweep(*command) == 2, command
            assert f"{place}: is " in capsys.readouterr().err
        assert scene.digest() == before
        path.unlink()
