"""Base models, adapters, BLAS, and what this machine is.

May import `passes` and what is below it.
"""
