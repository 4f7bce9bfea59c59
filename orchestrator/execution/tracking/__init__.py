"""Writes finished cells to trackers (MLflow, TensorBoard and others), from the tables alone.

`follow` starts a process of its own (`__main__`) while a launch runs, so that no tracker can stop
a cell. May import `results` and what is below it.
"""
