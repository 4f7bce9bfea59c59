"""What tests of the live page share: half a sweep, its server, and who asks it."""

import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestrator.report.serving.server import LOOPBACK, Server
from orchestrator.report.serving.site import Means, Site
from tests.builders import a_failure, a_result, launched

SWEEP = """
name: s
model: m
grid: {condition: [rho-guided], rho_weight: [0.1, 0.2], margin: [0.1], seed: [1, 2]}
"""
HOSTILE = "</pre><script>window.hit=1</script><img src=x onerror='window.hit=1'>\x1b[2J"


class Client:
    """A browser's requests to one server."""

    def __init__(self, server: Server) -> None:
        self.server, self.port, self.done = server, server.server_port, []
        self.home = f"/{server.token}/"
        self.own = {"Origin": f"http://{LOOPBACK}:{self.port}"}

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str):
        """(status, headers, text) of the answer; the path as it is, nothing is put in order."""
        there = http.client.HTTPConnection(LOOPBACK, self.port, timeout=20)
        there.request(method, path, body=body, headers=headers)
        answer = there.getresponse()
        return answer.status, answer.headers, answer.read().decode()

    def get(self, path: str = "") -> str:
        status, _, text = self.ask(self.home + path)
        assert status == 200, (path, status)
        return text

    def post(self, path: str, body: str, **headers: str) -> int:
        return self.ask(self.home + path, "POST", body, **(headers or self.own))[0]


@pytest.fixture
def half(tmp_path):
    """Five cells: one scored, one failed, one with a log, two open."""
    store, expansion = launched(tmp_path / "s", SWEEP)
    ok, failed, runs, *_ = expansion.all
    store.commit(a_result(ok), attempts=1, ray=None)
    store.commit_failure(a_failure(failed, HOSTILE), attempts=2, ray=None)
    (store.folder / "logs").mkdir(exist_ok=True)
    lines = [f"2026-11-26 10:00:0{n} h pid 7 train step {n}/9 loss 2.{n}000\n" for n in (1, 2, 3)]
    (store.folder / f"logs/{runs.cell_id}.log").write_text("".join(lines) + HOSTILE)
    return store, expansion


@pytest.fixture
def client(half) -> Iterator[Client]:
    means = Means(pull=lambda: None, stop=lambda: "", launch=None, retry=None)
    with Server(Site(half[0].folder, means)) as server:
        client = Client(server)
        site = server.site
        site.means = replace(
            means,
            stop=lambda: client.done.append("stop") or "asked",
            launch=lambda: client.done.append("launch") or "begun",
            retry=lambda cell: client.done.append(cell) or "begun",
        )
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield client
        server.shutdown()


def running(store, cell) -> None:
    row = {"cell_id": cell.cell_id, "label": cell.label, "host": "mac-7", "stage": "train"}
    row |= {"step": 3, "steps": 9, "loss": 2.3}
    live = {"running": [row], "at": None, "left_s": 60.0, "elapsed_s": 30.0}
    (store.folder / "live.json").write_text(json.dumps(live))
