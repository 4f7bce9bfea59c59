"""Grid points to canonical cells, and what a cell will need: memory, work, prompts.

May import `config` and what is below it.
"""
