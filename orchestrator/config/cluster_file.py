"""`cluster.yaml`: the hosts that run cells, checked."""

from pathlib import Path

from orchestrator.config.checked import demand
from orchestrator.config.hosts import Cluster, Host, Ports, ThisMachine
from orchestrator.config.yaml_lines import Document, parse_yaml
from orchestrator.errors import UserError
from tasks.contract.cell import NodeError
from tasks.sources.jsonl import read_text
from tasks.sources.paths import real

__all__ = ["Cluster", "Host", "Ports", "demand_cluster", "load_cluster", "parse_cluster"]


def load_cluster(path: Path) -> Cluster | None:
    """Read a cluster file; None if it says `address: local`, a Ray that is started here.

    Raises:
        UserError: The file cannot be read; `SweepError` lists what is wrong in it.
    """
    try:
        text = read_text(path)
    except NodeError as error:
        raise UserError(str(error)) from None
    document = parse_yaml(text, str(path), real(path).parent)
    if "address" not in document.value:
        return parse_cluster(document)
    demand(ThisMachine, document)
    return None


def demand_cluster(path: Path) -> Cluster:
    """A cluster file that names hosts.

    Raises:
        UserError: As `load_cluster`, or it means this machine only.
    """
    cluster = load_cluster(path)
    if cluster is None:
        raise UserError(
            f"{path}: `address: local` has no hosts to log in to", "see docs/cluster.md"
        )
    return cluster


def parse_cluster(document: Document) -> Cluster:
    """Check a document that names hosts.

    Raises:
        SweepError: Everything that is wrong with it.
    """
    return demand(Cluster, document)
