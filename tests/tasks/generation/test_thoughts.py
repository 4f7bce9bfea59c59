"""A thought is no answer: it is asked for or not, cut off what is judged, and counted where cut."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from orchestrator.cells.prompt_sets import rendered_prompts
from tasks.contract.generation import Decoding, GenerationSpec
from tasks.contract.phases import Phases
from tasks.contract.prompts import PromptSet
from tasks.data.prompts import load_prompts
from tasks.data.rendering import load_tokenizer, prompt_ids
from tasks.data.thoughts import EVERY, is_cut, spoken
from tasks.generation.generate import run
from tasks.model.model import Models
from tasks.sources.model_files import locate, read_folder
from tests.tasks.data.test_template_clock import with_template
from tests.toys import CHAT, make_model

OPENS = CHAT.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
PROMPTS = PromptSet(name="few", prompts=load_prompts("starter").prompts[:3])


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    return with_template(make_model(tmp_path_factory.mktemp("t") / "m"), OPENS)


def unit(folder, **changes):
    decoding = Decoding(max_tokens=8, **changes)
    return GenerationSpec(
        cell_id="c" * 16,
        cell_label="baseline",
        seed=None,
        model=locate(str(folder), None, download=False)[0],
        train=None,
        adapter_sha256=None,
        prompts=PROMPTS,
        decoding=decoding,
        rendered=rendered_prompts(read_folder(folder), PROMPTS, decoding).rendered,
        prompt_rule=rendered_prompts(read_folder(folder), PROMPTS, decoding).prompt_rule,
    )


def answers(spec):
    return run(spec, Models(), lambda _: None, Phases()).answers


def test_an_answer_cut_inside_its_thought_says_so_and_begins_with_it(thinker):
    for answer in answers(unit(thinker)):
        assert answer.finish_reason == "thought"
        assert answer.response.startswith("<think>")
        assert spoken(answer.response) == ""


def test_without_thinking_the_thought_is_closed_before_the_answer(thinker):
    tokenizer = load_tokenizer(thinker)
    text = tokenizer.decode(list(prompt_ids(tokenizer, "Hello", "off")))
    assert text.endswith("assistant\n<think>\n\n\n</think>\n\n")
    for answer in answers(unit(thinker, thinking="off")):
        assert answer.finish_reason != "thought"


def test_a_template_that_can_be_asked_not_to_think_is_asked(tmp_path):
    source = OPENS.replace(
        "<think>\n{%", "{% if enable_thinking is false %}no{% else %}<think>{% endif %}{%"
    )
    folder = with_template(make_model(tmp_path / "m"), source)
    tokenizer = load_tokenizer(folder)
    assert tokenizer.decode(list(prompt_ids(tokenizer, "Hello", "off"))).endswith("assistant\nno")


def test_thinking_is_part_of_the_id_where_the_model_thinks(thinker, toy):
    ids = [
        unit(folder, thinking=t).generation_id
        for folder in (thinker, toy)
        for t in ("strip", "off")
    ]
    assert len(set(ids)) == 4
    bare = replace(unit(toy), rendered=None, prompt_rule=None)
    assert unit(toy).generation_id == bare.generation_id  # as before there was such a setting
    assert "thinking" not in json.loads(bare.decoding.text)


@given(st.sampled_from(EVERY), st.text(), st.text())
def test_what_is_spoken_is_what_follows_the_thought(marks, thought, said):
    begin, end = marks
    if end in thought or any(said.lstrip().startswith(b) for b, _ in EVERY):
        return
    assert spoken(f"{begin}{thought}{end}{said}") == said.lstrip()
    assert spoken(said) == said
    assert is_cut(f"\n{begin}{thought}")
    assert not is_cut(f"{begin}{thought}{end}{said}")


def test_a_bare_prompt_never_ends_with_the_end_token_that_a_tokenizer_appends(tmp_path):
    folder = with_template(make_model(tmp_path / "m"), None)
    path, end = folder / "tokenizer.json", "<|im_end|>"
    tokenizer = Tokenizer.from_file(str(path))
    ids = [(end, tokenizer.token_to_id(end))]
    tokenizer.post_processor = TemplateProcessing(single=f"$A {end}", special_tokens=ids)
    tokenizer.save(str(path))
    found = load_tokenizer(folder)
    assert found.encode("Hello")[-1] == found.eos_token_id
    assert found.decode(list(prompt_ids(found, "Hello"))) == "Hello"
    assert unit(folder).prompt_rule == "no end token"


def test_a_model_without_an_end_token_answers_to_the_limit(tmp_path):
    folder = make_model(tmp_path / "m")
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token": None}))
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token_id": None}))
    found = answers(unit(folder))
    assert {(a.n_tokens, a.finish_reason) for a in found} == {(8, "length")}
