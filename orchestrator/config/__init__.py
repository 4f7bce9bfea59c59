"""The sweep file and cluster.yaml, checked; conditions and contrasts as they may be written.

May import `stats` and the node's contract.
"""
