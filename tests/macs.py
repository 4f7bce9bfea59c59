"""A stand-in for a Mac: its name of the platform, and tools that print what a test wrote down.

What they print is put together from Apple's manual pages and public reports; no Mac was at hand.
"""

import shlex
from pathlib import Path

PMSET = """\
System-wide power settings:
Currently in use:
 standby              1
 Sleep On Power Button 1
 hibernatefile        /var/vm/sleepimage
 powernap             1
 networkoversleep     0
 disksleep            10
 sleep                {sleep}
 displaysleep         {displaysleep} (display sleep prevented by coreaudiod)
 lowpowermode         {lowpowermode}
 autorestart          {autorestart}
"""
SYSCTL = """\
case "$2" in
    machdep.cpu.brand_string) echo {chip};;
    hw.memsize) echo 68719476736;;
    iogpu.wired_limit_mb) echo 0;;
    *) echo 122880;;
esac
"""
PMSET_TOOL = """\
if [ "$2" = batt ]; then
{battery}
else
{settings}
fi
"""


def pmset(sleep: object = 0, autorestart: int = 1, displaysleep: int = 10, lowpowermode: int = 0):
    """What `pmset -g` prints."""
    return PMSET.format(
        sleep=sleep,
        autorestart=autorestart,
        displaysleep=displaysleep,
        lowpowermode=lowpowermode,
    )


UNLIKE = {
    "studio": ("10.0.0.1", "Apple M2 Ultra", "15.5", pmset(), "AC"),
    "mini": ("10.0.0.2", "Apple M1 Max", "15.5", pmset(sleep=10, displaysleep=0), "AC"),
    "book": ("10.0.0.3", "Apple M4 Max", "26.1", pmset(lowpowermode=1), "Battery"),
}
"""Name -> address, chip, macOS, what `pmset -g` prints, what it draws power from."""


def put_tool(folder: Path, name: str, script: str) -> Path:
    """A program of that name; returns the file in which each call leaves a line."""
    folder.mkdir(exist_ok=True)
    calls = folder / f"{name}.calls"
    tool = folder / name
    tool.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(calls))}\n{script}\n')
    tool.chmod(0o755)
    return calls


def saying(text: str) -> str:
    """A script that prints a text."""
    return f"cat <<'END'\n{text}\nEND"


def put_tools(folder: Path, chip: str, version: str, settings: str, power: str) -> None:
    """All tools that are asked about a Mac with 64 GiB, as `UNLIKE` has it."""
    laptop = " -InternalBattery-0 (id=1)\t80%" if power == "Battery" else ""
    battery = saying(f"Now drawing from '{power} Power'\n{laptop}")
    put_tool(folder, "sysctl", SYSCTL.format(chip=chip))
    put_tool(folder, "sw_vers", saying(version))
    put_tool(folder, "pmset", PMSET_TOOL.format(battery=battery, settings=saying(settings)))
    for silent in ("ioreg", "defaults", "tmutil"):
        put_tool(folder, silent, "exit 1")


def become_a_mac(monkeypatch, folder: Path) -> None:
    """This process takes itself for one on a Mac, with the tools of the folder first."""
    import os

    from tasks.model import machine

    folder.mkdir(exist_ok=True)
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for asked_once in (machine.machine_id, machine.with_backend):
        asked_once.cache_clear()
