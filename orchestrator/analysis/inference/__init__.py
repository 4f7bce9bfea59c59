"""Contrasts tested as their kind asks, adjusted, and given a verdict. May import `evidence`."""
