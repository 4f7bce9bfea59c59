"""Texts: probe pairs, the held-out split, SFT texts, prompts; their tokens; seeds. Imports no MLX.

May import `sources`, `starter` and the contract.
"""
