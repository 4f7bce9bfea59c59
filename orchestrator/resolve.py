"""Names to content: the resolver that looks at real models, packs and data."""

from functools import lru_cache

from orchestrator.estimate import demand_sizes
from orchestrator.expand import ResolvedData, ResolvedProbes, condition_of
from orchestrator.fields import hint
from orchestrator.sweep import Point
from tasks.contract import ModelSpec, NodeError
from tasks.hub import NotHereError
from tasks.model_files import ModelFiles, locate
from tasks.probes import Probes, prepare_mix, prepare_probes
from tasks.sft import ALPACA_REVISION


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
        self._specs: dict[tuple[str, str | None], ModelSpec] = {}
        self._data: dict[tuple[object, ...], ResolvedData] = {}
        self._probes = lru_cache(maxsize=None)(prepare_probes)

    def model(self, name: str, revision: str | None, lora_keys: tuple[str, ...]) -> ModelSpec:
        """Which model it is.

        Raises:
            NodeError: It is missing or unsafe, or has no such projection.
        """
        key = (name, revision)
        if key not in self._specs:
            self._specs[key] = self._locate(name, revision)
        if key in self.models:
            _check_projections(self._projections(key), lora_keys)
        return self._specs[key]

    def _locate(self, name: str, revision: str | None) -> ModelSpec:
        try:
            spec, files = locate(name, revision, download=self._download)
        except NotHereError as error:
            self._note(str(error))
            return ModelSpec(name=name, revision=revision)
        demand_sizes(files)
        self.models[(name, revision)] = files
        return spec

    def _projections(self, key: tuple[str, str | None]) -> tuple[str, ...]:
        return tuple(sorted(self.models[key].projections()))

    def _note(self, text: str) -> None:
        if text not in self.missing:
            self.missing.append(text)

    def probes(self, point: Point) -> ResolvedProbes:
        """Digests of the evaluated pairs and of the training pool.

        Raises:
            NodeError: The pack is malformed, or has nothing for the hinge to train on.
        """
        found = self._prepared(point)
        if condition_of(point).has_hinge and (bare := found.untrainable(point["probes.train"])):
            raise NodeError(
                f"probes.heldout: leaves no training pair of {', '.join(bare)} that is free of "
                f"held-out text, got {point['probes.heldout']}; lower it"
            )
        return ResolvedProbes(found.digest, found.pool_digest)

    def _prepared(self, point: Point) -> Probes:
        return self._probes(
            point["probes.pack"],
            point["probes.train"],
            point["probes.evaluate"],
            point["probes.heldout"],
        )

    def data(self, point: Point) -> ResolvedData:
        """Digest and size of the SFT mix."""
        fields = ("data.sft", "data.size", "data.trap_fraction", "data.refusal_fraction")
        probes = self._prepared(point)
        key = (*(point[f] for f in fields), id(probes))
        if key not in self._data:
            self._data[key] = self._mix(point, probes)
        return self._data[key]

    def _mix(self, point: Point, probes: Probes) -> ResolvedData:
        revision = ALPACA_REVISION if point["data.sft"] == "alpaca" else None
        try:
            mix = prepare_mix(
                probes,
                point["data.sft"],
                size=point["data.size"],
                trap_fraction=point["data.trap_fraction"],
                refusal_fraction=point["data.refusal_fraction"],
                download=self._download,
            )
        except NotHereError as error:
            self._note(str(error))
            shares = f"{point['data.trap_fraction']}/{point['data.refusal_fraction']}"
            name = f"unresolved:alpaca/{point['data.size']}/{shares}/{probes.pool_digest}"
            return ResolvedData(name, point["data.size"] or 0, revision, templated=False)
        return ResolvedData(mix.digest, len(mix.records), revision, mix.templated)


def _check_projections(known: tuple[str, ...], lora_keys: tuple[str, ...]) -> None:
    unknown = [name for name in lora_keys if known and name not in known]
    if unknown:
        named = "; ".join(
            f'"{name}" is no projection of this model'
            f"{hint(name, known) or '; it has ' + ', '.join(known)}"
            for name in unknown
        )
        raise NodeError(f"train.lora_keys: {named}")
