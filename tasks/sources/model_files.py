"""A base model as files: where it lies, what it is, whether it is safe. Never loads MLX."""

import hashlib
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any

from safetensors import SafetensorError, safe_open

from tasks import starter
from tasks.contract.cell import ModelSpec, NodeError, digest_of
from tasks.sources import host_copies as content
from tasks.sources.earlier_words import earlier_words
from tasks.sources.foreign import is_foreign
from tasks.sources.hub import HUB_ID, NotHereError, snapshot
from tasks.sources.jsonl import demand_file, read_json
from tasks.sources.mlx_lm_kinds import demand_loadable, not_linear
from tasks.sources.paths import real
from tasks.sources.remembered import remembered

INDEX, GENERATION = "model.safetensors.index.json", "generation_config.json"
TEMPLATES = "additional_chat_templates"
"""A folder of a model, for templates by their names beside `chat_template.jinja`."""
SHIPPED = {"tiny": starter.TINY}
"""Models that are part of the program."""
LARGE = 64 << 20
"""Bytes from which a file's digest is remembered: reading it takes longer than asking."""
FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Types of numbers in weights' files, and MLX's names for them."""
PATTERNS = (
    "*.json",
    "*.safetensors",
    "*.txt",
    "*.jinja",
    "tokenizer.model",
    "*.tiktoken",
    "tiktoken.model",
)
MOST_BYTES = 1 << 27
"""Of a file of a model: the largest vocabularies have a quarter of it."""
MOST_BYTES_OF = {".safetensors": sys.maxsize, ".jinja": 1 << 20}
"""By the end of its name; real templates have a hundredth of a mebibyte."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelFiles:
    """A model directory as it was read; equal to itself only, so that answers about it are kept.

    Attributes:
        folder: Where `config.json` lies.
        config: Its content.
        digest: sha256 over the files that matter.
        weight_bytes: Size of the weights on disk.
    """

    folder: Path
    config: dict[str, Any]
    digest: str
    weight_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Projections:
    """Matrices inside a model's blocks: name, e.g. `q_proj` -> how many have it.

    Attributes:
        linear: Linear layers; these can be adapted.
        experts: Matrices of a mixture's experts; these are not adapted.
    """

    linear: dict[str, int]
    experts: dict[str, int]


_BLOCK_MATRIX = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.\d+\.((?:.*\.)?)(\w+)\.weight$")
_NO_MATRIX = re.compile(r"norm|conv")
_EXPERT = re.compile(r"(?:^|\.)experts\.|switch_mlp\.")


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in a model's weight files; reads their headers only."""
    return {name: shape for name, (shape, _) in _tensors(folder).items()}


def _tensors(folder: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> shape and type, as safetensors names it, of every tensor in a model's files.

    Raises:
        NodeError: A file cannot be read, or two hold a tensor of one name: mlx-lm would take that
            of the file which the file system lists last.
    """
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    holder: dict[str, str] = {}
    for path in _weights(folder):
        stat = path.stat()
        held = _tensors_in(path, stat.st_size, stat.st_mtime_ns)
        if twice := next((name for name in held if name in holder), None):
            raise NodeError(
                f"{folder}: {twice} is in {holder[twice]} and in {path.name}; keep one of them"
            )
        holder |= dict.fromkeys(held, path.name)
        found |= held
    return found


@cache
def _tensors_in(path: Path, _size: int, _changed_ns: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """The same of one file, once for each version of it; a notebook may outlive one."""
    try:
        with safe_open(path, framework="numpy") as tensors:
            parts = {k: tensors.get_slice(k) for k in tensors.keys()}  # noqa: SIM118
            return {k: (tuple(part.get_shape()), part.get_dtype()) for k, part in parts.items()}
    except (SafetensorError, OSError) as error:
        raise NodeError(f"{path}: not a readable safetensors file ({error})") from None


def projections_of(folder: Path) -> Projections:
    """The matrices inside a model's blocks, by name, as the node finds them to adapt them."""
    linear: Counter[str] = Counter()
    experts: Counter[str] = Counter()
    others = not_linear(_object(folder / "config.json"))
    for key, shape in shapes_of(folder).items():
        found = _BLOCK_MATRIX.search(key)
        if found is None or len(shape) < 2 or _NO_MATRIX.search(found[2]):
            continue
        # a stack of experts is one tensor of three axes, or a numbered matrix for each
        if len(shape) > 2 or _EXPERT.search(found[1]):
            experts[found[2]] += shape[0] if len(shape) > 2 else 1
        elif found[2] not in others:
            linear[found[2]] += 1
    return Projections(linear=dict(linear), experts=dict(experts))


def locate(
    name: str, revision: str | None, *, download: bool, digest: str | None = None
) -> tuple[ModelSpec, ModelFiles]:
    """Find a model and say exactly which one it is.

    Args:
        name: `tiny`, a directory, or a hub id.
        revision: Commit, tag or branch of a hub model.
        download: Whether a hub model may be fetched.
        digest: What it is to be, if known; a copy with this content goes before the name.

    Raises:
        NotHereError: A hub model is not in the cache and may not be fetched.
        NodeError: It is no directory, incomplete, or unsafe to load.
    """
    copied = content.with_digest(digest) or content.named(content.MODEL, name, revision)
    folder = copied or _folder(name, revision, download=download)
    on_hub = HUB_ID.fullmatch(name) is not None and not _is_folder(name)
    try:
        if on_hub and not download and not _is_complete(folder):
            raise NotHereError(f"model {name} is on this machine in part only")
        files = _read(folder)
    except NodeError as error:
        if not on_hub or copied or isinstance(error, NotHereError):
            raise
        # the cache's links lead to blobs: without them the same bytes would be linked again
        raise NodeError(
            f"{error}; if its download is damaged: rm -r {quote(str(folder.parents[1]))}"
        ) from error
    _demand_usable(files)
    commit = folder.name if on_hub else None
    words = earlier_words(files.folder / "config.json", files.config)
    told = digest_of(words) if words else None
    return ModelSpec(name=name, revision=commit, digest=files.digest, told=told), files


def read_folder(folder: Path) -> ModelFiles:
    """Check a model directory and digest it.

    Raises:
        NodeError: It has no config, no safetensors weights, or asks to run code of its own.
    """
    files = _read(folder)
    _demand_usable(files)
    return files


def _demand_usable(files: ModelFiles) -> None:
    """Check that mlx-lm can load a model, and without code of the model's own."""
    where = files.folder
    if "model_file" in files.config:
        raise NodeError(f"{where}: config.json asks to run {files.config['model_file']!r}; refused")
    path = where / "config.json"
    demand_loadable(path, files.config | earlier_words(path, files.config))


def _read(folder: Path) -> ModelFiles:
    """A model's files, all there and readable."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not is_foreign(path.name) and any(path.match(pattern) for pattern in PATTERNS):
            _demand_file(path)
    config = _object(folder / "config.json")
    if (folder / GENERATION).is_file():
        _object(folder / GENERATION)  # mlx-lm asks it for the tokens that end an answer
    weights = _weights(folder)
    if not weights:
        raise NodeError(f"{folder}: no model*.safetensors (other weight formats are not loaded)")
    if absent := _absent_shards(folder):
        raise NodeError(f"{folder}: {absent[0]} is missing, which {INDEX} names")
    _tensors(folder)
    return ModelFiles(
        folder=folder,
        config=config,
        digest=content.digest_of_files(file_digests(folder)),
        weight_bytes=sum(p.stat().st_size for p in weights),
    )


def _demand_file(path: Path) -> None:
    """Check that a file of a model can be read to its end; weights may be of any size.

    Raises:
        NodeError: It is a pipe or a device, or too long.
    """
    try:
        demand_file(path, MOST_BYTES_OF.get(path.suffix, MOST_BYTES))
    except FileNotFoundError:  # a link that leads nowhere; what needs it will say so
        return
    except OSError as error:
        raise NodeError(f"{path}: cannot be read ({error.strerror})") from None


def file_digests(folder: Path) -> dict[str, str]:
    """Relative path -> sha256 of the files that make the model."""
    files = [*folder.iterdir(), *(folder / TEMPLATES).glob("*.jinja")]
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files if _matters(p)}


@cache
def precision(files: ModelFiles) -> str:
    """How the base weights are stored, e.g. `bfloat16`, `q4`, or `q4/6` where bits are mixed.

    The tensors say it; the config only where they have no type of FLOATS.

    Where a config asks for bits and no weight has scales, mlx-lm leaves the weights as they are.
    """
    config = files.config
    quantization = config.get("quantization") or config.get("quantization_config")
    if "quantization" in config and not any(k.endswith(".scales") for k in shapes_of(files.folder)):
        quantization = None
    if quantization:
        parts = [quantization, *(v for v in quantization.values() if isinstance(v, dict))]
        bits = {str(part["bits"]) for part in parts if "bits" in part}
        return "q" + ("/".join(sorted(bits)) or "?")
    # older files keep the rates of the rotations, which mlx-lm leaves out
    of_weights = (t for name, (_, t) in _tensors(files.folder).items() if "inv_freq" not in name)
    if kinds := {FLOATS[kind] for kind in of_weights if kind in FLOATS}:
        return kinds.pop() if len(kinds) == 1 else "mixed"
    return str(config.get("torch_dtype") or config.get("dtype") or "unknown")


def same_family(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two configs are of relatives: the letters that their `model_type` begins with.

    `qwen2` and `qwen3_moe` are, `llama` and `mistral` are not. False where a type is missing.
    """
    kinds = [re.match("[a-z]+", str(c.get("model_type", "")).lower()) for c in (one, other)]
    return None not in kinds and len({k[0] for k in kinds if k}) == 1


def _folder(name: str, revision: str | None, *, download: bool) -> Path:
    if name in SHIPPED:
        return SHIPPED[name]
    if _is_folder(name):
        return real(name)
    if Path(name).is_absolute() or name.startswith((".", "~")) or not HUB_ID.fullmatch(name):
        raise NodeError(f"model {name}: no such directory, and no hub id of the form owner/name")
    return snapshot(name, revision, PATTERNS, download=download)


def _is_folder(name: str) -> bool:
    return os.path.isdir(name)  # noqa: PTH112 - never raises, as for a name that is too long


def _object(path: Path) -> dict[str, Any]:
    """A JSON file that holds one object."""
    value = read_json(path, lenient=True)  # e.g. a `time_step_limit` of Infinity
    if not isinstance(value, dict):
        raise NodeError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _is_complete(folder: Path) -> bool:
    """Whether a snapshot has all its files; another program may have fetched the tokenizer only."""
    there = (folder / "config.json").is_file() and bool(_weights(folder))
    return there and not _absent_shards(folder)


def _absent_shards(folder: Path) -> list[str]:
    """Weight files that the index names and that are not among those which mlx-lm loads."""
    if not (folder / INDEX).is_file():
        return []
    shards = _object(folder / INDEX).get("weight_map")
    named = {str(s) for s in shards.values()} if isinstance(shards, dict) else set()
    return sorted(named - {path.name for path in _weights(folder)})


def _weights(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("model*.safetensors") if not is_foreign(p.name))


def _matters(path: Path) -> bool:
    if not path.is_file() or is_foreign(path.name):
        return False
    return any(path.match(pattern) for pattern in PATTERNS)


def file_digest(path: Path) -> str:
    """Digest of a file; a hub cache names its large blobs by it, so those need no reading."""
    blob = real(path)
    if path.is_symlink() and blob.parent.name == "blobs" and _is_digest(blob.name):
        return blob.name
    stat = path.stat()
    if stat.st_size < LARGE:
        return _digest_read(path)
    given = [str(blob), stat.st_size, stat.st_mtime_ns]
    return str(remembered("digests", given, lambda: _digest_read(path), _is_digest))


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def _digest_read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
