"""Names become file names where they are a user's: results and clusters. All others are digests."""

import re

import pytest

from orchestrator.cluster import ray as cluster_ray
from orchestrator.config.hosts import Cluster, Host
from orchestrator.errors import UserError
from orchestrator.results.folder import ADAPTER, ours
from orchestrator.results.manifest import demand_ours
from orchestrator.results.schema import TABLES
from orchestrator.results.store import Store
from tests.builders import a_result, a_spec


def test_results_whose_names_differ_in_large_letters_only_are_refused(tmp_path):
    demand_ours(tmp_path / "none/first")
    (tmp_path / "first").mkdir()
    demand_ours(tmp_path / "first")
    demand_ours(tmp_path / "first-2")
    with pytest.raises(UserError, match="first is there, and a Mac takes both for one folder"):
        demand_ours(tmp_path / "First")
    (tmp_path / "First").mkdir()  # both are there, on a disk that tells them apart
    demand_ours(tmp_path / "First")


def test_and_so_are_clusters_before_any_host_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".rho-sweep/clusters/studios").mkdir(parents=True)
    cluster = Cluster(
        name="Studios", python="/usr/bin/python3", hosts=(Host(name="one", address="10.0.0.1"),)
    )
    with pytest.raises(UserError, match="studios is there"):
        cluster_ray.bring_up(cluster, print)


def test_files_inside_of_results_are_named_by_digests_in_small_letters(tmp_path):
    store = Store(tmp_path / "r")
    store.create()
    store.commit(a_result(a_spec()), attempts=1, ray=None)
    names = [name for table in TABLES for name in ours(store.folder, table)]
    names += [p.name for p in (store.folder / "adapters").iterdir()]
    assert len(names) > 3
    assert all(re.fullmatch(r"[0-9a-f]+(\.[0-9]+)?(\.arrow)?", name) for name in names)
    assert len({name.casefold() for name in ADAPTER}) == len(ADAPTER)
    assert len({table.casefold() for table in TABLES}) == len(TABLES)
