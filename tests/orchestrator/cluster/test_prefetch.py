"""A sweep's files on a host, over a real ssh server: whole, resumable, never half-copied."""

import dataclasses
import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cluster import assets as needs
from orchestrator.cluster.assets import Need
from orchestrator.cluster.prefetch import prefetch
from orchestrator.cluster.wheel import this_version
from orchestrator.config.hosts import Cluster
from orchestrator.errors import UserError
from tasks.data import probe_packs
from tasks.data.probe_packs import load_pack
from tasks.sources import host_copies as content
from tasks.sources.declared import Delivery, Source
from tasks.sources.host_copies import digest_of_files
from tests import ROOT
from tests.builders import parsed
from tests.orchestrator.cluster import sshd
from tests.orchestrator.cluster.test_ssh import a_cluster

pytestmark = pytest.mark.skipif(
    sshd.SSHD is None or sshd.SSH is None, reason="needs openssh-server and openssh-client"
)
CODE = ROOT
SIZES = {"model.safetensors": 40_000_000, "config.json": 300, "sub/deep.json": 0}
KILLED = """\
import pickle, sys
from orchestrator.cluster.prefetch import prefetch
cluster, need = pickle.load(open(sys.argv[1], "rb"))
print(prefetch(cluster, [need], from_here=False, say=print))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefetch")
    with sshd.reachable(folder) as port:
        yield a_cluster(folder, port)


def a_host(served: Cluster, folder: Path) -> Cluster:
    """A host with this version and no copies."""
    program = folder / "root/env" / this_version().environment / "bin/python"
    program.parent.mkdir(parents=True)
    variables = f"PYTHONPATH={CODE} HF_HUB_OFFLINE=1 HF_HOME={folder}/hub"
    program.write_text(f'#!/bin/sh\n{variables} exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    (program.parents[1] / "complete").touch()
    return served.model_copy(update={"root": str(folder / "root")})


def a_need(folder: Path) -> Need:
    source = folder / "mine"
    files = {}
    for name, size in SIZES.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = random.Random(name).randbytes(size)
        path.write_bytes(data)
        files[name] = hashlib.sha256(data).hexdigest()
    return Need(
        kind="model", name="/ada/mine", source=source, files=files, digest=digest_of_files(files)
    )


@pytest.fixture
def cluster(served, tmp_path) -> Cluster:
    return a_host(served, tmp_path)


@pytest.fixture
def need(tmp_path) -> Need:
    return a_need(tmp_path)


@pytest.fixture(scope="module")
def copied(served, tmp_path_factory) -> tuple[Cluster, Need]:
    """A host with a copy; each test that damages the copy makes it whole again."""
    folder = tmp_path_factory.mktemp("copied")
    cluster, need = a_host(served, folder), a_need(folder)
    assert bring(cluster, need) == "copied"
    return cluster, need


def copies(cluster: Cluster) -> Path:
    return Path(cluster.root) / "content"


def found(cluster: Cluster, need: Need, monkeypatch) -> Path | None:
    monkeypatch.setenv(content.VARIABLE, str(copies(cluster)))
    return content.named("model", need.name)


def bring(cluster: Cluster, need: Need) -> str:
    return prefetch(cluster, [need], from_here=False, say=lambda _: None).demand()["one"][
        need.label
    ]


def is_whole(folder: Path, need: Need) -> bool:
    assert need.source is not None
    return all((folder / p).read_bytes() == (need.source / p).read_bytes() for p in SIZES)


@pytest.mark.slow
def test_a_copy_is_found_by_name_and_by_content_and_made_once(cluster, need, monkeypatch):
    assert found(cluster, need, monkeypatch) is None
    assert bring(cluster, need) == "copied"
    assert is_whole(found(cluster, need, monkeypatch), need)
    assert content.with_digest(need.digest) == found(cluster, need, monkeypatch)
    assert bring(cluster, need) == "was there"


@pytest.mark.slow
def test_a_copy_cut_by_a_kill_is_not_found_and_goes_on_where_it_was(
    cluster, need, monkeypatch, tmp_path
):
    (tmp_path / "request").write_bytes(pickle.dumps((cluster, need)))
    part = copies(cluster) / f"part-{need.digest}/mine/model.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "request")],
        env=os.environ | {"PYTHONPATH": str(CODE)},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not (part.is_file() and part.stat().st_size > 0):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert found(cluster, need, monkeypatch) is None
    settle(part)
    there = part.stat().st_size
    assert 0 < there < SIZES["model.safetensors"]
    inode = part.stat().st_ino
    assert bring(cluster, need) == "copied"
    whole = found(cluster, need, monkeypatch)
    assert is_whole(whole, need)
    assert (whole / "model.safetensors").stat().st_ino == inode


def settle(path: Path) -> None:
    """Until nobody appends to a file any more."""
    before = -1
    while path.stat().st_size != before:
        before = path.stat().st_size
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        "flipped",
        *(pytest.param(d, marks=pytest.mark.slow) for d in ("short", "long", "gone", "bad start")),
    ],
)
def test_a_damaged_copy_is_made_whole_again(copied, monkeypatch, damage):
    cluster, need = copied
    assert is_whole(found(cluster, need, monkeypatch), need)
    path = found(cluster, need, monkeypatch) / "config.json"
    data = path.read_bytes()
    damaged = {
        "flipped": bytes([data[0] ^ 1]) + data[1:],
        "short": data[:100],
        "long": data + b"x",
        "gone": None,
        "bad start": b"y" * 100,
    }[damage]
    path.unlink() if damaged is None else path.write_bytes(damaged)
    if damage == "bad start":
        with pytest.raises(UserError, match=r"config.json arrived with other bytes"):
            bring(cluster, need)
        assert found(cluster, need, monkeypatch) is None
    assert bring(cluster, need) == "copied"
    assert is_whole(found(cluster, need, monkeypatch), need)


@pytest.mark.slow
def test_hub_content_is_copied_from_here_where_the_hub_is_out_of_reach(cluster, need, monkeypatch):
    hub_need = dataclasses.replace(need, name="ada/mine", revision="a" * 40)
    said = []
    found = prefetch(cluster, [hub_need], from_here=False, say=said.append).demand()
    assert found == {"one": {hub_need.label: "copied"}}
    assert any("copying it from here" in line for line in said)
    monkeypatch.setenv(content.VARIABLE, str(copies(cluster)))
    for revision in ("a" * 40, None):
        assert is_whole(content.named("model", "ada/mine", revision), need)
    assert content.named("model", "ada/mine", "b" * 40) is None
    absent = dataclasses.replace(hub_need, source=None, files={}, digest=None, revision="b" * 40)
    with pytest.raises(UserError, match="prefetch --from-here"):
        prefetch(cluster, [absent], from_here=False, say=said.append).demand()


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_copied_is_never_used(cluster, need, monkeypatch):
    (need.source / "config.json").write_bytes(b"z" * SIZES["config.json"])
    with pytest.raises(UserError, match="other bytes; prefetch again"):
        bring(cluster, need)
    assert found(cluster, need, monkeypatch) is None


@given(
    st.dictionaries(st.text(st.characters(exclude_characters="\n ")), st.text("abc"), max_size=5)
)
def test_a_digest_is_of_the_files_not_of_their_order(files):
    backwards = dict(reversed(files.items()))
    assert digest_of_files(files) == digest_of_files(backwards)
    assert digest_of_files(files) != digest_of_files(files | {"more": "d"})


def test_what_ships_with_the_program_needs_no_copy():
    text = (
        "name: x\nmodel: tiny\ngrid: {condition: [sft-only], seed: [1]}\n"
        "data: {sft: starter}\nprobes: {pack: starter}\n"
    )
    assert needs.of_sweep(parsed(text), download=False) == []


def test_a_new_pack_is_found_loaded_and_prefetched_by_its_declaration_alone(monkeypatch):
    def declared(name: str, delivery: Delivery) -> Source:
        return Source(name=name, delivery=delivery, read=lambda _: load_pack("starter"))

    mine = (declared("mine", Delivery.SHIPPED), declared("theirs", Delivery.INSTALLED))
    monkeypatch.setattr(probe_packs, "PACKS", (*probe_packs.PACKS, *mine))
    text = (
        "name: x\nmodel: tiny\ngrid: {{condition: [sft-only], seed: [1]}}\nprobes: {{pack: {}}}\n"
    )
    shipped, installed = (parsed(text.format(s.name)) for s in mine)
    assert needs.of_sweep(shipped, download=False) == []
    (need,) = needs.of_sweep(installed, download=False)
    assert (need.kind, need.name) == ("pack", "theirs")
    assert need.digest == needs.digest_here("pack", "theirs", None, download=False)


def test_all_files_that_are_missing_are_named_at_once(tmp_path):
    text = (
        "name: x\nmodel: tiny\ngrid: {condition: [sft-only], seed: [1]}\n"
        f"data: {{sft: {tmp_path}/a.jsonl}}\nprobes: {{pack: {tmp_path}/b.jsonl}}\n"
    )
    with pytest.raises(UserError) as error:
        needs.of_sweep(parsed(text), download=False)
    assert {"a.jsonl: no such file", "b.jsonl: no such file"} == {
        line.rpartition("/")[2] for line in str(error.value).splitlines()
    }
