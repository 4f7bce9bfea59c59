"""A tokenizer or chat template of another person: it works, or plan and cell say one sentence."""

import json
import shutil
import signal

import pytest

from tasks.contract.cell import NodeError
from tasks.data import rendering
from tasks.data.rendering import (
    chat_ids,
    has_template,
    load_tokenizer,
    prompt_ids,
    prompt_rule,
    text_ids,
)
from tasks.model.model import Models
from tasks.sources.model_files import locate
from tests.tasks.test_foreign_models import change, write


def config(**values: object):
    return change("tokenizer_config.json", **values)


def without_file(*others):
    def apply(folder) -> None:
        (folder / "tokenizer.json").unlink()
        for other in others:
            other(folder)

    return apply


def of_kind(kind: dict, **fields: object):
    def apply(folder) -> None:
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text()) | fields
        path.write_text(json.dumps(content | {"model": content["model"] | kind}))

    return apply


def template(text: object):
    return config(chat_template=text)


NAMED = [{"name": "a", "template": "{{ messages[0].content }}"}]
WORKS = {
    "class of nobody": config(tokenizer_class="NoSuchTokenizer"),
    "class null": config(tokenizer_class=None),
    "class of sentencepiece": config(tokenizer_class="LlamaTokenizer"),
    "end token as a record": config(eos_token={"content": "<|im_end|>", "__type": "AddedToken"}),
    "no end token": config(eos_token=None),
    "end token that is in no vocabulary": config(eos_token="<nowhere>"),
    "length below zero": config(model_max_length=-1),
    "template with names": template(
        [*NAMED, {"name": "default", "template": "{{ messages[0].content }}"}]
    ),
    "template as a record": template({"default": "{{ messages[0].content }}"}),
    "empty template": template(""),
    "no template": template([]),
    "template that marks answers": template(
        "{{ messages[0].content }}{% generation %}a{% endgeneration %}"
    ),
}
BROKEN = {
    "class is a number": config(tokenizer_class=7),
    "sentencepiece": without_file(write("tokenizer.model", b"\0garbage")),
    "tiktoken": without_file(write("tiktoken.model", b"garbage")),
    "half of the vocabulary": without_file(
        config(tokenizer_class="GPT2Tokenizer"), write("vocab.json", b'{"a": 0}')
    ),
    "version of the future": of_kind({}, version="2.0"),
    "kind of the future": of_kind({"type": "Quantum"}),
    "empty vocabulary": of_kind({"vocab": {}, "merges": []}, added_tokens=[]),
    "vocabulary of marks alone": of_kind({"vocab": {}, "merges": []}),
    "words without an unknown": of_kind(
        {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"},
        added_tokens=[],
        pre_tokenizer=None,
    ),
    "end token is a number": config(eos_token=7),
    "end token is a list": config(eos_token=["<|im_end|>"]),
    "end token is another record": config(eos_token={"a": 1}),
    "added tokens are a list": config(added_tokens_decoder=[1]),
    "length is a word": config(model_max_length="x"),
    "side": config(padding_side="up"),
    "config is a list": write("tokenizer_config.json", b"[]"),
    "config is empty": write("tokenizer_config.json", b""),
    "config is deep": write("tokenizer_config.json", b"[" * 20_000),
    "config is UTF-16": write("tokenizer_config.json", '{"a": 1}'.encode("utf-16")),
    "config is huge": write("tokenizer_config.json", b'{"a": ' + b"1" * 5_000 + b"}"),
    "special tokens are a list": write("special_tokens_map.json", b"[]"),
    "generation is a list": write("generation_config.json", b"[]"),
    "template is a number": template(7),
    "template of nobody": template(NAMED),
    "named template is a number": template([{"name": "default", "template": 7}]),
    "template file is binary": write("chat_template.jinja", b"\xff\xfe"),
    "template is no template": template("{% for %}"),
    "template refuses": template("{{ raise_exception('no\n' * 10000) }}"),
    "template reads what is not there": template("{{ nothing.at.all }}"),
    "template writes nothing": template("{{ nothing }}"),
    "template looks beyond": template("{{ messages[7].content }}"),
    "template divides": template("{{ 1 / 0 }}"),
    "template adds": template("{{ 1 + 'a' }}"),
    "template includes": template("{% include 'x' %}"),
    "template extends": template("{% extends 'x' %}"),
    "template calls itself": template("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"),
    "template is deep": template("{{ " + "(" * 3_000 + "1" + ")" * 3_000 + " }}"),
    "template looks inside": template("{{ messages.__class__.__mro__ }}"),
    "template writes half a character": template("{{ '\ud800' }}"),
    "template counts far": template("{% for i in range(10 ** 9) %}{% endfor %}"),
    "template never ends": template(
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"
    ),
    "template writes 10 GB": template("{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}"),
    "template doubles": template(
        "{% set n = namespace(x='a') %}"
        "{% for i in range(26) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"
    ),
}


def use(tokenizer) -> None:
    """What a launch or a stress test does with a tokenizer."""
    prompt_rule(tokenizer)
    text_ids(tokenizer, "Hello there")
    prompt_ids(tokenizer, "Hello there")
    if has_template(tokenizer):
        said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        chat_ids(tokenizer, said)


def plan(folder) -> None:
    locate(str(folder), None, download=False)
    use(load_tokenizer(folder))


def cell(folder) -> None:
    use(Models().get(locate(str(folder), None, download=False)[0]).tokenizer)


@pytest.fixture
def folder(toy, tmp_path):
    return shutil.copytree(toy, tmp_path / "model")


@pytest.mark.slow
@pytest.mark.parametrize("by", [plan, cell])
def test_a_length_that_the_tokenizer_names_is_no_warning(folder, by, caplog):
    config(model_max_length=2)(folder)
    by(folder)
    assert "longer than" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("by", [plan, cell])
@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_used_is_one_sentence_of_plan_and_cell(folder, breaks, by, monkeypatch):
    monkeypatch.setattr(rendering, "LONGEST_S", 0.5)
    breaks(folder)
    with pytest.raises(NodeError) as error:
        by(folder)
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < len(str(folder)) + 400


@pytest.mark.slow
@pytest.mark.parametrize("by", [plan, cell])
@pytest.mark.parametrize("changes", WORKS.values(), ids=WORKS)
def test_what_can_be_used_works_for_plan_and_cell(folder, changes, by):
    changes(folder)
    by(folder)


def test_a_deadline_leaves_nothing_behind(folder):
    before = signal.getsignal(signal.SIGVTALRM)
    plan(folder)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert signal.getsignal(signal.SIGVTALRM) == before
