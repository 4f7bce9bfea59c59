"""`cluster install --python`: the environment is made with a Python of uv; uv is a stand-in."""

import os
import subprocess

import pytest

from orchestrator.cluster import install as installing
from orchestrator.cluster.install import Parcel
from orchestrator.cluster.ssh import Finished, Remote
from orchestrator.config.hosts import Cluster, Host
from orchestrator.errors import UserError
from tests.macs import put_tool

PYTHON = """\
[ "$3" = venv ] || exit 0
mkdir -p "$5/bin" && cp "$0" "$5/bin/python"
"""
CLUSTER = Cluster(
    name="c", python="/nowhere/python3", hosts=(Host(name="one", address="10.0.0.1"),)
)


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A host whose commands a shell of this machine runs, in a home of its own."""

    def run(_, command, **_more):
        home = {"HOME": str(tmp_path), "PATH": os.defpath}
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, env=home)
        return Finished(done.returncode, done.stdout, done.stderr)

    monkeypatch.setattr(Remote, "run", run)
    monkeypatch.setattr(installing, "_copy", lambda *_: None)
    return Remote(CLUSTER, CLUSTER.hosts[0])


def install(remote, version):
    parcel = Parcel("0.1-x", {}, "own.whl", ("requirements.lock",), offline=False)
    return installing._install(remote, parcel, version, lambda _: None)


def test_the_environment_is_made_with_the_python_of_uv(remote, tmp_path):
    (tmp_path / ".local").mkdir()
    put_tool(tmp_path / "a b", "python3.12", PYTHON)
    finds = f'[ "$2" = find ] && echo "{tmp_path}/a b/python3.12"; echo busy >&2'
    calls = put_tool(tmp_path / ".local/bin", "uv", finds)
    assert install(remote, "3.12.8") == "installed"
    assert calls.read_text().splitlines() == [
        "python install --quiet 3.12.8",
        "python find --managed-python 3.12.8",
    ]
    made = (tmp_path / "a b/python3.12.calls").read_text()
    assert f"-m venv --clear {tmp_path}/.rho-sweep/env/0.1-x" in made
    assert (tmp_path / ".rho-sweep/env/0.1-x/complete").is_file()


def test_a_host_without_uv_says_where_to_get_it(remote):
    with pytest.raises(UserError, match=r": there is no uv; get it from docs\.astral\.sh/uv$"):
        install(remote, "3.12.8")


@pytest.mark.parametrize("version", ["3.12", "3.12.8; rm -r x", "python3.12", ""])
def test_a_version_that_is_not_in_full_is_refused(version, tmp_path):
    with pytest.raises(UserError, match="must be a version in full"):
        installing.install(CLUSTER, None, None, print, version)
