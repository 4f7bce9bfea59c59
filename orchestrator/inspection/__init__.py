"""Looks at a sweep file, a results folder or this machine, and changes nothing.

May import `stress`, `analysis` and what is below them.
"""
