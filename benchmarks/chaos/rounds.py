"""One round: launch, fault, launch again as a user would until it ends, verdict."""

import json
import os
import re
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from benchmarks.chaos.launches import Launch
from benchmarks.chaos.sites import Site, role
from benchmarks.chaos.verdict import Finished, finished, judge
from orchestrator.errors import UserError
from orchestrator.inspection.check import check
from orchestrator.inspection.compare_results import compare
from orchestrator.results.store import Store

LIMIT_S = 300.0
"""A launch that takes longer hangs; an undisturbed one takes 15 s, a minute on a busy machine."""
LAUNCHES_AT_MOST = 8
SWEEPS = {"control": (["rho-guided", "shuffled-pairs"], [1]), "seeds": (["rho-guided"], [1, 2])}
"""Name -> conditions with a hinge, seeds; each has SFT alone and the baseline beside."""
TEXT = """\
name: {name}
model: tiny
grids:
  - condition: [sft-only]
    seed: {seeds}
  - condition: {conditions}
    rho_weight: [0.5]
    margin: [0.1]
    seed: {seeds}
data: {{sft: starter, size: 32}}
train: {{max_length: 64, learning_rate: 1e-3, epochs: 1}}
probes: {{train: [factual, toxicity], evaluate: [factual, toxicity]}}
run: {{checkpoint_s: 0.2, silence_s: 20}}
analysis:
  contrasts:
    - id: rho-vs-sft
      claim: rho-guided scores above SFT alone
      kind: mean_diff
      a: {{condition: rho-guided}}
      b: {{condition: sft-only}}
      behaviors: [factual]
      alternative: greater
"""
DELETE = re.compile(r"^(?:error: )?(?P<path>[^\s:]+): .*delete it", re.MULTILINE)
MOVE = re.compile(r"^(?:error: )?(?P<path>[^\s:]+): .*move it away", re.MULTILINE)


class NotHitError(Exception):
    """There was nothing that the fault could hit."""


def write_sweep(folder: Path, name: str) -> None:
    """Write a sweep file."""
    conditions, seeds = SWEEPS[name]
    text = TEXT.format(name=name, conditions=json.dumps(conditions), seeds=seeds)
    (folder / f"{name}.yaml").write_text(text)


def cells_of(name: str) -> int:
    """How many cells a sweep has."""
    conditions, seeds = SWEEPS[name]
    return (1 + len(conditions)) * len(seeds) + 1


@dataclass(frozen=True, slots=True)
class Moment:
    """When a fault hits.

    Attributes:
        done: This many cells are committed; 0: the results folder exists; -1: at once.
        wait_s: Seconds to wait after that.
    """

    done: int
    wait_s: float

    def __str__(self) -> str:
        where = "start" if self.done < 0 else f"{self.done} done"
        return f"{where} +{self.wait_s:.1f} s"


@dataclass(slots=True, kw_only=True)
class Scene:
    """What a fault may touch.

    Attributes:
        site: Where the launches run.
        folder: The round's folder.
        sweep: The sweep file's text and name.
        results: The results folder; a fault may move it.
        words: Added to the command line of every launch.
        rng: Random generator of this round.
        environment: Variables added for every launch.
        wrap: Words before the command line of every launch.
        stack: What it holds is undone at the end of the round.
        launches: All launches of the round so far.
        touched: Cells that the fault damaged, or that were deleted as a message said.
        history: Finished cells after each launch.
        stale: The results changed after the last launch, so it has to be launched again.
    """

    site: Site
    folder: Path
    sweep: str
    results: Path
    words: list[str]
    rng: Random
    environment: dict[str, str] = field(default_factory=dict)
    wrap: list[str] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)
    launches: list[Launch] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    history: list[Finished] = field(default_factory=list)
    stale: bool = False

    @property
    def now(self) -> Launch:
        """The newest launch."""
        return self.launches[-1]

    def launch(self) -> Launch:
        """Start another launch."""
        place = os.path.relpath(self.results, self.folder)
        words = ["launch", self.sweep, "--results", place, *self.site.options, *self.words]
        log = self.folder / f"launch-{len(self.launches) + 1}.log"
        self.launches.append(self.site.start(self.folder, words, log, self.environment, self.wrap))
        return self.now

    def wait_for(self, moment: Moment) -> None:
        """Wait until the moment has come, or the launch has ended."""
        cells = self.site.cells(self.results)
        for _ in self.now.looks(LIMIT_S):
            done = len(list(cells.glob("*.arrow"))) if cells.is_dir() else -1
            if done >= moment.done:
                break
        self.now.wait(moment.wait_s)

    def find(self, wanted: str) -> psutil.Process:
        """A living process of the launch with that role.

        Raises:
            NotHitError: The launch ended before there was one.
        """
        for _ in self.now.looks(60):
            found = [p for p in self.site.living(self.now) if role(p) == wanted]
            if found:
                return self.rng.choice(found)
        raise NotHitError(f"no {wanted}")

    def end_driver(self) -> None:
        """Kill the driver, as a power cut would, and wait until its other processes have ended."""
        with suppress(NotHitError):
            self.find("driver").kill()
        self.now.wait(60)
        self.remember()
        self.stale = True

    def sweep_up(self, patience_s: float = 0) -> list[str]:
        """Kill processes that live this long after the launches; returns which ones."""
        return [name for launch in self.launches for name in launch.sweep_up(patience_s)]

    def remember(self) -> None:
        """Note which cells are finished, while nothing runs."""
        self.history.append(finished(self.results))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a round ended.

    Attributes:
        hit: What was hit; None if nothing was.
        when: The moment of the fault.
        said: Message of the launch that was hit.
        launches: Number of launches until the end.
        seconds: Duration of the round.
        lost, doubled: Ids of cells.
        problems: Everything that is wrong, in words.
        notes: Facts to print that are no problem.
    """

    hit: str | None
    when: str
    said: str
    launches: int
    seconds: float
    lost: int
    doubled: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def play(scene: Scene, moment: Moment, act: Callable[[Scene], str], twin: Path) -> Outcome:
    """Play one round to its end."""
    begun = time.monotonic()
    problems: list[str] = []
    with scene.stack:
        scene.stack.callback(scene.sweep_up)
        scene.launch()
        scene.wait_for(moment)
        first, hit = scene.now, None
        with suppress(NotHitError, psutil.NoSuchProcess):
            hit = act(scene)
        problems += to_the_end(scene, twin)
        found = judge(scene.results, twin, scene.history, scene.touched)
        problems += found.problems
        if any(launch.has_trace for launch in scene.launches):
            problems.append("traceback")
        left = scene.sweep_up(15)
    return Outcome(
        hit=hit,
        when=str(moment),
        said=first.said,
        launches=len(scene.launches),
        seconds=time.monotonic() - begun,
        lost=len(found.lost),
        doubled=len(found.doubled),
        problems=tuple(problems),
        notes=(f"outlived their launch by 15 s: {', '.join(left)}",) if left else (),
    )


def to_the_end(scene: Scene, twin: Path) -> list[str]:
    """Launch again until every cell is finished, doing what messages say; returns problems."""
    problems = []
    while True:
        if not scene.now.wait(LIMIT_S):
            problems.append(f"launch {len(scene.launches)} hangs")
            scene.now.sweep_up(0)
        scene.remember()
        message = scene.now.printed
        if scene.now.code == 0 and not scene.stale:
            message = complaint(scene.results, twin)
            if not message:
                return problems
        advised = follow_advice(scene, message)
        if scene.now.code == 0 and not scene.stale and not advised:
            return [*problems, f"no way out: {message}"]
        if len(scene.launches) >= LAUNCHES_AT_MOST:
            return [*problems, f"does not end: {scene.now.said}"]
        scene.site.before_again()
        scene.stale = False
        scene.launch()


def complaint(results: Path, twin: Path) -> str:
    """What `rho-sweep compare` refuses to read or `rho-sweep check` finds; empty if nothing."""
    try:
        compare(Store(twin), Store(results))
        found = check(Store(results)).problems
    except UserError as error:
        return f"error: {error}"
    return "".join(f"{results / p.path}: {p.problem}; delete it\n" for p in found if p.command)


def follow_advice(scene: Scene, message: str) -> bool:
    """Delete or move away the file that a message names; whether it named one."""
    for pattern in (DELETE, MOVE):
        for match in pattern.finditer(message):
            path = scene.folder / match["path"]
            if not path.is_file():
                continue
            if path.is_relative_to(scene.results) and path.parent != scene.results:
                # TABLE/CELL.arrow, adapters/CELL/FILE or checkpoints/CELL
                scene.touched.add(path.relative_to(scene.results).parts[1].partition(".")[0])
            if pattern is DELETE:
                path.unlink()
            else:
                path.rename(scene.folder / f"{path.name}.away")
            return True
    return False
