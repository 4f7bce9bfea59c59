"""Any text of a cluster file is refused with its line and field, or reaches the host as it is."""

import contextlib
import json
import shlex
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.cluster.remote_sweep import Far
from orchestrator.cluster.ssh import OPTIONS, Remote
from orchestrator.config.cluster_file import demand_cluster, load_cluster
from orchestrator.config.yaml_lines import dump_yaml
from orchestrator.errors import SweepError
from tests.orchestrator.cluster import sshd
from tests.orchestrator.cluster.hostile import Scene, a_scene, rho_sweep, some_results
from tests.orchestrator.cluster.test_hostile_head import COMMANDS
from tests.orchestrator.cluster.test_ssh import a_cluster

ODD = [
    "-oProxyCommand=x",
    "--",
    "a b",
    "$(touch pwned)",
    "`touch pwned`",
    "'",
    '"',
    "\\",
    "${HOME}",
]
ODD += ["%h", "~root", "!x", "*", ";x", "a\nb", "\0", "\x1b]0;x\x07", "\x7f", "\x85", "é", "\u202e"]
TEXTS = st.lists(st.sampled_from(ODD) | st.text(max_size=3), min_size=1, max_size=3).map("".join)
RECORD = """\
#!/bin/sh
printf '%s\\0' "$@" END >> {calls}
exit 1
"""


@pytest.fixture
def scene(tmp_path, monkeypatch) -> Scene:
    found = a_scene(tmp_path, monkeypatch)
    (found.root / "bin/ssh").write_text(RECORD.format(calls=found.root / "calls"))
    return found


def write(**fields: str) -> Path:
    """A cluster file of one host with these texts."""
    host = {"name": "mac1", "address": "10.0.0.1"}
    top = {"name": "studios", "python": "/usr/bin/python3"}
    for name, text in fields.items():
        (host if name == "address" else top)[name] = text
    path = Path("cluster.yaml")
    path.write_text(json.dumps(top | {"hosts": [host]}, indent=1))
    return path


def connections(scene: Scene) -> list[tuple[dict[str, str], list[str]]]:
    """For each call of ssh since the last look: its options, and the words of the host's shell."""
    file = scene.root / "calls"
    calls = file.read_bytes().decode().split("END\0")[:-1] if file.is_file() else []
    file.unlink(missing_ok=True)
    found = []
    for call in calls:
        *options, dashes, address, command = call.split("\0")[:-1]
        assert options[:3] == ["-T", "-a", "-x"]
        assert dashes == "--"
        pairs = dict(zip(options[3::2], options[4::2], strict=True))
        assert pairs.keys() <= {"-p", "-o", "-i", "-l"}
        given = {o for o in options if "=" in o and options[options.index(o) - 1] == "-o"}
        assert given <= {"IdentitiesOnly=yes", *(f"{k}={v}" for k, v in OPTIONS.items())}
        *shell, script = shlex.split(command)
        assert shell == ["exec", "/bin/sh", "-c"]
        found.append((pairs | {"address": address}, shlex.split(script)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("field", ["address", "user", "name", "python", "root", "key"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
def test_a_text_is_refused_with_its_field_or_arrives_as_it_is(scene, capsys, field, text):
    prefix = {"python": "/opt/", "root": "/srv/", "key": f"{scene.root}/"}.get(field, "")
    value = prefix + text
    if field == "key":
        with contextlib.suppress(OSError, ValueError):
            Path(value).write_text("")
    path = write(**{field: value})
    code = rho_sweep("cluster", "install", str(path))
    said, calls = capsys.readouterr().err, connections(scene)
    assert "Traceback" not in said
    if not calls:
        assert code == 2
        with pytest.raises(SweepError) as refused:
            load_cluster(path)
        assert {p.path.rpartition(".")[2] for p in refused.value.problems} == {field}
        assert all(p.line for p in refused.value.problems)
        return
    (options, first), (_, second) = calls
    assert options["address"] == (value if field == "address" else "10.0.0.1")
    assert {"user": options.get("-l"), "key": options.get("-i")}.get(field, value) == value
    assert field != "root" or first[-1].startswith(f"{value.rstrip('/')}/env/")
    assert field != "python" or second[2] == value
    assert not Path("pwned").exists()


@pytest.mark.parametrize("field", ["root", "key"])
@pytest.mark.parametrize("text", ["~no-such-user/x", "x" * 5000, "a\0b"])
def test_a_path_that_no_file_can_have_is_named_with_its_field(scene, capsys, field, text):
    code = rho_sweep("cluster", "status", str(write(**{field: text})))
    assert code == 2
    assert f"  {field} (line 4): " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c[:2]))
def test_every_command_keeps_odd_words_together(scene, command):
    pairs = Path(__file__).parents[3] / "tasks/starter/probes.jsonl"
    shutil.copy(pairs, "pairs.jsonl")
    some_results(scene.results)
    (scene.root / "my key'\"$(touch pwned)").write_text("")
    root = '/srv/a b$(touch pwned)`touch pwned`;touch pwned;"&'
    file = write(root=root, python="/opt/it's $(touch pwned)", key="../my key'\"$(touch pwned)")
    Far(load_cluster(file), scene.results).remember(file)
    rho_sweep(*command)
    found = connections(scene)
    assert found
    for options, words in found:
        assert options["address"] == "10.0.0.1"
        assert options["-i"].endswith("/my key'\"$(touch pwned)")
        assert "pwned" not in words
        assert any(w.startswith(f"{root}/") for w in words) or "/opt/it's $(touch pwned)" in words
    assert not Path("pwned").exists()


@pytest.mark.slow
@pytest.mark.skipif(sshd.SSHD is None or sshd.SSH is None, reason="needs openssh")
@pytest.mark.parametrize("name", ["-i", "a b", 'it\'s "q" $(x) `y` $HOME ~ \\ é'])
def test_a_key_of_any_allowed_name_logs_in(tmp_path, name):
    with sshd.reachable(tmp_path) as port:
        made = a_cluster(tmp_path, port)
        (tmp_path / "id").rename(tmp_path / name)
        top = {"name": "t", "python": "/p", "key": name, "user": made.user}
        host = {"name": "one", "address": "127.0.0.1", "ssh_port": port}
        (tmp_path / "c.yaml").write_text(dump_yaml(top | {"hosts": [host]}))
        cluster = demand_cluster(tmp_path / "c.yaml")
        assert Remote(cluster, cluster.hosts[0]).demand("echo yes", timeout_s=20) == b"yes\n"
