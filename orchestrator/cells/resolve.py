"""Names to content: the resolver that looks at real models, packs and data."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from orchestrator.cells import tokenised
from orchestrator.cells.builds import demand_builds
from orchestrator.cells.expand import DATA, PROBES, ResolvedData, ResolvedProbes, template_of
from orchestrator.cells.memory import Texts, cell_memory
from orchestrator.cells.model_size import Sizes, known_model, text_config
from orchestrator.cells.roofline import Effort, cell_effort
from orchestrator.config.condition_rules import Point, condition_of
from orchestrator.errors import hint
from tasks.contract.cell import (
    PACKED,
    UNRESOLVED,
    CellSpec,
    ChoiceSpec,
    ModelSpec,
    NodeError,
    is_known,
)
from tasks.contract.measures import CAPABILITY
from tasks.data import lengths
from tasks.data.general import EncodedItems, items_digest, load_items
from tasks.data.lengths import Lengths
from tasks.data.limits import demand_pairs, demand_records, limits_of
from tasks.data.probe_packs import Pair
from tasks.data.probes import prepare_mix, prepare_probes
from tasks.data.rendering import rendered_digest
from tasks.data.sft import Mix, load_source, sft_source
from tasks.data.tokens import EncodedPairs, Tokens
from tasks.model.machine import describe
from tasks.model.path import known_path, path_of_training, sentence
from tasks.sources.declared import HubFiles
from tasks.sources.hub import NotHereError
from tasks.sources.model_files import (
    ModelFiles,
    Projections,
    locate,
    precision,
    projections_of,
    shapes_of,
)

READ = ("model", "model_revision", "train.max_length", "data.template", *DATA)
"""Fields of a point that decide what is found of its pack and texts."""


T = TypeVar("T")


def _once(look: Callable[..., T]) -> Callable[..., T]:
    """As `functools.cache`, for errors too: a hub that does not answer is asked once."""
    known: dict[tuple[object, ...], T | NodeError] = {}

    def ask(*args: object) -> T:
        if args not in known:
            try:
                known[args] = look(*args)
            except NodeError as error:
                known[args] = error
        found = known[args]
        if isinstance(found, NodeError):
            raise found.with_traceback(None)
        return found

    return ask


class FileResolver:
    """Resolves against this machine's files; remembers what it found.

    Attributes:
        missing: What is not on this machine and would be fetched at launch.
        models: Files of every model found, by name and revision.
    """

    def __init__(self, *, download: bool) -> None:
        self._download = download
        self.missing: list[str] = []
        self.models: dict[tuple[str, str | None], ModelFiles] = {}
        self._located = _once(self._locate)
        self._probes = _once(partial(prepare_probes, download=download))
        self._mixed = _once(self._mix)
        self._items = _once(partial(load_items, download=download))
        self._projections = cache(projections_of)
        self._known_path = cache(known_path)
        self._probes_of: dict[tuple[object, ...], ResolvedProbes] = {}
        self._data_of: dict[tuple[object, ...], ResolvedData] = {}
        self._mixes: dict[str, Mix] = {}
        self._rows: dict[tuple[Path, str, str | None], list[Tokens]] = {}
        self._pairs: dict[tuple[Path, tuple[Pair, ...], int], EncodedPairs] = {}
        self._texts: dict[tuple[object, ...], Texts] = {}
        self._answered: dict[tuple[Path, str, int], EncodedItems] = {}

    def model(self, name: str, revision: str | None, lora_keys: tuple[str, ...]) -> ModelSpec:
        """Which model it is.

        Raises:
            NodeError: It is missing or unsafe, or has no such projection.
        """
        spec = self._located(name, revision)
        if files := self.models.get((name, revision)):
            _check_projections(self._projections(files.folder), lora_keys)
        return spec

    def _locate(self, name: str, revision: str | None) -> ModelSpec:
        try:
            spec, files = locate(name, revision, download=self._download)
        except NotHereError as error:
            self._note(str(error))
            return ModelSpec(name=name, revision=revision)
        Sizes.of(files)
        demand_builds(files)
        self.models[(name, revision)] = files
        return spec

    def _note(self, text: str) -> None:
        if text not in self.missing:
            self.missing.append(text)

    def probes(self, point: Point) -> ResolvedProbes:
        """Digests of the evaluated pairs and of the training pool.

        Raises:
            NodeError: The pack is malformed, or has nothing for the hinge to train on.
        """
        key = self._read_of(point, condition_of(point).has_pairs)
        if key not in self._probes_of:
            self._probes_of[key] = self._look_at_probes(point)
        return self._probes_of[key]

    def _read_of(self, point: Point, used: bool) -> tuple[object, ...]:
        """All that `probes` and `data` read, and whether training uses what they find."""
        there = (point["model"], point["model_revision"]) in self.models
        return (used, there, *(point[f] for f in READ))

    def _look_at_probes(self, point: Point) -> ResolvedProbes:
        try:
            found = self._probes(*(point[f] for f in PROBES))
        except NotHereError as error:
            self._note(str(error))
            name = UNRESOLVED + "/".join(str(point[f]) for f in PROBES)
            return ResolvedProbes(name, name)
        if condition_of(point).has_pairs and (bare := found.untrainable(point["probes.train"])):
            raise NodeError(
                f"probes.heldout: leaves no training pair of {', '.join(bare)} that is free of "
                f"held-out text, got {point['probes.heldout']}; lower it"
            )
        files = self.models.get((point["model"], point["model_revision"]))
        if files is not None:
            trained = point["probes.train"] if condition_of(point).has_pairs else ()
            for pairs in (found.evaluated, found.pool_of(trained)):
                encoded = self._encoded(files, pairs, point["train.max_length"])
                demand_pairs(encoded, limits_of(shapes_of(files.folder)))
        return ResolvedProbes(found.digest, found.pool_digest)

    def data(self, point: Point) -> ResolvedData:
        """Digest and size of the SFT mix, and what the point's model makes of it.

        Raises:
            NodeError: The mix is malformed, or the model's template refuses one of its texts.
        """
        key = self._read_of(point, condition_of(point).has_sft)
        if key not in self._data_of:
            self._data_of[key] = self._look_at_data(point)
        return self._data_of[key]

    def _look_at_data(self, point: Point) -> ResolvedData:
        found = self._mixed(*(point[f] for f in DATA))
        files = self.models.get((point["model"], point["model_revision"]))
        mix = self._mixes.get(found.digest)
        if files is None or mix is None or not condition_of(point).has_sft:
            return found
        template = template_of(point) if found.templated else None
        rows = self._rendered(files, mix, template)
        limits = limits_of(shapes_of(files.folder))
        demand_records(mix.records, rows, limits, point["train.max_length"])
        return replace(
            found,
            rendered=rendered_digest(rows),
            template_date=tokenised.template_date(files) if template == "chat" else None,
            template_parts=template == "chat" and tokenised.takes_parts(files),
        )

    def capability(self, point: Point) -> ChoiceSpec:
        """The multiple-choice set, in the tokens of the point's model.

        Raises:
            NodeError: The set is malformed, or the model cannot be fed it.
        """
        name = point[CAPABILITY]
        try:
            items = self._items(name)
        except NotHereError as error:
            self._note(str(error))
            return ChoiceSpec(name=name, digest=UNRESOLVED + name, texts=0)
        files = self.models.get((point["model"], point["model_revision"]))
        if files is not None:
            self._encoded_items(files, name, point["train.max_length"])
        texts = sum(len(item.choices) for item in items)
        return ChoiceSpec(name=name, digest=items_digest(items), texts=texts)

    def _encoded_items(self, files: ModelFiles, name: str, max_length: int) -> EncodedItems:
        key = (files.folder, name, max_length)
        if key not in self._answered:
            self._answered[key] = tokenised.items(files, self._items(name), max_length)
        return self._answered[key]

    def texts(self, point: Point) -> None:
        """Check that the SFT source can be read.

        Raises:
            NodeError: It is missing or malformed.
        """
        with suppress(NotHereError):
            load_source(point["data.sft"], download=False)

    def adapted(self, spec: CellSpec) -> str | None:
        """What a cell's `lora_keys` name in its model, for people; None where it is not here."""
        files = self._files(spec)
        if files is None or spec.train is None:
            return None
        found = self._projections(files.folder)
        counts = ", ".join(f"{k} {found.linear.get(k, 0)}" for k in spec.train.lora_keys)
        left = [f"{found.experts[k]} of {k}" for k in spec.train.lora_keys if k in found.experts]
        note = f"; not adapted: {', '.join(left)} in a mixture's experts" if left else ""
        return f"{counts} matrices{note}"

    def path(self, spec: CellSpec) -> str | None:
        """How the passes of a cell go here, for people; None where its model is not here."""
        files = self._files(spec)
        if files is None:
            return None
        known = self._known_path(files)
        path = path_of_training(known or PACKED, spec.train)
        return sentence(spec.model.name, None if known is None and path == PACKED else path)

    def notes(self, spec: CellSpec) -> list[str]:
        """What people should know: texts longer than trained for, a type that is slow here."""
        files = self._files(spec)
        if files is None:
            return []
        found = []
        if describe().backend != "metal":
            stored = precision(files)
            if stored not in ("float32", "unknown"):
                found.append(
                    f"{spec.model.name} is stored as {stored}, which MLX computes several times "
                    "slower than float32 on a CPU; rho-sweep doctor measures it"
                )
        if self._has_texts(spec):
            found += self._beyond_trained(spec, files)
        if spec.capability and is_known(spec.capability.digest):
            encoded = self._encoded_items(files, spec.capability.name, spec.max_length)
            if out := len(encoded.excluded):
                found.append(
                    f"{spec.capability.name}: {out} of {out + len(encoded.kept)} items do not fit "
                    f"into {spec.max_length} tokens (train.max_length), and are left out"
                )
        return found

    def _beyond_trained(self, spec: CellSpec, files: ModelFiles) -> list[str]:
        limit = text_config(files).get("max_position_embeddings")
        texts = self._texts_of(spec, files)
        longest = max(t.longest for t in (texts.scored, texts.sft) if t)
        if not isinstance(limit, int) or longest <= limit:
            return []
        return [f"a text has {longest} tokens, {spec.model.name} was trained for up to {limit}"]

    def _files(self, spec: CellSpec) -> ModelFiles | None:
        return next((f for f in self.models.values() if f.digest == spec.model.digest), None)

    def _has_texts(self, spec: CellSpec) -> bool:
        """Whether the pairs and the SFT texts of a cell are here."""
        mixed = spec.data is None or spec.data.digest in self._mixes
        return mixed and is_known(spec.probes.digest)

    def memory(self, spec: CellSpec) -> int | None:
        """Estimated peak of a cell, bytes; None where its model or data are not here."""
        files = self._files(spec)
        if files is None or not self._has_texts(spec):
            return None
        texts, metal = self._texts_of(spec, files), sys.platform == "darwin"
        return cell_memory(spec, files, texts, metal=metal, path=self._known_path(files))

    def effort(self, spec: CellSpec) -> Effort | None:
        """What a cell takes on a GPU; None where that is not known: see `memory`, and experts."""
        files = self._files(spec)
        if files is None or not self._has_texts(spec):
            return None
        found, sizes = self._projections(files.folder), Sizes.of(files)
        if found.experts or found.linear != dict.fromkeys(sizes.matrices, sizes.layers):
            return None
        return cell_effort(spec, files, self._texts_of(spec, files))

    def sizes_of(self, spec: CellSpec) -> ModelFiles | None:
        """Files of a cell's model, or of one of the presets what is known without them."""
        return self._files(spec) or known_model(spec.model.name)

    def bound(self, spec: CellSpec) -> int | None:
        """As `memory`, with every text as long as it may be; also where data are not here."""
        files, limit = self.sizes_of(spec), spec.max_length
        if files is None:
            return None
        texts = Texts(
            scored=lengths.of_texts(None, limit),
            sft=lengths.of_rows(None, limit) if spec.data else None,
            pairs=lengths.of_pairs(None, limit) if spec.hinge else None,
            items=lengths.of_items(None, limit) if spec.capability else None,
        )
        return cell_memory(spec, files, texts, metal=sys.platform == "darwin")

    def _texts_of(self, spec: CellSpec, files: ModelFiles) -> Texts:
        trained = spec.hinge.behaviors if spec.hinge else ()
        mix = spec.data.digest if spec.data else None
        key = (files.digest, spec.probes, trained, mix, spec.max_length, spec.capability)
        if key not in self._texts:
            self._texts[key] = self._measure(spec, files, trained)
        return self._texts[key]

    def _measure(self, spec: CellSpec, files: ModelFiles, trained: tuple[str, ...]) -> Texts:
        named = spec.probes
        probes = self._probes(named.pack, named.train, named.evaluate, named.heldout)
        limit = spec.max_length
        pool = probes.pool_of(trained)
        rows = None
        if spec.data:
            rows = self._rendered(files, self._mixes[spec.data.digest], spec.data.template)
        return Texts(
            scored=lengths.of_texts(self._encoded(files, probes.evaluated, limit), limit),
            sft=lengths.of_rows(rows, limit) if spec.data else None,
            pairs=lengths.of_pairs(self._encoded(files, pool, limit), limit) if pool else None,
            items=self._item_lengths(spec, files),
        )

    def _item_lengths(self, spec: CellSpec, files: ModelFiles) -> Lengths | None:
        if spec.capability is None:
            return None
        known = is_known(spec.capability.digest)
        name, limit = spec.capability.name, spec.max_length
        return lengths.of_items(self._encoded_items(files, name, limit) if known else None, limit)

    def _rendered(self, files: ModelFiles, mix: Mix, template: str | None) -> list[Tokens]:
        key = (files.folder, mix.digest, template)
        if key not in self._rows:
            self._rows[key] = tokenised.records(files, mix, template)
        return self._rows[key]

    def _encoded(self, files: ModelFiles, pairs: tuple[Pair, ...], max_length: int) -> EncodedPairs:
        key = (files.folder, pairs, max_length)
        if key not in self._pairs:
            self._pairs[key] = tokenised.pairs(files, pairs, max_length)
        return self._pairs[key]

    def _mix(
        self,
        pack: str,
        train: tuple[str, ...],
        evaluate: tuple[str, ...],
        heldout: float,
        sft: str,
        size: int | None,
        traps: float,
        refusals: float,
    ) -> ResolvedData:
        """The SFT mix of a point's `DATA`."""
        delivery = sft_source(sft).delivery
        revision = delivery.revision if isinstance(delivery, HubFiles) else None
        pool = UNRESOLVED
        try:
            probes = self._probes(pack, train, evaluate, heldout)
            pool = probes.pool_digest
            mix = prepare_mix(
                probes,
                sft,
                size=size,
                trap_fraction=traps,
                refusal_fraction=refusals,
                download=self._download,
            )
        except NotHereError as error:
            self._note(str(error))
            name = f"{UNRESOLVED}{sft}/{size}/{traps}/{refusals}/{pool}"
            return ResolvedData(name, size or 0, revision, templated=False)
        self._mixes[mix.digest] = mix
        return ResolvedData(mix.digest, len(mix.records), revision, mix.templated)


def _check_projections(found: Projections, lora_keys: tuple[str, ...]) -> None:
    known = tuple(sorted(found.linear))
    unknown = [name for name in lora_keys if known and name not in known]
    if unknown:
        named = "; ".join(
            (
                f'"{name}" names only the experts of a mixture, which are not adapted; '
                f"this model has {', '.join(known)}"
                if name in found.experts
                else f'"{name}" is no projection of this model'
                f"{hint(name, known) or '; it has ' + ', '.join(known)}"
            )
            for name in unknown
        )
        raise NodeError(f"train.lora_keys: {named}")
