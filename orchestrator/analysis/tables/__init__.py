"""The tables T1 to T15: evidence in, views out. Pure."""
