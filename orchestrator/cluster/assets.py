"""What a sweep needs on every host beside the program: models, data sets, files."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.config.condition_rules import Point, condition_of
from orchestrator.config.sweep_file import Sweep
from orchestrator.errors import UserError
from tasks.contract.cell import NodeError
from tasks.contract.measures import CAPABILITY
from tasks.data import probe_packs, sft
from tasks.sources import host_copies as content
from tasks.sources import hub
from tasks.sources.declared import Delivery, HubFiles, Source, file_of
from tasks.sources.hub import NotHereError
from tasks.sources.model_files import SHIPPED, file_digest, file_digests, locate

PACK = Delivery.INSTALLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that cells read.

    Attributes:
        kind: `model`, `dataset`, `file`, or `pack` for one that is installed with the program.
        name: As the sweep has it, paths made absolute.
        revision: Commit on the hub; None for files and folders of this machine.
        wish: Revision as the sweep has it.
        source: Folder or file on this machine; None if it is not here.
        files: Path below the source's folder -> sha256; empty if it is not here.
        digest: sha256 over all of it; None if it is not here.
    """

    kind: str
    name: str
    revision: str | None = None
    wish: str | None = None
    source: Path | None = None
    files: dict[str, str] = field(default_factory=dict)
    digest: str | None = None

    @property
    def on_hub(self) -> bool:
        """Whether a host can fetch it for itself."""
        return self.revision is not None

    @property
    def label(self) -> str:
        """For messages, e.g. `model Qwen/Qwen2.5-0.5B@7ae55760`."""
        return f"{self.kind} {self.name}" + (f"@{self.revision[:8]}" if self.revision else "")

    def path_of(self, inside: str) -> Path:
        """A file of it on this machine."""
        if self.source is None:
            raise AssertionError("only what is here has paths")
        return self.source if self.kind == content.FILE else self.source / inside


def of_sweep(sweep: Sweep, *, download: bool) -> list[Need]:
    """Everything that is not shipped with the program, each once.

    Args:
        sweep: Whose cells.
        download: Whether hub content may be fetched to this machine.

    Raises:
        UserError: Files are missing or malformed; all of them at once.
    """
    found: dict[tuple[str, str, str | None], Need] = {}
    problems: list[str] = []
    wishes = dict.fromkeys(w for _, point in sweep.points() for w in _wishes(point))
    wishes |= dict.fromkeys(_prompt_files(sweep))
    for kind, name, revision in wishes:
        try:
            found[kind, name, revision] = _need(kind, name, revision, download=download)
        except (NodeError, UserError) as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return list(found.values())


def _wishes(point: Point) -> Iterator[tuple[str, str, str | None]]:
    if point["model"] not in SHIPPED:
        yield content.MODEL, point["model"], point["model_revision"]
    if point[CAPABILITY] is not None:
        yield content.FILE, point[CAPABILITY], None
    sources: list[Source[Any]] = [probe_packs.pack_source(point["probes.pack"])]
    if condition_of(point).trains:
        sources.append(sft.sft_source(point["data.sft"]))
    for source in sources:
        match source.delivery:
            case HubFiles(repo=repo, revision=revision):
                yield content.DATASET, repo, revision
            case Delivery.INSTALLED | Delivery.FILE as kind:
                yield str(kind), source.name, None


def _prompt_files(sweep: Sweep) -> Iterator[tuple[str, str, str | None]]:
    """Prompt sets that are files of this machine; the driver on the head reads them."""
    for name in sweep.stress.prompts if sweep.stress else ():
        if Path(name).is_absolute():
            yield content.FILE, name, None


def _need(kind: str, name: str, revision: str | None, *, download: bool) -> Need:
    if kind == content.FILE:
        return _file(name, download=download)
    if kind == PACK:
        return Need(kind=PACK, name=name, digest=_installed_digest(name))
    if kind == content.DATASET:
        return _dataset(_hub_files(name), download=download)
    return _model(name, revision, download=download)


def _installed_digest(name: str) -> str:
    """sha256 over the records of an installed source.

    Raises:
        NodeError: It is not installed here.
    """
    source = next(s for s in _declared() if s.name == name and s.delivery is PACK)
    lines = (json.dumps(asdict(record)) for record in source.records(download=False))
    return content.digest_of_files({str(i): line for i, line in enumerate(lines)})


def _declared() -> tuple[Source[Any], ...]:
    return (*probe_packs.PACKS, *sft.SOURCES)


def _hub_files(repo: str) -> HubFiles:
    """The declared files of a data set."""
    known = [s.delivery for s in _declared() if isinstance(s.delivery, HubFiles)]
    return next(files for files in known if files.repo == repo)


def _file(name: str, *, download: bool) -> Need:
    """A file of this machine, also one that it has from the hub: hosts get a copy."""
    try:
        path = file_of(name, download=download)
    except NotHereError:
        return Need(kind=content.FILE, name=name)
    files = {path.name: file_digest(path)}
    digest = content.digest_of_files(files)
    return Need(kind=content.FILE, name=name, source=path, files=files, digest=digest)


def _model(name: str, wish: str | None, *, download: bool) -> Need:
    try:
        spec, found = locate(name, wish, download=download)
    except NotHereError:
        return Need(kind=content.MODEL, name=name, revision=hub.commit_of(name, wish), wish=wish)
    return Need(
        kind=content.MODEL,
        name=name,
        revision=spec.revision,
        wish=wish,
        source=found.folder,
        files=file_digests(found.folder),
        digest=found.digest,
    )


def _dataset(wanted: HubFiles, *, download: bool) -> Need:
    need = Need(
        kind=content.DATASET, name=wanted.repo, revision=wanted.revision, wish=wanted.revision
    )
    try:
        folder, tables = wanted.find(download=download)
    except NotHereError:
        return need
    files = _digests(folder, tables)
    return replace(need, source=folder, files=files, digest=content.digest_of_files(files))


def _digests(folder: Path, files: Sequence[Path]) -> dict[str, str]:
    """Path below the folder -> sha256."""
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files}


def digest_here(kind: str, name: str, revision: str | None, *, download: bool) -> str:
    """Digest of what a name means on this machine, found as a cell finds it.

    Raises:
        NotHereError: It is not here and was not to be fetched.
        NodeError: It is missing or malformed.
    """
    if kind == PACK:
        return _installed_digest(name)
    if kind == content.MODEL:
        return locate(name, revision, download=download)[1].digest
    if kind == content.DATASET:
        return content.digest_of_files(_digests(*_hub_files(name).find(download=download)))
    path = content.named(kind, name) or Path(name)
    if not path.is_file():
        raise NotHereError(f"{name} is not on this machine")
    return content.digest_of_files({path.name: file_digest(path)})


def place_here(kind: str, name: str, revision: str | None) -> Path:
    """Folder of hub content on this machine.

    Raises:
        NotHereError: It is not here.
    """
    if kind == content.DATASET:
        return _hub_files(name).find(download=False)[0]
    return locate(name, revision, download=False)[1].folder
