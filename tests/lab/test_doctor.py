"""`rho-sweep cluster prefetch` and `doctor` on three hosts over ssh."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cluster.wheel import this_version
from tasks.model.blas import in_use
from tasks.starter import TINY
from tests import ROOT
from tests.lab.conftest import write_cluster
from tests.lab.machines import HOME, Lab, Machine
from tests.macs import UNLIKE, put_tools

SWEEP = """\
name: local
model: ./mine
grid: {condition: [sft-only], seed: [1]}
train: {batch_size: 2, grad_accumulation: 2, max_length: 64}
data: {sft: ./texts.jsonl, size: 8, trap_fraction: 0.0}
probes: {pack: ./pairs.jsonl, train: [factual], evaluate: [factual], heldout: 0.25}
"""
SPEC = """\
import json
from dataclasses import asdict
from orchestrator.cells.load import resolve
from orchestrator.config.sweep_file import load
print(json.dumps(asdict(resolve(load("local.yaml"), download=False)[0].cells[0])))
"""
RUN = """\
import json, os, sys
from pathlib import Path
os.environ["RHO_SWEEP_CONTENT"] = str(Path.home() / ".rho-sweep/content")
from orchestrator.cluster.canary import sing
from tasks.contract.cell import CellSpec
print(sing(CellSpec.from_dict(json.loads(sys.argv[1]))).adapter_sha256)
"""
SLOW = 200


@pytest.fixture(scope="module")
def home(lab) -> Path:
    """The laptop's home, with a model, texts and pairs that no host has."""
    folder = lab.laptop.folder / "root"
    shutil.copytree(TINY, folder / "mine")
    starter = TINY.parent
    shutil.copy(starter / "texts.jsonl", folder / "texts.jsonl")
    shutil.copy(starter / "probes.jsonl", folder / "pairs.jsonl")
    (folder / "local.yaml").write_text(SWEEP)
    yield folder
    (folder / "local.yaml").unlink()


@pytest.fixture(scope="module")
def cluster(lab, home) -> str:
    return write_cluster(lab)


@pytest.fixture(scope="module")
def fetched(lab, cluster) -> tuple[list[str], str]:
    """What the first prefetch printed and said."""
    return prefetch(lab, cluster)


def prefetch(lab: Lab, cluster: str) -> tuple[list[str], str]:
    done = lab.laptop.rho_sweep("cluster", "prefetch", cluster, "local.yaml", timeout_s=SLOW)
    return done.stdout.splitlines(), done.stderr


def doctor(lab: Lab, cluster: str, *more: str) -> tuple[int, dict[str, dict]]:
    done = lab.laptop.rho_sweep(
        "cluster", "doctor", cluster, *more, "--json", check=False, timeout_s=SLOW
    )
    assert done.stdout, done.stderr
    return done.returncode, {row["host"]: row for row in json.loads(done.stdout)["hosts"]}


def finding(row: dict, topic: str) -> tuple[str, str]:
    return next((f["level"], f["text"]) for f in row["findings"] if f["topic"] == topic)


def content(machine: Machine, pattern: str) -> list[Path]:
    return [p for p in (machine.folder / "root/.rho-sweep/content").glob(pattern) if p.is_file()]


@pytest.fixture
def other_kernels(lab) -> Iterator[None]:
    """mac3 multiplies with the BLAS kernels of an old processor."""
    program = lab.machines["mac3"].folder / "root/.rho-sweep/env" / this_version().environment
    program = program / "bin/python"
    good = program.read_text()
    program.write_text(good.replace("PYTHONPATH", "OPENBLAS_CORETYPE=Prescott PYTHONPATH"))
    yield
    program.write_text(good)


@pytest.fixture
def unlike_macs(lab) -> Iterator[None]:
    """The hosts take themselves for the three Macs of `UNLIKE`: their tools say so."""
    programs = {}
    for host, (_, *said) in zip(lab.hosts, UNLIKE.values(), strict=True):
        put_tools(host.folder / "root/macs", *said)
        program = host.folder / "root/.rho-sweep/env" / this_version().environment / "bin/python"
        programs[program] = good = program.read_text()
        mac = f"PATH={HOME}/macs:$PATH PYTHONPATH"
        own = f"{sys.executable} {ROOT / 'tests/lab/mac.py'}"
        program.write_text(good.replace("PYTHONPATH", mac).replace(sys.executable, own))
    yield
    for program, good in programs.items():
        program.write_text(good)


@pytest.mark.lab
def test_three_unlike_macs_are_told_apart(lab, cluster, unlike_macs):
    code, rows = doctor(lab, cluster)
    assert code == 1
    assert {row["canary"]["group"] for row in rows.values()} == {"A"}
    found = {
        (host, f["topic"]): f"{f['level']}: {f['text']}"
        for host, row in rows.items()
        for f in row["findings"]
    }
    for place, expected in {
        ("mac1", "macos"): "ok: 15.5",
        ("mac1", "sleep"): "ok: stays awake",
        ("mac2", "family"): "note: chip Apple M1 Max, the head has Apple M2 Ultra",
        ("mac2", "sleep"): "problem: sleeps after 10 min",
        ("mac2", "display"): "note: never sleeps",
        ("mac3", "macos"): "ok: 26.1",
        ("mac3", "lid"): "note: a laptop sleeps when its lid is shut",
        ("mac3", "power"): "note: low power mode",
    }.items():
        assert found[place].startswith(expected), (place, found[place])


@pytest.mark.lab
def test_a_host_without_the_sweep_s_files_says_prefetch(lab, cluster):
    code, rows = doctor(lab, cluster, "local.yaml")
    assert code == 1
    for row in rows.values():
        level, text = finding(row, "model")
        assert level == "problem"
        assert "run: rho-sweep cluster prefetch" in text


@pytest.mark.cluster
def test_local_files_reach_every_host_once_and_cells_find_them(lab, cluster, fetched):
    lines, said = fetched
    assert len(lines) == 9
    assert all(line.endswith(": copied") for line in lines)
    assert f"mac2: model {HOME}/mine: copying, " in said
    again, said = prefetch(lab, cluster)
    assert all(line.endswith(": was there") for line in again)
    assert said == ""
    assert not list((lab.hosts[0].folder / "root/.rho-sweep/content").glob("part-*"))
    spec = lab.laptop.python(SPEC).stdout.strip()
    assert not (lab.hosts[1].folder / "root/mine").exists()
    script = ["-c", RUN, spec]
    environment = f"{HOME}/.rho-sweep/env/{this_version().environment}/bin/python"
    found = {h.run(environment, *script, timeout_s=SLOW).stdout for h in lab.hosts[1:]}
    assert len(found) == 1
    assert len(found.pop().strip()) == 64


@pytest.mark.lab
def test_damaged_files_are_named_and_copied_again(lab, cluster):
    prefetch(lab, cluster)
    weights = content(lab.machines["mac2"], "*/mine/model.safetensors")[0]
    whole = weights.read_bytes()
    weights.write_bytes(b"x" + whole[1:])
    kept = content(lab.machines["mac2"], "*/mine/tokenizer.json")[0].stat().st_mtime_ns
    code, rows = doctor(lab, cluster, "local.yaml")
    assert code == 1
    assert finding(rows["mac2"], "model")[0] == "problem"
    assert finding(rows["mac1"], "model")[0] == "ok"
    lines, _ = prefetch(lab, cluster)
    copied = [line for line in lines if line.endswith(": copied")]
    assert copied == [f"mac2: model {HOME}/mine: copied"]
    assert weights.read_bytes() == whole
    assert content(lab.machines["mac2"], "*/mine/tokenizer.json")[0].stat().st_mtime_ns == kept


@pytest.mark.cluster
@pytest.mark.skipif(in_use() != "OpenBLAS", reason="only OpenBLAS can take other kernels")
@pytest.mark.usefixtures("fetched", "other_kernels")
def test_hosts_with_other_bits_form_a_group_and_the_verdict_is_kept(lab, cluster):
    code, rows = doctor(lab, cluster, "local.yaml")
    assert code == 0, rows
    groups = {name: row["canary"]["group"] for name, row in rows.items()}
    assert groups == {"mac1": "A", "mac2": "A", "mac3": "B"}
    assert finding(rows["mac3"], "canary")[0] == "note"
    assert 0 < rows["mac3"]["canary"]["difference"] < 1e-5
    places = [
        lab.laptop.folder / "root/.rho-sweep/clusters/studios/canary.json",
        lab.hosts[0].folder / "root/.rho-sweep/c/studios/canary.json",
    ]
    for place in places:
        kept = json.loads(place.read_text())
        assert kept["environment"] == this_version().environment
        assert {n: h["group"] for n, h in kept["hosts"].items()} == groups


@pytest.mark.lab
def test_a_host_that_is_off_is_named_and_not_usable(lab, cluster):
    lab.cut("mac3")
    try:
        code, rows = doctor(lab, cluster)
    finally:
        lab.mend("mac3")
    assert code == 1
    level, text = finding(rows["mac3"], "reach")
    assert level == "problem"
    assert "is it on, awake and on this network?" in text
    assert rows["mac3"]["canary"]["usable"] is False
    assert rows["mac1"]["canary"]["usable"] is True


@pytest.mark.lab
def test_a_cluster_that_is_up_refuses_a_wrong_token_on_its_own_ports(lab, up, home):
    code, rows = doctor(lab, up)
    assert code == 0, rows
    for row in rows.values():
        assert finding(row, "token") == (
            "ok",
            "the right one is served, a wrong one and none are refused",
        )
        assert finding(row, "ports") == ("ok", "the cluster's own")
