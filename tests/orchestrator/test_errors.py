"""Commands in messages are what a shell takes; a list of problems is told, however long it is."""

import re
import shlex
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Problem, SweepError, as_typed
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


def test_a_file_with_thousands_of_mistakes_is_told_with_its_first_ones():
    problems = [Problem(f"grid.seed[{i}]", "must be a whole number", 4) for i in range(5000)]
    error = SweepError("my.yaml", problems)
    lines = str(error).splitlines()
    assert lines[0] == "my.yaml: 5000 problems"
    assert lines[1:-1] == [f"  {problem}" for problem in problems[: len(lines) - 2]]
    assert len(lines) <= 102
    assert lines[-1] == f"  and {5000 - (len(lines) - 2)} more"
    assert error.problems == tuple(problems)


def test_a_file_with_some_mistakes_is_told_with_all():
    problems = [Problem(f"grid.seed[{i}]", "must be a whole number", 4) for i in range(100)]
    assert len(str(SweepError("my.yaml", problems)).splitlines()) == 101
