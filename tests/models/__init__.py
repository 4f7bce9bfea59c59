"""Models of other authors: every layout at toy size; a real one, compared with another program."""
