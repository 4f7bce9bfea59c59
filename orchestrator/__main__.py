"""`python -m orchestrator` is `rho-sweep`."""

from orchestrator.cli import main

main()
