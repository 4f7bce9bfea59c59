"""Ray's list of nodes, read as hosts that come and go; the list is written by hand."""

from contextlib import closing

import pytest

from orchestrator.execution.engines import ray_engine
from orchestrator.execution.engines.ray_engine import Nodes
from orchestrator.execution.scheduling.hosts import HostUp

GB = 2**30
STUDIO = ("Apple M2 Ultra", "Darwin 24.5.0")
OWN = "0"
"""Of the node that the driver is on, which may have slots or not."""


def node(node_id: str, host: str | None = "a", *, alive: bool = True, mlx: int = 1) -> dict:
    labels = {"host": host, "chip": "Apple-M2-Ultra", "system": "Darwin-24.5.0"} if host else {}
    return {
        "NodeID": node_id,
        "Alive": alive,
        "NodeManagerAddress": "10.0.0.1",
        "Labels": labels,
        "Resources": {"mlx": float(mlx), "memory": 64.0 * GB} if mlx else {},
    }


@pytest.fixture
def listed(monkeypatch):
    """A function that sets Ray's list; `Nodes` reads it only when told to."""
    found: list[dict] = []
    monkeypatch.setattr(ray_engine.ray, "nodes", lambda: list(found))
    monkeypatch.setattr(ray_engine, "NODES_EVERY_S", 1000)

    def set_to(nodes: Nodes | None, *raw: dict) -> None:
        found[:] = raw
        if nodes is not None:
            nodes._latest = list(found)

    return set_to


@pytest.fixture
def nodes(listed):
    """Nodes of a cluster whose one host is `a`."""
    listed(None, node("1"))
    with closing(Nodes(OWN, local=False)) as found:
        came, gone = found.changes()
        assert [n.up for n in came] == [HostUp("a", 1, 64 * GB, *STUDIO)]
        assert gone == []
        yield found


def names(changes) -> tuple[list[str], list[str]]:
    came, gone = changes
    return [n.up.host for n in came], gone


def test_nothing_new_is_no_change(nodes):
    assert names(nodes.changes()) == ([], [])


def test_a_dead_node_is_a_lost_host_and_a_new_one_has_come(nodes, listed):
    listed(nodes, node("1", alive=False), node("2", "b"))
    assert names(nodes.changes()) == (["b"], ["a"])


def test_a_host_that_came_back_is_lost_and_there_again(nodes, listed):
    listed(nodes, node("1", alive=False), node("2"))
    assert names(nodes.changes()) == (["a"], ["a"])


def test_a_node_that_is_not_yet_known_to_be_dead_keeps_its_name(nodes, listed):
    listed(nodes, node("2"), node("1"))
    assert names(nodes.changes()) == ([], [])
    listed(nodes, node("2"), node("1", alive=False))
    assert names(nodes.changes()) == (["a"], ["a"])


def test_a_buried_node_is_gone_though_the_list_still_has_it(nodes, listed):
    nodes.bury("a")
    assert names(nodes.changes()) == ([], ["a"])
    listed(nodes, node("1"), node("2"))
    assert names(nodes.changes()) == (["a"], [])


def test_without_its_own_node_the_driver_has_no_host(nodes, listed):
    listed(nodes, node(OWN, "head", mlx=0), node("1"))
    assert not nodes.own_died()
    listed(nodes, node(OWN, "head", alive=False, mlx=0), node("1"))
    assert nodes.own_died()
    assert names(nodes.changes()) == ([], ["a"])


def test_its_own_node_may_be_known_to_be_dead_before_the_list_says_so(nodes, listed):
    listed(nodes, node(OWN, "head", mlx=0), node("1"))
    nodes.bury_own()
    assert nodes.own_died()
    assert names(nodes.changes()) == ([], ["a"])


def test_more_slots_are_a_change_and_none_a_loss(nodes, listed):
    listed(nodes, node("1", mlx=2))
    came, gone = nodes.changes()
    assert ([n.up.slots for n in came], gone) == ([2], [])
    listed(nodes, node("1", mlx=0))
    assert names(nodes.changes()) == ([], ["a"])


def test_a_node_without_labels_goes_by_its_address(nodes, listed):
    listed(nodes, node("1"), node("2", None), node("3", None, mlx=0))
    came, _ = nodes.changes()
    assert [n.up for n in came] == [HostUp("10.0.0.1", 1, 64 * GB, "")]


def test_a_host_that_is_not_to_be_used_never_comes(listed):
    listed(None, node("1", "mac1"), node("2", "mac2"))
    with closing(Nodes(OWN, local=False, without=frozenset(["mac2"]))) as found:
        assert names(found.changes()) == (["mac1"], [])
