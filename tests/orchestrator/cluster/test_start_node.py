"""`ray start` on a host has one more try; a program stands in for Python there."""

import sys
from dataclasses import replace

import pytest

from orchestrator.cluster.on_host.ray import start_node
from orchestrator.config.hosts import Ports
from orchestrator.errors import UserError
from orchestrator.execution.engines.ray_settings import Place
from tests.orchestrator.execution.test_ray_settings import PLAN

FAILING = """#!/bin/sh
echo "$*" >> {calls}
[ $(wc -l < {calls}) -gt {failures} ] && exit 0
echo too slow
exit 1
"""


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_start_that_fails_once_is_tried_again(tmp_path, monkeypatch, failures):
    calls, program = tmp_path / "calls", tmp_path / "python"
    program.write_text(FAILING.format(calls=calls, failures=failures))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    ports = Ports(node_manager=38701, object_manager=38702, runtime_env_agent=38703)
    plan, place = replace(PLAN, ports=ports), Place(tmp_path)
    if failures < 2:
        start_node(place, plan, head=False)
    else:
        with pytest.raises(UserError, match=r"ray start failed \(too slow\); see .*start.log"):
            start_node(place, plan, head=False)
    lines = calls.read_text().splitlines()
    assert len(lines) == min(failures + 1, 2)
    assert all(line.startswith("-P -m ray.scripts.scripts start ") for line in lines)
