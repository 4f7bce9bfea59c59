"""The training loop, the order of texts and pairs, checkpoints.

May import `model` and what is below it.
"""
