"""The live page: what it shows, who may ask for it, and what its buttons do."""

import socket
import struct
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestrator.report.serving import server, site
from orchestrator.report.serving.losses import TAIL, logged, losses
from orchestrator.report.serving.server import LOOPBACK, POLICY, Server
from orchestrator.results import lock
from tests import wait_for
from tests.builders import a_result, launched
from tests.orchestrator.report.conftest import HOSTILE, SWEEP, running
from tests.orchestrator.report.reading import read

GET = "GET {home} HTTP/1.0\r\nHost: {host}\r\n\r\n"
POST = "POST {home}stop HTTP/1.0\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
POST += "Content-Length: 400\r\n\r\n"

# who may ask


def test_it_listens_on_loopback_and_no_two_servers_have_one_token(client, half):
    addresses = {
        c.laddr.ip for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == client.port
    }
    assert addresses == {LOOPBACK}
    with Server(client.server.site) as other:
        assert other.token != client.server.token
        assert len(other.token) >= 32


@pytest.mark.parametrize("path", ["/", "", "/page.css", "/{token}x/", "/{part}/", "/x/{token}/"])
def test_who_does_not_know_the_token_gets_nothing(client, path):
    token = client.server.token
    status, _, text = client.ask(path.format(token=token, part=token[:-1]) or "/")
    assert (status, text) == (404, "Not Found")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "", "[::1]"])
def test_a_name_that_leads_here_is_not_this_server(client, host):
    status, _, text = client.ask(client.home, Host=host.format(port=client.port))
    assert (status, text) == (421, "Misdirected Request")
    assert client.post("stop", "pid=", Host=host.format(port=client.port), **client.own) == 421
    assert client.done == []


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1", "https://127.0.0.1:{port}"]
)
def test_a_page_of_another_origin_cannot_post(client, origin):
    headers = {} if origin is None else {"Origin": origin.format(port=client.port)}
    for action in ("stop", "launch"):
        assert client.ask(client.home + action, "POST", "pid=", **headers)[0] == 403
    assert client.done == []


def test_every_answer_forbids_foreign_code_frames_and_caches(client, half):
    cell = half[1].all[2].cell_id
    for path in ("", "stop", "launch", f"log/{cell}", "page.css", "live.js", "nothing"):
        _, headers, _ = client.ask(client.home + path)
        assert headers["Content-Security-Policy"] == POLICY
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == (
            "no-store",
            "nosniff",
        )
    assert "'unsafe-inline'" not in POLICY
    assert "default-src 'none'" in POLICY


def test_a_body_of_any_length_is_refused_unread(client):
    assert client.post("stop", "x" * 5000) == 413
    assert client.post("stop", "pid=", **client.own, **{"Content-Length": "1e3"}) == 413
    assert client.post("nothing", "pid=") == 404


@pytest.mark.parametrize("sent", ["GET /", GET, POST])
def test_one_who_goes_away_writes_nothing_on_the_terminal(client, capfd, sent):
    words = {"home": client.home, "host": f"{LOOPBACK}:{client.port}"}
    for _ in range(3):
        gone = socket.create_connection((LOOPBACK, client.port))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.sendall(sent.format(**words).encode())
        time.sleep(0.05)
        gone.close()  # with a reset
    assert "1 of 5 cells scored" in client.get()
    wait_for(lambda: not any("process_request" in t.name for t in threading.enumerate()), "the end")
    assert capfd.readouterr().err == ""


def test_one_who_sends_byte_by_byte_is_cut_off(client, monkeypatch):
    monkeypatch.setattr(server, "TIMEOUT_S", 0.5)

    def ended() -> bool:
        try:
            slow.sendall(b"a")
            return slow.recv(1, socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    with socket.create_connection((LOOPBACK, client.port)) as slow:
        slow.sendall(b"GET / HTTP/1.0\r\nA: ")
        wait_for(ended, "the end", timeout_s=30)


def test_one_who_sends_nothing_keeps_nobody_waiting(client):
    with socket.create_connection((LOOPBACK, client.port)) as silent:
        silent.sendall(b"GET /")
        assert "1 of 5 cells scored" in client.get()


# what it shows


def test_a_cell_that_runs_is_shown_with_step_loss_and_host(client, half):
    store, expansion = half
    running(store, expansion.all[2])
    with lock.held(store.folder):
        page = read(client.get())
    text = page.text
    assert page.one("title").text == "1/5 s"
    assert "1 of 5 cells scored, 1 failed" in text
    assert "0:30 elapsed, about 1:00 left" in text
    assert "mac-7: 1" in text
    now = next(s for s in page.all("section") if s.attributes["id"] == "running-now-part")
    cells = [c.text.strip() for c in now.one("tbody").all("th", "td")]
    assert cells == [expansion.all[2].label, "train", "3", "9", "2.300", "mac-7"]
    assert now.one("tbody").one("a").attributes["href"] == f"log/{expansion.all[2].cell_id}"
    assert [n.attributes["class"] for n in page.all("polyline")] == ["runs"]


def test_a_sweep_of_several_hosts_says_which_cell_ran_where(client, half):
    store, expansion = half
    *_, runs, other = expansion.all
    there = a_result(other)
    there = replace(there, machine=replace(there.machine, host="mac-9", chip="Apple M4"))
    store.commit(there, attempts=3, ray=None)
    running(store, runs)
    with lock.held(store.folder):
        page = read(client.get())
        wait_for(lambda: "From 2 scored cells, at" in client.get(), "claims", 20)
    heads, *rows = rows_of(page, "Cells of s")
    hosts = {row[0]: row[heads.index("host")] for row in rows}
    assert [hosts[spec.label] for spec in (expansion.all[0], runs, other)] == [
        "here",
        "mac-7",
        "mac-9",
    ]
    report = read(client.get("report.html"))
    shown = [row[:4] for row in rows_of(report, "Hosts")[1:]]
    assert shown == [["here", "toy", "2", "3"], ["mac-9", "Apple M4", "1", "3"]]


def rows_of(page, caption: str) -> list[list[str]]:
    """Texts of the rows of the table with this caption, its heading first."""
    label = next(p.attributes["id"] for p in page.all("p") if p.text == caption)
    table = next(t for t in page.all("table") if t.attributes["aria-labelledby"] == label)
    return [[cell.text.strip() for cell in row.all("th", "td")] for row in table.all("tr")]


def test_every_text_of_others_is_only_text(client, half):
    home, log = client.get(), client.get(f"log/{half[1].all[2].cell_id}")
    for page in (read(home), read(log)):
        assert [s.attributes["src"][-7:] for s in page.all("script")] == ["live.js", "page.js"]
        assert not page.all("img", "iframe", "object")
        assert HOSTILE.replace("\x1b", "\\u001b") in page.text.replace("\ufffd", "\\u001b")


def test_the_claims_so_far_come_by_themselves_and_say_that_they_may_change(client):
    wait_for(lambda: "From 1 scored cell, at" in client.get(), "claims", 20)
    assert "The sweep is not complete; verdicts may still change." in read(client.get()).text
    report = client.get("report.html")
    assert "default-src 'none'" in report
    assert "report.html" in [a.attributes["href"] for a in read(client.get()).all("a")]


def test_what_is_older_than_the_counts_above_it_says_so(client, half):
    store, expansion = half
    wait_for(lambda: "From 1 scored cell, at" in client.get(), "claims", 20)
    again = "Results have come since; this part"
    assert again not in client.get()
    client.server.site.means = replace(client.server.site.means, pull=threading.Event().wait)
    store.commit(a_result(expansion.all[2]), attempts=1, ray=None)
    wait_for(lambda: "2 of 5 cells scored" in client.get(), "counts", 20)
    assert "From 1 scored cell, at" in client.get()
    assert f"{again} will be made again soon." in client.get()


def test_claims_say_that_they_are_being_made_again_while_that_runs(client, half, monkeypatch):
    monkeypatch.setattr(site, "OFTEN_S", 0.0)
    monkeypatch.setattr(site, "SHARE", 0)
    store, expansion = half
    wait_for(lambda: "From 1 scored cell, at" in client.get(), "claims", 20)
    begin, now = threading.Event(), site.analysed

    def slowly(*stores):
        begin.wait(20)
        return now(*stores)

    monkeypatch.setattr(site, "analysed", slowly)
    store.commit(a_result(expansion.all[2]), attempts=1, ray=None)
    text = "Results have come since; this part is being made again."
    wait_for(lambda: text in client.get(), "the analysis", 20)
    begin.set()
    wait_for(lambda: "From 2 scored cells, at" in client.get(), "claims", 20)
    wait_for(lambda: "Results have come since" not in client.get(), "claims", 20)


def test_nothing_is_so_far_when_every_cell_has_ended_and_was_analysed(client, half, monkeypatch):
    monkeypatch.setattr(site, "OFTEN_S", 0.0)
    monkeypatch.setattr(site, "SHARE", 0)
    store, expansion = half
    wait_for(lambda: "From 1 scored cell, at" in client.get(), "claims", 20)
    assert {"Claims so far", "Report so far"} <= texts(read(client.get()), "h2", "a")
    for cell in expansion.all[1:]:
        store.commit(a_result(cell), attempts=1, ray=None)
    wait_for(lambda: "From 5 scored cells, at" in client.get(), "claims", 20)
    wait_for(lambda: "so far" not in client.get(), "the last page", 5)
    assert {"Claims", "Report"} <= texts(read(client.get()), "h2", "a")


def texts(page, *tags) -> set[str]:
    return {node.text for node in page.all(*tags)}


def test_what_cannot_be_read_is_a_page_with_one_sentence(client, half):
    (half[0].folder / "sweep.yaml").write_bytes(b"\xff\xfe")
    state = next(p for p in read(client.get()).all("p") if p.attributes.get("id") == "state")
    assert "sweep.yaml: cannot be read" in state.text


@pytest.mark.parametrize(
    "path",
    [
        "log/",
        "log/../sweep.yaml",
        "log/../../../../etc/passwd",
        "log/%2e%2e%2fsweep.yaml",
        "log/0000000000000000",
        "../s/sweep.yaml",
        "sweep.yaml",
        "cells",
        "page.html.j2",
    ],
)
def test_no_path_leads_to_a_file(client, path):
    assert client.ask(client.home + path)[0] == 404


def test_a_log_that_is_a_link_is_not_followed(client, half, tmp_path):
    (tmp_path / "secret").write_text("step 1/2 loss 1.0000")
    (half[0].folder / f"logs/{half[1].all[3].cell_id}.log").symlink_to(tmp_path / "secret")
    assert "is a link" in client.get(f"log/{half[1].all[3].cell_id}")
    assert losses(half[0].folder, {half[1].all[3].cell_id: "a seed=1"}, ()) == []


def test_a_later_attempt_replaces_the_steps_that_it_repeats(tmp_path):
    path = tmp_path / "a.log"
    steps = [(1, "3.0000"), (2, "2.0000"), (3, "1.5000"), (2, "2.5000"), (3, "nan")]
    path.write_text("".join(f"h train step {n}/9 loss {v}\n" for n, v in steps))
    assert logged(path, 0, path.stat().st_size) == ((1, 3.0), (2, 2.5))
    path.write_text("x" * 3 * TAIL + " step 7/9 loss 1.0000\n")
    assert logged(path, 1, path.stat().st_size) == ((7, 1.0),)


# what it does


def test_stop_is_asked_first_and_meant_for_the_launch_that_was_shown(client, half):
    assert "There is nothing to do" in client.get("stop")
    with lock.held(half[0].folder):
        form = read(client.get("stop")).one("form")
        pid = form.one("input").attributes["value"]
        assert form.attributes["method"] == "post"
        assert f"Stop process {pid} on" in form.text
        assert "the same launch command later goes on where this one stopped" in form.text
        assert client.done == []
        assert client.post("stop", "pid=1") == 303
        assert client.done == []
        assert "nothing was done: another launch has begun" in client.get()
        assert client.post("stop", f"pid={pid}") == 303
        assert client.done == ["stop"]
        assert client.post("launch", f"pid={pid}") == 303
    assert client.post("stop", f"pid={pid}") == 303
    assert client.done == ["stop", "launch"]


def test_launching_again_says_what_will_run_and_needs_a_sweep_that_the_user_named(client):
    assert "The cells that run: 4, of which 1 failed before." in client.get("launch")
    assert client.post("launch", "pid=") == 303
    assert client.done == ["launch"]
    assert "begun" in client.get()
    shown = client.server.site
    shown.means = replace(shown.means, launch=None)
    assert "There is nothing to do" in client.get("launch")
    assert client.post("launch", "pid=") == 303
    assert client.done == ["launch"]


def test_a_failed_cell_is_retried_alone_where_a_launch_can_begin(client, half):
    store, expansion = half
    _, failed, other, *_ = (spec.cell_id for spec in expansion.all)
    door = f"retry/{failed}"
    assert [a.attributes["href"] for a in read(client.get(f"log/{failed}")).all("a")][-1] == (
        f"../{door}"
    )
    page = client.get(door)
    assert f"Run {expansion.all[1].label} again, and no other cell? Failed: " in read(page).text
    assert read(page).one("form").one("input").attributes["value"] == ""
    assert client.done == []
    with lock.held(store.folder):
        assert "There is nothing to do" in client.get(door)
        assert client.post(door, "pid=") == 303
    for wrong in (f"retry/{other}", f"retry/{expansion.all[0].cell_id}", "retry/0000000000000000"):
        assert "There is nothing to do" in client.get(wrong)
        assert client.post(wrong, "pid=") == 303
    for headers in ({}, {"Origin": "http://evil.example"}):
        assert client.ask(client.home + door, "POST", "pid=", **headers)[0] == 403
    assert client.post("retry/..", "pid=") == 404
    assert client.done == []
    assert client.post(door, "pid=") == 303
    assert client.done == [failed]
    client.server.site.means = replace(client.server.site.means, retry=None)
    assert "again …" not in client.get(f"log/{failed}")
    assert client.post(door, "pid=") == 303
    assert client.done == [failed]


def test_the_command_names_what_is_missing(rho_sweep, tmp_path):
    ran = rho_sweep("serve", "nowhere")
    assert (ran.code, "no results here" in ran.err) == (2, True)
    launched(tmp_path / "s", SWEEP)
    ran = rho_sweep("serve", "s", "--set", "name=b")
    assert (ran.code, "name its file with --sweep" in ran.err) == (2, True)
    with socket.create_server((LOOPBACK, 0)) as taken:
        ran = rho_sweep("serve", "s", "--port", taken.getsockname()[1])
    assert (ran.code, "choose another with --port" in ran.err) == (2, True)
    assert Path("s").is_dir()
