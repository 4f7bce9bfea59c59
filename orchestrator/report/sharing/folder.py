"""A folder to hand on: an arm's adapter with its card, or all results as a data set."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyarrow.parquet import read_metadata

from orchestrator.errors import UserError, as_typed
from orchestrator.inspection.export import export
from orchestrator.report import analysed
from orchestrator.report.content import ReportContent
from orchestrator.report.sharing.card import card, public_name
from orchestrator.report.sharing.data_card import citation, data_card
from orchestrator.report.sharing.peft import as_peft
from orchestrator.results.adapters import read_adapter, write_adapter
from orchestrator.results.files import write_whole
from orchestrator.results.folder import CONFIG, one_named
from orchestrator.results.schema import TABLES
from orchestrator.results.store import Store
from orchestrator.visible import last_line, visible
from tasks.contract.cell import Status
from tasks.model import children
from tasks.sources.earlier_words import earlier_words
from tasks.sources.foreign import is_foreign
from tasks.sources.model_files import ModelFiles, file_digest, locate, shapes_of
from tasks.sources.paths import real

README = "README.md"
CITATION = "CITATION.cff"
CARD = re.compile(r"---\n(?:(?!---).*\n)*tags:\n- rho-sweep\n")
"""How the README of a card begins."""
HEAD = 1 << 16
"""Characters of a README in which that is looked for: somebody may have put any file there."""
BEGUN = b"---\ntags:\n- rho-sweep\n---\n\nThis card is not complete: write it again.\n"
OURS = {README, CITATION, "mlx", "peft", "fused", *(f"{name}.parquet" for name in TABLES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What was written.

    Attributes:
        folder: Where.
        notes: What could not be, and why.
    """

    folder: Path
    notes: tuple[str, ...] = ()


def share_adapter(
    store: Store, word: str, seed: int | None, target: Path | None, *, fuse: bool
) -> Shared:
    """Write an arm's adapter in the layouts of mlx-lm and PEFT, with a card.

    Args:
        store: The results.
        word: The start of an arm's id, or its label.
        seed: Which of its trainings; None for the first seed with a score.
        target: A folder; None for one in the results.
        fuse: Also write a whole model, with the adapter in its weights.

    Raises:
        UserError: No such arm or seed, or its adapter is missing or another one.
    """
    content = analysed(store)
    arm_id, label = _arm(content, word)
    row = _cell(store, arm_id, label, seed)
    place = store.adapter_folder(row["cell_id"])
    adapter, digests = read_adapter(place), {f["name"]: f["sha256"] for f in row["files"] or ()}
    if (
        adapter is None
        or adapter.sha256 != row["adapter_sha256"]
        # results of older versions have no digest of the config
        or digests.get(f"adapters/{place.name}/{CONFIG}") not in (None, file_digest(place / CONFIG))
    ):
        raise UserError(
            f"{place}: is missing, or not what the cell wrote",
            f"see: {as_typed('check', store.folder)}",
        )
    folder = target or store.folder / "cards" / row["cell_id"]
    earlier = _earlier(folder)
    model, files = locate(row["model"], row["model_revision"], download=fuse)
    if files.digest != row["model_digest"]:
        raise UserError(f"{row['model']}: is another model than the cell was trained on")
    told = earlier_words(files.folder / "config.json", files.config)
    with _all_or_nothing(folder, earlier):
        write_adapter(folder / "mlx", adapter)
        written, notes = {"mlx": "the adapter as mlx-lm loads it"}, []
        try:
            for name, body in as_peft(
                adapter, public_name(model.name), shapes_of(files.folder)
            ).items():
                write_whole(folder / "peft" / name, body)
            written["peft"] = "the same as PEFT loads it"
        except UserError as error:
            notes.append(str(error))
        if fuse:
            _fuse(files, told, folder)
            written["fused"] = "the base model with the adapter in its weights"
        write_whole(folder / README, card(content, row, label, written, told).encode())
    return Shared(folder=folder, notes=tuple(notes))


def share_results(store: Store, target: Path | None) -> Shared:
    """Write every table as Parquet, with a card and a citation file.

    Raises:
        UserError: A table is damaged, or the place cannot be written to.
    """
    folder = target or store.folder / "cards" / "dataset"
    earlier = _earlier(folder)
    content = analysed(store)
    with _all_or_nothing(folder, earlier):
        written = export(store, "parquet", folder)
        lengths = {path.stem: read_metadata(path).num_rows for path in written}
        write_whole(folder / CITATION, citation(content).encode())
        write_whole(folder / README, data_card(content, lengths).encode())
    return Shared(folder=folder)


def _arm(content: ReportContent, word: str) -> tuple[str, str]:
    """Id and label of the one arm that a word names."""
    arms = {e.arm_id: e.label for e in content.evidence if e.condition.trains}
    arm = one_named(word, arms, "arm with scores")
    return arm, arms[arm]


def _cell(store: Store, arm_id: str, label: str, seed: int | None) -> dict[str, Any]:
    """The row of an arm's cell with a seed."""
    rows = [r for r in store.rows("cells") if r["arm_id"] == arm_id and r["status"] == Status.OK]
    found = sorted((r for r in rows if seed in (None, r["seed"])), key=lambda r: int(r["seed"]))
    if not found:
        seeds = ", ".join(str(s) for s in sorted(int(r["seed"]) for r in rows))
        raise UserError(f"{label} has no scored cell with seed {seed}", f"its seeds are {seeds}")
    return found[0]


def _earlier(folder: Path) -> list[Path]:
    """What an earlier card left in a folder, and what somebody may have put in its place.

    Raises:
        UserError: The folder holds what no card does, or is none of a card: it may be anything.
    """
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    named = [p for p in there if not is_foreign(p.name)]
    others = [p.name for p in named if p.name not in OURS]
    card = folder / README
    text = ""
    if card.is_file():
        with card.open(errors="replace") as file:
            text = file.read(HEAD)
    if not others and named and CARD.match(text) is None:
        others = [p.name for p in named if p.name != README] or [README]
    if others:
        raise UserError(
            f"{folder}: holds other files ({visible(others[0])})", "choose another with -o"
        )
    return named


@contextmanager
def _all_or_nothing(folder: Path, earlier: list[Path]) -> Iterator[None]:
    """Write a card in place of an earlier one; a failure leaves no part of either.

    The README comes first: what a killed process leaves is known as a card's, and written anew.
    """
    try:
        write_whole(folder / README, BEGUN)
        _remove(path for path in earlier if path.name != README)
        yield
    except BaseException:
        _remove(folder / name for name in OURS)
        raise


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _fuse(files: ModelFiles, told: dict[str, Any], folder: Path) -> None:
    """Have mlx-lm write the whole model, in a process of its own: this one never loads MLX."""
    with TemporaryDirectory() as base:  # the model's files, with what mlx-lm is told in the config
        for path in files.folder.iterdir():
            (Path(base) / path.name).symlink_to(real(path))
        (Path(base) / "config.json").unlink()
        (Path(base) / "config.json").write_text(json.dumps(files.config | told))
        paths = {"--model": base, "--adapter-path": folder / "mlx", "--save-path": folder / "fused"}
        words = [word for name, path in paths.items() for word in (name, str(path))]
        done = children.ran(children.python("-m", "mlx_lm", "fuse", *words))
    if done.returncode:
        last = visible(last_line(done.stderr, f"exit code {done.returncode}"))
        raise UserError(f"mlx_lm fuse failed: {last}", "leave out --fuse")
