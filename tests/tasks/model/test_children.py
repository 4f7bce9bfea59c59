"""No child process gets a secret of the user's environment."""

import ast
import os
from pathlib import Path

import pytest

from tasks.model import children
from tests import ROOT

SECRETS = {
    *("RHO_SWEEP_JUDGE_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN"),
    *("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"),
    *("GITHUB_TOKEN", "WANDB_API_KEY", "AZURE_CLIENT_SECRET", "GITLAB_PAT", "RAY_AUTH_TOKEN"),
    *("PGPASSWORD", "MYSQL_PWD", "SSHPASS", "DB_PASS", "DB_PASSWD", "UV_INDEX_X_PASSWORD"),
    *("GOOGLE_APPLICATION_CREDENTIALS", "APIKEY", "SECRET_OF_MINE", "TOKEN_2", "my_passphrase"),
    *("DB_PW", "BASIC_AUTH", "NPM_CONFIG__AUTH", "DB_CREDS", "SLACK_WEBHOOK_URL"),
}
OTHERS = {
    *("PATH", "HOME", "PWD", "OLDPWD", "TMPDIR", "LANG", "XDG_STATE_HOME", "http_proxy"),
    *("SSH_AUTH_SOCK", "SSH_ASKPASS", "GIT_ASKPASS", "TOKENIZERS_PARALLELISM", "HF_TOKEN_PATH"),
    *("RAY_AUTH_TOKEN_PATH", "RAY_TLS_SERVER_KEY", "RAY_AUTH_MODE", "HF_HOME", "KEYBOARD"),
    *("OPENBLAS_NUM_THREADS", "PASSAGE", "PATTERN", "GIT_CONFIG_KEY_0", "COMPASS", "COLORTERM"),
}
THE_COMMAND_AGAIN = {"orchestrator/cli/launching.py", "orchestrator/cluster/on_host/driver.py"}


@pytest.fixture
def planted(monkeypatch) -> None:
    for name in SECRETS | OTHERS:
        monkeypatch.setenv(name, os.environ.get(name, f"value of {name}"))


def test_a_child_gets_no_secret_and_everything_else(planted):
    found = children.environment({"MY_TOKEN": "given on purpose"})
    assert not found.keys() & SECRETS
    assert found.keys() >= {*OTHERS, "MY_TOKEN"}


def test_secrets_are_withheld_for_a_block_and_then_there_again(planted):
    before = dict(os.environ)
    with children.withheld():
        assert not os.environ.keys() & SECRETS
        os.environ["HF_TOKEN"] = "set within"
    assert dict(os.environ) == before | {"HF_TOKEN": "set within"}


STARTS = ("subprocess.run", "subprocess.Popen", "children.ran")


def calls(path: Path) -> list[ast.Call]:
    """Every start of a process in a module."""
    found = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    return [c for c in found if ast.unparse(c.func) in STARTS]


@pytest.mark.slow
def test_every_child_of_the_program_gets_its_environment_from_one_place():
    seen = 0
    for path in (p for top in ("orchestrator", "tasks") for p in (ROOT / top).rglob("*.py")):
        for call in calls(path):
            seen += 1
            given = {k.arg: ast.unparse(k.value) for k in call.keywords}.get("env", "nothing")
            if ast.unparse(call.func) == "children.ran":  # it gives the environment itself
                assert given == "nothing", (path, call.lineno)
                continue
            source = "environment" if path == Path(children.__file__) else "children.environment"
            clean = f"{source}(" in given or given == "own"
            again = path.relative_to(ROOT).as_posix() in THE_COMMAND_AGAIN
            assert clean or (again and "os.environ" in given), (path, call.lineno, given)
    assert seen >= 12
