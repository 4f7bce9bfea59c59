"""An ssh server on loopback for tests, with keys and known hosts of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SSH = shutil.which("ssh")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[int]:
    """Run sshd for the current user, with the key `folder/id`. Yields the port."""
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"]
    for name in ("id", "host_key", "other"):
        subprocess.run([*keygen, str(folder / name)], check=True)
    shutil.copy(folder / "id.pub", folder / "authorized")
    port = free_port()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nMaxStartups 50\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen(
        [str(SSHD), "-D", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL
    )
    try:
        _wait(port)
        yield port
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def reachable(folder: Path) -> Iterator[int]:
    """As `running`; within the block, the ssh of `client` is the first in PATH."""
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{client(folder)}:{path}"
    try:
        with running(folder) as port:
            yield port
    finally:
        os.environ["PATH"] = path


def client(folder: Path) -> Path:
    """A folder to put into PATH; its `ssh` keeps known hosts in `folder`."""
    bin_ = folder / "bin"
    bin_.mkdir()
    (folder / "ssh_config").write_text(f"Host *\n  UserKnownHostsFile {folder}/known_hosts\n")
    (bin_ / "ssh").write_text(f'#!/bin/sh\nexec {SSH} -F {folder}/ssh_config "$@"\n')
    (bin_ / "ssh").chmod(0o755)
    return bin_


def free_port() -> int:
    """A port that is free at the time of the call."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError("the ssh server does not listen")
