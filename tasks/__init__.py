"""The node: model, data, losses, training and scoring of one cell.

The driver imports the parts that need no MLX too, e.g. `contract`, `sources` and `data`.
"""
