"""Errors of Metal that say nothing about the cell: its process counts as lost, and it is retried.

The texts are those of MLX's source and of public reports; none was met here.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault.

    Attributes:
        signs: A text of this kind holds one of them, whatever the case. macOS translates the words
            but not the names of its codes.
        kind: What happened, for people.
        advice: What the user can do.
    """

    signs: tuple[str, ...]
    kind: str
    advice: str


FAULTS = (
    Fault(
        signs=("OutOfMemory", "Insufficient Memory", "Unable to allocate"),
        kind="the GPU was out of memory",
        advice="give the host fewer slots, set run.grad_checkpoint: true, or end other programs",
    ),
    Fault(
        signs=("ImpactingInteractivity", "Impacting Interactivity"),
        kind="macOS ended it because the display had to wait",
        advice="let the display sleep: sudo pmset -a displaysleep 1",
    ),
    Fault(
        signs=("InnocentVictim", "victim of GPU error"),
        kind="the GPU was reset because of another process",
        advice="end other programs that use the GPU, or give the host one slot",
    ),
    Fault(
        signs=("ErrorTimeout", "GPU Timeout", "ErrorHang", "GPU Hang"),
        kind="the GPU took too long",
        advice="let the display sleep (sudo pmset -a displaysleep 1), and give the host one slot",
    ),
    Fault(
        signs=("SubmissionsIgnored", "excessive GPU errors"),
        kind="the GPU takes no more work after earlier faults",
        advice="restart the host if this goes on",
    ),
    Fault(
        signs=("NotPermitted", "Insufficient Permission"),
        kind="macOS gave it no GPU in the background",
        advice="start the launch, or the cluster, from a login that stays",
    ),
)
OTHER = Fault(signs=(), kind="the GPU failed", advice="restart the host if this goes on")
_ANY = re.compile(
    r"\[METAL\] Command buffer|CommandBufferCallbackError|\[malloc\w*\] Unable to allocate", re.I
)


def gpu_fault(message: str) -> str | None:
    """Why a process counts as lost and what to do, or None if the error is the cell's own.

    Args:
        message: Of a `CellFailure`, or a line that a process wrote as it ended.
    """
    found = _ANY.search(message)
    if not found:
        return None
    fault = next((f for f in FAULTS if any(s.lower() in message.lower() for s in f.signs)), OTHER)
    return f"{fault.kind} ({message[found.start() :][:160]}); {fault.advice}"
