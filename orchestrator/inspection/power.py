"""Whether a Mac stays awake and at full speed: the settings that `pmset -g` prints, judged."""

import re
import sys
from collections.abc import Iterator

from orchestrator.inspection.local_checks import NOTE, OK, PROBLEM, Finding
from tasks.model.machine import ask

SETTING = re.compile(r"^\s+(\S.*?)\s+(-?[0-9]{1,18})(?:\s+\(.*\))?\s*$")


def printed_here() -> str | None:
    """What `pmset -g` prints; empty if it does not work, None if this is no Mac."""
    return ask("pmset", "-g") if sys.platform == "darwin" else None


def settings_of(printed: str) -> dict[str, int]:
    """Settings that `pmset -g` prints, as numbers."""
    found = (SETTING.match(line) for line in printed.splitlines())
    return {m[1]: int(m[2]) for m in found if m}


def power(printed: str | None, *, kept_awake: bool = False) -> Iterator[Finding]:
    """Findings about sleep, the display and low power mode.

    Args:
        printed: As `printed_here` has it.
        kept_awake: Whether idle sleep does no harm, because a launch keeps the machine awake.
    """
    if printed is None:
        yield Finding(OK, "sleep", "not a Mac; see to it yourself that it stays awake")
        return
    found = settings_of(printed)
    yield _sleep(found, kept_awake=kept_awake)
    if found.get("displaysleep") == 0:
        text = (
            "never sleeps; while one is on, macOS may end long work of the GPU; "
            "sudo pmset -a displaysleep 10 (a Mac without a display needs nothing)"
        )
        yield Finding(NOTE, "display", text)
    elif "displaysleep" in found:
        yield Finding(OK, "display", f"sleeps after {found['displaysleep']} min")
    if 1 in (found.get("lowpowermode"), found.get("powermode")):
        text = "low power mode slows the GPU; sudo pmset -a lowpowermode 0"
        yield Finding(NOTE, "power", text)


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
