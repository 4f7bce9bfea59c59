"""Commands, files and tunnels on a host, through the OpenSSH client.

Host keys are checked: an unknown host is accepted once and remembered, a changed key is refused.
"""

import contextlib
import io
import os
import secrets
import selectors
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from orchestrator.config.cluster_file import Cluster, Host
from orchestrator.errors import UserError
from orchestrator.visible import last_line
from tasks.model import children

T = TypeVar("T")
SSH_FAILED = 255
CONNECT_S = 10
STALL_S = 300.0
"""Longest pause in which a host takes nothing of a file."""
PIECE = 1 << 20
LARGEST_ANSWER = 16 << 20
LARGEST_COMPLAINT = 1 << 20
"""Bytes of standard error after which a connection is closed."""
OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "accept-new",
    "ConnectTimeout": str(CONNECT_S),
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "ControlPath": "none",
    "LogLevel": "ERROR",
}
ADVICE = {
    "Permission denied": "check user and key in the cluster file, or: ssh-copy-id {login}",
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "its host key changed; if you know why: "
    "ssh-keygen -R {place}",
    "Host key verification failed": "its host key is not the known one; if you know why: "
    "ssh-keygen -R {place}",
    "Could not resolve": "give its IP address in the cluster file",
    "Connection refused": "turn on its ssh server (macOS: System Settings, Sharing, Remote Login)",
    "timed out": "is it on, awake and on this network?",
    "No route to host": "is it on, awake and on this network?",
}


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command on a host ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def said(self) -> str:
        """Its last line, on standard error or else on standard output; that it is silent if so."""
        return last_line(self.stderr or self.stdout, f"ended with {self.code} and without a word")


def quoted(path: str) -> str:
    """A host's path for `/bin/sh`; a leading `~/` means the login user's home."""
    if path == "~" or path.startswith("~/"):
        rest = path[2:]
        return '"$HOME"' + (f"/{shlex.quote(rest)}" if rest else "")
    return shlex.quote(path)


class Remote:
    """One host, as the cluster's user. Each call opens a connection of its own."""

    def __init__(self, cluster: Cluster, host: Host) -> None:
        self.cluster = cluster
        self.host = host

    def run(
        self,
        command: str,
        *,
        input: bytes | None = None,  # noqa: A002 - as subprocess names it
        timeout_s: float,
        limit: int = LARGEST_ANSWER,
    ) -> Finished:
        """Run a command of `/bin/sh`; any exit code is returned.

        Args:
            command: For `/bin/sh -c`, whatever the login shell is; what that shell's start files
                print is no part of the output.
            input: Its standard input; empty when left out.
            timeout_s: Then the connection is closed; the command may go on.
            limit: Bytes of output after which the connection is closed.

        Raises:
            UserError: The host cannot be reached, does not answer in time, or answers too much.
        """
        mark = f"{secrets.token_hex(8)}\n".encode()
        script = f"echo {mark.decode().strip()}; {command}"
        try:
            done = _talk(
                self._ssh(f"exec /bin/sh -c {shlex.quote(script)}"), input or b"", timeout_s, limit
            )
        except subprocess.TimeoutExpired:
            raise self.error(f"no answer within {timeout_s:g} s to: {_short(command)}") from None
        except _TooMuchError:
            message = f"more than {limit} bytes in answer to: {_short(command)}; cut off"
            raise self.error(message) from None
        if done.code == SSH_FAILED:
            raise self._unreachable(done.stderr)
        _, marked, output = done.stdout.partition(mark)
        return Finished(done.code, output if marked else done.stdout, done.stderr)

    def demand(self, command: str, *, input: bytes | None = None, timeout_s: float) -> bytes:  # noqa: A002 - as `run`
        """Standard output of a command that has to succeed.

        Raises:
            UserError: As `run`, or the command fails.
        """
        done = self.run(command, input=input, timeout_s=timeout_s)
        if done.code != 0:
            raise self.error(f"{done.said} (exit code {done.code} of: {_short(command)})")
        return done.stdout

    def copy_to(self, local: Path, remote: str) -> None:
        """Write a file on the host, whole or not at all, and make its folder.

        Args:
            local: A file here.
            remote: Path there; may start with `~/`. Its mode is 0600, or 0700 if `local` runs.

        Raises:
            UserError: It cannot be read here, or cannot be written there.
        """
        folder, _, name = remote.rpartition("/")
        aside = f"{folder}/.{name}.{os.getpid()}"
        script = (
            f"umask 077 && mkdir -p {quoted(folder)} && cat > {quoted(aside)}"
            f"{' && chmod 700 ' + quoted(aside) if os.access(local, os.X_OK) else ''}"
            f" && mv -f {quoted(aside)} {quoted(remote)}"
        )
        try:
            with local.open("rb") as source:
                for _ in self.send(source, script):
                    pass
        except OSError as error:
            raise UserError(f"{local}: cannot be read ({error.strerror})") from None

    def send(self, source: BinaryIO, command: str) -> Iterator[int]:
        """Stream a file, from its position to its end, into a command that has to succeed.

        Args:
            source: What to send.
            command: As for `run`.

        Yields:
            After each piece, how many bytes were sent so far.

        Raises:
            UserError: The host cannot be reached, takes nothing for `STALL_S`, or complains without
                end, or the command fails.
        """
        try:
            done = yield from _feed(
                self._ssh(f"exec /bin/sh -c {shlex.quote(command)}"),
                source,
                STALL_S,
                patience_s=STALL_S,
            )
        except subprocess.TimeoutExpired:
            raise self.error(f"a copy did not move for {STALL_S:g} s; try again") from None
        except _TooMuchError:
            message = f"more than {LARGEST_COMPLAINT} bytes of complaints about a copy; cut off"
            raise self.error(message) from None
        if done.code == SSH_FAILED:
            raise self._unreachable(done.stderr)
        if done.code != 0:
            raise self.error(done.said)

    @contextlib.contextmanager
    def tunnel(self, remote_port: int, local_port: int = 0) -> Iterator[int]:
        """Forward a port of this machine's loopback to one of the host's loopback.

        Args:
            remote_port: The host's port.
            local_port: This machine's port; 0 takes a free one.

        Yields:
            The local port, ready for connections.

        Raises:
            UserError: The host cannot be reached, or the local port is taken.
        """
        try:
            with socket.create_server(("127.0.0.1", local_port)) as probe:
                port = int(probe.getsockname()[1])
        except OSError:
            message = f"port {local_port} of this machine is in use; choose another"
            raise self.error(message) from None
        forward = f"127.0.0.1:{port}:127.0.0.1:{remote_port}"
        options = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", forward]
        process = subprocess.Popen(
            self._ssh(None, *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=children.environment(),
        )
        try:
            self._wait_for(process, port)
            yield port
        finally:
            process.terminate()
            process.communicate()

    def error(self, message: str) -> UserError:
        """An error that names this host."""
        return UserError(f"{self.host.name} ({self.host.address}): {message}")

    def _ssh(self, command: str | None, *more: str) -> list[str]:
        parts = ["ssh", "-T", "-a", "-x", "-p", str(self.host.ssh_port)]
        for name, value in OPTIONS.items():
            parts += ["-o", f"{name}={value}"]
        if self.cluster.key is not None:
            parts += ["-i", str(self.cluster.key), "-o", "IdentitiesOnly=yes"]
        if self.cluster.user is not None:
            parts += ["-l", self.cluster.user]
        parts += [*more, "--", self.host.address]
        return parts if command is None else [*parts, command]

    def _wait_for(self, process: subprocess.Popen[bytes], port: int) -> None:
        """Wait until ssh listens on the port, which it does once it has logged in."""
        deadline = time.monotonic() + 2 * CONNECT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise self._unreachable(process.communicate()[1])
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        raise self.error(f"no tunnel within {2 * CONNECT_S} s; is it awake?")

    def _unreachable(self, stderr: bytes) -> UserError:
        text = stderr.decode(errors="replace").strip()
        last = last_line(text, "ssh ended without a word")
        user = f"{self.cluster.user}@" if self.cluster.user else ""
        place, port = self.host.address, self.host.ssh_port
        login = f"{user}{place}" if port == 22 else f"-p {port} {user}{place}"
        known = place if port == 22 else f"'[{place}]:{port}'"
        advice = next(
            (a.format(login=login, place=known) for sign, a in ADVICE.items() if sign in text),
            f"try: ssh {login} true",
        )
        return self.error(f"ssh: {last}; {advice}")


@dataclass(frozen=True, slots=True)
class Gathered(Generic[T]):
    """Results of an action on several hosts.

    Attributes:
        done: Host name -> result.
        failed: Host name -> message.
    """

    done: dict[str, T]
    failed: dict[str, str]

    def demand(self) -> dict[str, T]:
        """The results of all hosts.

        Raises:
            UserError: One message with every host that failed.
        """
        if self.failed:
            raise UserError("\n".join(self.failed.values()))
        return self.done


def remotes(cluster: Cluster) -> list[Remote]:
    """All hosts, in the order of the file."""
    return [Remote(cluster, host) for host in cluster.hosts]


def on_all(hosts: Iterable[Remote], action: Callable[[Remote], T]) -> Gathered[T]:
    """Call `action` for several hosts at once; a `UserError` of one does not stop the others."""
    known = list(hosts)
    gathered: Gathered[T] = Gathered({}, {})
    with ThreadPoolExecutor(max_workers=max(len(known), 1)) as pool:
        waiting = {remote.host.name: pool.submit(action, remote) for remote in known}
        for name, future in waiting.items():
            try:
                gathered.done[name] = future.result()
            except UserError as error:
                gathered.failed[name] = str(error)
    return gathered


class _TooMuchError(Exception):
    """A host answers more than was asked for."""


COMPLAINTS = {"stderr": LARGEST_COMPLAINT}


def _talk(command: list[str], body: bytes, timeout_s: float, limit: int) -> Finished:
    """As `_feed`, with all input at once and `timeout_s` for everything."""
    limits = COMPLAINTS | {"stdout": limit}
    running = _feed(command, io.BytesIO(body), timeout_s, limits=limits)
    while True:
        try:
            next(running)
        except StopIteration as ended:
            done: Finished = ended.value
            return done


def _feed(
    command: list[str],
    source: BinaryIO,
    timeout_s: float,
    *,
    patience_s: float = 0,
    limits: Mapping[str, int] = COMPLAINTS,
) -> Generator[int, None, Finished]:
    """Run a program with a file as its input; yields the number of bytes that it has taken.

    Args:
        command: Program and arguments.
        source: Read from its position to its end.
        timeout_s: Time to end in.
        patience_s: Time that it has at least, whenever it has taken some input.
        limits: Most bytes of each of its outputs; standard output without one is dropped.

    Raises:
        subprocess.TimeoutExpired: It has not ended in time.
        _TooMuchError: It writes more than one of the limits.
    """
    pipes = {"stdout": subprocess.DEVNULL, **dict.fromkeys(("stdin", *limits), subprocess.PIPE)}
    own = children.environment()
    deadline = time.monotonic() + timeout_s
    with (
        subprocess.Popen(command, env=own, **pipes) as process,  # type: ignore[call-overload]
        selectors.DefaultSelector() as ready,
    ):
        said = {name: bytearray() for name in limits}
        piece, sent = source.read(PIECE), 0
        os.set_blocking(process.stdin.fileno(), False)
        ready.register(process.stdin, selectors.EVENT_WRITE)
        for name in said:
            ready.register(getattr(process, name), selectors.EVENT_READ, name)
        try:
            while ready.get_map():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise subprocess.TimeoutExpired(command, timeout_s)
                for key, _ in ready.select(left_s):
                    pipe: Any = key.fileobj
                    if key.data is not None:
                        ended = not (heard := os.read(key.fd, 1 << 16))
                        said[key.data] += heard
                        if len(said[key.data]) > limits[key.data]:
                            raise _TooMuchError
                    else:
                        if (taken := _write(key.fd, piece)) is None:
                            continue
                        deadline = max(deadline, time.monotonic() + patience_s)
                        sent += taken
                        piece = (piece[taken:] or source.read(PIECE)) if taken else b""
                        yield sent
                        ended = not piece
                    if ended:
                        ready.unregister(pipe)
                        with contextlib.suppress(BrokenPipeError):
                            pipe.close()
            code = process.wait(max(deadline - time.monotonic(), 0.1))
        except BaseException:
            process.kill()
            raise
    return Finished(code, bytes(said.get("stdout", b"")), bytes(said["stderr"]))


def _write(pipe: int, piece: bytes) -> int | None:
    """How many bytes a pipe takes: none if its reader has ended; None if it is full now."""
    try:
        return os.write(pipe, piece)
    except BlockingIOError:
        return None
    except BrokenPipeError:  # what the program complains of says why
        return 0


def _short(command: str) -> str:
    return command if len(command) <= 80 else command[:77] + "..."
