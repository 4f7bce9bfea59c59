"""Problems the user can fix. The command line prints them without a traceback, exit code 2."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class UserError(Exception):
    """One clear message: the thing, the value, the next step."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in a sweep file.

    Attributes:
        path: Where, e.g. `grid.rho_weight[2]`.
        message: What is wrong, with the value.
        line: In the file, from 1; None where the value did not come from it.
    """

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = f" (line {self.line})" if self.line is not None else ""
        return f"{self.path}{where}: {self.message}"


class SweepError(UserError):
    """Everything that is wrong with a sweep file, at once."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        super().__init__("\n".join([f"{source}: {count}", *(f"  {p}" for p in problems)]))


def hint(word: str, known: tuple[str, ...]) -> str:
    """`; did you mean "..."?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def show(value: Any) -> str:
    """A value as people wrote it, shortened."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
