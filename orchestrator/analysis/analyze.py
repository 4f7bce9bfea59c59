"""Analyses results: means over seeds, contrasts with verdicts, tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.analysis.default_questions import default_questions
from orchestrator.analysis.evidence.answers import load_refusals
from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.frame import Frame
from orchestrator.analysis.evidence.launches import launch_drift
from orchestrator.analysis.evidence.refusals import Refusals
from orchestrator.analysis.inference.arms import Selector
from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.inference.rows import inferences
from orchestrator.analysis.load import (
    demand_pack,
    load_frame,
    load_manifests,
    registration_of,
    silent_arms,
)
from orchestrator.analysis.published.against import against
from orchestrator.analysis.published.tables import published_tables
from orchestrator.analysis.tables.arms import arm_order, default_split
from orchestrator.analysis.tables.render import as_json
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.analysis.views import views_of
from orchestrator.config.contrast_kinds import Subject
from orchestrator.config.contrasts import BEHAVIOR, Contrast, Questions
from orchestrator.errors import UserError, hint
from orchestrator.results.manifest import IMPORTED
from orchestrator.results.registration import Registration, asked_later
from orchestrator.results.store import Store
from orchestrator.results.stress_record import tests_in
from tasks.contract.measures import MEASURED

UNSCORED = ("cell_id", "condition", "rho_weight", "margin", "seed", "status", "message")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmScore:
    """Rho of one arm on one behaviour and split, nats per token.

    Attributes:
        arm_id, condition, rho_weight, margin: Which arm.
        differs: Further settings in which the arms of these results differ, as text.
        behavior, split: What was scored.
        n: Seeds with a score; None is never counted as 0.
        mean, sd: Over seeds; sd (ddof 1) is None below two seeds.
        delta_mean, delta_sd: Of score minus baseline score; None without a baseline.
        baseline: Score of the untrained model on the same pairs.
        accuracy: Mean share of pairs with a positive gap.
    """

    arm_id: str
    condition: str
    rho_weight: float | None
    margin: float | None
    differs: str
    behavior: str
    split: str
    n: int
    mean: float | None
    sd: float | None
    delta_mean: float | None
    delta_sd: float | None
    baseline: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What `rho-sweep analyze` prints.

    Attributes:
        arms: One row per arm, behaviour and split.
        evidence: The same with every seed.
        registration: The contrasts, registered ones first.
        inference: Each contrast tested, with a verdict.
        views: The tables T1 to T15 that these results fill.
        missing: The others, and why.
        split: Which pairs the tables are about.
        unscored: Cells that diverged or failed: cell id, label parts, message.
        silent: Ids of arms whose hinge was never above 0: they were trained without it.
        warnings: Sentences on scores that follow the order of the launch, or the host.
        moments: As `evidence`, of arms that were scored within their training, at every moment.
    """

    arms: tuple[ArmScore, ...]
    evidence: tuple[ArmEvidence, ...]
    registration: Registration
    inference: tuple[Inference, ...]
    views: tuple[View, ...]
    missing: tuple[Missing, ...]
    split: str
    unscored: tuple[dict[str, Any], ...]
    silent: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    moments: tuple[ArmEvidence, ...] = ()

    def to_json(self) -> str:
        """Stable JSON; see docs/json.md."""
        body = {
            "arms": [asdict(a) for a in self.arms],
            "contrasts": self.registration.plain(),
            "inference": [asdict(i) for i in self.inference],
            "split": self.split,
            "tables": [as_json(v) for v in self.views],
            "missing_tables": [asdict(m) for m in self.missing],
            "unscored": list(self.unscored),
            "silent_arms": list(self.silent),
            "warnings": list(self.warnings),
        }
        return json.dumps(body, indent=2, allow_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user asks for beyond the registered contrasts.

    Attributes:
        questions: Asked after the data, so exploratory; None for none.
        split: Pairs that the tables are about; None for the held-out ones where there are any.
        published: Whether the published figures are shown beside.
        pack: Pack whose scores are analysed in the place of those of the sweep's own, by the name
            or path with which it was scored; nothing of it is registered. None for the sweep's.
    """

    questions: Questions | None = None
    split: str | None = None
    published: bool = False
    pack: str | None = None


def analyze(stores: Sequence[Store], asked: Asked | None = None) -> Analysis:
    """Summarise and test the committed cells of one or more results folders.

    Args:
        stores: The results.
        asked: What is wanted beyond what was registered.

    Raises:
        UserError: A table is corrupted or holds a key twice, an arm mixes batches, arms with
            different baselines are compared, a registered question was edited, or a question is
            about a behaviour that these results do not have.
    """
    wanted = asked or Asked()
    manifests = load_manifests(stores)
    registration = registration_of(stores, manifests)
    _demand_same_rules(wanted.questions, registration)
    later = [c for store in stores for c in asked_later(store.folder)]
    if wanted.questions is not None:
        later += wanted.questions.contrasts
    pack = demand_pack(stores, wanted.pack) if wanted.pack is not None else None
    frame = load_frame(stores, pack)
    evidence = frame.evidence()
    scored = sorted({e.behavior for e in evidence})
    if pack is not None:
        registration, later = _of_pack(registration, later, scored), []
    registration = registration.with_questions(later)
    for contrast in wanted.questions.contrasts if wanted.questions else ():
        for behavior in contrast.behaviors or ():
            if behavior not in {*scored, *MEASURED, *(e.behavior for e in frame.general())}:
                near = hint(behavior, tuple(scored))
                raise UserError(
                    f'contrast {contrast.id}: "{behavior}" is not evaluated in these results{near}'
                )
    refusals = load_refusals(stores, frame.cells, evidence) if pack is None else []
    first = {}
    if pack is None and any(len(tests_in(store.folder)) > 1 for store in stores):
        times = {r.asked or "" for r in registration.tested if r.about_answers}
        by_time = {at: load_refusals(stores, frame.cells, evidence, at) for at in times}
        first = {at: given for at, given in by_time.items() if given != refusals}
    launched = [m for m in manifests if m["cells"]]
    silent = silent_arms(stores, frame)
    found = analyze_frame(frame, registration, wanted, launched, refusals, silent, first)
    imported = (str(m.get("description")) for m in manifests if IMPORTED in m)
    return replace(found, warnings=(*imported, *launch_drift(stores, frame)))


def _demand_same_rules(asked: Questions | None, registration: Registration) -> None:
    """Raises: UserError: Questions that are asked of results name a level or looks of their own."""
    if asked is not None and asked.level_named and asked.alpha != registration.alpha:
        raise UserError(
            f"the questions say alpha {asked.alpha:g}; these results are judged at "
            f"{registration.alpha:g}",
            "leave alpha out of the file",
        )
    if asked is not None and asked.looks is not None:
        raise UserError("looks are registered before there are results", "leave sequential out")


def _of_pack(
    registration: Registration, later: Sequence[Contrast], scored: Sequence[str]
) -> Registration:
    """What is asked of another pack: every question about scores that it can answer, explored."""
    asked = [*(r.contrast for r in registration.tested), *later]
    fitting = [
        c
        for c in asked
        if c.kind.rules.about is Subject.SCORES
        and {*(c.behaviors or ()), *_behaviors_between(c)} <= set(scored)
    ]
    return Registration(alpha=registration.alpha).with_questions(fitting)


def _behaviors_between(contrast: Contrast) -> tuple[Any, ...]:
    """The two behaviours between which a contrast compares effects, if it does."""
    field, values = contrast.between or ("", ())
    return values if field == BEHAVIOR else ()


def analyze_frame(
    frame: Frame,
    registration: Registration,
    asked: Asked | None = None,
    manifests: Sequence[Mapping[str, Any]] = (),
    refusals: Sequence[Refusals] = (),
    silent: Sequence[str] = (),
    first: Mapping[str, Sequence[Refusals]] | None = None,
) -> Analysis:
    """As `analyze`, of tables that were read already; `first` as in `inferences`."""
    wanted, evidence = asked or Asked(), frame.evidence()
    if not registration.tested:
        asked_for = default_questions(Selector(frame, evidence))
        registration = registration.with_questions(asked_for)
    inference = tuple(inferences(frame, registration, refusals, silent, first))
    split = wanted.split or default_split(evidence)
    views = views_of(
        frame,
        evidence,
        inference,
        split=split,
        alpha=registration.alpha,
        manifests=manifests,
        refusals=refusals,
    )
    if wanted.published:
        views = against(views, published_tables(registration.alpha))
    return Analysis(
        arms=tuple(map(_arm, sorted(evidence, key=lambda e: (e.behavior, e.split, *arm_order(e))))),
        evidence=tuple(evidence),
        registration=registration,
        inference=inference,
        views=tuple(v for v in views if isinstance(v, View)),
        missing=tuple(v for v in views if isinstance(v, Missing)),
        split=split,
        unscored=tuple({k: r[k] for k in UNSCORED} for r in frame.unscored),
        silent=tuple(silent),
        moments=tuple(frame.moments()),
    )


def _arm(e: ArmEvidence) -> ArmScore:
    trained = e.condition.trains
    return ArmScore(
        arm_id=e.arm_id,
        condition=str(e.condition),
        rho_weight=e.rho_weight,
        margin=e.margin,
        differs=e.differs,
        behavior=e.behavior,
        split=e.split,
        n=e.score.n if e.score else 0,
        mean=e.score.mean if e.score else None,
        sd=e.score.sd if e.score else None,
        delta_mean=e.delta.mean if e.delta and trained else None,
        delta_sd=e.delta.sd if e.delta and trained else None,
        baseline=e.baseline,
        accuracy=e.accuracy,
    )
