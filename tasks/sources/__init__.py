"""Where files come from: a hub's cache, copies on a cluster's host, paths.

Imports `starter` and the contract.
"""
