"""What a host or a results folder may say and do: checked here before anything is done with it.

Imports nothing of the rest of `cluster`.
"""
