"""Problems the user can fix. The command line prints them without a traceback, exit code 2."""

import difflib
import errno
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NEXT_STEPS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room there, then run this again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change its permissions, or choose another place"),
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), then run this again",
}
"""What to do about a file that the system refuses to write, by the kind of its error."""
MOST_TOLD = 100
"""Problems of a file that are printed: a short file can hold very many."""


class UserError(Exception):
    """One clear message: `reason; advice`, or the reason alone.

    Attributes:
        reason: The thing and the value.
        advice: The next step; empty where there is none, or none that is known.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason, advice)
        self.reason, self.advice = reason, advice

    def __str__(self) -> str:
        return f"{self.reason}; {self.advice}" if self.advice else self.reason


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
    """Everything that is wrong with a sweep file, at once; its text has the first `MOST_TOLD`."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        told = [" ".join(str(p).splitlines()) for p in problems[:MOST_TOLD]]
        if left := len(problems) - len(told):
            told.append(f"and {left} more")
        super().__init__("\n".join([f"{source}: {count}", *(f"  {line}" for line in told)]))


def as_typed(*words: str | Path) -> str:
    """A command of ours as a shell takes it, e.g. `rho-sweep status 'my results' --watch`."""
    return " ".join(["rho-sweep", *map(shell_word, words)])


def shell_word(word: str | Path) -> str:
    """A word as a shell takes it; a path that begins like an option is made none."""
    option = isinstance(word, Path) and str(word).startswith("-")
    return shlex.quote(f"./{word}" if option else str(word))


def next_step(error: OSError) -> str:
    """What to do about a refusal of the system; empty where that is not known."""
    return NEXT_STEPS.get(error.errno or 0, "")


def unwritable(place: object, error: OSError, done: str = "written") -> UserError:
    """The error of a file, folder or stream that cannot be written or made, and the next step."""
    reason = error.strerror or str(error)
    return UserError(f"{place}: cannot be {done} ({reason})", next_step(error))


@contextmanager
def writing(place: object, done: str = "written") -> Iterator[None]:
    """Name what is being written: an error of a write or a flush does not tell its file.

    Raises:
        UserError: The block raised an error of the system.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(place, error, done) from None


def hint(word: str, known: tuple[str, ...]) -> str:
    """`; did you mean "..."?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def show(value: Any) -> str:
    """A value as people wrote it, shortened."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
