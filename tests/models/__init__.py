"""Models of other people: every layout at toy size, and a real one beside another program."""
