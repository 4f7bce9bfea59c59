"""The published figures of the method as evidence, tested like one's own. May import `tables`."""
