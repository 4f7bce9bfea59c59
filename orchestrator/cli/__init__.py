"""The command line: one module a group of commands, and the options they share.

May import everything below; nothing imports it.
"""

import os


def main() -> None:
    """Run `rho-sweep`: the entry point of the installed command."""
    # A driver multiplies no large matrices: the threads of numpy's OpenBLAS, which spin before they
    # sleep, cost more time than they save, and one thread adds in the same order on every machine.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from orchestrator.cli.app import main as run

    run()
