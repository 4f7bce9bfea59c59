"""Usage: python -m benchmarks.chaos [--rounds N] [--seed S] [--kinds A,B] [--round S.N] [--lab]."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

from benchmarks.chaos.faults import FAULTS, Fault, needs_root
from benchmarks.chaos.launches import Launch
from benchmarks.chaos.rounds import (
    LIMIT_S,
    SWEEPS,
    Moment,
    Outcome,
    Scene,
    cells_of,
    play,
    write_sweep,
)
from benchmarks.chaos.sites import Here, InLab, Site
from tests.lab import machines

OWN_MOUNTS = "RHO_CHAOS_OWN_MOUNTS"
SHORT = 90


def arguments() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default="", help="names with commas; see docs/chaos.md")
    parser.add_argument("--round", default="", help="the seed of one round, to play it again")
    parser.add_argument("--lab", action="store_true", help="also faults of several hosts")
    parser.add_argument("--keep", action="store_true", help="keep the files of every round")
    return parser.parse_args()


def in_own_mounts() -> None:
    """Restart this program in a mount namespace of its own, which ends with the process."""
    if needs_root() is None and OWN_MOUNTS not in os.environ:
        os.environ[OWN_MOUNTS] = "1"
        command = [sys.executable, "-m", "benchmarks.chaos", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--", *command])


def chosen(asked: argparse.Namespace) -> list[str]:
    """Kinds that were asked for and can run on this machine; prints the others with the reason."""
    names = [n for n in asked.kinds.split(",") if n] or list(FAULTS)
    unknown = sorted(set(names) - FAULTS.keys())
    if unknown:
        sys.exit(f"no such fault: {', '.join(unknown)}; there are: {', '.join(FAULTS)}")
    found = []
    for name in names:
        fault = FAULTS[name]
        if fault.in_lab and not asked.lab:
            reason: str | None = "only with LAB=1" if asked.kinds else ""
        else:
            reason = machines.why_not() if fault.in_lab else fault.why_not()
        if reason is None:
            found.append(name)
        elif reason:
            print(f"skipped: {name}: {reason}")
    return found


def drawn(asked: argparse.Namespace, kinds: list[str]) -> Iterator[tuple[str, str]]:
    """(seed, kind) of every round; each kind comes once before one comes twice."""
    if asked.round:
        yield asked.round, kinds[0]
        return
    for number in range(asked.rounds):
        turn, place = divmod(number, len(kinds))
        order = Random(f"{asked.seed}/{turn}").sample(kinds, len(kinds))
        yield f"{asked.seed}.{number + 1}", order[place]


class Harness:
    """Plays rounds in one temporary folder.

    Args:
        root: The temporary folder.
        stack: Ends the lab, if one was started.
    """

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._root, self._stack = root, stack
        self._here = Here(root)
        self._lab: InLab | None = None
        self._twins: dict[str, Path] = {}

    def play(self, seed: str, kind: str) -> tuple[str, Outcome, Path]:
        """One round: (sweep and engine, outcome, its folder)."""
        fault, rng = FAULTS[kind], Random(f"{seed}/{kind}")
        name = rng.choice(list(SWEEPS))
        inline = not fault.needs_ray and rng.random() < 0.4
        moment = Moment(rng.randint(fault.from_done, cells_of(name) - 3), rng.uniform(0, 2))
        if fault.in_lab:
            words, engine = [], "lab"
        elif inline:
            words, engine = ["--inline"], "inline"
        else:
            slots = str(rng.choice([1, 2]))
            words, engine = ["--slots", slots], f"ray/{slots}"
        twin = self._twin(name)
        site = self._site(fault)
        folder = site.folder(seed)
        write_sweep(folder, name)
        scene = Scene(
            site=site,
            folder=folder,
            sweep=f"{name}.yaml",
            results=folder / "results" / name,
            words=words,
            rng=rng,
        )
        fault.prepare(scene)
        return f"{name} {engine}", play(scene, moment, fault.act, twin), folder

    def _site(self, fault: Fault) -> Site:
        if not fault.in_lab:
            return self._here
        if self._lab is None:
            from orchestrator.cluster.wheel import this_version
            from tests.lab.conftest import write_cluster

            lab = self._stack.enter_context(machines.running(self._root / "lab"))
            for host in lab.hosts:
                host.install(this_version().environment)
            self._lab = InLab(lab, write_cluster(lab))
        return self._lab

    def _twin(self, name: str) -> Path:
        if name not in self._twins:
            folder = self._here.folder(f"twin-{name}")
            write_sweep(folder, name)
            words = ["launch", f"{name}.yaml", "--inline", "--results", f"results/{name}"]
            launch: Launch = self._here.start(folder, words, folder / "log", {}, [])
            if not launch.wait(LIMIT_S) or launch.code != 0:
                sys.exit(f"the undisturbed twin fails:\n{launch.printed}")
            self._twins[name] = folder / "results" / name
        return self._twins[name]


def main() -> None:
    """Play all rounds, print their lines and the summary."""
    asked = arguments()
    in_own_mounts()
    # an exit that runs the `finally` blocks, so that launches are ended, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    kinds = chosen(asked)
    if not kinds:
        sys.exit("no fault is left")
    outcomes: list[Outcome] = []
    root = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    with ExitStack() as stack:
        if not asked.keep:
            stack.callback(tidy, root, outcomes)
        harness = Harness(root, stack)
        for number, (seed, kind) in enumerate(drawn(asked, kinds), 1):
            where, outcome, folder = harness.play(seed, kind)
            outcomes.append(outcome)
            print("\n".join(lines(number, seed, kind, where, outcome)), flush=True)
            if outcome.problems:
                print(f"      its files: {folder}", flush=True)
            elif not (asked.keep or FAULTS[kind].in_lab):
                shutil.rmtree(folder)
    hits = [o for o in outcomes if o.hit is not None]
    survived = [o for o in hits if not o.problems]
    lost, doubled = sum(o.lost for o in outcomes), sum(o.doubled for o in outcomes)
    print(f"{len(hits)} faults, {len(survived)} survived, {lost} lost, {doubled} doubled")
    sys.exit(any(o.problems for o in outcomes))


def tidy(root: Path, outcomes: list[Outcome]) -> None:
    """Remove the harness's files, unless a round did not survive."""
    if not any(o.problems for o in outcomes):
        shutil.rmtree(root, ignore_errors=True)


def lines(number: int, seed: str, kind: str, where: str, outcome: Outcome) -> Iterator[str]:
    """The line of a round, and one more line for each problem."""
    hit = outcome.hit or "-"
    verdict = "not hit" if outcome.hit is None else "FAILED" if outcome.problems else "survived"
    yield (
        f"{number:>4}  {seed:<7} {where:<12} {kind:<16} at {outcome.when}: {hit[:SHORT]} | "
        f"{outcome.said[:SHORT]} | {outcome.launches} launches {outcome.seconds:.0f} s | {verdict}"
    )
    for text in (*outcome.problems, *outcome.notes):
        yield f"      {text}"
    if outcome.problems:
        yield f"      again: make chaos ROUND={seed} KINDS={kind}"


if __name__ == "__main__":
    main()
