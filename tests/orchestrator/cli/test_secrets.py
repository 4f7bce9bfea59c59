"""Secrets of the user's environment, planted before real commands: none leaves the command."""

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests import ROOT
from tests.orchestrator.cluster.hostile import CLUSTER, SSH
from tests.tasks.judges.test_endpoint import Server

KEY, HUB, OTHER = (f"planted-{word}-0123456789abcdef" for word in ("judge", "hub", "other"))
SECRETS = {"RHO_SWEEP_JUDGE_KEY": KEY, "HF_TOKEN": HUB, "OPENAI_API_KEY": OTHER}
SWEEP = """\
name: c
model: tiny
grid: {condition: [sft-only], seed: [1]}
train: {epochs: 1, max_length: 64}
data: {sft: starter, size: 16, trap_fraction: 0.0}
probes: {pack: starter, train: [factual], evaluate: [factual], heldout: 0.25}
run: {notify: env > notified; cat >> notified}
stress: {prompts: [p.jsonl], max_tokens: 4, judge: JUDGE}
"""
PROMPT = '{"id": "a", "text": "Who wrote Faust?", "intent": "benign", "category": "x"}\n'
WRAPPER = """\
#!/bin/sh
{{ env; printf '%s ' "$0" "$@"; }} >> {here}/children.txt
exec {real} "$@"
"""
LOOK = {
    "chip": "M2",
    "system": "Darwin 24.5.0",
    "memory_bytes": 1 << 34,
    "free_bytes": 1 << 34,
    "complaint": None,
}
LOOK |= {"token": None, "session": None, "same_version": True, "head": False, "keeper": False}


class Bench:
    """Folders of a user, an ssh that answers, and programs that write down what they are given."""

    def __init__(self, root: Path) -> None:
        self.root, self.said = root, ""
        for name in ("home", "work", "tmp", "bin", "ssh/answers", "log"):
            (root / name).mkdir(parents=True)
        (root / "work/s.yaml").write_text(SWEEP.replace("JUDGE", "rules"))
        (root / "work/p.jsonl").write_text(PROMPT)
        (root / "work/cluster.yaml").write_text(f"tls: true\n{CLUSTER}")
        for name in ("git", "openssl", "g++", "sh"):
            self.program(name, WRAPPER.format(here=root / "log", real=shutil.which(name)))
        script = SSH.format(here=root / "ssh").removeprefix("#!/bin/sh\n")
        self.program("ssh", f"#!/bin/sh\nenv >> {root}/log/children.txt\n{script}")
        for action, answer in {"look": LOOK, "start": {}, "stop": {"stopped": {}}}.items():
            file = root / f"ssh/{action}.out"
            file.write_text(json.dumps(answer))
            (root / "ssh/answers" / action).write_text(f"cat {file}")
        paths = {"HOME": "home", "TMPDIR": "tmp", "XDG_STATE_HOME": "state", "HF_HOME": "hub"}
        self.environment = os.environ | SECRETS | {k: str(root / v) for k, v in paths.items()}
        self.environment["PATH"] = f"{root / 'bin'}:{os.environ['PATH']}"
        self.environment["PYTHONPATH"] = str(ROOT)

    def program(self, name: str, text: str) -> None:
        """Put a program of this name first in PATH."""
        path = self.root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def run(self, *words: str) -> int:
        """Run a command, and look into all its processes while it runs."""
        command = [sys.executable, "-m", "orchestrator", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        where = {"cwd": self.root / "work", "env": self.environment}
        with subprocess.Popen(command, **where, **pipes) as process, watched(process) as seen:
            self.said += process.communicate(timeout=250)[0]
        self.said += "\n".join(seen)
        return process.returncode

    def leaks(self) -> list[str]:
        """Where a secret was seen: output and children of commands, and every file."""
        found = [
            line for line in self.said.splitlines() if any(s in line for s in SECRETS.values())
        ]
        for path in self.root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                found += [str(path) for secret in SECRETS.values() if secret.encode() in content]
        return found


@contextmanager
def watched(process: subprocess.Popen) -> Iterator[set[str]]:
    """Environment and command line of every descendant that lives long enough to be looked at."""
    seen: set[str] = set()
    ended = threading.Event()

    own = " ".join(psutil.Process(process.pid).cmdline())

    def look() -> None:
        while not ended.wait(0.02):
            with suppress(psutil.Error):
                for child in psutil.Process(process.pid).children(recursive=True):
                    with suppress(psutil.Error):
                        name, words = child.name(), " ".join(child.cmdline())
                        if words in ("", own):  # a copy that has not become its program yet
                            continue
                        seen.update(f"{name}: {k}={v}" for k, v in child.environ().items())
                        seen.add(f"{name}: {words}")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.mark.slow
def test_no_command_on_this_machine_hands_a_secret_on(bench, server):
    judge = f"endpoint:{server.url}"
    (bench.root / "work/s.yaml").write_text(SWEEP.replace("JUDGE", judge))
    assert bench.run("launch", "s.yaml", "--inline") == 0, bench.said
    assert bench.run("judge", "run", "results/c", "--judge", f"{judge}#another") == 0
    assert bench.run("judge", "run", "results/c", "--judge", "model:tiny") == 0
    assert bench.run("status", "results/c") == 0
    assert bench.run("stop", "results/c") in (0, 2)
    assert bench.run("doctor") in (0, 1)
    given = {headers["Authorization"] for _, headers, _ in server.asked}
    assert given == {f"Bearer {KEY}"}
    assert (bench.root / "work/notified").stat().st_size
    assert (bench.root / "log/children.txt").stat().st_size
    assert bench.leaks() == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_no_command_of_a_cluster_hands_a_secret_on(bench):
    for action in ("doctor", "up", "install"):
        assert bench.run("cluster", action, "cluster.yaml") in (0, 1)
    assert bench.run("launch", "s.yaml", "--cluster", "cluster.yaml", "--detach") == 2
    secrets = bench.root / "home/.rho-sweep/clusters/studios"
    token = (secrets / "token").read_text()
    made = json.loads((secrets / "certificates.json").read_text())["mac1"]["node.key"]
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    for name in ("token", "certificates.json"):
        assert stat.S_IMODE((secrets / name).stat().st_mode) == 0o600
    assert bench.leaks() == []
    files = [f for f in bench.root.rglob("*") if f.is_file() and f.parent != secrets]
    for planted in (token, made.splitlines()[1]):
        assert planted not in bench.said
        assert [str(f) for f in files if planted.encode() in f.read_bytes()] == []
    assert bench.run("cluster", "down", "cluster.yaml") == 0
    assert [f.name for f in secrets.iterdir()] == ["canary.json"]


@pytest.mark.slow
def test_no_process_of_ray_and_no_cell_gets_a_secret(bench):
    assert bench.run("launch", "s.yaml", "--slots", "1") == 0
    assert "raylet: " in bench.said
    assert "ray::" in bench.said
    assert bench.leaks() == []
