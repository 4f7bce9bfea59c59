"""`rho-sweep cluster install` on hosts that reach no registry."""

import csv
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import pytest

from orchestrator.cluster.wheel import this_version
from tests.lab.conftest import write_cluster
from tests.lab.machines import CODE, HOME, Lab, Machine

pytestmark = pytest.mark.cluster
TOYS = {
    "ray": {"ray/__init__.py": "TOY = True\n"},
    "psutil": {"psutil.py": "class Process: ...\nclass Error(Exception): ...\n"},
}
ROOT = "inst"
SCRIPT = """\
import json, sys
from pathlib import Path
from orchestrator.config.cluster_file import demand_cluster
from orchestrator.cluster.install import install
from orchestrator.cluster.wheel import Wheel, this_version
mine = this_version()
toy = Wheel(mine.name, mine.content, {"requirements.lock": Path("toys.lock").read_bytes()})
print(toy.environment)
say = lambda text: print(text, file=sys.stderr)
gathered = install(demand_cluster(Path(sys.argv[1])), toy, Path("wheels"), say)
print(json.dumps(gathered.done))
print(json.dumps(gathered.failed))
"""


def toy_wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Write a wheel; its line for a lock file."""
    info = f"{name}-1.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = io.StringIO()
    csv.writer(record).writerows((path, "", "") for path in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in (files | {f"{info}/RECORD": record.getvalue()}).items():
            archive.writestr(inside, text)
    return f"{name}==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> str:
    """A cluster whose hosts have no environment yet, and a folder of wheels on the laptop."""
    home = lab.laptop.folder / "root"
    (home / "wheels").mkdir()
    lock = "".join(toy_wheel(home / "wheels", name, files) for name, files in TOYS.items())
    (home / "toys.lock").write_text(lock)
    path = write_cluster(lab, "installed", f"root: ~/{ROOT}\n")
    text = (home / path).read_text()
    python = str(Path(sys.base_prefix, "bin", "python3"))
    (home / path).write_text(text.replace(sys.executable, python))
    yield path
    (home / path).unlink()


def install(lab: Lab, cluster: str) -> tuple[str, dict, dict, str]:
    done = lab.laptop.python(SCRIPT.replace("sys.argv[1]", repr(cluster)), timeout_s=200)
    environment, installed, failed = done.stdout.splitlines()
    return environment, json.loads(installed), json.loads(failed), done.stderr


def imports(host: Machine, environment: str) -> str:
    python = f"{HOME}/{ROOT}/env/{environment}/bin/python"
    script = "import orchestrator, ray; print(orchestrator.__file__, ray.TOY)"
    return host.run(python, "-c", script, PYTHONPATH="").stdout


def test_every_host_gets_this_version_once(lab, cluster):
    environment, done, failed, said = install(lab, cluster)
    assert (done, failed) == (dict.fromkeys(("mac1", "mac2", "mac3"), "installed"), {})
    assert "mac2: copying" in said
    for host in lab.hosts:
        where, toy = imports(host, environment).split()
        assert where.startswith(f"{HOME}/{ROOT}/env/{environment}/lib")
        assert str(CODE) not in where
        assert toy == "True"
    again = install(lab, cluster)
    assert again[1] == dict.fromkeys(("mac1", "mac2", "mac3"), "was there")
    assert again[3] == ""


def test_what_was_cut_off_is_finished_and_damaged_files_are_copied_again(lab, cluster):
    environment, *_ = install(lab, cluster)
    home = lab.hosts[1].folder / "root" / ROOT
    (home / "env" / environment / "complete").unlink()
    (home / "files" / "ray-1-py3-none-any.whl").write_bytes(b"half")
    whole = (home / "files" / "psutil-1-py3-none-any.whl").stat().st_mtime_ns
    _, done, _, said = install(lab, cluster)
    assert done == {"mac1": "was there", "mac2": "installed", "mac3": "was there"}
    assert "copying ray-1-py3-none-any.whl (1 of 1)" in said
    assert (home / "files" / "psutil-1-py3-none-any.whl").stat().st_mtime_ns == whole


def test_a_wheel_with_another_hash_is_refused_and_the_host_named(lab, cluster):
    lock = lab.laptop.folder / "root/toys.lock"
    good = lock.read_text()
    try:
        first, second = good.splitlines()
        lock.write_text(f"{first[:-4]}0000\n{second}\n")
        _, done, failed, _ = install(lab, cluster)
    finally:
        lock.write_text(good)
    assert done == {}
    assert "mac1 (10.77.0.1): installing failed" in failed["mac1"]
    assert "sha256" in failed["mac1"] or "hash" in failed["mac1"].lower()


def test_up_says_what_to_do_on_a_host_without_this_version(lab, cluster):
    done = lab.laptop.rho_sweep("cluster", "up", cluster, check=False)
    assert done.returncode == 2
    assert "mac1 (10.77.0.1): this version is not installed" in done.stderr
    assert "rho-sweep cluster install" in done.stderr
    assert this_version().environment not in done.stderr
