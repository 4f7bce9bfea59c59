"""Makes faults during sweeps and checks that no cell is lost or run twice: `make chaos`.

    __main__     arguments, which fault comes in which round, one line per round, the summary
    faults       every kind of fault
    damage       torn and flipped files
    rounds       one round: launch, fault, launch again as a user would, verdict
    verdict      the round's results against those of an undisturbed twin
    launches     a launch as a process, with everything it started
    sites        where launches run: this machine, or the lab of namespaces
    soak         many cells that do nothing, while open files and memory are measured: `make soak`

Only processes that a launch of the harness started are ever signalled. See docs/chaos.md.
"""
