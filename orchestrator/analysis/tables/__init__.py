"""The tables T1 to T13: evidence in, views out. Pure."""
