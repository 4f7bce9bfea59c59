"""`cluster prefetch`: brings a sweep's models and data to every host, from the hub or from here."""

import json
import shlex
import time
from collections.abc import Callable

from orchestrator.cluster.assets import PACK, Need
from orchestrator.cluster.ray import Answer, ask, host_command
from orchestrator.cluster.ssh import Gathered, Remote, on_all, remotes
from orchestrator.config.foreign_json import shown
from orchestrator.config.hosts import Cluster
from orchestrator.errors import UserError
from orchestrator.visible import size
from tasks.sources.host_copies import FILE

HOST = "orchestrator.cluster.on_host.receive"
HAVE = {"missing": {str: int}}
CHECK_S, DOWNLOAD_S = 1800.0, 6 * 3600.0
SAY_EVERY_S = 5.0
THERE, COPIED, DOWNLOADED = "was there", "copied", "downloaded"
Say = Callable[[str], None]


def prefetch(
    cluster: Cluster, wanted: list[Need], *, from_here: bool, say: Say
) -> Gathered[dict[str, str]]:
    """Bring all needs to every host; what is there with the right bytes is left as it is.

    Args:
        cluster: Whose hosts.
        wanted: What to bring.
        from_here: Copy hub content from this machine instead of letting hosts fetch it.
        say: Called with each line of progress.

    Returns:
        Host name -> label of a need -> `was there`, `copied` or `downloaded`.
    """
    return on_all(
        remotes(cluster),
        lambda remote: {n.label: _bring(remote, n, from_here, say) for n in wanted},
    )


def _bring(remote: Remote, need: Need, from_here: bool, say: Say) -> str:
    if need.kind == PACK:
        return _installed(remote, need)
    if need.digest is not None and not _missing(remote, need):
        _finish(remote, need)
        return THERE
    if not need.on_hub or from_here:
        return _copy(remote, need, say)
    if is_there(remote, need) is None:
        return THERE
    say(f"{remote.host.name}: {need.label}: downloading")
    try:
        found = _ask(remote, "download", {"digest": str}, DOWNLOAD_S, **_named(need))["digest"]
    except UserError as error:
        if need.source is None:
            raise UserError(str(error), "or copy it from here: prefetch --from-here") from None
        say(f"{error}; copying it from here")
        return _copy(remote, need, say)
    if need.digest not in (None, found):
        raise remote.error(f"{need.label}: the hub gave other files than this machine has")
    return DOWNLOADED


def is_there(remote: Remote, need: Need) -> str | None:
    """None if cells on this host find exactly this content; otherwise what is wrong.

    Raises:
        UserError: The host cannot be reached, or has not this version.
    """
    shape = {"digest": (None, str), "message": (None, str)}
    answer = _ask(remote, "digest", shape, download=False, **_named(need))
    if answer["digest"] is None:
        return str(answer["message"])
    if need.digest not in (None, answer["digest"]):
        return "other content than here"
    return None


def _installed(remote: Remote, need: Need) -> str:
    if wrong := is_there(remote, need):
        raise remote.error(f"{need.label}: {wrong}; run: rho-sweep cluster install")
    return THERE


def _copy(remote: Remote, need: Need, say: Say) -> str:
    """Send the bytes that are missing, then let the host check all of them."""
    if need.source is None:
        raise remote.error(f"{need.label} is not on this machine either")
    missing = _missing(remote, need)
    sizes = {path: need.path_of(path).stat().st_size for path in missing}
    total, before, due = sum(sizes.values()), 0, 0.0
    for path, offset in missing.items():
        facts = {"root": remote.cluster.root, **_content(need), "path": path, "offset": offset}
        command = f"{host_command(remote.cluster, HOST)} receive {shlex.quote(json.dumps(facts))}"
        with need.path_of(path).open("rb") as file:
            file.seek(offset)
            for sent in remote.send(file, command):
                if time.monotonic() >= due:
                    due = time.monotonic() + SAY_EVERY_S
                    percent = 100 * (before + offset + sent) // max(total, 1)
                    say(f"{remote.host.name}: {need.label}: copying, {percent} % of {size(total)}")
        before += sizes[path]
    _finish(remote, need)
    return COPIED


def _missing(remote: Remote, need: Need) -> dict[str, int]:
    """Path -> number of bytes that are there, for each file that is not complete on the host.

    Raises:
        UserError: The host asks for a file that is no part of the need.
    """
    missing: dict[str, int] = _ask(remote, "have", HAVE, **_content(need))["missing"]
    for path in missing:
        if path not in need.files:
            raise remote.error(f"asks for {shown(path)}, which is no part of {need.label}; refused")
    return missing


def _finish(remote: Remote, need: Need) -> None:
    names = [[need.kind, need.name, r] for r in {need.revision, need.wish}]
    _ask(remote, "finish", {}, **_content(need), names=names)


def _content(need: Need) -> Answer:
    """The part of a request that lets the host check a copy."""
    if need.source is None:
        raise AssertionError("what is not here has no checksums")
    files = {p: [d, need.path_of(p).stat().st_size] for p, d in need.files.items()}
    name = "" if need.kind == FILE else need.source.name
    return {"digest": need.digest, "name": name, "files": files}


def _named(need: Need) -> Answer:
    return {"kind": need.kind, "name": need.name, "revision": need.revision}


def _ask(
    remote: Remote, action: str, shape: object, timeout_s: float = CHECK_S, **request: object
) -> Answer:
    answer: Answer = ask(remote, action, timeout_s, shape, HOST, **request)
    return answer
