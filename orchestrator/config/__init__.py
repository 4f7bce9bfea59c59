"""The sweep file and cluster.yaml, checked; conditions and contrasts as they may be written.

May import `stats` and what of the node needs no MLX: its contract, data, sources and judges.
"""
