"""A chat template, wherever a model keeps it, is the same for driver and cell."""

import json
from dataclasses import replace
from functools import partial

import pytest
from mlx_lm.tokenizer_utils import load as mlx_lm_load

from tasks.contract.cell import ModelSpec, NodeError
from tasks.data.rendering import (
    TEMPLATE_DATE,
    chat_ids,
    has_template,
    load_tokenizer,
    prompt_ids,
    prompt_rule,
    text_ids,
)
from tasks.model.model import Models
from tasks.sources.model_files import locate
from tests.builders import a_spec
from tests.toys import CHAT, make_model

SAYS = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
TOOLS = "{{ tools | length }} tools for {{ messages[0].content }}"
PARTS = "{% for m in messages %}{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}end"
"""A template that takes parts of a message, as some of models that also see."""


def in_config(folder, template):
    path = folder / "tokenizer_config.json"
    facts = json.loads(path.read_text())
    facts.pop("chat_template", None)
    path.write_text(json.dumps(facts | ({} if template is None else {"chat_template": template})))


def in_file(name, folder, template, *, config=None):
    in_config(folder, config)
    text = template if name.endswith("jinja") else json.dumps({"chat_template": template})
    (folder / name).write_text(text)


def in_folder(folder, template):
    in_file("chat_template.jinja", folder, template)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(TOOLS)


def by_name(folder, template, *, record=False):
    named = {"default": template, "tool_use": TOOLS}
    as_list = [{"name": name, "template": source} for name, source in named.items()]
    in_config(folder, named if record else as_list)


PLACES = {
    "config": in_config,
    "names": by_name,
    "names in a record": partial(by_name, record=True),
    "chat_template.jinja": partial(in_file, "chat_template.jinja"),
    "chat_template.jinja goes first": partial(in_file, "chat_template.jinja", config="no"),
    "names in a folder": in_folder,
    "chat_template.json": partial(in_file, "chat_template.json"),
}


@pytest.fixture(params=PLACES)
def place(request):
    return request.param


@pytest.fixture
def brought(place, tmp_path):
    """(puts a template there, the driver's tokenizer, the cell's)."""

    def bring(template):
        folder = make_model(tmp_path / "m")
        PLACES[place](folder, template)
        spec = locate(str(folder), None, download=False)[0]
        return load_tokenizer(folder), Models().get(spec).tokenizer

    return bring


def both(tokenizers, ask):
    """What driver and cell make of it, which must be the same."""
    driver, cell = map(ask, tokenizers)
    assert driver == cell
    return tokenizers[0].decode(list(driver))


@pytest.mark.slow
def test_a_prompt_is_one_turn_of_it(brought, place):
    tokenizers = brought(CHAT)
    assert both(tokenizers, lambda t: prompt_ids(t, "Hello")) == SAYS
    rule = f"template of {place}" if place == "chat_template.json" else None
    assert [prompt_rule(t) for t in tokenizers] == [rule, rule]


@pytest.mark.slow
def test_a_template_for_tools_is_used_where_there_are_tools(brought, place):
    def ask(tokenizer):
        said = [{"role": "user", "content": "Hello"}]
        return chat_ids(tokenizer, said, tools=[{"name": "a"}], add_generation_prompt=True)

    says = "1 tools for Hello" if place.startswith("names") else SAYS
    assert both(brought(CHAT), ask) == says


@pytest.mark.slow
def test_it_may_refuse_a_system_role(brought):
    tokenizers = brought(
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        + CHAT
    )
    assert both(tokenizers, lambda t: prompt_ids(t, "Hello")) == SAYS
    for tokenizer in tokenizers:
        with pytest.raises(NodeError, match="refuses this conversation: no system role"):
            chat_ids(tokenizer, [{"role": "system", "content": "Be brief."}])


@pytest.mark.slow
@pytest.mark.parametrize(("thinking", "ends"), [("strip", ""), ("off", "\n\n\n</think>\n\n")])
def test_it_may_open_a_thought(brought, thinking, ends):
    tokenizers = brought(CHAT.replace("assistant\n{%", "assistant\n<think>{%"))
    says = both(tokenizers, lambda t: prompt_ids(t, "Hello", thinking))
    assert says == SAYS + "<think>" + ends.removeprefix("\n")
    assert len({prompt_rule(t) for t in tokenizers}) == 1
    assert "thoughts in <think>" in prompt_rule(tokenizers[0])


@pytest.mark.slow
def test_it_is_told_the_fixed_date(brought):
    tokenizers = brought("{{ strftime_now('%Y-%m-%d') }}" + CHAT)
    assert both(tokenizers, lambda t: prompt_ids(t, "Hello")) == TEMPLATE_DATE + SAYS
    assert f"date {TEMPLATE_DATE}" in prompt_rule(tokenizers[0])
    assert len({prompt_rule(t) for t in tokenizers}) == 1


def test_a_template_in_a_folder_is_part_of_what_the_model_is(tmp_path):
    folder = make_model(tmp_path / "m")
    in_folder(folder, CHAT)
    before = locate(str(folder), None, download=False)[0].digest
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(TOOLS + ".")
    assert locate(str(folder), None, download=False)[0].digest != before


def test_answers_by_a_template_that_an_earlier_version_did_not_see_are_others(tmp_path):
    folder = make_model(tmp_path / "m")
    in_file("chat_template.json", folder, CHAT)
    assert mlx_lm_load(folder).chat_template is None
    assert prompt_rule(load_tokenizer(folder)) == "template of chat_template.json"


@pytest.mark.slow
@pytest.mark.parametrize("content", ["[]", "{", '{"chat_template": 7}', '{"other": 1}'])
def test_a_file_without_a_template_is_one_sentence_or_nothing(tmp_path, content):
    folder = make_model(tmp_path / "m")
    in_config(folder, None)
    (folder / "chat_template.json").write_text(content)
    spec = ModelSpec(name=str(folder))
    if "other" in content:
        assert not has_template(load_tokenizer(folder))
        return
    for load in (lambda: load_tokenizer(folder), lambda: Models().get(spec)):
        with pytest.raises(NodeError, match=r"chat_template\.json"):
            load()


@pytest.mark.slow
def test_a_template_that_takes_parts_of_a_message_is_given_them(brought):
    tokenizers = brought(PARTS)
    assert both(tokenizers, lambda t: prompt_ids(t, "Hello")) == "Helloend"
    said = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "you"}]
    assert both(tokenizers, lambda t: chat_ids(t, said)) == "Helloyouend"
    assert all("text in parts" in prompt_rule(t) for t in tokenizers)


@pytest.mark.slow
def test_a_template_that_leaves_out_what_is_said_is_refused_where_it_is_used(brought, place):
    tokenizers = brought("<|im_start|>{{ messages | length }}")
    for tokenizer in tokenizers:
        if place == "chat_template.json":  # it was never read, and is not now
            assert tokenizer.decode(list(prompt_ids(tokenizer, "Hello"))) == "Hello"
            continue
        assert text_ids(tokenizer, "Hello")
        with pytest.raises(NodeError, match="template leaves out what is said; check"):
            prompt_ids(tokenizer, "Hello")


def test_a_training_on_parts_is_another_than_the_one_on_empty_messages():
    data = a_spec().data
    assert replace(data, rendered="a").identity == data.identity
    parts = replace(data, rendered="a", template_parts=True)
    assert parts.identity == [*data.identity, None, "a"]
