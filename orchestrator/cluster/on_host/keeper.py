"""Starts this host's raylet again when it has ended; one process per cluster and host.

A raylet (Ray's process of a host) ends itself when the head has counted it as dead, e.g. after a
cut link or a sleep. The driver cannot start it again, because it has no login here. The head's GCS
is not started again; losing it ends the cluster.
"""

import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.cluster.on_host import processes as ray_processes
from orchestrator.cluster.on_host.ray import OF_THE_HEAD, start_node
from orchestrator.errors import UserError
from orchestrator.execution.engines.ray_settings import NodePlan, Place

LOOK_EVERY_S = 3.0
LONGEST_PAUSE_S = 60.0


def keep(place: Place) -> None:
    """Start the raylet again whenever it has ended, until `cluster down` deletes the plan."""
    pause = LOOK_EVERY_S
    while place.plan.is_file():
        if ray_processes.named(place, "raylet") is not None or revive(place):
            pause = LOOK_EVERY_S
        else:
            pause = min(2 * pause, LONGEST_PAUSE_S)
        time.sleep(pause)


def revive(place: Place) -> bool:
    """Start the raylet if the head can be reached; returns whether it runs now."""
    try:
        plan = NodePlan.of(place)
        if not reachable(plan.gcs):
            return False
        say("the raylet has ended; starting it again")
        ray_processes.stop(place, spare=("keeper", *OF_THE_HEAD))
        start_node(place, plan, head=False)
    except UserError as error:
        say(str(error))
        return False
    say("it runs")
    return True


def reachable(address: str) -> bool:
    """Whether a program listens at `ip:port`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 3):
            return True
    except OSError:
        return False


def say(text: str) -> None:
    """Print a line for keeper.log."""
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}", flush=True)


if __name__ == "__main__":
    keep(Place(Path(sys.argv[1])))
