"""cluster.yaml names the hosts that run cells."""

from pathlib import Path

import pytest

from orchestrator.config.cluster_file import Host, Ports, demand_cluster, load_cluster
from orchestrator.errors import SweepError, UserError
from tests import ROOT

SMALL = """\
name: studios
python: /opt/homebrew/bin/python3.11
hosts:
  - {name: one, address: 10.0.0.1}
  - {name: two, address: two.local}
"""
FULL = """\
name: studios
user: ada
key: id
python: /opt/python
root: /srv/sweeps/
head: two
tls: true
ports: {gcs: 7000, worker_low: 30000, worker_high: 30999}
hosts:
  - {name: one, address: 10.0.0.1, slots: 2, memory: 192 GB, chip: M2 Ultra}
  - {name: two, address: 10.0.0.2, ssh_port: 2222, memory: 1.5 TB, labels: {rack: left}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def test_the_shipped_file_means_this_machine():
    path = ROOT / "cluster.yaml"
    assert load_cluster(path) is None
    with pytest.raises(UserError, match="no hosts to log in to"):
        demand_cluster(path)


def test_what_a_small_file_leaves_out_has_a_default(tmp_path):
    cluster = demand_cluster(write(tmp_path, SMALL))
    assert (cluster.user, cluster.key, cluster.tls) == (None, None, False)
    assert (cluster.root, cluster.head, cluster.ports) == ("~/.rho-sweep", "one", Ports())
    assert cluster.hosts[1] == Host(
        name="two",
        address="two.local",
        ssh_port=22,
        slots=1,
        chip=None,
        labels={},
    )


def test_a_full_file_is_read_as_written(tmp_path):
    (tmp_path / "id").write_text("")
    cluster = demand_cluster(write(tmp_path, FULL))
    assert (cluster.user, cluster.key, cluster.tls) == ("ada", tmp_path / "id", True)
    assert (cluster.root, cluster.head) == ("/srv/sweeps", "two")
    assert cluster.gcs_address == "10.0.0.2:7000"
    assert cluster.ports.worker_high == 30999
    assert [h.memory_bytes for h in cluster.hosts] == [192 * 2**30, 3 * 2**39]
    assert cluster.hosts[0].chip == "M2 Ultra"
    assert cluster.hosts[1].labels == {"rack": "left"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: studios", "nmae: studios", 'nmae (line 1): unknown key; did you mean "name"?'),
        ("name: studios\n", "", "name: is missing"),
        ("/opt/homebrew", "homebrew", "python (line 2): must be an absolute path"),
        ("python:", "key: none\npython:", "key (line 2): none: no such file"),
        ("python:", "root: here\npython:", "root (line 2): must be an absolute path"),
        ("python:", "head: thre\npython:", 'head (line 2): "thre" is no host\'s name'),
        ("python:", "head: tow\npython:", 'did you mean "two"?'),
        ("python:", "tls: maybe\npython:", "tls (line 2): must be true or false"),
        ("python:", "ports: {gsc: 1}\npython:", 'did you mean "gcs"?'),
        ("python:", "ports: {gcs: 80}\npython:", "ports.gcs (line 2): must be >= 1024"),
        ("python:", "ports: {gcs: 8265}\npython:", "8265 is also gcs"),
        ("python:", "ports: {gcs: 20001}\npython:", "20001 lies in the workers' range"),
        ("python:", "ports: {worker_high: 20001}\npython:", "at least 99 above"),
        ("two.local", "10.0.0.1", "hosts[1].address (line 5): 10.0.0.1 is also the address of"),
        ("name: two", "name: one", "hosts[1].name (line 5): one is also the name of hosts[0]"),
        ("two.local", "-oProxyCommand=x", "must be an IP address or a host name"),
        ("two.local", "b, slots: 0", "hosts[1].slots (line 5): must be >= 1"),
        ("two.local", "b, memory: 192", "memory (line 5): must be like 192 GB, got 192"),
        ("two.local", "b, memory: 9 apples", "must be like 192 GB"),
        ("two.local", f"b, memory: {'9' * 400} GB", "must be like 192 GB"),
        ("two.local", "b, memory: \u0663 GB", "must be like 192 GB"),
        ("two.local", "b, labels: {host: x}", "host is set by rho-sweep"),
        ("two.local", "b, labels: {rack: 7}", "must be letters, digits"),
        ("  - {name: one, address: 10.0.0.1}\n", "  - one\n", "hosts[0] (line 4): must hold keys"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path, old, new, says):
    assert old in SMALL
    with pytest.raises(SweepError) as error:
        load_cluster(write(tmp_path, SMALL.replace(old, new, 1)))
    assert says in str(error.value)


def test_all_problems_are_reported_at_once(tmp_path):
    with pytest.raises(SweepError) as error:
        load_cluster(write(tmp_path, "nmae: x\nhosts: []\n"))
    assert str(error.value).splitlines()[0].endswith("cluster.yaml: 4 problems")


@pytest.mark.parametrize("text", ["address: local\nhosts: []", "address: 7", "address: 10.0.0.1:1"])
def test_a_wrong_local_file_is_one_clear_message(tmp_path, text):
    with pytest.raises(SweepError, match=r"cluster.yaml: 1 problem"):
        load_cluster(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_cluster(tmp_path / "none.yaml")
