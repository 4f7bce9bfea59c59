"""What the live page shows of a results folder, and what its three buttons do."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.analysis.tables.columns import count, plain, words
from orchestrator.analysis.tables.view import Column, View
from orchestrator.errors import UserError
from orchestrator.inspection.listing import listing
from orchestrator.inspection.status import counts_text, log_lines, status, status_lines
from orchestrator.report import analysed, render
from orchestrator.report.blocks import Block, Note, Section, Table
from orchestrator.report.content import ReportContent
from orchestrator.report.html import filled
from orchestrator.report.outline import shortened
from orchestrator.report.sections.claims import registered_parts
from orchestrator.report.serving.losses import ArmLosses, losses
from orchestrator.report.text import count as noun
from orchestrator.results.live import read_live
from orchestrator.results.manifest import load_manifest
from orchestrator.results.store import Store
from orchestrator.results.stress_record import packs_in, units_in
from orchestrator.visible import short
from tasks.contract.cell import Status

MAX_LOG = 2_000
"""Last lines of a log."""
OFTEN_S, SHARE = 5.0, 10
"""An analysis begins at most so often, and takes at most one part in `SHARE` of the time."""
STOP, LAUNCH, RETRY = "stop", "launch", "retry"
DRAWN = "Loss of the logged steps, nat/token; one line a seed. Thick: runs now. Thin: has ended."
Driver = tuple[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question before something is done: its text, the words of the button, the process."""

    text: str
    words: str
    pid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page; what is empty is not shown. `doors` are (address, words) of links."""

    title: str
    heading: str
    state: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    doors: tuple[tuple[str, str], ...] = ()
    sections: tuple[Section, ...] = ()
    curves: tuple[ArmLosses, ...] = ()
    log: tuple[str, ...] = ()
    asked: Asked | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """How the page reaches the world.

    Attributes:
        pull: Fetches what is new from a cluster; returns the driver's process and host.
        stop: Asks the launch to stop; says what came of it.
        launch: Launches the sweep again; None where nobody said which sweep file.
        retry: Launches one cell; None where that, or on a cluster.
    """

    pull: Callable[[], Driver | None]
    stop: Callable[[], str]
    launch: Callable[[], str] | None
    retry: Callable[[str], str] | None


class Site:
    """The pages of one results folder; its methods may be called from several threads."""

    def __init__(self, folder: Path, means: Means) -> None:
        self.folder, self.means = folder, means
        self._said = ""
        self._driver: Driver | None = None
        self._content: ReportContent | None = None
        self._problem, self._report = "", ""
        self._seen: tuple[int, ...] = ()
        self._analysing = False
        self._home, self._fresh_until, self._not_before = "", 0.0, 0.0
        self._working, self._making = threading.Lock(), threading.Lock()
        self._acting, self._drawing = threading.Lock(), threading.Lock()

    def home(self) -> str:
        """The page of the whole sweep, made at most once a second for all who look."""
        with self._making:
            if time.monotonic() > self._fresh_until:
                self._home = self._made()
                self._fresh_until = time.monotonic() + 1
            return self._home

    def _made(self) -> str:
        if self._working.acquire(blocking=False):
            threading.Thread(target=self._work, daemon=True).start()
        store = Store.existing(self.folder)
        found, labels = self._status(store), load_manifest(self.folder)["cells"]
        running = {c["cell_id"] for c in found["running"] if "cell_id" in c}
        curves = tuple(losses(self.folder, labels, running))
        so_far = "" if self._is_final(found) else " so far"
        page = Page(
            title=f"{found['ok']}/{found['total']} {found['name']}",
            heading=found["name"],
            state=counts_text(found),
            facts=self._facts(found),
            doors=self._doors(found),
            sections=(
                *_now(found),
                *([Section(title="Losses", blocks=(Note(text=DRAWN),))] if curves else []),
                Section(title=f"Claims{so_far}", blocks=self._claims(found), parts=self._parts()),
                *_cells(store),
            ),
            curves=curves,
        )
        return filled("live.html.j2", page=page, base="")

    def log(self, cell: str) -> str | None:
        """The page of one cell, or of a unit of the stress test; None where there is none."""
        store = Store.existing(self.folder)
        labels = load_manifest(self.folder)["cells"] | units_in(self.folder)
        for pack in packs_in(self.folder).values():
            labels |= pack["units"]
        if cell not in labels:
            return None
        failed = self._to_retry(self._status(store), cell)
        retry = [(f"{RETRY}/{cell}", "Run this cell again …")] if failed else []
        page = Page(
            title=f"{labels[cell]}: log",
            heading=labels[cell],
            state=cell,
            doors=(("./", "Back to the sweep"), *retry),
            log=tuple(log_lines(store, cell)[-MAX_LOG:]),
        )
        return filled("live.html.j2", page=page, base="../")

    def report(self) -> str | None:
        """The report on the cells that have ended; None before there is one."""
        content = self._content
        with self._drawing:  # matplotlib's settings are those of the process
            if content is not None and not self._report:
                self._report = render(content)
            return self._report or None

    def question(self, action: str, cell: str | None = None) -> str:
        """The page that asks before `STOP`, `LAUNCH`, or `RETRY` of a cell."""
        found = self._status(Store.existing(self.folder))
        failed = self._to_retry(found, cell)
        launch, pid = found["launch"], str(found["launch"]["pid"]) if found["launch"] else ""
        if action == STOP and launch:
            text = (
                f"Stop process {pid} on {launch['host']}? Cells that run now end without a result "
                f"({len(found['running'])}); finished cells are kept, and "
                "the same launch command later goes on where this one stopped."
            )
            asked = Asked(text=text, words="Stop the launch", pid=pid)
        elif action == LAUNCH and not launch and self.means.launch is not None:
            again = found["open"] - found["waiting"]
            text = (
                f"Launch again? The cells that run: {again}, of which {found['failed']} failed "
                f"before. Not run again: {found['ok']} with scores, {found['diverged']} diverged."
            )
            asked = Asked(text=text, words="Launch again", pid=pid)
        elif failed:
            why = f"{failed['status'].capitalize()}: {short(failed['message'] or '')}"
            text = f"Run {failed['label']} again, and no other cell? {why}"
            asked = Asked(text=text, words="Run it again", pid=pid)
        else:
            asked = None
        page = Page(
            title=found["name"],
            heading=found["name"],
            state="" if asked else "There is nothing to do: the launch has begun or ended.",
            doors=(("./", "Back to the sweep"),),
            asked=asked,
        )
        return filled("live.html.j2", page=page, base="../" if cell else "")

    def act(self, action: str, cell: str | None, pid: str) -> None:
        """Stop, launch or retry, if the launch is still the one that the question was about."""
        with self._acting:
            found = self._status(Store.existing(self.folder))
            launch = found["launch"]
            does = self.means.stop if action == STOP else self.means.launch
            if action == RETRY:
                failed, retry = self._to_retry(found, cell), self.means.retry
                does = partial(retry, failed["cell_id"]) if failed and retry else None
            if does is None or pid != (str(launch["pid"]) if launch else ""):
                said = "nothing was done: another launch has begun, or it has ended"
            else:
                try:
                    said = does()
                except UserError as error:
                    said = str(error)
            self._said, self._fresh_until = f"{datetime.now():%H:%M:%S} {said}", 0.0

    def _status(self, store: Store) -> dict[str, Any]:
        return status(store, self._driver)

    def _facts(self, found: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        elapsed_s = read_live(self.folder).get("elapsed_s")
        state = status_lines({**found, "running": [], "unscored": []}, elapsed_s)
        hosts = Counter(cell["host"] or "unknown" for cell in found["running"])
        pairs = (
            ("Launch", state[0].rpartition("; ")[2]),
            ("Running on", ", ".join(f"{host}: {n}" for host, n in sorted(hosts.items()))),
            ("Also", "; ".join(line.strip() for line in state[1:])),
            ("Last action", self._said),
        )
        return tuple((name, text) for name, text in pairs if text)

    def _doors(self, found: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        doors = [(STOP, "Stop the launch …")] if found["launch"] else []
        if not found["launch"] and found["open"] and self.means.launch is not None:
            doors.append((LAUNCH, "Launch again …"))
        if self._content is not None:
            so_far = "" if self._is_final(found) else " so far"
            doors.append(("report.html", f"Report{so_far}"))
        return tuple(doors)

    def _to_retry(self, found: Mapping[str, Any], cell: str | None) -> dict[str, Any] | None:
        """The cell's row among those without scores, if it can be retried now."""
        if self.means.retry is None or found["launch"]:
            return None
        rows = (row for row in found["unscored"] if row["status"] != Status.DIVERGED)
        return next((row for row in rows if row["cell_id"] == cell), None)

    def _claims(self, found: Mapping[str, Any]) -> tuple[Block, ...]:
        problem = (Note(text=self._problem),) if self._problem else ()
        content = self._content
        if content is None:
            return problem or (Note(text="Being computed."),)
        scored = noun(sum(c.status == "ok" for c in content.cells), "scored cell")
        text = f"From {scored}, at {content.now}."
        if self._analysing:
            text += " Results have come since; this part is being made again."
        elif not problem and self._seen != self._stamps():
            text += " Results have come since; this part will be made again soon."
        if found["open"]:
            text += " The sweep is not complete; verdicts may still change."
        return (*problem, Note(text=text))

    def _is_final(self, found: Mapping[str, Any]) -> bool:
        """Whether every cell has ended, and what was analysed is all of them."""
        return not found["open"] and self._content is not None and self._seen == self._stamps()

    def _stamps(self) -> tuple[int, ...]:
        """Times of the last change of what an analysis reads, ns."""
        paths = [self.folder / name for name in ("cells", "judgements", "sweep.yaml")]
        return tuple(p.stat().st_mtime_ns for p in paths if p.exists())

    def _parts(self) -> tuple[Section, ...]:
        """The registered claims; the report has the others."""
        if self._content is None or not self._content.inference:
            return ()
        return registered_parts(self._content)

    def _work(self) -> None:
        """Fetch what is new, and analyse it if a cell or an answer has come."""
        try:
            self._driver = self.means.pull()
            seen = self._stamps()
            if seen == self._seen or time.monotonic() < self._not_before:
                return
            began_s, self._analysing = time.monotonic(), True
            try:
                self._content, self._report = analysed(Store.existing(self.folder)), ""
                self._problem = ""
            except UserError as error:
                self._problem = str(error)
            took_s = time.monotonic() - began_s
            self._seen, self._not_before = seen, began_s + max(OFTEN_S, SHARE * took_s)
        finally:
            self._analysing = False
            self._working.release()


def _now(found: Mapping[str, Any]) -> tuple[Section, ...]:
    """What runs, and what has no scores and why."""
    sections = []
    if found["running"]:
        columns = (
            words("Cell", "label"),
            words("Stage", "stage"),
            count("Step", "step"),
            count("of", "steps"),
            plain("Loss", "loss", "nat/token"),
            words("Host", "host"),
        )
        sections.append(_section("Running now", columns, found["running"]))
    if rows := found["unscored"]:
        rows = [row | {"message": short(row["message"] or "")} for row in rows]
        why = (words("Cell", "label"), words("Status", "status"), words("Message", "message"))
        sections.append(_section("Without scores", why, rows))
    return tuple(sections)


def _section(title: str, columns: tuple[Column, ...], rows: Any) -> Section:
    view = View(key="", name="", title="One row a cell", columns=columns, rows=tuple(rows))
    table = Table(view=shortened(view), keyed=False, log="cell_id", stacked=True)
    return Section(title=title, blocks=(table,))


def _cells(store: Store) -> tuple[Section, ...]:
    views = map(shortened, listing(store))
    blocks = tuple(Table(view=v, keyed=False, log="key", stacked=True) for v in views)
    return (Section(title="Cells", blocks=blocks),)
