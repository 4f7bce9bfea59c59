"""Result files of other tools as further measurements of a cell: lm-evaluation-harness, Inspect.

A file belongs to the cell whose adapter it names, by its digest or by the folder that it lies in.
"""

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from orchestrator.config.foreign_json import fits
from orchestrator.errors import UserError
from orchestrator.results.attempts import alone
from orchestrator.results.folder import ADAPTER, WEIGHTS
from orchestrator.results.manifest import load_manifest
from orchestrator.results.schema import IMPORTED_TABLE
from orchestrator.results.store import Store
from orchestrator.visible import visible
from tasks.contract.cell import NodeError, Status
from tasks.sources.jsonl import demand_file, parse_json
from tasks.sources.model_files import file_digest

HEADER = "header.json"
"""In an `.eval` file of Inspect, which is a zip: all of the log but its samples."""
MOST_HEADER = 1 << 26
_DIGEST = re.compile(r"[0-9a-f]{64}")
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One number of a file.

    Attributes:
        measurement: `task:metric`.
        value: Finite.
        stderr: Over the items of the task; None where the file has none.
        n: Items; None where the file does not say.
        higher_is_better: None where the file does not say.
        task_version: As the tool names it.
    """

    measurement: str
    value: float
    stderr: float | None = None
    n: int | None = None
    higher_is_better: bool | None = None
    task_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What a file holds.

    Attributes:
        tool_version: None where it does not say.
        measured: Its numbers.
        said: Texts among which the adapter may be named.
    """

    tool_version: str | None
    measured: tuple[Measured, ...]
    said: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did.

    Attributes:
        cell: Label of the cell.
        names: The measurements that it has now.
    """

    cell: str
    names: tuple[str, ...]


def import_file(store: Store, tool: str, path: Path, cell: str | None) -> Imported:
    """Keep the numbers of a file beside its cell's scores; the same file again changes nothing.

    Args:
        store: The results.
        tool: A key of `READERS`.
        path: The file.
        cell: Id of the cell; None for the one whose adapter the file names.

    Raises:
        UserError: It is no such file, names no adapter of these results or another one than that of
            the cell, or holds a measurement that the cell has from another file.
        NodeError: It cannot be read.
    """
    content = _content(path)
    found = READERS[tool](path, _parsed(path, content))
    if not found.measured:
        raise UserError(f"{path}: holds no numbers of {tool}")
    digest, labels = hashlib.sha256(content).hexdigest(), load_manifest(store.folder)["cells"]
    with alone(store):
        store.create()
        owner = _owner(store, path, found.said, cell)
        rows = [
            {
                "cell_id": owner,
                "measurement": one.measurement,
                "value": one.value,
                "stderr": one.stderr,
                "n": one.n,
                "higher_is_better": one.higher_is_better,
                "task_version": one.task_version,
                "tool": tool,
                "tool_version": found.tool_version,
                "file": visible(path.name),
                "file_sha256": digest,
                "imported_at": datetime.now(UTC),
            }
            for one in found.measured
        ]
        names = [one.measurement for one in found.measured]
        for row in store.rows(IMPORTED_TABLE):
            other = row["file_sha256"] != digest
            if other and row["cell_id"] == owner and row["measurement"] in names:
                kept = store.path(IMPORTED_TABLE, f"{owner}.{row['file_sha256'][:16]}")
                raise UserError(
                    f"{path}: cell {owner} has {row['measurement']} from {row['file']}",
                    f"to replace it, delete {kept} and import again",
                )
        store.write(IMPORTED_TABLE, f"{owner}.{digest[:16]}", rows)
    return Imported(cell=labels.get(owner, owner), names=tuple(names))


def _content(path: Path) -> bytes:
    """A file's bytes; of an `.eval` file those of its header."""
    try:
        demand_file(path)
        if not zipfile.is_zipfile(path):
            return path.read_bytes()
        with zipfile.ZipFile(path) as archive, archive.open(HEADER) as header:
            content = header.read(MOST_HEADER + 1)  # it says of its length what it likes
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except NodeError:
        raise
    except Exception:  # noqa: BLE001 - zipfile lets through what each kind of compression raises
        raise UserError(
            f"{path}: has no {HEADER} that can be read here",
            "turn it into JSON with: inspect log convert --to json",
        ) from None
    if len(content) > MOST_HEADER:
        raise UserError(f"{path}: its {HEADER} is longer than {MOST_HEADER:,} bytes")
    return content


def _parsed(path: Path, content: bytes) -> Raw:
    try:
        found = parse_json(content, lenient=True)  # both tools write NaN for what has no value
    except ValueError as error:
        raise NodeError(f"{path}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise NodeError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


def _lm_eval(path: Path, raw: Raw) -> Foreign:
    """Of lm-evaluation-harness, or of `mlx_lm.evaluate`, which writes the tasks' part alone."""
    tasks = raw.get("results", raw)
    if not isinstance(tasks, Mapping) or not all(isinstance(v, Mapping) for v in tasks.values()):
        raise UserError(f"{path}: no result file of lm-evaluation-harness: results of tasks")
    found = []
    for task, numbers in tasks.items():
        for key, value in numbers.items():
            metric, _, kind = key.partition(",")
            if metric.endswith("_stderr") or not fits(value, float):
                continue
            error = numbers.get(",".join([f"{metric}_stderr", *([kind] if kind else [])]))
            counted = _at(raw, "n-samples", task, "effective")
            better = _at(raw, "higher_is_better", task, metric)
            version = _at(raw, "versions", task)
            one = Measured(
                measurement=f"{task}:{metric}" + (f",{kind}" if kind not in ("", "none") else ""),
                value=float(value),
                stderr=float(error) if fits(error, float) else None,
                n=counted if fits(counted, int) else None,
                higher_is_better=better if isinstance(better, bool) else None,
                task_version=None if version is None else str(version),
            )
            found.append(one)
    keys = ("config", "model_name", "model_source")
    version = raw.get("lm_eval_version")
    return Foreign(
        tool_version=version if isinstance(version, str) else None,
        measured=tuple(found),
        said=tuple(_texts([raw.get(key) for key in keys])),
    )


def _inspect(path: Path, raw: Raw) -> Foreign:
    """Of Inspect, a log as JSON or the header of one."""
    task, scores = _at(raw, "eval", "task"), _at(raw, "results", "scores")
    if raw.get("status") not in (None, "success"):
        raise UserError(f"{path}: the evaluation ended with status {str(raw['status'])[:40]!r}")
    if not isinstance(task, str) or not isinstance(scores, list):
        raise UserError(f"{path}: no log of Inspect: eval.task and results.scores")
    found, n = [], _at(raw, "results", "completed_samples")
    for score in scores:
        metrics = score.get("metrics") if isinstance(score, Mapping) else None
        if not isinstance(metrics, Mapping):
            raise UserError(f"{path}: a score without metrics")
        error = _at(metrics, "stderr", "value")
        scorer = f"{score.get('name')}/" if len(scores) > 1 else ""
        version = _at(raw, "eval", "task_version")
        found += [
            Measured(
                measurement=f"{task}:{scorer}{name}",
                value=float(value),
                stderr=float(error)
                if fits(error, float) and name in ("accuracy", "mean")
                else None,
                n=n if fits(n, int) else None,
                task_version=None if version is None else str(version),
            )
            for name in metrics
            if name != "stderr" and fits(value := _at(metrics, name, "value"), float)
        ]
    version = _at(raw, "eval", "packages", "inspect_ai")
    return Foreign(
        tool_version=version if isinstance(version, str) else None,
        measured=tuple(found),
        said=tuple(_texts(raw.get("eval"))),
    )


READERS: Mapping[str, Callable[[Path, Raw], Foreign]] = {"lm-eval": _lm_eval, "inspect": _inspect}


def _owner(store: Store, path: Path, said: tuple[str, ...], cell: str | None) -> str:
    """Id of the cell that a file is about."""
    cells = store.cells()
    trained = {r["adapter_sha256"]: c for c, r in cells.items() if r["adapter_sha256"]}
    named = {trained[d] for text in said for d in _digests(text) if d in trained}
    for text in said:
        for word in re.split(r"[,=\s]", text):
            places = {p for above, p in pairwise(Path(word).parts) if above == "adapters"}
            named |= {p for p in places & cells.keys() if p in trained.values()}
            if any(p.partition(".")[0] in cells for p in places - cells.keys()):
                raise UserError(f"{path}: is about an adapter from within a training: {word}")
    if cell is not None:
        if cell not in cells or cells[cell]["status"] != Status.OK:
            raise UserError(f"{store.folder}: no finished cell {cell}")
        named |= {cell}
    if len(named) == 1:
        return named.pop()
    if named:
        raise UserError(f"{path}: is about several cells of these results: {', '.join(named)}")
    raise UserError(
        f"{path}: names no adapter of {store.folder}, neither its digest nor its folder",
        "say whose numbers they are: --cell ID, as rho-sweep logs lists them",
    )


def _digests(text: str) -> Iterator[str]:
    """Digests that a text spells, and those of the adapters that it is the folder of."""
    yield from _DIGEST.findall(text)
    for word in re.split(r"[,=\s]", text):
        # `Path.is_file` raises for a text that is too long for a path, as that of a picture
        if "/" in word and all(os.path.isfile(f"{word}/{name}") for name in ADAPTER):  # noqa: PTH113
            yield file_digest(Path(word) / WEIGHTS)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _at(value: Any, *keys: str) -> Any:
    """What lies below keys; None where something is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
