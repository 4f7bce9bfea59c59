"""Commands, files and tunnels on a host, over a real ssh server on loopback."""

import getpass
import os
import pwd
import socket
import threading
from pathlib import Path

import pytest

from orchestrator.cluster.ssh import Remote, on_all, quoted, remotes
from orchestrator.config.cluster_file import Cluster, Host, Ports
from orchestrator.errors import UserError
from tests.orchestrator.cluster import sshd

pytestmark = pytest.mark.skipif(
    sshd.SSHD is None or sshd.SSH is None, reason="needs openssh-server and openssh-client"
)


def a_cluster(folder, port: int, names=("one",)) -> Cluster:
    hosts = tuple(
        Host(
            name=name,
            address="127.0.0.1",
            ssh_port=port,
            slots=1,
            chip=None,
            labels={},
        )
        for name in names
    )
    return Cluster(
        name="test",
        user=getpass.getuser(),
        key=folder / "id",
        python="/usr/bin/python3",
        root=str(folder / "root"),
        head=names[0],
        ports=Ports(),
        tls=False,
        hosts=hosts,
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ssh")
    with sshd.reachable(folder) as port:
        yield a_cluster(folder, port)


@pytest.fixture
def remote(cluster) -> Remote:
    return remotes(cluster)[0]


def test_code_output_and_input_are_those_of_the_command(remote):
    done = remote.run("cat; echo $0 >&2; exit 7", input=b"a\0\xff", timeout_s=20)
    assert (done.code, done.stdout) == (7, b"a\0\xff")
    assert done.stderr.strip() == b"/bin/sh"


def test_quotes_dollars_and_lines_reach_the_shell_as_written(remote):
    script = "x='a b'\nprintf '%s|' \"$x\" '$x' \"it's\" '!\\n'"
    assert remote.demand(script, timeout_s=20) == b"a b|$x|it's|!\\n|"


def test_a_failed_demand_says_what_the_command_said(remote):
    with pytest.raises(UserError, match=r"one \(127.0.0.1\): no disk \(exit code 3 of: echo"):
        remote.demand("echo no disk >&2; exit 3", timeout_s=20)


def test_a_slow_command_is_cut_off(remote):
    with pytest.raises(UserError, match=r"one .*: no answer within 1 s to: sleep 5"):
        remote.run("sleep 5", timeout_s=1)


def test_a_file_goes_there_whole_and_private(remote, tmp_path):
    (tmp_path / "in").write_bytes(os.urandom(1 << 20))
    there = f"{remote.cluster.root}/a b/it's"
    remote.copy_to(tmp_path / "in", there)
    assert Path(there).read_bytes() == (tmp_path / "in").read_bytes()
    assert Path(there).stat().st_mode & 0o777 == 0o600
    assert [p.name for p in Path(there).parent.iterdir()] == ["it's"]


def test_a_missing_file_leaves_nothing_behind(remote, tmp_path):
    with pytest.raises(UserError, match="none: cannot be read"):
        remote.copy_to(tmp_path / "none", f"{tmp_path}/there")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", ["~", "~/a b", "/x/$HOME", "~x/y"])
def test_only_a_leading_tilde_means_home(remote, path):
    home = pwd.getpwuid(os.getuid()).pw_dir  # sshd sets HOME by the account, whatever ours is
    wanted = home + path[1:] if path in ("~", "~/a b") else path
    assert remote.demand(f"printf %s {quoted(path)}", timeout_s=20).decode() == wanted


def test_a_tunnel_carries_bytes_and_closes(remote):
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = server.accept()
        while connection.recv(1) == b"":  # the probe that found the tunnel open
            connection, _ = server.accept()
        connection.sendall(b"pong")
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with (
        remote.tunnel(server.getsockname()[1]) as port,
        socket.create_connection(("127.0.0.1", port), 10) as connection,
    ):
        connection.sendall(b"x")
        assert connection.recv(4) == b"pong"
    thread.join(10)
    server.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 1)


def test_a_taken_local_port_is_an_error(remote):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UserError, match=r"one .*: port \d+ of this machine is in use"),
        remote.tunnel(1, taken.getsockname()[1]),
    ):
        pass


def broken(cluster, **changes) -> Remote:
    host = cluster.hosts[0].model_copy(
        update={k: v for k, v in changes.items() if k in ("address", "ssh_port")}
    )
    rest = {k: v for k, v in changes.items() if k == "key"}
    return Remote(cluster.model_copy(update=rest), host)


def test_errors_name_the_host_and_what_to_do(cluster):
    other = cluster.key.with_name("other")
    cases = {
        "turn on its ssh server": broken(cluster, ssh_port=sshd.free_port()),
        "ssh-copy-id": broken(cluster, key=other),
        "give its IP address": broken(cluster, address="no-such-host.invalid"),
    }
    for says, remote in cases.items():
        with pytest.raises(UserError, match=f"one .*{says}"):
            remote.run("true", timeout_s=30)


def test_a_changed_host_key_is_refused(cluster):
    remote = remotes(cluster)[0]
    remote.run("true", timeout_s=20)
    known = cluster.key.with_name("known_hosts")
    good = known.read_text()
    wrong = cluster.key.with_name("other.pub").read_text().split()[1]
    try:
        known.write_text(" ".join([*good.split()[:2], wrong]) + "\n")
        with pytest.raises(UserError, match=r"one .*ssh-keygen -R"):
            remote.run("true", timeout_s=20)
    finally:
        known.write_text(good)


def test_one_hosts_error_does_not_stop_the_others(cluster):
    hosts = [remotes(cluster)[0], broken(cluster, ssh_port=sshd.free_port())]
    hosts[1].host = hosts[1].host.model_copy(update={"name": "two"})
    gathered = on_all(hosts, lambda r: r.demand("echo yes", timeout_s=20))
    assert gathered.done == {"one": b"yes\n"}
    assert list(gathered.failed) == ["two"]
    with pytest.raises(UserError, match=r"two .*turn on"):
        gathered.demand()
