"""A wheel of the very code that runs, made without a build tool, and its name.

The same code gives the same bytes, so that hosts can be asked whether they have it.
"""

import base64
import csv
import hashlib
import importlib.metadata
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orchestrator
from orchestrator import __version__
from orchestrator.errors import UserError

PACKAGES = ("orchestrator", "tasks")
LOCKS = ("requirements.lock", "probes.lock")
DISTRIBUTION = "rho-sweep"
EPOCH = (1980, 1, 1, 0, 0, 0)
DIGEST_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Wheel:
    """A version to install.

    Attributes:
        name: File name of the wheel.
        content: Its bytes.
        locks: Name of a requirements file -> its bytes.
    """

    name: str
    content: bytes
    locks: dict[str, bytes]

    @property
    def environment(self) -> str:
        """Name of the environment on hosts: version and digest of code and pins."""
        digest = hashlib.sha256(self.content)
        for name, lock in sorted(self.locks.items()):
            digest.update(name.encode() + b"\0" + lock)
        return f"{__version__}-{digest.hexdigest()[:DIGEST_CHARACTERS]}"


@cache
def this_version() -> Wheel:
    """The code that runs now, from a checkout or an installation.

    Raises:
        UserError: It is not installed, or its requirements.lock is not there.
    """
    code = Path(orchestrator.__file__).resolve().parents[1]
    locks = {name: path.read_bytes() for name in LOCKS if (path := _lock(code, name)) is not None}
    if LOCKS[0] not in locks:
        raise UserError(f"{LOCKS[0]} is not beside the code; run from a checkout, or install again")
    files = dict(_package_files(code)) | {
        f"orchestrator/pins/{name}": lock for name, lock in locks.items()
    }
    stem = f"rho_sweep-{__version__}"
    files |= _metadata(f"{stem}.dist-info")
    return Wheel(f"{stem}-py3-none-any.whl", _zip(files, f"{stem}.dist-info"), locks)


def _lock(code: Path, name: str) -> Path | None:
    """A requirements file of a checkout, or the copy that a wheel of ours carries."""
    places = (code / name, code / "orchestrator" / "pins" / name)
    return next((p for p in places if p.is_file()), None)


def _package_files(code: Path) -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        for path in sorted((code / package).rglob("*")):
            inside = path.relative_to(code)
            hidden = any(p.startswith((".", "__pycache__")) for p in inside.parts)
            if path.is_file() and not hidden and inside.parts[:2] != ("orchestrator", "pins"):
                yield inside.as_posix(), path.read_bytes()


def _metadata(folder: str) -> dict[str, bytes]:
    try:
        installed = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"{DISTRIBUTION} is not installed here; in its checkout: make venv"
        ) from None
    texts = {
        "METADATA": installed.read_text("METADATA") or "",
        "entry_points.txt": installed.read_text("entry_points.txt") or "",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: rho-sweep\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    return {f"{folder}/{name}": text.encode() for name, text in texts.items()}


def _zip(files: dict[str, bytes], metadata: str) -> bytes:
    """A wheel with fixed times and order, so that its bytes depend on its files alone."""
    record = io.StringIO()
    writer = csv.writer(record, lineterminator="\n")
    for name, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow((name, f"sha256={digest}", len(content)))
    writer.writerow((f"{metadata}/RECORD", "", ""))
    whole = [*sorted(files.items()), (f"{metadata}/RECORD", record.getvalue().encode())]
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in whole:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return target.getvalue()
