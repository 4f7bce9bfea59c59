"""Whether a Mac can run cells, stays awake and is at full speed, by what its own tools print."""

import re
import sys
from collections.abc import Iterator

from orchestrator.inspection.local_checks import NOTE, OK, PROBLEM, Finding
from tasks.model.machine import ask

TOOLS = {
    "chip": ("sysctl", "-n", "machdep.cpu.brand_string"),
    "version": ("sw_vers", "-productVersion"),
    "pmset": ("pmset", "-g"),
    "battery": ("pmset", "-g", "batt"),
    "snapshots": ("tmutil", "listlocalsnapshots", "/"),
    "updates": (
        "defaults",
        "read",
        "/Library/Preferences/com.apple.SoftwareUpdate",
        "AutomaticallyInstallMacOSUpdates",
    ),
    "files": ("sysctl", "-n", "kern.maxfilesperproc"),
    "gpu": ("ioreg", "-r", "-d", "1", "-c", "IOAccelerator"),
}
LONGEST = 1 << 16
OLDEST = 14
"""Of macOS, for which MLX has wheels."""
FEW_FILES = 10_240
BUSY = 20
"""Percent of the GPU that the windows of a desktop hardly ever take."""
SETTING = re.compile(r"^\s+(\S.*?)\s+(-?[0-9]{1,18})(?:\s+\(.*\))?\s*$")
UTILISED = re.compile(r'"Device Utilization %"=([0-9]{1,3})\b')
Said = dict[str, str]
"""Tool, as in `TOOLS` -> what it printed; empty if it does not work."""


def asked_here() -> Said | None:
    """What the tools print; None if this is no Mac."""
    if sys.platform != "darwin":
        return None
    return {name: ask(*command)[:LONGEST] for name, command in TOOLS.items()}


def settings_of(printed: str) -> dict[str, int]:
    """Settings that `pmset -g` prints, as numbers."""
    found = (SETTING.match(line) for line in printed.splitlines())
    return {m[1]: int(m[2]) for m in found if m}


def findings(said: Said | None, *, kept_awake: bool = False) -> Iterator[Finding]:
    """Findings about the system, sleep, display, power, updates, snapshots, files and the GPU.

    Args:
        said: As `asked_here` has it, by name; a tool may be missing.
        kept_awake: Whether idle sleep does no harm, because a launch keeps the machine awake.
    """
    if said is None:
        yield Finding(OK, "sleep", "not a Mac; see to it yourself that it stays awake")
        return
    yield from _system(said.get("chip", "").strip(), said.get("version", "").strip())
    found = settings_of(said.get("pmset", ""))
    yield _sleep(found, kept_awake=kept_awake)
    if found.get("displaysleep") == 0:
        text = (
            "never sleeps; while one is on, macOS may end long work of the GPU; "
            "sudo pmset -a displaysleep 10 (a Mac without a display needs nothing)"
        )
        yield Finding(NOTE, "display", text)
    elif "displaysleep" in found:
        yield Finding(OK, "display", f"sleeps after {found['displaysleep']} min")
    yield from _power(found, said.get("battery", ""), kept_awake=kept_awake)
    if said.get("updates", "").strip() == "1":
        text = (
            "macOS installs updates by itself and restarts; turn that off under System Settings, "
            "General, Software Update"
        )
        yield Finding(NOTE, "updates", text)
    if count := said.get("snapshots", "").count("com.apple.TimeMachine."):
        text = (
            f"{count} local snapshots hold space that does not count as free; macOS gives it up "
            "when files need it; now: sudo tmutil thinlocalsnapshots / 50000000000 4"
        )
        yield Finding(OK, "snapshots", text)
    files = said.get("files", "").strip()
    if files.isdecimal() and int(files[:18]) < FEW_FILES:
        text = f"a process may open {files[:18]}; sudo sysctl kern.maxfilesperproc={4 * FEW_FILES}"
        yield Finding(NOTE, "files", text)
    busy = [int(n) for n in UTILISED.findall(said.get("gpu", ""))]
    if max(busy, default=0) >= BUSY:
        text = f"busy to {max(busy)} %; if no cell runs there, end the program that uses it"
        yield Finding(NOTE, "gpu", text)


def _system(chip: str, version: str) -> Iterator[Finding]:
    if chip and not chip.startswith("Apple"):
        text = f"{chip[:60]}: MLX needs Apple silicon; no cell can run here"
        yield Finding(PROBLEM, "macos", text)
        return
    major = version.partition(".")[0]
    if not major.isdecimal():
        yield Finding(NOTE, "macos", "sw_vers names no version; look: sw_vers")
    elif int(major[:9]) < OLDEST:
        text = f"{version[:20]} is too old: MLX needs macOS {OLDEST}; update it"
        yield Finding(PROBLEM, "macos", text)
    else:
        yield Finding(OK, "macos", version[:20])


def _sleep(found: dict[str, int], *, kept_awake: bool) -> Finding:
    if found.get("SleepDisabled") != 1 and "sleep" not in found:
        return Finding(NOTE, "sleep", "pmset says nothing of sleep; look: pmset -g")
    if found.get("SleepDisabled") != 1 and found["sleep"] != 0:
        text = f"sleeps after {found['sleep']} min"
        if kept_awake:
            return Finding(OK, "sleep", f"{text}; a launch here keeps it awake while its lid is up")
        advice = "sudo pmset -a sleep 0 disksleep 0 autorestart 1"
        return Finding(PROBLEM, "sleep", f"{text}; {advice}")
    if found.get("autorestart") != 1 and not kept_awake:
        text = "stays awake, but stays off after a power cut; sudo pmset -a autorestart 1"
        return Finding(NOTE, "sleep", text)
    return Finding(OK, "sleep", "stays awake")


def _power(found: dict[str, int], battery: str, *, kept_awake: bool) -> Iterator[Finding]:
    if "InternalBattery" in battery and not kept_awake:
        text = "a laptop sleeps when its lid is shut, whatever is set; leave it up while cells run"
        yield Finding(NOTE, "lid", text)
    if "from 'Battery Power'" in battery:
        yield Finding(NOTE, "power", "runs on its battery, with a slower GPU; plug it in")
    if 1 in (found.get("lowpowermode"), found.get("powermode")):
        text = "low power mode slows the GPU; sudo pmset -a lowpowermode 0"
        yield Finding(NOTE, "power", text)
