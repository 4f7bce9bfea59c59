"""Which machine this is, and what is set before Metal loads."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from orchestrator.inspection.local_checks import MATMUL
from tasks.model import machine
from tests import ROOT
from tests.builders import MACHINE
from tests.macs import become_a_mac, put_tool, saying

VARIABLE = "AGX_RELAX_CDM_CTXSTORE_TIMEOUT"
LOOK = f"""
import importlib, json, os, sys
class Look:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("mlx", "mlx_lm"):
            print(json.dumps(os.environ.get({VARIABLE!r}))); sys.stdout.flush(); os._exit(0)
sys.meta_path.insert(0, Look())
"""
IOREG = """\
+-o Mac14,14  <class IOPlatformExpertDevice, id 0x100000226, registered, matched, active>
    {
      "IOPlatformSerialNumber" = "XXXXXXXXXX"
      "model" = <"Mac14,14">
      "IOPlatformUUID" = "%s"
    }
"""


def seen(script: str, **more: str) -> str:
    own = {k: v for k, v in os.environ.items() if k != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", LOOK + script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=own | more,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or '"no MLX"')


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "import tasks.cell",
        "import tasks.generation.generate",
        "import tasks.judges.model",
        "import tasks.training.drill",
        "import tasks.tiny.training",
        "from benchmarks import bench_step",
        MATMUL,
    ],
)
def test_the_watchdog_of_the_gpu_is_relaxed_before_mlx_loads(script):
    assert seen(script) == "1"


def test_what_the_user_set_stays():
    assert seen("import tasks.cell", **{VARIABLE: "0"}) == "0"


def test_a_mac_is_the_same_whatever_the_network_calls_it(tmp_path, monkeypatch):
    become_a_mac(monkeypatch, tmp_path)
    found = []
    for uuid, name in (("A-1", "studio"), ("A-1", "studio.local"), ("B-2", "studio")):
        put_tool(tmp_path, "ioreg", saying(IOREG % uuid))
        monkeypatch.setattr("platform.node", lambda name=name: name)
        machine.machine_id.cache_clear()
        found.append(machine.machine_id())
        assert uuid not in found[-1]
    machine.machine_id.cache_clear()
    assert found[0] == found[1] != found[2]


def test_tools_that_fail_or_are_missing_say_nothing(tmp_path, monkeypatch):
    become_a_mac(monkeypatch, tmp_path)
    put_tool(tmp_path, "sysctl", "exit 1")
    assert machine.ask("sysctl", "-n", "x") == machine.ask(str(tmp_path / "gone")) == ""
    assert machine.chip()


GIB = 1 << 30


@pytest.mark.parametrize(
    ("gib", "limit_mb", "expected_gib"),
    [
        (16, "0", 16 * 2 / 3),
        (32, "0", 32 * 2 / 3),
        (64, "0", 48),
        (192, "0", 144),
        (512, "0", 384),
        (64, "57344", 56),
        (64, "999999", 64),
        (64, "", 48),
        (64, "no number", 48),
    ],
)
def test_the_gpu_may_use_a_share_of_the_memory(tmp_path, monkeypatch, gib, limit_mb, expected_gib):
    become_a_mac(monkeypatch, tmp_path)
    script = f'[ "$2" = hw.memsize ] && echo {gib * GIB} || echo "{limit_mb}"'
    put_tool(tmp_path, "sysctl", script)
    assert machine.gpu_memory() == pytest.approx(expected_gib * GIB, abs=1)


def test_without_an_answer_or_a_mac_the_share_is_not_known(tmp_path, monkeypatch):
    assert machine.gpu_memory() is None or sys.platform == "darwin"
    become_a_mac(monkeypatch, tmp_path)
    put_tool(tmp_path, "sysctl", "exit 1")
    assert machine.gpu_memory() is None


# as Darwin's versions stand beside those of macOS: 23.6.0 is 14.6, 24.5.0 is 15.5, 25.0.0 is 26.0
STUDIO = ("Apple M2 Ultra", "Darwin 24.5.0")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (STUDIO, True),
        (("Apple M2 Max", "Darwin 24.5.0"), False),
        (("Apple M2", "Darwin 24.5.0"), False),
        (("Apple M3 Ultra", "Darwin 24.5.0"), False),
        (("Apple M2 Ultra", "Darwin 24.6.0"), False),
        (("Apple M2 Ultra", "Darwin 25.0.0"), False),
        (("Apple M2 Ultra", "Darwin 23.6.0"), False),
    ],
)
def test_a_family_is_one_chip_and_one_macos(other, same):
    assert (machine.family(*STUDIO) == machine.family(*other)) == same


def test_elsewhere_the_kernel_is_no_part_of_the_family():
    assert machine.family("AMD EPYC", "Linux 6.1.0") == machine.family("AMD EPYC", "Linux 6.8.0")


@pytest.mark.parametrize(
    ("architecture", "system", "found"),
    [
        # from public reports: M1 Max, M4, M4 Pro, M3 Ultra
        ("applegpu_g13s", "Darwin 24.6.0", "applegpu_g13s, Darwin 24.6.0"),
        ("applegpu_g16g", "Darwin 25.3.0", "applegpu_g16g, Darwin 25.3.0"),
        ("applegpu_g16s", "Darwin 25.5.0", "applegpu_g16s, Darwin 25.5.0"),
        ("applegpu_g15d", "Darwin 24.5.0", "applegpu_g15d, Darwin 24.5.0"),
    ],
)
def test_canary_and_checkpoints_name_the_gpu_as_mlx_does(monkeypatch, architecture, system, found):
    import mlx.core as mx

    from tasks.model import keeper
    from tasks.training import drill

    here = replace(MACHINE, chip="Apple M9", os=system, backend="metal")
    monkeypatch.setattr(mx, "device_info", lambda: {"architecture": architecture})
    for module in (drill, keeper):
        monkeypatch.setattr(module, "describe", lambda: here)
    assert drill.family_here() == found
    made = keeper.origin("cell", 1)
    assert made.backend == f"metal {architecture}"
    assert made.family == f"Apple M9, {system}"
