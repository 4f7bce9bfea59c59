"""The command line: one module a group of commands, and the options they share.

May import everything below; nothing imports it.
"""


def main() -> None:
    """Run `rho-sweep`: the entry point of the installed command."""
    from orchestrator.cli.app import main as run

    run()
