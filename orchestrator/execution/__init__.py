"""One launch: what is to be run, the loop around the schedule, commits, the display.

May import `results` and what is below it.
"""
