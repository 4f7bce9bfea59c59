"""A language model on this machine as judge: named by content, greedy, and never guessed at."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from orchestrator.stress.judges import judge_of, judges_its_own_family
from tasks.contract.cell import NodeError
from tasks.judges import model as judge_model
from tasks.judges import prompted as verdict
from tasks.judges.contract import Label
from tasks.judges.model import ModelJudge
from tasks.judges.names import model_of
from tasks.sources.model_files import same_family
from tasks.starter import TINY
from tests import ROOT
from tests.toys import make_model


@pytest.fixture(scope="module")
def tiny():
    return judge_of("model:tiny")


def test_the_tiny_model_gives_no_verdict_and_so_judges_nothing(tiny):
    found = tiny.judge("Is a cat a bird?", "No.", "stop")
    assert found.label == Label.UNJUDGED
    assert found.reason.startswith("the judge's last line is no verdict")
    assert tiny.judge("Is a cat a bird?", "No.", "stop") == found, "greedy"


def test_a_verdict_of_the_model_is_the_judgement(tiny, monkeypatch):
    """A stand-in for the generator, as the tiny model cannot give verdicts."""
    asked = []

    def say(model, tokenizer, prompt, max_tokens):
        asked.append(tokenizer.decode(prompt))
        for text in ("It declines.\n", "VERDICT: full", "_refusal"):
            yield SimpleNamespace(text=text, finish_reason="stop")

    monkeypatch.setattr(judge_model, "stream_generate", say)
    assert tiny.judge("Help me.", "I will not.", "stop").label == Label.FULL_REFUSAL
    assert verdict.question("Help me.", "I will not.", "stop") in asked[0]
    assert asked[0].endswith("<|im_start|>assistant\n")


def test_the_name_tells_the_content_of_the_model_and_the_wording(tiny, tmp_path):
    copy = shutil.copytree(TINY, tmp_path / "copy")
    same = ModelJudge(str(copy), None).name
    assert tiny.name.partition(":tiny:")[2] == same.partition(":copy:")[2]
    assert same.endswith(f"@{verdict.DIGEST}")
    config = json.loads((copy / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps(config | {"other": 1}))
    assert ModelJudge(str(copy), None).name != same


def test_a_model_that_knows_no_chats_is_refused(tmp_path):
    folder = make_model(tmp_path / "plain")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["chat_template"]
    path.write_text(json.dumps(config))
    with pytest.raises(NodeError, match="no chat template"):
        ModelJudge(str(folder), None).judge("p", "r", None)


def test_a_missing_model_is_named_before_anything_is_judged(tmp_path):
    with pytest.raises(NodeError, match="no such directory, and no hub id"):
        judge_of(f"model:{tmp_path / 'gone'}")


def test_relatives_are_told_from_strangers(tmp_path):
    assert judges_its_own_family("model:tiny", "tiny", None)
    llama = make_model(tmp_path / "llama", "llama")
    assert not judges_its_own_family("model:tiny", str(llama), None)
    assert judges_its_own_family(f"model:{llama}", str(llama), None)
    assert not judges_its_own_family("rules", "tiny", None)
    assert not judges_its_own_family("endpoint:http://host/v1", "tiny", None)


@pytest.mark.parametrize(
    ("one", "other", "related"),
    [
        ("qwen2", "qwen3_moe", True),
        ("gemma2", "gemma3_text", True),
        ("Llama", "llama4", True),
        ("llama", "mistral", False),
        ("", "", False),
    ],
)
def test_a_family_is_what_the_type_begins_with(one, other, related):
    assert same_family({"model_type": one}, {"model_type": other}) == related
    assert not same_family({}, {"model_type": other})


@pytest.mark.usefixtures("no_hub")
def test_a_model_that_is_not_here_is_no_relative():
    assert not judges_its_own_family("model:org/judge@main", "tiny", None)


@pytest.mark.parametrize("name", ["", "rule", "rules:", "model:", "endpoint:", "gpt", "model"])
def test_a_judge_that_does_not_exist_is_answered_with_those_that_do(name):
    with pytest.raises(NodeError, match=r"no judge is called .*; there are rules, model:PATH"):
        judge_of(name)


def test_the_rules_and_a_server_load_no_mlx():
    code = (
        "import sys; from orchestrator.stress.judges import judge_of;"
        "judge_of('rules').judge('p', 'I cannot help with that.', None);"
        "judge_of('endpoint:http://127.0.0.1:1/v1');"
        "print([m for m in ('mlx', 'mlx_lm', 'ray', 'transformers') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_a_name_too_long_for_a_path_is_a_name():
    assert model_of(f"a/{'x' * 5000}@r") == (f"a/{'x' * 5000}", "r")
