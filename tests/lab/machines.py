"""A laptop and three hosts on one Linux machine, made of namespaces.

Each machine has its own address, files, processes and host name; each host has its own ssh server.
All share a network, and see the system, this interpreter and this code read-only.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import ROOT

CODE = ROOT
INIT = Path(__file__).with_name("init.py")
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
TOOLS = ("unshare", "nsenter", "ip", "mount", "ssh", "ssh-keygen", "hostname")
HOME = pwd.getpwuid(0).pw_dir
"""Of the user that everything in the lab runs as."""
COMPILED = Path(tempfile.gettempdir()) / "mlx"
"""Where MLX keeps what it compiles on this machine."""
LAPTOP, HOSTS = "laptop", ("mac1", "mac2", "mac3")
UNSHARE = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
SSHD_CONFIG = """\
Port 22
ListenAddress {address}
HostKey {home}/host_key
PidFile none
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AuthorizedKeysFile {home}/.ssh/authorized_keys
StrictModes no
MaxStartups 100
"""


def why_not() -> str | None:
    """Why this machine cannot run the lab; None if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "the lab needs Linux and root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or SSHD is None:
        return f"the lab needs openssh-server, iproute2, util-linux ({', '.join(missing)} missing)"
    script = "ip link add type veth && ip link add type bridge && mount -t tmpfs tmpfs /mnt"
    done = subprocess.run(
        [*UNSHARE, "--mount-proc", "sh", "-c", script], capture_output=True, text=True
    )
    return None if done.returncode == 0 else f"namespaces are not allowed: {done.stderr.strip()}"


class Machine:
    """One machine of the lab.

    Attributes:
        name: Its host name.
        address: Its IPv4 address.
        folder: Its own files, as seen from outside the lab; `folder / "root"` is its home.
    """

    def __init__(self, name: str, address: str, folder: Path, hosts_file: str) -> None:
        self.name, self.address, self.folder = name, address, folder
        for part in ("tmp/mlx", "root/.ssh", "run/sshd", "var/tmp", "etc"):
            (folder / part).mkdir(parents=True)
        (folder / "etc/hosts").write_text(hosts_file)
        (folder / "etc/resolv.conf").write_text("")
        (folder / "tmp").chmod(0o1777)
        (folder / "root/.ssh").chmod(0o700)
        COMPILED.mkdir(exist_ok=True)
        visible = {str(CODE), sys.prefix, sys.base_prefix}
        self._unshare = subprocess.Popen(
            [
                *(*UNSHARE, "--mount-proc", sys.executable, str(INIT)),
                *(name, str(folder), str(COMPILED), *visible),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.wait_ready()
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self.pid = int(children.read_text().split()[0])

    def wait_ready(self) -> None:
        """Wait until its process 1 has set up its files."""
        assert self._unshare.stdout is not None
        assert self._unshare.stdout.readline() == b"ready\n", f"{self.name} does not start"

    def command(self, *arguments: str, **environment: str) -> list[str]:
        """The command line that runs the given one on this machine."""
        env = {
            "HOME": HOME,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(CODE),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        }
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p"]
        words = [f"{key}={value}" for key, value in env.items()]
        return [*enter, "env", "-i", *words, "sh", "-c", 'cd && exec "$@"', "sh", *arguments]

    def run(
        self, *arguments: str, timeout_s: float = 60, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this machine and wait for it; a failure shows its output."""
        done = subprocess.run(
            self.command(*arguments, **environment),
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {arguments}\n{done.stdout}\n{done.stderr}")
        return done

    def python(self, script: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a Python script on this machine, with this interpreter and this code."""
        return self.run(sys.executable, "-c", script, **options)  # type: ignore[arg-type]

    def rho_sweep(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run `rho-sweep` on this machine."""
        return self.run(sys.executable, "-m", "orchestrator", *arguments, **options)  # type: ignore[arg-type]

    def install(self, environment: str) -> None:
        """In place of `cluster install`: make an environment that uses this interpreter."""
        program = self.folder / "root/.rho-sweep/env" / environment / "bin/python"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nPYTHONPATH={CODE} exec {sys.executable} "$@"\n')
        program.chmod(0o755)
        (program.parents[1] / "complete").write_text("")

    def processes(self) -> list[str]:
        """Command lines of all processes on this machine, except process 1 and this listing."""
        lines = self.run("ps", "-eo", "pid=,args=").stdout.splitlines()
        found = [line.strip().partition(" ") for line in lines]
        return [args for pid, _, args in found if pid != "1" and args != "ps -eo pid=,args="]

    def close(self) -> None:
        """End process 1, which ends all others."""
        assert self._unshare.stdin is not None
        self._unshare.stdin.close()
        try:
            self._unshare.wait(10)
        except subprocess.TimeoutExpired:
            self._unshare.kill()
            self._unshare.wait()
        assert self._unshare.stdout is not None
        self._unshare.stdout.close()


class Lab:
    """The machines and the switch between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        addresses = {LAPTOP: "10.77.0.10"} | {h: f"10.77.0.{i}" for i, h in enumerate(HOSTS, 1)}
        hosts_file = "127.0.0.1 localhost\n" + "".join(
            f"{address} {name}\n" for name, address in addresses.items()
        )
        self.machines: dict[str, Machine] = {}
        self._switch = Machine("switch", "", folder / "switch", hosts_file)
        try:
            self._in_switch("link", "add", "br0", "type", "bridge")
            self._in_switch("link", "set", "br0", "up")
            for name, address in addresses.items():
                self.machines[name] = Machine(name, address, folder / name, hosts_file)
                self._plug(self.machines[name])
            self._serve_ssh()
        except BaseException:
            self.close()
            raise

    @property
    def laptop(self) -> Machine:
        """The machine that is not a host of the cluster."""
        return self.machines[LAPTOP]

    @property
    def hosts(self) -> list[Machine]:
        """The machines with an ssh server."""
        return [self.machines[name] for name in HOSTS]

    def cut(self, name: str) -> None:
        """Unplug a machine from the switch."""
        self._in_switch("link", "set", name, "down")

    def mend(self, name: str) -> None:
        """Plug it in again."""
        self._in_switch("link", "set", name, "up")

    def close(self) -> None:
        """End every machine."""
        for machine in [*self.machines.values(), self._switch]:
            machine.close()

    def _in_switch(self, *arguments: str) -> None:
        self._switch.run("ip", *arguments)

    def _plug(self, machine: Machine) -> None:
        peer = ["peer", "name", "eth0", "netns", str(machine.pid)]
        # the switch sees only its own processes, so only its network namespace is entered
        enter = ["nsenter", "-t", str(self._switch.pid), "-n", "ip", "link", "add", machine.name]
        subprocess.run([*enter, "type", "veth", *peer], check=True)
        self._in_switch("link", "set", machine.name, "master", "br0", "up")
        machine.run("ip", "address", "add", f"{machine.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            machine.run("ip", "link", "set", device, "up")
        # no machine has this address; Ray needs a default route to find its own address
        machine.run("ip", "route", "add", "default", "via", "10.77.0.254")

    def _serve_ssh(self) -> None:
        self.laptop.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ".ssh/id_ed25519")
        public = (self.laptop.folder / "root/.ssh/id_ed25519.pub").read_text()
        for host in self.hosts:
            home = host.folder / "root"
            (home / ".ssh/authorized_keys").write_text(public)
            (home / "sshd_config").write_text(SSHD_CONFIG.format(address=host.address, home=HOME))
            host.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "host_key")
            host.run(str(SSHD), "-f", f"{HOME}/sshd_config")


@contextmanager
def running(folder: Path) -> Iterator[Lab]:
    """A lab that is closed at the end of the block."""
    lab = Lab(folder)
    try:
        yield lab
    finally:
        lab.close()


ASK_S = 4.0
"""Between two questions that are a command each: one takes a second of CPU."""


def wait_until(what: str, condition: object, timeout_s: float = 30, every_s: float = 0.2) -> None:
    """Call the condition repeatedly until it is true; a timeout names what was waited for."""
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(every_s)
