"""Child processes: how this Python starts another, and the environment that it gets.

A child has what this process has, without the user's secrets, and no code of the working folder.

A key of a judge, a token of a hub or a password is for this process. ssh, openssl, git, commands
on events, Ray and the compiler that MLX asks for work without it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

SECRET = re.compile(
    r"(?!RAY_TLS_|GIT_CONFIG_KEY_|.*_(PATH|FILE|DIR)$)"  # where a secret lies is none
    r"(.*(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|SSHPASS|CREDENTIAL|APIKEY)S?(_|$)"
    r"|(.*_)?(KEYS?|JWT|PAT|PASS|PW|CREDS?|WEBHOOK)(_|$)|.*_PWD$|(.*_)?AUTH$)",
    re.IGNORECASE,
)
"""Names of variables that may hold a secret."""


def python(*words: str) -> list[str]:
    """The command that runs this Python with words such as `-m` and a module.

    Python would look for modules in the working folder first: a `tasks/` of the user's own would
    hide ours, and a stranger's folder would be run.
    """
    return [sys.executable, "-P", *words]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for a child process.

    Args:
        more: What this program sets for it; kept whatever the names.
    """
    # no `items()`: another thread may take secrets away meanwhile
    return {k: os.environ[k] for k in os.environ if not SECRET.match(k)} | dict(more or {})


def ran(
    command: Sequence[str], more: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """A child that has ended, with all that it wrote as text.

    Args:
        command: Program and words.
        more: As of `environment`.
        options: More of `subprocess.run`, e.g. `timeout`.

    Raises:
        OSError: The program cannot be started.
        subprocess.TimeoutExpired: It had not ended after `timeout` seconds, and was killed.
    """
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment(more),
        check=False,
        **options,
    )


@contextmanager
def withheld() -> Iterator[None]:
    """Take secrets out of this process's environment, for a library that starts processes itself.

    A variable that is set within the block keeps its new value.
    """
    kept = {k: v for k, v in os.environ.items() if SECRET.match(k)}
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.setdefault(name, value)
