"""On Linux, put a fast BLAS in front of the reference BLAS that MLX's wheel links."""

import ctypes
import importlib.metadata
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

DEBIAN_PACKAGE = "libopenblas0-pthread"
EXTRA = 'python -m pip install "rho-sweep[blas]"'


def _mkl_of_the_wheel() -> str | None:
    """Where the `mkl` wheel has its library; None without it."""
    try:
        files = importlib.metadata.files("mkl") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((str(f.locate()) for f in files if f.name.startswith("libmkl_rt.so")), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blas:
    """A library whose symbols can serve MLX's calls.

    Attributes:
        name: For people and for the column `backend`.
        find: Returns what the loader takes, or None.
        settings: Environment variables that it reads when it loads, unless they are set. One
            thread: several cells share a machine, and one thread gives the same bits whatever the
            number of cores. For MKL also sums that do not depend on where an array lies.
    """

    name: str
    find: Callable[[], str | None]
    settings: dict[str, str]


KNOWN = (
    Blas(
        name="OpenBLAS",
        find=lambda: "libopenblas.so.0",
        settings={"OPENBLAS_NUM_THREADS": "1"},
    ),
    Blas(
        name="MKL",
        find=_mkl_of_the_wheel,
        settings={"MKL_THREADING_LAYER": "SEQUENTIAL", "MKL_CBWR": "AUTO,STRICT"},
    ),
)
"""The first that loads is used: another order would give finished sweeps other bits."""
_loaded: dict[str, ctypes.CDLL] = {}


def prefer_fast_blas() -> str | None:
    """Load the first of `KNOWN` that is installed; call before the first `import mlx`.

    Its symbols then serve MLX's calls, about twenty times faster.

    Returns:
        The name of the library in use; None for the reference BLAS, and on other systems than
        Linux, where none is needed.
    """
    if sys.platform.startswith("linux") and not _loaded and "mlx.core" not in sys.modules:
        for blas in KNOWN:
            if (library := blas.find()) is None:
                continue
            for name, value in blas.settings.items():
                os.environ.setdefault(name, value)
            try:
                _loaded[blas.name] = ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
            except OSError:
                continue
            break
    return in_use()


def in_use() -> str | None:
    """The library that this process has loaded for MLX."""
    return next(iter(_loaded), None)
