"""Problems the user can fix. The command line prints them without a traceback, exit code 2."""

from collections.abc import Sequence
from dataclasses import dataclass


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
