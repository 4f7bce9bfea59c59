"""mlx-lm and the limit of open files."""

import subprocess
import sys

import pytest

from tests import ROOT

SCRIPT = """
import resource, sys
hard = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
import {module}
import mlx_lm
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


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
