"""Every kind of fault: what it does to a launch that is running, or to its results."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

from benchmarks.chaos import damage
from benchmarks.chaos.rounds import Scene
from benchmarks.chaos.sites import InLab
from tests.lab.machines import HOSTS, LAPTOP

DISK_BYTES = 48 << 20
"""Of the small file system; a sweep of this size needs 3 MB."""
HOUR_S = 3600


def nothing(scene: Scene) -> None:
    """No preparation."""


def can_be_had() -> str | None:
    """`why_not` of faults that can run anywhere: None."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A kind of fault.

    Attributes:
        act: Makes the fault and returns what was hit; also ends a fault that has an end, such as a
            full disk.
        needs_ray: Whether it exists only with Ray.
        in_lab: Whether it happens in the lab of namespaces.
        from_done: Cells that must be committed before the fault; 0: the results folder must exist;
            -1: no condition.
        prepare: Called before the first launch.
        why_not: Returns why it cannot run on this machine; None if it can.
    """

    act: Callable[[Scene], str]
    needs_ray: bool = True
    in_lab: bool = False
    from_done: int = -1
    prepare: Callable[[Scene], None] = nothing
    why_not: Callable[[], str | None] = can_be_had


def kill(role: str) -> Callable[[Scene], str]:
    """Send SIGKILL to one process."""

    def act(scene: Scene) -> str:
        victim = scene.find(role)
        victim.kill()
        return f"{role} {victim.pid}"

    return act


def pause(role: str) -> Callable[[Scene], str]:
    """SIGSTOP one process, SIGCONT it 2 to 30 s later; the driver may have given it up by then."""

    def act(scene: Scene) -> str:
        victim, seconds = scene.find(role), scene.rng.uniform(2, 30)
        victim.suspend()
        scene.now.wait(seconds)
        with suppress(psutil.NoSuchProcess):
            victim.resume()
        return f"{role} {victim.pid} for {seconds:.0f} s"

    return act


def needs_root() -> str | None:
    """Why no mount is possible; root on Linux gets a mount table of its own from __main__."""
    ours = sys.platform == "linux" and os.geteuid() == 0
    return None if ours else "needs Linux and root for a mount"


def mount_small_disk(scene: Scene) -> None:
    """Put the results on a small file system of their own."""
    disk = scene.folder / "disk"
    disk.mkdir()
    mount(scene, "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk))
    scene.results = disk / scene.results.name


def mount(scene: Scene, *words: str) -> None:
    """Call `mount` with these words; the last is the folder, unmounted when the round ends."""
    subprocess.run(["mount", *words], check=True)
    scene.stack.callback(subprocess.run, ["umount", "-l", words[-1]], check=False)


def fill_disk(scene: Scene) -> str:
    """Fill the file system to the last byte, and free it after a while."""
    filler, seconds = scene.folder / "disk/filler", scene.rng.uniform(3, 20)
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    scene.now.wait(seconds)
    filler.unlink()
    return f"full for {seconds:.0f} s"


def obey_permissions(scene: Scene) -> None:
    """Run launches without root's right to ignore file permissions."""
    if sys.platform == "linux" and os.geteuid() == 0:
        scene.wrap = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def forbid_writing(scene: Scene) -> str:
    """Take all write permissions from the results, and give them back after a while."""
    seconds = scene.rng.uniform(3, 20)
    places = [scene.results, *scene.results.rglob("*")]
    modes = {}
    for path in places:
        # the program renames files at the same time, so a listed file may be gone
        with suppress(FileNotFoundError):
            modes[path] = path.stat().st_mode
            path.chmod(modes[path] & ~0o222)
    scene.now.wait(seconds)
    for path, mode in modes.items():
        with suppress(FileNotFoundError):
            path.chmod(mode)
    return f"for {seconds:.0f} s"


def mount_read_only(scene: Scene) -> str:
    """Kill the driver, then launch while the results are on a read-only mount."""
    scene.end_driver()
    place = str(scene.results)
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        scene.launch().wait(60)
    finally:
        scene.now.sweep_up(0)
        subprocess.run(["umount", "-l", place], check=True)
    return f"a launch meanwhile: {scene.now.said}"


def needs_compiler() -> str | None:
    """Why no fake clock is possible: it needs a small library, compiled to stand before libc."""
    ready = sys.platform == "linux" and shutil.which("cc")
    return None if ready else "needs Linux and a C compiler"


def fake_clock(scene: Scene) -> None:
    """Make the launches' Python code add the number in a file to the time of day."""
    clock, library = scene.folder / "clock", scene.folder / "clock.so"
    clock.write_text("0")
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    scene.environment |= {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(clock)}


def set_clock(seconds: int) -> Callable[[Scene], str]:
    """Move the launches' clock; it is not moved back."""

    def act(scene: Scene) -> str:
        (scene.folder / "clock").write_text(str(seconds))
        return f"{seconds:+d} s"

    return act


def damaged(how: Callable[[Path, Random], str]) -> Callable[[Scene], str]:
    """Damage one file after the driver's death, or after the end of the launch."""

    def act(scene: Scene) -> str:
        if scene.rng.random() < 0.3:
            scene.now.wait(120)
        scene.end_driver()
        file = damage.pick(scene.results, scene.rng)
        done = how(file, scene.rng)
        cell = damage.owner(scene.results, file)
        scene.touched |= {cell} if cell else set()
        return f"{file.relative_to(scene.results)}: {done}"

    return act


def launch_twice(scene: Scene) -> str:
    """Start a second launch beside the first, at once or while the first runs."""
    first = scene.now
    scene.launch().wait(120)
    second = scene.now
    hit = f"the second: {second.said}"
    if second.code == 0 or first.code is not None:
        return hit
    scene.launches.remove(second)  # the second was refused, as it should be; now wait for the first
    scene.launches.insert(0, second)
    return hit


def move_results(scene: Scene) -> str:
    """Kill the driver and rename the results folder."""
    scene.end_driver()
    target = scene.results.with_name("renamed")
    scene.results = scene.results.rename(target)
    return "renamed"


def copy_results(scene: Scene) -> str:
    """Kill the driver and copy the results to another folder, as if to another machine."""
    scene.end_driver()
    target = scene.folder / "elsewhere" / scene.results.name
    scene.results = shutil.copytree(scene.results, target)
    return "copied"


def cut_link(scene: Scene) -> str:
    """Cut the network link of a machine, and restore it."""
    lab, name = the_lab(scene).lab, scene.rng.choice([*HOSTS, LAPTOP])
    seconds = scene.rng.uniform(5, 60)
    lab.cut(name)
    time.sleep(seconds)
    lab.mend(name)
    return f"{name} for {seconds:.0f} s"


def shut_lid(*names: str) -> Callable[[Scene], str]:
    """As a closed lid: stop all processes of one of these machines, and cut its link, for a while.

    A host that is not in the cluster, because it did not come up, is not taken.
    """

    def act(scene: Scene) -> str:
        site, seconds = the_lab(scene), scene.rng.uniform(5, 60)
        name = scene.rng.choice([n for n in names if n == LAPTOP or site.in_cluster(n)])
        asleep = site.on(name)
        site.lab.cut(name)
        for process in asleep:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        time.sleep(seconds)
        # last nsenter, which is outside: it stops itself when the process stops that it waits for
        for process in [*asleep, scene.now.process]:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        site.lab.mend(name)
        return f"{name}, {len(asleep)} processes, for {seconds:.0f} s"

    return act


def the_lab(scene: Scene) -> InLab:
    """The scene's site, for faults that happen only in the lab."""
    assert isinstance(scene.site, InLab)
    return scene.site


FAULTS: dict[str, Fault] = {
    **{f"{role}-kill": Fault(act=kill(role)) for role in ("worker", "board", "raylet", "gcs")},
    "driver-kill": Fault(act=kill("driver"), needs_ray=False),
    "worker-stop": Fault(act=pause("worker")),
    "driver-stop": Fault(act=pause("driver"), needs_ray=False),
    "disk-full": Fault(
        act=fill_disk, needs_ray=False, prepare=mount_small_disk, why_not=needs_root
    ),
    "read-only": Fault(act=forbid_writing, needs_ray=False, from_done=0, prepare=obey_permissions),
    "read-only-disk": Fault(act=mount_read_only, needs_ray=False, from_done=0, why_not=needs_root),
    **{
        f"clock-{word}": Fault(
            act=set_clock(seconds), needs_ray=False, prepare=fake_clock, why_not=needs_compiler
        )
        for word, seconds in (("back", -HOUR_S), ("forward", HOUR_S))
    },
    "torn-file": Fault(act=damaged(damage.tear), needs_ray=False, from_done=1),
    "flipped-bit": Fault(act=damaged(damage.flip), needs_ray=False, from_done=1),
    "two-launches": Fault(act=launch_twice, needs_ray=False),
    "renamed": Fault(act=move_results, needs_ray=False, from_done=1),
    "copied": Fault(act=copy_results, needs_ray=False, from_done=1),
    **{
        f"lab-{role}-kill": Fault(act=kill(role), in_lab=True)
        for role in ("worker", "board", "driver", "raylet", "gcs", "keeper")
    },
    "lab-worker-stop": Fault(act=pause("worker"), in_lab=True),
    "lab-link-cut": Fault(act=cut_link, in_lab=True),
    "lab-laptop-asleep": Fault(act=shut_lid(LAPTOP), in_lab=True),
    "lab-host-asleep": Fault(act=shut_lid(*HOSTS), in_lab=True),
}
