"""A results folder on disk: Arrow tables, manifest, attempts, checkpoints, registration.

May import `cells` and what is below it.
"""
