"""Commands in messages are what a shell takes, whatever a folder is called."""

import re
import shlex
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import as_typed
from tests import ROOT


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1))
def test_a_printed_command_names_the_folder_it_is_about(name):
    path = Path(name)
    program, command, shown, option = shlex.split(as_typed("status", path, "--watch"))
    assert (program, command, option) == ("rho-sweep", "status", "--watch")
    assert Path(shown) == path
    assert not shown.startswith("-")


def test_no_message_puts_a_name_into_a_command_by_itself():
    found = [
        f"{path}: {line.strip()}"
        for path in sorted((ROOT / "orchestrator").rglob("*.py"))
        for line in path.read_text().splitlines()
        if re.search(r'f".*rho-sweep [a-z ]+\{(?!as_typed)', line)
    ]
    assert not found
