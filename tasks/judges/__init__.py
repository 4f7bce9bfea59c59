"""Who says whether an answer refuses: rules, a local model, or a server.

Only `model` imports MLX. May import `model` and what is below it.
"""
