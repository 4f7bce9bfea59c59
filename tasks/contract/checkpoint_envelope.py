"""Checkpoint file: header (cell, recipe, code, MLX, backend, chip family), SHA-256, content.

A damaged file, or one from elsewhere, is refused. `Saving` is what a cell gets to make checkpoints.
Standard library only: the driver reads the outside of a checkpoint without loading MLX.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

MARK = b"rho-sweep checkpoint 1\n"


class UnusableError(Exception):
    """A checkpoint that cannot be gone on from; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What must be the same where a checkpoint is made and where it is used.

    Attributes:
        cell_id: The cell, or the key of which other unit.
        recipe: Version of the recipe.
        code: sha256 over the node's source files.
        mlx: Version.
        backend: As `Machine.backend`, on a Mac with the name of the GPU.
        family: Chips that compute the same bits.
    """

    cell_id: str
    recipe: int
    code: str
    mlx: str
    backend: str
    family: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Where the checkpoints of a cell come from and go to.

    Attributes:
        every_s: Seconds of work that may be lost; 0 makes no checkpoints.
        keep: Called with the bytes of every new checkpoint.
        resume: Bytes of the checkpoint to go on from; None starts anew.
    """

    every_s: float
    keep: Callable[[bytes], None]
    resume: bytes | None = None


NO_SAVING = Saving(every_s=0.0, keep=lambda _: None)
WORDS = {
    "cell_id": "cell",
    "recipe": "recipe version",
    "code": "version of the code",
    "mlx": "MLX version",
    "backend": "backend",
    "family": "chip family",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A checkpoint with its content unread.

    Attributes:
        origin: Where it comes from.
        step: Optimizer steps and passes of the scoring, or answers, that are done; of two
            checkpoints of one origin the higher is further on.
        body: The content.
    """

    origin: Origin
    step: int
    body: bytes

    def demand(self, here: Origin) -> None:
        """Refuse what would not give the same bits.

        Raises:
            UnusableError: Something about its origin differs.
        """
        theirs, ours = asdict(self.origin), asdict(here)
        for name, word in WORDS.items():
            if theirs[name] != ours[name]:
                raise UnusableError(
                    f"it is of another {word} ({_short(theirs[name])}, here {_short(ours[name])})"
                )


def seal(envelope: Envelope) -> bytes:
    """An envelope as bytes; `unseal` is the inverse."""
    head = json.dumps({"origin": asdict(envelope.origin), "step": envelope.step})
    content = head.encode() + b"\n" + envelope.body
    return MARK + _checksum(content) + b"\n" + content


def unseal(sealed: bytes) -> Envelope:
    """The envelope in these bytes.

    Raises:
        UnusableError: They are no checkpoint, or not as they were written.
    """
    if not sealed.startswith(MARK):
        raise UnusableError("it is no checkpoint of this version")
    checksum, _, content = sealed[len(MARK) :].partition(b"\n")
    if checksum != _checksum(content):
        raise UnusableError("it is torn or damaged: its checksum does not match")
    head, _, body = content.partition(b"\n")
    try:
        facts = json.loads(head)
        origin, step = Origin(**facts["origin"]), facts["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnusableError("it is no checkpoint of this version") from None
    kinds = [type(value) for value in (step, *asdict(origin).values())]
    if kinds != [int, str, int, str, str, str, str] or step < 0:
        raise UnusableError("it is no checkpoint of this version")
    return Envelope(origin=origin, step=step, body=body)


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _short(value: object) -> str:
    return str(value)[:16]
