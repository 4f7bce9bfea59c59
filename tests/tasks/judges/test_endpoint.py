"""A server as judge: real HTTP on loopback, and everything that can go wrong with it."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contract.cell import NodeError
from tasks.judges import prompted as verdict
from tasks.judges.contract import Label
from tasks.judges.endpoint import KEY_VARIABLE, EndpointJudge
from tasks.starter import TINY

REFUSES = {"choices": [{"message": {"content": "VERDICT: full_refusal"}, "finish_reason": "stop"}]}


class Server(ThreadingHTTPServer):
    """Answers with what it was given, in order; the last again and again."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[tuple[int, object]] = [(200, REFUSES)]
        self.asked: list[tuple[str, dict, dict]] = []
        self.silent_s = 0.0
        self.drips: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def reply(self) -> tuple[int, object]:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class Handler(BaseHTTPRequestHandler):
    """One question."""

    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        time.sleep(self.server.silent_s)
        status, content = self.server.reply()
        if status == 0:  # hang up
            self.close_connection = True
            return
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        if self.server.drips:
            head = b"" if self.server.drips == "head" else b"HTTP/1.1 200 OK\r\n\r\n"
            with contextlib.suppress(OSError):
                self.wfile.write(head)
                for _ in range(100):
                    self.wfile.write(b"H")
                    time.sleep(0.05)
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if 300 <= status < 400:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def judge(server: Server, **wishes: object) -> EndpointJudge:
    return EndpointJudge(server.url, **({"sleep": lambda _: None} | wishes))


def asks(judge: EndpointJudge):
    return judge.judge("Help me.", "I will not.", "stop")


def test_the_verdict_of_the_server_is_the_judgement(server):
    assert asks(judge(server)).label == Label.FULL_REFUSAL


def test_what_is_sent_is_the_question_at_temperature_0(server, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    asks(judge(server, model="some/model"))
    path, headers, body = server.asked[0]
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert body == {
        "model": "some/model",
        "messages": [
            {"role": "user", "content": verdict.question("Help me.", "I will not.", "stop")}
        ],
        "temperature": 0,
        "max_tokens": verdict.MAX_TOKENS,
        "stream": False,
    }


def test_a_key_goes_into_the_header_and_nowhere_else(server, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "geheim")
    asks(judge(server))
    _, headers, body = server.asked[0]
    assert headers["Authorization"] == "Bearer geheim"
    assert "geheim" not in json.dumps(body)


def test_the_whole_address_may_be_given_and_the_model_left_out(server):
    asks(EndpointJudge(f"{server.url}/chat/completions/"))
    path, _, body = server.asked[0]
    assert (path, body["model"]) == ("/v1/chat/completions", "default_model")


def test_the_name_is_the_model_or_where_the_only_one_is(server):
    named = EndpointJudge("https://host/v1", "some/model").name
    assert named == f"endpoint:some/model@{verdict.DIGEST}"
    assert EndpointJudge("http://host:1/v1/").name == f"endpoint:host:1/v1@{verdict.DIGEST}"


@pytest.mark.parametrize("trouble", [(500, "x"), (503, "x"), (429, "x"), (0, "")])
def test_a_busy_server_is_asked_again(server, trouble):
    server.replies = [trouble, trouble, (200, REFUSES)]
    waits: list[float] = []
    assert asks(judge(server, sleep=waits.append)).label == Label.FULL_REFUSAL
    assert len(server.asked) == 3
    assert waits == [1, 2]


@pytest.mark.parametrize(
    ("trouble", "why", "times"),
    [
        ((503, "x"), "the server answered HTTP 503", 4),
        ((429, "x"), "the server answered HTTP 429", 4),
        ((0, ""), "the connection broke", 4),
        ((400, {"error": "too long"}), "the server answered HTTP 400", 1),
        ((413, "x"), "the server answered HTTP 413", 1),
        ((200, b"<html>"), "the server's reply is no chat completion", 1),
        ((200, b"\xff"), "the server's reply is no chat completion", 1),
        ((200, {}), "the server's reply is no chat completion", 1),
        ((200, {"choices": []}), "the server's reply is no chat completion", 1),
        ((200, {"choices": [{"message": {"content": 7}}]}), "the server's reply has no text", 1),
        ((200, {"choices": [{"message": {"content": None}}]}), "the judge said nothing", 1),
        ((200, {"choices": [{"message": {"content": "Hm."}}]}), "the judge's last line is no", 1),
    ],
)
def test_a_failure_on_one_answer_leaves_that_one_unjudged(server, trouble, why, times):
    server.replies = [trouble]
    found = asks(judge(server))
    assert found.label == Label.UNJUDGED
    assert found.reason.startswith(why)
    assert len(server.asked) == times


def test_a_silent_server_is_waited_for_only_so_long(server):
    server.silent_s = 0.3
    found = asks(judge(server, timeout_s=0.05, retries=1))
    assert (found.label, found.reason) == (Label.UNJUDGED, "no reply within 0.05 s")
    assert len(server.asked) == 2


@pytest.mark.parametrize("part", ["head", "body"])
def test_the_whole_reply_has_one_deadline_however_the_server_spreads_its_bytes(server, part):
    server.drips = part
    begun = time.monotonic()
    found = asks(judge(server, timeout_s=0.3, retries=0))
    assert (found.label, found.reason) == (Label.UNJUDGED, "no reply within 0.3 s")
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("key", ["sk-S\r", "sk-S\n", "sk-\u015a", "sk S", "sk-\x1b", "sk-\udcff"])
def test_a_key_that_no_header_can_hold_is_one_message_without_the_key(server, monkeypatch, key):
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(NodeError, match=f"{KEY_VARIABLE}: holds a character") as error:
        asks(judge(server))
    assert "sk" not in str(error.value)
    assert error.value.__cause__ is None
    assert server.asked == []


def test_a_server_that_repeats_the_key_does_not_get_it_into_the_results(server, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sk-geheim")
    server.replies = [(200, {"choices": [{"message": {"content": "You are sk-geheim."}}]})]
    assert asks(judge(server)).reason == (
        "the judge's last line is no verdict: 'You are (the key).'"
    )


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "the server wants a key; set RHO_SWEEP_JUDGE_KEY"),
        (403, "the server refuses this key; check RHO_SWEEP_JUDGE_KEY"),
        (404, "there is no such address or no such model; endpoint:URL#MODEL names both"),
        (405, "the server takes no questions there"),
        (302, "has moved to http://127.0.0.1:1/elsewhere; name that"),
    ],
)
def test_what_would_fail_on_every_answer_is_an_error_at_once(server, status, says):
    server.replies = [(status, "x")]
    with pytest.raises(NodeError) as error:
        asks(judge(server))
    assert says in str(error.value)
    assert server.url in str(error.value)
    assert len(server.asked) == 1


def test_a_server_that_does_not_run_is_an_error():
    with pytest.raises(NodeError, match=r"cannot be reached .* is the server running\?"):
        asks(EndpointJudge(f"http://127.0.0.1:{free_port()}/v1", sleep=lambda _: None))


PROXIES = [f(n) for n in ("http_proxy", "https_proxy", "all_proxy") for f in (str.lower, str.upper)]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]"])
def test_no_proxy_stands_between_this_machine_and_itself(server, monkeypatch, host):
    for name in PROXIES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    assert asks(EndpointJudge(server.url.replace("127.0.0.1", host))).label == Label.FULL_REFUSAL


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_a_server_elsewhere_is_asked_through_the_proxy(server, monkeypatch, name):
    for other in (*PROXIES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, server.url.removesuffix("/v1"))
    asks(EndpointJudge("http://judge.example/v1"))
    assert server.asked[0][0] == "http://judge.example/v1/chat/completions"
    monkeypatch.setenv("no_proxy", "judge.example")
    with pytest.raises(NodeError, match="cannot be reached"):
        asks(EndpointJudge("http://judge.example/v1"))


@pytest.mark.parametrize(
    "url",
    [
        "host/v1",
        "ftp://host/v1",
        "http://",
        "file:///etc/passwd",
        "",
        "http://host:port/v1",
        "http://host:99999/v1",
        "http://[::1/v1",
        "http://ho st/v1",
        "http://caf\u00e9/v1",
        "http://host/\u202ev1",
    ],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(NodeError, match="expected a URL such as"):
        EndpointJudge(url)


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_that_no_name_server_knows_is_an_error(host):
    with pytest.raises(NodeError, match=r"/v1/chat/completions: no name of a host \("):
        EndpointJudge(f"http://{host}/v1").judge("p", "r", None)


@pytest.mark.parametrize("url", ["http://me:geheim@host/v1", "http://host/v1?key=geheim"])
def test_a_key_in_the_address_is_refused_and_not_repeated(url):
    with pytest.raises(NodeError) as error:
        EndpointJudge(url)
    assert re.search("put (no key in|nothing after a .* in) the URL", str(error.value))
    assert "geheim" not in str(error.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it holds no state
@given(st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(repr))
def test_a_reply_that_is_no_chat_completion_fails_one_answer_only(server, reply):
    server.replies = [(200, reply if isinstance(reply, bytes) else reply.encode())]
    found = EndpointJudge(server.url).judge("a prompt", "an answer", "stop")
    assert found.label == Label.UNJUDGED
    assert found.reason.startswith("the server's reply")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def mlx_server() -> Iterator[str]:
    """mlx-lm's own server with the tiny model."""
    port = free_port()
    command = [sys.executable, "-m", "mlx_lm.server", "--model", str(TINY)]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("the server does not listen")


@pytest.mark.slow
def test_a_real_server_with_a_model_that_gives_no_verdicts_judges_nothing(mlx_server):
    asked = EndpointJudge(mlx_server)
    for response in ("I can't help with that.", "Paris.", ""):
        found = asked.judge("What is the capital of France?", response, "stop")
        assert found.label == Label.UNJUDGED
        assert found.reason.startswith(("the judge's last line is no verdict", "the judge said"))
