"""A fake head whose answers a test chooses, and files around the results that must not change."""

import hashlib
import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from orchestrator.cli.app import main
from orchestrator.results.manifest import HEAD
from orchestrator.results.store import Store
from tests.builders import a_result, a_spec

SSH = """\
#!/bin/sh
here={here}
printf '%s\\n' "$*" >> $here/calls
eval "last=\\${{$#}}"
action=${{last##* }}
action=${{action%\\'}}
cat > /dev/null
for answer in $here/answers/$action $here/answers/any; do
    [ -f $answer ] && . $answer && exit 0
done
echo "no route to you" >&2
exit 255
"""
CLUSTER = """
name: studios
python: /usr/bin/python3
hosts: [{name: mac1, address: 10.0.0.1}]
"""
STARTED = {"pid": 7, "running": False, "without": []}


@dataclass(frozen=True)
class Scene:
    """`results/c`, `cluster.yaml`, `sweep.yaml`, files that must not change, and a fake ssh."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "work/results/c"

    @property
    def calls(self) -> list[str]:
        """Command lines of all ssh calls so far."""
        file = self.root / "ssh/calls"
        return file.read_text().splitlines() if file.is_file() else []

    def answers(self, action: str, script: str) -> None:
        """Let the head answer an action by a shell script."""
        (self.root / "ssh/answers" / action).write_text(script)

    def says(self, action: str, value: object, body: bytes = b"") -> None:
        """Let the head answer an action with JSON or raw bytes, followed by a body."""
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        file = self.root / "ssh" / f"{action}.out"
        file.write_bytes(raw + body)
        self.answers(action, f"cat {shlex.quote(str(file))}")

    def has(self, files: dict[str, bytes]) -> None:
        """Let the head list these files and send all of them."""
        self.says("list", {"files": {n: [len(b), 1] for n, b in files.items()}, "launch": None})
        self.sends(files)

    def sends(self, files: dict[str, bytes]) -> None:
        """Let the head send these files, whichever it is asked for."""
        head = {n: [len(b), hashlib.sha256(b).hexdigest()] for n, b in files.items()}
        self.says("send", head, b"\n" + b"".join(files.values()))

    def digest(self) -> dict[str, str]:
        """Every file and link outside the results and the state folder -> its content or target."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            for name in (*names, *(f for f in folders if Path(folder, f).is_symlink())):
                path = Path(folder, name)
                own = [self.results, *(self.root / n for n in ("state", "ssh", "home"))]
                if not any(path.is_relative_to(place) for place in own):
                    content = str(path.readlink()) if path.is_symlink() else path.read_bytes().hex()
                    found[str(path)] = hashlib.sha256(content.encode()).hexdigest()
        return found


def a_scene(root: Path, monkeypatch) -> Scene:
    """Make the folder; this process then uses its ssh, state folder and working directory."""
    for name in ("ssh/answers", "outside", "work", "home", "bin"):
        (root / name).mkdir(parents=True)
    (root / "outside/victim.txt").write_text("mine")
    (root / "work/cluster.yaml").write_text(CLUSTER)
    ssh = root / "bin/ssh"
    ssh.write_text(SSH.format(here=root / "ssh"))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{root / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(root / "state"))
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.chdir(root / "work")
    return Scene(root)


def some_results(folder: Path) -> Store:
    """A results folder of one finished cell."""
    store = Store(folder)
    store.create()
    store.commit(a_result(a_spec()), attempts=1, ray=None)
    manifest = yaml.safe_dump({"cells": dict.fromkeys(store.done(), "one")})
    (folder / "sweep.yaml").write_text(HEAD + manifest)
    return store


def rho_sweep(*words: str) -> int:
    """Run a command in this process; returns its exit code."""
    before, sys.argv = sys.argv, ["rho-sweep", *words]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.argv = before
    raise AssertionError("main always exits")
