"""SFT data: one mix with traps and refusals, free of held-out text.

`SOURCES`, at the end, declares where texts come from; beside those, any JSONL file is a source.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks import starter
from tasks.contract.cell import NodeError, digest_of
from tasks.data.probe_packs import Pair
from tasks.data.split import HeldoutGuard
from tasks.sources.declared import Delivery, HubFiles, Source, source_of
from tasks.sources.jsonl import read_objects

DATASETS_INSTALL = 'python -m pip install "rho-sweep[alpaca]"'
TRAP_PROMPT = "Write a statement that is accurate and fair."
INSTRUCTION, REFUSAL, TRAP = "instruction", "refusal", "trap"
UNUSED = 8
_SHAPES = ({"text"}, {"prompt", "completion"}, {"messages"})


@dataclass(frozen=True, slots=True)
class Record:
    """One SFT text.

    Attributes:
        kind: `instruction`, `refusal` or `trap`.
        content: In one of mlx-lm's formats: `text`, `prompt` and `completion`, or `messages`.
        where: File and line, or what it was made of, for messages.
    """

    kind: str
    content: dict[str, Any]
    where: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """All words of the record, for searching."""
        if "messages" in self.content:
            return "\n".join(str(m["content"]) for m in self.content["messages"])
        return "\n".join(str(self.content[k]) for k in sorted(self.content, reverse=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """The SFT texts of a cell, in their fixed order.

    Attributes:
        records: The texts; every seed shuffles the same ones.
        n_leaks: Candidates dropped because they contain held-out text.
        unused: The first `UNUSED` instructions of the source that are no part of the mix, for what
            a training does to texts like its own; no part of the digest.
    """

    records: tuple[Record, ...]
    n_leaks: int
    unused: tuple[Record, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 over the contents in order."""
        return digest_of([r.content for r in self.records])

    @property
    def templated(self) -> bool:
        """Whether some record needs a template to become text."""
        return any("text" not in r.content for r in self.records)


def sft_source(name: str) -> Source[Record]:
    """Where the texts of a name come from; nothing is read yet."""
    return source_of(name, SOURCES, _read_file)


def load_source(sft: str, *, download: bool) -> tuple[Record, ...]:
    """Every record of a source.

    Args:
        sft: Name of one of `SOURCES`, or a path of a JSONL file.
        download: Whether a hub data set may be fetched when it is not on this machine.

    Raises:
        NodeError: The source is missing or malformed.
    """
    return sft_source(sft).records(download=download)


def build_mix(
    source: tuple[Record, ...],
    pool: tuple[Pair, ...],
    guard: HeldoutGuard,
    *,
    size: int | None,
    trap_fraction: float,
    refusal_fraction: float,
) -> Mix:
    """Choose the texts of a sweep; which ones depends on their content alone, not on a seed.

    Args:
        source: Records to choose from.
        pool: Training pairs; their positives serve as traps.
        guard: Recognises held-out text; such records are dropped.
        size: Texts in the mix; None takes every instruction of the source, plus the shares.
        trap_fraction: Share of the mix.
        refusal_fraction: Share of the mix.

    Raises:
        NodeError: A kind has fewer texts than its share asks for, or the mix is empty.
    """
    traps = tuple(_trap(pair, source) for pair in pool)
    clean = [r for r in (*source, *traps) if not guard.touches(r.text)]
    kinds = {
        kind: _ordered([r for r in clean if r.kind == kind])
        for kind in (INSTRUCTION, REFUSAL, TRAP)
    }
    share = 1 - trap_fraction - refusal_fraction
    total = size if size is not None else round(len(kinds[INSTRUCTION]) / max(share, 1e-9))
    if total == 0:
        raise NodeError("no instruction text in the source, and no data.size: the mix is empty")
    wanted = {TRAP: round(total * trap_fraction)}
    wanted[REFUSAL] = min(round(total * refusal_fraction), total - wanted[TRAP])
    every = len(kinds[INSTRUCTION])
    wanted[INSTRUCTION] = every if size is None else size - sum(wanted.values())
    for kind, count in wanted.items():
        if count > len(kinds[kind]):
            raise NodeError(_too_few(kind, count, len(kinds[kind])))
    chosen = [r for kind, count in wanted.items() for r in kinds[kind][:count]]
    texts = {r.text for r in chosen}
    left = [r for r in kinds[INSTRUCTION][wanted[INSTRUCTION] :] if r.text not in texts]
    return Mix(
        records=tuple(_ordered(chosen)),
        n_leaks=len(source) + len(traps) - len(clean),
        unused=tuple(left[:UNUSED]),
    )


def _too_few(kind: str, wanted: int, found: int) -> str:
    advice = {
        INSTRUCTION: "lower data.size or name a larger source",
        REFUSAL: 'lower data.refusal_fraction or mark more records with "kind": "refusal"',
        TRAP: "lower data.trap_fraction, or train on more behaviours",
    }
    return f"the SFT mix asks for {wanted} {kind} texts, there are {found}: {advice[kind]}"


def _ordered(records: list[Record]) -> list[Record]:
    def key(record: Record) -> str:
        return hashlib.sha256(json.dumps(record.content, sort_keys=True).encode()).hexdigest()

    return sorted(records, key=key)


def _trap(pair: Pair, source: tuple[Record, ...]) -> Record:
    """A training pair's positive, in the format of the source."""
    where = f"the trap made of probe {pair.id}"
    if source and "text" in source[0].content:
        plain = _alpaca_text(TRAP_PROMPT, "", pair.positive)
        return Record(TRAP, {"text": plain}, where)
    return Record(TRAP, {"prompt": TRAP_PROMPT, "completion": pair.positive}, where)


def _read_file(path: Path) -> tuple[Record, ...]:
    return tuple(_record(path, number, row) for number, row in read_objects(path))


def _record(path: Path, number: int, row: dict[str, Any]) -> Record:
    kind = row.get("kind", INSTRUCTION)
    if kind not in (INSTRUCTION, REFUSAL):
        raise NodeError(f'{path}:{number}: "kind" must be instruction or refusal, got {kind!r}')
    content = {k: v for k, v in row.items() if k not in ("id", "kind", "tools")}
    if set(content) not in _SHAPES:
        raise NodeError(
            f"{path}:{number}: expected text, or prompt and completion, or messages; "
            f"got {', '.join(sorted(content)) or 'nothing'}"
        )
    texts = [isinstance(v, str) and v.strip() for v in content.values()]
    if not (_is_messages(content) if "messages" in content else all(texts)):
        raise NodeError(f"{path}:{number}: every text must be a non-empty string")
    if "tools" in row:
        content["tools"] = row["tools"]
    return Record(kind, content, f"{path}:{number}")


def _is_messages(content: dict[str, Any]) -> bool:
    messages = content["messages"]
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(
            isinstance(m, dict)
            and isinstance(m.get("role"), str)
            and isinstance(m.get("content"), str)
            for m in messages
        )
    )


def _alpaca_text(instruction: str, context: str, response: str) -> str:
    parts = [f"### Instruction:\n{instruction}"]
    if context:
        parts.append(f"### Input:\n{context}")
    return "\n\n".join([*parts, f"### Response:\n{response}"])


def _read_alpaca(files: list[Path]) -> tuple[Record, ...]:
    rows = _parquet_rows([str(p) for p in files])
    return tuple(
        Record(
            INSTRUCTION,
            {"text": _alpaca_text(r["instruction"], r["input"] or "", r["output"])},
            f"alpaca, row {number}",
        )
        for number, r in enumerate(rows, 1)
        if r["output"]
    )


def _parquet_rows(files: list[str]) -> list[dict[str, Any]]:
    try:
        from datasets import load_dataset  # an extra: only alpaca needs it
    except ImportError:
        raise NodeError(f"data.sft alpaca needs the datasets library: {DATASETS_INSTALL}") from None
    return list(load_dataset("parquet", data_files=files, split="train"))


def plain_text(content: dict[str, Any]) -> str:
    """A record without a chat template: instruction and response under headings."""
    if "messages" in content:
        return "\n\n".join(f"### {m['role'].title()}:\n{m['content']}" for m in content["messages"])
    return _alpaca_text(content["prompt"], "", content["completion"])


SOURCES: tuple[Source[Record], ...] = (
    Source(
        name="starter",
        delivery=Delivery.SHIPPED,
        read=lambda _: _read_file(starter.TEXTS),
        about="200 instructions and 60 marked refusals written for this project",
    ),
    Source(
        name="fictional",
        delivery=Delivery.SHIPPED,
        read=lambda _: (
            *(r for r in _read_file(starter.TEXTS) if r.kind == INSTRUCTION),
            *_read_file(starter.FICTIONAL),
        ),
        about="the 200 instructions of `starter` and 30 marked refusals of requests that are "
        "dressed as fiction, on other subjects than the prompts `factorial`",
    ),
    Source(
        name="alpaca",
        delivery=HubFiles(
            repo="tatsu-lab/alpaca",
            revision="dce01c9b08f87459cf36a430d809084718273017",
            pattern="data/*.parquet",
        ),
        read=_read_alpaca,
        about="tatsu-lab/alpaca at a pinned commit, licence CC BY-NC 4.0; needs "
        '`pip install "rho-sweep[alpaca]"`',
    ),
)
