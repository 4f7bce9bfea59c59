"""A Ray of this machine and of one launch: its private folder, its token, its start.

The folder, mode 0700, holds token, sockets and logs. Its path is short, for a socket's path is
limited. It is removed when the launch ends; what a killed launch left, the next one removes.
"""

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from typing import IO, Any

import ray
from ray._private import ray_constants, worker
from ray._private.node import Node
from ray._raylet import Config  # type: ignore[attr-defined]  # compiled
from ray.job_config import JobConfig

from orchestrator.errors import UserError
from orchestrator.execution.engines.ray_settings import (
    FOLDER,
    OBJECT_STORE_BYTES,
    SLOT,
    SOCKET_NAME,
    SOCKET_PATH_LIMIT,
    common_environment,
    set_aside,
)
from orchestrator.results.files import write_whole
from tasks.model import children
from tasks.sources.paths import real

PREFIX = "rho-ray-"
MAKING_S = 60.0
LEAST_BYTES = 1 << 20
"""Free space for Ray's files. With 56 KiB it waits 35 s for one of its own; with 1 MiB it ran."""
# under `uv run` Ray would upload the whole working directory; its variable is read too early for us
ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False
# a thread that prints paragraphs of Ray's, in colour, about a lost worker; the launch says it too
worker.listen_error_messages = lambda *_: None
# three processes that nobody asks here: a dashboard, for which the start would wait, one that adds
# machines, and one that copies logs to a terminal. `ray start` on a host of a cluster has its own.
for _name in ("start_api_server", "start_monitor", "start_log_monitor"):
    setattr(Node, _name, lambda *_, **__: None)
_TOKEN = secrets.token_hex(32)
"""One for all Rays of this process, for Ray reads it once."""


def ours() -> dict[str, Any]:
    """What every `ray.init` of this program is told: Ray prints nothing and changes no import path.

    Ray puts the folder in which a driver was started before all others where its workers look for
    modules; only a job of Ray's remote client has none. A `tasks/` of the user's own hid ours.
    """
    return {
        "log_to_driver": False,
        "logging_level": "CRITICAL",
        "configure_logging": True,
        "_skip_env_hook": True,
        "job_config": JobConfig(_client_job=True),
    }


class PrivateFolder:
    """A folder that only this user enters, held by a lock that ends with this process."""

    def __init__(self) -> None:
        base = _base()
        _remove_abandoned(base)
        if (free := shutil.disk_usage(base).free) < LEAST_BYTES:
            raise UserError(
                f"{base}: Ray's files go there, and {free >> 10} KiB are free",
                "make room, set TMPDIR to another folder, or use --inline",
            )
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        except OSError as error:
            raise UserError(
                f"{base}: Ray needs a folder for its sockets there ({error.strerror})",
                "make room, or use --inline",
            ) from None
        self._lock = _locked(self.path)
        self.token = self.path / "token"
        write_whole(self.token, _TOKEN.encode(), private=True)

    @property
    def ray(self) -> Path:
        """Ray's own; it opens this folder to everybody, so it lies in one that is closed."""
        return self.path / "r"

    @property
    def logs(self) -> Path:
        """Ray's logs."""
        return self.ray / "session_latest" / "logs"

    def remove(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Leave it to be read; the next launch deletes it.

        What was told to Ray of it leaves this process too, which may go on, and start others.
        """
        for name, value in common_environment(self.token).items():
            if os.environ.get(name) == value:
                del os.environ[name]
        if self._lock is not None:
            self._lock.close()


def start(slots: int) -> PrivateFolder:
    """Start Ray for this process, with one more try, as a busy machine may be too slow once.

    Raises:
        UserError: It does not start; the message names the logs.
    """
    # without clusters Ray takes the loopback address for this machine's and listens nowhere else
    ray_constants.ENABLE_RAY_CLUSTER = False
    for last in (False, True):
        folder = PrivateFolder()
        set_aside()
        os.environ.update(common_environment(folder.token))
        Config.initialize("")  # it was read when Ray was imported, before the token was named
        try:
            with children.withheld():
                ray.init(
                    address="local",
                    num_cpus=slots,
                    num_gpus=0,
                    resources={SLOT: slots},
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    _temp_dir=str(folder.ray),
                    _node_ip_address="127.0.0.1",
                    **ours(),
                )
        except Exception as error:  # noqa: BLE001 - Ray raises plain exceptions, of any type
            ray.shutdown()
            if last:
                folder.release()
                raise UserError(
                    f"Ray does not start on this machine ({first_line(error)})",
                    f"see {folder.logs}; launch again, or use --inline",
                ) from None
            folder.remove()
        except BaseException:
            ray.shutdown()
            folder.remove()
            raise
        else:
            return folder
    raise AssertionError("the last try returns or raises")


def has_died() -> bool:
    """Whether a process that this machine's Ray cannot do without has ended.

    Its list of nodes says so half a minute later; and without a GCS it ends this process after one.
    """
    node = ray._private.worker._global_node
    vital = (ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER)
    return node is not None and any(kind in vital for kind, _ in node.dead_processes())


def kill() -> None:
    """End the processes of a Ray that was started here, also those that are stopped."""
    node = ray._private.worker._global_node
    if node is not None:
        node.kill_all_processes(check_alive=False, allow_graceful=False)


def first_line(error: Exception) -> str:
    """What an exception of Ray says, in a line."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _base() -> Path:
    """The folder for temporary files if Ray can start in it, otherwise `/tmp`."""
    wanted = real(tempfile.gettempdir())
    longest = len(f"{wanted}/{PREFIX}12345678/r{SOCKET_NAME}".encode())
    usable = longest <= SOCKET_PATH_LIMIT and FOLDER.fullmatch(str(wanted))
    return wanted if usable else Path("/tmp")


def _locked(folder: Path) -> IO[bytes] | None:
    """The open lock of a folder; None if another process holds it."""
    file = (folder / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _remove_abandoned(base: Path) -> None:
    """Delete this user's folders whose process has ended."""
    for folder in base.glob(f"{PREFIX}*"):
        with suppress(OSError):
            facts = folder.lstat()
            if facts.st_uid != os.getuid() or not S_ISDIR(facts.st_mode):
                continue
            # one without a token is being made, or was made again by a process of Ray as it ended
            if (folder / "token").is_file() or time.time() - facts.st_mtime > MAKING_S:
                lock = _locked(folder)
                if lock is not None:
                    shutil.rmtree(folder, ignore_errors=True)
                    lock.close()
