"""Faults in the middle of sweeps, and whether anything was lost or doubled: `make chaos`.

    __main__     arguments, which fault comes in which round, one line a round, the summary
    faults       every kind of fault
    damage       torn and flipped files
    rounds       one round: launch, fault, launch again as a user would, verdict
    verdict      the round's results against those of an undisturbed twin
    launches     a launch as a process, with everything it started
    sites        where launches run: this machine, or the lab of namespaces
    soak         many cells that do nothing, while files and memory are watched: `make soak`

Only processes that a launch of the harness started are ever signalled. docs/chaos.md says more.
"""
