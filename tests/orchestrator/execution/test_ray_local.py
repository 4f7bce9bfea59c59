"""A Ray that a launch starts on this machine: loopback, token, private folder, nothing left."""

import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGSTOP

import psutil
import pytest

from orchestrator.errors import UserError
from orchestrator.execution.engines import ray_local
from orchestrator.execution.engines.ray_settings import SOCKET_NAME, SOCKET_PATH_LIMIT
from tests import ROOT

ASK = """\
import sys
from orchestrator.cluster.on_host.token_probe import ask
token = None if sys.argv[2] == "none" else open(sys.argv[2]).read()
print(ask("127.0.0.1", int(sys.argv[1]), "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo", token))
"""
LAUNCH = """\
import os, signal, sys
from orchestrator.execution.engines import ray_local
from orchestrator.execution.engines.ray_engine import RayEngine
engine = RayEngine(recycle_after=1, slots=1)
print(engine._folder.path, [h.slots for h in engine.hosts()], flush=True)
import ray
def niceness():
    return os.nice(0)
print(ray.get(ray.remote(niceness).options(num_cpus=0).remote()) - os.nice(0), flush=True)
how, shut = sys.stdin.readline(), ray.shutdown
if how == "killed\\n":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "interrupted\\n":
    ray.shutdown = lambda: (os.kill(os.getpid(), signal.SIGINT), shut())
engine.close()
print("closed", *(name for name in os.environ if name.startswith("RAY_AUTH")))
"""


UNDER_UV = """\
from ray._private.runtime_env.uv_runtime_env_hook import _get_uv_run_cmdline
assert _get_uv_run_cmdline()
"""


KEY = "sk-planted-in-the-environment"


class Launch:
    """A real Ray in a process of its own; `folder` is its private one."""

    def __init__(self, **options):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", LAUNCH], **pipes, **options)
        words = self.process.stdout.readline().split()
        self.folder = Path(words[0])
        self.nicer = int(self.process.stdout.readline())

    def end(self, how: str = "closed") -> int:
        self.process.communicate(f"{how}\n", timeout=120)
        return self.process.returncode


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """In the worst surroundings: few files, a long TMPDIR, dead proxies, a dead Ray, `uv run`."""
    long = tmp_path_factory.mktemp("a-long-folder-for-temporary-files-of-a-user-with-a-long-name")
    proxy = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY", "grpc_proxy"), proxy)
    surroundings = {"TMPDIR": str(long), "RAY_ADDRESS": "10.0.0.9:6379"}
    surroundings |= {
        "RHO_SWEEP_JUDGE_KEY": KEY,
        "RAY_RUNTIME_ENV_HOOK": "no.such.hook",
        "RAY_TMPDIR": str(long),
    }
    found = Launch(
        env=os.environ | proxies | surroundings,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024)),
    )
    yield found
    assert found.end() == 0
    assert not found.folder.exists()


def listening(launch: Launch) -> list[tuple[str, int]]:
    process = psutil.Process(launch.process.pid)
    return [
        (c.laddr.ip.removeprefix("::ffff:"), c.laddr.port)
        for p in (process, *process.children(recursive=True))
        for c in p.net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    ]


@pytest.mark.slow
def test_its_workers_are_no_nicer_than_the_launch(launch):
    assert launch.nicer == 0


@pytest.mark.slow
def test_it_runs_no_process_that_a_launch_does_not_need(launch):
    children = psutil.Process(launch.process.pid).children(recursive=True)
    said = " ".join(Path(word).name for p in children for word in p.cmdline()[:4])
    assert "raylet" in said
    assert not [name for name in ("dashboard.py", "monitor.py", "log_monitor.py") if name in said]


@pytest.mark.slow
def test_it_listens_on_loopback_only(launch):
    found = listening(launch)
    assert len(found) >= 4
    assert {ip for ip, _ in found} == {"127.0.0.1"}


@pytest.mark.slow
def test_without_the_token_it_gives_no_data(launch):
    answers = {}
    for token in (str(launch.folder / "token"), "none", os.devnull):
        said = []
        for _, port in listening(launch):
            done = subprocess.run(
                [sys.executable, "-c", ASK, str(port), token], capture_output=True, text=True
            )
            said.append(done.stdout.strip())
        answers[token] = said
    right, *wrong = answers.values()
    assert "data" in right
    assert all("data" not in said for said in wrong)


@pytest.mark.slow
def test_its_folder_is_closed_and_no_secret_is_in_its_processes(launch):
    assert stat.S_IMODE(launch.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((launch.folder / "token").stat().st_mode) == 0o600
    assert len(str(launch.folder / "r") + SOCKET_NAME) <= SOCKET_PATH_LIMIT
    secret = (launch.folder / "token").read_text()
    for p in psutil.Process(launch.process.pid).children(recursive=True):
        for planted in (secret, KEY):
            assert planted not in " ".join(p.cmdline())
            assert planted not in "".join(p.environ().values())


@pytest.mark.slow
def test_a_launch_interrupted_as_it_ends_its_ray_leaves_nothing_either():
    late = Launch()
    processes = psutil.Process(late.process.pid).children(recursive=True)
    assert late.end("interrupted") == -SIGINT
    assert not late.folder.exists()
    assert psutil.wait_procs(processes, timeout=20)[1] == []


@pytest.mark.slow
def test_what_a_killed_launch_left_the_next_one_removes(launch):
    killed = Launch()
    assert killed.folder.exists()
    killed.end("killed")
    ray_local._remove_abandoned(killed.folder.parent)
    assert not killed.folder.exists()
    assert launch.folder.exists()


@pytest.mark.slow
def test_under_uv_run_the_working_folder_is_not_uploaded(tmp_path):
    (tmp_path / "uv").symlink_to(Path(sys.executable).resolve())
    (tmp_path / "run").write_text("import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 600 << 20)  # Ray refuses to upload more than 512 MiB
    ran = subprocess.run(
        [str(tmp_path / "uv"), "run", sys.executable, "-c", UNDER_UV + LAUNCH],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input="closed\n",
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ran.stdout.endswith("closed\n"), ran.stderr


def test_ray_that_does_not_start_is_tried_again_then_names_the_log(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    tried = []

    def init(**options):
        tried.append(options["_temp_dir"])
        raise Exception("The current node timed out during startup.\nmore")

    monkeypatch.setattr(ray_local.ray, "init", init)
    with pytest.raises(UserError, match=r"timed out during startup.\); see (.*); launch") as found:
        ray_local.start(1)
    assert len(tried) == 2
    assert tried[1] in str(found.value)
    folder = Path(tried[1]).parent
    assert folder.is_dir()
    ray_local._remove_abandoned(folder.parent)
    assert not folder.exists()
    assert not Path(tried[0]).parent.exists()


def test_an_interrupted_start_leaves_nothing(monkeypatch):
    tried = []

    def init(**options):
        tried.append(Path(options["_temp_dir"]).parent)
        raise KeyboardInterrupt

    monkeypatch.setattr(ray_local.ray, "init", init)
    with pytest.raises(KeyboardInterrupt):
        ray_local.start(1)
    assert not tried[0].exists()


def test_no_folder_of_another_is_removed(tmp_path):
    for name in ("rho-ray-1", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "other/token").touch()
    (tmp_path / "rho-ray-link").symlink_to(tmp_path / "other")
    (tmp_path / "rho-ray-old/r").mkdir(parents=True)
    os.utime(tmp_path / "rho-ray-old", (0, 0))
    ray_local._remove_abandoned(tmp_path)
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["token"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "rho-ray-1", "rho-ray-link"]
    assert (tmp_path / "other/token").exists()


@pytest.mark.parametrize("name", ["it's", "back\\slash", "\u00e9"])
def test_a_folder_in_which_ray_does_not_start_is_not_used(monkeypatch, tmp_path, name):
    monkeypatch.setattr(tempfile, "tempdir", f"/tmp/{name}")
    assert ray_local._base() == Path("/tmp")


def test_sockets_that_would_be_too_long_go_to_tmp(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 60)))
    assert ray_local._base() == Path("/tmp")
    with socket.socket(socket.AF_UNIX) as probe:
        folder = ray_local.PrivateFolder()
        folder.ray.mkdir()
        path = f"{folder.ray}{SOCKET_NAME}"
        Path(path).parent.mkdir(parents=True)
        probe.bind(path)
        folder.remove()
    assert not folder.path.exists()


SWEEP = """\
import os, signal, sys, threading, time
from contextlib import closing
from pathlib import Path
import psutil
from orchestrator.errors import UserError
from orchestrator.execution.engines import ray_engine
from orchestrator.execution.run import Run, Work
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.scheduling.hosts import Job
from orchestrator.execution.scheduling.schedule import Rules
from orchestrator.results.store import Store
from tests.builders import a_spec
from tests.orchestrator.execution.sleeper import Sleeper

ray_engine.STARTS = int(sys.argv[2])
specs = {s.cell_id: s for s in (a_spec(seed=i) for i in range(3))}
work = Work(specs=specs, jobs=tuple(Job(c, 1.0, 1) for c in specs), rules=Rules())
store = Store(Path(sys.argv[1]))
store.create()

def harm():
    while not store.done():
        time.sleep(0.1)
    for child in psutil.Process().children(recursive=True):
        if child.name() == sys.argv[3]:
            child.send_signal(int(sys.argv[4]))

try:
    with closing(ray_engine.RayEngine(recycle_after=1, slots=1, node=Sleeper)) as engine:
        threading.Thread(target=harm).start()
        display = PlainDisplay()
        display.begin(total=3, done=0, linked=0)
        Run(store, engine, display, work).to_the_end()
except UserError as error:
    print(error)
print(len(store.done()), "done")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("starts", "victim", "says"),
    [
        (2, "raylet", "3 done"),
        (2, "gcs_server", "3 done"),
        (1, "raylet", "Ray on this machine died 1 times"),
    ],
)
def test_a_ray_of_this_machine_that_dies_is_started_again_so_many_times(
    tmp_path, starts, victim, says
):
    """Nobody else would start it, and the cells would wait for their only host for ever."""
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, tmp_path / "s", str(starts), victim, str(SIGKILL.value)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert says in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


SOON = """\
from orchestrator.execution.engines import ray_local
told = ray_local.common_environment
checks = {"period_ms": "1000", "timeout_ms": "2000", "failure_threshold": "5"}
checks = {f"RAY_health_check_{name}": value for name, value in checks.items()}
ray_local.common_environment = lambda token: told(token) | checks
"""
"""As on a cluster: Ray's list of nodes says after seconds, not a minute and a half, who is dead."""


@pytest.mark.slow
def test_a_raylet_that_is_stopped_is_as_good_as_dead(tmp_path):
    """No call into Ray may hang on it."""
    done = subprocess.run(
        [sys.executable, "-c", SOON + SWEEP, tmp_path / "s", "2", "raylet", str(SIGSTOP.value)],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert "3 done" in done.stdout, done.stderr


NOISE = """\
import sys
from contextlib import closing
from pathlib import Path
from orchestrator.execution.engines.ray_engine import RayEngine
from orchestrator.execution.run import Run, Work
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.scheduling.hosts import Job
from orchestrator.execution.scheduling.schedule import Rules
from orchestrator.results.store import Store
from orchestrator.visible import door
from tests.builders import a_spec
from tests.orchestrator.execution.sleeper import Noisy

specs = {s.cell_id: s for s in (a_spec(seed=i) for i in range(3))}
work = Work(specs=specs, jobs=tuple(Job(c, 1.0, 1) for c in specs), rules=Rules(retries=0))
store = Store(Path(sys.argv[1]))
store.create()
with door(), closing(RayEngine(recycle_after=1, slots=1, node=Noisy)) as engine:
    display = PlainDisplay()
    display.begin(total=3, done=0, linked=0)
    Run(store, engine, display, work).to_the_end()
"""


@pytest.mark.slow
def test_what_processes_of_ray_write_reaches_no_terminal(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NOISE, tmp_path / "s"], capture_output=True, text=True, timeout=200
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert [c for c in said if c != "\n" and not c.isprintable()] == []
    owned = [line for line in said.splitlines() if "owned by ray" in line]
    assert len(owned) == 1, said  # the message of the cell that raised it
    assert r"RuntimeError: \u001b]0;owned by ray\u0007\u009b2J\u202e" in owned[0]
    assert len(said.splitlines()) < 12, said
