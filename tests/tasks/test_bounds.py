"""Texts that a model cannot be fed are refused by `plan` and by the cell, before training."""

import json
import sys
from dataclasses import replace

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from orchestrator.cells.expand import expand
from orchestrator.cells.resolve import FileResolver
from orchestrator.config.sweep_file import parse
from orchestrator.config.yaml_lines import parse_yaml
from tasks.contract.cell import NodeError, Status
from tasks.data.rendering import load_tokenizer, prompt_ids
from tasks.sources.model_files import locate
from tests.tasks.data.test_template_clock import with_template
from tests.tasks.test_cell import SWEEP, run_cell, spec_of
from tests.toys import CHAT, make_model

NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}" + CHAT
)


def plan_says(model, *, extra="", sft="starter", condition="sft-only"):
    """What `plan` finds wrong with a sweep, as one text."""
    text = SWEEP.format(model=model, condition=condition, weight=0.5, seed=1, size=4, extra=extra)
    text = text.replace("rho_weight: [0.5], margin: [0.1], ", "")
    text = text.replace("sft: starter", f"sft: {sft}").replace(
        "trap_fraction: 0.2", "trap_fraction: 0"
    )
    sweep = parse(parse_yaml(text, "t", model.parent))
    return "\n".join(p.message for p in expand(sweep, FileResolver(download=False))[1])


def cell_says(monkeypatch, model, **changes):
    """What the cell says of a spec that no plan has looked at."""
    with monkeypatch.context() as blind:
        for name in ("demand_pairs", "demand_records"):
            blind.setattr(f"orchestrator.cells.resolve.{name}", lambda *_: None)
        spec = spec_of(model, "sft-only", **changes)
    with pytest.raises(NodeError) as refused:
        run_cell(spec)
    return str(refused.value)


@pytest.fixture
def records(tmp_path):
    """Makes a file of SFT records."""

    def write(*rows):
        path = tmp_path / "texts.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


# learned positions


def test_texts_beyond_the_learned_positions_are_refused_by_plan_and_cell(tmp_path, monkeypatch):
    model = make_model(tmp_path / "m", "gpt2", n_positions=32)
    keys = "lora_keys: [c_attn]"
    for says in (plan_says(model, extra=keys), cell_says(monkeypatch, model, extra=keys)):
        assert "32 learned positions" in says
        assert "train.max_length to at most 32" in says
        assert "starter/texts.jsonl:" in says or "probe " in says
        assert "the text: '" in says


@pytest.mark.slow
def test_shorter_texts_on_learned_positions_train_and_score(tmp_path):
    model = make_model(tmp_path / "m", "gpt2", n_positions=64)
    result = run_cell(spec_of(model, "sft-only", extra="lora_keys: [c_attn, c_proj]"))
    assert result.status is Status.OK
    assert result.measurements.train_mfu > 0


def test_texts_beyond_the_length_of_rotary_positions_are_noted_and_run(tmp_path):
    noted = []
    for limit in (32, 1024):
        model = make_model(tmp_path / str(limit), max_position_embeddings=limit)
        sweep = parse(parse_yaml(f"name: t\nmodel: {model}\n" + GRID, "t", tmp_path))
        resolver = FileResolver(download=False)
        (cell,) = expand(sweep, resolver)[0].cells
        noted.append(resolver.notes(cell))
    assert "was trained for up to 32" in noted[0][0]
    assert noted[1] == []


@pytest.mark.skipif(sys.platform == "darwin", reason="16 bits and 4 are fast on a Mac's GPU")
def test_a_type_that_is_slow_on_a_cpu_is_noted_before_anything_runs(tmp_path):
    model = make_model(tmp_path / "m", bits=4)
    sweep = parse(parse_yaml(f"name: t\nmodel: {model}\n" + GRID, "t", tmp_path))
    resolver = FileResolver(download=False)
    (cell,) = expand(sweep, resolver)[0].cells
    assert "is stored as q4, which MLX computes several times slower" in resolver.notes(cell)[0]


# token ids beyond the embedding


def test_token_ids_without_a_row_are_refused_by_plan_and_cell(tmp_path, monkeypatch):
    model = make_model(tmp_path / "m", vocab_size=300)
    for says in (plan_says(model), cell_says(monkeypatch, model)):
        assert "has no row in the model's embedding, which has 300 rows" in says
        assert "starter/texts.jsonl:" in says or "probe " in says
        assert "the text: '" in says


# records


def test_a_role_that_the_template_refuses_is_named_with_file_and_line(
    tmp_path, monkeypatch, records
):
    model = with_template(make_model(tmp_path / "m"), NO_SYSTEM)
    turns = [{"role": r, "content": f"{r} speaks"} for r in ("user", "assistant")]
    system = [{"role": "system", "content": "Be brief."}, *turns]
    path = records({"messages": turns}, *({"messages": m} for m in (turns, system, turns)))
    says = plan_says(model, sft=path).replace("\n", " ")
    assert f"{path}:3: the model's chat template refuses this conversation" in says
    assert "System role not supported" in says


def test_the_baseline_is_refused_for_its_probes(tmp_path):
    model = make_model(tmp_path / "m", "gpt2", n_positions=32)
    spec = spec_of(make_model(tmp_path / "wide", "gpt2"), "baseline", extra="lora_keys: [c_attn]")
    narrow = locate(str(model), None, download=False)[0]
    with pytest.raises(NodeError, match=r"probe .* 32 learned positions"):
        run_cell(replace(spec, model=narrow))


def test_a_text_that_begins_as_the_tokenizer_begins_it_is_named(tmp_path, records):
    model = beginning_with_bos(make_model(tmp_path / "m"))
    path = records(*({"text": f"{start}a whole sentence"} for start in ("", "x", "y", BOS)))
    assert f"{path}:4: begins with {BOS}, which the tokenizer adds" in plan_says(model, sft=path)


def test_a_text_that_ends_as_the_tokenizer_ends_it_is_named(tmp_path, records):
    model = make_model(tmp_path / "m")
    end = load_tokenizer(model).eos_token
    path = records(*({"text": f"a whole sentence{stop}"} for stop in ("", ".", end, "!")))
    assert ":3:" not in plan_says(model, sft=path)  # the tokenizer adds none: this is its only one
    model = make_model(tmp_path / "ending")
    with_post_processor(model, f"$A {end}", end)
    assert f"{path}:3: ends with {end}, which the tokenizer adds" in plan_says(model, sft=path)


def test_a_template_that_writes_the_begin_token_has_it_once(tmp_path):
    model = beginning_with_bos(make_model(tmp_path / "m"))
    with_template(model, "{{ bos_token }}" + CHAT)
    ids = prompt_ids(load_tokenizer(model), "Hello")
    assert list(ids).count(load_tokenizer(model).bos_token_id) == 1


BOS = "<|endoftext|>"


def beginning_with_bos(model):
    """A model whose tokenizer puts a begin token before every text."""
    with_post_processor(model, f"{BOS} $A", BOS)
    config = model / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"bos_token": BOS}))
    return model


def with_post_processor(model, single, token):
    """Let the model's tokenizer write a token of its own around every text."""
    path = model / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    ids = [(token, tokenizer.token_to_id(token))]
    tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=ids)
    tokenizer.save(str(path))


@pytest.mark.parametrize(("text", "says"), [("a", "1 token"), ("", "non-empty")])
def test_a_record_without_a_target_is_named_with_file_and_line(tmp_path, records, text, says):
    model = make_model(tmp_path / "m")
    path = tmp_path / "m" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token": None}))
    file = records(*({"text": f"a whole sentence {i}"} for i in range(3)), {"text": text})
    found = plan_says(model, sft=file)
    assert f"{file}:4: " in found
    assert says in found


@pytest.mark.slow
def test_a_tokenizer_without_an_end_token_adds_none(tmp_path):
    model = make_model(tmp_path / "m")
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token": None}))
    assert load_tokenizer(model).eos_token_id is None
    assert run_cell(spec_of(model, "sft-only", extra="epochs: 1")).status is Status.OK


# mixtures of experts


@pytest.mark.slow
@pytest.mark.parametrize("bits", [None, 4])
def test_plan_and_cell_agree_on_what_a_name_matches_in_a_mixture(tmp_path, bits):
    model = make_model(tmp_path / "m", "qwen2_moe", bits=bits)
    keys = "lora_keys: [up_proj, q_proj]"
    sweep = parse(parse_yaml(f"name: t\nmodel: {model}\ntrain: {{{keys}}}\n" + GRID, "t", tmp_path))
    resolver = FileResolver(download=False)
    (cell,) = expand(sweep, resolver)[0].cells
    assert resolver.adapted(cell) == (
        "q_proj 2, up_proj 2 matrices; not adapted: 8 of up_proj in a mixture's experts"
    )
    measured = run_cell(cell).measurements
    assert measured.lora_matched == {"q_proj": 2, "up_proj": 2}
    assert measured.lora_unmatched == {"up_proj": 8}


@pytest.mark.slow
@pytest.mark.parametrize("bits", [None, 4])
def test_names_of_experts_alone_are_refused_by_plan_as_by_the_cell(tmp_path, bits):
    model = make_model(tmp_path / "m", "qwen3_moe", bits=bits)
    says = plan_says(model, extra="lora_keys: [gate_proj, up_proj]")
    assert '"gate_proj" names only the experts of a mixture' in says
    spec = spec_of(model, "sft-only")
    with pytest.raises(NodeError, match=r'"gate_proj" is no projection of this model but of'):
        run_cell(replace(spec, train=replace(spec.train, lora_keys=("gate_proj",))))


GRID = """
grid: {condition: sft-only, seed: [1]}
data: {sft: starter, size: 8}
probes: {train: [factual], evaluate: [factual]}
"""
