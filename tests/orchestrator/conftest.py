"""Fixture that runs the command line in this process."""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from orchestrator import cli


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def rho_sweep(monkeypatch, capsys, tmp_path) -> Callable[..., Ran]:
    """Runs `rho-sweep ARGS...` in the test's own folder, as the entry point does."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def run(*args: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["rho-sweep", *(str(a) for a in args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Ran(end.value.code, out, err)

    yield run
    signal.signal(signal.SIGTERM, before)
