"""One unit: the saved adapter, exactly that one, unfused, on the base model; and its answers."""

import io
import json
from dataclasses import replace
from functools import cache

import mlx.core as mx
import mlx_lm
import pytest
from mlx.utils import tree_flatten

from orchestrator.cells.memory import RUNTIME_BYTES
from orchestrator.cells.stress_estimate import generation_memory
from orchestrator.execution.engines.node import Node
from orchestrator.results.adapters import FILES, read_adapter, write_adapter
from tasks.contract.cell import (
    Adapter,
    CellFailure,
    ModelSpec,
    NodeError,
    Progress,
    TrainSpec,
    digest_of,
)
from tasks.contract.checkpoint_envelope import Saving, seal, unseal
from tasks.contract.generation import Decoding, GenerationResult, GenerationSpec
from tasks.contract.phases import Phases
from tasks.contract.prompts import PromptSet
from tasks.data.prompts import load_prompts
from tasks.data.rendering import prompt_ids
from tasks.generation import decode as decode_module
from tasks.generation.decode import Asked, alone
from tasks.generation.generate import run
from tasks.model.model import Models, attached, save_adapter
from tasks.sources.model_files import locate, read_folder
from tasks.starter import TINY
from tests.builders import shuffled

TRAIN = TrainSpec()
PROMPTS = PromptSet(name="few", prompts=load_prompts("starter").prompts[::8])


@cache
def models() -> Models:
    return Models()


def tiny() -> ModelSpec:
    return locate("tiny", None, download=False)[0]


@cache
def adapter(scale: float = 0.2) -> Adapter:
    """An adapter that changes answers: B is not zero."""
    base = models().get(tiny())
    with attached(base, TRAIN, 1) as lora:
        tensors = tree_flatten(base.model.trainable_parameters())
        mx.random.seed(0)
        noise = [(k, scale * mx.random.normal(v.shape)) for k, v in tensors if "lora_b" in k]
        base.model.load_weights(noise, strict=False)
        return save_adapter(base, lora)


def unit(found: Adapter | None = None, **changes) -> GenerationSpec:
    spec = GenerationSpec(
        cell_id="c" * 16,
        cell_label="a cell",
        seed=1 if found else None,
        model=tiny(),
        train=TRAIN if found else None,
        adapter_sha256=found.sha256 if found else None,
        prompts=PROMPTS,
        decoding=Decoding(max_tokens=16),
        adapter=found,
    )
    return replace(spec, **changes)


def answers(spec: GenerationSpec) -> list[str]:
    return [a.response for a in ran(spec).answers]


def ran(spec: GenerationSpec) -> GenerationResult:
    return run(spec, models(), lambda _: None, Phases())


@pytest.mark.slow
def test_an_adapter_answers_as_mlx_lm_does_with_the_same_files(tmp_path):
    write_adapter(tmp_path / "a", adapter())
    model, tokenizer = mlx_lm.load(str(TINY), adapter_path=str(tmp_path / "a"))
    theirs = [
        mlx_lm.generate(model, tokenizer, list(prompt_ids(tokenizer, p.text)), max_tokens=16)
        for p in PROMPTS.prompts
    ]
    assert answers(unit(adapter())) == theirs
    assert theirs != answers(unit())


@pytest.mark.slow
def test_the_base_answers_as_before_when_an_adapter_has_come_and_gone():
    before = ran(unit()).answers
    run(unit(adapter()), models(), lambda _: None, Phases())
    assert ran(unit()).answers == before
    assert not tree_flatten(models().get(tiny()).model.trainable_parameters())


@pytest.mark.slow
def test_every_answer_is_kept_whole_with_its_tokens_counted_and_hashed():
    base = models().get(tiny())
    for answer, prompt in zip(ran(unit()).answers, PROMPTS.prompts, strict=True):
        assert answer.prompt_id == prompt.id
        assert answer.n_prompt_tokens == len(prompt_ids(base.tokenizer, prompt.text))
        asked = Asked(prompt_ids(base.tokenizer, prompt.text), prompt.id)
        drawn = alone(base.model, asked, unit().decoding, base.tokenizer.eos_token_ids)
        assert answer.tokens_sha256 == digest_of(list(drawn.tokens))
        assert answer.n_tokens == len(drawn.tokens)
        assert answer.response == base.tokenizer.decode(list(drawn.tokens))


def test_the_prompt_is_one_turn_of_the_models_own_chat():
    tokenizer = models().get(tiny()).tokenizer
    text = tokenizer.decode(list(prompt_ids(tokenizer, "Hello")))
    assert text == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"

    class Bare:
        chat_template = None
        eos_token_id = tokenizer.eos_token_id
        encode = staticmethod(tokenizer.encode)

    assert tokenizer.decode(list(prompt_ids(Bare(), "Hello"))) == "Hello"


@pytest.mark.slow
def test_samples_come_in_order_and_more_of_them_leave_the_first_ones_alone():
    few = unit(adapter(), decoding=Decoding(max_tokens=8, temperature=1.0, samples=2, seed=0))
    more = replace(few, decoding=replace(few.decoding, samples=3))
    found, again = ran(few).answers, ran(more).answers
    assert [(a.prompt_id, a.sample_index) for a in found] == [
        (p.id, i) for p in PROMPTS.prompts for i in (0, 1)
    ]
    assert [a for a in again if a.sample_index < 2] == list(found)
    other = ran(unit(decoding=few.decoding)).answers
    assert [a.response for a in other] != [a.response for a in found]


def test_adapters_that_do_the_same_answer_alike_but_draw_for_themselves():
    nothing = adapter(0.0)
    assert nothing.sha256 != adapter().sha256
    assert answers(unit(nothing)) == answers(unit())
    drawn = Decoding(max_tokens=8, temperature=1.0, samples=1, seed=0)
    assert answers(unit(nothing, decoding=drawn)) != answers(unit(decoding=drawn))


# what is refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda s: replace(s, adapter=None), "files are missing; bring them back, or delete"),
        (lambda s: replace(s, adapter=adapter(0.3)), "is not what the cell wrote: its sha256 is"),
        (
            lambda s: s.carrying(
                replace(s.adapter, config=bent(s.adapter.config, "lora_parameters", scale=99.0))
            ),
            "adapter_config.json is not the one that this cell wrote",
        ),
        (
            lambda s: replace(s, train=TrainSpec(lora_rank=4)),
            "adapter_config.json is not the one that this cell wrote",
        ),
        (
            lambda s: broken(s, s.adapter.weights[:-7]),
            "adapters.safetensors cannot be read",
        ),
        (
            lambda s: broken(s, without_one_tensor(s.adapter)),
            "adapters.safetensors has other tensors",
        ),
    ],
)
def test_an_adapter_that_is_not_the_cells_own_is_a_failure_never_the_baseline(spoil, says):
    spec = spoil(unit(adapter()))
    outcome = Node().execute(spec, lambda _: None)
    assert isinstance(outcome, CellFailure)
    assert says in outcome.message
    assert outcome.stage == "load"
    assert outcome.spec == spec.bare()


def bent(config: dict, part: str, **changes) -> dict:
    return config | {part: config[part] | changes}


def broken(spec: GenerationSpec, weights: bytes) -> GenerationSpec:
    """Weights of which the cells table says that they are right."""
    found = replace(spec.adapter, weights=weights)
    return replace(spec, adapter=found, adapter_sha256=found.sha256)


def without_one_tensor(found: Adapter) -> bytes:
    tensors = mx.load(io.BytesIO(found.weights), format="safetensors")
    tensors.pop(next(iter(tensors)))
    buffer = io.BytesIO()
    mx.save_safetensors(buffer, tensors)
    return buffer.getvalue()


def test_an_error_in_a_unit_leaves_the_base_as_it_was():
    with pytest.raises(NodeError, match="other tensors"):
        ran(broken(unit(adapter()), without_one_tensor(adapter())))
    assert not tree_flatten(models().get(tiny()).model.trainable_parameters())


def test_an_adapter_on_disk_is_read_as_it_was_written_or_not_at_all(tmp_path):
    write_adapter(tmp_path, adapter())
    assert read_adapter(tmp_path) == adapter()
    for name in FILES:
        write_adapter(tmp_path, adapter())
        (tmp_path / name).unlink()
        assert read_adapter(tmp_path) is None
    write_adapter(tmp_path, adapter())
    (tmp_path / FILES[0]).write_text("{")
    assert read_adapter(tmp_path) is None


# identity


def test_what_decides_the_tokens_decides_the_id_and_nothing_else():
    spec = unit(adapter())
    same = [
        spec.bare(),
        replace(spec, cell_id="d" * 16, cell_label="another", seed=7),
        replace(spec, prompts=replace(PROMPTS, name="renamed")),
    ]
    assert {s.generation_id for s in same} == {spec.generation_id}
    others = [
        unit(adapter(0.3)),
        unit(),
        replace(spec, model=replace(spec.model, digest="other")),
        replace(spec, prompts=PromptSet(name="few", prompts=PROMPTS.prompts[1:])),
        replace(spec, decoding=Decoding(max_tokens=17)),
        replace(spec, decoding=Decoding(max_tokens=16, temperature=1.0, seed=0)),
    ]
    assert len({s.generation_id for s in (spec, *others)}) == 1 + len(others)
    assert json.loads(spec.decoding.text)["max_tokens"] == 16


def test_the_order_of_prompts_is_part_of_the_set_but_changes_no_answer():
    turned = PromptSet(name="few", prompts=tuple(shuffled(list(PROMPTS.prompts))))
    by_id = {a.prompt_id: a for a in ran(unit(adapter())).answers}
    assert {a.prompt_id: a for a in ran(unit(adapter(), prompts=turned)).answers} == by_id


def test_the_memory_estimate_is_never_below_the_peak_and_not_far_above():
    files = read_folder(TINY)
    long = tuple(replace(p, text=f"{p.text} " * 4) for p in PROMPTS.prompts)
    for prompts in (PROMPTS.prompts, long):
        spec = unit(adapter(), prompts=PromptSet(name="few", prompts=prompts))
        peak = ran(spec).memory_peak_bytes
        estimate = generation_memory(spec, files) - RUNTIME_BYTES
        assert peak < estimate < 2.5 * peak


# a unit that goes on from its checkpoint

DECODINGS = {
    "greedy": Decoding(max_tokens=8),
    "drawn": Decoding(max_tokens=8, temperature=1.0, samples=2, seed=0),
}


def attempt(spec: GenerationSpec, resume: bytes | None = None, every_s: float = 1e-9):
    """(result, checkpoints, notes, answers reported) of one run of a unit."""
    kept: list[bytes] = []
    said: list[Progress] = []
    saving = Saving(every_s=every_s, keep=kept.append, resume=resume)
    result = run(spec, models(), said.append, Phases(), saving)
    notes = [p.note for p in said if p.note]
    return result, kept, notes, [(p.step, p.resumed) for p in said if p.step]


@pytest.fixture(params=["side by side", "one by one"])
def small_blocks(request, monkeypatch):
    """Blocks of four answers, or of one where a layout takes no mask for each row."""
    monkeypatch.setattr(decode_module, "ROWS", 4)
    if request.param == "one by one":
        monkeypatch.setattr(decode_module, "shares_passes", lambda _: False)
    return 4 if request.param == "side by side" else 1


@pytest.mark.slow
@pytest.mark.parametrize("decoding", DECODINGS.values(), ids=DECODINGS)
def test_a_unit_goes_on_after_the_answers_of_its_checkpoint(small_blocks, monkeypatch, decoding):
    spec = unit(adapter(), decoding=decoding)
    whole, kept, _, _ = attempt(spec)
    n = len(whole.answers)
    assert [unseal(k).step for k in kept] == sorted({*range(small_blocks, n, small_blocks), n})
    drawn_again: list[int] = []
    real = decode_module._draw

    def counted(model, block, *rest):
        drawn_again.append(len(block))
        return real(model, block, *rest)

    monkeypatch.setattr(decode_module, "_draw", counted)
    for sealed in (kept[0], kept[-2], kept[-1]):
        drawn_again.clear()
        done = unseal(sealed).step
        again, later, notes, told = attempt(spec, sealed)
        assert again.answers == whole.answers
        assert again.resumed_answers == done
        assert sum(drawn_again) == n - done
        assert notes == [f"goes on from its checkpoint after {done} answers"]
        assert all(step > resumed == done for step, resumed in told)
        assert [unseal(k).step for k in later] == [s for k in kept if (s := unseal(k).step) > done]
        assert again.generate_s > json.loads(unseal(sealed).body)["elapsed_s"] > 0
    assert attempt(spec, every_s=3600)[1] == []


@pytest.mark.slow
def test_a_unit_takes_no_answers_of_another_unit_or_of_a_damaged_checkpoint(small_blocks):
    spec = unit(adapter())
    whole, kept, _, _ = attempt(spec)
    foreign = unit(adapter(), decoding=Decoding(max_tokens=9))
    torn = replace(unseal(kept[-1]), body=b"{}")
    for sealed, why in (
        (attempt(foreign)[1][-1], "it is of another cell"),
        (kept[-1][:-1], "it is torn or damaged"),
        (seal(torn), "its content cannot be read"),
    ):
        again, _, notes, _ = attempt(spec, sealed)
        assert again.answers == whole.answers
        assert again.resumed_answers == 0
        assert notes[0].startswith("starts anew")
        assert why in notes[0]


@pytest.mark.slow
def test_answers_are_the_same_in_blocks_of_any_size_where_activations_are_float32(monkeypatch):
    few = {}
    for rows in (1, 3, 48):
        monkeypatch.setattr(decode_module, "ROWS", rows)
        few[rows] = [a.tokens_sha256 for a in ran(unit(adapter())).answers]
    assert few[1] == few[3] == few[48]
