"""The numerical canary: one small cell on every host, whose results are compared.

python -m orchestrator.cluster.canary < spec.json      on a host; prints the result as JSON
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config import foreign_json
from orchestrator.errors import UserError
from tasks.contract.cell import CellSpec, digest_of
from tasks.model import children
from tasks.model.blas import prefer_fast_blas

if TYPE_CHECKING:
    from orchestrator.cells.resolve import FileResolver

TOLERANCE = 1e-4
"""Nats per token: the last digit that `analyze` prints, and some 600 times the largest difference
that five sets of BLAS kernels made in this cell (1.5e-7)."""
SWEEP = """\
name: canary
model: tiny
grid: {condition: [rho-guided], rho_weight: [0.2], margin: [0.1], seed: [42]}
train: {batch_size: 2, grad_accumulation: 2, pairs_per_step: 2, max_length: 128}
data: {sft: starter, size: 16, trap_fraction: 0.0}
probes: {pack: starter, train: [factual, bias], evaluate: [factual, bias], heldout: 0.25}
"""
FILE = "canary.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Song:
    """Result of the cell on one host.

    Attributes:
        bits: sha256 over adapter, every number of every probe pair, and `drill`.
        adapter_sha256: Of the adapter's weights.
        scores: `behavior/split` -> rho, nats per token.
        chip: Chip of the host.
        family: Machines that should give these bits: MLX's name of the GPU, or the chip, with the
            version of the system where that matters.
        seconds: Duration of the cell, without the start of the process.
    """

    bits: str
    adapter_sha256: str
    scores: dict[str, float]
    chip: str
    family: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the results say about one host.

    Attributes:
        group: Hosts of one letter gave the same bits; `A` is the largest. None without a result.
        difference: Largest of any score to group A's, nats per token; None without a result.
        usable: Whether cells may run there.
        chip, family: Of the host, as in its `Song`; None without a result.
        adapter_sha256: None without a result.
        message: Why there is no result.
    """

    group: str | None
    difference: float | None
    usable: bool
    chip: str | None = None
    family: str | None = None
    adapter_sha256: str | None = None
    message: str | None = None


VERDICT: dict[str, Any] = {
    "group": (None, str),
    "difference": (None, float),
    "usable": bool,
    "chip": (None, str),
    "family": (None, str),
    "adapter_sha256": (None, str),
    "message": (None, str),
}
"""The shape of a `Verdict` in `canary.json`."""


def spec() -> CellSpec:
    """The cell; everything it needs is part of the program."""
    return _resolved()[0]


def estimate() -> int | None:
    """Estimated peak of what MLX allocates for the cell, bytes."""
    from orchestrator.cells.memory import RUNTIME_BYTES

    cell, resolver = _resolved()
    found = resolver.memory(cell)
    return found - RUNTIME_BYTES if found is not None else None


def _resolved() -> tuple[CellSpec, "FileResolver"]:
    from orchestrator.cells.load import resolve
    from orchestrator.config.sweep_file import parse
    from orchestrator.config.yaml_lines import parse_yaml

    expansion, resolver = resolve(parse(parse_yaml(SWEEP, "canary", Path("/"))), download=False)
    return expansion.cells[0], resolver


def sing(cell: CellSpec) -> Song:
    """Run the cell in this process.

    Raises:
        RuntimeError: It fails or diverges.
    """
    prefer_fast_blas()  # before anything imports MLX
    from orchestrator.execution.engines.node import trained_here
    from tasks.training.drill import drill, family_here

    started = time.perf_counter()
    outcome, adapter = trained_here(cell)
    with children.withheld():
        gradients = drill(cell)
    return Song(
        bits=digest_of([adapter, [asdict(row) for row in outcome.probe_scores], gradients]),
        adapter_sha256=adapter,
        scores={f"{s.behavior}/{s.split}": s.rho for s in outcome.scores if s.rho is not None},
        chip=outcome.machine.chip,
        family=family_here(),
        seconds=round(time.perf_counter() - started, 2),
    )


def judge(songs: dict[str, Song], failed: dict[str, str], head: str) -> dict[str, Verdict]:
    """Group hosts by bits, and measure each against the largest group.

    Of groups of one size the head's comes first, then the one of the first host.

    Args:
        songs: Host -> result, in the order of the file.
        failed: Host -> why it has none.
        head: Decides between groups of one size.
    """
    groups: dict[str, list[str]] = {}
    for host, song in songs.items():
        groups.setdefault(song.bits, []).append(host)
    order = sorted(groups.values(), key=lambda hosts: (-len(hosts), head not in hosts))
    letters = {host: _letters(i) for i, hosts in enumerate(order) for host in hosts}
    found = {
        host: Verdict(group=None, difference=None, usable=False, message=why)
        for host, why in failed.items()
    }
    for host, song in songs.items():
        apart = difference(song.scores, songs[order[0][0]].scores)
        found[host] = Verdict(
            group=letters[host],
            difference=apart,
            usable=apart is not None and apart <= TOLERANCE,
            chip=song.chip,
            family=song.family,
            adapter_sha256=song.adapter_sha256,
        )
    return found


def difference(left: dict[str, float], right: dict[str, float]) -> float | None:
    """Largest difference of two sets of scores, nats per token; None if their keys differ."""
    if left.keys() != right.keys():
        return None
    return max((abs(left[key] - right[key]) for key in left), default=0.0)


def _letters(number: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    before, last = divmod(number, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + last)


def as_file(verdicts: dict[str, Verdict], environment: str, at: str) -> bytes:
    """Content of `canary.json`, which launches read."""
    hosts = {host: asdict(verdict) for host, verdict in verdicts.items()}
    found = {"environment": environment, "at": at, "tolerance": TOLERANCE, "hosts": hosts}
    return json.dumps(found, indent=2).encode()


def read_file(path: Path, environment: str) -> dict[str, Verdict]:
    """The verdicts that `cluster doctor` wrote; none if it never ran, or ran another version.

    Raises:
        UserError: The file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        found = foreign_json.parse(path.read_bytes(), {"environment": str, "hosts": {str: VERDICT}})
    except foreign_json.BadAnswerError as error:
        raise UserError(
            f"{path}: cannot be read ({error})", "run rho-sweep cluster doctor again"
        ) from None
    if found["environment"] != environment:
        return {}
    return {
        host: Verdict(**{key: verdict[key] for key in VERDICT})
        for host, verdict in found["hosts"].items()
    }


def main() -> None:
    """Run the cell of standard input."""
    try:
        song = sing(CellSpec.from_dict(json.load(sys.stdin)))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(json.dumps(asdict(song)))


if __name__ == "__main__":
    main()
