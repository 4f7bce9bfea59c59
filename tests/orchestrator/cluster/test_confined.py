"""Nothing that a head lists or sends changes a file outside the results folder."""

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cluster.assets import Need
from orchestrator.cluster.prefetch import prefetch
from orchestrator.cluster.remote_sweep import Far
from orchestrator.cluster.trust.confined import read_in, remove_in, write_in
from orchestrator.cluster.trust.listing import is_ours, read_listing, read_reply
from orchestrator.config.cluster_file import load_cluster
from orchestrator.config.foreign_json import BadAnswerError
from orchestrator.errors import UserError
from tests.orchestrator.cluster.hostile import Scene, a_scene, rho_sweep, some_results


@pytest.fixture
def scene(tmp_path, monkeypatch) -> Scene:
    """Results that this machine remembers to be made on the fake head."""
    scene = a_scene(tmp_path, monkeypatch)
    some_results(scene.results)
    Far(load_cluster(Path("cluster.yaml")), scene.results).remember(Path("cluster.yaml"))
    return scene


A = "0123456789abcdef"
NAMES = [
    "/tmp/outside.txt",
    "../../../outside.txt",
    "cells/../../../outside.txt",
    "cells//a.arrow",
    "./sweep.yaml",
    "cells/./a.arrow",
    "",
    ".",
    "..",
    "cells\\..\\a.arrow",
    f"cells/{A}\0.arrow",
    f"cells/{A}.arrow\n",
    f"cells/{A.upper()}.arrow",
    "cells/\x1b[2J.arrow",
    "cells/.a.arrow",
    ".cluster.json",
    ".launch.lock",
    ".git/hooks/pre-commit",
    "~/.ssh/authorized_keys",
    "report.html",
    "other.json",
    f"cells/{A}.txt",
    f"cells/{A}.arrow/",
    f"adapters/{A}/evil.py",
    "adapters/../adapters.safetensors",
    "logs/-rf.log",
    "cells/\u0430.arrow",
    "sweep.yaml\n",
    "SWEEP.YAML",
    "cells/" + "a" * 300 + ".arrow",
    f"attempts/{A}.1\u0663.arrow",
    f"attempts/{A}.1{'0' * 4096}.arrow",
    f"attempts/{A}.01.arrow",
    f"Cells/{A}.arrow",
    f"adapters/{A}/Adapters.safetensors",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_bad_name_is_named_and_nothing_changes(scene, name, capsys):
    before, inside = scene.digest(), sorted(scene.results.rglob("*"))
    scene.has({"sweep.yaml": b"x", name: b"owned"})
    assert rho_sweep("status", "results/c") == 0
    said = capsys.readouterr().err
    assert "is no file of a results folder" in said
    assert ascii(name)[:50] in said
    assert said.count("\n") == 2  # and: this is what was here before
    assert scene.digest() == before
    assert sorted(scene.results.rglob("*")) == inside


@given(st.lists(st.text() | st.sampled_from([*NAMES, "cells", "a.arrow"]), max_size=4))
def test_only_plain_relative_names_are_ours(parts):
    name = "/".join(parts)
    if is_ours(name):
        assert name.isascii()
        assert name.isprintable()
        assert not name.startswith(("/", ".", "~", "-"))
        assert all(p not in ("", ".", "..") and p[0] not in ".-" for p in name.split("/"))
        assert os.path.normpath(name) == name


def stamped(files: object) -> bytes:
    return json.dumps({"files": files, "launch": None}).encode()


def stamped_launch(driver: object) -> bytes:
    return json.dumps({"files": {}, "launch": driver}).encode()


LISTINGS = {
    "no JSON": b"Welcome to mac1\n{}",
    "nested too deep": b"[" * 100_000,
    "files must be": stamped([]),
    "must be a whole number, got -1": stamped({"sweep.yaml": [-1, 1]}),
    "a whole number, got True": stamped({"sweep.yaml": [True, 1]}),
    "a whole number, got 1e": stamped({"sweep.yaml": [1e30, 1]}),
    r"sweep.yaml: size and time \[1\]": stamped({"sweep.yaml": [1]}),
    "sweep.yaml: size and time": stamped({"sweep.yaml": [1 << 62, 1]}),
    "it has no launch": b'{"files": {}}',
    "a process id and a host": b'{"files": {}, "launch": ["x", 1]}',
    "a process id and a host, got .True": stamped_launch([True, "mac1"]),
    "a process id and a host, got .1, 'm": stamped_launch([1, "m\u00e4c1"]),
    "a process id and a host, got": b'{"files": {}, "launch": [1, "\\u001b[2J"]}',
    "sweep.yaml. is there twice": b'{"files": {"sweep.yaml": [1, 1], "sweep.yaml": [2, 2]}}',
    "lists 300000 files": stamped({f"cells/{n:016x}.arrow": [1, 1] for n in range(300_000)}),
    "must be": b"null",
    "it is no JSON": b'{"files": {}, "launch": ' + b"9" * 10_000 + b"}",
    "is no JSON:": b"\xff\xfe\x00",
}


@pytest.mark.slow
@pytest.mark.parametrize("said", LISTINGS)
def test_a_listing_of_another_shape_is_one_sentence(said):
    with pytest.raises(BadAnswerError, match=said) as found:
        read_listing(LISTINGS[said])
    assert len(str(found.value)) < 300
    assert str(found.value).isprintable()


@pytest.mark.slow
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                    lambda x: st.lists(x) | st.dictionaries(st.text(), x)))  # fmt: skip
def test_any_json_is_a_listing_or_refused(value):
    for answer in (value, {"files": value, "launch": None}, {"files": {}, "launch": value}):
        with contextlib.suppress(BadAnswerError):
            assert all(map(is_ours, read_listing(json.dumps(answer).encode()).files))


def test_files_that_were_not_asked_for_are_refused(scene, capsys):
    scene.has({"launch.log": b"one"})
    scene.sends({"launch.log": b"one", "sweep.yaml": b"owned"})
    before = (scene.results / "sweep.yaml").read_bytes()
    rho_sweep("status", "results/c")
    assert "it sends 'sweep.yaml', which was not asked for" in capsys.readouterr().err
    assert (scene.results / "sweep.yaml").read_bytes() == before
    assert not (scene.results / "launch.log").exists()


@pytest.mark.parametrize("tail", ["cat /dev/zero", "head -c 100 /dev/zero"])
def test_a_reply_longer_than_announced_is_cut_off(scene, tail, capsys):
    scene.has({"launch.log": b"one"})
    scene.answers("send", f"cat {scene.root}/ssh/send.out; {tail}")
    rho_sweep("status", "results/c")
    assert ("cut off" if "cat" in tail else "announced 3") in capsys.readouterr().err
    assert not (scene.results / "launch.log").exists()


@pytest.mark.slow
def test_more_than_the_disk_holds_is_refused(scene, capsys):
    files = {f"adapters/{n:016x}/adapters.safetensors": [4 << 30, 1] for n in range(100_000)}
    scene.says("list", {"files": files, "launch": None})
    rho_sweep("status", "results/c")
    assert "has room for" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["cells", "logs", "adapters", f"adapters/{A}"])
def test_a_link_in_the_folder_is_never_followed(scene, where, capsys):
    place = scene.results / where
    if place.is_dir():
        for path in place.rglob("*"):
            path.unlink() if path.is_file() else None
        for path in sorted(place.rglob("*"), reverse=True):
            path.rmdir()
        place.rmdir()
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(scene.root / "outside")
    name = {"cells": f"cells/{A}.arrow", "logs": f"logs/{A}.log"}.get(
        where, f"adapters/{A}/adapters.safetensors"
    )
    before = scene.digest()
    scene.has({name: b"owned"})
    with pytest.raises(UserError, match=f"{where}: is a link"):
        Far.of(scene.results).pull()
    assert rho_sweep("status", "results/c") == 2
    assert f"{where}: is a link" in capsys.readouterr().err
    assert scene.digest() == before
    assert [p.name for p in (scene.root / "outside").iterdir()] == ["victim.txt"]


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(scene):
    (scene.results / "launch.log").symlink_to(scene.root / "outside/victim.txt")
    before = scene.digest()
    scene.has({"launch.log": b"new"})
    Far.of(scene.results).pull()
    assert not (scene.results / "launch.log").is_symlink()
    assert (scene.results / "launch.log").read_bytes() == b"new"
    assert scene.digest() == before


def test_deleting_stays_inside_too(scene):
    scene.has({f"logs/{A}.log": b"one"})
    rho_sweep("status", "results/c")
    (scene.results / f"logs/{A}.log").unlink()
    (scene.results / "logs").rmdir()
    (scene.root / f"outside/{A}.log").write_text("mine")
    (scene.results / "logs").symlink_to(scene.root / "outside")
    before = scene.digest()
    scene.has({})
    with pytest.raises(UserError, match="logs: is a link"):
        Far.of(scene.results).pull()
    assert scene.digest() == before


def test_a_host_gets_no_file_that_it_asks_for_by_itself(scene):
    source = scene.root / "work/model"
    source.mkdir()
    (source / "config.json").write_text("{}")
    files = {"config.json": "0" * 64}
    need = Need(kind="model", name="m", source=source, files=files, digest="d")
    scene.says("have", {"missing": {"../../outside/victim.txt": 0}})
    scene.answers("any", f"cat {scene.root}/ssh/have.out")
    found = prefetch(load_cluster(Path("cluster.yaml")), [need], from_here=True, say=print)
    assert "asks for '../../outside/victim.txt'" in found.failed["mac1"]
    assert all(" have" in call for call in scene.calls)


PART = st.text(st.characters(exclude_characters="/"), max_size=5) | st.sampled_from(
    ["..", ".", "", "link", "x"]
)


@given(st.lists(PART, min_size=1, max_size=4).map("/".join))
def test_no_name_leads_out_of_a_folder(tmp_path_factory, name):
    root = tmp_path_factory.mktemp("root")
    folder = root / "in"
    folder.mkdir()
    (root / "out").mkdir()
    (root / "out/x").write_text("mine")
    (folder / "link").symlink_to(root / "out")
    for act in (write_in, remove_in):
        with contextlib.suppress(UserError):
            act(folder, name, *([b"owned"] if act is write_in else []))
    assert sorted(p.name for p in root.iterdir()) == ["in", "out"]
    assert [p.name for p in (root / "out").iterdir()] == ["x"]
    assert (root / "out/x").read_text() == "mine"


def test_a_small_file_is_read_without_links_pipes_and_devices(tmp_path):
    (tmp_path / "plain").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    os.mkfifo(tmp_path / "pipe")
    assert read_in(tmp_path, "plain", 5) == b"12345"
    assert read_in(tmp_path, "plain", 4) is None
    assert [read_in(tmp_path, n, 9) for n in ("link", "pipe", "none", "..", "/etc/passwd")] == [
        None
    ] * 5


def test_a_reply_is_read_as_it_was_announced():
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # of foo
    head = json.dumps({"sweep.yaml": [3, digest]}).encode()
    asked = {"sweep.yaml": [3, 1]}
    assert list(read_reply(head + b"\nfoo", asked)) == [("sweep.yaml", b"foo")]
    for bad in (b"", b"{", head, head + b"\nfo", head + b"\nfoox", b'{"sweep.yaml": [3]}\nfoo'):
        with pytest.raises(BadAnswerError):
            list(read_reply(bad, asked))
