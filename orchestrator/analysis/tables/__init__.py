"""The tables T1 to T14: evidence in, views out. Pure."""
