"""`python -m orchestrator` is `rho-sweep`."""

from orchestrator.cli.main import main

main()
