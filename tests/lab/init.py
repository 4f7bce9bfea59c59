"""Process 1 of a lab machine: sets up its files, then reaps orphans until stdin is closed.

Usage: init.py HOSTNAME FOLDER COMPILED PATH...    the paths stay visible, read-only

All machines share COMPILED as /tmp/mlx, where MLX keeps what it compiles: a second of CPU a kernel.
"""

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path

OWN = ("tmp", "root", "run", "var/tmp")
FILES = ("etc/hosts", "etc/resolv.conf")


def mount(*arguments: str) -> None:
    """Run mount(8)."""
    subprocess.run(["mount", *arguments], check=True)


def hide_the_rest(folder: Path, compiled: str, visible: list[str]) -> None:
    """Give the machine its own temporary, home and run folders; all else is read-only."""
    mount("--make-rprivate", "/")
    for path in visible:
        top = next((own for own in OWN if Path(path).is_relative_to(f"/{own}")), None)
        if top is not None:
            place = folder / path.lstrip("/")
            place.mkdir(parents=True, exist_ok=True)
            mount("--bind", path, str(place))
            mount("-o", "remount,bind,ro", str(place))
    mount("--bind", compiled, str(folder / "tmp/mlx"))
    mount("-t", "tmpfs", "-o", "size=1g", "tmpfs", "/dev/shm")
    for name in FILES:
        mount("--bind", str(folder / name), f"/{name}")
    for name in reversed(OWN):  # the lab's files are below the first of these folders
        mount("--rbind", str(folder / name), f"/{name}")
    mount("-o", "remount,bind,ro", "/")


def reap_until_eof() -> None:
    """Collect orphans; end when the other side of stdin is closed."""
    while True:
        readable, _, _ = select.select([0], [], [], 0.2)
        if readable and not os.read(0, 1):
            return
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def main() -> None:
    """Set up the machine, report that it is ready, and wait."""
    hostname, folder, compiled, *visible = sys.argv[1:]
    subprocess.run(["hostname", hostname], check=True)
    hide_the_rest(Path(folder), compiled, visible)
    os.chdir("/root")
    print("ready", flush=True)
    reap_until_eof()


if __name__ == "__main__":
    main()
