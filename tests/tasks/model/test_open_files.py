"""mlx-lm and the limit of open files."""

import resource
import subprocess
import sys

import pytest

from tasks.model.open_files import raise_limit
from tests import ROOT

SCRIPT = """
import resource, sys
hard = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
import {module}
import mlx_lm
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", ["tasks.cell", "tasks.generation.generate"])
@pytest.mark.parametrize(("hard", "soft"), [(1024, 1024), (20_000, 4096)])
def test_a_low_limit_of_open_files_is_raised_as_far_as_it_goes_and_never_lowered(
    module, hard, soft
):
    script = SCRIPT.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", script, str(hard)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(soft), str(hard)], done.stderr


def test_where_much_is_refused_less_is_asked_for(monkeypatch):
    """As on macOS: no hard limit is named, and what is above `kern.maxfilesperproc` is refused."""
    limit = [256]

    def change(_, pair):
        if pair[0] > 10_240:
            raise ValueError("current limit exceeds maximum limit")
        limit[0] = pair[0]

    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit[0], resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", change)
    raise_limit(65_536)
    assert 5_120 < limit[0] <= 10_240
    limit[0] = 9_999_999
    raise_limit(65_536)
    assert limit[0] == 9_999_999


def test_where_all_is_refused_nothing_happens(monkeypatch):
    def refuse(*_):
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_limit(65_536)
