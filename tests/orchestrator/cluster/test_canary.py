"""The canary computes what a host could get wrong from run to run."""

import subprocess
import sys

import numpy as np
import pytest

from orchestrator.cluster import canary
from tasks.model.blas import in_use
from tasks.passes import packed
from tasks.training.drill import drill


@pytest.mark.slow
def test_a_drill_repeats_a_row_eight_times_in_three_precisions_and_gives_the_same_bits(monkeypatch):
    seen, real = [], packed.gathered

    def gathered(flat, rows, targets):
        seen.append((np.bincount(rows).max(), len(flat)))
        return real(flat, rows, targets)

    cell = canary.spec()
    found = drill(cell)
    assert len(set(found)) == 3
    monkeypatch.setattr(packed, "gathered", gathered)
    assert drill(cell) == found
    assert [repeats >= 8 and rows > 400 for repeats, rows in seen] == [True] * 3


SING = """\
from orchestrator.cluster import canary
from tasks.model.blas import in_use
canary.sing(canary.spec())
print(in_use())
"""


@pytest.mark.slow
def test_a_canary_multiplies_with_the_library_that_cells_use():
    done = subprocess.run([sys.executable, "-c", SING], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(in_use())
