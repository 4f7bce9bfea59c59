"""Copies of models and data on this host: what is missing, receive, finish. Runs over ssh.

    python -m orchestrator.cluster.on_host.receive have < request.json
    python -m orchestrator.cluster.on_host.receive receive REQUEST < bytes

A copy is written in `<root>/content/part-<digest>` and renamed when all checksums are right, so
that cells never find an incomplete copy.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError, writing
from orchestrator.results.files import sync, sync_folder, write_whole
from tasks.contract.cell import NodeError
from tasks.sources import host_copies as content
from tasks.sources.paths import real

CHUNK = 1 << 20
BLOB = re.compile(r"[0-9a-f]{64}")
Request = dict[str, Any]


def folder_of(request: Request) -> Path:
    """The folder of this host's copies."""
    return Path(request["root"]).expanduser() / "content"


def have(request: Request) -> Request:
    """Check the files of a copy, and delete those with wrong bytes.

    The request has `digest`, `name` and `files`: path -> [sha256, bytes]. `missing` of the answer
    is path -> number of bytes that are there already, for each incomplete file.

    Raises:
        UserError: Another prefetch is copying the same.
    """
    with _held(request):
        return {"missing": _missing(request)}


def receive(request: Request) -> Request:
    """Append standard input to a file of a copy, from byte `offset` on.

    Raises:
        UserError: Another prefetch is copying the same.
    """
    with _held(request):
        path = _part(request) / request["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path), path.open("ab") as file:
            if file.tell() != request["offset"]:
                raise UserError(f"{path} changed meanwhile", "prefetch again")
            shutil.copyfileobj(sys.stdin.buffer, file, CHUNK)
            file.flush()
            sync(file.fileno())
        return {}


def finish(request: Request) -> Request:
    """Check all files once more; if they are right, cells find the copy from now on.

    `names` of the request are the [kind, name, revision] that mean it.

    Raises:
        UserError: Another prefetch is copying the same, or bytes are missing or wrong.
    """
    folder = folder_of(request)
    with _held(request):
        if missing := _missing(request):
            raise UserError(f"{next(iter(missing))} arrived with other bytes", "prefetch again")
        place = folder / request["digest"]
        if not place.is_dir():
            _part_root(request).rename(place)
            sync_folder(folder)
        for kind, name, revision in request["names"]:
            note = folder / content.NAMES / content.note_name(kind, name, revision)
            write_whole(note, request["digest"].encode())
    return {}


def digest(request: Request) -> Request:
    """Digest of what a name means on this host, as for a cell; null with a message if nothing.

    The request has `kind`, `name`, `revision` and `download`.

    Raises:
        UserError: A download fails.
    """
    from orchestrator.cluster import assets as needs  # slow to load; most requests do without
    from tasks.sources.hub import NotHereError

    os.environ[content.VARIABLE] = str(folder_of(request))
    key, fetch = (request["kind"], request["name"], request["revision"]), request["download"]
    try:
        found = needs.digest_here(*key, download=fetch)
    except NotHereError as error:
        return {"digest": None, "message": str(error)}
    except NodeError as error:
        if fetch:
            raise UserError(str(error)) from None
        return {"digest": None, "message": str(error)}
    return {"digest": found, "message": None}


def download(request: Request) -> Request:
    """Fetch from the hub with the code that cells use, then check the files.

    Raises:
        UserError: The hub cannot be reached, or bytes are wrong.
    """
    from orchestrator.cluster import assets as needs

    answer = digest(request | {"download": True})
    where = needs.place_here(request["kind"], request["name"], request["revision"])
    for path in where.rglob("*"):
        blob = real(path)
        if path.is_symlink() and BLOB.fullmatch(blob.name) and _sha256(blob) != blob.name:
            blob.unlink()
            path.unlink()
            raise UserError(f"{path.name} came from the hub with other bytes", "prefetch again")
    return answer


def _missing(request: Request) -> dict[str, int]:
    """As `missing` in `have`. A finished copy with wrong bytes becomes an unfinished one."""
    place, part = folder_of(request) / request["digest"], _part(request)
    whole = place / request["name"]
    there = whole if place.is_dir() else part
    found = {}
    for path, (sha256, size) in request["files"].items():
        offset = _usable(there / path, sha256, size)
        if offset < size or not (there / path).is_file():
            found[path] = offset
    if found and place.is_dir():
        shutil.rmtree(_part_root(request), ignore_errors=True)
        place.rename(_part_root(request))
    return found


def _usable(path: Path, sha256: str, size: int) -> int:
    """Bytes to keep of a file: all if right, those there if some are missing, otherwise none."""
    if not path.is_file():
        return 0
    length = path.stat().st_size
    if length < size:
        return length
    if length == size and _sha256(path) == sha256:
        return size
    path.unlink()
    return 0


def _part(request: Request) -> Path:
    return _part_root(request) / str(request["name"])


def _part_root(request: Request) -> Path:
    return folder_of(request) / f"part-{request['digest']}"


@contextmanager
def _held(request: Request) -> Iterator[None]:
    """Hold the lock of a content; the kernel frees it when this process ends."""
    folder = folder_of(request)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"lock-{request['digest']}").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("another prefetch is copying this", "wait for it to end") from None
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


ACTIONS: dict[str, Callable[[Request], Request]] = {
    "have": have,
    "receive": receive,
    "finish": finish,
    "digest": digest,
    "download": download,
}


def main() -> None:
    """Answer one request."""
    try:
        request = json.loads(sys.argv[2]) if len(sys.argv) > 2 else json.load(sys.stdin)
        print(json.dumps(ACTIONS[sys.argv[1]](request)))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
