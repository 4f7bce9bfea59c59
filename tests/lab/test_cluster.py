"""`rho-sweep cluster up`, `status` and `down` on three hosts over ssh."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.cluster.on_host import token_probe
from orchestrator.config.hosts import Ports
from tests.lab.conftest import write_cluster
from tests.lab.machines import ASK_S, Lab, Machine, wait_until

pytestmark = pytest.mark.cluster

SECOND = """\
ports: {gcs: 7379, node_manager: 7380, object_manager: 7381, runtime_env_agent: 7382,
  dashboard_agent_grpc: 7383, dashboard_agent_http: 7384, metrics_export: 7385, client: 7386,
  autoscaler_metrics: 7387, dashboard_metrics: 7388, dashboard: 9265,
  worker_low: 30000, worker_high: 30999}
"""
AGENTS = 2
ON_THE_HEAD = """\
import os
from pathlib import Path
from orchestrator.config.hosts import Ports
from orchestrator.execution.engines.ray_settings import Place, environment
place = Place(Path.home() / ".rho-sweep/c/studios")
os.environ.update(environment(place, Ports(), tls=(place.tls / "ca.crt").exists()))
import ray, socket
ray.init("10.77.0.1:6379", log_to_driver=False, logging_level="ERROR")
where = ray.remote(lambda: socket.gethostname())
asked = [where.options(num_cpus=0, resources={"mlx": 1}, label_selector=wish).remote()
         for wish in ({"host": "mac2"}, {"rack": "left"}, {"chip": "M2-Ultra"})]
hosts = ray.get(asked)
class Cell: ...
cell = ray.remote(Cell).options(
    num_cpus=0, resources={"mlx": 1}, label_selector={"host": "mac2"}).remote()
ray.get(cell.__ray_ready__.remote())
print(*hosts, flush=True)
input()
"""
WITHOUT_TOKEN = """\
import ray
try:
    ray.init("10.77.0.1:6379", logging_level="ERROR")
    print("in")
except ConnectionError:
    print("refused")
"""


def folder(machine: Machine, name: str = "studios") -> Path:
    return machine.folder / "root/.rho-sweep/c" / name


def token(lab: Lab) -> str:
    return (lab.laptop.folder / "root/.rho-sweep/clusters/studios/token").read_text()


def ray_processes(machine: Machine, name: str = "studios") -> set[str]:
    """Pid and command of what names the cluster's folder or has hidden its command line."""
    lines = machine.run("ps", "-eo", "pid=,args=").stdout.splitlines()
    return {
        line.strip()
        for line in lines
        if "ps -eo" not in line and (f".rho-sweep/c/{name}" in line or " ray::" in line)
    }


def pid_of(machine: Machine, program: str, name: str = "studios") -> str | None:
    found = [x for x in ray_processes(machine, name) if x.split()[1].endswith(f"/{program}")]
    return found[0].split()[0] if found else None


def status(lab: Lab, path: str) -> dict[str, dict[str, object]]:
    done = lab.laptop.rho_sweep("cluster", "status", path, "--json", check=False)
    return {row["host"]: row for row in json.loads(done.stdout)}


@contextmanager
def driver(lab: Lab) -> Iterator[list[str]]:
    """A driver on the head that uses a slot of mac2, with the hosts its three tasks ran on."""
    command = lab.hosts[0].command(sys.executable, "-c", ON_THE_HEAD)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().split()
        process.stdin.write("\n")


def test_up_again_changes_nothing(lab, steady):
    before = [ray_processes(host) for host in lab.hosts]
    secret = token(lab)
    done = lab.laptop.rho_sweep("cluster", "up", steady)
    assert done.stdout == "mac1: was up\nmac2: was up\nmac3: was up\n"
    assert [ray_processes(host) for host in lab.hosts] == before
    assert token(lab) == secret


def test_cells_find_their_hosts_by_label_and_slot(lab, steady):
    with driver(lab) as hosts:
        assert hosts == ["mac2", "mac3", "mac1"]


def test_status_shows_what_the_file_says_and_what_hosts_say(lab, steady):
    rows = status(lab, steady)
    assert [row["state"] for row in rows.values()] == ["up"] * 3
    assert [row["slots"] for row in rows.values()] == [1, 2, 1]
    assert [row["running"] for row in rows.values()] == [0, 0, 0]
    assert rows["mac1"]["chip"] == "M2 Ultra"
    assert rows["mac2"]["memory_bytes"] == 1 << 30
    assert rows["mac3"]["memory_bytes"] > 1 << 30
    table = lab.laptop.rho_sweep("cluster", "status", steady).stdout
    assert re.search(r"mac1 \(head\) +10.77.0.1 +up +M2 Ultra +0 +1 +2 GB", table)


def test_a_slot_that_is_used_counts_as_running(lab, steady):
    with driver(lab):
        assert [row["running"] for row in status(lab, steady).values()] == [0, 1, 0]


def test_secrets_are_private_and_the_same_everywhere(lab, steady):
    secret = token(lab)
    assert len(secret) == 64
    places = [folder(host) / "token" for host in lab.hosts]
    places.append(lab.laptop.folder / "root/.rho-sweep/clusters/studios/token")
    for place in places:
        assert place.read_text() == secret
        assert place.stat().st_mode & 0o777 == 0o600
        assert place.parent.stat().st_mode & 0o777 == 0o700
    for machine in lab.machines.values():
        assert not any(secret in line for line in machine.processes())


def test_a_raylet_may_open_many_files(lab, steady):
    host = lab.hosts[1]
    limits = host.run("cat", f"/proc/{pid_of(host, 'raylet')}/limits").stdout
    soft, hard = re.search(r"Max open files +(\d+) +(\d+)", limits).groups()
    assert int(soft) == min(65536, int(hard))


def test_a_killed_raylet_is_started_again_by_its_keeper(lab, up):
    host = lab.hosts[1]
    old = pid_of(host, "raylet")
    host.run("kill", "-9", str(old))
    wait_until("a new raylet", lambda: pid_of(host, "raylet") not in (None, old))
    wait_until("mac2 is up", lambda: status(lab, up)["mac2"]["state"] == "up", 30, ASK_S)


def test_up_repairs_nodes_and_keeps_the_token(lab, up):
    secret, head = token(lab), pid_of(lab.hosts[0], "gcs_server")
    for host in lab.hosts[:2]:
        host.run("sh", "-c", "kill -9 $(pgrep -f '[o]n_host.keeper') $(pgrep -x raylet)")
    done = lab.laptop.rho_sweep("cluster", "up", up, timeout_s=120)
    assert done.stdout == "mac1: started\nmac2: started\nmac3: was up\n"
    assert token(lab) == secret
    assert pid_of(lab.hosts[0], "gcs_server") == head


def test_without_its_head_the_cluster_begins_anew(lab, up):
    secret = token(lab)
    lab.hosts[0].run("kill", "-9", str(pid_of(lab.hosts[0], "gcs_server")))
    done = lab.laptop.rho_sweep("cluster", "up", up, timeout_s=200)
    assert done.stdout == "mac1: started\nmac2: started\nmac3: started\n"
    assert token(lab) != secret
    assert [row["state"] for row in status(lab, up).values()] == ["up"] * 3


def test_a_host_that_is_off_is_named_and_the_others_go_on(lab, up):
    lab.cut("mac3")
    try:
        row = status(lab, up)["mac3"]
        assert row["state"] == "unreachable"
        assert "is it on, awake and on this network?" in row["message"]
        done = lab.laptop.rho_sweep("cluster", "up", up, check=False, timeout_s=120)
        assert done.returncode == 1
        assert done.stdout == "mac1: was up\nmac2: was up\n"
        assert "error: mac3 (10.77.0.3): ssh:" in done.stderr
    finally:
        lab.mend("mac3")
    wait_until("mac3 is back", lambda: status(lab, up)["mac3"]["state"] == "up", 90, ASK_S)


def probe(lab: Lab, port: int, method: str, secret: str | None) -> str:
    words = [] if secret is None else [secret]
    script = token_probe.__file__
    done = lab.laptop.run(
        "python3", script, "10.77.0.2" if port > 20000 else "10.77.0.1", str(port), method, *words
    )
    return done.stdout.strip()


def listening(machine: Machine) -> dict[int, set[str]]:
    """Port -> addresses, of everything that listens but sshd."""
    found: dict[int, set[str]] = {}
    for line in machine.run("ss", "-tlnH").stdout.splitlines():
        address, _, port = line.split()[3].rpartition(":")
        if port != "22":
            found.setdefault(int(port), set()).add(address)
    return found


def test_hosts_listen_on_documented_ports_only(lab, up):
    ports = Ports()
    single = {getattr(ports, name) for name in Ports.model_fields if "worker" not in name}
    workers = range(ports.worker_low, ports.worker_high + 1)
    with driver(lab):
        for host in lab.hosts:
            found = listening(host)
            assert {p for p in found if p not in workers} <= single
            assert found.get(ports.dashboard, {"127.0.0.1"}) == {"127.0.0.1"}
            scanned = lab.laptop.python(SCAN.format(address=host.address)).stdout.split()
            assert {int(p) for p in scanned} - {22} <= found.keys()


SCAN = """\
import socket
for port in range(1, 65536):
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("{address}", port)) == 0:
            print(port)
"""


def test_no_port_answers_without_the_token(lab, up):
    secret, ports = token(lab), Ports()
    methods = {
        ports.gcs: "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
        ports.node_manager: "/ray.rpc.NodeManagerService/GetNodeStats",
        ports.object_manager: "/ray.rpc.ObjectManagerService/Pull",
    }
    with driver(lab):
        worker = next(p for p in listening(lab.hosts[1]) if p >= ports.worker_low)
        methods[worker] = "/ray.rpc.CoreWorkerService/GetCoreWorkerStats"
        for port, method in methods.items():
            assert probe(lab, port, method, secret) == "data", method
            assert probe(lab, port, method, None) == "no data", method
            assert probe(lab, port, method, "0" * 64) == "no data", method
    asked = lab.laptop.python(HTTP.format(port=ports.runtime_env_agent)).stdout
    assert asked.strip() == "401"


HTTP = """\
import urllib.error, urllib.request
try:
    urllib.request.urlopen("http://10.77.0.1:{port}/get_or_create_runtime_env", b"", 10)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_without_the_token_nobody_joins_connects_or_submits(lab, up):
    join = ["-m", "ray.scripts.scripts", "start", "--address=10.77.0.1:6379"]
    open_ = {"RAY_AUTH_MODE": "disabled"}
    joining = subprocess.Popen(
        lab.laptop.command(sys.executable, *join, **open_),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    driving = lab.laptop.run(sys.executable, "-c", WITHOUT_TOKEN, timeout_s=120, **open_)
    assert driving.stdout == "refused\n"
    assert joining.wait(60) != 0
    for port in (Ports().dashboard, Ports().client):
        assert lab.laptop.python(CONNECT.format(port=port)).stdout.strip() == "closed"
    assert len(status(lab, up)) == 3


CONNECT = """\
import socket
try:
    socket.create_connection(("10.77.0.1", {port}), 5)
    print("open")
except OSError:
    print("closed")
"""


def test_down_leaves_nothing_of_ours_and_everything_of_others(lab, up):
    second = write_cluster(lab, "second", SECOND)
    lab.laptop.rho_sweep("cluster", "up", second, timeout_s=200)
    others = [ray_processes(host, "second") for host in lab.hosts]
    watcher = lab.hosts[1].command("tail", "-f", ".rho-sweep/c/studios/start.log")
    with subprocess.Popen(watcher, stdout=subprocess.DEVNULL) as watching:
        done = lab.laptop.rho_sweep("cluster", "down", up, timeout_s=120)
        assert watching.poll() is None
        watching.terminate()
    assert re.match(r"mac1: stopped .*gcs_server.*keeper.*raylet", done.stdout)
    for host, other in zip(lab.hosts, others, strict=True):
        left = {x for x in ray_processes(host) if " ray::" not in x and "tail" not in x}
        assert left == set()
        named = {x for x in other if " ray::" not in x}
        assert named <= ray_processes(host, "second")
        assert not (folder(host) / "token").exists()
        assert list(folder(host).glob("ray/session_2*/logs/raylet.out"))
        assert len([x for x in ray_processes(host) if " ray::" in x]) == AGENTS
    assert [row["state"] for row in status(lab, second).values()] == ["up"] * 3
    again = lab.laptop.rho_sweep("cluster", "down", up)
    assert again.stdout == "mac1: nothing ran\nmac2: nothing ran\nmac3: nothing ran\n"


def test_a_taken_port_is_named(lab):
    lab.laptop.rho_sweep("cluster", "down", write_cluster(lab), timeout_s=120)
    second = write_cluster(lab, "second", SECOND)
    lab.laptop.rho_sweep("cluster", "up", second, timeout_s=200)
    clash = write_cluster(lab, "clash", "ports: {gcs: 7379}\n")
    done = lab.laptop.rho_sweep("cluster", "up", clash, check=False, timeout_s=120)
    assert done.returncode == 2
    assert "mac1 (10.77.0.1): ports in use by something else: gcs 7379" in done.stderr
    assert [row["state"] for row in status(lab, second).values()] == ["up"] * 3


def test_with_tls_a_client_without_certificates_gets_nothing(lab):
    path = write_cluster(lab, more="tls: true\n")
    lab.laptop.rho_sweep("cluster", "down", path, timeout_s=120)
    lab.laptop.rho_sweep("cluster", "up", path, timeout_s=200)
    with driver(lab) as hosts:
        assert hosts == ["mac2", "mac3", "mac1"]
    method = "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
    assert probe(lab, Ports().gcs, method, token(lab)) == "closed"
    key = folder(lab.hosts[1]) / "tls/node.key"
    assert key.stat().st_mode & 0o777 == 0o600
    host = lab.hosts[1]
    host.run("sh", "-c", "kill -9 $(pgrep -f '[o]n_host.keeper') $(pgrep -x raylet)")
    lab.laptop.rho_sweep("cluster", "up", path, timeout_s=120)
    assert status(lab, path)["mac2"]["state"] == "up"
    lab.laptop.rho_sweep("cluster", "down", path, timeout_s=120)
