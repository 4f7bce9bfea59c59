"""How Ray is started: folders, environment, arguments."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cluster.on_host import keeper
from orchestrator.config.hosts import LABEL, Ports
from orchestrator.errors import UserError
from orchestrator.execution.engines.ray_settings import (
    SOCKET_PATH_LIMIT,
    NodePlan,
    Place,
    environment,
    label,
    start_arguments,
)
from tests import ROOT

PLACE = Place(Path("/Users/ada/.rho-sweep/c/studios"))
PLAN = NodePlan(
    host="one",
    address="10.0.0.1",
    gcs="10.0.0.2:6379",
    slots=2,
    memory_bytes=1 << 30,
    labels={"host": "one", "chip": "Apple-M2-Ultra"},
    ports=Ports(),
    tls=False,
)


@given(st.text())
def test_any_text_becomes_a_label_or_nothing(text):
    made = label(text)
    assert made == "" or re.fullmatch(LABEL, made)
    assert label(made) == made


def test_a_plan_survives_json():
    assert NodePlan.parse(json.loads(json.dumps(PLAN.as_json()))) == PLAN


KEYS = PLAN.as_json()
DAMAGED = {
    "missing": None,
    "empty": b"",
    "deep": b"[" * 100_000,
    "huge number": json.dumps(KEYS).replace("1073741824", "1" * 5_000).encode(),
    "not UTF-8": b"\xff\xfe",
    "a list": b"[]",
    **{f"no {k}": json.dumps({n: KEYS[n] for n in KEYS.keys() - {k}}).encode() for k in KEYS},
    **{f"{k} is 1.5": json.dumps(KEYS | {k: 1.5}).encode() for k in KEYS},
    "a port of none": json.dumps(KEYS | {"ports": {"gcs": 1 << 40}}).encode(),
    "another port": json.dumps(KEYS | {"ports": {"owned": 1}}).encode(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_plan_that_is_none_is_one_sentence_and_does_not_end_the_keeper(tmp_path, capsys, content):
    place = Place(tmp_path)
    if content is not None:
        place.plan.write_bytes(content)
    with pytest.raises(UserError, match=r"plan\.json: cannot be read \(.*\); rho-sweep") as error:
        NodePlan.of(place)
    assert len(str(error.value).splitlines()) == 1
    assert keeper.revive(place) is False
    assert "plan.json: cannot be read" in capsys.readouterr().out


@given(st.integers(1, 90))
def test_a_folder_is_refused_exactly_when_a_socket_would_not_fit(length):
    place = Place(Path("/" + "x" * length))
    socket = f"{place.temp}/session_2026-11-25_03-04-51_516541_1234567/sockets/plasma_store"
    assert (place.complaint() is None) == (len(socket) <= SOCKET_PATH_LIMIT)


@pytest.mark.parametrize("name", ["it's", "back\\slash", "\u00e9t\u00e9", "a\nb"])
def test_a_folder_in_which_ray_does_not_start_is_refused(name):
    assert "Ray starts in no path with" in str(Place(Path("/r") / name).complaint())


def test_an_ordinary_home_is_short_enough():
    assert PLACE.complaint() is None


def test_the_token_is_always_asked_for_and_never_an_argument():
    found = environment(PLACE, Ports(), tls=False)
    assert found["RAY_AUTH_MODE"] == "token"
    assert found["RAY_AUTH_TOKEN_PATH"] == str(PLACE.token)
    assert "RAY_USE_TLS" not in found
    assert environment(PLACE, Ports(), tls=True)["RAY_USE_TLS"] == "1"
    assert not any("token" in a for a in start_arguments(PLAN, PLACE, head=True, client=True))


def test_a_head_begins_and_a_node_joins():
    head = start_arguments(PLAN, PLACE, head=True, client=False)
    node = start_arguments(PLAN, PLACE, head=False, client=True)
    assert {"--head", "--port=6379", "--dashboard-host=127.0.0.1", "--num-gpus=0"} <= set(head)
    assert "--address=10.0.0.2:6379" in node
    assert "--head" not in node
    assert '--resources={"mlx": 2}' in node
    assert "--include-log-monitor=false" in {*head} & {*node}
    assert not any("client" in argument for argument in [*head, *node])


SETTINGS = {"RAY_max_grpc_message_size": "x", "RAY_LOG_MONITOR_MAX_OPEN_FILES": "x"}
ASKED = [("ray", "look"), ("driver", "launch")]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "action"), ASKED)
def test_settings_of_another_ray_on_a_host_reach_none_of_ours(tmp_path, module, action):
    (tmp_path / "c/studios").mkdir(parents=True)
    plan = PLAN.as_json() | {"gcs": "127.0.0.1:9"}
    (tmp_path / "c/studios/plan.json").write_text(json.dumps(plan))
    (tmp_path / "c/studios/token").write_text("0" * 64)
    request = {"root": str(tmp_path), "cluster": "studios", "sweep": "s", "text": "x"}
    found = tmp_path / "found"
    names = f"sorted(n for n in os.environ if n in {list(SETTINGS)})"
    (tmp_path / "sitecustomize.py").write_text(
        f"import atexit, os\natexit.register(lambda: open({str(found)!r}, 'w').write(str({names})))"
    )
    path = f"{tmp_path}:{ROOT}"
    done = subprocess.run(
        [sys.executable, "-m", f"orchestrator.cluster.on_host.{module}", action],
        env=os.environ | SETTINGS | {"PYTHONPATH": path},
        input=json.dumps(request),
        text=True,
        capture_output=True,
        timeout=200,
    )
    assert done.returncode in (0, 2), done.stderr
    assert found.read_text() == "[]"
