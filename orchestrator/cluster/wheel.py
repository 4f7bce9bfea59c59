"""A wheel of the code that runs now, made without a build tool.

The same code gives the same bytes; their digest names the environment on hosts.
"""

import base64
import csv
import hashlib
import importlib.metadata
import io
import zipfile
from dataclasses import dataclass
from functools import cache

import orchestrator
from orchestrator import __version__
from orchestrator.errors import UserError
from tasks.sources.paths import real

PACKAGES = ("orchestrator", "tasks")
LOCKS = ("requirements.lock", "probes.lock")
DISTRIBUTION = "rho-sweep"
EPOCH = (1980, 1, 1, 0, 0, 0)
DIGEST_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Wheel:
    """A version of this program, as it is installed on hosts.

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
        """Name of the environment on hosts: version, and digest of code and pins."""
        digest = hashlib.sha256(self.content)
        for name, lock in sorted(self.locks.items()):
            digest.update(name.encode() + b"\0" + lock)
        return f"{__version__}-{digest.hexdigest()[:DIGEST_CHARACTERS]}"


@cache
def this_version() -> Wheel:
    """The wheel of the code that runs now, in a checkout or installed.

    Raises:
        UserError: It is not installed, or its requirements.lock is not there.
    """
    code = real(orchestrator.__file__).parents[1]
    locks = {}
    for name in LOCKS:
        # beside a checkout's code, or the copy that a wheel of ours carries
        for path in (code / name, code / "orchestrator" / "pins" / name):
            if name not in locks and path.is_file():
                locks[name] = path.read_bytes()
    if LOCKS[0] not in locks:
        raise UserError(
            f"{LOCKS[0]} is not beside the code", "run from a checkout, or install again"
        )
    files = {f"orchestrator/pins/{name}": lock for name, lock in locks.items()}
    for path in (p for package in PACKAGES for p in (code / package).rglob("*")):
        inside = path.relative_to(code)
        hidden = any(p.startswith((".", "__pycache__")) for p in inside.parts)
        if path.is_file() and not hidden and inside.parts[:2] != ("orchestrator", "pins"):
            files[inside.as_posix()] = path.read_bytes()
    stem = f"rho_sweep-{__version__}"
    files |= _metadata(f"{stem}.dist-info")
    return Wheel(f"{stem}-py3-none-any.whl", _zip(files, f"{stem}.dist-info"), locks)


def _metadata(folder: str) -> dict[str, bytes]:
    try:
        installed = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"{DISTRIBUTION} is not installed here", "in its checkout: make venv"
        ) from None
    texts = {
        "METADATA": installed.read_text("METADATA") or "",
        "entry_points.txt": installed.read_text("entry_points.txt") or "",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: rho-sweep\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    return {f"{folder}/{name}": text.encode() for name, text in texts.items()}


def _zip(files: dict[str, bytes], metadata: str) -> bytes:
    """The bytes of a wheel. Times and order are fixed, so that they depend on its files only."""
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
