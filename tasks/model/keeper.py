"""Checkpoints of a unit of work: when one is made, where it is used, what need not run again."""

import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from tasks.contract.checkpoint_envelope import Envelope, Origin, Saving, UnusableError, seal, unseal
from tasks.model.machine import describe, family
from tasks.sources.remembered import code_digest

T = TypeVar("T")


class Keeper:
    """The checkpoints of one unit: takes up the last one, and makes new ones when they are due.

    Args:
        key: Of the unit.
        recipe: Version of the recipe of units of its kind.
        saving: Where checkpoints come from and go to.
    """

    def __init__(self, key: str, recipe: int, saving: Saving) -> None:
        self._origin, self._saving = origin(key, recipe), saving
        self._kept = time.perf_counter()

    def take_up(self, read: Callable[[bytes], T], tell: Callable[[str], None]) -> T | None:
        """What `read` makes of the checkpoint to go on from, or None; `tell` is told why none."""
        self._kept = time.perf_counter()
        if self._saving.resume is None:
            return None
        try:
            return opened(self._saving.resume, self._origin, read)
        except UnusableError as error:
            tell(f"starts anew, without its checkpoint: {error}")
            return None

    def look(self, step: int, body: Callable[[], bytes]) -> None:
        """Make a checkpoint if more than `every_s` of work would be lost without it.

        To be called after every piece of work that need not be done twice.

        Args:
            step: Pieces done, in all attempts.
            body: Makes the content.
        """
        now = time.perf_counter()
        if not self._saving.every_s or now - self._kept < self._saving.every_s:
            return
        self._saving.keep(seal(Envelope(origin=self._origin, step=step, body=body())))
        self._kept = time.perf_counter()


class Pieces(Generic[T]):
    """Pieces of a unit's work that are done, by name, so that none is done twice.

    A name must cover all that the piece's outcome depends on. Pieces come in the same order in
    every attempt.

    Args:
        earlier: What earlier attempts have done.
        look: Called with `done` after every new piece.

    Attributes:
        done: Name -> outcome, of earlier attempts, too.
        taken: Pieces that were taken from `earlier`.
    """

    def __init__(
        self,
        earlier: Mapping[str, T] | None = None,
        look: Callable[[Mapping[str, T]], None] = lambda _: None,
    ) -> None:
        self.earlier, self._look = earlier or {}, look
        self.done: dict[str, T] = {}
        self.taken = 0

    def add(self, name: str, outcome: T) -> None:
        """A piece is done, or was taken from `earlier`."""
        self.done[name] = outcome
        if name in self.earlier:
            self.taken += 1
        else:
            self._look(self.done)


def gpu_name() -> str | None:
    """MLX's name of a Mac's GPU, e.g. `applegpu_g14d`, which picks its kernels; None elsewhere."""
    import mlx.core as mx

    known = mx.device_info().get("architecture") if describe().backend == "metal" else None
    return str(known) if known else None


def origin(key: str, recipe: int) -> Origin:
    """What a checkpoint that this process makes of a unit depends on."""
    machine, gpu = describe(), gpu_name()
    return Origin(
        cell_id=key,
        recipe=recipe,
        code=code_digest(),
        mlx=machine.mlx,
        backend=f"{machine.backend} {gpu}" if gpu else machine.backend,
        family=family(machine.chip, machine.os),
    )


def opened(sealed: bytes, here: Origin, read: Callable[[bytes], T]) -> T:
    """The content of a checkpoint, as `read` has it.

    Raises:
        UnusableError: It is torn, or going on from it here would give other bits.
    """
    envelope = unseal(sealed)
    envelope.demand(here)
    try:
        return read(envelope.body)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UnusableError(f"its content cannot be read ({error})") from error
