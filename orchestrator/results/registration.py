"""Which contrasts were asked before there were data: kept in the manifest, never rewritten."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.config.contrasts import Contrast, Questions
from orchestrator.errors import UserError
from orchestrator.stats.records import ALPHA
from tasks.contract.cell import digest_of

KEY = "analysis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A contrast, and when it was asked.

    Attributes:
        contrast: The question.
        at: ISO time of registration; None where results existed already.
    """

    contrast: Contrast
    at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """All contrasts of some results.

    Attributes:
        alpha: Level of every test, after adjustment.
        contrasts: Registered ones first.
    """

    alpha: float = ALPHA
    contrasts: tuple[Registered, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As the manifest keeps it, with a digest of each question and of all."""
        rows = [
            {"registered_at": r.at, "sha256": r.contrast.digest, **r.contrast.plain()}
            for r in self.contrasts
        ]
        plan = digest_of([self.alpha, [r["sha256"] for r in rows if r["registered_at"]]])
        return {"alpha": self.alpha, "sha256": plan, "contrasts": rows}

    @classmethod
    def of(cls, manifest: Mapping[str, Any], where: str = "sweep.yaml") -> "Registration":
        """Read it back.

        Args:
            manifest: Content of the results' `sweep.yaml`.
            where: That file, for messages.

        Raises:
            UserError: A registered contrast was edited.
        """
        raw = manifest.get(KEY)
        if raw is None:
            return cls()
        found = tuple(
            Registered(contrast=Contrast.from_dict(row), at=row.get("registered_at"))
            for row in raw["contrasts"]
        )
        read = cls(alpha=raw["alpha"], contrasts=found)
        if read.plain() != raw:
            edited = _edited(read.plain(), raw)
            raise UserError(
                f"{where}: its analysis was edited after it was registered ({edited})",
                "undo that, "
                "and ask something else with: rho-sweep analyze RESULTS --questions FILE",
            )
        return read

    def with_questions(self, asked: Questions, now: datetime | None) -> "Registration":
        """Add what was not asked before.

        Args:
            asked: Contrasts of a sweep file.
            now: Time of registration; None when results exist, which makes them exploratory.
        """
        known = {r.contrast.digest for r in self.contrasts}
        ids = {r.contrast.id for r in self.contrasts}
        new = [c for c in asked.contrasts if c.digest not in known]
        at = now.isoformat(timespec="seconds") if now else None
        added = tuple(Registered(contrast=c, at=at) for c in _distinct(new, ids))
        alpha = asked.alpha if now is not None or not self.contrasts else self.alpha
        return Registration(alpha=alpha, contrasts=self.contrasts + added)

    def with_distinct_ids(self) -> "Registration":
        """The same questions; an id that several had gets a number."""
        taken: set[str] = set()
        named = _distinct([r.contrast for r in self.contrasts], taken)
        pairs = zip(named, self.contrasts, strict=True)
        return Registration(
            alpha=self.alpha, contrasts=tuple(Registered(contrast=c, at=r.at) for c, r in pairs)
        )


def _edited(read: Mapping[str, Any], raw: Mapping[str, Any]) -> str:
    """Which parts do not go with their digests."""
    pairs = zip(read["contrasts"], raw["contrasts"], strict=True)
    names = [str(theirs.get("id")) for mine, theirs in pairs if mine != theirs]
    return ", ".join(names) or "alpha, or a contrast that was taken out"


def _distinct(contrasts: Sequence[Contrast], taken: set[str]) -> Iterator[Contrast]:
    """The same contrasts; an id that is taken gets a number."""
    for contrast in contrasts:
        name, number = contrast.id, 1
        while name in taken:
            number += 1
            name = f"{contrast.id}.{number}"
        taken.add(name)
        yield Contrast.from_dict(contrast.plain() | {"id": name})


def begin(
    earlier: Mapping[str, Any] | None, asked: Questions, *, results: bool, now: datetime
) -> Registration:
    """The registration of a launch.

    Args:
        earlier: Manifest of an earlier launch into the same folder; None for the first.
        asked: Contrasts of the sweep file.
        results: Whether a trained cell of the sweep has a result already.
        now: When.
    """
    kept = Registration.of(earlier or {})
    if not results:  # nothing was seen, so a question may still be taken back
        kept = Registration(alpha=asked.alpha, contrasts=_still_asked(kept, asked))
    return kept.with_questions(asked, None if results else now)


def _still_asked(kept: Registration, asked: Questions) -> tuple[Registered, ...]:
    wanted = {c.digest for c in asked.contrasts}
    return tuple(r for r in kept.contrasts if r.contrast.digest in wanted)
