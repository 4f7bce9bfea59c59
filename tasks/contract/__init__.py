"""The records that cross the border between driver and node.

Imports the standard library only.
"""
