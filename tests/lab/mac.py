"""Python on a lab machine that takes itself for a Mac: runs one module, as `python -m` does.

Usage: mac.py -P -m MODULE ARGUMENT...

Libraries look at the platform once, while they are imported, and have parts that only a Mac has;
they are imported as what they are.
"""

import runpy
import sys
import urllib.request  # noqa: F401

import mlx_lm  # noqa: F401

import orchestrator.cluster.canary
import orchestrator.cluster.on_host.facts  # noqa: F401
import tasks.training.drill  # noqa: F401

sys.platform = "darwin"
del sys.argv[: sys.argv.index("-m") + 1]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
