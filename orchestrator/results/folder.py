"""A results folder and its entries, before any table of it is read."""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG

from orchestrator.errors import UserError, as_typed, hint, shell_word
from orchestrator.visible import visible
from tasks.sources.jsonl import demand_file, parse_json
from tasks.sources.paths import real

_ID = "[0-9a-f]{16}"
_OF_CELL = re.compile(rf"{_ID}\.arrow")
_SCORED = re.compile(rf"{_ID}(\.{_ID})?\.arrow")
_OF_UNIT = re.compile(rf"{_ID}\.{_ID}\.arrow")
NAMES = {
    "cells": _OF_CELL,
    "attempts": re.compile(rf"{_ID}\.(0|[1-9][0-9]{{0,8}})\.arrow"),
    "steps": _OF_CELL,
    "scores": _SCORED,
    "probe_scores": _SCORED,
    "generations": _OF_UNIT,
    "judgements": _OF_UNIT,
    "imported": _OF_UNIT,
    "adapters": re.compile(rf"{_ID}(\.[1-9][0-9]{{0,8}})?"),
    "checkpoints": re.compile(_ID),
    "logs": re.compile(rf"{_ID}\.log"),
}
"""Folder in the results -> the names that we give in it; `adapters` holds folders, others files."""
ALONE = MANIFEST, LIVE, STRESS, SCORED, LAUNCH_LOG = (
    "sweep.yaml",
    "live.json",
    "stress.json",
    "scored.json",
    "launch.log",
)
"""Files in the results folder itself that a driver writes and another machine may have."""
LOCK, NOTE, ASKED = ".launch.lock", ".cluster.json", "questions.jsonl"
_DATA = {*NAMES, *ALONE, ASKED, LOCK, NOTE}
"""What launches and other commands keep there, and no person puts there."""
_MADE = {
    *_DATA,
    "report.html",
    "report.md",
    "analysis",
    "export",
    "cards",
    "track",
}
"""What commands make in the results folder itself, if they are given no other place."""
DAMAGED = re.compile(r"sweep\.damaged(\.([2-9]|[1-9][0-9]+))?\.yaml")
"""A `sweep.yaml` that could not be read and was moved aside by a launch: the first, the second."""
ADAPTER = CONFIG, WEIGHTS = ("adapter_config.json", "adapters.safetensors")
"""Files of an adapter, as mlx-lm wants them."""
_ASIDE = re.compile(r"\.(.+)\.[0-9]+")
"""A file on its way to its name, see `files.write_whole`."""
RECORDS = (".json", ".yaml")
_MAGIC = b"ARROW1"


def kept_step(name: str, cell_id: str) -> int | None:
    """The optimizer step of an adapter from within the training of a cell, by a file's name.

    None for every other name.
    """
    match name.split("/"):
        case ["adapters", folder, file] if file in ADAPTER and NAMES["adapters"].fullmatch(folder):
            owner, _, step = folder.partition(".")
            return int(step) if step and owner == cell_id else None
    return None


def demand_results(folder: Path) -> Path:
    """Check that a folder holds results; returns it.

    Raises:
        UserError: It does not, or holds links or pipes.
    """
    if not (folder / "cells").is_dir() and not (folder / "sweep.yaml").is_file():
        if inside := sorted(p.parent for p in folder.glob("*/sweep.yaml")):
            raise UserError(
                f"{folder}: is a folder of results, not one of them",
                f"name one, e.g. {shell_word(inside[0])}; all: {as_typed('results', folder)}",
            )
        if near := _near(folder):
            raise UserError(f"{folder}: no results here{near}")
        raise UserError(f"{folder}: no results here", "make some with: rho-sweep launch quickstart")
    demand_plain(folder)
    return folder


def demand_apart(path: Path) -> None:
    """Check that what a person wants to have written is not put among the data of any results.

    Raises:
        UserError: It would replace a file that a launch makes, or lie in a folder of such files.
    """
    place = real(path)
    for folder in place.parents:
        name = place.relative_to(folder).parts[0]
        if name in _DATA and (folder / "cells").is_dir():
            raise UserError(
                f"{path}: {name} of {folder} is for results alone", "choose another place"
            )


def _near(folder: Path) -> str:
    """`; did you mean "results/..."?`: results of that name, or of one like it; else nothing."""
    roots = dict.fromkeys((folder.parent, Path("results")))
    found = [p.parent for root in roots for p in sorted(root.glob("*/sweep.yaml"))]
    for path in found:
        if path.name == folder.name:
            return f'; did you mean "{path}"?'
    return hint(str(folder), tuple(map(str, found)))


def ours(results: Path, kind: str) -> list[str]:
    """Sorted names of the entries of one folder of the results that this program made.

    Whatever else lies there is passed over: files of a desktop, an editor or a file server,
    copies, links and pipes.

    Raises:
        UserError: The folder cannot be read.
    """
    return sorted(name for name, known in _entries(results / kind, kind) if known)


def _entries(folder: Path, kind: str) -> Iterator[tuple[str, bool]]:
    """(name, whether it is ours) of the entries of a folder; none where it does not exist."""
    pattern, of_folders = NAMES[kind], kind == "adapters"
    # scandir tells the kind of an entry without a call for each: there may be ten thousand
    with _scanned(folder) as entries:
        for entry in entries:
            here = entry.is_dir if of_folders else entry.is_file
            yield entry.name, bool(pattern.fullmatch(entry.name)) and here(follow_symlinks=False)


@contextmanager
def _scanned(folder: Path) -> Iterator[Iterator["os.DirEntry[str]"]]:
    try:
        with os.scandir(folder) as entries:
            yield entries
    except FileNotFoundError:
        yield iter(())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None


def passed_over(results: Path) -> list[str]:
    """Entries of a results folder that this program did not make, e.g. `cells/._x`.

    Those of the folder itself stand last. A file that a killed writer left aside is its own, and
    is not named; nor is what lies in folders that hold no data of cells, e.g. `analysis`.

    Raises:
        UserError: A folder cannot be read.
    """
    found = []
    for kind, pattern in NAMES.items():
        for name, known in _entries(results / kind, kind):
            if known and kind == "adapters":
                found += _others(results / kind / name, f"{kind}/{name}/", ADAPTER)
            elif not known and not (
                (aside := _ASIDE.fullmatch(name)) and pattern.fullmatch(aside[1])
            ):
                found.append(f"{kind}/{name}")
    return sorted(found) + sorted(
        n for n in _others(results, "", _MADE) if not DAMAGED.fullmatch(n)
    )


def _others(folder: Path, prefix: str, known: Collection[str]) -> list[str]:
    """Names of the entries of a folder beside those that are known."""
    with _scanned(folder) as entries:
        names = [entry.name for entry in entries]
    aside = (_ASIDE.fullmatch(name) for name in names)
    return [
        prefix + name
        for name, match in zip(names, aside, strict=True)
        if name not in known and not (match and match[1] in known)
    ]


def is_plain(path: Path) -> bool:
    """Whether a path is a file itself; a link to one, e.g. of git-annex, is passed over."""
    try:
        return S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def damage(path: str, size: int | None) -> str | None:
    """What is wrong with a file by a quick look; None if nothing is.

    Args:
        path: A table or a part of an adapter.
        size: Bytes that it had when it was written; None where no row says it (results of older
            versions): then the ends of the file must look right.
    """
    try:
        found = os.lstat(path)
        if not S_ISREG(found.st_mode):
            return "is no file"
        if size is not None:
            return None if found.st_size == size else f"has {found.st_size} of {size} bytes"
        return None if _ends_well(Path(path), found.st_size) else "is damaged"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _ends_well(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        if path.suffix == ".arrow":
            first = file.read(len(_MAGIC))
            file.seek(max(0, size - len(_MAGIC)))
            return first == file.read() == _MAGIC
        try:
            if path.suffix != ".safetensors":
                return isinstance(parse_json(file.read()), dict)
            header = int.from_bytes(file.read(8), "little")
            tensors = parse_json(file.read(min(header, size)))
            ends = [t["data_offsets"][1] for k, t in tensors.items() if k != "__metadata__"]
            return bool(size == 8 + header + max(ends, default=0))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return False


def demand_plain(folder: Path) -> None:
    """Check that a folder holds files and folders only, at every depth outside of its tables.

    It may come from anyone: a link in it could lead a command to read or write elsewhere, and to
    open a pipe may take forever. In tables `ours` passes such entries over. The folder itself may
    be a link, for the user named it.

    Raises:
        UserError: It holds a link, a pipe, a socket or a device.
        NodeError: A record of it is too long to be read.
    """
    tables = NAMES.keys() - {"adapters", "checkpoints", "logs"}
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in tables:
                            waiting.append(entry.path)
                    elif not entry.is_file(follow_symlinks=False):
                        what = "a link" if entry.is_symlink() else "no file"
                        raise UserError(
                            f"{entry.path}: is {what}; a results folder holds plain files and "
                            "folders only",
                            "remove it, or put there what it stands for",
                        )
                    elif entry.name.endswith(RECORDS):
                        demand_file(Path(entry.path))
        except OSError:  # gone meanwhile, or not ours to read: the command itself will say so
            continue


def one_named(word: str, labels: Mapping[str, str], what: str) -> str:
    """The one id that a word names: by its beginning, by the label, or by first words of a label.

    Args:
        word: What the user wrote.
        labels: Id -> label of all that there are.
        what: What they are, and of what, e.g. `cell of results/quickstart`.

    Raises:
        UserError: None is named, or more than one; those are listed.
    """
    found = [key for key, label in labels.items() if key.startswith(word) or label == word]
    found = found or [key for key, label in labels.items() if label.startswith(f"{word} ")]
    if len(found) == 1:
        return found[0]
    said = f"more than one {what}" if found else f"no {what}{hint(word, tuple(labels.values()))}"
    listing = "\n".join(visible(f"  {key}  {labels[key]}") for key in (found or labels))
    raise UserError(f"{word!r} names {said}\nthey are:\n{listing}")
