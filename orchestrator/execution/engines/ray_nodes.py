"""The nodes of a Ray cluster as hosts: who is there, who came, who went."""

import platform
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from orchestrator.execution.engines.ray_settings import SLOT
from orchestrator.execution.scheduling.events import HostUp
from tasks.model.machine import chip

HOST_LABEL, CHIP_LABEL = "host", "chip"
"""Labels of a node; spaces of a chip's name are dashes, for a label has no spaces."""
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """A living node with slots.

    Attributes:
        node_id: Ray's name for it; another one after every restart.
        up: What the schedule is told.
    """

    node_id: str
    up: HostUp


class Nodes:
    """Looks at Ray's list of nodes from a thread of its own, so that nobody waits for it.

    Args:
        local: Whether there is but one node, this machine. Its name and chip are asked here, and
            its memory limits nothing: the number of its slots was chosen with that in mind.
        without: Hosts that are not to be used.
    """

    def __init__(self, *, local: bool, without: frozenset[str] = frozenset()) -> None:
        self._local, self._without = local, without
        self._latest: list[Mapping[str, Any]] = ray.nodes()
        self._known: dict[str, Node] = {}
        self._dead: set[str] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def changes(self) -> tuple[list[Node], list[str]]:
        """(hosts that came or changed, hosts that went) since the last call.

        A host that came back under another node id is in both.
        """
        alive = [n for n in self._latest if n["Alive"] and n["NodeID"] not in self._dead]
        found: dict[str, Node] = {}
        for node in map(self._node, alive):
            name = node.up.host
            known = name in self._known and self._known[name].node_id == node.node_id
            if name in self._without:
                continue
            if node.up.slots > 0 and (known or name not in found):
                found[name] = node
        gone = [
            name
            for name, node in self._known.items()
            if name not in found or found[name].node_id != node.node_id
        ]
        came = [node for name, node in found.items() if self._known.get(name) != node]
        self._known = found
        return came, gone

    def bury(self, host: str) -> None:
        """Take a node for dead before Ray's list says so; a restarted one has another id."""
        node = self._known.get(host)
        if node is not None:
            self._dead.add(node.node_id)

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()
        self._thread.join(timeout=2 * LOOK_EVERY_S)

    def _node(self, raw: Mapping[str, Any]) -> Node:
        labels, resources = raw.get("Labels") or {}, raw["Resources"]
        slots = int(resources.get(SLOT, 0))
        if self._local:
            return Node(raw["NodeID"], HostUp(platform.node(), slots, None, chip()))
        name = labels.get(HOST_LABEL) or raw["NodeManagerAddress"]
        memory = int(resources.get("memory", 0))
        up = HostUp(name, slots, memory, labels.get(CHIP_LABEL, "").replace("-", " "))
        return Node(raw["NodeID"], up)

    def _look(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            with suppress(RayError, ConnectionError, RuntimeError):
                self._latest = ray.nodes()
