"""A cell that goes on from a checkpoint ends in the very bytes of an undisturbed one."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasks
from tasks.cell import Phases, run
from tasks.contract.cell import RECIPE_VERSION, Status
from tasks.contract.checkpoint_envelope import Envelope, Saving, UnusableError, seal, unseal
from tasks.model.keeper import opened
from tasks.model.keeper import origin as origin_of
from tasks.model.model import Models
from tasks.passes import losses as plain
from tasks.passes.packed import Packed
from tasks.scoring import score as scoring
from tasks.training.checkpoint import State, dump, load
from tests.tasks.test_cell import COMPETITORS, outcome, spec_of
from tests.toys import make_model

EVERY_STEP_S = 1e-9
PATHS = {
    "packed": "learning_rate: 0.01",
    "plain, with dropout": "learning_rate: 0.01, lora_dropout: 0.3",
}


def origin(spec):
    return origin_of(spec.cell_id, RECIPE_VERSION)


class Attempt:
    """One run of a cell with what it kept and said."""

    def __init__(self, spec, resume=None, every_s=EVERY_STEP_S):
        self.kept, self.said = [], []
        saving = Saving(every_s=every_s, keep=self.kept.append, resume=resume)
        self.result = run(spec, Models(), self.said.append, Phases(), saving)

    @property
    def notes(self):
        return [p.note for p in self.said if p.note]

    @property
    def first_step(self):
        return next(p.step for p in self.said if p.step)

    @property
    def in_training(self):
        """The checkpoints that were made before the scoring."""
        return [k for k in self.kept if not opened(k, unseal(k).origin, load).scored]

    @property
    def in_scoring(self):
        return self.kept[len(self.in_training) :]


def rows(result):
    return [{k: v for k, v in asdict(r).items() if k != "wall_s"} for r in result.steps]


def demand_same(found, wanted):
    assert outcome(found) == outcome(wanted)
    assert rows(found) == rows(wanted)
    assert found.message == wanted.message
    assert found.measurements.pairing_key == wanted.measurements.pairing_key


@pytest.fixture(scope="module")
def spec(toy):
    return spec_of(toy, extra="learning_rate: 0.01")


@pytest.fixture(scope="module")
def undisturbed(spec):
    return Attempt(spec)


@pytest.mark.slow
@pytest.mark.parametrize("extra", PATHS.values(), ids=PATHS)
def test_from_every_step_the_bytes_are_those_of_an_undisturbed_run(toy, extra):
    spec = spec_of(toy, size=40, extra=extra)
    whole = Attempt(spec, every_s=0)
    assert whole.kept == []
    kept = Attempt(spec).in_training
    assert [unseal(k).step for k in kept] == [1, 2, 3, 4, 5]
    for done, sealed in enumerate(kept, 1):
        again = Attempt(spec, sealed)
        demand_same(again.result, whole.result)
        assert again.result.measurements.resumed_steps == done
        assert again.notes[-1] == f"goes on from its checkpoint after step {done}"
        if done < 5:
            assert again.first_step == done + 1
    assert whole.result.measurements.resumed_steps == 0


@pytest.mark.slow
@pytest.mark.parametrize("condition", COMPETITORS)
def test_a_competitor_goes_on_to_the_same_bytes(toy, condition):
    """DPO computes its reference again."""
    spec = spec_of(toy, condition, extra="learning_rate: 0.01")
    whole = Attempt(spec)
    demand_same(Attempt(spec, whole.in_training[1]).result, whole.result)


@pytest.mark.slow
def test_a_checkpoint_of_a_resumed_run_serves_as_well(spec, undisturbed):
    second = Attempt(spec, undisturbed.kept[0])
    third = Attempt(spec, second.kept[0])
    assert third.result.measurements.resumed_steps == 2
    demand_same(third.result, undisturbed.result)


@pytest.mark.slow
def test_the_seconds_behind_the_checkpoint_count(spec, undisturbed):
    sealed = undisturbed.in_training[-1]
    before = opened(sealed, origin(spec), load).elapsed_s
    assert Attempt(spec, sealed).result.measurements.train_s >= before > 0


@pytest.mark.slow
def test_no_checkpoint_before_enough_is_at_stake(spec):
    assert Attempt(spec, every_s=3600).kept == []


@pytest.mark.slow
def test_a_cell_that_diverges_does_so_at_the_same_step_with_the_same_words(toy):
    spec = spec_of(toy, size=60, extra="learning_rate: 1.0e+12, warmup_fraction: 0.5")
    whole = Attempt(spec)
    assert whole.result.status is Status.DIVERGED
    again = Attempt(spec, whole.kept[-1])
    assert again.result.status is Status.DIVERGED
    assert again.result.measurements.resumed_steps > 0
    demand_same(again.result, whole.result)


@pytest.fixture
def passes_run(monkeypatch):
    """How many passes of a scoring ran, in a list of one number."""
    ran = [0]

    def counted(real):
        def call(*given):
            ran[0] += 1
            return real(*given)

        return call

    monkeypatch.setattr(Packed, "losses", counted(Packed.losses))
    monkeypatch.setattr(scoring, "token_cross_entropy", counted(plain.token_cross_entropy))
    return ran


SCORINGS = {
    "packed": ("rho-guided", "learning_rate: 0.01", {}),
    "plain, with dropout": ("rho-guided", "learning_rate: 0.01, lora_dropout: 0.3", {}),
    "baseline": ("baseline", "", {}),
    "scored plainly": ("rho-guided", "learning_rate: 0.01", {"arch": "gpt2"}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("condition", "extra", "model"), SCORINGS.values(), ids=SCORINGS)
def test_a_scoring_goes_on_after_the_passes_of_its_checkpoint(
    toy, tmp_path, monkeypatch, passes_run, condition, extra, model
):
    monkeypatch.setattr(scoring, "TOKENS_PER_BATCH", 256)
    folder = make_model(tmp_path / "m", **model) if model else toy
    keys = "lora_keys: [c_attn], " if model else ""
    spec = spec_of(folder, condition, size=20, extra=keys + extra)
    whole = Attempt(spec)
    everything = len(whole.in_scoring)
    assert everything > 8
    steps = len(whole.in_training)
    assert [unseal(k).step - steps for k in whole.in_scoring] == [*range(1, everything + 1)]
    for done in (1, everything // 2, everything):
        passes_run[0] = 0
        again = Attempt(spec, whole.in_scoring[done - 1])
        demand_same(again.result, whole.result)
        assert passes_run[0] == everything - done
        assert again.result.measurements.resumed_passes == done
        assert f"step {steps} and {done} passes of its scoring" in again.notes[-1]
        assert not any(p.step for p in again.said)
        assert again.result.measurements.score_s > opened(
            whole.in_scoring[done - 1], origin(spec), load
        ).score_s > 0  # fmt: skip
    second = Attempt(spec, whole.in_scoring[0])
    third = Attempt(spec, second.kept[0])
    demand_same(third.result, whole.result)
    assert third.result.measurements.resumed_passes == 2


@pytest.mark.slow
def test_a_scoring_takes_no_losses_of_another_adapter(spec, undisturbed, passes_run):
    """A checkpoint whose adapter is not the one that its losses are of."""
    state = opened(undisturbed.in_scoring[-1], origin(spec), load)
    other = {k: v + 0.01 for k, v in state.adapter.items()}
    sealed = seal(
        Envelope(origin=origin(spec), step=state.done, body=dump(replace(state, adapter=other)))
    )
    passes_run[0] = 0
    found = Attempt(spec, sealed).result
    assert found.measurements.resumed_passes == 0
    assert passes_run[0] == len(undisturbed.in_scoring)
    assert found.scores != undisturbed.result.scores


@given(st.data())
def test_losses_come_back_with_their_bits(data):
    number = st.floats(width=64) | st.floats(width=32)
    rows = data.draw(st.lists(st.lists(number, min_size=3, max_size=3), min_size=1, max_size=5))
    for losses in (np.array(rows), np.array(rows)[0]):
        back = load(dump(State(scored={"a": losses}))).scored["a"]
        assert back.shape == losses.shape
        assert back.tobytes() == losses.tobytes()


def demand_anew(spec, undisturbed, sealed, reason):
    again = Attempt(spec, sealed)
    assert again.first_step == 1
    (note,) = again.notes
    assert note.startswith("starts anew")
    assert reason in note
    demand_same(again.result, undisturbed.result)


@pytest.mark.slow
def test_one_of_another_cell_is_not_used(toy, spec, undisturbed):
    foreign = Attempt(spec_of(toy, seed=2, extra="learning_rate: 0.01")).kept[0]
    demand_anew(spec, undisturbed, foreign, "of another cell")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("family", "Apple M9", "chip family (Apple M9, here"),
        ("mlx", "0.0", "MLX version"),
        ("code", "f" * 64, "version of the code"),
        ("recipe", 0, "recipe version"),
        ("backend", "other", "backend"),
    ],
)
def test_one_from_where_bits_may_differ_is_not_used(spec, undisturbed, name, value, word):
    sealed = unseal(undisturbed.kept[0])
    other = replace(sealed, origin=replace(sealed.origin, **{name: value}))
    demand_anew(spec, undisturbed, seal(other), word)


@pytest.mark.slow
@pytest.mark.parametrize("sealed", [b"", b"nonsense", b"rho-sweep checkpoint 2\n\n{}\n"])
def test_what_is_no_checkpoint_is_not_used(spec, undisturbed, sealed):
    demand_anew(spec, undisturbed, sealed, "no checkpoint of this version")


@pytest.mark.slow
@pytest.mark.parametrize(
    "facts",
    [
        {"step": True},
        {"step": -1},
        {"step": "7"},
        {"step": 1e308},
        {"step": None},
        {"family": 5},
        {"recipe": "1"},
        {"code": ["x"]},
    ],
)
def test_facts_of_another_type_are_no_checkpoint(spec, undisturbed, facts):
    good = unseal(undisturbed.kept[0])
    origin = replace(good.origin, **{k: v for k, v in facts.items() if k != "step"})
    bad = Envelope(origin=origin, step=facts.get("step", good.step), body=good.body)
    with pytest.raises(UnusableError, match="no checkpoint of this version"):
        unseal(seal(bad))


@pytest.mark.slow
def test_a_body_that_does_not_read_is_not_used(spec, undisturbed):
    sealed = seal(Envelope(origin=origin(spec), step=1, body=b"no tensors"))
    demand_anew(spec, undisturbed, sealed, "cannot be read")


@given(st.data())
def test_one_flipped_bit_or_one_lost_byte_is_seen(spec, undisturbed, data):
    sealed = bytearray(undisturbed.kept[0])
    place = data.draw(st.integers(0, len(sealed) - 1))
    if data.draw(st.booleans()):
        sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del sealed[place:]
    with pytest.raises(UnusableError):
        opened(bytes(sealed), origin(spec), load)


DIGESTS = """
import json, sys
from pathlib import Path
from tasks.sources.remembered import code_digest

def digest():
    code_digest.cache_clear()
    return code_digest()

found = {"untouched": digest()}
for path in sorted(Path(sys.argv[1]).rglob("*.py")):
    content = path.read_bytes()
    path.write_bytes(content + b"#")
    found[str(path)] = digest()
    path.write_bytes(content)
found["untouched again"] = digest()
print(json.dumps(found))
"""
"""In a process of its own, which imports the copy that is its argument."""


@pytest.mark.slow
def test_one_changed_byte_in_any_module_of_the_node_makes_another_code(tmp_path):
    copy = tmp_path / "tasks"
    shutil.copytree(Path(tasks.__file__).parent, copy)
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS, copy],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found.pop("untouched") == found.pop("untouched again")
    modules = [str(path) for path in copy.rglob("*.py")]
    assert sorted(found) == sorted(modules)
    assert len(modules) > 60
    assert len(set(found.values())) == len(modules)
