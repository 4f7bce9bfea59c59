"""Import mlx-lm without letting it change limits of this process: open files, wired memory."""

import importlib
import os
import resource
import sys
import tempfile
from contextlib import suppress
from typing import Any

from tasks.contract.cell import importing
from tasks.sources.quick_import import import_transformers


def import_mlx_lm() -> None:
    """Import mlx-lm; call before any other import of it.

    `mlx_lm.utils` sets the limit to (2048, 4096) as it is imported. That raises ValueError where
    the hard limit is lower, and elsewhere lowers the hard limit for good.
    """
    import_transformers()
    real = resource.setrlimit
    resource.setrlimit = lambda *_: None
    try:
        with importing("mlx-lm"):
            importlib.import_module("mlx_lm.utils")
    finally:
        resource.setrlimit = real
    # its generator would make all memory of the GPU resident, whatever `Models` has set
    generate: Any = sys.modules["mlx_lm.generate"]  # not `mlx_lm.generate`, which is a function
    generate.maybe_set_recommended_wired_limit = lambda: None
    raise_limit(4096)  # a large model has many shards
    with suppress(OSError):
        # MLX compiles in TMPDIR whatever it is; Python looks for a folder that can be written to
        os.environ["TMPDIR"] = tempfile.gettempdir()


def raise_limit(wanted: int) -> None:
    """Let this process open so many files, or as many as the system grants; never fewer than now.

    macOS names no hard limit and refuses what is above `kern.maxfilesperproc`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    while soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return
        wanted = wanted * 3 // 4
